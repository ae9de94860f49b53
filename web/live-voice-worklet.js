// Plays a live voice, 16 kHz, mono: holds back as much as its network needs, and fills what is late with
// comfort noise by its own clock.

// Sound that is held back before it plays, in samples: 240 ms, four packets.
const HELD_SAMPLES = 3840;

// What is held back more than this (1.2 s) is dropped, oldest first: a live voice must not fall behind.
const HELD_SAMPLES_MAX = 19200;

// Samples in which sound and comfort noise change over: 10 ms.
const FADE_SAMPLES = 160;

// Root mean square of the loudest comfort noise, -46 dBFS, and its rise per 20 ms: as in codec/src/conceal.rs.
const NOISE_MAX = 0.005, NOISE_RISE = 1.007, NOISE_FRAME_SAMPLES = 320;

// How often the page is told how it goes, in samples.
const TELL_SAMPLES = 4000;

class LiveVoice extends AudioWorkletProcessor {
  constructor() {
    super();
    Object.assign(this, { parts: [], at: 0, held: 0, playing: false, gain: 0, floor: NOISE_MAX, power: 0, measured: 0, waits: 0, played: 0, told: 0 });
    this.port.onmessage = ({ data }) => { data.port.onmessage = ({ data }) => this.take(data); };
  }

  take(samples) {
    this.parts.push(samples);
    this.held += samples.length;
    if (this.held > HELD_SAMPLES_MAX) while (this.held > HELD_SAMPLES) this.next();
    if (this.held >= HELD_SAMPLES) this.playing = true;
  }

  next() {
    const part = this.parts[0], sample = part[this.at++];
    if (this.at === part.length) { this.parts.shift(); this.at = 0; }
    this.held -= 1;
    return sample;
  }

  // The quietest of the last seconds is the background.
  measure(sample) {
    this.power += sample * sample;
    if (++this.measured < NOISE_FRAME_SAMPLES) return;
    this.floor = Math.min(NOISE_MAX, this.floor * NOISE_RISE, Math.sqrt(this.power / NOISE_FRAME_SAMPLES));
    this.power = this.measured = 0;
  }

  process(_, [[out]]) {
    for (let i = 0; i < out.length; i++) {
      if (this.playing && !this.held) { this.playing = false; this.waits += 1; }
      // White noise of unit power, times the background.
      const noise = (Math.random() * 2 - 1) * Math.sqrt(3) * (this.played ? this.floor : 0);
      const sample = this.playing ? this.next() : 0;
      if (this.playing) { this.measure(sample); this.played += 1; }
      this.gain = Math.min(1, Math.max(0, this.gain + (this.playing ? 1 : -1) / FADE_SAMPLES));
      out[i] = sample * this.gain + noise * (1 - this.gain);
    }
    this.told += out.length;
    if (this.told >= TELL_SAMPLES) {
      this.told = 0;
      this.port.postMessage({ played: this.played, held: this.held, waits: this.waits });
    }
    return true;
  }
}

registerProcessor("live-voice", LiveVoice);
