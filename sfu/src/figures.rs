//! Measures what reaches a viewer.

use std::time::{Duration, Instant};

use str0m::net::Protocol;
use str0m::rtp::rtcp::ReceptionReport;
use str0m::stats::{MediaEgressStats, PeerStats};

use super::Delivery;

/// Interval of the figures.
pub(super) const FIGURES_INTERVAL: Duration = Duration::from_secs(1);

/// Collects str0m's figures of one session.
#[derive(Debug)]
pub(super) struct Gauge {
    delivery: Delivery,
    tracks: Vec<Track>,
    /// Bytes sent at the last reading.
    before: Option<(Instant, u64)>,
    is_new: bool,
}

/// What the viewer last reported of a track.
#[derive(Debug)]
struct Track {
    clock_rate_hz: u32,
    lost: u64,
    loss: Option<f64>,
    round_trip: Option<Duration>,
    jitter: Option<Duration>,
}

impl Gauge {
    /// Tracks with these clock rates.
    pub(super) fn new(clock_rates_hz: impl Iterator<Item = u32>) -> Self {
        let track = |clock_rate_hz| Track {
            clock_rate_hz,
            lost: 0,
            loss: None,
            round_trip: None,
            jitter: None,
        };
        let tracks = clock_rates_hz.map(track).collect();
        Self { delivery: Delivery::default(), tracks, before: None, is_new: false }
    }

    /// Takes the figures of the connection, and the bytes that were sent past str0m.
    pub(super) fn transport(&mut self, stats: &PeerStats, past_bytes: u64) {
        if let Some(pair) = &stats.selected_candidate_pair {
            self.delivery.address = Some(pair.remote.addr);
            self.delivery.is_tcp = pair.protocol == Protocol::Tcp;
        }
        let (now, sent) = (stats.timestamp, stats.peer_bytes_tx + past_bytes);
        if let Some((at, before)) = self.before.replace((now, sent)) {
            let time_s = now.saturating_duration_since(at).as_secs_f64();
            let bytes = sent.saturating_sub(before);
            let kbit = bytes as f64 * 8.0 / 1000.0;
            self.delivery.kbps = if time_s > 0.0 { kbit / time_s } else { 0.0 };
        }
        self.delivery.sent_bytes = sent;
        self.is_new = true;
    }

    /// Takes an estimate of what the line carries, in kbit/s.
    pub(super) fn estimate(&mut self, kbps: f64) {
        self.delivery.estimate_kbps = Some(kbps);
        self.is_new = true;
    }

    /// Takes the figures of the track with this index.
    pub(super) fn track(&mut self, index: usize, stats: &MediaEgressStats) {
        let Some(track) = self.tracks.get_mut(index) else { return };
        // Between two reports of the viewer the last ones count.
        track.loss = stats.loss.map(f64::from).or(track.loss);
        track.round_trip = stats.rtt.or(track.round_trip);
        if let Some(remote) = &stats.remote {
            track.lost = remote.packets_lost;
            let seconds = f64::from(remote.jitter) / f64::from(track.clock_rate_hz.max(1));
            track.jitter = Duration::try_from_secs_f64(seconds).ok();
        }
        self.is_new = true;
    }

    /// Takes the viewer's report on the track with this index, and the time of NTP when it came.
    pub(super) fn report(&mut self, index: usize, report: &ReceptionReport, ntp: u64) {
        let Some(track) = self.tracks.get_mut(index) else { return };
        track.loss = Some(f64::from(report.fraction_lost) / 256.0);
        track.lost = report.packets_lost.into();
        let seconds = f64::from(report.jitter) / f64::from(track.clock_rate_hz.max(1));
        track.jitter = Duration::try_from_secs_f64(seconds).ok();
        // RFC 3550 section 6.4.1: in units of 1/65,536 s, since the report of ours that it answers.
        if report.last_sr_time != 0 {
            let passed = ((ntp >> 16) as u32).wrapping_sub(report.last_sr_time);
            let units = passed.saturating_sub(report.last_sr_delay);
            track.round_trip = Some(Duration::from_secs_f64(f64::from(units) / 65_536.0));
        }
        self.is_new = true;
    }

    /// The figures, if there are new ones since the last call.
    pub(super) fn take(&mut self) -> Option<Delivery> {
        if !std::mem::take(&mut self.is_new) {
            return None;
        }
        self.delivery.lost = self.tracks.iter().map(|t| t.lost).sum();
        self.delivery.loss = self.tracks.iter().filter_map(|t| t.loss).max_by(f64::total_cmp);
        self.delivery.round_trip = self.tracks.iter().filter_map(|t| t.round_trip).max();
        self.delivery.jitter = self.tracks.iter().filter_map(|t| t.jitter).max();
        Some(self.delivery)
    }
}

#[cfg(test)]
mod tests {
    use str0m::stats::RemoteIngressStats;

    use super::*;

    #[test]
    fn rates_are_of_the_last_interval_and_the_worst_track_counts() {
        let start = Instant::now();
        let peer = |at: u64, peer_bytes_tx: u64| PeerStats {
            peer_bytes_rx: 0,
            peer_bytes_tx,
            bytes_rx: 0,
            bytes_tx: 0,
            timestamp: start + Duration::from_secs(at),
            bwe_tx: None,
            egress_loss_fraction: None,
            ingress_loss_fraction: None,
            rtt: None,
            selected_candidate_pair: None,
        };
        let media = |loss, jitter, packets_lost| MediaEgressStats {
            mid: "0".into(),
            rid: None,
            bytes: 1,
            packets: 1,
            firs: 0,
            plis: 0,
            nacks: 0,
            rtt: Some(Duration::from_millis(20)),
            loss,
            timestamp: start,
            remote: Some(RemoteIngressStats {
                jitter,
                maximum_sequence_number: 1_u64.into(),
                packets_lost,
            }),
        };
        let mut gauge = Gauge::new([90_000, 48_000].into_iter());
        assert_eq!(gauge.take(), None);
        gauge.transport(&peer(1, 900_000), 100_000);
        gauge.transport(&peer(3, 1_500_000), 0);
        gauge.track(0, &media(Some(0.02), 900, 7));
        gauge.track(1, &media(None, 960, 1));
        let delivery = gauge.take().expect("new");
        assert_eq!((delivery.sent_bytes, delivery.kbps), (1_500_000, 2000.0));
        assert_eq!(delivery.lost, 8);
        assert!(delivery.loss.is_some_and(|loss| (loss - 0.02).abs() < 1e-6));
        assert_eq!(delivery.jitter, Some(Duration::from_millis(20)), "960 ticks of 48 kHz");
        gauge.track(0, &media(None, 900, 7));
        assert_eq!(gauge.take().and_then(|d| d.loss), delivery.loss, "the last report counts");
        assert_eq!(gauge.take(), None);
    }
}
