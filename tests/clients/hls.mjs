// hls.js in headless Chromium, in its low-latency mode.
//
//   node hls.mjs URL --seconds 15 [--sound es]
//
// With --sound it switches to the audio in that language after five seconds.
// One line of JSON at the end: frames displayed, bytes of audio decoded, delay behind the live
// edge, number of stalls, parts and segments loaded, captions with their display times, and every
// error of hls.js.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";

const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
  "--disable-background-networking", "--disable-component-update", "--mute-audio",
  "--autoplay-policy=no-user-gesture-required", "--disable-dev-shm-usage",
];

const PAGE = `<!doctype html><video id="video" autoplay playsinline></video><script src="/hls.js"></script>`;

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: "string", default: "15" },
    sound: { type: "string" },
    chromium: { type: "string", default: process.env.CHROMIUM ?? "/usr/bin/chromium" },
  },
});

/** Runs in the page: plays and records statistics. */
function play({ url, sound }) {
  const video = document.getElementById("video");
  const seen = { parts: 0, segments: 0, stalls: 0, errors: [], latencies: [], cues: [], tracks: [], sounds: [], fetched: {} };
  const hls = new Hls({ lowLatencyMode: true });
  hls.on(Hls.Events.ERROR, (_, e) => seen.errors.push(`${e.details} fatal=${e.fatal}`));
  hls.on(Hls.Events.FRAG_LOADED, (_, e) => { if (e.part) seen.parts += 1; else seen.segments += 1; });
  // Amount loaded of each audio rendition.
  hls.on(Hls.Events.FRAG_BUFFERED, (_, e) => {
    if (e.frag.type !== "audio") return;
    const lang = hls.audioTracks[hls.audioTrack]?.lang ?? "original";
    seen.fetched[lang] = (seen.fetched[lang] ?? 0) + 1;
  });
  const change = () => { hls.audioTrack = hls.audioTracks.findIndex((track) => track.lang === sound); };
  if (sound) video.addEventListener("playing", () => setTimeout(change, 5000), { once: true });
  // Captions: enables the first language; records each text with the wall-clock time of the frame
  // over which it is displayed.
  hls.on(Hls.Events.SUBTITLE_TRACKS_UPDATED, (_, e) => {
    seen.tracks = e.subtitleTracks.map((track) => track.lang);
  });
  video.addEventListener("playing", () => { if (seen.tracks.length > 0) hls.subtitleTrack = 0; }, { once: true });
  hls.on(Hls.Events.AUDIO_TRACKS_UPDATED, (_, e) => { seen.sounds = e.audioTracks.map((t) => t.lang ?? t.name); });
  const follow = (track) => track.addEventListener("cuechange", () => {
    for (const cue of track.activeCues ?? []) {
      if (seen.cues.some((known) => known.text === cue.text)) continue;
      seen.cues.push({ text: cue.text, language: track.language, at_ms: hls.playingDate?.getTime() });
    }
  });
  video.textTracks.addEventListener("addtrack", (e) => follow(e.track));
  let began = false;
  video.addEventListener("playing", () => { began = true; });
  video.addEventListener("waiting", () => { if (began) seen.stalls += 1; });
  setInterval(() => { if (began) seen.latencies.push(hls.latency); }, 250);
  window.report = () => {
    const quality = video.getVideoPlaybackQuality();
    const sorted = [...seen.latencies].sort((a, b) => a - b);
    return {
      frames: quality.totalVideoFrames, dropped: quality.droppedVideoFrames,
      audio_bytes: video.webkitAudioDecodedByteCount, position_s: video.currentTime,
      size: `${video.videoWidth}x${video.videoHeight}`, latency_s: sorted[sorted.length >> 1],
      target_latency_s: hls.targetLatency, parts: seen.parts, segments: seen.segments,
      stalls: seen.stalls, errors: seen.errors, cues: seen.cues, tracks: seen.tracks, sounds: seen.sounds,
      fetched: seen.fetched, sound: hls.audioTracks[hls.audioTrack]?.lang,
    };
  };
  hls.loadSource(url);
  hls.attachMedia(video);
}

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const server = createServer(async (request, response) => {
  if (request.url === "/hls.js") {
    response.writeHead(200, { "content-type": "text/javascript" });
    return response.end(await readFile(here("node_modules/hls.js/dist/hls.min.js")));
  }
  return response.writeHead(200, { "content-type": "text/html" }).end(PAGE);
});
await new Promise((done) => server.listen(0, "127.0.0.1", done));
const browser = await chromium.launch({ executablePath: options.chromium, args: FLAGS });
try {
  const page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  await page.evaluate(play, { url: positionals[0], sound: options.sound });
  await new Promise((done) => setTimeout(done, Number(options.seconds) * 1000));
  console.log(JSON.stringify(await page.evaluate(() => window.report())));
} finally {
  await browser.close();
  server.close();
}
