//! Another stream of this appliance as a source.

use crate::flow::{Error, Intake, Join, Node, Subscription};

/// Forwards the programme of another stream until either ends.
///
/// # Errors
/// If the other stream ends, or has neither video nor audio.
pub async fn run(intake: Intake, mut subscription: Subscription) -> Result<(), Error> {
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
