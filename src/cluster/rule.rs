//! Which of several appliances with a stream of one name is the origin. Pure.

use std::sync::Arc;

use super::{ApplianceId, StreamAccess};

/// Where a stream was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Address of the origin, for display.
    pub origin: String,
    /// Its host, in brackets if it is an IPv6 address.
    pub host: String,
    /// How the stream is played there.
    pub access: StreamAccess,
}

/// What is known of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// An origin has it, on air or not.
    Found(Arc<Found>),
    /// Every origin has answered, and none has it.
    Nowhere,
    /// Those that answered do not have it, and at least one did not answer.
    Unreachable,
}

/// How an appliance that is asked is known.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// Its index in the configuration.
    Listed(usize),
    /// It is known by Redis.
    Registered(ApplianceId),
}

/// What one appliance says of a stream.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    /// Nothing yet.
    Pending,
    /// It cannot be asked.
    Failed,
    /// It has no such stream of its own.
    Unknown,
    Has(Arc<Found>),
}

impl Reply {
    fn found(&self) -> Option<&Arc<Found>> {
        match self {
            Self::Has(found) => Some(found),
            Self::Pending | Self::Failed | Self::Unknown => None,
        }
    }

    pub(super) fn is_live(&self) -> bool {
        self.found().is_some_and(|found| found.access.live)
    }
}

/// How much of a stream an appliance has. The smaller one is preferred.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Has {
    Publisher,
    Slate,
    Name,
}

/// What decides between two appliances, in this order: what they have of the stream, their index in
/// the configuration, the age of the publisher in milliseconds, the identity.
type Rank<'a> = (Has, usize, u64, Option<&'a ApplianceId>);

/// The index of all that are not in the configuration.
const UNLISTED_INDEX: usize = usize::MAX;

fn rank<'a>(place: &'a Place, access: &StreamAccess) -> Rank<'a> {
    let has = match (access.live, access.live_ms) {
        (true, Some(_)) => Has::Publisher,
        (true, None) => Has::Slate,
        (false, _) => Has::Name,
    };
    match place {
        Place::Listed(index) => (has, *index, 0, None),
        Place::Registered(id) => {
            (has, UNLISTED_INDEX, access.live_ms.unwrap_or(u64::MAX), Some(id))
        }
    }
}

/// The best appliance that has the stream, and its rank.
fn best<'a>(asked: &'a [(Place, Reply)]) -> Option<(Rank<'a>, &'a Arc<Found>)> {
    let has = asked.iter().filter_map(|(place, reply)| Some((place, reply.found()?)));
    let ranked = has.map(|(place, found)| (rank(place, &found.access), found));
    ranked.min_by_key(|(rank, _)| *rank)
}

/// Two origins with one name are resolved by one rule: with a publisher before with the slate before
/// without either; then those of the configuration in their order, before those of Redis; of these the
/// one with the newest publisher, and of two as new the one with the smaller identity.
pub(super) fn choose(asked: &[(Place, Reply)]) -> Lookup {
    match best(asked) {
        Some((_, found)) => Lookup::Found(Arc::clone(found)),
        None if asked.iter().all(|(_, reply)| matches!(reply, Reply::Unknown)) => Lookup::Nowhere,
        None => Lookup::Unreachable,
    }
}

/// Whether a better origin may still answer.
pub(super) fn may_improve(asked: &[(Place, Reply)]) -> bool {
    let best = best(asked).map(|(rank, _)| rank);
    let beats = |place: &Place| match (&best, place) {
        (Some((Has::Publisher, index, ..)), Place::Listed(other)) => other < index,
        (Some((Has::Publisher, index, ..)), Place::Registered(_)) => *index == UNLISTED_INDEX,
        _ => true,
    };
    asked.iter().any(|(place, reply)| matches!(reply, Reply::Pending) && beats(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(origin: &str, live: bool, live_ms: Option<u64>) -> Reply {
        let access = StreamAccess {
            live,
            live_ms,
            open_play: false,
            play_token: None,
            srt_passphrase: None,
            srt_port: Some(1),
        };
        let (origin, host) = (origin.to_owned(), origin.to_owned());
        Reply::Has(Arc::new(Found { origin, host, access }))
    }

    fn live(origin: &str) -> Reply {
        has(origin, true, Some(9))
    }

    fn listed(replies: Vec<Reply>) -> Vec<(Place, Reply)> {
        replies.into_iter().enumerate().map(|(at, reply)| (Place::Listed(at), reply)).collect()
    }

    fn registered(replies: Vec<(&str, Reply)>) -> Vec<(Place, Reply)> {
        let place = |digit: &str| {
            Place::Registered(ApplianceId::read(digit.repeat(16).as_bytes()).expect("an identity"))
        };
        replies.into_iter().map(|(digit, reply)| (place(digit), reply)).collect()
    }

    #[test]
    fn one_rule_decides_and_silence_is_no_refusal() {
        let check = |asked: Vec<(Place, Reply)>, expect: &str| {
            let chosen = match choose(&asked) {
                Lookup::Found(found) => found.origin.clone(),
                other => format!("{other:?}"),
            };
            assert_eq!(chosen, expect, "{asked:?}");
        };
        let idle = |origin: &str| has(origin, false, None);
        let slate = |origin: &str| has(origin, true, None);
        let since = |origin: &str, ms: u64| has(origin, true, Some(ms));
        check(listed(vec![live("a"), live("b")]), "a");
        check(listed(vec![idle("a"), live("b")]), "b");
        check(listed(vec![slate("a"), live("b")]), "b");
        check(listed(vec![idle("a"), slate("b")]), "b");
        check(listed(vec![Reply::Failed, idle("b")]), "b");
        check(listed(vec![Reply::Pending, live("b")]), "b");
        check(listed(vec![Reply::Unknown, Reply::Unknown]), "Nowhere");
        check(listed(vec![Reply::Unknown, Reply::Failed]), "Unreachable");
        check(listed(vec![Reply::Unknown, Reply::Pending]), "Unreachable");
        check(registered(vec![("1", since("a", 90)), ("2", since("b", 80))]), "b");
        check(registered(vec![("2", since("b", 80)), ("1", since("a", 80))]), "a");
        check(registered(vec![("1", slate("a")), ("2", since("b", 80))]), "b");
        check(registered(vec![("2", idle("b")), ("1", idle("a"))]), "a");
        let mixed = |first: Reply, second: Reply| {
            let mut asked = listed(vec![first]);
            asked.extend(registered(vec![("1", second)]));
            asked
        };
        check(mixed(since("a", 90), since("b", 80)), "a");
        check(mixed(slate("a"), since("b", 80)), "b");
        check(Vec::new(), "Nowhere");
    }

    #[test]
    fn only_a_better_origin_is_waited_for() {
        assert!(may_improve(&listed(vec![Reply::Pending, live("b")])));
        assert!(!may_improve(&listed(vec![live("a"), Reply::Pending])));
        assert!(!may_improve(&listed(vec![Reply::Failed, live("b")])));
        assert!(may_improve(&listed(vec![has("a", false, None), Reply::Pending])));
        assert!(may_improve(&registered(vec![("1", live("a")), ("2", Reply::Pending)])));
        assert!(!may_improve(&registered(vec![("1", live("a")), ("2", Reply::Failed)])));
    }
}
