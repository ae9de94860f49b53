//! The viewers of a stream.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::Stream;
use super::nodes::inputs_of;
use super::viewer::{SeatState, Waiting};
use crate::flow::{Inputs, Refusal, RefusalKind, Seat};
use crate::graph::Route;
use crate::media::{Accepts, StreamName};
use crate::runtime::{Preset, StreamState};

/// How long a viewer waits for the tracks to become known.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Maximum number of waiting viewers.
const WAITING_MAX: usize = 256;

/// The refusal while the stream is not live.
pub(super) fn not_live(name: &StreamName) -> Refusal {
    Refusal::new(
        RefusalKind::NotLive,
        format!("nothing is being published to `{name}`"),
        "try again when the publisher is there",
    )
}

/// The refusal if the preset does not offer the protocol.
pub(super) fn not_offered(preset: &Preset, protocol: &str) -> Refusal {
    Refusal::new(
        RefusalKind::Unsupported,
        format!("preset \"{}\" does not offer {protocol}", preset.title),
        "set `play` in the preset, or watch in another way",
    )
}

impl Stream {
    pub(super) fn take_viewer(
        &mut self,
        protocol: &'static str,
        accepts: Accepts,
        reply: oneshot::Sender<Result<Seat, Refusal>>,
    ) {
        let relayed = protocol == "relay";
        if !relayed && !self.preset.play.allows(protocol) {
            let _ = reply.send(Err(not_offered(&self.preset, protocol)));
        } else if self.state == StreamState::Idle {
            let _ = reply.send(Err(not_live(&self.spec.name)));
        } else if self.is_planned() {
            let _ = reply.send(self.give_seat(protocol, accepts));
        } else if self.waiting.len() < WAITING_MAX {
            self.waiting.push(Waiting { protocol, accepts, reply, since: Instant::now() });
        }
    }

    /// When the wait of the next viewer ends.
    pub(super) fn waiting_due(&self) -> Option<Instant> {
        self.waiting.iter().map(|waiting| waiting.since + WAIT_MAX).min()
    }

    /// Gives all waiting viewers a seat, once the tracks are known.
    pub(super) fn seat_waiting(&mut self) {
        for waiting in std::mem::take(&mut self.waiting) {
            let seat = self.give_seat(waiting.protocol, waiting.accepts);
            let _ = waiting.reply.send(seat);
        }
    }

    pub(super) fn expire_waiting(&mut self, now: Instant) {
        let name = &self.spec.name;
        let (late, waiting) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|w| now.duration_since(w.since) >= WAIT_MAX);
        self.waiting = waiting;
        let late: Vec<Waiting> = late;
        for viewer in late {
            let _ = viewer.reply.send(Err(not_live(name)));
        }
    }

    fn give_seat(&mut self, protocol: &'static str, accepts: Accepts) -> Result<Seat, Refusal> {
        let taken = self.shared.viewers.fetch_add(1, Ordering::Relaxed);
        if taken >= self.shared.options.viewers_max {
            self.shared.viewers.fetch_sub(1, Ordering::Relaxed);
            return Err(Refusal::new(
                RefusalKind::Busy,
                format!("the appliance serves {taken} viewers, its limit"),
                "raise `limits.viewers_max` or try again later",
            ));
        }
        let id = self.id();
        let want = format!("{protocol}.{id}");
        let cancel = CancellationToken::new();
        let inputs = watch::Sender::new(Inputs::default());
        let receiver = inputs.subscribe();
        let seat = SeatState {
            protocol,
            want: want.clone(),
            accepts,
            cancel: cancel.clone(),
            route: Route::default(),
            inputs,
        };
        self.seats.insert(id, seat);
        self.replan();
        let route = self.plan.routes.get(&want).cloned().unwrap_or_default();
        if route.is_empty() {
            self.seat_left(id);
            let problem = route.problems.first().cloned();
            return Err(Refusal::new(
                RefusalKind::Unsupported,
                problem.unwrap_or_else(|| "the stream has nothing that you can take".into()),
                "`auralink doctor` shows which encoders work on this machine",
            ));
        }
        self.changed();
        Ok(Seat {
            stream: self.spec.name.clone(),
            inputs: receiver,
            cancel,
            on_drop: Some(self.signals.leave(id)),
        })
    }

    pub(super) fn seat_left(&mut self, id: u64) {
        if self.seats.remove(&id).is_some() {
            self.shared.viewers.fetch_sub(1, Ordering::Relaxed);
            self.replan();
            self.changed();
        }
    }

    pub(super) fn send_viewers_away(&mut self) {
        for seat in std::mem::take(&mut self.seats).into_values() {
            seat.cancel.cancel();
            self.shared.viewers.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Gives every viewer the feeds that the plan assigns to it, without disconnecting any.
    pub(super) fn route_seats(&mut self) {
        for seat in self.seats.values_mut() {
            let Some(route) = self.plan.routes.get(&seat.want) else { continue };
            if route.same_media(&seat.route) {
                continue;
            }
            seat.route = route.clone();
            seat.inputs.send_replace(inputs_of(&self.feeds, &self.board, route));
        }
    }
}
