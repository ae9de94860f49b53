//! A crowd of viewers in one thread: str0m clients that decrypt what comes, and send feedback.

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::media::{Direction, MediaKind};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc};

/// Time of each turn: as good as lateness can be measured.
const TURN: Duration = Duration::from_millis(1);

/// What is left out at the beginning: the group of pictures that each viewer gets at once.
const JOIN: Duration = Duration::from_secs(5);

/// One viewer.
struct Viewer {
    rtc: Rtc,
    socket: UdpSocket,
    at: SocketAddr,
    next: Instant,
    began: Instant,
    packets: BTreeSet<(u32, u64)>,
    bytes: u64,
    /// Time from the request to the first packet, and to the end of the first picture, in ms.
    first_packet_ms: Option<f64>,
    first_picture_ms: Option<f64>,
    /// Media packets thrown away on arrival.
    thrown: u64,
    /// Arrival less RTP time of video packets, in ms.
    delays: Vec<f64>,
}

/// Watches an address with a token by so many viewers for so many seconds, throws a share of the packets
/// away, and prints a report in JSON.
pub(super) fn watch(arguments: &[String]) {
    let [url, token, count, seconds, loss] = arguments else {
        panic!("five arguments: {arguments:?}")
    };
    let count: usize = count.parse().expect("a number");
    let loss: f64 = loss.parse().expect("a number");
    let end = Instant::now() + Duration::from_secs(seconds.parse().expect("a number"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let client = reqwest::Client::new();
    let mut viewers: Vec<Viewer> = Vec::new();
    while viewers.len() < count {
        viewers.push(runtime.block_on(Viewer::join(&client, url, token)));
        turn(&mut viewers, 0.0);
    }
    while Instant::now() < end {
        let begun = Instant::now();
        turn(&mut viewers, loss);
        std::thread::sleep(TURN.saturating_sub(begun.elapsed()));
    }
    println!("{}", report(&viewers));
}

fn turn(viewers: &mut [Viewer], loss: f64) {
    viewers.iter_mut().for_each(|viewer| viewer.turn(loss));
}

fn report(viewers: &[Viewer]) -> serde_json::Value {
    let (mut packets, mut lost, mut rate) = (0, 0, 0.0);
    let mut late: Vec<f64> = Vec::new();
    for viewer in viewers {
        packets += viewer.packets.len() as u64;
        let ssrcs: BTreeSet<u32> = viewer.packets.iter().map(|(ssrc, _)| *ssrc).collect();
        for ssrc in ssrcs {
            let of = viewer.packets.range((ssrc, 0)..=(ssrc, u64::MAX));
            let (first, last) = (of.clone().next(), of.clone().next_back());
            if let (Some((_, first)), Some((_, last))) = (first, last) {
                lost += last - first + 1 - of.count() as u64;
            }
        }
        let time = viewer.began.elapsed().saturating_sub(JOIN).as_secs_f64();
        rate += viewer.bytes as f64 * 8e-6 / time.max(1.0);
        let least = viewer.delays.iter().copied().fold(f64::INFINITY, f64::min);
        late.extend(viewer.delays.iter().map(|delay| delay - least));
    }
    late.sort_by(f64::total_cmp);
    let first = |of: fn(&Viewer) -> Option<f64>| {
        let mut all: Vec<f64> = viewers.iter().filter_map(of).collect();
        all.sort_by(f64::total_cmp);
        [quantile(&all, 0.5), quantile(&all, 0.95)]
    };
    serde_json::json!({
        "packets": packets,
        "lost": lost,
        "thrown": viewers.iter().map(|viewer| viewer.thrown).sum::<u64>(),
        "mbits_per_s": rate,
        "lateness_p99_ms": quantile(&late, 0.99),
        "first_packet_ms": first(|viewer| viewer.first_packet_ms),
        "first_picture_ms": first(|viewer| viewer.first_picture_ms),
    })
}

/// A quantile of sorted values.
fn quantile(sorted: &[f64], quantile: f64) -> Option<f64> {
    sorted.get((sorted.len() as f64 * quantile) as usize).copied()
}

/// Whether a datagram is RTP, not RTCP (RFC 5761 section 4), STUN or DTLS (RFC 7983).
fn is_media(datagram: &[u8]) -> bool {
    matches!(datagram, [first, second, ..]
        if (128..192).contains(first) && !(192..224).contains(second))
}

impl Viewer {
    async fn join(client: &reqwest::Client, url: &str, token: &str) -> Self {
        let now = Instant::now();
        let socket = UdpSocket::bind((own_address(), 0)).expect("a port is free");
        socket.set_nonblocking(true).expect("it can");
        let at = socket.local_addr().expect("bound");
        let mut rtc = Rtc::builder().set_rtp_mode(true).build(now);
        rtc.add_local_candidate(Candidate::host(at, "udp").expect("an address"));
        let mut changes = rtc.sdp_api();
        changes.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
        changes.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None);
        let (offer, pending): (_, SdpPendingOffer) = changes.apply().expect("two sections");
        let answer = client
            .post(url)
            .bearer_auth(token)
            .header("Content-Type", "application/sdp")
            .body(offer.to_sdp_string())
            .send()
            .await
            .expect("the appliance answers");
        let text = answer.text().await.expect("an answer");
        let answer = SdpAnswer::from_sdp_string(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
        rtc.sdp_api().accept_answer(pending, answer).expect("it fits the offer");
        let (packets, delays) = (BTreeSet::new(), Vec::new());
        Self {
            rtc,
            socket,
            at,
            next: now,
            began: now,
            packets,
            bytes: 0,
            first_packet_ms: None,
            first_picture_ms: None,
            thrown: 0,
            delays,
        }
    }

    fn turn(&mut self, loss: f64) {
        let mut buffer = [0; 2000];
        let mut is_due = self.next <= Instant::now();
        while let Ok((len, from)) = self.socket.recv_from(&mut buffer) {
            let now = Instant::now();
            let counts = now >= self.began + JOIN && is_media(&buffer[..len]);
            if counts && rand::random::<f64>() < loss {
                self.thrown += 1;
                continue;
            }
            let read = Receive::new(Protocol::Udp, from, self.at, &buffer[..len]);
            if let Ok(received) = read {
                self.rtc.handle_input(Input::Receive(now, received)).expect("it is alive");
                self.drain(now);
            }
            is_due = true;
        }
        if is_due {
            let now = Instant::now();
            self.rtc.handle_input(Input::Timeout(now)).expect("it is alive");
            self.drain(now);
        }
    }

    fn drain(&mut self, now: Instant) {
        loop {
            match self.rtc.poll_output().expect("it is alive") {
                Output::Timeout(next) => {
                    self.next = next;
                    return;
                }
                Output::Transmit(t) => {
                    let _ = self.socket.send_to(&t.contents, t.destination);
                }
                Output::Event(Event::RtpPacket(packet)) => {
                    let since_ms = now.duration_since(self.began).as_secs_f64() * 1e3;
                    let is_video = packet.time.frequency().get() == 90_000;
                    self.first_packet_ms.get_or_insert(since_ms);
                    if is_video && packet.header.marker {
                        self.first_picture_ms.get_or_insert(since_ms);
                    }
                    if now < self.began + JOIN {
                        continue;
                    }
                    self.bytes += packet.payload.len() as u64 + 12;
                    self.packets.insert((*packet.header.ssrc, *packet.seq_no));
                    if is_video {
                        self.delays.push(since_ms - f64::from(packet.header.timestamp) / 90.0);
                    }
                }
                Output::Event(_) => {}
            }
        }
    }
}

/// An address of this machine that is not loopback: the appliance does not use that.
fn own_address() -> std::net::IpAddr {
    // No packet is sent: the system only looks for the way.
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a port is free");
    socket.connect("192.0.2.1:9").expect("a network");
    socket.local_addr().expect("bound").ip()
}
