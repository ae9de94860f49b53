// Chromium as a publisher and as a viewer; with `--firefox`, Firefox.
//
//   node browser.mjs whep URL --token T --seconds 10       plays by WHEP (--eager: without buffering)
//   node browser.mjs whip URL --token T --seconds 10       publishes its fake camera and microphone
//   node browser.mjs hls  URL --seconds 10                 plays a playlist with hls.js
//   node browser.mjs page URL --token T --stream S         signs in on the page and watches a stream
//   node browser.mjs voice URL --token T --stream S        plays the newest recording, a voice, on the page
//   node browser.mjs listen URL --token T --stream S       listens to the voice of a live stream on the page
//   node browser.mjs overlay URL                           feeds cues to the page's captions
//
// `--codec` and, with whip, `--scalability L3T3_KEY` select the video encoding; `--layers` sends the picture in
// three sizes, of which the lines `stop f` and `send f` stop one and send it again. `--only tcp` and `--only ipv6`
// leave of the answer to whep the candidates of one kind. `--captions` opens
// the data channel of captions with whep; with page it waits for this text over the
// video and in the transcript. `--quality NAME` with page
// chooses it in the menu and waits until it plays. `--shot FILE` with page saves a screenshot. `--trunk URL` with
// page, and `--trunk-token T`, adds a trunk by the form and waits until the page shows its state.
//
// Lines of JSON: `playing` or `publishing`, `progress` twice a second, `report` at the end.
// Without --seconds it runs until its standard input is closed. The line `restart` there makes
// it restart ICE on new ports and report `restarted`. With hls the line `back 30` seeks 30 s back, `live`
// to the live edge again; both report `sought` when the pictures move there.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { chromium, firefox } from "playwright-core";

const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
  "--disable-background-networking", "--disable-component-update", "--mute-audio",
  "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
  "--autoplay-policy=no-user-gesture-required", "--disable-dev-shm-usage",
];

const PREFERENCES = {
  // Without a click of a person.
  "media.autoplay.default": 0,
  "media.autoplay.blocking_policy": 0,
  // Firefox fetches its decoder of H.264 for WebRTC, OpenH264, when it first runs. What it plays files with
  // (FFmpeg) serves WebRTC too where hardware is said to decode.
  "media.webrtc.hw.h264.enabled": true,
  "gfx.blacklist.webrtc.hw.acceleration.h264": 1,
};

const say = (event, facts = {}) => console.log(JSON.stringify({ event, ...facts }));

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    token: { type: "string" },
    codec: { type: "string" },
    only: { type: "string" },
    firefox: { type: "boolean", default: false },
    scalability: { type: "string" },
    layers: { type: "boolean", default: false },
    captions: { type: "string" },
    quality: { type: "string" },
    shot: { type: "string" },
    trunk: { type: "string" },
    "trunk-token": { type: "string" },
    eager: { type: "boolean", default: false },
    stream: { type: "string" },
    seconds: { type: "string", default: "0" },
    patience: { type: "string", default: "20" },
    chromium: { type: "string", default: process.env.CHROMIUM ?? "/usr/bin/chromium" },
  },
});

/** Chromium, or Debian's Firefox by WebDriver BiDi. */
function launch() {
  if (!options.firefox) return chromium.launch({ executablePath: options.chromium, args: FLAGS });
  const executablePath = fileURLToPath(new URL("firefox.sh", import.meta.url));
  return firefox.launch({ channel: "moz-firefox", executablePath, firefoxUserPrefs: PREFERENCES });
}

