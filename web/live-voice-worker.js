// Decodes a live voice from a WebSocket (docs/aic-rtp.md, section 11) and passes its sound to the worklet.

importScripts("/page/voice-decoder.js");

const RATE_HZ = 16000, FRAME_SAMPLES = 320;

// Packets that wait for the decoder, at most: 4 s. Later ones are lost.
const WAITING_PACKETS_MAX = 64;

// Bytes around a short message of a WebSocket (RFC 6455, section 5.2).
const FRAME_BYTES = 2;

// How often the page is told the rate and the cost, in seconds of sound.
const TELL_S = 1;

let decoder, sound, waiting = 0, next = null, lost = 0;
let told = { bytes: 0, samples: 0, spent_ms: 0 };

const say = (message) => postMessage(message);

async function take(data) {
  if (typeof data === "string") {
    const { type, model, sample } = JSON.parse(data);
    if (type === "hello") decoder = await decoderOf(model);
    // What is missing before the next packet; at the start nothing is.
    if (type === "at") { lost = next === null ? 0 : Math.round((sample - next) / FRAME_SAMPLES); next = sample; }
    return;
  }
  giveInput(decoder, new Uint8Array(data));
  const begun = performance.now(), count = decoder.packet(Math.max(0, lost));
  if (count < 0) throw new Error("a packet of the voice is damaged");
  const samples = takeSound(decoder, count);
  told.spent_ms += performance.now() - begun;
  told.bytes += data.byteLength + FRAME_BYTES;
  told.samples += count;
  next += count - Math.max(0, lost) * FRAME_SAMPLES;
  lost = 0;
  sound.postMessage(samples, [samples.buffer]);
  const seconds = told.samples / RATE_HZ;
  if (seconds < TELL_S) return;
  say({ kbps: told.bytes * 0.008 / seconds, cost: told.spent_ms / 1000 / seconds });
  told = { bytes: 0, samples: 0, spent_ms: 0 };
}

onmessage = ({ data: { open: url, port } }) => {
  sound = port;
  const socket = new WebSocket(url);
  socket.binaryType = "arraybuffer";
  let turn = Promise.resolve();
  socket.onmessage = ({ data }) => {
    const isPacket = typeof data !== "string";
    if (isPacket && waiting >= WAITING_PACKETS_MAX) return;
    waiting += isPacket;
    turn = turn.then(() => take(data)).catch((error) => say({ error: error.message })).then(() => { waiting -= isPacket; });
  };
  socket.onclose = () => say({ over: true });
};
