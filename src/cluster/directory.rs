//! Which origin has a stream: one question for all viewers that wait, and its answer for a while.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::{OnceCell, Semaphore};
use tokio_util::sync::CancellationToken;

use super::client::{Caller, Origin};
use super::registry::{Candidates, Registered, Registration, Registry};
use super::rule::{Place, Reply, choose, may_improve};
use super::{
    ApplianceId, ApplianceLoad, Config, Events, Found, Holding, Lookup, RedisState, Told, Wish,
};
use crate::media::{IgnorePoison, Secret, StreamName};

/// How long an answer is used, also that nobody has the stream: longer than a crowd needs to come, and
/// short enough that who comes too early sees the stream at the next try.
const ANSWER_KEPT: Duration = Duration::from_secs(2);

/// How long better origins may answer after the first one that has the stream.
const BETTER_ORIGIN_WAIT: Duration = Duration::from_millis(200);

/// Most questions at once. Strangers who ask for names that they make up share them.
const QUESTIONS_COUNT_MAX: usize = 16;

/// Most names whose answers are kept.
const NAMES_COUNT_MAX: usize = 1024;

/// An answer with its time, asked for once by all who wait for it.
type Answer = Arc<OnceCell<(Instant, Lookup)>>;

/// An appliance of the cluster, as this one knows it.
pub struct Appliance {
    /// Its base URL, for display.
    pub url: String,
    /// How Redis knows it. `None` if only the configuration names it.
    pub registration: Option<Registration>,
    /// Its load, or why it cannot be asked.
    pub load: Result<ApplianceLoad, String>,
}

/// The origins of this appliance. The default has none.
pub struct Origins {
    config: Config,
    /// Those of the configuration.
    listed: Vec<Arc<Origin>>,
    /// Those that are known by Redis.
    registry: Option<Registry>,
    answers: Mutex<BTreeMap<StreamName, Answer>>,
    questions: Semaphore,
}

impl Default for Origins {
    fn default() -> Self {
        Self {
            config: Config::default(),
            listed: Vec::new(),
            registry: None,
            answers: Mutex::default(),
            questions: Semaphore::new(QUESTIONS_COUNT_MAX),
        }
    }
}

impl fmt::Debug for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.listed.iter().map(|origin| origin.shown())).finish()
    }
}

impl Origins {
    /// The origins of a configuration; nothing is called yet.
    ///
    /// # Errors
    /// An address or a certificate file that cannot be used.
    pub async fn new(config: &Config) -> Result<Self, String> {
        let config = config.clone();
        if config.origins.is_empty() && config.redis.is_empty() {
            return Ok(Self { config, ..Self::default() });
        }
        let caller = Caller::new(&config).await?;
        let listed = config.origins.iter().map(|base| caller.origin(base).map(Arc::new));
        let listed = listed.collect::<Result<_, _>>()?;
        let registry = Registry::new(&config, &caller).await?;
        Ok(Self { config, listed, registry, ..Self::default() })
    }

    /// Tells the other appliances of this one through Redis, and reads what they tell, until cancelled.
    /// `tell` says what this one has.
    pub async fn register<T: Future<Output = Told>>(
        &self,
        tell: impl Fn() -> T,
        until: &CancellationToken,
    ) {
        match &self.registry {
            Some(registry) => registry.run(tell, until).await,
            None => until.cancelled().await,
        }
    }

