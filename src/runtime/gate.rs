//! The door of all streams.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::oneshot;

use super::launch::{Entry, Shared};
use super::stream::Command;
use super::{Event, Supervisor};
use crate::egress::hls;
use crate::flow::{
    Action, Admission, Gate, Hello, Inputs, Intake, Refusal, RefusalKind, Seat, SourceReport,
};
use crate::media::{Accept, Accepts, Codec, Secret, StreamName};

/// A viewer waits this long until the feeds that were started for it flow.
const FEEDS_MAX: Duration = Duration::from_secs(6);

impl Gate for Supervisor {
    fn admit(&self, hello: &Hello) -> Result<Admission, Refusal> {
        admit(self.shared(), hello).map(|(_, admission)| admission)
    }

    fn publish(
        &self,
        hello: Hello,
        report: Arc<SourceReport>,
    ) -> BoxFuture<'static, Result<Intake, Refusal>> {
        let shared = self.shared().clone();
        async move {
            let (entry, _) = admit(&shared, &hello)?;
            ask(&entry, |reply| Command::Publish { hello, report, reply }).await
        }
        .boxed()
    }

    fn play(&self, hello: Hello, accepts: Accepts) -> BoxFuture<'static, Result<Seat, Refusal>> {
        let shared = self.shared().clone();
        async move {
            let (entry, _) = admit(&shared, &hello)?;
            sit_down(&entry, hello.protocol, accepts).await
        }
        .boxed()
    }

    fn report_refusal(&self, hello: &Hello, refusal: &Refusal) {
        report(self.shared(), hello, refusal);
    }
}

impl Supervisor {
    /// The HLS segments of a stream, made from now on if nobody wanted them before.
    ///
    /// # Errors
    /// The refusal of the player.
    pub async fn open_hls(&self, hello: Hello) -> Result<Arc<hls::Shelf>, Refusal> {
        let (entry, _) = admit(self.shared(), &hello)?;
        ask(&entry, Command::OpenHls).await
    }
}

/// A seat for another stream of this appliance, which needs no credential.
pub(super) async fn relay(shared: &Shared, name: &StreamName) -> Result<Seat, Refusal> {
    let entry = shared.entry(name).ok_or_else(|| unknown(name))?;
    let all =
        |raw: Codec| Codec::ALL.into_iter().filter(|c| c.kind() == raw.kind()).collect::<Vec<_>>();
    let any = |raw: Codec| Some(Accept::any_of(all(raw)));
    let accepts = Accepts::media(any(Codec::RawVideo), any(Codec::RawAudio));
    sit_down(&entry, "relay", accepts).await
}

/// Whether somebody may come in, from memory.
fn admit(shared: &Shared, hello: &Hello) -> Result<(Entry, Admission), Refusal> {
    let verdict = judge(shared, hello);
    if let Err(refusal) = &verdict {
        report(shared, hello, refusal);
    }
    verdict
}

/// Says that somebody was refused: in the log and to whoever follows the events.
fn report(shared: &Shared, hello: &Hello, refusal: &Refusal) {
    tracing::debug!(stream = %hello.stream, protocol = hello.protocol, peer = %hello.peer,
        reason = %refusal.message, "refused");
    // Nobody may be listening.
    let _ = shared.events.send(Event::Refused {
        stream: hello.stream.to_string(),
        protocol: hello.protocol,
        peer: hello.peer.clone(),
        message: refusal.message.clone(),
    });
}

fn judge(shared: &Shared, hello: &Hello) -> Result<(Entry, Admission), Refusal> {
    if shared.is_stopping() {
        return Err(Refusal::new(
            RefusalKind::Busy,
            "the appliance is shutting down",
            "try again in a minute",
        ));
    }
    let entry = shared.entry(&hello.stream).ok_or_else(|| unknown(&hello.stream))?;
    let access = &entry.spec.access;
    let (open, token, act) = match hello.action {
        Action::Publish => (access.open_publish, &access.publish_token, "publish"),
        Action::Play => (access.open_play, &access.play_token, "play"),
    };
    let shown = hello.credential.as_ref().filter(|c| !c.is_empty());
    let fits = match (token, shown) {
        (Some(token), Some(shown)) => !token.is_empty() && shown.matches(token),
        _ => false,
    };
    if !open && !fits {
        let what = if shown.is_none() { "no token" } else { "a wrong token" };
        return Err(Refusal::new(
            RefusalKind::Unauthorized,
            format!("{what} to {act} stream `{}`", hello.stream),
            format!("give the stream's {act} token"),
        ));
    }
    let passphrase = access.srt_passphrase.clone().map(Secret::new);
    Ok((entry, Admission { passphrase }))
}

fn unknown(name: &StreamName) -> Refusal {
    Refusal::new(
        RefusalKind::UnknownStream,
        format!("there is no stream `{name}`"),
        "create it first: POST /api/v1/streams",
    )
}

/// Sends a command to a stream and waits for its answer.
async fn ask<T>(
    entry: &Entry,
    command: impl FnOnce(oneshot::Sender<Result<T, Refusal>>) -> Command,
) -> Result<T, Refusal> {
    let (reply, answer) = oneshot::channel();
    let busy = || {
        Refusal::new(
            RefusalKind::Busy,
            format!("stream `{}` has too much to do", entry.spec.name),
            "try again in a second",
        )
    };
    entry.commands.try_send(command(reply)).map_err(|_| busy())?;
    answer.await.map_err(|_| busy())?
}

/// Takes a seat and waits until what was started for it flows.
async fn sit_down(
    entry: &Entry,
    protocol: &'static str,
    accepts: Accepts,
) -> Result<Seat, Refusal> {
    let mut seat = ask(entry, |reply| Command::Play { protocol, accepts, reply }).await?;
    let inputs = seat.inputs.borrow_and_update().clone();
    match tokio::time::timeout(FEEDS_MAX, flowing(&inputs)).await {
        Ok(()) => Ok(seat),
        Err(_) => Err(Refusal::new(
            RefusalKind::Busy,
            format!("the media of `{}` was not ready within {FEEDS_MAX:?}", entry.spec.name),
            "look at the stream's nodes for one that fails, and try again",
        )),
    }
}

/// Waits until the format of every feed is known.
async fn flowing(inputs: &Inputs) {
    for feed in [&inputs.video, &inputs.audio].into_iter().flatten() {
        // The feed outlives this wait: the seat holds it.
        let _ = feed.format().wait_for(Option::is_some).await;
    }
}
