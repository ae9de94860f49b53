//! Messages waiting for a slow reader.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use super::message::Message;
use crate::flow::CueFeed;

/// Maximum number of waiting messages.
const WAITING_MESSAGES_MAX: usize = 32;

/// Messages waiting for a slow reader, oldest first. When it is full, partial cues are dropped
/// first; drops are counted at their feed.
#[derive(Default)]
pub(crate) struct Backlog(VecDeque<(Option<CueFeed>, Message)>);

impl Backlog {
    /// Appends a message.
    pub(crate) fn push(&mut self, feed: Option<CueFeed>, message: Message) {
        // A newer partial cue supersedes the previous one.
        let replaced = is_partial(&message).then(|| self.partial_of(feed.as_ref())).flatten();
        if let Some(at) = replaced {
            self.lose(at);
        }
        while self.0.len() >= WAITING_MESSAGES_MAX {
            let partial = self.0.iter().position(|(_, message)| is_partial(message));
            self.lose(partial.unwrap_or(0));
        }
        self.0.push_back((feed, message));
    }

    /// Takes the oldest message, with current time fields.
    pub(crate) fn pop(&mut self) -> Option<Message> {
        let (_, mut message) = self.0.pop_front()?;
        message.stamp();
        Some(message)
    }

    fn partial_of(&self, feed: Option<&CueFeed>) -> Option<usize> {
        let name = |feed: &CueFeed| feed.name().to_owned();
        let wanted = feed.map(name);
        self.0.iter().position(|(f, m)| is_partial(m) && f.as_ref().map(name) == wanted)
    }

    fn lose(&mut self, at: usize) {
        if let Some((Some(feed), _)) = self.0.remove(at) {
            feed.stats().dropped_slow.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn is_partial(message: &Message) -> bool {
    matches!(message, Message::Cue(cue) if cue.stage == crate::media::Stage::Partial)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::words::tests::{cue, feed};
    use crate::media::Stage;

    #[test]
    fn what_may_change_goes_first_and_is_counted() {
        let feed = feed("en");
        let mut backlog = Backlog::default();
        let message = |id, stage| Message::Cue((&cue(id, stage, "words")).into());
        for id in 1..=30 {
            backlog.push(Some(feed.clone()), message(id, Stage::Committed));
            backlog.push(Some(feed.clone()), message(id + 1, Stage::Partial));
        }
        // 29 partial cues were superseded.
        let dropped = || feed.stats().dropped_slow.load(Ordering::Relaxed);
        assert_eq!(dropped(), 29);
        for id in 31..=34 {
            backlog.push(Some(feed.clone()), message(id, Stage::Committed));
        }
        // Room for 32: the last partial cue was dropped, then the two oldest committed ones.
        assert_eq!(dropped(), 32);
        let ids: Vec<u64> = std::iter::from_fn(|| backlog.pop())
            .map(|m| match m {
                Message::Cue(cue) => cue.id,
                Message::Hello(_) => 0,
            })
            .collect();
        assert_eq!(ids, (3..=34).collect::<Vec<_>>());
    }
}
