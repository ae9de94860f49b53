//! Whether the database accepts changes.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::store::{self, Database};
use crate::media::IgnorePoison;

/// The result of the last write is valid for this long; then it is tried again.
const RESULT_LIFE: Duration = Duration::from_secs(5);

/// Why changes cannot be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreProblem {
    /// The problem.
    pub what: String,
    /// What the admin can do about it.
    pub hint: &'static str,
}

impl StoreProblem {
    /// The problem that this error shows. `None` if it does not concern the database as a whole.
    fn of(error: &store::Error) -> Option<Self> {
        let what = match error {
            store::Error::Away { .. } => "it does not answer".into(),
            store::Error::Sql { source, .. } => source.to_string(),
            store::Error::Costly => error.to_string(),
            _ => return None,
        };
        Some(Self { what, hint: error.hint() })
    }
}

/// Learns from each change whether the database accepts it, and tries a write if there was none
/// recently.
pub(super) struct Writable {
    database: Arc<dyn Database>,
    last: Mutex<Evidence>,
    /// Held during a try, so that concurrent callers cause one write.
    trying: tokio::sync::Mutex<()>,
}

/// The result of the last write. Pure: callers pass in the time.
#[derive(Default)]
struct Evidence(Option<(Instant, Option<StoreProblem>)>);

impl Evidence {
    fn note(&mut self, problem: Option<StoreProblem>, now: Instant) {
        self.0 = Some((now, problem));
    }

    /// `None` if nothing recent is known, `Some(None)` if writes work, else the problem.
    #[allow(clippy::option_option, reason = "known to be well is not the same as unknown")]
    fn known(&self, now: Instant) -> Option<Option<StoreProblem>> {
        let (at, problem) = self.0.as_ref()?;
        (now.saturating_duration_since(*at) < RESULT_LIFE).then(|| problem.clone())
    }
}

impl Writable {
    pub(super) fn new(database: Arc<dyn Database>) -> Self {
        Self { database, last: Mutex::default(), trying: tokio::sync::Mutex::default() }
    }

    /// Notes the result of a write.
    pub(super) fn note(&self, outcome: &Result<(), store::Error>) {
        let problem = match outcome {
            Ok(()) => None,
            Err(error) => match StoreProblem::of(error) {
                // This error does not concern the database as a whole.
                None => return,
                problem => problem,
            },
        };
        self.evidence().note(problem, Instant::now());
    }

    /// Why writes fail. `None` if they work.
    pub(super) async fn problem(&self) -> Option<StoreProblem> {
        let _trying = self.trying.lock().await;
        let known = self.evidence().known(Instant::now());
        if let Some(known) = known {
            return known;
        }
        let tried = self.database.try_write().await;
        self.note(&tried);
        tried.err().and_then(|error| StoreProblem::of(&error))
    }

    fn evidence(&self) -> std::sync::MutexGuard<'_, Evidence> {
        self.last.lock().ignore_poison()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_is_believed_for_a_while() {
        let t0 = Instant::now();
        let mut evidence = Evidence::default();
        assert_eq!(evidence.known(t0), None);
        let full = StoreProblem { what: "full".into(), hint: "free space" };
        evidence.note(Some(full.clone()), t0);
        let later = t0 + Duration::from_secs(4);
        assert_eq!(evidence.known(later), Some(Some(full)));
        assert_eq!(evidence.known(t0 + RESULT_LIFE), None);
        evidence.note(None, later);
        assert_eq!(evidence.known(t0 + RESULT_LIFE), Some(None));
    }
}
