//! Sessions and the engine against a player made of str0m.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use str0m::format::{Codec, FormatParams};
use str0m::media::{Frequency, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, IceCreds, Input, Output, Rtc};

use super::error::{Ended, Path};
use super::session::{Happening, Session};
use super::{
    Begin, Change, Connection, Credentials, Engine, LocalEnd, Packet, Settings, Source, Terms,
    TrackTerms,
};

const VIDEO: u8 = 96;
const RTX: u8 = 97;
const CLOCK_RATE_HZ: u32 = 90_000;

/// A player of one video track.
struct Player {
    rtc: Rtc,
    at: SocketAddr,
    is_connected: bool,
    /// Payloads by sequence number, with their times.
    received: BTreeMap<u64, (u32, Vec<u8>)>,
    texts: Vec<String>,
    channel: Option<str0m::channel::ChannelId>,
}

fn mid() -> Mid {
    Mid::from("v")
}

impl Player {
    fn new(at: SocketAddr, now: Instant) -> Self {
        let mut config = Rtc::builder().set_rtp_mode(true).clear_codecs();
        let clock_rate = Frequency::new(CLOCK_RATE_HZ).expect("not zero");
        let format = FormatParams::default();
        let (pt, rtx) = (VIDEO.into(), Some(RTX.into()));
        config.codec_config().add_config(pt, rtx, Codec::H264, clock_rate, None, format);
        let mut rtc = config.build(now);
        rtc.add_local_candidate(Candidate::host(at, "udp").expect("an address"));
        rtc.direct_api().set_ice_controlling(true);
        let (received, texts) = (BTreeMap::new(), Vec::new());
        Self { rtc, at, is_connected: false, received, texts, channel: None }
    }

    /// Its end of the connection, for the appliance.
    fn terms(&mut self) -> Terms {
        let api = self.rtc.direct_api();
        let own = api.local_ice_credentials();
        let certificate = api.local_dtls_fingerprint().to_string();
        let (hash, value) = certificate.split_once(' ').expect("two words");
        Terms {
            remote: Credentials { ufrag: own.ufrag, password: own.pass },
            fingerprint: (hash.into(), value.into()),
            is_active: false,
            tracks: vec![TrackTerms {
                is_video: true,
                payload_type: VIDEO,
                rtx: Some(RTX),
                clock_rate_hz: CLOCK_RATE_HZ,
                nack: true,
                capture_time_id: None,
            }],
            has_data: true,
            congestion: None,
        }
    }

    /// Takes the appliance's answer.
    fn accept(&mut self, local: &LocalEnd) {
        for address in &local.addresses {
            let candidate = Candidate::host(*address, "udp").expect("an address");
            self.rtc.add_remote_candidate(candidate);
        }
        let (hash, value) = &local.fingerprint;
        let fingerprint = format!("{hash} {value}").parse().expect("a fingerprint");
        let mut api = self.rtc.direct_api();
        api.set_remote_ice_credentials(creds(&local.credentials));
        api.set_remote_fingerprint(fingerprint);
        let track = local.tracks[0];
        api.declare_media(mid(), MediaKind::Video);
        api.expect_stream_rx(track.ssrc.into(), track.rtx_ssrc.map(Into::into), mid(), None);
        api.start_dtls(true).expect("DTLS starts");
        api.start_sctp(true);
        let config =
            str0m::channel::ChannelConfig { label: "captions".into(), ..Default::default() };
        self.channel = Some(api.create_data_channel(config));
    }

    fn take(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        let received = Receive::new(Protocol::Udp, from, self.at, datagram).expect("known kinds");
        self.rtc.handle_input(Input::Receive(now, received)).expect("it is alive");
    }

    fn step(&mut self, now: Instant, mut out: impl FnMut(SocketAddr, &[u8])) {
        self.rtc.handle_input(Input::Timeout(now)).expect("it is alive");
        loop {
            match self.rtc.poll_output().expect("it is alive") {
                Output::Timeout(_) => return,
                Output::Transmit(t) => out(t.destination, &t.contents),
                Output::Event(Event::Connected) => self.is_connected = true,
                Output::Event(Event::RtpPacket(p)) => {
                    self.received.insert(*p.seq_no, (p.header.timestamp, p.payload.to_vec()));
                }
                Output::Event(Event::ChannelOpen(id, _)) => {
                    let mut channel = self.rtc.channel(id).expect("it is open");
                    assert!(channel.write(false, b"hello").expect("it is open"));
                }
                Output::Event(Event::ChannelData(data)) => {
                    self.texts.push(String::from_utf8(data.data).expect("text"));
                }
                Output::Event(_) => {}
            }
        }
    }

