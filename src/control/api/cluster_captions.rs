//! `/api/v1/cluster/streams/{name}/captions`: the captions of a stream for the edges that pull it.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures::{Stream, StreamExt};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::cluster::own;
use super::extract::Params;
use super::{ApiState, Error, Failures};
use crate::flow::{CaptionFeeds, CaptionFeedsReader, CueFeed};
use crate::media::{Language, StreamName};
use crate::webrtc::trunk::{Message, SentCue};

/// An edge takes longer silence for a dead connection.
const COMMENT_INTERVAL: Duration = Duration::from_secs(15);

/// Follows the captions of a stream as server-sent events, with the messages `languages` and `cue` of a
/// trunk. Needs the token of the cluster.
#[utoipa::path(get, path = "/api/v1/cluster/streams/{name}/captions", tag = "captions",
    params(("name" = String, Path)),
    responses((status = 200, body = String, content_type = "text/event-stream"), Failures))]
pub(super) async fn follow_cluster_captions(
    State(state): State<ApiState>,
    Params(name): Params<StreamName>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Error> {
    own(&state, &name)?;
    let cues = Cues::new(&state.supervisor().caption_feeds(&name).await?);
    let next = |mut cues: Cues| async move {
        let message = cues.next().await?;
        Some((Ok(Event::default().data(message.write())), cues))
    };
    let messages = futures::stream::unfold(cues, next);
    let messages = messages.take_until(state.shutdown.clone().cancelled_owned());
    Ok(Sse::new(messages).keep_alive(KeepAlive::new().interval(COMMENT_INTERVAL)))
}

/// The captions of a stream as messages.
struct Cues {
    caption_feeds: watch::Receiver<Vec<CueFeed>>,
    reader: CaptionFeedsReader,
    ended: CancellationToken,
    /// The languages that were sent last.
    known: Option<Vec<Language>>,
}

impl Cues {
    fn new(feeds: &CaptionFeeds) -> Self {
        let (reader, ended) = (feeds.read(), feeds.ended());
        Self { caption_feeds: feeds.subscribe(), reader, ended, known: None }
    }

    /// The next message. `None` when the stream has ended.
    async fn next(&mut self) -> Option<Message> {
        loop {
            let feeds = self.caption_feeds.borrow_and_update().clone();
            let tags: Vec<Language> = feeds.iter().map(|feed| feed.language().clone()).collect();
            if self.known.as_ref() != Some(&tags) {
                // Cues of a language follow its announcement.
                self.reader.follow();
                self.known = Some(tags.clone());
                return Some(Message::Languages { tags });
            }
            tokio::select! {
                () = self.ended.cancelled() => return None,
                changed = self.caption_feeds.changed() => changed.ok()?,
                (feed, cue) = self.reader.next() => {
                    return Some(Message::Cue(SentCue::new(feed.language(), &cue)));
                }
            }
        }
    }
}
