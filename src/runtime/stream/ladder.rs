//! The qualities that a stream offers below its source.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::Stream;
use super::slow_rungs::Frames;
use crate::flow::{Refusal, RefusalKind};
use crate::graph::PlanLayer;
use crate::media::{Accepts, Codec, Format, Kind, Ladder, Rung, VideoDetail};
use crate::process::encode::Encode;
use crate::process::{ProcessNode, decode, encode};
use crate::runtime::Event;
use crate::runtime::fault::Fault;
use crate::runtime::job::Job;

/// The rung with the bit rate that suits its size in this video, unless it has one.
fn with_rate(rung: Rung, video: &VideoDetail) -> Rung {
    let suits = || encode::default_video_kbps(Codec::H264, &rung.scaled(video));
    Rung { kbps: Some(rung.kbps.unwrap_or_else(suits)), ..rung }
}

impl Stream {
    /// The video, if this machine can encode it anew.
    pub(super) fn encodable_video(&self) -> Option<&Format> {
        let video = self.planned_for.as_ref()?.0.as_ref()?;
        let encodes = self.shared.best_encoders.contains_key(&Codec::H264);
        (encodes && (video.codec.is_raw() || decode::can_decode(video.codec))).then_some(video)
    }

    /// Bit rate of a video that is encoded in its size, in kbit/s.
    pub(super) fn encoded_kbps(&self, video: &Format) -> u32 {
        let set = self.shared.options.encode.video_kbps;
        set.unwrap_or_else(|| encode::default_video_kbps(Codec::H264, &video.video))
    }

    /// The rungs that this machine encodes: of the wanted ladder, those below the video.
    pub(super) fn encoded_rungs(&self) -> Vec<Rung> {
        let Some(video) = self.encodable_video() else { return Vec::new() };
        let now = Instant::now();
        let below = self.spec.rungs_of(&self.preset, video);
        let offered = below.filter(|rung| !self.slow_rungs.refuses(now, *rung));
        offered.map(|rung| with_rate(rung, &video.video)).collect()
    }

    /// The rungs that viewers get: the layers of the publisher where it sends several, which costs
    /// nothing, else those that are encoded.
    fn rungs(&self) -> Vec<Rung> {
        let measured = |layer: &PlanLayer| match self.measured_kbps(&layer.feed) {
            0 => with_rate(layer.rung, &layer.format.video),
            kbps => Rung { kbps: Some(kbps), ..layer.rung },
        };
        match self.layers.as_slice() {
            [] => self.encoded_rungs(),
            layers => layers.iter().map(measured).collect(),
        }
    }

    /// Bit rate of a feed over the last second, in kbit/s; 0 before it is measured.
    fn measured_kbps(&self, feed: &str) -> u32 {
        self.rates.rates.get(feed).map_or(0, |(kbps, _)| *kbps as u32)
    }

    /// Follows the wanted ladder, the source and its bit rate.
    pub(super) fn update_ladder(&self) {
        let rungs = self.rungs();
        let source_kbps = match self.encodable_video().filter(|video| video.codec.is_raw()) {
            // Viewers get it encoded, in its size.
            Some(video) => self.encoded_kbps(video),
            None => self.measured_kbps(Kind::Video.as_str()),
        };
        // Measured rates change with every second: nobody waits for them.
        let rates_are_measured = !self.layers.is_empty();
        self.ladder.send_if_modified(|ladder| {
            let differs = match rates_are_measured {
                true => !ladder.rungs.iter().map(|r| r.height).eq(rungs.iter().map(|r| r.height)),
                false => ladder.rungs != rungs,
            };
            *ladder = Ladder { source_kbps, rungs };
            differs
        });
    }

