//! What a kind of pulled source has to say of itself.

use std::future::Future;
use std::sync::Arc;

use futures::future::BoxFuture;

use super::file_folders;
use crate::cluster::Origins;
use crate::flow::{Error, Intake, Refusal, Status, Subscription};
use crate::media::{InvalidSetting, Protocol, StreamName};

/// A source that the appliance opens itself. Its fields are its settings in the API.
pub trait PulledSource: Clone + Send + 'static {
    /// How it is connected.
    const PROTOCOL: Protocol;

    /// Whether opening it reads files that the admin names; such a read may hang.
    const READS_FILES: bool = false;

    /// Where it is, for display: without secrets.
    fn shown(&self) -> String;

    /// Checks the settings without any effect.
    ///
    /// # Errors
    /// The first setting that cannot be used.
    fn check(&self) -> Result<(), InvalidSetting> {
        Ok(())
    }

    /// Delivers media until the intake is cancelled.
    ///
    /// # Errors
    /// Why it cannot be opened, or has ended; it is then opened again.
    fn run(self, context: SourceContext) -> impl Future<Output = Result<(), Error>> + Send;
}

/// What a source may use.
pub struct SourceContext {
    /// Where its media goes.
    pub intake: Intake,
    /// State of its node, for the API. A source that reads files says when it runs; every other one
    /// runs from the beginning.
    pub status: Status,
    /// Restrictions on files.
    pub files: file_folders::Config,
    /// The other streams of this appliance.
    pub streams: Arc<dyn OtherStreams>,
    /// The other appliances that have streams for this one.
    pub origins: Arc<Origins>,
}

/// Access to the other streams of the appliance. It needs no credential.
pub trait OtherStreams: Send + Sync {
    /// Subscribes to a stream.
    fn subscribe(&self, stream: StreamName) -> BoxFuture<'static, Result<Subscription, Refusal>>;
}

#[cfg(test)]
pub(crate) mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::flow::RefusalKind;
    use crate::ingress::SourceSpec;

    /// An appliance without other streams.
    struct NoStreams;

    impl OtherStreams for NoStreams {
        fn subscribe(&self, _: StreamName) -> BoxFuture<'static, Result<Subscription, Refusal>> {
            let refusal = Refusal::new(RefusalKind::UnknownStream, "no such stream", "create it");
            async { Err(refusal) }.boxed()
        }
    }

    /// Runs a source as the API would describe it, without a stream; returns its status too.
    pub(crate) fn run_alone(
        source: &serde_json::Value,
        intake: Intake,
        files: file_folders::Config,
    ) -> (Status, impl Future<Output = Result<(), Error>> + Send + use<>) {
        let source: SourceSpec = serde_json::from_value(source.clone()).expect("a source");
        let status = Status::default();
        let streams = Arc::new(NoStreams);
        let origins = Arc::default();
        let context = SourceContext { intake, status: status.clone(), files, streams, origins };
        (status, source.run(context))
    }
}
