// The player of recorded voices (.aic): decoded in the page where that works, else as WAV by the appliance.

import { bytes, make } from "./api.js";

const RATE_HZ = 16000;

const clock = (seconds) => new Date(Math.max(0, seconds) * 1000).toISOString().slice(seconds < 3600 ? 14 : 11, 19);

export class VoicePlayer {
  constructor(box) {
    this.box = box;
  }

  async play(recording, at) {
    this.stop();
    const run = this.run = {};
    this.toggle = make("button", { className: "plain", textContent: "Pause", disabled: true });
    this.place = make("input", { type: "range", min: 0, max: recording.duration_s, step: 0.1, value: 0, ariaLabel: "position" });
    this.time = make("output", {});
    this.facts = make("p", { className: "quiet", textContent: "Loading the decoder …" });
    this.box.hidden = false;
    this.box.replaceChildren(make("div", { className: "bar" }, this.toggle, this.time, make("span", { className: "grow" }), this.place), this.facts);
    this.show(0, recording.duration_s);
    const kbps = recording.bytes * 0.008 / recording.duration_s;
    try {
      await this.decodeHere(recording, `/api/v1${at}/file`, run, kbps);
    } catch (error) {
      if (this.run === run) this.playWav(recording, `/api/v1${at}/wav`, error);
    }
  }

  show(seconds, all) {
    this.time.value = `${clock(seconds)} / ${clock(all)}`;
  }

  async decodeHere(recording, file, run, kbps) {
    if (!window.WebAssembly || !window.AudioWorkletNode) throw new Error("this browser has no WebAssembly or no AudioWorklet, or the page is not served by HTTPS");
    const context = this.context = new AudioContext({ sampleRate: RATE_HZ });
    await context.audioWorklet.addModule("/page/voice-worklet.js");
    if (this.run !== run) return;
    const node = new AudioWorkletNode(context, "voice", { numberOfInputs: 0, outputChannelCount: [1] });
    node.connect(context.destination);
    const worker = this.worker = new Worker("/page/voice-worker.js"), { port1, port2 } = new MessageChannel();
    worker.postMessage({ open: file, port: port1 }, [port1]);
    node.port.postMessage({ port: port2 }, [port2]);
    await new Promise((done, failed) => {
      worker.onmessage = ({ data }) => {
        if (data.opened) done();
        if (data.error) failed(new Error(data.error));
        if (data.cost) this.facts.textContent = `AIC-A, ${kbps.toFixed(1)} kbit/s, ${bytes(recording.bytes)}; decoded in this page with ${(data.cost * 100).toFixed(1)} % of a core.`;
      };
      worker.onerror = () => failed(new Error("the decoder does not start"));
    });
    if (this.run !== run) return;
    const set = (playing) => { node.port.postMessage({ playing }); this.toggle.textContent = playing ? "Pause" : "Play"; this.playing = playing; };
    node.port.onmessage = ({ data }) => {
      if (this.run !== run) return;
      this.at = data.at / RATE_HZ;
      if (!this.moving) this.place.value = this.at;
      this.show(this.at, recording.duration_s);
      if (data.over && this.playing) set(false);
    };
    this.place.oninput = () => { this.moving = true; this.show(Number(this.place.value), recording.duration_s); };
    this.place.onchange = () => { this.moving = false; node.port.postMessage({ seek: Math.round(Number(this.place.value) * RATE_HZ) }); };
    this.toggle.onclick = () => {
      if (!this.playing && this.at >= recording.duration_s - 0.2) node.port.postMessage({ seek: 0 });
      set(!this.playing);
    };
    this.toggle.disabled = false;
    node.port.postMessage({ seek: 0 });
    set(true);
    await context.resume();
  }

  playWav(recording, wav, error) {
    this.release();
    const sound = make("audio", { controls: true, src: wav });
    this.box.replaceChildren(sound, make("p", { className: "quiet", textContent: `Decoded by the appliance and sent as WAV, 256 kbit/s: ${error.message}.` }),
      make("a", { className: "button plain", href: wav, download: `${recording.stream}_${recording.id}.wav`, textContent: "Download WAV" }));
    sound.play().catch(() => {});
  }

  release() {
    this.worker?.terminate();
    this.context?.close().catch(() => {});
    this.worker = this.context = null;
  }

  stop() {
    this.run = null;
    this.release();
    this.box.hidden = true;
    this.box.replaceChildren();
  }
}
