// Fetches a voice (.aic) and decodes it by AIC-A in WebAssembly, block by block, when the worklet asks.

importScripts("/page/voice-decoder.js");

const HEADER_BYTES = 24, BLOCK_BYTES = 1024, FETCHED_BLOCKS = 32;

// Blocks that are looked at one after the other when a time is sought; more are halved first.
const NEAR_BLOCKS = 16;

let file, decoder, blocks, next = 0, window = { first: 0, bytes: new Uint8Array() }, spent_ms = 0, samples = 0;

async function range(first, count) {
  const response = await fetch(file, { headers: { Range: `bytes=${first}-${first + count - 1}` } });
  if (response.status === 416) return { bytes: new Uint8Array(), length: first };
  if (response.status !== 206) throw new Error(`the recording cannot be read: ${response.status} ${response.statusText}`);
  return { bytes: new Uint8Array(await response.arrayBuffer()), length: Number(response.headers.get("Content-Range").split("/")[1]) };
}

async function open() {
  const { bytes, length } = await range(0, HEADER_BYTES);
  if (new TextDecoder().decode(bytes.subarray(0, 4)) !== "AICA") throw new Error("this is no .aic file");
  blocks = Math.floor((length - HEADER_BYTES) / BLOCK_BYTES);
  const model = [...bytes.subarray(8, 12)].map((b) => b.toString(16).padStart(2, "0")).join("");
  decoder = await decoderOf(model);
}

// Bytes of a block; null behind the last whole one.
async function block(at) {
  const inside = () => window.bytes.subarray((at - window.first) * BLOCK_BYTES).subarray(0, BLOCK_BYTES);
  if (at < window.first || inside().length < BLOCK_BYTES) {
    const { bytes, length } = await range(HEADER_BYTES + at * BLOCK_BYTES, FETCHED_BLOCKS * BLOCK_BYTES);
    window = { first: at, bytes };
    // One that is being written grows.
    blocks = Math.max(blocks, Math.floor((length - HEADER_BYTES) / BLOCK_BYTES));
  }
  return inside().length === BLOCK_BYTES ? inside() : null;
}

const time = (bytes) => Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(4));

// The block that has this sample: times rise, so it is found by halves.
async function find(sample) {
  let low = 0, high = blocks;
  while (high - low > NEAR_BLOCKS) {
    const middle = Math.floor((low + high) / 2);
    const { bytes } = await range(HEADER_BYTES + middle * BLOCK_BYTES, 12);
    if (bytes.length === 12 && time(bytes) <= sample) low = middle; else high = middle;
  }
  for (let at = low; at < high; at++) {
    const bytes = await block(at);
    if (!bytes || time(bytes) > sample) break;
    low = at;
  }
  return low;
}

// The sound of the next block that has any; null at the end.
async function sound() {
  for (;;) {
    const bytes = await block(next);
    if (!bytes) return null;
    next += 1;
    giveInput(decoder, bytes);
    const begun = performance.now(), count = decoder.decode();
    spent_ms += performance.now() - begun;
    if (count === 0) return null;
    if (count < 0) continue;
    samples += count;
    return { first: decoder.first(), samples: takeSound(decoder, count) };
  }
}

// One request after the other: seeking overtakes nothing.
let turn = Promise.resolve();
onmessage = ({ data: { open: url, port } }) => {
  file = url;
  const say = (message) => postMessage(message);
  turn = open().then(() => say({ opened: true })).catch((error) => say({ error: error.message }));
  port.onmessage = ({ data: { seek, run } }) => {
    turn = turn.then(async () => {
      if (seek !== undefined) next = await find(seek);
      const part = await sound();
      port.postMessage({ run, part }, part ? [part.samples.buffer] : []);
      say({ cost: spent_ms / 1000 / (samples / 16000) });
    }).catch((error) => say({ error: error.message }));
  };
};