    /// This appliance has something new to tell.
    pub fn tell_soon(&self) {
        if let Some(registry) = &self.registry {
            registry.wake();
        }
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Whether there are none, so that this appliance is no edge.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty() && self.registry.is_none()
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

    /// Drops what is known of a stream: its origin does not send it any more.
    pub fn forget(&self, name: &StreamName) {
        let mut answers = self.answers.lock().ignore_poison();
        if answers.get(name).is_some_and(|answer| answer.initialized()) {
            answers.remove(name);
        }
    }

    /// Waits until a stream that is pulled has another origin, by the rule for two of one name. Only
    /// those of Redis tell when they have it on air.
    pub async fn overtaken(&self, name: &StreamName, pulled: &Found) {
        let Some(registry) = &self.registry else { return std::future::pending().await };
        loop {
            registry.on_air_elsewhere(name, &pulled.origin).await;
            if let Lookup::Found(found) = self.lookup(name).await
                && found.origin != pulled.origin
                && found.access.live_ms.is_some()
            {
                return;
            }
        }
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
        let (origins, is_all) = self.candidates(name).await;
        let mut asked: Vec<(Place, Reply)> =
            origins.iter().map(|(place, _)| (place.clone(), Reply::Pending)).collect();
        let mut waiting: FuturesUnordered<_> = origins
            .iter()
            .enumerate()
            .map(|(index, (_, origin))| async move { (index, reply(origin, name).await) })
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
                    Some((index, reply)) => asked[index].1 = reply,
                    None => break,
                },
                () = late => break,
            }
            if asked.iter().any(|(_, reply)| reply.is_live()) {
                if !may_improve(&asked) {
                    break;
                }
                until.get_or_insert_with(|| tokio::time::Instant::now() + BETTER_ORIGIN_WAIT);
            }
        }
        let lookup = match choose(&asked) {
            // One that is not known may have it.
            Lookup::Nowhere if !is_all => Lookup::Unreachable,
            lookup => lookup,
        };
        (Instant::now(), lookup)
    }

    /// The appliances that are asked for a stream, and whether no other one can have it.
    async fn candidates(&self, name: &StreamName) -> (Vec<(Place, Arc<Origin>)>, bool) {
        let listed = self.listed.iter().enumerate();
        let mut origins: Vec<_> =
            listed.map(|(index, origin)| (Place::Listed(index), Arc::clone(origin))).collect();
        let Some(registry) = &self.registry else { return (origins, true) };
        let Candidates { members, is_all } = registry.candidates(name).await;
        let others = members.into_iter().filter(|(_, origin)| !self.is_listed(origin));
        origins.extend(others.map(|(id, origin)| (Place::Registered(id), origin)));
        (origins, is_all)
    }

    /// Whether the configuration names an appliance that is known by Redis.
    fn is_listed(&self, registered: &Origin) -> bool {
        self.listed.iter().any(|origin| origin.shown() == registered.shown())
    }

    /// The captions of a stream, in the messages of a trunk, from the origin where it was found.
    ///
    /// # Errors
    /// Why there is no answer, as text without secrets.
    pub async fn captions(&self, found: &Found, name: &StreamName) -> Result<Events, String> {
        let registered = self.registry.iter().flat_map(Registry::registered);
        let mut known =
            self.listed.iter().cloned().chain(registered.map(|registered| registered.origin));
        let origin = known.find(|origin| origin.shown() == found.origin);
        origin.ok_or("it is no origin any more")?.captions(name).await
    }

    /// The other appliances: those of the configuration, in their order, then those that are known by
    /// Redis. Each is asked for its load.
    pub async fn appliances(&self) -> Vec<Appliance> {
        let mut registered: Vec<_> =
            self.registry.iter().flat_map(Registry::registered).map(Some).collect();
        let mut known = Vec::new();
        for origin in &self.listed {
            let same = |found: &&mut Option<Registered>| {
                found.as_ref().is_some_and(|found| found.origin.shown() == origin.shown())
            };
            let same = registered.iter_mut().find(same).and_then(Option::take);
            known.push((Arc::clone(origin), same.map(|same| same.registration)));
        }
        let others = registered.into_iter().flatten();
        known.extend(others.map(|other| (other.origin, Some(other.registration))));
        let asked = known.into_iter().map(|(origin, registration)| async move {
            Appliance { url: origin.shown(), registration, load: origin.load().await }
        });
        futures::future::join_all(asked).await
    }

    /// The address of the appliance that should serve a client by WebRTC instead of this one, which has
    /// `holding` of the stream and this many viewers.
    pub fn better(
        &self,
        wish: Wish,
        name: &StreamName,
        holding: Holding,
        viewers: u64,
    ) -> Option<String> {
        self.registry.as_ref()?.better(wish, name, holding, viewers)
    }

    /// A pass with the token of a client that is sent on. `None` if it cannot be carried.
    pub fn pass(&self, wish: Wish, name: &StreamName, token: &Secret) -> Option<String> {
        self.registry.as_ref()?.pass(wish, name, token)
    }

    /// The token of a client that comes with a pass. `None` if the pass is not good for this.
    pub fn token_of_pass(&self, wish: Wish, name: &StreamName, pass: &str) -> Option<Secret> {
        self.registry.as_ref()?.token(wish, name, pass)
    }

    /// Whether Redis works. `None` without one.
    pub fn redis(&self) -> Option<RedisState> {
        self.registry.as_ref().map(Registry::redis)
    }

    /// Identity and address of this appliance, if Redis has them.
    pub fn own(&self) -> Option<(&ApplianceId, &str)> {
        self.registry.as_ref().map(Registry::own)
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
