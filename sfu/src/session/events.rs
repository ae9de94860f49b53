//! What str0m tells of a session, and what the viewer reports.

use std::time::Instant;

use str0m::Event;
use str0m::bwe::BweKind;
use str0m::net::Protocol;
use str0m::rtp::rtcp::Rtcp;
use str0m::rtp::{RawPacket, Ssrc};
use str0m::stats::PeerStats;

use super::super::channel::MESSAGE_BYTES_MAX;
use super::super::error::{Ended, Path};
use super::super::keys;
use super::super::sender::Sender;
use super::super::setup::mid;
use super::super::srtp::Srtp;
use super::{Happening, Session};

/// Most requests for lost packets in one step; each names up to 17.
const LOST_ENTRIES_MAX: usize = 64;

impl Session {
    pub(super) fn event(&mut self, now: Instant, event: Event) -> Result<(), Ended> {
        match event {
            Event::Connected => {
                self.is_connected = true;
                self.happenings.push(Happening::Connected);
            }
            Event::KeyframeRequest(asked) => {
                let track = (0..self.tracks.len()).find(|index| mid(*index) == asked.mid);
                self.happenings.extend(track.map(Happening::KeyframeWanted));
            }
            Event::ChannelOpen(id, label) => {
                let number = self.texts.open(&mut self.rtc, id)?;
                self.happenings.push(Happening::ChannelOpened(number, label));
            }
            Event::ChannelData(data) => {
                let text = String::from_utf8(data.data).ok().filter(|_| !data.binary);
                let text = text.filter(|t| t.len() <= MESSAGE_BYTES_MAX);
                if let Some((number, text)) = self.texts.number(data.id).zip(text) {
                    self.happenings.push(Happening::ChannelText(number, text));
                }
            }
            Event::ChannelBufferedAmountLow(id) => {
                let number = self.texts.number(id);
                self.happenings.extend(number.map(Happening::ChannelReady));
            }
            Event::ChannelClose(id) => {
                let number = self.texts.number(id);
                self.happenings.extend(number.map(Happening::ChannelClosed));
            }
            Event::EgressBitrateEstimate(BweKind::Twcc { estimate, .. }) => {
                self.estimate = Some(estimate);
                self.gauge.estimate(estimate.as_f64() / 1000.0);
            }
            Event::PeerStats(stats) => self.measure(&stats),
            Event::RawPacket(packet) => {
                if let RawPacket::RtcpRx(feedback) = *packet {
                    self.feedback(now, &feedback);
                }
            }
            Event::MediaEgressStats(stats) => {
                let track = (0..self.tracks.len()).find(|index| mid(*index) == stats.mid);
                track.into_iter().for_each(|track| self.gauge.track(track, &stats));
            }
            _ => {}
        }
        Ok(())
    }

    /// Hands the keys of the handshake to the sender. Called whenever str0m has run, so that they never
    /// reach another session of the thread.
    pub(super) fn take_keys(&mut self) -> Result<(), Ended> {
        let (Some(keys), Some(sender)) = (keys::take(), &mut self.sender) else { return Ok(()) };
        let unknown = || Ended::Failed("the handshake chose an unknown cipher".into());
        sender.key(Srtp::new(&keys, self.is_client).ok_or_else(unknown)?);
        Ok(())
    }

    fn measure(&mut self, stats: &PeerStats) {
        let past_bytes = self.sender.as_ref().map_or(0, Sender::sent_bytes);
        self.gauge.transport(stats, past_bytes);
        if let Some((sender, pair)) =
            self.sender.as_mut().zip(stats.selected_candidate_pair.as_ref())
        {
            let (local, remote) = (pair.local.addr, pair.remote.addr);
            sender.follow(Path { local, remote, is_tcp: pair.protocol == Protocol::Tcp });
        }
    }

    /// Takes what a viewer reports of the media.
    fn feedback(&mut self, now: Instant, feedback: &Rtcp) {
        let Some(sender) = &self.sender else { return };
        let ntp = sender.clock().time(now);
        let track = |ssrc: Ssrc| self.tracks.iter().position(|track| track.local.ssrc == *ssrc);
        match feedback {
            Rtcp::ReceiverReport(report) => {
                for report in &report.reports {
                    track(report.ssrc)
                        .into_iter()
                        .for_each(|at| self.gauge.report(at, report, ntp));
                }
            }
            Rtcp::Nack(nack) => {
                let room = LOST_ENTRIES_MAX.saturating_sub(self.lost.len());
                if let Some(at) = track(nack.ssrc) {
                    let entries = nack.reports.iter().take(room);
                    self.lost.extend(entries.map(|entry| (at, *entry)));
                }
            }
            Rtcp::Pli(pli) => {
                self.happenings.extend(track(pli.ssrc).map(Happening::KeyframeWanted));
            }
            Rtcp::Fir(fir) => {
                let asked = fir.reports.iter().filter_map(|entry| track(entry.ssrc));
                self.happenings.extend(asked.map(Happening::KeyframeWanted));
            }
            _ => {}
        }
    }
}
