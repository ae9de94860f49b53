//! The feeds of an MP4 writer: waits until they are known, and until they change.

use std::time::Duration;

use futures::future::{pending, select_all};
use futures::{FutureExt, future::BoxFuture};

use crate::flow::{Blame, Error, Feed, Inputs, Join, Node, Task};
use crate::media::{Codec, Kind};

/// How long to wait for the second track after the first one flows. A later track restarts the
/// writer.
const SECOND_TRACK_MAX: Duration = Duration::from_secs(2);

/// A flowing feed and its codec.
#[derive(Clone)]
pub struct Source {
    /// The feed of the track.
    pub feed: Feed,
    /// Its current codec.
    pub codec: Codec,
}

impl Source {
    /// Video or audio.
    pub fn kind(&self) -> Kind {
        self.feed.kind()
    }
}

/// Waits until the feeds flow. Returns them with their codecs, video first; never empty. `None` if
/// the task is cancelled before.
pub async fn settle(task: &Task, inputs: &Inputs) -> Option<Vec<Source>> {
    let feeds: Vec<&Feed> = inputs.video.iter().chain(&inputs.audio).collect();
    let flowing = |feed: &Feed| {
        let mut format = feed.format();
        async move {
            if format.wait_for(Option::is_some).await.is_err() {
                pending::<()>().await;
            }
        }
        .boxed()
    };
    let first: Vec<BoxFuture<'_, ()>> = feeds.iter().map(|f| flowing(f)).collect();
    tokio::select! {
        () = task.cancel.cancelled() => return None,
        () = async { if first.is_empty() { pending().await } else { select_all(first).await.0 } } => {}
    }
    let all = futures::future::join_all(feeds.iter().map(|f| flowing(f)));
    tokio::select! {
        () = task.cancel.cancelled() => return None,
        _ = tokio::time::timeout(SECOND_TRACK_MAX, all) => {}
    }
    let source = |feed: &Feed| {
        let codec = feed.format().borrow().as_ref().map(|f| f.codec)?;
        Some(Source { feed: feed.clone(), codec })
    };
    let sources: Vec<_> = feeds.into_iter().filter_map(source).collect();
    // A feed that was cleared meanwhile is waited for again.
    if sources.is_empty() { Box::pin(settle(task, inputs)).await } else { Some(sources) }
}

/// Waits until a codec changes or a new track appears.
pub async fn changed(inputs: &Inputs, sources: &[Source]) {
    let watches = inputs.video.iter().chain(&inputs.audio).map(|feed| {
        let known = sources.iter().find(|s| s.kind() == feed.kind()).map(|s| s.codec);
        let mut format = feed.format();
        async move {
            let other = |f: &Option<crate::media::Format>| {
                f.as_ref().is_some_and(|f| Some(f.codec) != known)
            };
            if format.wait_for(other).await.is_err() {
                pending::<()>().await;
            }
        }
        .boxed()
    });
    let watches: Vec<_> = watches.collect();
    if watches.is_empty() {
        pending::<()>().await;
    }
    select_all(watches).await;
}

/// A node with one branch and one tap per source, not yet linked to the feeds.
///
/// # Errors
/// [`Error::Refused`] for a codec that MP4 cannot carry; errors of [`Node::parse`].
pub fn node(name: &str, sources: &[Source]) -> Result<Node, Error> {
    let mut description = String::new();
    for source in sources {
        let branch = super::branch(source.kind().as_str(), source.codec).ok_or_else(|| {
            Error::refused(
                Blame::Us,
                format!("{} cannot be put into MP4 as it is", source.codec),
                "let the plan convert it first: `accepts` lists what fits",
            )
        })?;
        description.push_str(&branch);
    }
    Node::parse(name, &description)
}

/// Links the node to its feeds. All kept GOPs, beginning with the one that contains `from`, are
/// delivered first at their true times, so that a file or segment exists at once and its start is
/// complete. The audio of the same time comes with them. `from` is [`gst::ClockTime::ZERO`] at
/// first. After a change it is the value that [`newest`] returned before, so that only the GOP in
/// which the written media ends is repeated.
///
/// # Errors
/// [`Error::Build`] if the node was not made by [`node`].
pub fn link(node: &Node, sources: &[Source], from: gst::ClockTime) -> Result<(), Error> {
    let feed = |kind| sources.iter().find(|s| s.kind() == kind).map(|s| &s.feed);
    node.input_backlog(feed(Kind::Video), feed(Kind::Audio), Join::KeptFrom(from))
}

/// After the stream went off air, waits for the last pending buffers of the feeds, at most `max`.
pub async fn ended(sources: &[Source], max: Duration) {
    futures::future::join_all(sources.iter().map(|source| source.feed.ended(max))).await;
}

/// Running time up to which the feeds have delivered media; of the video feed if there is one.
pub fn newest(sources: &[Source]) -> gst::ClockTime {
    sources.first().and_then(|source| source.feed.newest()).unwrap_or_default()
}
