// The page that browser.mjs drives: WHEP player, WHIP publisher and hls.js player.
"use strict";

const video = document.getElementById("video");
const seen = { frames: 0, flashes: [], luma: 0, lit: true, errors: [], languages: [], cues: [] };
let pc = null;
let hls = null;
let resource = null;
let headers = {};
let only = null;
let began = 0;
let stats = {};

/** A publisher's picture in three sizes. Without a mode, Chromium sends VP9 and AV1 in one. */
const LAYERS = [
  { rid: "q", scalabilityMode: "L1T1", scaleResolutionDownBy: 4, maxBitrate: 150_000 },
  { rid: "h", scalabilityMode: "L1T1", scaleResolutionDownBy: 2, maxBitrate: 400_000 },
  { rid: "f", scalabilityMode: "L1T1", scaleResolutionDownBy: 1, maxBitrate: 1_200_000 },
];

/** Starts; returns null, or the server's answer if it refused. */
window.begin = async ({ mode, url, token, codec, only: kind, scalability, layers, eager, captions }) => {
  began = performance.now();
  only = kind;
  headers = token ? { Authorization: `Bearer ${token}` } : {};
  watchFrames();
  if (mode === "hls") return playHls(url);
  pc = new RTCPeerConnection();
  if (mode === "whep") {
    const picture = pc.addTransceiver("video", { direction: "recvonly" });
    pc.addTransceiver("audio", { direction: "recvonly" });
    prefer(picture, RTCRtpReceiver, codec);
    askForCaptureTimes(picture);
    if (captions) readCaptions();
    pc.ontrack = (event) => {
      // Low latency before smoothness, as on the appliance's own page.
      if (eager) event.receiver.jitterBufferTarget = 0;
      video.srcObject = event.streams[0] ?? new MediaStream([event.track]);
    };
  } else {
    const media = await navigator.mediaDevices.getUserMedia({
      // Chromium sends as many layers as suit the picture.
      video: layers ? { width: 1280, height: 720, frameRate: 15 } : { width: 640, height: 480, frameRate: 30 },
      audio: true,
    });
    for (const track of media.getTracks()) {
      const encodings = layers ? LAYERS : scalability ? [{ scalabilityMode: scalability }] : null;
      const sendEncodings = track.kind === "video" && encodings ? { sendEncodings: encodings } : {};
      const sender = pc.addTransceiver(track, { direction: "sendonly", streams: [media], ...sendEncodings });
      if (track.kind === "video") prefer(sender, RTCRtpSender, codec);
    }
  }
  setInterval(readStats, 200);
  return negotiate(url);
};

/** Records messages on the data channel of captions. */
function readCaptions() {
  const channel = pc.createDataChannel("captions", { protocol: "auralink-captions" });
  channel.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    if (message.type === "hello") seen.languages = message.languages.map((l) => l.tag);
    else seen.cues = [...seen.cues, message].slice(-100);
  };
}

/** The header extension abs-capture-time, which browsers offer only when asked to. */
function askForCaptureTimes(transceiver) {
  const extensions = transceiver.getHeaderExtensionsToNegotiate?.() ?? [];
  for (const extension of extensions) {
    if (extension.uri.endsWith("/abs-capture-time")) extension.direction = "sendrecv";
  }
  if (extensions.length) transceiver.setHeaderExtensionsToNegotiate(extensions);
}

/** Time since the last picture was captured, in ms, as the sender's header extension says. */
function captured() {
  const picture = pc.getReceivers().find((receiver) => receiver.track.kind === "video");
  const at = picture?.getSynchronizationSources()[0]?.captureTimestamp;
  return at ? Date.now() + 2_208_988_800_000 - at : null;
}

function prefer(transceiver, side, codec) {
  if (!codec) return;
  const wanted = new RegExp(`^video/(${codec}|rtx)$`, "i");
  const codecs = side.getCapabilities("video").codecs.filter((c) => wanted.test(c.mimeType));
  transceiver.setCodecPreferences(codecs);
}

/** Trickle ICE is optional for clients: waits for gathering, which is instant on one machine. */
function gathered() {
  return new Promise((done) => {
    if (pc.iceGatheringState === "complete") return done();
    pc.addEventListener("icegatheringstatechange", () => pc.iceGatheringState === "complete" && done());
    setTimeout(done, 2000);
  });
}

