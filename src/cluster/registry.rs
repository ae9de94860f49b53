//! The appliances of the cluster, by Redis: each tells of itself and reads the others.
//!
//! One task has the connection. What it read stays in use while Redis is gone: an appliance is forgotten
//! only after Redis has worked without its record for `cluster.linger_s`.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::balance::Candidate;
use super::client::{Caller, Origin};
use super::members::{Members, Named};
use super::pass::PassKey;
use super::record::{ApplianceId, Record, Seal, Told, ToldStream};
use super::redis_link::{Exchanged, Link, MEMBERS_COUNT_MAX, RECORD_KEPT, client};
use super::{ApplianceLoad, Config, Holding, Wish};
use crate::media::{Backoff, IgnorePoison, Secret, StreamName, url_without_secrets};

/// How often records are exchanged if nothing happens: three may be lost before one's own has ended.
const EXCHANGE_INTERVAL: Duration = Duration::from_secs(2);

/// Shortest time between two exchanges.
const EXCHANGE_PAUSE_MIN: Duration = Duration::from_millis(250);

/// How long a lookup waits for an exchange.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(1);

/// Streams that do not tell their load within this time are told as before.
const TELL_TIMEOUT: Duration = Duration::from_secs(2);

/// Pauses between two tries to connect.
const RECONNECT: Backoff =
    Backoff::new(Duration::from_millis(250), Duration::from_secs(4), Duration::from_secs(10));

/// Most problems of records that are remembered, so that each is logged once.
const PROBLEMS_COUNT_MAX: usize = 256;

/// Whether Redis works.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct RedisState {
    /// Its address, without user and password.
    pub url: String,
    /// Whether it answers.
    pub reachable: bool,
    /// Since when.
    pub since: DateTime<Utc>,
    /// What is wrong, as text.
    pub problem: Option<String>,
}

/// What an appliance told through Redis.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Registration {
    /// Its identity. Of two origins of one stream that are equal in all else the smaller one counts.
    #[schema(value_type = String)]
    pub id: ApplianceId,
    /// When it came.
    pub since: DateTime<Utc>,
    /// Whether Redis had its record when it answered last.
    pub is_present: bool,
    /// Its own streams; at most 512.
    pub streams: Vec<ToldStream>,
}

/// An appliance that is known by Redis.
pub(super) struct Registered {
    pub(super) origin: Arc<Origin>,
    pub(super) registration: Registration,
}

/// Which appliances are asked for a stream.
pub(super) struct Candidates {
    pub(super) members: Vec<(ApplianceId, Arc<Origin>)>,
    /// Whether no other one can have it.
    pub(super) is_all: bool,
}

/// Exchanges, counted.
#[derive(Clone, Copy, Default)]
struct Progress {
    begun: u64,
    done: u64,
    /// Since when Redis has answered.
    works_since: Option<Instant>,
}

impl Progress {
    /// Whether every appliance that is there has had the time to tell of itself.
    fn is_settled(&self, now: Instant) -> bool {
        self.works_since.is_some_and(|since| now.saturating_duration_since(since) >= RECORD_KEPT)
    }
}

/// What is known, and from when.
struct Known {
    members: Members,
    redis: RedisState,
    /// What this appliance has told of its load.
    own_load: Option<ApplianceLoad>,
    /// What is wrong with records, as logged.
    problems: BTreeSet<String>,
}

/// The other appliances, as they told Redis.
pub(super) struct Registry {
    id: ApplianceId,
    url: String,
    since: DateTime<Utc>,
    /// The address to which clients are sent. `None` if they are not sent anywhere.
    public: Option<String>,
    seal: Seal,
    passes: PassKey,
    caller: Caller,
    redis: redis::Client,
    /// How long the absent are remembered.
    kept: Duration,
    known: Mutex<Known>,
    progress: watch::Sender<Progress>,
    wake: Notify,
}