    /// Stops to offer a rung that this machine does not encode in real time: its viewers get another
    /// one.
    pub(super) fn refuse_slow_rungs(&mut self, now: Instant) {
        let source = self.feed(Kind::Video).stats().buffers.load(Relaxed);
        let encoded = self.workers.values().filter_map(|worker| match &worker.job {
            Job::Process(ProcessNode::Encode(Encode { rung: Some(rung), encoder })) => {
                let feed = worker.outputs.first().and_then(|name| self.feeds.get(name))?;
                let encoded = feed.stats().buffers.load(Relaxed);
                Some((*rung, encoder.codec, Frames { source, encoded }))
            }
            _ => None,
        });
        let encoded: Vec<_> = encoded.collect();
        let Some((rung, ratio)) = self.slow_rungs.observe(now, &encoded) else { return };
        let fault = Fault::now(
            format!("this machine encodes {:.0} % of the frames of {rung}", 100.0 * ratio),
            "its viewers get another quality meanwhile; take it out of the ladder, run fewer streams \
             here, or add a GPU that encodes",
        );
        tracing::warn!(stream = %self.spec.name, %rung, ratio, "a rung is too slow and not offered");
        let node = format!("rung {rung}");
        self.emit(Event::NodeFailed {
            stream: self.spec.name.to_string(),
            node: node.clone(),
            error: fault.message.clone(),
            hint: fault.hint.clone(),
        });
        self.last_fault = Some((node, fault));
        self.update_ladder();
        self.replan();
    }

    /// Refuses a viewer that wants a rung which the stream was not given.
    pub(super) fn check_rung(&self, accepts: &Accepts) -> Result<(), Refusal> {
        let Some(wanted) = accepts.video.as_ref().and_then(|video| video.rung) else {
            return Ok(());
        };
        let layers = self.layers.iter().map(|layer| layer.rung);
        let ladder: Vec<Rung> =
            self.spec.ladder_with(&self.preset).iter().copied().chain(layers).collect();
        if ladder.iter().any(|rung| rung.height == wanted.height) {
            return Ok(());
        }
        let names: Vec<String> = ladder.iter().map(Rung::to_string).collect();
        let hint = match names.as_slice() {
            [] => "play it without `quality`, or give the stream a ladder".to_owned(),
            names => format!("choose `source`, `auto` or one of {}", names.join(", ")),
        };
        let message = format!("`{}` has no quality `{wanted}`", self.spec.name);
        Err(Refusal::new(RefusalKind::Unsupported, message, hint))
    }

    /// What a viewer accepts, with its rung as the stream makes it now: the source where that is not
    /// larger, and the next smaller one for a rung that this machine is too slow for.
    pub(super) fn with_rung(&self, accepts: &Accepts) -> Accepts {
        let mut accepts = accepts.clone();
        if let Some(video) = &mut accepts.video {
            video.rung = video.rung.and_then(|wanted| self.offered_rung(wanted));
        }
        accepts
    }

    fn offered_rung(&self, wanted: Rung) -> Option<Rung> {
        let ladder = self.ladder.borrow();
        let refused = self.layers.is_empty() && self.slow_rungs.refuses(Instant::now(), wanted);
        match refused {
            true => ladder.rungs.iter().copied().find(|rung| rung.height < wanted.height),
            false => ladder.rung(wanted.height),
        }
    }

    /// Gives viewers the rungs that they have chosen, in the codec that they have now.
    pub(super) fn follow_choices(&mut self) {
        let mut differs = false;
        for (id, rung) in self.signals.take_chosen() {
            let Some(viewer) = self.viewers.get_mut(&id) else { continue };
            let feed = viewer.route.video.as_ref().and_then(|name| self.feeds.get(name));
            let codec = feed.and_then(|feed| feed.format().borrow().as_ref().map(|f| f.codec));
            let Some(video) = viewer.accepts.video.as_mut() else { continue };
            if let Some(codec) = codec {
                video.codecs = vec![codec];
            }
            differs |= video.rung != rung;
            video.rung = rung;
        }
        if differs {
            self.replan();
        }
    }
}
