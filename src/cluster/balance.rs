//! Which appliance a publisher or a player by WebRTC should use instead of the one that it asked. Pure.
//!
//! Below [`BUSY_RATIO`] a client stays where it came. From there on only an appliance that is less loaded
//! by [`MARGIN_RATIO`] is better, so two that are as busy never send clients to each other; and who was sent
//! on once stays in any case.

use super::ApplianceLoad;

/// Load from which clients are sent to others, 0-1: room is left for those that are there to go on.
const BUSY_RATIO: f64 = 0.7;

/// How much less load a better appliance has, 0-1. What is known of the others is up to two seconds old,
/// and the load of a processor swings by a tenth in that time.
const MARGIN_RATIO: f64 = 0.2;

/// What a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// To publish.
    Publish,
    /// To play what is on air.
    Play,
}

/// What an appliance has of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holding {
    /// It is its own, and its publisher is on air.
    OnAir,
    /// It has it from an origin.
    Copy,
    /// It is its own, without a publisher.
    Name,
    /// Nothing: it would have to pull it.
    Nothing,
}

/// An appliance, as far as the choice is concerned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) holding: Holding,
    /// Load, 0-1.
    pub(super) ratio: f64,
    /// It would refuse one more client.
    pub(super) is_full: bool,
}

impl Candidate {
    /// An appliance that has this load and as many viewers.
    pub(super) fn new(holding: Holding, load: &ApplianceLoad, viewers: u64) -> Self {
        let load = ApplianceLoad { viewers, ..load.clone() };
        let streams = load.streams + load.streams_from_origins;
        let no_place = holding == Holding::Nothing && streams >= load.streams_max;
        let is_full = no_place || load.viewers >= load.viewers_max as u64;
        Self { holding, ratio: load.ratio(), is_full }
    }

    fn is_clearly_better_than(&self, here: &Self) -> bool {
        !self.is_full && (here.is_full || self.ratio <= here.ratio - MARGIN_RATIO)
    }
}

/// The index of the appliance that should serve the client. `None` if that is this one, `here`.
pub(super) fn better(wish: Wish, here: &Candidate, others: &[Candidate]) -> Option<usize> {
    let is_busy = here.is_full || here.ratio >= BUSY_RATIO;
    let any = |holding: Holding| others.iter().any(|other| other.holding == holding);
    let clearly = |other: &Candidate| other.is_clearly_better_than(here);
    let played = |other: &Candidate| played(other, can_be_pulled(here, others));
    match (wish, here.holding) {
        // The publisher may be the one that was there: it has viewers here, or has left another one.
        (Wish::Publish, Holding::OnAir) => None,
        (Wish::Publish, Holding::Name) if any(Holding::OnAir) || !is_busy => None,
        (Wish::Publish, Holding::Name) => {
            best(others, |other| (other.holding == Holding::Name && clearly(other)).then_some(0))
        }
        // It would be refused here.
        (Wish::Publish, Holding::Copy | Holding::Nothing) => best(others, |other| {
            let rank = match other.holding {
                Holding::OnAir => 0,
                Holding::Name => 1,
                Holding::Copy | Holding::Nothing => return None,
            };
            Some(rank + if other.is_full { 2 } else { 0 })
        }),
        (Wish::Play, Holding::Name) => {
            let is_somewhere = any(Holding::OnAir);
            best(others, |other| played(other).filter(|_| is_somewhere && !other.is_full))
        }
        (Wish::Play, _) if !is_busy => None,
        (Wish::Play, _) => best(others, |other| played(other).filter(|_| clearly(other))),
    }
}

/// Whether an origin has a place for one more edge, which is a viewer there. One that is not known by Redis
/// may have.
fn can_be_pulled(here: &Candidate, others: &[Candidate]) -> bool {
    let all = || others.iter().chain([here]).filter(|one| one.holding == Holding::OnAir);
    all().next().is_none() || all().any(|origin| !origin.is_full)
}

/// Where a stream on air is played rather: where it is already, then where it can be pulled to. An
/// appliance that has a stream of this name itself pulls none.
fn played(other: &Candidate, can_be_pulled: bool) -> Option<u8> {
    match other.holding {
        Holding::OnAir | Holding::Copy => Some(0),
        Holding::Nothing => can_be_pulled.then_some(1),
        Holding::Name => None,
    }
}

