//! Viewers made of str0m, on a thread of their own. The first ones decrypt all that comes and report;
//! the others count, so that a crowd that is larger than this machine's other cores can be served.

use std::io::IoSliceMut;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use auralink_sfu::{Credentials, LocalEnd, Terms, TrackTerms};
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSockRef, UdpSocketState};
use str0m::format::{Codec, FormatParams};
use str0m::media::{Frequency, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, IceCreds, Input, Output, Rtc};

use crate::stream;

/// Viewers that decrypt: their cost leaves the shard a core of its own.
const DECRYPTING: usize = 100;

/// Time between two looks at all sockets: as good as lateness is measured.
const TURN: Duration = Duration::from_millis(1);

/// Kernel buffer of a viewer: GRO hands over frames as one.
pub(crate) const RECEIVE_BUFFER_BYTES: usize = 1 << 20;

const VIDEO: u8 = 96;
const RTX: u8 = 97;
const SOUND: u8 = 111;

/// What the viewers have received.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) packets: u64,
    late_ms: Vec<f64>,
}

impl Seen {
    /// A quantile of the time from the source to the viewer, in ms.
    pub(crate) fn late_ms(&self, quantile: f64) -> f64 {
        let at = (self.late_ms.len() as f64 * quantile) as usize;
        self.late_ms.get(at).copied().unwrap_or(f64::NAN)
    }
}

struct Viewer {
    rtc: Rtc,
    socket: UdpSocket,
    state: UdpSocketState,
    at: SocketAddr,
    next: Instant,
    is_connected: bool,
    decrypts: bool,
    seen: Seen,
}

pub(crate) struct Crowd(Vec<Viewer>);

/// A crowd that watches on its thread.
pub(crate) struct Watching {
    thread: JoinHandle<Vec<Viewer>>,
    shared: Arc<Shared>,
    connected: mpsc::Receiver<()>,
    count: usize,
}

#[derive(Default)]
struct Shared {
    ends: AtomicBool,
    /// Rises when what was counted is to be forgotten.
    epoch: AtomicUsize,
}

impl Crowd {
    pub(crate) fn new(count: usize) -> Self {
        Self((0..count).map(|n| Viewer::new(n < DECRYPTING)).collect())
    }

    /// What each viewer tells the engine.
    pub(crate) fn terms(&mut self) -> Vec<Terms> {
        self.0.iter_mut().map(Viewer::terms).collect()
    }

    /// Takes the engine's answers.
    pub(crate) fn accept<'a>(&mut self, locals: impl Iterator<Item = &'a LocalEnd>) {
        self.0.iter_mut().zip(locals).for_each(|(viewer, local)| viewer.accept(local));
    }

    /// Begins to watch.
    pub(crate) fn watch(self) -> Watching {
        let count = self.0.len();
        let shared = Arc::new(Shared::default());
        let (tell, connected) = mpsc::channel();
        let (theirs, mut viewers) = (Arc::clone(&shared), self.0);
        let mut buffers = vec![vec![0; 64 << 10]; BATCH_SIZE];
        let run = move || {
            let mut epoch = 0;
            while !theirs.ends.load(Ordering::Relaxed) {
                let begun = Instant::now();
                let now = theirs.epoch.load(Ordering::Relaxed);
                if std::mem::replace(&mut epoch, now) != now {
                    viewers.iter_mut().for_each(|viewer| viewer.seen = Seen::default());
                }
                for viewer in &mut viewers {
                    let before = viewer.is_connected;
                    viewer.turn(&mut buffers);
                    if viewer.is_connected && !before {
                        let _ = tell.send(());
                    }
                }
                std::thread::sleep(TURN.saturating_sub(begun.elapsed()));
            }
            viewers
        };
        let thread = std::thread::Builder::new().name("crowd".into()).spawn(run).expect("a thread");
        Watching { thread, shared, connected, count }
    }
}

impl Watching {
    /// Waits until media can flow to all.
    pub(crate) fn wait_connected(&self) {
        for _ in 0..self.count {
            self.connected.recv_timeout(Duration::from_secs(60)).expect("all connect");
        }
    }

    /// Counts from now on.
    pub(crate) fn clear(&self) {
        // What was pushed before has arrived.
        std::thread::sleep(Duration::from_millis(100));
        self.shared.epoch.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(20));
    }

    /// Ends the crowd; returns what has come since the last [`Self::clear`].
    pub(crate) fn finish(self) -> Seen {
        std::thread::sleep(Duration::from_millis(300));
        self.shared.ends.store(true, Ordering::Relaxed);
        let mut all = Seen::default();
        for viewer in self.thread.join().expect("it ends") {
            all.packets += viewer.seen.packets;
            all.late_ms.extend(viewer.seen.late_ms);
        }
        all.late_ms.sort_by(f64::total_cmp);
        all
    }
}

