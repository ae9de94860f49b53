//! How a viewer chooses its quality: by messages on the data channel `quality`, or by requests
//! ([`Layers`]).
//!
//! The appliance sends `{"qualities":[{"name":"source","kbps":2500},{"name":"480p","kbps":900}],
//! "chosen":"480p","playing":"480p"}` when the channel opens and whenever that changes. The viewer
//! sends `{"quality":"480p"}`, `source` or `auto`; what is not offered is answered with
//! `{"error":"…"}`.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::chooser::{self, Chooser};
use crate::egress::words::TextChannel;
use crate::flow::Qualities;
use crate::media::{IgnorePoison, Ladder, Quality, Rung};
use crate::webrtc::sdp::{Choice, Description};
use crate::webrtc::{ChannelEvent, LayerError, Layers};
use auralink_sfu::CongestionTerms;

/// Label of the data channel that a player opens.
pub(super) const LABEL: &str = "quality";

/// How much more than the source needs the estimate looks for: enough to choose it.
const DESIRE_FACTOR: f64 = 1.3;

/// Changes of the source's rate that the estimate need not follow, as a share of it.
const DESIRE_TOLERANCE_RATIO: f64 = 0.2;

/// Share of what the estimate looks for that is enough.
const ENOUGH_FACTOR: f64 = 0.9;

/// How often a line is tried that seems to carry less than that.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Least time between two changes that a viewer wants: each may start an encoder. Of what it says
/// meanwhile the last counts.
const WISH_DISTANCE: Duration = Duration::from_millis(500);

/// What a viewer is told.
#[derive(Serialize)]
struct Told {
    qualities: Vec<Named>,
    chosen: String,
    playing: String,
}

#[derive(Serialize)]
struct Named {
    name: String,
    kbps: u32,
}

/// What a viewer says.
#[derive(Deserialize)]
struct Wish {
    quality: String,
}

/// The choice of one viewer.
pub(super) struct QualityChoice {
    qualities: Qualities,
    state: watch::Sender<State>,
    /// The stream was asked for another rung, and its feeds have not changed yet.
    changes: AtomicBool,
    /// What the viewer's line carries is estimated.
    has_estimate: bool,
    line: Mutex<Line>,
    /// When the viewer last chose by a request.
    requested: Mutex<Option<Instant>>,
}

/// How the quality follows the viewer's line.
#[derive(Debug, Default)]
struct Line {
    chooser: Chooser,
    /// What the estimate was last asked to look for, in kbit/s, and when.
    desired: Option<(Instant, f64)>,
}

/// What was chosen, and what was asked of the stream for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    chosen: Quality,
    playing: Option<Rung>,
}

impl QualityChoice {
    /// The choice of a viewer that began with this quality.
    pub(super) fn new(qualities: Qualities, chosen: Quality) -> Self {
        let (state, changes) = (watch::Sender::default(), AtomicBool::new(false));
        let (has_estimate, line, requested) = (false, Mutex::default(), Mutex::default());
        let choice = Self { qualities, state, changes, has_estimate, line, requested };
        let playing = choice.rung_of(chosen);
        choice.state.send_replace(State { chosen, playing });
        choice
    }

    /// How the viewer's line is estimated: only where the stream has a ladder and all sections of the
    /// offer report transport-wide, on whose numbers the estimate relies. Marks the choices.
    pub(super) fn congestion(
        &mut self,
        offer: &Description,
        choices: &mut [Choice],
    ) -> Option<CongestionTerms> {
        let initial_kbps = self.with_ladder(|ladder| chooser::start(ladder).1)?;
        let reports = |choice: &Choice| {
            let media = offer.media.get(choice.index)?;
            let payload = media.payloads.iter().find(|p| p.pt == choice.payload.pt)?;
            media.transport_cc.filter(|_| payload.transport_cc)
        };
        let extension_id = choices.first().and_then(reports)?;
        if choices.iter().any(|choice| reports(choice) != Some(extension_id)) {
            return None;
        }
        choices.iter_mut().for_each(|choice| choice.payload.transport_cc = true);
        self.has_estimate = true;
        Some(CongestionTerms { extension_id, initial_kbps })
    }

    /// Whether what the viewer's line carries is estimated.
    pub(super) fn has_estimate(&self) -> bool {
        self.has_estimate
    }

    /// Before a viewer plays that leaves its quality to its line: asks for one that most lines carry.
    /// True if the feeds then change.
    pub(super) fn begin(&self) -> bool {
        if !self.has_estimate || self.state.borrow().chosen != Quality::Auto {
            return false;
        }
        let rung = self.with_ladder(|ladder| chooser::start(ladder).0).flatten();
        self.play(Quality::Auto, rung);
        rung.is_some()
    }

    /// What the estimate shall look for, in kbit/s: when that has changed, and from time to time while
    /// the line seems to carry less.
    pub(super) fn desire(&self, now: Instant, estimate_kbps: Option<f64>) -> Option<u32> {
        // A viewer that has chosen needs no more than that.
        let State { chosen, playing } = *self.state.borrow();
        let best = playing.filter(|_| chosen != Quality::Auto);
        let wanted = self.with_ladder(|ladder| chooser::need_kbps(ladder, best) * DESIRE_FACTOR)?;
        let mut line = self.line.lock().ignore_poison();
        let same =
            |(_, known): &(Instant, f64)| (wanted - known).abs() < known * DESIRE_TOLERANCE_RATIO;
        let looks = estimate_kbps.is_some_and(|estimate| estimate < wanted * ENOUGH_FACTOR);
        let lately = |(at, _): &(Instant, f64)| !looks || now < *at + LOOK_INTERVAL;
        if line.desired.filter(same).is_some_and(|desired| lately(&desired)) {
            return None;
        }
        line.desired = Some((now, wanted));
        Some(wanted as u32)
    }