/// The first of the smallest rank, and of these the one with the least load.
fn best(others: &[Candidate], rank: impl Fn(&Candidate) -> Option<u8>) -> Option<usize> {
    let ranked =
        others.iter().enumerate().filter_map(|(at, other)| Some((rank(other)?, at, other)));
    let least =
        ranked.min_by(|(a, _, one), (b, _, two)| a.cmp(b).then(one.ratio.total_cmp(&two.ratio)));
    least.map(|(_, at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::Holding::{Copy, Name, Nothing, OnAir};
    use super::Wish::{Play, Publish};
    use super::*;

    /// One that is as loaded; at 1.0 it is full.
    fn at(holding: Holding, ratio: f64) -> Candidate {
        Candidate { holding, ratio, is_full: ratio >= 1.0 }
    }

    fn check(wish: Wish, here: Candidate, others: &[Candidate], expect: Option<usize>) {
        assert_eq!(better(wish, &here, others), expect, "{wish:?} {here:?} {others:?}");
    }

    #[test]
    fn players_stay_until_it_is_busy_and_then_go_where_the_stream_is() {
        let idle = [at(OnAir, 0.0), at(Nothing, 0.0)];
        check(Play, at(Copy, 0.69), &idle, None);
        check(Play, at(Nothing, 0.69), &idle, None);
        check(Play, at(Copy, 0.7), &idle, Some(0));
        // A running copy before a new one, though it is more loaded; a new one before none.
        check(Play, at(OnAir, 0.9), &[at(Nothing, 0.1), at(Copy, 0.6)], Some(1));
        check(Play, at(OnAir, 0.9), &[at(Nothing, 0.1), at(Copy, 0.8)], Some(0));
        check(Play, at(OnAir, 0.9), &[at(Copy, 0.3), at(Copy, 0.2), at(Copy, 0.2)], Some(1));
        // Those that have a stream of this name themselves play that one.
        check(Play, at(OnAir, 1.0), &[at(Name, 0.0)], None);
        check(Play, at(Name, 0.0), &[at(Nothing, 0.0), at(OnAir, 0.6)], Some(1));
        check(Play, at(Name, 0.0), &[at(Nothing, 0.0), at(OnAir, 1.0)], None);
        check(Play, at(Name, 0.0), &[at(Copy, 0.0), at(OnAir, 1.0)], Some(0));
        check(Play, at(Name, 0.0), &[at(Nothing, 0.0), at(Name, 0.0)], None);
    }

    #[test]
    fn a_full_one_sends_to_any_with_a_place_and_to_none_that_is_full() {
        check(Play, at(OnAir, 1.0), &[at(Copy, 0.95)], Some(0));
        check(Play, at(OnAir, 1.0), &[at(Copy, 1.0)], None);
        check(Play, at(OnAir, 1.0), &[], None);
        // It has no place for one more edge.
        check(Play, at(OnAir, 1.0), &[at(Nothing, 0.0)], None);
        check(Play, at(Copy, 1.0), &[at(Nothing, 0.0)], Some(0));
        check(Publish, at(Name, 1.0), &[at(Name, 0.95)], Some(0));
    }

    #[test]
    fn publishers_go_only_where_the_stream_was_created() {
        check(Publish, at(Name, 0.8), &[at(Nothing, 0.0), at(Name, 0.5)], Some(1));
        check(Publish, at(Name, 0.8), &[at(Name, 0.7)], None);
        check(Publish, at(Name, 0.3), &[at(Name, 0.0)], None);
        check(Publish, at(OnAir, 0.9), &[at(Name, 0.0)], None);
        check(Publish, at(Name, 0.9), &[at(OnAir, 0.0), at(Name, 0.0)], None);
        check(Publish, at(Nothing, 0.0), &[at(Nothing, 0.0), at(Copy, 0.0)], None);
        check(Publish, at(Nothing, 0.0), &[at(Name, 0.4), at(OnAir, 0.9)], Some(1));
        check(Publish, at(Copy, 0.0), &[at(Name, 1.0), at(Name, 0.9)], Some(1));
        check(Publish, at(Nothing, 0.0), &[at(Name, 1.0)], Some(0));
    }

    #[test]
    fn two_never_prefer_each_other() {
        let loads = (0..=20).map(|step| f64::from(step) / 20.0);
        for (one, two) in loads.clone().flat_map(|one| loads.clone().map(move |two| (one, two))) {
            for (wish, holdings) in [(Publish, [Name, Name]), (Play, [OnAir, Copy])] {
                let (a, b) = (at(holdings[0], one), at(holdings[1], two));
                let both = better(wish, &a, &[b]).is_some() && better(wish, &b, &[a]).is_some();
                assert!(!both, "{wish:?} {one} {two}");
            }
        }
    }

    #[test]
    fn the_scarcest_of_places_and_processors_counts() {
        let load = ApplianceLoad {
            viewers_max: 100,
            streams: 4,
            streams_max: 4,
            cpu_percent: 30.0,
            ..ApplianceLoad::default()
        };
        let candidate = |holding, viewers| Candidate::new(holding, &load, viewers);
        assert_eq!(candidate(Copy, 10).ratio, 0.3);
        assert_eq!(candidate(Copy, 80).ratio, 0.8);
        assert!(!candidate(Copy, 99).is_full && candidate(Copy, 100).is_full);
        assert!(candidate(Nothing, 0).is_full, "it has no place for one more stream");
    }
}
