//! Limits of sessions: for publishers, for viewers, for one stream and for one token.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::media::{IgnorePoison, Secret, StreamName};

/// Most simultaneous publishers of one stream: one is on air, others take over or are leaving.
const PUBLISHERS_PER_STREAM_MAX: usize = 4;

/// Direction of a session's media.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// To the appliance (WHIP).
    Publish,
    /// From the appliance (WHEP).
    Play,
}

/// Limits of simultaneous sessions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Sessions of both directions.
    pub(super) sessions: usize,
    /// Viewers of all streams: less than `sessions`, so that publishers get the rest.
    pub(super) viewers: usize,
    /// Viewers of one stream.
    pub(super) viewers_per_stream: usize,
    /// Viewers with one token, across all streams.
    pub(super) viewers_per_token: usize,
}

/// Why a session gets no place. The texts name the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// The limit of all sessions is reached.
    #[error("{0} WebRTC sessions are open, the limit (`sessions_max`)")]
    Sessions(usize),
    /// The limit of viewers is reached; the rest is for publishers.
    #[error("{0} viewers play by WebRTC, the limit (`sessions_max` less `publishers_reserved`)")]
    Viewers(usize),
    /// The limit of viewers of this stream is reached.
    #[error("{0} viewers play this stream by WebRTC, the limit (`viewers_per_stream_max`)")]
    ViewersOfStream(usize),
    /// The limit of viewers with this token is reached.
    #[error("{0} viewers play by WebRTC with this token, the limit (`viewers_per_token_max`)")]
    ViewersOfToken(usize),
    /// The limit of publishers of this stream is reached.
    #[error("{0} publishers of this stream are connected by WebRTC, the limit")]
    PublishersOfStream(usize),
    /// The process is short of file descriptors; the rest is kept for recordings.
    #[error("file descriptors run out: raise the limit of open files (`ulimit -n`)")]
    Descriptors,
    /// The appliance is shutting down.
    #[error("the appliance is shutting down")]
    Stopping,
}

/// Counts the places in use. Cheap to clone.
#[derive(Clone)]
pub(super) struct Places(Arc<Inner>);

struct Inner {
    limits: Limits,
    /// Tokens are counted by a hash with a key of this process: they are not stored.
    hasher: RandomState,
    taken: Mutex<HashMap<Owner, usize>>,
}

/// What a place counts against.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Owner {
    Everybody,
    Viewers,
    Stream(Direction, StreamName),
    Token(u64),
}

/// One session's place; it is released on drop.
pub(super) struct SessionPermit {
    places: Places,
    owners: Vec<Owner>,
}

/// What a session counts against, the limit, and the error when it is reached.
type Bound = (Owner, usize, fn(usize) -> Full);

impl Places {
    /// No place is taken yet.
    pub(super) fn new(limits: Limits) -> Self {
        let (hasher, taken) = (RandomState::new(), Mutex::default());
        Self(Arc::new(Inner { limits, hasher, taken }))
    }

    /// Takes a place for one more session.
    ///
    /// # Errors
    /// [`Full`], with the limit that is reached.
    pub(super) fn take(
        &self,
        direction: Direction,
        stream: &StreamName,
        token: Option<&Secret>,
    ) -> Result<SessionPermit, Full> {
        let wanted = self.wanted(direction, stream, token);
        let mut taken = self.lock();
        for (owner, max, full) in &wanted {
            if taken.get(owner).copied().unwrap_or(0) >= *max {
                return Err(full(*max));
            }
        }
        let owners: Vec<Owner> = wanted.into_iter().map(|(owner, ..)| owner).collect();
        owners.iter().for_each(|owner| *taken.entry(owner.clone()).or_default() += 1);
        Ok(SessionPermit { places: self.clone(), owners })
    }

    /// What a session counts against, each with its limit and error.
    fn wanted(
        &self,
        direction: Direction,
        stream: &StreamName,
        token: Option<&Secret>,
    ) -> Vec<Bound> {
        let limits = &self.0.limits;
        let of_stream = Owner::Stream(direction, stream.clone());
        let everybody = (Owner::Everybody, limits.sessions, Full::Sessions as fn(usize) -> Full);
        match direction {
            Direction::Publish => {
                vec![(of_stream, PUBLISHERS_PER_STREAM_MAX, Full::PublishersOfStream), everybody]
            }
            Direction::Play => {
                let token = token.map(|token| self.0.hasher.hash_one(token.expose()));
                let of_token = token.map(Owner::Token);
                let of_token =
                    of_token.map(|t| (t, limits.viewers_per_token, Full::ViewersOfToken as _));
                let own = (of_stream, limits.viewers_per_stream, Full::ViewersOfStream as _);
                let viewers = (Owner::Viewers, limits.viewers, Full::Viewers as _);
                of_token.into_iter().chain([own, viewers, everybody]).collect()
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Owner, usize>> {
        self.0.taken.lock().ignore_poison()
    }
}

impl Drop for SessionPermit {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        for owner in &self.owners {
            if let Some(count) = taken.get_mut(owner) {
                *count -= 1;
                if *count == 0 {
                    taken.remove(owner);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits =
        Limits { sessions: 8, viewers: 6, viewers_per_stream: 4, viewers_per_token: 3 };

    /// Takes a place for `who`: `>` publishes, `<` plays, then the stream, then the token.
    fn take(places: &Places, who: &str) -> Result<SessionPermit, Full> {
        let (direction, rest) = who.split_at(1);
        let (stream, token) = rest.split_once(' ').unwrap_or((rest, ""));
        let token = (!token.is_empty()).then(|| Secret::new(token));
        let direction = if direction == ">" { Direction::Publish } else { Direction::Play };
        places.take(direction, &stream.parse().expect("a name"), token.as_ref())
    }

    #[test]
    fn nobody_takes_the_places_of_others() {
        let places = Places::new(LIMITS);
        let mut held = Vec::new();
        let mut check = |who: &str, expect: Option<Full>| match take(&places, who) {
            Ok(place) => {
                assert_eq!(expect, None, "{who} got a place");
                held.push(place);
            }
            Err(full) => assert_eq!(Some(full), expect, "{who}"),
        };
        check("<a one", None);
        check("<a one", None);
        check("<a one", None);
        check("<a one", Some(Full::ViewersOfToken(3)));
        check("<b one", Some(Full::ViewersOfToken(3)));
        check("<a two", None);
        check("<a two", Some(Full::ViewersOfStream(4)));
        check("<a", Some(Full::ViewersOfStream(4)));
        check("<b two", None);
        check("<b two", None);
        check("<c", Some(Full::Viewers(6)));
        check(">a one", None);
        check(">b one", None);
        check(">c one", Some(Full::Sessions(8)));
    }

    #[test]
    fn places_are_given_back() {
        let places = Places::new(Limits { viewers_per_token: 1, ..LIMITS });
        let place = take(&places, "<a one").ok();
        assert!(place.is_some() && take(&places, "<a one").is_err());
        drop(place);
        assert!(take(&places, "<a one").is_ok());
        assert!(places.lock().is_empty(), "nothing is remembered");
    }

    #[test]
    fn a_stream_has_few_publishers() {
        let places = Places::new(LIMITS);
        let held: Vec<_> =
            (0..PUBLISHERS_PER_STREAM_MAX).map(|_| take(&places, ">a one")).collect();
        assert!(held.iter().all(Result::is_ok));
        assert!(matches!(take(&places, ">a one"), Err(Full::PublishersOfStream(_))));
        assert!(take(&places, ">b one").is_ok());
    }
}
