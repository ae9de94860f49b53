// The decoder of AIC-A for workers: WebAssembly with the weights that made a voice.

async function decoderOf(model) {
  const [program, weights] = await Promise.all([fetch("/page/voice.wasm"), fetch(`/api/v1/voice-models/${model}`)]);
  if (!program.ok) throw new Error("this build has no decoder for the page: `make wasm`");
  if (!weights.ok) throw new Error(`this appliance does not have the model ${model} of the voice`);
  const decoder = (await WebAssembly.instantiateStreaming(program)).instance.exports;
  giveInput(decoder, new Uint8Array(await weights.arrayBuffer()));
  if (!decoder.load()) throw new Error("the weights are damaged");
  return decoder;
}

function giveInput(decoder, bytes) {
  const at = decoder.input(bytes.length);
  new Uint8Array(decoder.memory.buffer, at, bytes.length).set(bytes);
}

// A copy of what was decoded last.
const takeSound = (decoder, count) => new Float32Array(decoder.memory.buffer, decoder.sound(), count).slice();
