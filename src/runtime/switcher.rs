//! Decides which source is on air.

use std::time::Duration;

/// A publisher that has sent nothing for this long is replaced by a healthy one.
pub(super) const FROZEN_AFTER: Duration = Duration::from_millis(2500);

/// Without a healthy replacement it stays on air for this long. A connection that stalls for some
/// seconds sends its backlog afterwards, and the slate would cut into it.
const SLATE_AFTER: Duration = Duration::from_secs(5);

/// A source that returned must be healthy for this long before it replaces a healthy backup, so
/// that a flapping source does not cause repeated switches.
const HAND_BACK_AFTER: Duration = Duration::from_secs(3);

/// What viewers get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum OnAir {
    /// Nothing; viewers are disconnected.
    #[default]
    Nothing,
    /// The source.
    Source,
    /// The backup source.
    Backup,
    /// The slate.
    Slate,
}

/// State of one publisher, as the decision needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Health {
    /// Time since its last media; `None` before the first.
    pub(super) age: Option<Duration>,
    /// Whether decoding can start: a key frame has arrived.
    pub(super) ready: bool,
}

impl Health {
    fn is_good(self) -> bool {
        self.is_fresher_than(FROZEN_AFTER)
    }

    fn is_fresher_than(self, max: Duration) -> bool {
        self.ready && self.age.is_some_and(|age| age < max)
    }
}

/// Decides what is on air. Pure: callers pass in the publishers and the time.
#[derive(Debug, Default)]
pub(super) struct Switcher {
    on_air: OnAir,
    /// Since when the source has been healthy without a break.
    source_good_since: Option<Duration>,
    /// Since when no publisher has been healthy.
    lost_since: Option<Duration>,
}

impl Switcher {
    /// What is on air.
    pub(super) fn on_air(&self) -> OnAir {
        self.on_air
    }

    /// Decides from the publishers at `now` (any monotonic time). After `linger` without a healthy
    /// publisher, viewers are disconnected.
    pub(super) fn decide(
        &mut self,
        source: Option<Health>,
        backup: Option<Health>,
        linger: Duration,
        now: Duration,
    ) -> OnAir {
        let source_good = source.is_some_and(Health::is_good);
        let backup_good = backup.is_some_and(Health::is_good);
        self.source_good_since =
            if source_good { self.source_good_since.or(Some(now)) } else { None };
        let steady = self.source_good_since.is_some_and(|t| now - t >= HAND_BACK_AFTER);
        let backup_holds = self.on_air == OnAir::Backup && backup_good && !steady;

        if source_good && !backup_holds {
            self.on_air = OnAir::Source;
        } else if backup_good {
            self.on_air = OnAir::Backup;
        } else if !self.stays(source, backup) {
            let since = *self.lost_since.get_or_insert(now);
            let over = now - since >= linger;
            self.on_air = match self.on_air {
                OnAir::Nothing => OnAir::Nothing,
                _ if over => OnAir::Nothing,
                _ => OnAir::Slate,
            };
            return self.on_air;
        }
        self.lost_since = None;
        self.on_air
    }

    /// Whether the publisher on air may stay although its media has stalled.
    fn stays(&self, source: Option<Health>, backup: Option<Health>) -> bool {
        let on_air = match self.on_air {
            OnAir::Source => source,
            OnAir::Backup => backup,
            OnAir::Nothing | OnAir::Slate => None,
        };
        on_air.is_some_and(|health| health.is_fresher_than(SLATE_AFTER))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Option<Health> = Some(Health { age: Some(Duration::ZERO), ready: true });
    const FROZEN: Option<Health> = Some(Health { age: Some(SLATE_AFTER), ready: true });
    const STALLED: Option<Health> = Some(Health { age: Some(FROZEN_AFTER), ready: true });
    const NEW: Option<Health> = Some(Health { age: None, ready: false });

    fn check(steps: &[(u64, Option<Health>, Option<Health>, OnAir)]) {
        let mut switcher = Switcher::default();
        for (at_s, source, backup, expect) in steps {
            let now = Duration::from_secs(*at_s);
            let on_air = switcher.decide(*source, *backup, Duration::from_secs(30), now);
            assert_eq!(on_air, *expect, "at {at_s} s");
        }
    }

    #[test]
    fn a_lost_source_shows_the_slate_until_it_lingered() {
        check(&[
            (0, None, None, OnAir::Nothing),
            (1, NEW, None, OnAir::Nothing),
            (2, GOOD, None, OnAir::Source),
            (9, None, None, OnAir::Slate),
            (20, GOOD, None, OnAir::Source),
            (30, FROZEN, None, OnAir::Slate),
            (59, NEW, None, OnAir::Slate),
            (60, None, None, OnAir::Nothing),
        ]);
    }

    #[test]
    fn the_backup_takes_over_and_hands_back_when_the_source_is_steady() {
        check(&[
            (0, GOOD, GOOD, OnAir::Source),
            (1, FROZEN, GOOD, OnAir::Backup),
            (2, GOOD, GOOD, OnAir::Backup),
            (3, None, GOOD, OnAir::Backup),
            (4, GOOD, GOOD, OnAir::Backup),
            (7, GOOD, GOOD, OnAir::Source),
        ]);
    }

    #[test]
    fn a_source_that_stands_still_stays_unless_there_is_a_better_one() {
        check(&[
            (0, GOOD, None, OnAir::Source),
            (3, STALLED, None, OnAir::Source),
            (4, STALLED, GOOD, OnAir::Backup),
            (8, None, STALLED, OnAir::Backup),
            (9, None, FROZEN, OnAir::Slate),
            (10, STALLED, None, OnAir::Slate),
        ]);
    }

    #[test]
    fn a_backup_alone_goes_on_air_and_a_source_replaces_a_dead_backup_at_once() {
        check(&[
            (0, None, GOOD, OnAir::Backup),
            (1, GOOD, None, OnAir::Source),
            (2, None, None, OnAir::Slate),
            (3, None, GOOD, OnAir::Backup),
        ]);
    }
}
