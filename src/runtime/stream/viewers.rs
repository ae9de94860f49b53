//! The viewers of a stream.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::Stream;
use super::nodes::inputs_of;
use super::viewer::{PendingViewer, ViewerState};
use crate::flow::{Inputs, Qualities, Refusal, RefusalKind, Subscription};
use crate::graph::Route;
use crate::media::{Accepts, Protocol, StreamName};
use crate::runtime::{Preset, StreamState};

/// How long a viewer waits for the tracks to become known.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Maximum number of pending viewers.
const PENDING_VIEWERS_MAX: usize = 256;

/// The refusal while the stream is not live.
pub(super) fn not_live(name: &StreamName) -> Refusal {
    Refusal::new(
        RefusalKind::NotLive,
        format!("nothing is being published to `{name}`"),
        "try again when the publisher is there",
    )
}

/// The refusal if the preset does not offer the protocol.
pub(super) fn not_offered(preset: &Preset, protocol: Protocol) -> Refusal {
    Refusal::new(
        RefusalKind::Unsupported,
        format!("preset \"{}\" does not offer {protocol}", preset.title),
        "set `play` in the preset, or watch in another way",
    )
}

impl Stream {
    pub(super) fn admit_viewer(
        &mut self,
        protocol: Protocol,
        accepts: Accepts,
        reply: oneshot::Sender<Result<Subscription, Refusal>>,
    ) {
        let relayed = protocol == Protocol::Relay;
        if !relayed && !self.preset.play.allows(protocol) {
            let _ = reply.send(Err(not_offered(&self.preset, protocol)));
        } else if self.state == StreamState::Idle {
            let _ = reply.send(Err(not_live(&self.spec.name)));
        } else if self.is_planned() {
            let _ = reply.send(self.grant_subscription(protocol, accepts));
        } else if self.pending.len() < PENDING_VIEWERS_MAX {
            self.pending.push(PendingViewer { protocol, accepts, reply, since: Instant::now() });
        }
    }

    /// When the wait of the next viewer ends.
    pub(super) fn pending_due(&self) -> Option<Instant> {
        self.pending.iter().map(|pending| pending.since + WAIT_MAX).min()
    }

    /// Gives all pending viewers a subscription, once the tracks are known.
    pub(super) fn admit_pending(&mut self) {
        for pending in std::mem::take(&mut self.pending) {
            let subscription = self.grant_subscription(pending.protocol, pending.accepts);
            let _ = pending.reply.send(subscription);
        }
    }

    pub(super) fn expire_pending(&mut self, now: Instant) {
        let name = &self.spec.name;
        let (late, pending) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|w| now.duration_since(w.since) >= WAIT_MAX);
        self.pending = pending;
        let late: Vec<PendingViewer> = late;
        for viewer in late {
            let _ = viewer.reply.send(Err(not_live(name)));
        }
    }

    fn grant_subscription(
        &mut self,
        protocol: Protocol,
        accepts: Accepts,
    ) -> Result<Subscription, Refusal> {
        self.check_rung(&accepts)?;
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
        let subscription = ViewerState {
            protocol,
            want: want.clone(),
            accepts,
            cancel: cancel.clone(),
            route: Route::default(),
            inputs,
        };
        self.viewers.insert(id, subscription);
        self.replan();
        let route = self.plan.routes.get(&want).cloned().unwrap_or_default();
        if route.is_empty() {
            self.viewer_left(id);
            let problem = route.problems.first().cloned();
            return Err(Refusal::new(
                RefusalKind::Unsupported,
                problem.unwrap_or_else(|| "the stream has nothing that you can take".into()),
                "`auralink doctor` shows which encoders work on this machine",
            ));
        }
        self.changed();
        Ok(Subscription {
            stream: self.spec.name.clone(),
            inputs: receiver,
            qualities: Qualities {
                ladder: Some(self.ladder.subscribe()),
                choose: Some(self.signals.choose(id)),
            },
            cancel,
            on_drop: Some(self.signals.leave(id)),
        })
    }

    pub(super) fn viewer_left(&mut self, id: u64) {
        if self.viewers.remove(&id).is_some() {
            self.shared.viewers.fetch_sub(1, Ordering::Relaxed);
            self.replan();
            self.changed();
        }
    }

    pub(super) fn send_viewers_away(&mut self) {
        for subscription in std::mem::take(&mut self.viewers).into_values() {
            subscription.cancel.cancel();
            self.shared.viewers.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Gives every viewer the feeds that the plan assigns to it, without disconnecting any.
    pub(super) fn route_seats(&mut self) {
        for subscription in self.viewers.values_mut() {
            let Some(route) = self.plan.routes.get(&subscription.want) else { continue };
            if route.same_media(&subscription.route) {
                continue;
            }
            subscription.route = route.clone();
            subscription.inputs.send_replace(inputs_of(&self.feeds, &self.caption_feeds, route));
        }
    }
}
