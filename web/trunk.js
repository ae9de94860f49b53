// State of a trunk: its savings and quality, the last two minutes, and its figures.

import { kbps, make } from "./api.js";
import { element } from "./graph.js";

const WINDOW_MS = 120_000, PLOT = { width: 240, height: 48 };

// Looks further apart than this are not joined by a line: what was between is unknown.
const GAP_MS = 10_000;

// What was seen of each trunk. Kept with the page, so that it is still there when an admin comes back.
const seen = new Map();

// Lowest score of each category of users' satisfaction (ITU-T G.107, annex B).
const OPINIONS = [[4.34, "users very satisfied"], [4.03, "users satisfied"], [3.6, "some users dissatisfied"],
  [3.1, "many users dissatisfied"], [2.58, "nearly all users dissatisfied"], [0, "below what ITU-T G.107 recommends"]];
const opinion = (score) => OPINIONS.find(([least]) => score >= least)[1];

const is = (value) => typeof value === "number";
const rate = (value) => is(value) ? value < 100 ? `${value.toFixed(1)} kbit/s` : kbps(value) : "";
const percent = (value) => is(value) ? `${(value * 100).toFixed(1)} %` : "";
const ms = (value) => is(value) ? `${Math.round(value)} ms` : "";
const pair = (a, b) => a && b ? `${a}, ${b}` : "";

// Names of figures, what they mean, and how they are read from the facts.
const BOTH = [
  ["Rung of the ladder", "codec, its bitrate, audio in one packet, and how much of the video is sent", (f) => f.rung],
  ["Audio codec", "the codec of most audio packets now; AIC-A is for voice, music goes as Opus", (f) => ({ aic: "AIC-A", opus: "Opus" })[f.codec]],
  ["Audio on the wire", "payload and 50 bytes of headers a packet, in the last second", (f) => rate(f.audio_kbps)],
];
const QUALITY = ["Quality (estimate)", "mean opinion score by the E-model, ITU-T G.107: 1.0 is bad, 4.5 the best. No measurement",
  (f) => is(f.quality) ? `${f.quality.toFixed(1)} of 4.5` : ""];
const ROUND_TRIP = ["Round trip", "to the other end and back", (f) => ms(f.rtt_ms)];
const SENT = [...BOTH,
  ["The same in Opus", "the same audio as Opus of 20 kbit/s in packets of 20 ms", (f) => rate(f.audio_in_opus_kbps)],
  QUALITY,
  ["Of Opus: predicted, actual", "share of Opus's bandwidth, before and after it was sent; only while AIC-A goes out",
    (f) => f.codec === "aic" ? pair(percent(f.predicted_ratio), percent(f.actual_ratio)) : ""],
  ["AIC-A failed", "where its engine failed and why; it is tried again after 10, 30, then 120 seconds", (f) => f.aic_failed],
  ["Video", "how much of it is sent, and what that takes", (f) => is(f.video_kbps) ? pair(f.pictures, rate(f.video_kbps)) : f.pictures],
  ["Bandwidth estimate", "what the path carries, by congestion control", (f) => rate(f.bandwidth_kbps)],
  ["Audio lost, concealed", "packets that did not arrive; audio that the other end had to conceal, late packets included",
    (f) => pair(percent(f.loss), percent(f.missing))],
  ROUND_TRIP,
  ["Delay (estimate)", "packing, coding and half the round trip; what a jitter buffer adds after losses is not in it", (f) => ms(f.latency_ms)],
  ["Calls after the first", "how often the other end was called again since the trunk was added or started", (f) => String(f.restarts ?? "")],
];
const RECEIVED = [...BOTH, QUALITY,
  ["Audio concealed", "share of the AIC-A frames since it began that were lost or late", (f) => f.frames ? percent(f.concealed / f.frames) : ""],
  ROUND_TRIP,
];

class Figures {
  constructor(rows) {
    this.element = make("dl", { className: "figures" });
    this.fields = rows.map(([name, title, read]) => {
      const value = make("dd", {});
      this.element.append(make("div", { title }, make("dt", { textContent: name }), value));
      return { value, read };
    });
  }
  // A figure that is not known keeps its place.
  show(facts) {
    for (const { value, read } of this.fields) value.textContent = read(facts) || "–";
  }
}

// What the receiving end knows of the trunk that publishes to it.
export function receivedTrunk(facts) {
  const figures = new Figures(RECEIVED);
  figures.show(facts);
  return make("div", { className: "trunk" },
    make("p", { className: "quiet", textContent: "It is a trunk of another appliance. All but the concealed audio is what that one says." }),
    figures.element);
}

// A trunk among the outputs.
export class SentTrunk {
  constructor(key) {
    this.key = key;
    if (!seen.has(key)) seen.set(key, []);
    this.samples = seen.get(key);
    this.summary = make("p", { className: "summary" });
    this.audio = new Plot("Audio", [["opus", "the same in Opus"], ["wire", "on the wire"]]);
    this.path = new Plot("Path", [["path", "bandwidth estimate"], ["used", "taken by the trunk"]]);
    this.figures = new Figures(SENT);
    this.element = make("div", { className: "trunk" }, this.summary,
      make("div", { className: "plots" }, this.audio.element, this.path.element), this.figures.element);
  }