    fn request_keyframe(&mut self) {
        let mut api = self.rtc.direct_api();
        let stream = api.stream_rx_by_mid(mid(), None).expect("declared");
        stream.request_keyframe(str0m::media::KeyframeRequestKind::Pli);
    }
}

fn creds(credentials: &Credentials) -> IceCreds {
    IceCreds { ufrag: credentials.ufrag.clone(), pass: credentials.password.clone() }
}

fn packet(number: u64, is_start: bool, captured: Instant) -> Packet {
    let payload = number.to_be_bytes().repeat(120).into();
    Packet { number, time: number as u32 * 3000, marker: true, is_start, captured, payload }
}

/// Session and player in a network of their own, where each datagram takes no time.
struct Network {
    session: Session,
    player: Player,
    local: LocalEnd,
    now: Instant,
    happenings: Vec<Happening>,
    /// Datagrams of the session on their way.
    sent: Vec<(Path, Vec<u8>)>,
    media: u64,
    /// Of how many media packets of the session one is lost; 0 for none.
    lost_one_in: u64,
}

impl Network {
    fn new() -> Self {
        let now = Instant::now();
        let mut player = Player::new(([192, 0, 2, 2], 4000).into(), now);
        let provider = str0m::crypto::from_feature_flags();
        let certificate = provider.dtls_provider.generate_certificate().expect("made");
        let at = [([192, 0, 2, 1], 5000).into()];
        let made = Session::new(&player.terms(), (&at, false), &certificate, now);
        let (session, local) = made.expect("the terms are right");
        player.accept(&local);
        let (happenings, sent) = (Vec::new(), Vec::new());
        Self { session, player, local, now, happenings, sent, media: 0, lost_one_in: 0 }
    }

    /// Lets this much time pass.
    fn run(&mut self, time: Duration) -> Result<(), Ended> {
        let until = self.now + time;
        while self.now < until {
            self.now += Duration::from_millis(5);
            let Self { session, player, now, sent, media, lost_one_in, .. } = self;
            session.step(*now, |path, datagram| sent.push((path, datagram.to_vec())))?;
            let mut to_player = Vec::new();
            for (path, datagram) in sent.drain(..) {
                let is_media = (128..192).contains(&datagram[0]) && datagram.len() > 500;
                *media += u64::from(is_media);
                let lost = is_media && *lost_one_in > 0 && media.is_multiple_of(*lost_one_in);
                if !lost && path.remote == player.at {
                    to_player.push((path.local, datagram));
                }
            }
            let mut to_session = Vec::new();
            for (from, data) in to_player {
                player.take(*now, from, &data);
                player.step(*now, |to, data| to_session.push((to, data.to_vec())));
            }
            player.step(*now, |to, data| to_session.push((to, data.to_vec())));
            for (local, data) in to_session {
                session.receive(*now, Path { local, remote: player.at, is_tcp: false }, &data)?;
            }
            self.happenings.extend(session.happenings());
        }
        Ok(())
    }

    fn connect() -> Self {
        let mut network = Self::new();
        network.run(Duration::from_secs(2)).expect("it connects");
        assert!(network.player.is_connected);
        assert!(network.happenings.contains(&Happening::Connected));
        network
    }

    fn send(&mut self, numbers: std::ops::Range<u64>) {
        for number in numbers {
            let packet = packet(number, number % 50 == 0, self.now);
            let mut out = |path, datagram: &[u8]| self.sent.push((path, datagram.to_vec()));
            self.session.send(self.now, 0, &packet, &mut out).expect("room");
            self.run(Duration::from_millis(5)).expect("it is alive");
        }
    }
}

#[test]
fn what_the_network_loses_is_sent_again() {
    let mut network = Network::connect();
    network.lost_one_in = 20;
    network.send(70_000..70_600);
    network.lost_one_in = 0;
    network.run(Duration::from_millis(500)).expect("it is alive");
    let received: Vec<u64> = network.player.received.keys().copied().collect();
    let first = received[0];
    assert!(network.media > 620, "some were lost and sent again: {}", network.media);
    assert_eq!(received, (first..first + 600).collect::<Vec<_>>(), "all came");
    let last = network.player.received.values().last().expect("some");
    assert_eq!(last.1, 70_599_u64.to_be_bytes().repeat(120));
}

