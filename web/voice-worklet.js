// Plays the parts of a voice at their times, and asks for the next ones: 16 kHz, mono.

// Sound that is decoded ahead, in samples: 8 s.
const AHEAD_SAMPLES = 8 * 16000;

// How often the page is told where it is, in samples.
const TELL_SAMPLES = 1600;

class Voice extends AudioWorkletProcessor {
  constructor() {
    super();
    Object.assign(this, { parts: [], at: 0, run: 0, asked: true, over: false, told: 0, playing: false });
    this.port.onmessage = ({ data }) => {
      if (data.port) { this.source = data.port; this.source.onmessage = ({ data }) => this.take(data); }
      if (data.seek !== undefined) this.seek(data.seek);
      if (data.playing !== undefined) this.playing = data.playing;
    };
  }

  seek(sample) {
    // Parts that were asked for before belong to another place.
    Object.assign(this, { parts: [], at: sample, run: this.run + 1, asked: true, over: false });
    this.source.postMessage({ run: this.run, seek: sample });
  }

  take({ run, part }) {
    if (run !== this.run) return;
    this.asked = false;
    if (part) this.parts.push(part); else this.over = true;
  }

  process(_, [[out]]) {
    const end = this.parts.length ? this.parts.at(-1).first + this.parts.at(-1).samples.length : this.at;
    if (!this.asked && !this.over && end - this.at < AHEAD_SAMPLES) {
      this.asked = true;
      this.source.postMessage({ run: this.run });
    }
    if (!this.playing) return true;
    for (let i = 0; i < out.length; i++) {
      while (this.parts.length && this.at >= this.parts[0].first + this.parts[0].samples.length) this.parts.shift();
      const part = this.parts[0];
      if (!part) break;
      // Before a part is time in which nothing was heard.
      if (this.at >= part.first) out[i] = part.samples[this.at - part.first];
      this.at += 1;
    }
    if (Math.abs(this.at - this.told) >= TELL_SAMPLES || this.over && !this.parts.length) {
      this.told = this.at;
      this.port.postMessage({ at: this.at, over: this.over && !this.parts.length });
    }
    return true;
  }
}

registerProcessor("voice", Voice);