  show(output) {
    const facts = output.state === "running" ? output.facts : {}, now = Date.now();
    this.look(facts, now);
    // One that has not run yet has nothing to show but its error.
    this.element.hidden = output.state !== "running" && !this.samples.some((s) => is(s.wire) || is(s.used));
    this.summary.textContent = summary(this.samples, now);
    this.audio.draw(this.samples, now);
    this.path.draw(this.samples, now);
    this.figures.show({ ...facts, restarts: output.restarts });
  }

  // The output is no more; one that gets its id begins anew.
  forget() {
    seen.delete(this.key);
  }

  look(facts, at) {
    const { samples } = this;
    while (samples.length && at - samples[0].at > WINDOW_MS) samples.shift();
    // Figures are renewed once a second; the page may look more often.
    if (samples.length && at - samples.at(-1).at < 900) return;
    samples.push({ at, wire: facts.audio_kbps, opus: facts.audio_in_opus_kbps, path: facts.bandwidth_kbps,
      used: is(facts.audio_kbps) || is(facts.video_kbps) ? (facts.audio_kbps ?? 0) + (facts.video_kbps ?? 0) : undefined,
      quality: facts.quality, passed: !is(facts.saved_percent) });
  }
}

// Savings are never shown without quality: both come from the same samples.
function summary(samples, now) {
  const heard = samples.filter((s) => s.opus > 0 && is(s.quality));
  if (!heard.length) return "No audio has been sent lately.";
  const sum = (name) => heard.reduce((total, s) => total + s[name], 0);
  const saved = Math.round((1 - sum("wire") / sum("opus")) * 100), quality = sum("quality") / heard.length;
  const much = heard.every((s) => s.passed) ? "audio passed as the Opus of the stream"
    : `audio took ${Math.abs(saved)} % ${saved < 0 ? "more" : "less"} than Opus of 20 kbit/s would have`;
  const seconds = Math.max(1, Math.round((now - heard[0].at) / 1000));
  return `In the last ${seconds < 115 ? `${seconds} s` : "2 min"} ${much}, ` +
    `at an estimated quality of ${quality.toFixed(1)} of 4.5: ${opinion(quality)}.`;
}

// Two series of the last two minutes, the first behind the second, and what they are now.
class Plot {
  constructor(title, series) {
    this.title = title;
    this.top = make("span", { className: "top" });
    this.svg = element("svg", { viewBox: `0 0 ${PLOT.width} ${PLOT.height}`, preserveAspectRatio: "none", role: "img" });
    this.series = series.map(([name, words]) => {
      const area = element("path", { class: `area ${name}` }), line = element("path", { class: `line ${name}` });
      this.svg.append(area, line);
      return { name, words, area, line, label: make("span", { className: `key ${name}` }) };
    });
    this.element = make("figure", {},
      make("figcaption", {}, make("b", { textContent: title }), ...this.series.map((s) => s.label)),
      make("div", { className: "plot" }, this.svg, this.top),
      make("div", { className: "times quiet" }, make("span", { textContent: "2 min ago" }), make("span", { textContent: "now" })));
  }

  draw(samples, now) {
    const [behind, before] = this.series.map((s) => Math.max(0, ...samples.map((sample) => sample[s.name]).filter(is)));
    // An estimate of the path far above what is taken says no more than that there is plenty.
    const most = ceiling(Math.max(1, before, before ? Math.min(behind, 4 * before) : behind));
    const above = samples.at(-1)?.[this.series[0].name] > most;
    this.top.textContent = behind || before ? kbps(most) + (above ? `; ${this.series[0].words} is above` : "") : "";
    const x = (at) => ((at - now) / WINDOW_MS + 1) * PLOT.width, y = (value) => PLOT.height * (1 - value / most);
    for (const s of this.series) {
      const runs = unbroken(samples, s.name).map((run) => run.map((p) => `${x(p.at).toFixed(1)} ${y(p[s.name]).toFixed(1)}`));
      s.line.setAttribute("d", runs.map((run) => `M${run.join("L")}`).join(""));
      s.area.setAttribute("d", runs.map((run) =>
        `M${run[0].split(" ")[0]} ${PLOT.height}L${run.join("L")}V${PLOT.height}Z`).join(""));
      s.label.textContent = `${s.words} ${rate(samples.at(-1)?.[s.name]) || "–"}`;
    }
    this.svg.setAttribute("aria-label", `${this.title}, last two minutes: ${this.series.map((s) => s.label.textContent).join(", ")}`);
  }
}

// The parts of a series without a hole in them.
function unbroken(samples, name) {
  const runs = [];
  let last = null;
  for (const sample of samples) {
    if (!is(sample[name])) { last = null; continue; }
    if (!last || sample.at - last.at > GAP_MS) runs.push([]);
    runs.at(-1).push(sample);
    last = sample;
  }
  return runs;
}

// The next of 1, 2, 5, 10, 20 …, so that the scale of a plot seldom changes.
function ceiling(value) {
  const ten = 10 ** Math.floor(Math.log10(value));
  return ten * [1, 2, 5, 10].find((step) => value <= step * ten * 1.0001);
}
