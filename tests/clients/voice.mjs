// Decodes an .aic file by the decoder of the web page, in Node.
//
//   node voice.mjs voice.wasm weights.safetensors file.aic samples.f32
//
// Writes the samples (32-bit floats, little-endian) and prints one line of JSON: samples, blocks,
// bytes of the decoder, and its share of one core in real time.

import { readFile, writeFile } from "node:fs/promises";

const HEADER_BYTES = 24, BLOCK_BYTES = 1024, RATE_HZ = 16000;

const [program, weights, file, output] = process.argv.slice(2);
const bytes = await readFile(program);
const { instance: { exports: decoder } } = await WebAssembly.instantiate(bytes);

function input(from) {
  const at = decoder.input(from.length);
  new Uint8Array(decoder.memory.buffer, at, from.length).set(from);
}

input(await readFile(weights));
if (!decoder.load()) throw new Error("the weights are refused");
const voice = await readFile(file), parts = [];
let spent = 0, blocks = 0;
for (let at = HEADER_BYTES; at + BLOCK_BYTES <= voice.length; at += BLOCK_BYTES, blocks++) {
  input(voice.subarray(at, at + BLOCK_BYTES));
  const begun = performance.now(), count = decoder.decode();
  spent += performance.now() - begun;
  if (count < 0) throw new Error(`block ${blocks} is damaged`);
  if (count === 0) break;
  parts.push({ first: decoder.first(), samples: new Float32Array(decoder.memory.buffer, decoder.sound(), count).slice() });
}
// What is not decoded is not read: a changed block is refused.
const damaged = Buffer.from(voice.subarray(HEADER_BYTES, HEADER_BYTES + BLOCK_BYTES));
damaged[500] ^= 1;
input(damaged);
if (decoder.decode() !== -1) throw new Error("a damaged block is decoded");
const last = parts.at(-1), samples = new Float32Array(last ? last.first + last.samples.length : 0);
for (const part of parts) samples.set(part.samples, part.first);
await writeFile(output, Buffer.from(samples.buffer));
console.log(JSON.stringify({ samples: samples.length, blocks, bytes: bytes.length, load: spent / 1000 / (samples.length / RATE_HZ), memory: decoder.memory.buffer.byteLength }));
