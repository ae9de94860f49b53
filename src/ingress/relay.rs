//! Another stream of this appliance as a source.

use serde::{Deserialize, Serialize};

use super::source::{PulledSource, SourceContext};
use crate::flow::{Blame, Error, Intake, Join, Node, Refusal, Subscription};
use crate::media::{Protocol, StreamName};

/// Another stream of this appliance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamSource {
    /// Name of that stream.
    #[schema(value_type = String)]
    name: StreamName,
}

impl StreamSource {
    /// The stream of this name.
    pub fn new(name: StreamName) -> Self {
        Self { name }
    }
}

impl PulledSource for StreamSource {
    const PROTOCOL: Protocol = Protocol::Stream;

    fn shown(&self) -> String {
        self.name.to_string()
    }

    async fn run(self, context: SourceContext) -> Result<(), Error> {
        let subscription = context.streams.subscribe(self.name).await;
        let refused = |r: Refusal| Error::refused(Blame::Input, r.message, r.hint);
        forward(context.intake, subscription.map_err(refused)?).await
    }
}

/// Forwards the programme of another stream until either ends.
///
/// # Errors
/// If the other stream ends, or has neither video nor audio.
async fn forward(intake: Intake, mut subscription: Subscription) -> Result<(), Error> {
    let inputs = subscription.inputs.borrow_and_update().clone();
    let tracks = [("video", inputs.video), ("audio", inputs.audio)];
    let description: String = tracks
        .iter()
        .filter(|(_, feed)| feed.is_some())
        .map(|(kind, _)| format!("appsrc name=in_{kind} ! appsink name={kind} "))
        .collect();
    let node = Node::parse("relay", &description)?;
    for (kind, feed) in tracks {
        let Some(feed) = feed else { continue };
        node.output(kind, intake.tracks.writer(feed.kind()))?;
        node.input(&format!("in_{kind}"), &feed, Join::Backlog)?;
    }
    node.start().await?;
    let outcome = tokio::select! {
        outcome = node.run(&intake.cancel) => outcome,
        () = subscription.cancel.cancelled() => Err(Error::Ended),
        // Other feeds need another graph: the next run of this source uses them.
        _ = subscription.inputs.changed() => Err(Error::Ended),
    };
    node.stop().await?;
    outcome
}