/** Leaves candidates of one kind: the appliance makes no checks of its own, so that no others are used. */
function reachable(sdp) {
  const kinds = { tcp: / tcp /i, ipv6: /:[\da-f]*:/i };
  const fits = (line) => !only || !line.startsWith("a=candidate:") || kinds[only].test(line.slice("a=candidate:".length));
  return sdp.split("\r\n").filter(fits).join("\r\n");
}

async function negotiate(url) {
  await pc.setLocalDescription(await pc.createOffer());
  await gathered();
  const answer = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/sdp", ...headers },
    body: pc.localDescription.sdp,
  });
  const body = await answer.text();
  if (answer.status !== 201) return { status: answer.status, body };
  const location = answer.headers.get("Location");
  if (location) resource = new URL(location, answer.url).href;
  await pc.setRemoteDescription({ type: "answer", sdp: reachable(body) });
  return null;
}

/** Our port and the appliance's address of the selected candidate pair. */
async function way() {
  const all = await pc.getStats();
  const transport = [...all.values()].find((s) => s.type === "transport");
  // Firefox marks the pair instead.
  const pair = all.get(transport?.selectedCandidatePairId) ?? [...all.values()].find((s) => s.selected);
  const [local, remote] = [all.get(pair?.localCandidateId), all.get(pair?.remoteCandidateId)];
  return { protocol: remote?.protocol, local_port: local?.port, remote: remote?.address, remote_port: remote?.port };
}

/** Restarts ICE (RFC 9725 section 4.3.2) from new ports, and waits until media uses them. */
window.restart = async () => {
  const before = await way();
  pc.restartIce();
  await pc.setLocalDescription(await pc.createOffer());
  await gathered();
  const lines = (sdp) => sdp.split(/\r?\n/);
  const ice = (line) => /^(a=(ice-ufrag|ice-pwd|mid|candidate|end-of-candidates|group)|m=)/.test(line);
  const sent = performance.now();
  const answer = await fetch(resource, {
    method: "PATCH",
    headers: { "Content-Type": "application/trickle-ice-sdpfrag", "If-Match": "*", ...headers },
    body: lines(pc.localDescription.sdp).filter(ice).join("\r\n") + "\r\n",
  });
  const body = await answer.text();
  if (answer.status !== 200) return { error: `${answer.status} ${body}` };
  const told = (name) => lines(body).find((l) => l.startsWith(`a=${name}:`));
  const candidates = lines(body).filter((l) => l.startsWith("a=candidate:")).join("\r\n");
  const sdp = pc.remoteDescription.sdp
    .replace(/a=candidate:[^\r\n]*(\r\na=candidate:[^\r\n]*)*/, candidates)
    .replace(/a=ice-ufrag:.*/g, told("ice-ufrag"))
    .replace(/a=ice-pwd:.*/g, told("ice-pwd"));
  await pc.setRemoteDescription({ type: "answer", sdp: reachable(sdp) });
  for (;;) {
    const after = await way();
    const moved = after.local_port && after.local_port !== before.local_port;
    if (moved && pc.connectionState === "connected") {
      return { before, after, etag: answer.headers.get("ETag"), took_ms: performance.now() - sent };
    }
    if (performance.now() - sent > 15000) return { error: "no new way", before, after };
    await new Promise((done) => setTimeout(done, 50));
  }
};

/** Stops a layer of the picture that is published, as a thin line does, or sends it again. */
window.setLayer = async (rid, active) => {
  const sender = pc.getSenders().find((s) => s.track.kind === "video");
  const parameters = sender.getParameters();
  for (const encoding of parameters.encodings) if (encoding.rid === rid) encoding.active = active;
  await sender.setParameters(parameters);
  return { rid, active };
};

function playHls(url) {
  hls = new Hls({
    lowLatencyMode: false,
    xhrSetup: (xhr) => { for (const [k, v] of Object.entries(headers)) xhr.setRequestHeader(k, v); },
  });
  hls.on(Hls.Events.ERROR, (_, e) => { seen.errors.push(`${e.type} ${e.details} fatal=${e.fatal}`); });
  hls.loadSource(url);
  hls.attachMedia(video);
  return null;
}