impl Registry {
    /// The registry of a configuration; nothing is called yet. `None` without Redis.
    ///
    /// # Errors
    /// A setting that cannot be used.
    pub(super) async fn new(config: &Config, caller: &Caller) -> Result<Option<Self>, String> {
        let Some(url) = config.url.as_ref().filter(|_| !config.redis.is_empty()) else {
            return Ok(None);
        };
        let redis = RedisState {
            url: url_without_secrets(config.redis.expose()),
            reachable: false,
            since: Utc::now(),
            problem: Some("it has not answered yet".into()),
        };
        let known =
            Known { members: Members::default(), redis, own_load: None, problems: BTreeSet::new() };
        Ok(Some(Self {
            id: ApplianceId::of(url),
            url: url.clone(),
            since: Utc::now(),
            public: config.public().cloned(),
            seal: Seal::new(&config.token),
            passes: PassKey::new(&config.token),
            caller: caller.clone(),
            redis: client(&config.redis, config.ca.as_deref()).await?,
            kept: Duration::from_secs(config.linger_s.into()),
            known: Mutex::new(known),
            progress: watch::Sender::default(),
            wake: Notify::new(),
        }))
    }

    /// The identity of this appliance, and its address.
    pub(super) fn own(&self) -> (&ApplianceId, &str) {
        (&self.id, &self.url)
    }

