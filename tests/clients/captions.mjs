// Reads the captions of a transport stream with H.264 video by mux.js, which decodes CEA-608 and
// CEA-708, and prints one JSON object for each: {stream, text, start, end} in seconds.
//
//   node captions.mjs FILE.ts [SERVICE ...]     services are numbers of CEA-708 services
import { readFileSync } from 'node:fs';
import mp2t from 'mux.js/lib/m2ts/m2ts.js';
import codecs from 'mux.js/lib/codecs/index.js';

const [file, ...services] = process.argv.slice(2);
const wanted = Object.fromEntries(services.map((n) => [`SERVICE${n}`, {}]));
const packets = new mp2t.TransportPacketStream();
const captions = new mp2t.CaptionStream({ captionServices: wanted });
packets
  .pipe(new mp2t.TransportParseStream())
  .pipe(new mp2t.ElementaryStream())
  .pipe(new codecs.h264.H264Stream())
  .pipe(captions);
captions.on('data', (caption) => {
  const { stream, content } = caption;
  const text = caption.text ?? content?.map((row) => row.text).join('\n');
  if (text === undefined) return;
  const [start, end] = [caption.startPts / 90000, caption.endPts / 90000];
  console.log(JSON.stringify({ stream, text, start, end }));
});
packets.push(new Uint8Array(readFileSync(file)));
packets.flush();
