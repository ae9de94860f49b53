//! Engines that have failed and are started again, with pauses that double.
//!
//! The owner of an engine has a [`Recovery`]. [`troubles`] lists the engines that do not work now, for
//! the health of the appliance; each enters and leaves it here, so that no list has to be kept.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use crate::media::{Backoff, IgnorePoison};

/// An engine that has failed and does not work again yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Trouble {
    /// The engine.
    pub engine: String,
    /// The model that it runs.
    pub model: String,
    /// Its last failure, in words.
    pub reason: String,
    /// Its first failure.
    pub since: DateTime<Utc>,
    /// Failures in a row.
    pub failures: u32,
    /// Milliseconds until it is started again; 0 while that is under way.
    pub retry_in_ms: u64,
}

struct Entry {
    trouble: Trouble,
    due: Instant,
}

static FAILED: Mutex<BTreeMap<u64, Entry>> = Mutex::new(BTreeMap::new());

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

/// The engines of this process that have failed and do not work again yet, the first to fail first.
pub fn troubles() -> Vec<Trouble> {
    let now = Instant::now();
    let trouble = |entry: &Entry| {
        let retry_in = entry.due.saturating_duration_since(now).as_millis();
        Trouble {
            retry_in_ms: u64::try_from(retry_in).unwrap_or(u64::MAX),
            ..entry.trouble.clone()
        }
    };
    let mut troubles: Vec<_> = FAILED.lock().ignore_poison().values().map(trouble).collect();
    troubles.sort_by_key(|trouble| trouble.since);
    troubles
}

/// Whether one engine works, and when it is started again.
#[derive(Debug)]
pub(crate) struct Recovery {
    id: u64,
    engine: String,
    model: String,
    pauses: Backoff,
    /// While it does not work: when it is started again, and why.
    down: Option<(Instant, String)>,
}

impl Recovery {
    /// An engine that has not failed. It is reported by these names.
    pub(crate) fn new(engine: &str, model: &str, pauses: Backoff) -> Self {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        Self { id, engine: engine.to_owned(), model: model.to_owned(), pauses, down: None }
    }

    /// The failure after which it rests now, in words.
    pub(crate) fn rests(&self, now: Instant) -> Option<&str> {
        self.down.as_ref().filter(|(due, _)| now < *due).map(|(_, reason)| reason.as_str())
    }

    /// When it is to be started again; `None` if it works.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.down.as_ref().map(|(due, _)| *due)
    }

    /// Whether it failed and is to be started again now.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.due().is_some_and(|due| now >= due)
    }

    /// It failed, and is to be started again after a pause.
    pub(crate) fn failed(&mut self, now: Instant, reason: String) {
        let pause = self.pauses.pause(Duration::ZERO);
        let due = now + pause;
        let (engine, model) = (&*self.engine, &*self.model);
        tracing::warn!(engine, model, reason, ?pause, "an engine failed and is started again");
        let mut failed = FAILED.lock().ignore_poison();
        let entry = failed.entry(self.id).or_insert_with(|| Entry {
            trouble: Trouble {
                engine: self.engine.clone(),
                model: self.model.clone(),
                reason: String::new(),
                since: Utc::now(),
                failures: 0,
                retry_in_ms: 0,
            },
            due,
        });
        entry.trouble.reason.clone_from(&reason);
        entry.trouble.failures = entry.trouble.failures.saturating_add(1);
        entry.due = due;
        self.down = Some((due, reason));
    }

    /// It has started, or nobody needs it any more. If it fails at its work, the next pause is longer.
    pub(crate) fn started(&mut self) {
        if self.down.take().is_some() {
            FAILED.lock().ignore_poison().remove(&self.id);
        }
    }

    /// It has done its work: after the next failure the pause is short again.
    pub(crate) fn works(&mut self) {
        self.started();
        self.pauses.reset();
    }
}

impl Drop for Recovery {
    fn drop(&mut self) {
        self.started();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn of(model: &str) -> Vec<Trouble> {
        troubles().into_iter().filter(|t| t.engine == "test" && t.model == model).collect()
    }

    #[test]
    fn an_engine_is_in_trouble_from_its_failure_to_its_start() {
        let mut recovery = Recovery::new("test", "one", Backoff::new(S, 4 * S, Duration::MAX));
        let now = Instant::now();
        assert!(of("one").is_empty() && recovery.rests(now).is_none() && recovery.due().is_none());
        recovery.failed(now, "it died".into());
        recovery.failed(now + S, "its file is damaged".into());
        let [trouble] = &of("one")[..] else { panic!("{:?}", of("one")) };
        assert_eq!((&*trouble.reason, trouble.failures), ("its file is damaged", 2));
        assert!((2_000..=3_000).contains(&trouble.retry_in_ms), "{trouble:?}");
        assert_eq!(recovery.due(), Some(now + 3 * S));
        assert_eq!(recovery.rests(now + 2 * S), Some("its file is damaged"));
        assert_eq!(recovery.rests(now + 3 * S), None);
        recovery.started();
        assert!(of("one").is_empty() && recovery.due().is_none());
    }

    #[test]
    fn pauses_are_short_again_after_work_not_after_a_start() {
        let mut recovery = Recovery::new("test", "two", Backoff::new(S, 4 * S, Duration::MAX));
        let now = Instant::now();
        let mut pause = |is_over: fn(&mut Recovery)| {
            recovery.failed(now, "it died".into());
            let pause = recovery.due().expect("it failed") - now;
            is_over(&mut recovery);
            pause
        };
        assert_eq!(pause(Recovery::started), S);
        assert_eq!(pause(Recovery::works), 2 * S);
        assert_eq!(pause(Recovery::started), S);
    }

    #[test]
    fn what_no_longer_exists_is_in_no_trouble() {
        let mut recovery = Recovery::new("test", "three", Backoff::new(S, S, Duration::MAX));
        recovery.failed(Instant::now(), "it died".into());
        assert_eq!(of("three").len(), 1);
        drop(recovery);
        assert!(of("three").is_empty());
    }
}