/** Seeks so many seconds back, or with null to the live edge, and waits until a second has been shown there. */
window.seek = async (back) => {
  const begun = performance.now();
  const { start, end } = { start: video.seekable.start(0), end: video.seekable.end(0) };
  const target = back === null ? hls.liveSyncPosition : Math.max(start + 0.1, end - back);
  const { totalVideoFrames: before } = video.getVideoPlaybackQuality();
  video.currentTime = target;
  while (video.seeking || video.currentTime < target + 1) {
    if (performance.now() - begun > 60000) return { error: "it does not play there", target, position_s: video.currentTime, errors: seen.errors };
    await new Promise((done) => setTimeout(done, 50));
  }
  const frames = video.getVideoPlaybackQuality().totalVideoFrames - before;
  const date = hls.playingDate?.getTime();
  return { window_s: end - start, target, position_s: video.currentTime, frames, behind_s: (Date.now() - date) / 1000, errors: seen.errors };
};

/** Records each displayed frame, and the wall-clock time at which a flash begins. */
function watchFrames() {
  const canvas = new OffscreenCanvas(16, 16);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const onFrame = (now, meta) => {
    context.drawImage(video, 0, 0, 16, 16);
    const pixels = context.getImageData(0, 0, 16, 16).data;
    let sum = 0;
    for (let i = 0; i < pixels.length; i += 4) sum += pixels[i + 1];
    seen.luma = sum / 256;
    const lit = seen.luma > 170;
    if (lit && !seen.lit) {
      seen.flashes.push({ wall: (performance.timeOrigin + now) / 1000, media: meta.mediaTime });
    }
    seen.lit = lit;
    if (seen.frames++ === 0) {
      seen.first = performance.now() - began;
      seen.began = (performance.timeOrigin + now) / 1000;
    }
    video.requestVideoFrameCallback(onFrame);
  };
  video.requestVideoFrameCallback(onFrame);
}

async function readStats() {
  const found = { capture_age_ms: captured() };
  for (const s of (await pc.getStats()).values()) {
    if (s.type === "inbound-rtp" && s.kind === "video") {
      Object.assign(found, {
        decoded: s.framesDecoded, dropped: s.framesDropped, video_lost: s.packetsLost,
        freezes: s.freezeCount, nacks: s.nackCount, again: s.retransmittedPacketsReceived, size: `${s.frameWidth}x${s.frameHeight}`,
        jitter_buffer_ms: s.jitterBufferEmittedCount
          ? (1000 * s.jitterBufferDelay) / s.jitterBufferEmittedCount : null,
      });
    }
    if (s.type === "inbound-rtp" && s.kind === "audio") {
      Object.assign(found, {
        energy: s.totalAudioEnergy, audio_s: s.totalSamplesDuration, audio_lost: s.packetsLost,
        concealed: s.concealedSamples, fec: s.fecPacketsReceived,
        audio_buffer_ms: s.jitterBufferEmittedCount
          ? (1000 * s.jitterBufferDelay) / s.jitterBufferEmittedCount : null,
      });
    }
    if (s.type === "outbound-rtp" && s.kind === "video") {
      found.encoded = (found.encoded ?? 0) + s.framesEncoded;
      if (s.rid) found[`layer_${s.rid}`] = { size: `${s.frameWidth}x${s.frameHeight}`, frames: s.framesSent, keys: s.keyFramesEncoded, plis: s.pliCount, nacks: s.nackCount, bytes: s.bytesSent, active: s.active, limited: s.qualityLimitationReason };
    }
    if (s.type === "outbound-rtp" && s.kind === "audio") found.audio_packets = s.packetsSent;
    if (s.type === "codec") found[`codec_${s.mimeType.split("/")[0]}`] = s.mimeType.split("/")[1];
  }
  stats = found;
}

/** Whether media flows: frames displayed, or frames sent by a connected publisher. */
window.started = () =>
  seen.frames > 0 || (pc?.connectionState === "connected" && (stats.encoded ?? 0) > 0);

window.report = () => ({
  state: pc?.connectionState,
  frames: hls ? video.getVideoPlaybackQuality().totalVideoFrames : seen.frames,
  first_frame_ms: seen.first,
  began_wall: seen.began,
  luma: seen.luma,
  flashes: seen.flashes,
  errors: seen.errors,
  languages: seen.languages,
  cues: seen.cues,
  position_s: video.currentTime,
  // Whether audio is decoded, if getStats does not report it.
  audio_bytes: video.webkitAudioDecodedByteCount,
  ...stats,
});

window.end = async () => {
  if (hls) hls.destroy();
  if (resource) await fetch(resource, { method: "DELETE", headers }).catch(() => null);
  if (pc) pc.close();
};
