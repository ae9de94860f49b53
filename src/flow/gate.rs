//! Admission of publishers and viewers: what a protocol asks before it takes or gives media.

use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Inputs, Intake, SourceReport};
use crate::media::{Accepts, Ladder, Protocol, Rung, Secret, StreamName};

/// What a client wants to do with a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Put media in.
    Publish,
    /// Take media out.
    Play,
}

/// A client that asks for admission.
#[derive(Clone, Debug)]
pub struct AccessRequest {
    /// What it wants to do.
    pub action: Action,
    /// How it is connected.
    pub protocol: Protocol,
    /// The stream that it names.
    pub stream: StreamName,
    /// The token or key as the client sent it: perhaps percent-encoded, see
    /// [`Secret::matches_pasted`].
    pub credential: Option<Secret>,
    /// The client's address.
    pub peer: String,
}

/// The terms on which a client is admitted.
#[derive(Clone, Debug, Default)]
pub struct Admission {
    /// The passphrase that an SRT connection must be encrypted with, if any.
    pub passphrase: Option<Secret>,
}

/// Why a client is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// No credential, or a wrong one.
    Unauthorized,
    /// No stream of that name.
    UnknownStream,
    /// Another publisher has the stream.
    Taken,
    /// Nothing is being published, so there is nothing to play.
    NotLive,
    /// The viewer can take no format that the stream can give.
    Unsupported,
    /// The appliance is at its limit or shutting down.
    Busy,
}

/// A refusal, with texts for the client.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The kind of refusal.
    pub kind: RefusalKind,
    /// What was wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl Refusal {
    /// A refusal with its reason, what was wrong and what to do.
    pub fn new(kind: RefusalKind, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: hint.into() }
    }
}

/// Admission to all streams. One object that all protocols share.
pub trait Gate: Send + Sync + 'static {
    /// Decides whether a client is admitted. Returns from memory, without waiting: it is called on
    /// the handshake threads of the protocols. A refusal is logged and counted here, once.
    ///
    /// # Errors
    /// The refusal; the protocol sends it to the peer as far as it can express it.
    fn admit(&self, access_request: &AccessRequest) -> Result<Admission, Refusal>;

    /// Makes the stream of a viewer ready that is not on this appliance: it may come from another one.
    /// Waits up to some seconds. Whether the viewer is admitted is for [`Self::admit`] and
    /// [`Self::play`], which includes this.
    ///
    /// # Errors
    /// The refusal, logged and counted like any other.
    fn prepare(&self, _access_request: AccessRequest) -> BoxFuture<'static, Result<(), Refusal>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Takes the publisher's place in the stream; [`Self::admit`] is included.
    fn publish(
        &self,
        access_request: AccessRequest,
        report: Arc<SourceReport>,
    ) -> BoxFuture<'static, Result<Intake, Refusal>>;

    /// Takes a viewer's subscription; [`Self::admit`] is included. Waits up to some seconds until the
    /// feeds that the viewer can take are flowing.
    fn play(
        &self,
        access_request: AccessRequest,
        accepts: Accepts,
    ) -> BoxFuture<'static, Result<Subscription, Refusal>>;

    /// Reports a refusal that only the protocol can detect, such as a wrong SRT passphrase or input
    /// that is not media, so that it is logged, counted and shown like those of the gate.
    fn report_refusal(&self, access_request: &AccessRequest, refusal: &Refusal);
}

/// A viewer's subscription: the feeds that fit what it can take. Dropping it frees the subscription.
pub struct Subscription {
    /// The stream that is played.
    pub stream: StreamName,
    /// The feeds now; they may change to others of the same codecs while the viewer watches.
    pub inputs: watch::Receiver<Inputs>,
    /// How the viewer changes its quality.
    pub qualities: Qualities,
    /// Cancelled when the stream wants the viewer gone.
    pub cancel: CancellationToken,
    /// Runs when the subscription is dropped.
    pub on_drop: Option<Box<dyn FnOnce() + Send + Sync>>,
}

/// How a viewer changes its quality while it watches. The default offers none.
#[derive(Default)]
pub struct Qualities {
    /// What the stream offers.
    pub ladder: Option<watch::Receiver<Ladder>>,
    /// Asks for a rung, or the source; the feeds of the subscription then change.
    pub choose: Option<Box<dyn Fn(Option<Rung>) + Send + Sync>>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(tell) = self.on_drop.take() {
            tell();
        }
    }
}
