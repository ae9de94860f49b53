// One stream: player, captions, graph, outputs, recordings, tokens.

import { ago, bytes, get, kbps, make, onClick, patch, post, remove, sentences, toast } from "./api.js";
import { Overlay, captionsPanel, audioMenu } from "./captions.js";
import { QualityMenu } from "./quality.js";
import { drawGraph } from "./graph.js";
import { LiveVoice } from "./live-voice.js";
import { Outputs, askForOutput } from "./outputs.js";
import { Player } from "./player.js";
import { receivedTrunk } from "./trunk.js";
import { viewersTable } from "./viewers.js";
import { VoicePlayer } from "./voice.js";

// Names of the engines of noise suppression.
const ENGINES = { dfn3: "DeepFilterNet", rnnoise: "RNNoise" };

// Shows a stream in `main`; returns how to refresh and how to leave it.
export function showStream(main, name) {
  main.replaceChildren(document.getElementById("stream").content.cloneNode(true));
  const $ = (id) => main.querySelector("#" + id);
  const path = "/streams/" + encodeURIComponent(name);
  const overlay = new Overlay($("overlay"), $("caption-language"), $("caption-size"));
  const panel = captionsPanel(main, name);
  const voice = new VoicePlayer($("voice-playback"));
  const player = new Player($("video"), $("meter"), overlay, new QualityMenu($("quality")), (text) => {
    $("watch-facts").textContent = text;
    $("watch").textContent = player.playing ? "Stop" : "Watch";
  });
  const live = new LiveVoice((text) => {
    $("watch-facts").textContent = text;
    $("listen").textContent = live.playing ? "Stop" : "Voice only";
  }, toast);
  let access = null, gone = false;

  $("name").textContent = name;
  onClick($("watch"), async () => {
    if (player.playing) return player.stop();
    live.stop();
    await watch();
  });
  onClick($("listen"), async () => {
    if (live.playing) return live.stop();
    player.stop();
    access ??= await get(path + "/access");
    try {
      await live.start(name, access.access.play_token);
    } catch (error) {
      toast(new Error(`The voice cannot be decoded here: ${error.message}. It comes as Opus instead.`));
      await watch();
    }
  });
  async function watch() {
    access ??= await get(path + "/access");
    const audio = $("audio-language").value;
    // Not sent to another appliance: the page's policy lets it call no other.
    await player.start(`/whep/${encodeURIComponent(name)}?redirect=no${audio ? `&audio=${audio}` : ""}`, access.access.play_token);
    $("watch").textContent = "Stop";
  }
  $("audio-language").onchange = () => {
    if (!player.playing) return;
    player.stop();
    watch().catch(toast);
  };
  $("full").onclick = () => document.fullscreenElement ? document.exitFullscreen() : $("screen").requestFullscreen().catch(toast);
  onClick($("kick"), () => post(path + "/kick"));
  onClick($("delete"), async () => {
    if (!confirm(`Delete stream “${name}”? Its recordings are kept.`)) return;
    await remove(path);
    location.hash = "#/";
  });
  onClick($("rotate"), async () => {
    if (!confirm("Publishers and players with the old tokens will not come in any more.")) return;
    showAccess(await post(path + "/access/rotate"));
  });
  const showViewers = viewersTable($("viewers"), path);
  const outputs = new Outputs($("outputs"), path, () => refresh());
  onClick($("add-output"), () => askForOutput(path, refresh));

  function showAccess(view) {
    access = view;
    const line = (a) => {
      const text = a.key ? `${a.url} — key ${a.key}` : a.url;
      const copied = a.key ? `${a.url}/${a.key}` : a.url;
      const beside = (label, secret) => secret ? copyLine(label, secret, secret) : "";
      return [copyLine(a.protocol, text, copied), beside("token", a.bearer), beside("passphrase", a.passphrase)];
    };
    const publish = view.publish.length ? [make("p", { className: "quiet", textContent: "Publish" })] : [];
    $("access").replaceChildren(...publish, ...view.publish.flatMap(line),
      make("p", { className: "quiet", textContent: "Play" }), ...view.play.flatMap(line));
  }

  function showSources({ sources, nodes }) {
    const facts = (s) => nodes.find((n) => n.name === s.slot)?.facts ?? {};
    const layerWords = (l) => `${l.width}×${l.height} ${l.comes ? kbps(l.kbps) : "stopped"}${l.is_main ? " (the video)" : ""}`;
    const words = (s) => make("p", {},
      make("span", { className: "pill " + (s.on_air ? "live" : ""), textContent: s.on_air ? "on air" : "standing by" }),
      ` ${s.slot} by ${facts(s).trunk ? "trunk" : s.protocol} from ${s.peer}, for ${ago(s.since)}, ${kbps(s.kbps)}, ${bytes(s.bytes)}` +
      (s.lost ? `, ${s.lost} packets lost` : "") + (s.rtt_ms ? `, ${s.rtt_ms.toFixed(0)} ms away` : ""),
      s.layers.length ? make("span", { className: "quiet", textContent: ` · in ${s.layers.length} sizes: ${s.layers.map(layerWords).join(", ")}` }) : "",
      ...s.notes.map((note) => make("span", { className: "quiet", textContent: ` · ${note}` })));
    $("sources").replaceChildren(...(sources.length ? sources.flatMap((s) => [words(s), ...(facts(s).trunk ? [receivedTrunk(facts(s))] : [])])
      : [make("p", { className: "quiet", textContent: "Nobody publishes. The addresses are below." })]));
  }

  // Callers that were refused, newest first: why an encoder does not come in.
  function showRefusals(refusals) {
    const row = (r) => make("li", {},
      make("b", { textContent: `${r.action} by ${r.protocol} from ${r.peer}` }),
      ` ${ago(r.at)} ago${r.count > 1 ? `, ${r.count} times` : ""}: ${r.message}. ${sentences(r.hint)}`);
    $("refusals").replaceChildren(...refusals.map(row));
    $("refused").hidden = !refusals.length;
    $("refused").querySelector("summary").textContent = `Refused lately: ${refusals.length}`;
  }

  function showDenoise(settings, nodes) {
    const box = $("denoise"), fields = box.elements;
    box.hidden = !settings;
    const cleans = nodes.find((n) => n.name === "denoise")?.facts ?? {};
    const words = [cleans.engine && `cleaned by ${ENGINES[cleans.engine] ?? cleans.engine}`,
      cleans.real_time_factor && `load ${cleans.real_time_factor}`,
      cleans.fallbacks && `late ${cleans.fallbacks} times: RNNoise took over`, cleans.off];
    $("denoise-state").textContent = words.filter(Boolean).join(" · ") || "waiting for audio";
    if (!settings || box.contains(document.activeElement) && document.activeElement.type === "range") return;
    fields.enabled.checked = settings.enabled;
    fields.mix.value = settings.mix;
    fields.max_attenuation_db.value = settings.max_attenuation_db;
    fields.engine.value = settings.engine;
    fields.post_filter.checked = settings.post_filter;
    say();
    function say() {
      fields["mix-text"].value = `${Math.round(fields.mix.value * 100)} %`;
      fields["max-text"].value = `${fields.max_attenuation_db.value} dB`;
    }
    box.oninput = say;
    box.onchange = () => patch(path + "/denoise", {
      enabled: fields.enabled.checked, mix: Number(fields.mix.value), max_attenuation_db: Number(fields.max_attenuation_db.value),
      engine: fields.engine.value, post_filter: fields.post_filter.checked,
    }).catch(toast);
  }

  async function showRecordings() {
    const page = await get(`/recordings?limit=20&stream=${encodeURIComponent(name)}`);
    const row = (r) => {
      const at = `/recordings/${encodeURIComponent(r.stream)}/${encodeURIComponent(r.id)}`, file = "/api/v1" + at + "/file";
      const play = make("button", { className: "plain", textContent: "Play" });
      play.onclick = () => {
        const video = $("playback"), isVoice = r.format === "aic";
        video.hidden = isVoice;
        if (isVoice) { video.removeAttribute("src"); video.load(); voice.play(r, at).catch(toast); return; }
        voice.stop();
        video.src = file;
        video.play().catch(toast);
      };
      const away = make("button", { className: "plain danger operates", textContent: "Delete", disabled: r.state === "writing" });
      onClick(away, async () => { if (confirm("Delete this recording?")) { await remove(at); await showRecordings(); } });
      return make("tr", {}, make("td", { textContent: new Date(r.started).toLocaleString() }),
        make("td", { textContent: `${Math.round(r.duration_s)} s, ${bytes(r.bytes)}${r.format === "aic" ? ", voice" : ""}` }),
        make("td", {}, make("span", { className: "pill " + (r.state === "writing" ? "running" : ""), textContent: r.state })),
        make("td", {}, play, make("a", { className: "button plain", href: file, download: `${r.stream}_${r.id}.${r.format}`, textContent: "Download" }), away));
    };
    fill($("recordings"), page.items.map(row), "None yet.");
  }

  // The appliance of the cluster that a stream comes from.
  const originOf = (stream) => stream.nodes.map((node) => node.facts.origin).find(Boolean);

  async function refresh() {
    const stream = await get(path);
    if (gone) return;
    $("state").textContent = `${stream.state} for ${ago(stream.since)}`;
    $("state").className = "pill " + stream.state;
    $("owner").textContent = `preset ${stream.preset}` + ({ config: ", from the configuration file", demo: ", built in", edge: `, from ${originOf(stream) ?? "another appliance"}` }[stream.owner] ?? "");
    $("delete").hidden = stream.owner !== "api";
    $("kick").disabled = !stream.sources.length;
    // An error that may be over is told for a minute, but does not look like one of now.
    const failing = stream.nodes.some((n) => n.state === "waiting");
    const error = stream.last_error && `${stream.last_error}. ${sentences(stream.last_error_hint)}`;
    $("last-error").textContent = error ? `${failing ? "" : "Last error, "}${ago(stream.last_error_at)} ago: ${error}` : "";
    $("last-error").className = failing ? "error" : "quiet";
    $("last-error").hidden = !stream.last_error;
    showSources(stream);
    showRefusals(stream.refusals);
    showDenoise(stream.denoise, stream.nodes);
    audioMenu($("audio-language"), stream);
    panel.refresh(stream);
    outputs.show(stream.outputs);
    $("graph").replaceChildren(drawGraph(stream));
  }

  get(path + "/access").then(showAccess).catch(toast);
  showRecordings().catch(toast);
  showViewers().catch(() => {});
  const often = setInterval(() => showViewers().catch(() => {}), 3000);
  const slow = setInterval(() => showRecordings().catch(() => {}), 10000);
  return {
    refresh,
    leave() {
      gone = true;
      clearInterval(often);
      clearInterval(slow);
      panel.leave();
      player.stop();
      live.stop();
      voice.stop();
    },
  };
}

function fill(body, rows, otherwise) {
  // Rows with the focus inside are kept as they are until it leaves, for those who use the keyboard.
  if (body.contains(document.activeElement)) return;
  body.replaceChildren(...(rows.length ? rows : [make("tr", {}, make("td", { className: "quiet", textContent: otherwise }))]));
}

function copyLine(label, text, copied) {
  const button = make("button", { className: "plain", textContent: "Copy", ariaLabel: `Copy ${label}` });
  onClick(button, async () => {
    await copy(copied);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  return make("div", { className: "copy" }, make("b", { textContent: label }), make("code", { textContent: text, title: text }), button);
}

// The clipboard needs HTTPS or localhost; elsewhere a hidden field does it.
async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const field = make("textarea", { value: text });
  document.body.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
}
