//! Which origin has a stream: one question for all viewers that wait, and its answer for a while.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::{OnceCell, Semaphore};

use super::client::Origin;
use super::{ApplianceLoad, Config, Events, StreamAccess};
use crate::media::{IgnorePoison, StreamName};

/// How long an answer is used, also that nobody has the stream: longer than a crowd needs to come, and
/// short enough that who comes too early sees the stream at the next try.
const ANSWER_KEPT: Duration = Duration::from_secs(2);

/// How long better origins may answer after the first one that has the stream.
const BETTER_ORIGIN_WAIT: Duration = Duration::from_millis(200);

/// Most questions at once. Strangers who ask for names that they make up share them.
const QUESTIONS_COUNT_MAX: usize = 16;

/// Most names whose answers are kept.
const NAMES_COUNT_MAX: usize = 1024;

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

/// What one origin says of a stream.
#[derive(Clone, Debug)]
enum Reply {
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

    fn is_live(&self) -> bool {
        self.found().is_some_and(|found| found.access.live)
    }
}

/// Two origins with one name are resolved by the order of the configuration: the first that has the
/// stream on air, else the first that has it at all.
fn choose(replies: &[Reply]) -> Lookup {
    let live = replies.iter().find(|reply| reply.is_live());
    let any = || replies.iter().find(|reply| reply.found().is_some());
    match live.or_else(any).and_then(Reply::found) {
        Some(found) => Lookup::Found(Arc::clone(found)),
        None if replies.iter().all(|reply| matches!(reply, Reply::Unknown)) => Lookup::Nowhere,
        None => Lookup::Unreachable,
    }
}

/// Whether a better origin may still answer.
fn may_improve(replies: &[Reply]) -> bool {
    let first = replies.iter().position(Reply::is_live).unwrap_or(replies.len());
    replies[..first].iter().any(|reply| matches!(reply, Reply::Pending))
}

/// An answer with its time, asked for once by all who wait for it.
type Answer = Arc<OnceCell<(Instant, Lookup)>>;

/// The origins of this appliance. The default has none.
pub struct Origins {
    config: Config,
    origins: Vec<Origin>,
    answers: Mutex<BTreeMap<StreamName, Answer>>,
    questions: Semaphore,
}

impl Default for Origins {
    fn default() -> Self {
        Self {
            config: Config::default(),
            origins: Vec::new(),
            answers: Mutex::default(),
            questions: Semaphore::new(QUESTIONS_COUNT_MAX),
        }
    }
}

impl fmt::Debug for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.origins.iter().map(Origin::shown)).finish()
    }
}

impl Origins {
    /// The origins of a configuration; nothing is called yet.
    ///
    /// # Errors
    /// An address or a certificate file that cannot be used.
    pub async fn new(config: &Config) -> Result<Self, String> {
        let origins = Origin::all(config).await?;
        Ok(Self { config: config.clone(), origins, ..Self::default() })
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Whether there are none, so that this appliance is no edge.
    pub fn is_empty(&self) -> bool {
        self.origins.is_empty()
    }

    /// Which origin has a stream. Callers that ask at the same time share one question.
    pub async fn lookup(&self, name: &StreamName) -> Lookup {
        if self.is_empty() {
            return Lookup::Nowhere;
        }
        let Some(answer) = self.answer(name, Instant::now()) else { return Lookup::Unreachable };
        let (_, lookup) = answer.get_or_init(|| self.ask(name)).await;
        lookup.clone()
    }

    /// What is known of a stream without asking.
    pub fn known(&self, name: &StreamName) -> Option<Lookup> {
        let answers = self.answers.lock().ignore_poison();
        let (at, lookup) = answers.get(name)?.get()?;
        (at.elapsed() < ANSWER_KEPT).then(|| lookup.clone())
    }

    /// The answer to use or to wait for. `None` if too many names are asked for.
    fn answer(&self, name: &StreamName, now: Instant) -> Option<Answer> {
        let is_old = |answer: &Answer| {
            let asked = answer.get().map(|(at, _)| now.saturating_duration_since(*at));
            asked.is_some_and(|age| age >= ANSWER_KEPT)
        };
        let mut answers = self.answers.lock().ignore_poison();
        if answers.get(name).is_some_and(is_old) {
            answers.remove(name);
        }
        if answers.len() >= NAMES_COUNT_MAX && !answers.contains_key(name) {
            // Also questions that nobody waits for any more.
            answers.retain(|_, answer| match answer.get() {
                Some(_) => !is_old(answer),
                None => Arc::strong_count(answer) > 1,
            });
            if answers.len() >= NAMES_COUNT_MAX {
                return None;
            }
        }
        Some(Arc::clone(answers.entry(name.clone()).or_default()))
    }

    async fn ask(&self, name: &StreamName) -> (Instant, Lookup) {
        let Ok(_place) = self.questions.acquire().await else {
            return (Instant::now(), Lookup::Unreachable);
        };
        let mut replies = vec![Reply::Pending; self.origins.len()];
        let asked = self.origins.iter().enumerate();
        let mut waiting: FuturesUnordered<_> = asked
            .map(|(index, origin)| async move { (index, reply(origin, name).await) })
            .collect();
        // Every origin answers or fails within its own time limit.
        let mut until: Option<tokio::time::Instant> = None;
        loop {
            let late = async {
                match until {
                    Some(until) => tokio::time::sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                next = waiting.next() => match next {
                    Some((index, reply)) => replies[index] = reply,
                    None => break,
                },
                () = late => break,
            }
            if replies.iter().any(Reply::is_live) {
                if !may_improve(&replies) {
                    break;
                }
                until.get_or_insert_with(|| tokio::time::Instant::now() + BETTER_ORIGIN_WAIT);
            }
        }
        (Instant::now(), choose(&replies))
    }

    /// The captions of a stream, in the messages of a trunk, from the origin where it was found.
    ///
    /// # Errors
    /// Why there is no answer, as text without secrets.
    pub async fn captions(&self, found: &Found, name: &StreamName) -> Result<Events, String> {
        let origin = self.origins.iter().find(|origin| origin.shown() == found.origin);
        origin.ok_or("it is no origin any more")?.captions(name).await
    }

    /// The load of each origin, or why it cannot be asked; with the address of the origin.
    pub async fn loads(&self) -> Vec<(String, Result<ApplianceLoad, String>)> {
        let asked =
            self.origins.iter().map(|origin| async { (origin.shown(), origin.load().await) });
        futures::future::join_all(asked).await
    }
}

async fn reply(origin: &Origin, name: &StreamName) -> Reply {
    match origin.stream(name).await {
        Ok(Some(access)) => {
            let (origin, host) = (origin.shown(), origin.host());
            Reply::Has(Arc::new(Found { origin, host, access }))
        }
        Ok(None) => Reply::Unknown,
        Err(why) => {
            // The name may be a stream key that was entered in the wrong place.
            tracing::debug!(origin = origin.shown(), why, "an origin cannot be asked for a stream");
            Reply::Failed
        }
    }
}

#[cfg(test)]
mod tests;