/** Serves the test page from another origin, like a player on a foreign web site. */
async function serve() {
  const here = (path) => fileURLToPath(new URL(path, import.meta.url));
  const files = {
    "/": ["text/html", here("player.html")],
    "/player.js": ["text/javascript", here("player.js")],
    "/hls.js": ["text/javascript", here("node_modules/hls.js/dist/hls.min.js")],
  };
  const server = createServer(async (request, response) => {
    const [type, path] = files[request.url] ?? [];
    if (!path) return response.writeHead(404).end();
    response.writeHead(200, { "content-type": type }).end(await readFile(path));
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return server;
}

/** Resolves after `seconds`, or when standard input is closed. */
function untilTold(seconds) {
  if (seconds > 0) return new Promise((done) => setTimeout(done, seconds * 1000));
  return new Promise((done) => process.stdin.on("close", done).on("end", done).resume());
}

/** Uses the appliance's own page like a person: signs in, opens a stream, presses Watch. */
async function usePage(page, url, patience) {
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (line) => line.type() === "error" && errors.push(line.text()));
  page.setDefaultTimeout(patience);
  await page.goto(url);
  await page.fill("input[name=token]", options.token);
  await page.press("input[name=token]", "Enter");
  await page.click(`#streams >> text=${options.stream}`);
  await page.click("#watch");
  const plays = () => {
    const video = document.getElementById("video");
    return video && video.videoWidth > 0 && video.currentTime > 1;
  };
  await page.waitForFunction(plays, null, { polling: 100 });
  if (options.captions) {
    const shown = (text) => ["overlay", "transcript"].every((id) => document.getElementById(id).innerText.includes(text));
    await page.waitForFunction(shown, options.captions, { polling: 50 });
  }
  let qualities = null;
  if (options.quality) {
    const before = await page.evaluate(() => document.getElementById("video").videoWidth);
    qualities = await page.$$eval("#quality option", (all) => all.map((option) => option.value));
    await page.selectOption("#quality", options.quality);
    await page.waitForFunction((was) => document.getElementById("video").videoWidth !== was, before, { polling: 100 });
  }
  const facts = () => ({
    heading: document.getElementById("name").textContent,
    state: document.getElementById("state").textContent,
    width: document.getElementById("video").videoWidth,
    graph: document.querySelectorAll("svg *").length,
    overlay: document.getElementById("overlay").innerText.trim(),
    languages: [...document.getElementById("caption-language").options].map((o) => o.value),
  });
  const trunk = options.trunk ? await addTrunk(page) : null;
  if (options.shot) await page.screenshot({ path: options.shot, fullPage: true });
  say("report", { ...(await page.evaluate(facts)), qualities, trunk, errors });
}

async function addTrunk(page) {
  await page.click("#add-output");
  await page.fill("dialog input[name=id]", "b");
  await page.selectOption("dialog select[name=type]", "trunk");
  await page.fill("dialog input[name=url]", options.trunk);
  await page.fill("dialog input[name=token]", options["trunk-token"]);
  await page.press("dialog input[name=token]", "Enter");
  await page.waitForSelector("#outputs .pill.running");
  await page.waitForSelector("#outputs .summary:has-text('estimated quality')");
  const told = await page.innerText("#outputs");
  return { told, edited: await editTrunk(page) };
}

/** Changes it by the same form; returns the form's initial values. */
async function editTrunk(page) {
  await page.click("#outputs button:has-text('Edit')");
  const had = await page.$eval("dialog form", (form) =>
    Object.fromEntries(["id", "type", "url", "token", "video", "aic", "delay_ms", "max_kbps"].map((name) => [name, form.elements[name].value])));
  if (options.shot) await page.screenshot({ path: options.shot.replace(/(\.\w+)$/, "-edit$1") });
  // Errors are shown, and the form keeps the input.
  await page.fill("dialog input[name=url]", "https://");
  await page.evaluate(() => document.querySelector("dialog input[name=url]").removeAttribute("pattern"));
  await page.press("dialog input[name=url]", "Enter");
  const refused = await page.waitForSelector("dialog .error:not([hidden])");
  had.refused = await refused.innerText();
  await page.fill("dialog input[name=url]", "");
  await page.fill("dialog input[name=max_kbps]", "300");
  await page.press("dialog input[name=max_kbps]", "Enter");
  await page.waitForSelector("dialog", { state: "detached" });
  await page.waitForSelector("#outputs .pill.running");
  return had;
}

/** Signs in and opens a stream; returns the errors of the page, as they come, and an ear in its players. */
async function openStream(page, url, patience) {
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.setDefaultTimeout(patience);
  // What the page sends to the speakers, which a headless browser does not have.
  await page.addInitScript(() => {
    const connect = AudioNode.prototype.connect;
    AudioNode.prototype.connect = function (to, ...rest) {
      if (to instanceof AudioDestinationNode) {
        const ear = window.ear = new AnalyserNode(this.context, { fftSize: 8192 });
        connect.call(this, ear);
      }
      return connect.call(this, to, ...rest);
    };
  });
  await page.goto(url);
  await page.fill("input[name=token]", options.token);
  await page.press("input[name=token]", "Enter");
  await page.click(`#streams >> text=${options.stream}`);
  return errors;
}

/** The loudest half second of the next few seconds, root mean square. */
async function hear(page, times) {
  let loud = 0;
  for (let i = 0; i < times; i++) {
    loud = Math.max(loud, await page.evaluate(() => {
      // The browser's own player has no ear in it.
      if (!window.ear) return 1;
      const samples = new Float32Array(window.ear.fftSize);
      window.ear.getFloatTimeDomainData(samples);
      return Math.sqrt(samples.reduce((sum, x) => sum + x * x, 0) / samples.length);
    }));
    await page.waitForTimeout(50);
  }
  return loud;
}

/** Listens to the voice of a live stream, and hears it through the player itself. */
async function listenOnPage(page, url, patience) {
  const errors = await openStream(page, url, patience);
  await page.click("#listen");
  const told = (what) => document.getElementById("watch-facts").textContent.includes(what);
  await page.waitForFunction(told, "kbit/s", { polling: 100 });
  const loud = await hear(page, 80);
  if (options.shot) await page.screenshot({ path: options.shot, fullPage: true });
  const facts = await page.innerText("#watch-facts");
  await page.click("#listen");
  await page.waitForFunction(() => document.getElementById("listen").textContent === "Voice only", null, { polling: 50 });
  say("report", { told: facts, loud, video: await page.evaluate(() => document.getElementById("video").videoWidth), errors });
}

/** Plays a recorded voice on the page, seeks in it, and hears it through the player itself. */
async function playVoice(page, url, patience) {
  const errors = await openStream(page, url, patience);
  await page.click("#recordings button:has-text('Play')");
  await page.waitForSelector("#voice-playback input[type=range], #voice-playback audio");
  // In seconds; or whether it is past so many. The page's policy lets no text be evaluated.
  const position = (past) => {
    const sound = document.querySelector("#voice-playback audio"), place = document.querySelector("#voice-playback input");
    const at = sound ? sound.currentTime : Number(place?.value ?? 0);
    return past ? at > past : at;
  };
  await page.waitForFunction(position, 1.5, { polling: 100 });
  const played = await page.evaluate(position);
  const loud = await hear(page, 30);
  if (options.shot) await page.screenshot({ path: options.shot, fullPage: true });
  await page.evaluate(() => {
    const sound = document.querySelector("#voice-playback audio"), place = document.querySelector("#voice-playback input");
    if (sound) { sound.currentTime = sound.duration * 0.75; return; }
    place.value = Number(place.max) * 0.75;
    place.dispatchEvent(new Event("change"));
  });
  await page.waitForTimeout(1000);
  const sought = await page.evaluate(position);
  const told = await page.innerText("#voice-playback");
  say("report", { played, sought, loud, told, wav: await page.evaluate(() => Boolean(document.querySelector("#voice-playback audio"))), errors });
}

/** Tests the page's captions: what they show of growing cues, and whether a word ever moves. */
async function growCaptions(page, url) {
  await page.goto(url);
  say("report", await page.evaluate(async () => {
    const { Overlay } = await import("/page/captions.js");
    const screen = document.body.appendChild(document.createElement("div"));
    screen.id = "screen";
    screen.style.width = "640px";
    const [box, menu, size] = ["div", "select", "select"].map((tag) => screen.appendChild(document.createElement(tag)));
    box.id = "overlay";
    size.append(new Option("4", "4"));
    const overlay = new Overlay(box, menu, size);
    overlay.message({ type: "hello", languages: [{ tag: "en", name: "English", original: true }] });
    const steps = [], words = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen " +
      "seventeen eighteen nineteen twenty twenty-one twenty-two twenty-three twenty-four twenty-five twenty-six";
    const all = words.split(" "), seen = new Map();
    let moved = 0, lines = 0;
    const say = (stage, from, to) => {
      overlay.message({ type: "cue", language: "en", stage, text: all.slice(from, to).join(" "), start_ms: 0, end_ms: 1, age_ms: 100 });
      const spans = [...box.querySelectorAll("span")];
      const rows = [...new Set(spans.map((s) => s.offsetTop))];
      lines = Math.max(lines, Math.round(box.clientHeight / parseFloat(getComputedStyle(box).lineHeight) - 0.3));
      // A word keeps its place in its line, and its line leaves only at the top.
      for (const s of spans) {
        const at = { x: s.offsetLeft, fromEnd: rows.length - rows.indexOf(s.offsetTop) };
        const before = seen.get(s);
        if (before && (before.x !== at.x || at.fromEnd < before.fromEnd)) moved += 1;
        seen.set(s, at);
      }
      steps.push(spans.map((s) => s.className ? `(${s.textContent.trim()})` : s.textContent.trim()).join(" "));
    };
    for (let cue = 0; cue < all.length; cue += 4) {
      for (const heard of [1, 3, 4]) say("partial", cue, Math.min(cue + heard, all.length));
      say("committed", cue, Math.min(cue + 4, all.length));
    }
    return { first: steps.slice(0, 5), last: steps.at(-1), moved, lines };
  }));
}

async function main() {
  const [mode, url] = positionals;
  if (!["whep", "whip", "hls", "page", "voice", "listen", "overlay"].includes(mode) || !url) {
    console.error("usage: browser.mjs whep|whip|hls|page|voice|listen|overlay URL [--token T] [--seconds N]");
    return 2;
  }
  const server = await serve();
  const browser = await launch();
  try {
    // A secure context is needed for getUserMedia; 127.0.0.1 is one.
    const page = await browser.newPage();
    if (mode === "overlay") {
      await growCaptions(page, url);
      return 0;
    }
    if (mode === "voice") {
      await playVoice(page, url, Number(options.patience) * 1000);
      return 0;
    }
    if (mode === "listen") {
      await listenOnPage(page, url, Number(options.patience) * 1000);
      return 0;
    }
    if (mode === "page") {
      await usePage(page, url, Number(options.patience) * 1000);
      return 0;
    }
    page.on("pageerror", (error) => say("page_error", { error: String(error) }));
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    const { token, codec, only, scalability, layers, eager, captions } = options;
    const begin = { mode, url, token, codec, only, scalability, layers, eager, captions };
    const refused = await page.evaluate((b) => window.begin(b), begin);
    if (refused) {
      say("refused", refused);
      return 3;
    }
    const patience = Number(options.patience) * 1000;
    try {
      await page.waitForFunction(() => window.started(), null, { timeout: patience, polling: 50 });
    } catch {
      say("failed", { error: "no media", ...(await page.evaluate(() => window.report())) });
      return 4;
    }
    const first = await page.evaluate(() => window.report());
    say(mode === "whip" ? "publishing" : "playing", first);
    const ticker = setInterval(async () => {
      const now = await page.evaluate(() => window.report()).catch(() => null);
      if (now) say("progress", now);
    }, 500);
    process.stdin.on("data", async (text) => {
      const [command, seconds] = String(text).trim().split(" ");
      if (command === "restart") {
        const result = await page.evaluate(() => window.restart()).catch((e) => ({ error: String(e) }));
        say(result.error ? "failed" : "restarted", result);
      }
      if (command === "stop" || command === "send") {
        const layer = await page.evaluate(([rid, active]) => window.setLayer(rid, active), [seconds, command === "send"]).catch((e) => ({ error: String(e) }));
        say(layer.error ? "failed" : "layer", layer);
      }
      if (command === "back" || command === "live") {
        const back = command === "live" ? null : Number(seconds);
        const result = await page.evaluate((b) => window.seek(b), back).catch((e) => ({ error: String(e) }));
        say(result.error ? "failed" : "sought", result);
      }
    });
    await untilTold(Number(options.seconds));
    clearInterval(ticker);
    say("report", { first_frame_ms: first.first_frame_ms, ...(await page.evaluate(() => window.report())) });
    await page.evaluate(() => window.end());
    return 0;
  } finally {
    await browser.close();
    server.close();
  }
}

/** Exits after all output is written: a report of many captions is longer than a pipe's buffer. */
const leave = (code) => process.stdout.write("", () => process.exit(code));

main().then(leave, (error) => {
  say("failed", { error: String(error) });
  leave(4);
});
