// dash.js or Shaka Player in headless Chromium, at live DASH.
//
//   node dash.mjs URL --player dash.js|shaka --seconds 15 [--sound es] [--captions es]
//
// With --sound it switches to the audio in that language after five seconds, with --captions it shows the captions in that one. One line of JSON at the
// end: frames displayed, bytes of audio decoded, position at the start and the end, whether the picture
// has content, delay behind the live edge, languages, captions shown, segments fetched by track, and every error.

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

const SCRIPTS = {
  "dash.js": "node_modules/dashjs/dist/modern/umd/dash.all.min.js",
  "shaka": "node_modules/shaka-player/dist/shaka-player.compiled.js",
};

const PAGE = `<!doctype html><video id="video" autoplay playsinline></video><script src="/player.js"></script>`;

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    player: { type: "string", default: "dash.js" },
    seconds: { type: "string", default: "15" },
    sound: { type: "string" },
    captions: { type: "string" },
    chromium: { type: "string", default: process.env.CHROMIUM ?? "/usr/bin/chromium" },
  },
});

/** Runs in the page: plays and records statistics. */
async function play({ url, player: name, sound, captions }) {
  const video = document.getElementById("video");
  const seen = { errors: [], fetched: {}, stalls: 0, from_s: null, captions: [] };
  video.addEventListener("error", () => seen.errors.push(`video: ${video.error?.message}`));
  video.addEventListener("playing", () => { seen.from_s ??= video.currentTime; });
  video.addEventListener("waiting", () => { if (seen.from_s !== null) seen.stalls += 1; });
  const later = (change) => video.addEventListener("playing", () => setTimeout(change, 5000), { once: true });
  // What the browser shows of captions, each text once.
  setInterval(() => {
    for (const track of video.textTracks) {
      for (const { text } of track.mode === "showing" ? (track.activeCues ?? []) : []) {
        if (!seen.captions.includes(text)) seen.captions.push(text);
      }
    }
  }, 100);
  const fetched = (address) => {
    const file = /\/([a-z0-9-]+)(?:\.\d+)?\.t\d+\.(?:m4s|vtt)/.exec(address)?.[1];
    if (file) seen.fetched[file] = (seen.fetched[file] ?? 0) + 1;
  };
  new PerformanceObserver((list) => list.getEntries().forEach((e) => fetched(e.name))).observe({ type: "resource" });
  const start = {
    "dash.js": async () => {
      const player = dashjs.MediaPlayer().create();
      player.on("error", ({ error }) => seen.errors.push(`${error.code} ${error.message}`));
      player.initialize(video, url, true);
      const tracks = (kind) => player.getTracksFor(kind);
      if (captions) {
        later(() => {
          const at = tracks("text").findIndex((track) => track.lang === captions);
          player.enableText(true);
          player.setTextTrack(at);
        });
      }
      if (sound) later(() => player.setCurrentTrack(tracks("audio").find((track) => track.lang === sound)));
      return {
        offered: () => tracks("text").map((track) => track.lang),
        latency: () => player.getCurrentLiveLatency(),
        sounds: () => tracks("audio").map((track) => track.lang),
        sound: () => player.getCurrentTrackFor("audio")?.lang,
      };
    },
    "shaka": async () => {
      shaka.polyfill.installAll();
      const player = new shaka.Player();
      player.addEventListener("error", ({ detail }) => seen.errors.push(`${detail.code} ${detail.message}`));
      await player.attach(video);
      if (captions) later(() => player.selectTextTrack(player.getTextTracks().find((track) => track.language === captions)));
      if (sound) later(() => player.selectAudioTrack(player.getAudioTracks().find((track) => track.language === sound)));
      // A rejected promise would hide the report.
      player.load(url).catch((error) => seen.errors.push(`${error.code} ${error.message}`));
      return {
        offered: () => player.getTextTracks().map((track) => track.language),
        latency: () => (Date.now() - (player.getPlayheadTimeAsDate()?.getTime() ?? 0)) / 1000,
        sounds: () => player.getAudioTracks().map((track) => track.language),
        sound: () => player.getAudioTracks().find((track) => track.active)?.language,
      };
    },
  };
  const player = await start[name]();

  /** Whether the picture is more than one colour. */
  const hasContent = () => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 32, height: 18 });
    const context = canvas.getContext("2d");
    context.drawImage(video, 0, 0, 32, 18);
    const { data } = context.getImageData(0, 0, 32, 18);
    return Math.max(...data.filter((_, n) => n % 4 === 0)) - Math.min(...data.filter((_, n) => n % 4 === 0)) > 40;
  };
  window.report = () => {
    const quality = video.getVideoPlaybackQuality();
    return {
      ...seen, frames: quality.totalVideoFrames, dropped: quality.droppedVideoFrames,
      audio_bytes: video.webkitAudioDecodedByteCount, to_s: video.currentTime,
      size: `${video.videoWidth}x${video.videoHeight}`, has_content: hasContent(),
      latency_s: player.latency(), sounds: player.sounds(), sound: player.sound(), offered: player.offered(),
    };
  };
}

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const server = createServer(async (request, response) => {
  if (request.url === "/player.js") {
    response.writeHead(200, { "content-type": "text/javascript" });
    return response.end(await readFile(here(SCRIPTS[options.player])));
  }
  return response.writeHead(200, { "content-type": "text/html" }).end(PAGE);
});
await new Promise((done) => server.listen(0, "127.0.0.1", done));
const browser = await chromium.launch({ executablePath: options.chromium, args: FLAGS });
try {
  const page = await browser.newPage();
  page.on("pageerror", (error) => console.error(`page: ${error}`));
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  const { sound, captions, player } = options;
  await page.evaluate(play, { url: positionals[0], player, sound, captions });
  await new Promise((done) => setTimeout(done, Number(options.seconds) * 1000));
  console.log(JSON.stringify(await page.evaluate(() => window.report())));
} finally {
  await browser.close();
  server.close();
}
