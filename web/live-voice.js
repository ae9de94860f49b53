// Listens to the voice of a stream: AIC-A of 3 kbit/s over a WebSocket, decoded in this page.

const RATE_HZ = 16000;

export class LiveVoice {
  // `say(facts)` is told what to show, `ended(error)` that it stopped by itself.
  constructor(say, ended) {
    Object.assign(this, { say, ended });
  }

  get playing() { return Boolean(this.context); }

  // Fails where this browser or this build cannot decode it, or nothing comes.
  async start(stream, token) {
    if (!window.WebAssembly || !window.AudioWorkletNode) throw new Error("this browser has no WebAssembly or no AudioWorklet, or the page is not served by HTTPS");
    const context = this.context = new AudioContext({ sampleRate: RATE_HZ });
    try {
      await context.audioWorklet.addModule("/page/live-voice-worklet.js");
      const node = new AudioWorkletNode(context, "live-voice", { numberOfInputs: 0, outputChannelCount: [1] });
      node.connect(context.destination);
      const worker = this.worker = new Worker("/page/live-voice-worker.js"), { port1, port2 } = new MessageChannel();
      const url = new URL(`/voice/${encodeURIComponent(stream)}${token ? `?token=${encodeURIComponent(token)}` : ""}`, location.href);
      url.protocol = url.protocol.replace("http", "ws");
      node.port.postMessage({ port: port2 }, [port2]);
      worker.postMessage({ open: url.href, port: port1 }, [port1]);
      this.say("Loading the decoder …");
      await this.follow(context, node, worker);
      await context.resume();
    } catch (error) {
      this.stop();
      throw error;
    }
  }

  // Resolves with the first sound, and follows the rest.
  follow(context, node, worker) {
    let rate = "", begun = false;
    return new Promise((done, failed) => {
      const end = (error) => {
        if (this.context !== context) return;
        if (!begun) return failed(error);
        this.stop();
        this.ended(error);
      };
      worker.onmessage = ({ data }) => {
        if (data.error) end(new Error(data.error));
        if (data.over) end(new Error("the voice has ended"));
        if (data.kbps) { rate = `${data.kbps.toFixed(1)} kbit/s, decoded in this page with ${(data.cost * 100).toFixed(1)} % of a core`; begun = true; done(); }
      };
      worker.onerror = () => end(new Error("the decoder does not start"));
      node.port.onmessage = ({ data: { held, waits } }) => {
        if (this.context === context && rate) this.say(`AIC-A, ${rate}; ${Math.round(held * 1000 / RATE_HZ)} ms held back${waits ? `, ${waits} × late` : ""}`);
      };
    });
  }

  stop() {
    this.worker?.terminate();
    this.context?.close().catch(() => {});
    this.worker = this.context = null;
    this.say("");
  }
}