    /// Changes the quality, if the line decides it and carries this much.
    pub(super) fn follow_line(&self, now: Instant, estimate_kbps: f64) {
        let State { chosen, playing } = *self.state.borrow();
        if chosen != Quality::Auto {
            return;
        }
        let mut line = self.line.lock().ignore_poison();
        let chooser = &mut line.chooser;
        let next = self.with_ladder(|ladder| chooser.decide(now, ladder, playing, estimate_kbps));
        drop(line);
        if let Some(next) = next.flatten() {
            let name = next.map_or(Quality::Source.to_string(), |rung| rung.to_string());
            tracing::debug!(estimate_kbps, quality = name, "a viewer's line decides");
            self.play(chosen, next);
        }
    }

    /// Whether there is more than the source.
    pub(super) fn has_ladder(&self) -> bool {
        self.with_ladder(|_| ()).is_some()
    }

    /// `None` without a ladder.
    fn with_ladder<T>(&self, read: impl FnOnce(&Ladder) -> T) -> Option<T> {
        let ladder = self.qualities.ladder.as_ref()?.borrow();
        (!ladder.rungs.is_empty()).then(|| read(&ladder))
    }

    /// Serves a channel until it is closed.
    pub(super) async fn serve(&self, mut channel: impl TextChannel) {
        let mut state = self.state.subscribe();
        let Some(mut ladder) = self.qualities.ladder.clone() else { return };
        let (mut waiting, mut free_at) = (None, tokio::time::Instant::now());
        loop {
            let told = told(&ladder.borrow_and_update(), *state.borrow_and_update());
            channel.send(&told);
            tokio::select! {
                changed = ladder.changed() => if changed.is_err() { return },
                _ = state.changed() => {}
                () = tokio::time::sleep_until(free_at), if waiting.is_some() => {
                    free_at = tokio::time::Instant::now() + WISH_DISTANCE;
                    let wish = waiting.take().map(|text: String| self.wish(&text));
                    if let Some(Err(problem)) = wish {
                        channel.send(&serde_json::json!({ "error": problem }).to_string());
                    }
                }
                event = channel.event() => match event {
                    ChannelEvent::Message(text) => waiting = Some(text),
                    ChannelEvent::Ready => {}
                    ChannelEvent::Closed => return,
                },
            }
        }
    }

    fn wish(&self, text: &str) -> Result<(), String> {
        let wish: Wish = serde_json::from_str(text)
            .map_err(|_| "send {\"quality\": \"480p\"}, `source` or `auto`".to_owned())?;
        let chosen: Quality = wish.quality.parse().map_err(str::to_owned)?;
        self.wish_for(chosen).map_err(|e| e.to_string())
    }

    fn wish_for(&self, chosen: Quality) -> Result<(), LayerError> {
        if let Quality::Rung(_) = chosen
            && self.rung_of(chosen).is_none()
        {
            return Err(LayerError::NotOffered(chosen));
        }
        // The line decides from where it is.
        let keeps = chosen == Quality::Auto && self.has_estimate;
        let rung = if keeps { self.state.borrow().playing } else { self.rung_of(chosen) };
        self.play(chosen, rung);
        Ok(())
    }

    /// Asks the stream for a rung.
    fn play(&self, chosen: Quality, playing: Option<Rung>) {
        let before = self.state.send_replace(State { chosen, playing });
        if before.playing != playing
            && let Some(choose) = &self.qualities.choose
        {
            self.changes.store(true, Ordering::Relaxed);
            choose(playing);
        }
    }

    /// Whether the next change of feeds is the one that was asked for.
    pub(super) fn take_change(&self) -> bool {
        self.changes.swap(false, Ordering::Relaxed)
    }

    fn rung_of(&self, quality: Quality) -> Option<Rung> {
        let Quality::Rung(height) = quality else { return None };
        self.qualities.ladder.as_ref().and_then(|ladder| ladder.borrow().rung(height))
    }
}

impl Layers for QualityChoice {
    fn told(&self) -> String {
        let state = *self.state.borrow();
        self.with_ladder(|ladder| told(ladder, state)).unwrap_or_default()
    }

    fn choose(&self, quality: Quality) -> Result<(), LayerError> {
        let (now, mut requested) = (Instant::now(), self.requested.lock().ignore_poison());
        if requested.is_some_and(|last| now < last + WISH_DISTANCE) {
            return Err(LayerError::TooSoon);
        }
        self.wish_for(quality)?;
        *requested = Some(now);
        Ok(())
    }
}

fn told(ladder: &Ladder, state: State) -> String {
    let source = Named { name: Quality::Source.to_string(), kbps: ladder.source_kbps };
    let rungs = ladder
        .rungs
        .iter()
        .map(|rung| Named { name: rung.to_string(), kbps: rung.kbps.unwrap_or_default() });
    let told = Told {
        qualities: std::iter::once(source).chain(rungs).collect(),
        chosen: state.chosen.to_string(),
        playing: state.playing.map_or(Quality::Source.to_string(), |rung| rung.to_string()),
    };
    serde_json::to_string(&told).unwrap_or_default()
}
