//! The path to the other end: its capacity, by transport-wide congestion control.
//!
//! The estimator judges by delay alone. It treats any loss as a full path, based on the few packets
//! of one report, so a path that randomly loses one packet in twenty would drop to almost nothing.
//! Lost packets are therefore hidden from it; `estimator.rs` judges them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use gst::glib;
use gst::prelude::*;
use tokio::sync::watch;

use super::arrivals::{Arrivals, Arrived, Packet};
use crate::flow::Error;
use crate::media::IgnorePoison;
use crate::webrtc::Peer;

/// Initial estimate in bit/s, unless more has to be sent.
const START_BPS: u32 = 1_000_000;

/// Upper bound in bit/s: more than any stream needs.
const ESTIMATE_BPS_MAX: u32 = 100_000_000;

/// Maximum estimate relative to the stream's bit rate, because unused bandwidth cannot be measured.
const ESTIMATE_FACTOR_MAX: f64 = 2.0;

/// Minimum estimate in bit/s: the smallest AIC-A payload.
const ESTIMATE_BPS_MIN: u32 = 1_500;

/// Name of the reports from `rtpsession`.
const REPORT: &str = "RTPTWCCPackets";

/// Measures the capacity of the path.
pub(super) struct PathMonitor {
    estimator: gst::Element,
    estimate: watch::Receiver<Option<u32>>,
    arrivals: Arc<Mutex<Arrivals>>,
    /// Whether the other end reports the arrival of each packet.
    told: bool,
}

impl PathMonitor {
    /// Adds the estimator to a connection before the offer: `webrtcbin` requests it when it applies
    /// the answer.
    ///
    /// # Errors
    /// If the estimator is not installed.
    pub(super) fn install(peer: &Peer) -> Result<Self, Error> {
        crate::webrtc::register();
        // Packets are paced by the estimate. The maximum lets them pass unpaced until there is one.
        let estimator = gst::ElementFactory::make("rtpgccbwe")
            .property("min-bitrate", ESTIMATE_BPS_MIN)
            .property("max-bitrate", ESTIMATE_BPS_MAX)
            .property("estimated-bitrate", ESTIMATE_BPS_MAX)
            .build()
            .map_err(|_| Error::MissingElement { factory: "rtpgccbwe".into() })?;
        let (tell, estimate) = watch::channel(None);
        estimator.connect_notify(Some("estimated-bitrate"), move |estimator, _| {
            tell.send_replace(Some(estimator.property::<u32>("estimated-bitrate")));
        });
        let arrivals = follow(&estimator);
        let given = estimator.clone();
        peer.bin().connect("request-aux-sender", false, move |_| Some(given.to_value()));
        Ok(Self { estimator, estimate, arrivals, told: false })
    }

    /// Starts the measurement, because the other end reports the arrival of each packet. The
    /// estimate starts above `wanted`, the bit rate of the stream in bit/s.
    pub(super) fn begin(&mut self, wanted: f64) {
        let start = ((wanted * 1.5) as u32).clamp(START_BPS, ESTIMATE_BPS_MAX);
        self.estimator.set_property("estimated-bitrate", start);
        let most = (wanted * ESTIMATE_FACTOR_MAX) as u32;
        self.estimator.set_property("max-bitrate", most.clamp(START_BPS, ESTIMATE_BPS_MAX));
        self.told = true;
    }

    /// Bandwidth of RTP payload in bit/s, without headers. `None` until it is known.
    pub(super) fn bandwidth(&self) -> Option<f64> {
        self.estimate.borrow().filter(|_| self.told).map(f64::from)
    }

    /// Statistics of the packets in the last seconds.
    pub(super) fn arrived(&self) -> Arrived {
        self.arrivals.lock().ignore_poison().read()
    }
}

/// Reads the other end's reports from `rtpsession`, and hides losses from the estimator.
fn follow(estimator: &gst::Element) -> Arc<Mutex<Arrivals>> {
    let arrivals = Arc::new(Mutex::new(Arrivals::default()));
    let Some(pad) = estimator.static_pad("src") else { return arrivals };
    let told = Arc::clone(&arrivals);
    pad.add_probe(gst::PadProbeType::EVENT_UPSTREAM, move |_, info| {
        if let Some(gst::PadProbeData::Event(event)) = &mut info.data
            && let Some(report) = event.structure().filter(|s| s.name() == REPORT)
        {
            let mut report = report.to_owned();
            told.lock().ignore_poison().take(without_lost(&mut report));
            *event = gst::event::CustomUpstream::new(report);
        }
        gst::PadProbeReturn::Ok
    });
    arrivals
}

/// Removes the lost packets from a report. Returns all packets of the report.
fn without_lost(report: &mut gst::Structure) -> Vec<Packet> {
    let Ok(entries) = report.get::<glib::ValueArray>("packets") else { return Vec::new() };
    let (mut packets, mut came) = (Vec::with_capacity(entries.len()), Vec::new());
    for entry in entries.iter().filter_map(|value| value.get::<gst::Structure>().ok()) {
        let Some(packet) = packet(&entry) else { continue };
        packets.push(packet);
        if packet.came.is_some() {
            came.push(entry);
        }
    }
    report.set("packets", Entries(came));
    packets
}

/// Converts to the array type of the estimator, which itself is not `Send`.
struct Entries(Vec<gst::Structure>);

impl From<Entries> for glib::Value {
    fn from(entries: Entries) -> Self {
        glib::ValueArray::new(entries.0).to_value()
    }
}

/// One packet of a report. `None` if its sending time is missing.
fn packet(entry: &gst::StructureRef) -> Option<Packet> {
    let time = |name| {
        let time = entry.get::<Option<gst::ClockTime>>(name).ok().flatten();
        time.map(|time| Duration::from_nanos(time.nseconds()))
    };
    let lost = entry.get::<bool>("lost").unwrap_or(false);
    Some(Packet {
        sent: time("local-ts")?,
        came: time("remote-ts").filter(|_| !lost),
        size: entry.get::<u32>("size").unwrap_or(0) as usize,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_packets_are_told_of_and_kept_from_the_estimator() {
        gst::init().expect("GStreamer starts");
        let entry = |n: u64, lost: bool| {
            let came = (!lost).then_some(gst::ClockTime::from_seconds(5));
            gst::Structure::builder("RTPTWCCPacket")
                .field("seqnum", n as u32)
                .field("local-ts", gst::ClockTime::from_mseconds(n))
                .field("remote-ts", came)
                .field("size", 100_u32)
                .field("lost", lost)
                .build()
        };
        let packets = Entries((0..10).map(|n| entry(n, n % 5 == 3)).collect());
        let mut report = gst::Structure::builder(REPORT).field("packets", packets).build();
        let found = without_lost(&mut report);
        assert_eq!(found.len(), 10);
        let lost: Vec<_> = found.iter().filter(|p| p.came.is_none()).map(|p| p.sent).collect();
        assert_eq!(lost, [3, 8].map(Duration::from_millis));
        let left = report.get::<glib::ValueArray>("packets").expect("an array");
        assert_eq!(left.len(), 8);
    }
}