    /// Exchanges records until cancelled, then removes that of this appliance. `tell` says what it has
    /// to tell.
    pub(super) async fn run<T: Future<Output = Told>>(
        &self,
        tell: impl Fn() -> T,
        until: &CancellationToken,
    ) {
        let mut backoff = RECONNECT;
        let mut written = Vec::new();
        loop {
            let began = Instant::now();
            let connected = tokio::select! {
                connected = Link::open(&self.redis) => connected,
                () = until.cancelled() => return,
            };
            let why = match connected {
                Ok(mut link) => tokio::select! {
                    why = self.follow(&mut link, &tell, &mut written) => why,
                    () = until.cancelled() => return link.leave(&self.id).await,
                },
                Err(why) => why,
            };
            self.lost(&why);
            let pause = backoff.pause_with_jitter(began.elapsed(), rand::random());
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = until.cancelled() => return,
            }
        }
    }

    /// Exchanges records until that fails; returns why it does.
    async fn follow<T: Future<Output = Told>>(
        &self,
        link: &mut Link,
        tell: impl Fn() -> T,
        written: &mut Vec<u8>,
    ) -> String {
        loop {
            self.progress.send_modify(|progress| progress.begun += 1);
            let told = tokio::time::timeout(TELL_TIMEOUT, tell()).await;
            let record = match told {
                Ok(told) => self.seal.write(&self.record(told)),
                Err(_) => written.clone(),
            };
            let exchanged = match link.exchange(&self.id, &record).await {
                Ok(exchanged) => exchanged,
                Err(why) => {
                    // It may have been stored or not.
                    written.clear();
                    return why;
                }
            };
            // What was there at first is by a process that ended.
            let is_ours = |before: &Vec<u8>| written.is_empty() || before == written;
            let is_shared = !exchanged.before.as_ref().is_none_or(is_ours);
            *written = record;
            self.take_in(exchanged, is_shared);
            tokio::time::sleep(EXCHANGE_PAUSE_MIN).await;
            let woken = self.wake.notified();
            let _ = tokio::time::timeout(EXCHANGE_INTERVAL - EXCHANGE_PAUSE_MIN, woken).await;
        }
    }

    fn record(&self, told: Told) -> Record {
        self.known.lock().ignore_poison().own_load = Some(told.load.clone());
        let mut record = Record::new(&self.url, self.since, told);
        record.public = self.public.clone();
        record
    }

    fn take_in(&self, exchanged: Exchanged, is_shared: bool) {
        let now = Instant::now();
        let mut known = self.known.lock().ignore_poison();
        if is_shared {
            known.complain("another appliance has the same `cluster.url`".into());
        }
        if exchanged.too_many {
            known.complain(format!("more than {MEMBERS_COUNT_MAX} appliances are in it"));
        }
        let mut read = Vec::new();
        for (id, bytes) in exchanged.others {
            let record = self.seal.read(&id, &bytes);
            let of_record = |record: Record| {
                let origin = match known.members.get(&id) {
                    Some(member) => Arc::clone(&member.origin),
                    None => Arc::new(self.caller.origin(&record.url)?),
                };
                Ok((origin, record))
            };
            match record.and_then(of_record) {
                Ok((origin, record)) => read.push((id, origin, record)),
                Err(why) => {
                    known.complain(format!("the record of {} is ignored: {why}", id.as_str()));
                }
            }
        }
        known.members.merge(read, self.kept, now);
        if !known.redis.reachable {
            tracing::info!(redis = known.redis.url, "Redis answers");
            known.redis.reachable = true;
            known.redis.since = Utc::now();
            known.redis.problem = None;
        }
        drop(known);
        self.progress.send_modify(|progress| {
            progress.works_since.get_or_insert(now);
            progress.done = progress.begun;
        });
    }

    fn lost(&self, why: &str) {
        let mut known = self.known.lock().ignore_poison();
        let redis = &mut known.redis;
        let is_new = redis.problem.as_deref() != Some(why);
        if redis.reachable {
            redis.reachable = false;
            redis.since = Utc::now();
        }
        redis.problem = Some(why.to_owned());
        if is_new {
            let redis = &redis.url;
            tracing::warn!(
                redis,
                why,
                "Redis does not answer: the appliances that were known stay in use"
            );
        }
        known.members.hold();
        drop(known);
        self.progress.send_modify(|progress| progress.works_since = None);
    }

    /// Asks for an exchange soon: this appliance has something new to tell.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Waits for an exchange that begins from now on, if Redis works.
    async fn refresh(&self) {
        let mut progress = self.progress.subscribe();
        let wanted = progress.borrow_and_update().begun + 1;
        self.wake();
        let done =
            progress.wait_for(|progress| progress.works_since.is_none() || progress.done >= wanted);
        // What is known is used then.
        let _ = tokio::time::timeout(REFRESH_TIMEOUT, done).await;
    }

    /// Which appliances are asked for a stream: those that told of it, if there are any. Else nobody, or
    /// all if what they told may be old.
    pub(super) async fn candidates(&self, name: &StreamName) -> Candidates {
        let mut named = self.named(name);
        if !named.is_told {
            self.refresh().await;
            named = self.named(name);
        }
        let is_all = self.progress.borrow().is_settled(Instant::now());
        let members = match named.is_told || is_all {
            true => named.members,
            false => self.known.lock().ignore_poison().members.all(),
        };
        Candidates { members, is_all }
    }

    fn named(&self, name: &StreamName) -> Named {
        self.known.lock().ignore_poison().members.named(name)
    }

    /// Waits until another appliance than that at `pulled` tells that the stream is on air there.
    pub(super) async fn on_air_elsewhere(&self, name: &StreamName, pulled: &str) {
        let mut progress = self.progress.subscribe();
        loop {
            // It ends with the appliance.
            if progress.changed().await.is_err() {
                return std::future::pending().await;
            }
            let known = self.known.lock().ignore_poison();
            if known.members.on_air_elsewhere(name, pulled) {
                return;
            }
        }
    }

    /// The address of the appliance that should serve a client instead of this one, which has `holding` of
    /// the stream and this many viewers.
    pub(super) fn better(
        &self,
        wish: Wish,
        name: &StreamName,
        holding: Holding,
        viewers: u64,
    ) -> Option<String> {
        self.public.as_ref()?;
        let mut known = self.known.lock().ignore_poison();
        let here = Candidate::new(holding, known.own_load.as_ref()?, viewers);
        known.members.better(wish, name, &here)
    }

    /// A pass with the token of a client that is sent on.
    pub(super) fn pass(&self, wish: Wish, name: &StreamName, token: &Secret) -> Option<String> {
        self.passes.write(wish, name, token, Utc::now())
    }

    /// The token of a client with this pass, if clients are sent here.
    pub(super) fn token(&self, wish: Wish, name: &StreamName, pass: &str) -> Option<Secret> {
        self.public.as_ref()?;
        self.passes.read(wish, name, pass, Utc::now())
    }

    /// Whether Redis works.
    pub(super) fn redis(&self) -> RedisState {
        self.known.lock().ignore_poison().redis.clone()
    }

    /// The other appliances.
    pub(super) fn registered(&self) -> Vec<Registered> {
        let known = self.known.lock().ignore_poison();
        let registered = known.members.iter().map(|(id, member)| Registered {
            origin: Arc::clone(&member.origin),
            registration: Registration {
                id: id.clone(),
                since: member.record.since,
                is_present: member.is_present,
                streams: member.record.streams.clone(),
            },
        });
        registered.collect()
    }
}

impl Known {
    /// Logs a problem, once.
    fn complain(&mut self, problem: String) {
        if self.problems.len() >= PROBLEMS_COUNT_MAX {
            self.problems.clear();
        }
        if !self.problems.contains(&problem) {
            tracing::warn!(problem, "what is in Redis is wrong");
            self.problems.insert(problem);
        }
    }
}
