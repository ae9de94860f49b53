//! Engines for one job in order of preference: which is asked, which takes over, and how a switch
//! is reported.
//!
//! Invariant: no lock is held while an engine works.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use serde::Serialize;

use super::breaker::Breaker;
use crate::media::IgnorePoison;

/// Most routes whose last engine is remembered; needed only to notice a switch.
const ROUTES_MAX: usize = 1000;

/// What an error reveals about the engine that returned it.
pub(crate) trait Failure: std::error::Error + Send + 'static {
    /// Whether the engine is at fault, not the request.
    fn blames_engine(&self) -> bool;
    /// How long the engine asks not to be called.
    fn retry_after(&self) -> Option<Duration>;
    /// The engine did not answer within its time.
    fn timed_out(engine: &str, after: Duration) -> Self;
}

/// Another engine has taken over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Switch {
    /// `translate` or `tts`.
    pub job: &'static str,
    /// The route: `en→es`, or a language.
    #[schema(example = "en→es")]
    pub route: String,
    /// The engine that served the route before.
    pub from: String,
    /// The engine that serves it now; `None` while no engine can.
    pub to: Option<String>,
    /// The error that caused the switch, in words.
    pub reason: String,
}

/// Receives each switch.
pub type OnSwitch = Arc<dyn Fn(&Switch) + Send + Sync>;

/// How an engine does.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct EngineState {
    /// The engine: `basic`, `openai` …
    pub engine: String,
    /// Whether it is asked now.
    pub up: bool,
    /// Requests that it has answered.
    pub answered: u64,
    /// Requests that it has failed.
    pub failed: u64,
    /// Its last error, in words.
    pub last_error: Option<String>,
    /// Milliseconds until it is asked again, while it is not.
    pub retry_in_ms: Option<u64>,
}

/// One engine with its state of health.
pub(crate) struct EngineSlot<E: ?Sized> {
    name: &'static str,
    engine: Arc<E>,
    limit: Duration,
    health: Mutex<Health>,
}

#[derive(Default)]
struct Health {
    breaker: Breaker,
    answered: u64,
    failed: u64,
    last_error: Option<String>,
}

/// Engines in order of preference.
pub(crate) struct Chain<E: ?Sized> {
    job: &'static str,
    slots: Vec<EngineSlot<E>>,
    serving: Mutex<HashMap<String, Option<&'static str>>>,
    on_switch: OnSwitch,
}

impl<E: ?Sized> Chain<E> {
    pub(crate) fn new(job: &'static str, on_switch: OnSwitch) -> Self {
        Self { job, slots: Vec::new(), serving: Mutex::default(), on_switch }
    }

    /// Appends an engine; it must answer within `limit`.
    pub(crate) fn push(&mut self, name: &'static str, engine: Arc<E>, limit: Duration) {
        self.slots.push(EngineSlot { name, engine, limit, health: Mutex::default() });
    }

    /// The engines in order of preference.
    pub(crate) fn engines(&self) -> impl Iterator<Item = (&'static str, &Arc<E>)> {
        self.slots.iter().map(|s| (s.name, &s.engine))
    }

    /// The state of each engine.
    pub(crate) fn states(&self) -> Vec<EngineState> {
        let now = Instant::now();
        let state = |slot: &EngineSlot<E>| {
            let health = slot.health.lock().ignore_poison();
            let rests = health.breaker.rests(now);
            EngineState {
                engine: slot.name.to_owned(),
                up: rests.is_none(),
                answered: health.answered,
                failed: health.failed,
                last_error: health.last_error.clone(),
                retry_in_ms: rests.map(|r| u64::try_from(r.as_millis()).unwrap_or(u64::MAX)),
            }
        };
        self.slots.iter().map(state).collect()
    }

    /// Asks the engines for which `can` holds until one answers. `preferred` gives the order and
    /// leaves out every engine that it does not name; empty: all, in the order of the chain.
    ///
    /// # Errors
    /// `None` if no engine can do it or all are resting, else the last error.
    pub(crate) async fn run<'a, T, F: Failure>(
        &self,
        route: &str,
        preferred: &[String],
        can: impl Fn(&Arc<E>) -> bool,
        ask: impl Fn(Arc<E>) -> BoxFuture<'a, Result<T, F>>,
    ) -> Result<(T, &'static str), Option<F>> {
        let mut last = None;
        for slot in self.order(preferred) {
            if !can(&slot.engine)
                || !slot.health.lock().ignore_poison().breaker.admit(Instant::now())
            {
                continue;
            }
            // Releases the probe also when the caller drops this future.
            let probe = Probe(&slot.health);
            let answer = tokio::time::timeout(slot.limit, ask(slot.engine.clone())).await;
            let answer = answer.unwrap_or_else(|_| Err(F::timed_out(slot.name, slot.limit)));
            drop(probe);
            match answer {
                Ok(answer) => {
                    slot.succeeded();
                    self.now_serves(route, preferred, Some(slot.name), last.as_ref());
                    return Ok((answer, slot.name));
                }
                Err(error) => {
                    slot.failed(&error);
                    tracing::debug!(job = self.job, route, engine = slot.name, %error, "failed");
                    last = Some(error);
                }
            }
        }
        self.now_serves(route, preferred, None, last.as_ref());
        Err(last)
    }

    fn order<'a>(&'a self, preferred: &'a [String]) -> Vec<&'a EngineSlot<E>> {
        if preferred.is_empty() {
            return self.slots.iter().collect();
        }
        preferred.iter().filter_map(|name| self.slots.iter().find(|s| s.name == name)).collect()
    }

    /// Reports a switch if another engine served this route before.
    fn now_serves<F: Failure>(
        &self,
        route: &str,
        preferred: &[String],
        engine: Option<&'static str>,
        error: Option<&F>,
    ) {
        let key = format!("{route} {}", preferred.join(","));
        let before = {
            let mut serving = self.serving.lock().ignore_poison();
            if serving.len() >= ROUTES_MAX && !serving.contains_key(&key) {
                serving.clear();
            }
            serving.insert(key, engine)
        };
        // The first answer is no switch, unless the preferred engine has just failed.
        let first = || self.order(preferred).first().map(|s| s.name).filter(|_| error.is_some());
        let from = match before {
            Some(Some(before)) => before,
            Some(None) if engine.is_some() => "",
            Some(None) => return,
            None => match first() {
                Some(first) => first,
                None => return,
            },
        };
        if Some(from) == engine {
            return;
        }
        let reason = match error {
            Some(error) => error.to_string(),
            None if engine.is_none() => "every engine rests after a failure".to_owned(),
            None => "the engine that is preferred works again, or rests".to_owned(),
        };
        let (route, to) = (route.to_owned(), engine.map(str::to_owned));
        let switch = Switch { job: self.job, route, from: from.to_owned(), to, reason };
        (self.on_switch)(&switch);
    }
}

impl<E: ?Sized> EngineSlot<E> {
    fn succeeded(&self) {
        let mut health = self.health.lock().ignore_poison();
        health.breaker.succeeded();
        health.answered += 1;
        health.last_error = None;
    }

    fn failed(&self, error: &impl Failure) {
        let mut health = self.health.lock().ignore_poison();
        health.failed += 1;
        health.last_error = Some(error.to_string());
        if error.blames_engine() {
            health.breaker.failed(Instant::now(), error.retry_after());
        }
    }
}

/// Releases the probe however a request ends.
struct Probe<'a>(&'a Mutex<Health>);

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        self.0.lock().ignore_poison().breaker.undecided();
    }
}

#[cfg(test)]
mod tests;
