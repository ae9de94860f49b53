// Captions: over the video, from the data channel of the player; and what is made of them.

import { make, onClick, patch, toast } from "./api.js";

const LINES = 2, AT_ONCE = 14, WORD_MS = 220, KEPT_MS = 6000, LATER_MAX = 200;
const plain = (word) => word.toLowerCase().replace(/[^\p{L}\p{N}]/gu, "");

// The text of one language as it grows: what is committed stays, what is partial may still change.
export class Text {
  constructor() { this.done = []; this.maybe = []; }

  take(cue) {
    const words = cue.text.split(/\s+/).filter(Boolean);
    if (cue.stage === "partial") { this.maybe = words; return; }
    this.done.push(...words);
    // A committed cue takes its words from the partial one.
    let taken = 0;
    while (taken < words.length && taken < this.maybe.length && plain(words[taken]) === plain(this.maybe[taken])) taken += 1;
    this.maybe = taken === words.length ? this.maybe.slice(taken) : [];
  }

  // Words that have left the screen are forgotten.
  forget(count) { this.done.splice(0, count); }

  get words() {
    return [...this.done.map((text) => ({ text, solid: true })), ...this.maybe.map((text) => ({ text, solid: false }))];
  }
}

// Shows captions in at most two lines; words are only ever added at the end, and whole lines leave at the top.
export class Overlay {
  constructor(box, menu, size) {
    Object.assign(this, { box, menu, size, line: make("p"), text: new Text(), shown: 0, languages: [] });
    this.box.replaceChildren(this.line);
    this.wanted = localStorage.getItem("captions") ?? "original";
    size.value = localStorage.getItem("captions-size") ?? "4";
    const resize = () => { box.style.setProperty("--size", size.value); localStorage.setItem("captions-size", size.value); };
    size.onchange = () => { resize(); this.draw(); };
    resize();
    menu.onchange = () => {
      this.wanted = menu.value;
      localStorage.setItem("captions", menu.value);
      this.clear();
      this.select();
    };
    this.list();
  }

  // Takes the data channel of a connection; `null` when it has closed.
  attach(channel) {
    this.channel = channel;
    this.clear();
    this.languages = [];
    this.list();
    if (channel) channel.onmessage = ({ data }) => this.message(JSON.parse(data));
  }

  message(message) {
    if (message.type === "hello") {
      this.languages = message.languages;
      this.list();
      this.select();
    } else if (message.type === "cue" && this.tag && this.fits(message.language)) {
      // What has been said is shown at once: captions come after the voice. What is to come waits for it.
      const wait = -message.age_ms - (message.end_ms - message.start_ms);
      if (wait <= 0) this.take(message);
      else if ((this.later ??= new Set()).size < LATER_MAX) {
        const timer = setTimeout(() => { this.later.delete(timer); this.take(message); }, wait);
        this.later.add(timer);
      }
    }
  }

  take(cue) {
    if (cue.age_ms > KEPT_MS) return;
    this.text.take(cue);
    this.draw();
  }

  list() {
    const options = [["off", "off"], ...this.languages.map((l) => l.original
      ? ["original", l.tag === "und" ? "as spoken" : `${l.name} (spoken)`] : [l.tag, l.name])];
    if (!this.languages.length && this.wanted !== "off") options.push([this.wanted, "when there are any"]);
    this.menu.replaceChildren(...options.map(([value, textContent]) => make("option", { value, textContent })));
    const there = options.some(([value]) => value === this.wanted);
    this.menu.value = there ? this.wanted : options[1]?.[0] ?? "off";
    this.tag = this.menu.value === "original" ? this.languages.find((l) => l.original)?.tag : this.menu.value === "off" ? null : this.menu.value;
  }

  fits(language) { return this.tag === "und" || language === this.tag || language.split("-")[0] === this.tag; }

  select() {
    this.list();
    if (this.channel?.readyState !== "open") return;
    const languages = this.menu.value === "off" ? [] : [this.menu.value];
    this.channel.send(JSON.stringify({ type: "select", languages, partial: true }));
  }

  clear() {
    clearTimeout(this.pace);
    clearTimeout(this.silence);
    this.later?.forEach(clearTimeout);
    this.later?.clear();
    this.text = new Text();
    this.pace = null;
    this.shown = 0;
    this.line.replaceChildren();
    this.box.hidden = true;
  }

