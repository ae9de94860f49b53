//! How a viewer chooses its quality: by messages on the data channel `quality`.
//!
//! The appliance sends `{"qualities":[{"name":"source","kbps":2500},{"name":"480p","kbps":900}],
//! "chosen":"480p","playing":"480p"}` when the channel opens and whenever that changes. The viewer
//! sends `{"quality":"480p"}`, `source` or `auto`; what is not offered is answered with
//! `{"error":"…"}`.

use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::egress::words::TextChannel;
use crate::flow::Qualities;
use crate::media::{Ladder, Quality, Rung};
use crate::webrtc::ChannelEvent;

/// Label of the data channel that a player opens.
pub(super) const LABEL: &str = "quality";

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
        let choice = Self { qualities, state, changes };
        let playing = choice.rung_of(chosen);
        choice.state.send_replace(State { chosen, playing });
        choice
    }

    /// Serves a channel until it is closed.
    pub(super) async fn serve(&self, mut channel: impl TextChannel) {
        let mut state = self.state.subscribe();
        let Some(mut ladder) = self.qualities.ladder.clone() else { return };
        loop {
            let told = told(&ladder.borrow_and_update(), *state.borrow_and_update());
            channel.send(&told);
            tokio::select! {
                changed = ladder.changed() => if changed.is_err() { return },
                _ = state.changed() => {}
                closed = self.listen(&mut channel) => if closed { return },
            }
        }
    }

    /// Reads one message; true when the channel is closed.
    async fn listen(&self, channel: &mut impl TextChannel) -> bool {
        match channel.event().await {
            ChannelEvent::Message(text) => {
                if let Err(problem) = self.wish(&text) {
                    channel.send(&serde_json::json!({ "error": problem }).to_string());
                }
                false
            }
            ChannelEvent::Ready => false,
            ChannelEvent::Closed => true,
        }
    }

    fn wish(&self, text: &str) -> Result<(), String> {
        let wish: Wish = serde_json::from_str(text)
            .map_err(|_| "send {\"quality\": \"480p\"}, `source` or `auto`".to_owned())?;
        let chosen: Quality = wish.quality.parse().map_err(str::to_owned)?;
        if let Quality::Rung(_) = chosen
            && self.rung_of(chosen).is_none()
        {
            return Err(format!("`{chosen}` is not offered"));
        }
        self.play(chosen, self.rung_of(chosen));
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
