//! Who may publish to a stream or play it, and what a caller who may not is told.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::oneshot;

use super::command::Command;
use super::refusals::host_of;
use super::shared::{Shared, StreamEntry};
use super::{Access, Event};
use crate::flow::{AccessRequest, Action, Admission, Inputs, Refusal, RefusalKind, Subscription};
use crate::ingress::source::OtherStreams;
use crate::media::{Accept, Accepts, Codec, Protocol, Secret, StreamName};

/// How long a viewer waits for media on the feeds that were started for it.
const FEEDS_TIMEOUT: Duration = Duration::from_secs(6);

/// The other streams, for sources.
pub(super) struct Relays(pub(super) Arc<Shared>);

impl OtherStreams for Relays {
    fn subscribe(&self, stream: StreamName) -> BoxFuture<'static, Result<Subscription, Refusal>> {
        let shared = Arc::clone(&self.0);
        async move { relay(&shared, &stream).await }.boxed()
    }
}

async fn relay(shared: &Shared, name: &StreamName) -> Result<Subscription, Refusal> {
    let missing = || Refusal { message: format!("there is no stream `{name}`"), ..unknown() };
    let entry = shared.entry(name).ok_or_else(missing)?;
    let all =
        |raw: Codec| Codec::ALL.into_iter().filter(|c| c.kind() == raw.kind()).collect::<Vec<_>>();
    let any = |raw: Codec| Some(Accept::any_of(all(raw)));
    let accepts = Accepts::media(any(Codec::RawVideo), any(Codec::RawAudio));
    subscribe(&entry, Protocol::Relay, accepts).await
}

/// Reports a refusal to the owner of the stream, the log and the event listeners. The name of an
/// unknown stream is never reported: it may be a stream key.
pub(super) fn report(shared: &Shared, access_request: &AccessRequest, refusal: &Refusal) {
    // Not the caller's mistake, and the caller retries often.
    if refusal.kind == RefusalKind::NotLive {
        return;
    }
    let entry = shared
        .entry(&access_request.stream)
        .or_else(|| shared.entry_of_token(&access_request.stream));
    let spec = entry.as_ref().map(StreamEntry::spec);
    let stream = spec.as_ref().map_or("(none of this name)", |spec| spec.name.as_str());
    if let Some(entry) = &entry {
        entry.refusals.add(access_request, refusal, Utc::now());
    }
    let AccessRequest { protocol, peer, .. } = access_request;
    let subject = (&access_request.stream, protocol, host_of(peer));
    if let Some(kept_back) = shared.refusal_log.pass(subject, Instant::now()) {
        tracing::info!(
            stream,
            protocol = protocol.as_str(),
            peer,
            reason = refusal.message,
            hint = refusal.hint,
            kept_back,
            "refused"
        );
    }
    // An error means that there is no listener.
    let _ = shared.events.send(Event::Refused {
        stream: stream.to_owned(),
        protocol: *protocol,
        peer: peer.clone(),
        message: refusal.message.clone(),
    });
}

/// Decides from memory alone whether a caller is admitted.
pub(super) fn judge(
    shared: &Shared,
    access_request: &AccessRequest,
) -> Result<(StreamEntry, Admission), Refusal> {
    if shared.is_stopping() {
        return Err(Refusal::new(
            RefusalKind::Busy,
            "the appliance is shutting down",
            "try again in a minute",
        ));
    }
    let entry = shared.entry(&access_request.stream).ok_or_else(|| {
        match shared.entry_of_token(&access_request.stream) {
            Some(_) => token_for_name(),
            None => unknown(),
        }
    })?;
    let spec = entry.spec();
    check_credential(&spec.access, access_request)?;
    let passphrase = spec.access.srt_passphrase.clone().map(Secret::new);
    Ok((entry, Admission { passphrase }))
}

/// Whether the rules of a stream admit a caller.
pub(super) fn check_credential(
    access: &Access,
    access_request: &AccessRequest,
) -> Result<(), Refusal> {
    let (open, token, act) = match access_request.action {
        Action::Publish => (access.open_publish, &access.publish_token, "publish"),
        Action::Play => (access.open_play, &access.play_token, "play"),
    };
    let shown = access_request.credential.as_ref().filter(|c| !c.is_empty());
    let fits = match (token, shown) {
        (Some(token), Some(shown)) => !token.is_empty() && shown.matches_pasted(token),
        _ => false,
    };
    if !open && !fits {
        let what = if shown.is_none() { "no token" } else { "a wrong token" };
        return Err(Refusal::new(
            RefusalKind::Unauthorized,
            format!("{what} to {act} stream `{}`", access_request.stream),
            format!("give the stream's {act} token"),
        ));
    }
    Ok(())
}

pub(super) fn unknown() -> Refusal {
    Refusal::new(
        RefusalKind::UnknownStream,
        "there is no stream of this name",
        "create it first: POST /api/v1/streams",
    )
}

/// A common mistake with encoders that have one field for everything: only the token was entered.
fn token_for_name() -> Refusal {
    Refusal::new(
        RefusalKind::UnknownStream,
        "a token stands where the stream's name belongs",
        "give the name first: NAME?token=TOKEN by RTMP, publish:NAME:TOKEN by SRT",
    )
}

/// Sends a command to a stream and waits for its answer.
pub(super) async fn ask<T>(
    entry: &StreamEntry,
    command: impl FnOnce(oneshot::Sender<Result<T, Refusal>>) -> Command,
) -> Result<T, Refusal> {
    let (reply, answer) = oneshot::channel();
    let busy = || {
        Refusal::new(
            RefusalKind::Busy,
            format!("stream `{}` has too much to do", entry.spec().name),
            "try again in a second",
        )
    };
    entry.commands.try_send(command(reply)).map_err(|_| busy())?;
    answer.await.map_err(|_| busy())?
}

/// Takes a subscription and waits until its feeds flow.
pub(super) async fn subscribe(
    entry: &StreamEntry,
    protocol: Protocol,
    accepts: Accepts,
) -> Result<Subscription, Refusal> {
    let mut subscription = ask(entry, |reply| Command::Play { protocol, accepts, reply }).await?;
    let inputs = subscription.inputs.borrow_and_update().clone();
    match tokio::time::timeout(FEEDS_TIMEOUT, flowing(&inputs)).await {
        Ok(()) => Ok(subscription),
        Err(_) => Err(Refusal::new(
            RefusalKind::Busy,
            format!("the media of `{}` was not ready within {FEEDS_TIMEOUT:?}", entry.spec().name),
            "look at the stream's nodes for one that fails, and try again",
        )),
    }
}

/// Waits until the format of each feed is known.
async fn flowing(inputs: &Inputs) {
    for feed in [&inputs.video, &inputs.audio].into_iter().flatten() {
        // The feed outlives this wait: the subscription holds it.
        let _ = feed.format().wait_for(Option::is_some).await;
    }
}