impl Viewer {
    fn new(decrypts: bool) -> Self {
        let now = Instant::now();
        let socket = UdpSocket::bind((own_address(), 0)).expect("a port is free");
        let state = UdpSocketState::new(UdpSockRef::from(&socket)).expect("a socket");
        let _ = state.set_recv_buffer_size(UdpSockRef::from(&socket), RECEIVE_BUFFER_BYTES);
        let at = socket.local_addr().expect("bound");
        let mut config = Rtc::builder().set_rtp_mode(true).clear_codecs();
        for (pt, rtx, codec, hz) in
            [(VIDEO, Some(RTX), Codec::H264, 90_000), (SOUND, None, Codec::Opus, 48_000)]
        {
            let hz = Frequency::new(hz).expect("not zero");
            let channels = (codec == Codec::Opus).then_some(2);
            let (rtx, format) = (rtx.map(Into::into), FormatParams::default());
            config.codec_config().add_config(pt.into(), rtx, codec, hz, channels, format);
        }
        let mut rtc = config.build(now);
        rtc.add_local_candidate(Candidate::host(at, "udp").expect("an address"));
        rtc.direct_api().set_ice_controlling(true);
        let seen = Seen::default();
        Self { rtc, socket, state, at, next: now, is_connected: false, decrypts, seen }
    }

    fn terms(&mut self) -> Terms {
        let api = self.rtc.direct_api();
        let own = api.local_ice_credentials();
        let certificate = api.local_dtls_fingerprint().to_string();
        let (hash, value) = certificate.split_once(' ').expect("two words");
        let track = |is_video, payload_type, rtx, clock_rate_hz| TrackTerms {
            is_video,
            payload_type,
            rtx,
            clock_rate_hz,
            nack: is_video,
            capture_time_id: None,
        };
        Terms {
            remote: Credentials { ufrag: own.ufrag, password: own.pass },
            fingerprint: (hash.into(), value.into()),
            is_active: false,
            tracks: vec![track(true, VIDEO, Some(RTX), 90_000), track(false, SOUND, None, 48_000)],
            has_data: false,
            congestion: None,
        }
    }

    fn accept(&mut self, local: &LocalEnd) {
        for address in &local.addresses {
            let candidate = Candidate::host(*address, "udp").expect("an address");
            self.rtc.add_remote_candidate(candidate);
        }
        let (hash, value) = &local.fingerprint;
        let mut api = self.rtc.direct_api();
        let credentials = &local.credentials;
        let (ufrag, pass) = (credentials.ufrag.clone(), credentials.password.clone());
        api.set_remote_ice_credentials(IceCreds { ufrag, pass });
        api.set_remote_fingerprint(format!("{hash} {value}").parse().expect("a fingerprint"));
        for (kind, track) in [MediaKind::Video, MediaKind::Audio].into_iter().zip(&local.tracks) {
            let mid = Mid::from(if kind == MediaKind::Video { "v" } else { "a" });
            api.declare_media(mid, kind);
            api.expect_stream_rx(track.ssrc.into(), track.rtx_ssrc.map(Into::into), mid, None);
        }
        api.start_dtls(true).expect("DTLS starts");
    }

    fn turn(&mut self, buffers: &mut [Vec<u8>]) {
        let is_due = self.next <= Instant::now();
        let got = self.receive(buffers);
        if got || is_due {
            let now = Instant::now();
            self.rtc.handle_input(Input::Timeout(now)).expect("it is alive");
            self.drain();
        }
    }

    /// Takes what has come; whether str0m was given something.
    fn receive(&mut self, buffers: &mut [Vec<u8>]) -> bool {
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        let mut slices: Vec<IoSliceMut<'_>> =
            buffers.iter_mut().map(|b| IoSliceMut::new(b)).collect();
        let Ok(count) = self.state.recv(UdpSockRef::from(&self.socket), &mut slices, &mut metas)
        else {
            return false;
        };
        let mut given = false;
        for (meta, buffer) in metas.iter().zip(buffers.iter()).take(count) {
            for datagram in buffer[..meta.len].chunks(meta.stride.max(1)) {
                if !self.decrypts && is_media(datagram) {
                    self.seen.packets += 1;
                    continue;
                }
                let now = Instant::now();
                if let Ok(r) = Receive::new(Protocol::Udp, meta.addr, self.at, datagram) {
                    self.rtc.handle_input(Input::Receive(now, r)).expect("it is alive");
                    self.drain();
                    given = true;
                }
            }
        }
        given
    }

    fn drain(&mut self) {
        loop {
            match self.rtc.poll_output().expect("it is alive") {
                Output::Timeout(next) => {
                    self.next = next;
                    return;
                }
                Output::Transmit(t) => {
                    let _ = self.socket.send_to(&t.contents, t.destination);
                }
                Output::Event(Event::Connected) => self.is_connected = true,
                Output::Event(Event::RtpPacket(packet)) => {
                    self.seen.packets += 1;
                    let age = stream::age(&packet.payload);
                    self.seen.late_ms.extend(age.map(|age| age.as_secs_f64() * 1e3));
                }
                Output::Event(_) => {}
            }
        }
    }
}

/// Whether a datagram is RTP, not RTCP (RFC 5761 section 4), STUN or DTLS (RFC 7983).
fn is_media(datagram: &[u8]) -> bool {
    matches!(datagram, [first, second, ..] if (128..192).contains(first) && !(192..224).contains(second))
}

/// An address of this machine that is not loopback: the engine does not use that.
pub(crate) fn own_address() -> std::net::IpAddr {
    // No packet is sent: the system only looks for the way.
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a port is free");
    socket.connect("192.0.2.1:9").expect("a network");
    socket.local_addr().expect("bound").ip()
}