#[test]
fn a_number_is_never_used_twice() {
    let mut network = Network::connect();
    network.send(0..10);
    network.send(5..10);
    assert_eq!((network.media, network.player.received.len()), (10, 10));
    network.send(10..12);
    assert_eq!((network.media, network.player.received.len()), (12, 12));
}

#[test]
fn a_key_frame_request_and_texts_are_told() {
    let mut network = Network::connect();
    network.send(0..10);
    network.player.request_keyframe();
    network.run(Duration::from_secs(1)).expect("it is alive");
    assert!(network.happenings.contains(&Happening::KeyframeWanted(0)), "{:?}", network.happenings);
    let opened = Happening::ChannelOpened(0, "captions".into());
    assert!(network.happenings.contains(&opened), "{:?}", network.happenings);
    let text = Happening::ChannelText(0, "hello".into());
    assert!(network.happenings.contains(&text), "{:?}", network.happenings);
    assert!(network.session.send_text(0, "a cue"));
    network.run(Duration::from_secs(1)).expect("it is alive");
    assert_eq!(network.player.texts, ["a cue"]);
}

#[test]
fn a_silent_viewer_is_gone_after_the_consent_time() {
    let mut network = Network::connect();
    let path = network.player.at;
    network.player.at = ([192, 0, 2, 9], 9).into();
    let mut step = |at: u64| network.session.step(network.now + Duration::from_secs(at), |_, _| {});
    assert!(step(25).is_ok(), "{path} may come back");
    assert_eq!(step(31), Err(Ended::Silent));
}

#[test]
fn media_follows_the_viewer_to_a_new_address_after_an_ice_restart() {
    let mut network = Network::connect();
    network.send(0..20);
    let own = IceCreds::new();
    let own = Credentials { ufrag: own.ufrag, password: own.pass };
    // The viewer's agent begins anew on another port.
    let at: SocketAddr = ([192, 0, 2, 2], 4001).into();
    let theirs = IceCreds::new();
    let remote = Credentials { ufrag: theirs.ufrag.clone(), password: theirs.pass.clone() };
    network.session.restart(&own, &remote);
    let old = Candidate::host(network.player.at, "udp").expect("an address");
    network.player.at = at;
    let rtc = &mut network.player.rtc;
    rtc.direct_api().invalidate_candidate(&old);
    rtc.direct_api().set_local_ice_credentials(theirs);
    rtc.direct_api().set_remote_ice_credentials(creds(&own));
    rtc.add_local_candidate(Candidate::host(at, "udp").expect("an address"));
    network.run(Duration::from_secs(3)).expect("it is alive");
    let before = network.player.received.len();
    network.send(20..60);
    assert_eq!(network.player.received.len(), before + 40, "on {:?}", network.local.addresses);
}

/// A player on a real socket, driven by a thread of its own.
struct Remote {
    player: Player,
    socket: UdpSocket,
}

impl Remote {
    fn connect(engine: &Engine) -> (Self, Connection) {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
        socket.set_read_timeout(Some(Duration::from_millis(5))).expect("it can");
        let mut player = Player::new(socket.local_addr().expect("bound"), Instant::now());
        let (connection, local) = engine.open(&player.terms()).expect("the terms are right");
        player.accept(&local);
        (Self { player, socket }, connection)
    }