  // Makes the words on the screen those of the text, touching only what differs.
  draw() {
    const words = this.text.words;
    // A whole sentence that comes at once, as translations do, is told at the pace of reading.
    const fresh = words.length - this.shown;
    this.shown = fresh > AT_ONCE && !this.pace ? this.shown + AT_ONCE : this.pace ? Math.min(this.shown, words.length) : words.length;
    if (this.shown < words.length) this.pace ??= setTimeout(() => this.step(), WORD_MS);
    this.put(words.slice(0, this.shown));
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.clear(), KEPT_MS + (words.length - this.shown) * WORD_MS);
  }

  step() {
    this.pace = null;
    const words = this.text.words;
    this.shown = Math.min(this.shown + 1, words.length);
    this.put(words.slice(0, this.shown));
    if (this.shown < words.length) this.pace = setTimeout(() => this.step(), WORD_MS);
  }

  put(words) {
    this.box.hidden = words.length === 0;
    const spans = this.line.children;
    words.forEach(({ text, solid }, i) => {
      const span = spans[i] ?? this.line.appendChild(make("span"));
      if (span.textContent !== text + " ") span.textContent = text + " ";
      if (span.className !== (solid ? "" : "maybe")) span.className = solid ? "" : "maybe";
    });
    while (spans.length > words.length) spans[spans.length - 1].remove();
    // Lines that are above the last two leave, each as a whole, so that no other word moves.
    const tops = [...new Set([...spans].map((s) => s.offsetTop))];
    const first = tops[tops.length - LINES];
    if (first === undefined) return;
    const gone = [...spans].findIndex((s) => s.offsetTop === first);
    const leaves = [...spans].slice(0, gone);
    if (!gone || leaves.some((s) => s.className)) return;
    leaves.forEach((s) => s.remove());
    this.text.forget(gone);
    this.shown -= gone;
  }
}

// The panel: switch, languages, engine, delay, counters and the transcript.
export function captionsPanel(box, name) {
  const $ = (id) => box.querySelector("#" + id), form = $("captions-form"), fields = form.elements;
  const path = `/streams/${encodeURIComponent(name)}`, list = (text) => text.split(/[\s,]+/).filter(Boolean);
  let source = null, on = null;

  const change = (settings) => patch(path + "/captions", settings).then((view) => show(view.settings));
  fields.enabled.onchange = () => change({ enabled: fields.enabled.checked }).catch((error) => { toast(error); fields.enabled.checked = !fields.enabled.checked; });
  form.onsubmit = (event) => event.preventDefault();
  onClick($("captions-apply"), () => change({
    language: fields.language.value.trim() || "auto", spoken: list(fields.spoken.value),
    speakers: fields.speakers.checked ? "turns" : "off", translate: list(fields.translate.value), dub: list(fields.dub.value),
  }));

  function show(settings) {
    fields.enabled.checked = settings?.enabled ?? false;
    if (form.contains(document.activeElement) && document.activeElement.type === "text") return;
    fields.language.value = settings?.language ?? "auto";
    fields.spoken.value = (settings?.spoken ?? []).join(", ");
    fields.speakers.checked = settings?.speakers === "turns";
    fields.translate.value = (settings?.translate ?? []).join(", ");
    fields.dub.value = (settings?.dub ?? []).join(", ");
  }

  function follow() {
    source = new EventSource(`/api/v1${path}/captions/events?language=original&recent=20`);
    // A connection that comes back begins with what is there.
    source.addEventListener("hello", () => { if (source.lost) $("transcript").replaceChildren(); source.lost = false; });
    source.onerror = () => { source && (source.lost = true); };
    source.addEventListener("cue", ({ data }) => {
      const cue = JSON.parse(data), log = $("transcript");
      const said = new Date(Date.now() - cue.age_ms - (cue.end_ms - cue.start_ms));
      const down = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
      log.append(make("li", { lang: cue.language }, make("time", { textContent: said.toLocaleTimeString() }), " " + (cue.speaker ? `${cue.speaker}: ` : "") + cue.text));
      while (log.children.length > 100) log.firstChild.remove();
      if (down) log.scrollTop = log.scrollHeight;
    });
  }

  return {
    refresh(stream) {
      show(stream.captions);
      const hears = stream.nodes.find((n) => n.name === "transcribe")?.facts ?? {};
      const newest = stream.cues.find((c) => c.committed);
      const words = !stream.captions?.enabled ? [stream.cues.length ? "off; those that come with the source are shown" : "off"] : hears.off ? [hears.off] : [
        hears.engine && `heard by ${hears.engine}${hears.model ? ` (${hears.model})` : ""}`,
        newest && `${(newest.delay_ms / 1000).toFixed(1)} s behind the voice`,
        hears.real_time_factor && `load ${hears.real_time_factor}`, hears.switched];
      $("captions-state").textContent = words.filter(Boolean).join(" · ") || "waiting for audio";
      const row = (c) => make("tr", {}, make("td", {}, make("b", { textContent: c.language })), make("td", { className: "quiet",
        textContent: `${c.committed} captions, ${c.words} words` + (c.dropped_slow ? `, ${c.dropped_slow} lost to slow readers` : "") + `, ${c.readers} readers` }));
      $("captions-feeds").replaceChildren(...stream.cues.map(row));
      if (on === (on = stream.cues.length > 0)) return;
      source?.close();
      source = null;
      if (on) follow();
      $("transcript").hidden = !on;
    },
    leave() { source?.close(); source = null; },
  };
}

// Audio in other languages, where the stream is dubbed.
export function audioMenu(menu, stream) {
  const dubs = stream.captions?.enabled ? stream.captions.dub : [];
  const key = dubs.join();
  menu.parentElement.hidden = !dubs.length;
  if (menu.key === key) return;
  menu.key = key;
  const name = (tag) => new Intl.DisplayNames([tag], { type: "language" }).of(tag);
  const before = menu.value;
  menu.replaceChildren(make("option", { value: "", textContent: "as spoken" }), ...dubs.map((tag) => make("option", { value: tag, textContent: name(tag) })));
  menu.value = dubs.includes(before) ? before : "";
}
