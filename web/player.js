// A WHEP player with a level meter, captions and qualities.

// From the epoch of NTP, 1900, to that of Unix.
const NTP_EPOCH_MS = 2_208_988_800_000;

export class Player {
  constructor(video, meter, captions, quality, say) {
    Object.assign(this, { video, meter, captions, quality, say });
  }

  get playing() { return Boolean(this.peer); }

  async start(url, token) {
    const peer = this.peer = new RTCPeerConnection();
    const stream = new MediaStream();
    this.headers = token ? { Authorization: `Bearer ${token}` } : {};
    askForCaptureTimes(peer.addTransceiver("video", { direction: "recvonly" }));
    peer.addTransceiver("audio", { direction: "recvonly" });
    this.captions.attach(peer.createDataChannel("captions", { protocol: "auralink-captions" }));
    this.quality.attach(peer.createDataChannel("quality"));
    peer.ontrack = ({ track, receiver }) => {
      // Live before smooth: the browser holds back no more than its network needs.
      receiver.jitterBufferTarget = 0;
      stream.addTrack(track);
      this.video.srcObject = stream;
      this.video.play().catch(() => {});
      if (track.kind === "audio") this.showLevel(stream);
    };
    peer.onconnectionstatechange = () => {
      if (peer !== this.peer) return;
      this.say(peer.connectionState);
      if (peer.connectionState === "connected") this.restarts = 0;
      if (peer.connectionState === "closed") this.stop();
      if (peer.connectionState === "failed") this.reconnect(peer);
    };
    try {
      await peer.setLocalDescription(await peer.createOffer());
      await gathered(peer);
      const response = await fetch(url, {
        method: "POST", body: peer.localDescription.sdp, headers: { ...this.headers, "Content-Type": "application/sdp" },
      });
      if (!response.ok) {
        const problem = await response.json().catch(() => ({ message: response.statusText }));
        throw new Error(problem.hint ? `${problem.message}. ${problem.hint}.` : problem.message);
      }
      this.session = new URL(response.headers.get("Location"), new URL(url, location.href)).pathname;
      await peer.setRemoteDescription({ type: "answer", sdp: await response.text() });
      this.timer = setInterval(() => this.showFacts(), 1000);
    } catch (error) {
      this.stop();
      throw error;
    }
  }

  // The way to the appliance is gone (another network, a router that forgot): another one is looked for,
  // three times, before the player gives up.
  async reconnect(peer) {
    try {
      if (!this.session || (this.restarts = (this.restarts ?? 0) + 1) > 3) throw new Error("no way to the appliance");
      this.say("reconnecting");
      await restart(peer, this.session, this.headers);
    } catch {
      if (peer === this.peer) this.stop();
    }
  }

  stop() {
    clearInterval(this.timer);
    cancelAnimationFrame(this.frame);
    if (this.session) fetch(this.session, { method: "DELETE", headers: this.headers, keepalive: true }).catch(() => {});
    this.captions.attach(null);
    this.quality.attach(null);
    this.peer?.close();
    this.context?.close();
    this.video.srcObject = null;
    this.session = this.peer = this.context = null;
    this.meter.getContext("2d").clearRect(0, 0, this.meter.width, this.meter.height);
    this.say("");
  }

  async showFacts() {
    if (!this.peer) return;
    let text = "";
    for (const report of (await this.peer.getStats()).values()) {
      if (report.type !== "inbound-rtp" || report.kind !== "video") continue;
      text = `${report.frameWidth ?? 0}×${report.frameHeight ?? 0}, ${Math.round(report.framesPerSecond ?? 0)} fps, ${report.packetsLost} lost`;
    }
    const late = lateMs(this.peer);
    if (late !== null) text += `, ${late} ms after it came`;
    if (text) this.say(text);
  }

  // Peak of the last frame in dBFS, -60 to 0, drawn as a bar; it is measured even while muted.
  showLevel(stream) {
    this.context = new AudioContext();
    const analyser = this.context.createAnalyser();
    analyser.fftSize = 2048;
    this.context.createMediaStreamSource(new MediaStream(stream.getAudioTracks())).connect(analyser);
    const samples = new Float32Array(analyser.fftSize), canvas = this.meter.getContext("2d");
    let shown = -60;
    const draw = () => {
      analyser.getFloatTimeDomainData(samples);
      const peak = samples.reduce((max, s) => Math.max(max, Math.abs(s)), 0);
      shown = Math.max(20 * Math.log10(peak + 1e-6), shown - 1, -60);
      const { width, height } = this.meter;
      canvas.clearRect(0, 0, width, height);
      canvas.fillStyle = shown > -3 ? "#dc2626" : shown > -12 ? "#d97706" : "#16a34a";
      canvas.fillRect(0, 0, width * (1 + shown / 60), height);
      this.meter.title = `${shown.toFixed(0)} dBFS`;
      this.frame = requestAnimationFrame(draw);
    };
    draw();
  }
}

// Time from the arrival of a picture at the appliance to now, by the clocks of both; null where they are
// apart or the browser does not say.
function lateMs(peer) {
  const picture = peer.getReceivers().find((receiver) => receiver.track.kind === "video");
  const captured = picture?.getSynchronizationSources()[0]?.captureTimestamp;
  const late = captured ? Math.round(Date.now() + NTP_EPOCH_MS - captured) : -1;
  return late >= 0 && late < 10_000 ? late : null;
}

// Browsers offer this extension only when asked to.
function askForCaptureTimes(transceiver) {
  const wanted = (extension) => extension.uri.endsWith("/abs-capture-time")
    ? { ...extension, direction: "sendrecv" } : extension;
  const extensions = transceiver.getHeaderExtensionsToNegotiate?.();
  if (extensions) transceiver.setHeaderExtensionsToNegotiate(extensions.map(wanted));
}

// Restarts ICE by PATCH (RFC 9725 section 4.3.2): what concerns ICE goes there, the server's part of it
// comes back into the answer that we have.
async function restart(peer, session, headers) {
  peer.restartIce();
  await peer.setLocalDescription(await peer.createOffer());
  await gathered(peer);
  const lines = (sdp) => sdp.split(/\r?\n/);
  const ice = (line) => /^(a=(ice-ufrag|ice-pwd|mid|candidate|end-of-candidates|group)|m=)/.test(line);
  const response = await fetch(session, {
    method: "PATCH", headers: { ...headers, "Content-Type": "application/trickle-ice-sdpfrag", "If-Match": "*" },
    body: lines(peer.localDescription.sdp).filter(ice).join("\r\n") + "\r\n",
  });
  if (response.status !== 200) throw new Error(response.statusText);
  const theirs = lines(await response.text());
  const told = (name) => theirs.find((line) => line.startsWith(`a=${name}:`));
  const candidates = theirs.filter((line) => line.startsWith("a=candidate:")).join("\r\n");
  const sdp = peer.remoteDescription.sdp
    .replace(/a=candidate:[^\r\n]*(\r\na=candidate:[^\r\n]*)*/, candidates)
    .replace(/a=ice-ufrag:.*/g, told("ice-ufrag"))
    .replace(/a=ice-pwd:.*/g, told("ice-pwd"));
  await peer.setRemoteDescription({ type: "answer", sdp });
}

// Candidates go along with the offer; on a local network they are there at once.
function gathered(peer) {
  return new Promise((done) => {
    if (peer.iceGatheringState === "complete") return done();
    const timer = setTimeout(done, 1000);
    peer.onicegatheringstatechange = () => {
      if (peer.iceGatheringState === "complete") { clearTimeout(timer); done(); }
    };
  });
}