    /// Plays until something is so, at most 20 s.
    fn until(&mut self, what: &str, enough: impl Fn(&Player) -> bool) {
        let start = Instant::now();
        let mut buffer = [0; 2000];
        while !enough(&self.player) {
            assert!(start.elapsed() < Duration::from_secs(20), "{what}");
            let Self { player, socket } = self;
            player.step(Instant::now(), |to, data| {
                socket.send_to(data, to).expect("it is sent");
            });
            if let Ok((len, from)) = socket.recv_from(&mut buffer) {
                player.take(Instant::now(), from, &buffer[..len]);
            }
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().expect("starts")
}

#[test]
fn viewers_of_an_engine_share_a_source_and_strangers_do_not_disturb() {
    let addresses = vec![[127, 0, 0, 1].into()];
    let settings = Settings { ports: (0, 0), addresses, shards: 1, tcp: true };
    let engine = Engine::start(settings).expect("a port is free");
    let port = engine.ports().next().expect("one shard");
    let source = Source::new();
    let now = Instant::now();
    source.push((0..4).map(|n| packet(n, n == 1, now)).collect());
    let (mut one, first) = Remote::connect(&engine);
    let (mut two, second) = Remote::connect(&engine);
    for (remote, connection) in [(&mut one, &first), (&mut two, &second)] {
        remote.until("it connects", |p| p.is_connected);
        assert!(matches!(runtime().block_on(connection.changed()), Change::Connected));
        connection.play(0, &source, Begin::AtOnce).expect("room");
        remote.until("the group of pictures is there", |p| p.received.len() == 3);
        let times: Vec<u32> = remote.player.received.values().map(|(time, _)| *time).collect();
        assert_eq!(times, [8820, 8910, 9000], "squeezed to the live edge");
    }
    let stranger = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    for n in 0..2000_u32 {
        let kind = [0_u8, 1, 22, 128][n as usize % 4];
        let mut datagram = vec![kind; 100];
        datagram[2..6].copy_from_slice(&n.to_be_bytes());
        let _ = stranger.send_to(&datagram, ("127.0.0.1", port));
    }
    source.push((4..8).map(|n| packet(n, false, now)).collect());
    one.until("live packets come", |p| p.received.len() == 7);
    two.until("live packets come", |p| p.received.len() == 7);

    // Another quality: the old one goes on until the first key frame of the new.
    let other = Source::new();
    other.push((0..2).map(|n| packet(n, n == 0, now)).collect());
    first.play(0, &other, Begin::AtKeyFrame).expect("room");
    runtime().block_on(other.keyframe_wanted());
    source.push((8..10).map(|n| packet(n, false, now)).collect());
    other.push(vec![packet(2, false, now)]);
    one.until("the old source goes on", |p| p.received.len() == 9);
    other.push((3..6).map(|n| packet(n, n == 3, now)).collect());
    one.until("the new source has taken over", |p| p.received.len() == 12);
    source.push(vec![packet(10, true, now)]);
    other.push(vec![packet(6, false, now)]);
    one.until("the old one has ended", |p| p.received.len() == 13);
    let numbers: Vec<u64> = one.player.received.keys().copied().collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "without a hole: {numbers:?}");
    two.until("others still get it", |p| p.received.len() == 10);

    drop(first);
    one.until("a goodbye comes", |p| !p.rtc.is_alive());
    drop(engine);
    drop(second);
}

/// Firefox drops what comes before it has finished the handshake.
#[test]
fn a_viewer_that_was_not_ready_for_the_group_of_pictures_gets_it_again() {
    let addresses = vec![[127, 0, 0, 1].into()];
    let settings = Settings { ports: (0, 0), addresses, shards: 1, tcp: false };
    let engine = Engine::start(settings).expect("a port is free");
    let (source, now) = (Source::new(), Instant::now());
    source.push((0..4).map(|n| packet(n, n == 1, now)).collect());
    let (mut remote, connection) = Remote::connect(&engine);
    remote.until("it connects", |p| p.is_connected);
    connection.play(0, &source, Begin::AtOnce).expect("room");
    remote.until("the group of pictures is there", |p| p.received.len() == 3);
    remote.player.request_keyframe();
    remote.until("it is there again", |p| p.received.len() == 6);
    source.push(vec![packet(4, false, now)]);
    remote.until("live packets follow", |p| p.received.len() == 7);
    let numbers: Vec<u64> = remote.player.received.keys().copied().collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "as new packets: {numbers:?}");
    let payloads: Vec<&Vec<u8>> = remote.player.received.values().map(|(_, data)| data).collect();
    assert_eq!(payloads[..3], payloads[3..6]);
    let clock = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let clock = clock.expect("starts");
    let wants = || {
        let asks = async {
            tokio::time::timeout(Duration::from_millis(1), source.keyframe_wanted()).await
        };
        clock.block_on(asks).is_ok()
    };
    assert!(!wants(), "nobody else gets a key frame");

    // At once once more would be too much for a slow line.
    remote.player.request_keyframe();
    remote.until("the source is asked", |_| wants());
    assert_eq!(remote.player.received.len(), 7);
}
