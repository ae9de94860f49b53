//! One loaded model for all streams.
//!
//! A thread owns the child process. Streams put windows into a queue with room for one window each,
//! so that it is served round robin. A window whose deadline passes in the queue is skipped and
//! counted. A child that dies or hangs fails that window; the next ones find the model down until
//! its pause ends and it is started again, and streams use other engines meanwhile.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use super::recognizer::Error;
use super::wire::{Answer, Question};
use crate::media::{Backoff, IgnorePoison};
use crate::speech::engine::{self, Child};
use crate::speech::recovery::Recovery;

/// Time limit for loading; gigabytes from a slow disk take long.
const LOAD_TIMEOUT: Duration = Duration::from_secs(120);

/// A child that takes this long for one window hangs.
const HUNG_AFTER: Duration = Duration::from_secs(30);

/// Pauses after failures: 1-60 s; only a success resets them.
const RESTART_PAUSES: Backoff =
    Backoff::new(Duration::from_secs(1), Duration::from_secs(60), Duration::MAX);

/// Busy share of the model above which no further stream is admitted. The rest absorbs long windows
/// that come together.
const BUSY_RATIO_MAX: f64 = 0.85;

/// Period over which the share is measured.
const LOAD_WINDOW: Duration = Duration::from_secs(10);

/// Limits of a pool.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Most streams.
    pub streams: usize,
    /// The model leaves memory after this long without a request.
    pub idle: Duration,
}

/// Running totals of a model.
#[derive(Debug, Default)]
pub struct PoolStats {
    /// Windows that were decoded.
    pub decoded: AtomicU64,
    /// Windows that were skipped because their deadline passed in the queue.
    pub late: AtomicU64,
    /// Number of loads of the model.
    pub loads: AtomicU64,
    /// How often the process died or hung.
    pub deaths: AtomicU64,
    /// Streams that use the model.
    pub streams: AtomicUsize,
    /// Process id of the child; 0 while the model is not loaded.
    pub process: AtomicU64,
}

struct Job {
    question: Question,
    audio: Vec<u8>,
    deadline: Instant,
    reply: SyncSender<Result<Answer, Error>>,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    closed: bool,
    /// Start of the current measuring period, its busy share so far, and the last period's share.
    busy: (Option<Instant>, f64, f64),
}

struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    stats: PoolStats,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().ignore_poison()
    }
}

/// One loaded model, shared by streams.
pub(super) struct Pool {
    /// Name of the engine.
    engine: &'static str,
    shared: Arc<Shared>,
    limits: Limits,
}

impl Pool {
    /// A model that is not loaded yet. `arguments` start its child.
    pub(super) fn new(
        engine: &'static str,
        model: String,
        arguments: Vec<OsString>,
        limits: Limits,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            wake: Condvar::new(),
            stats: PoolStats::default(),
        });
        let owner = Owner {
            engine,
            recovery: Recovery::new(engine, &model, RESTART_PAUSES),
            model,
            shared: Arc::clone(&shared),
            arguments,
            idle: limits.idle,
            asked: Instant::now(),
            child: None,
        };
        thread::Builder::new().name(engine.into()).spawn(move || owner.run())?;
        Ok(Self { engine, shared, limits })
    }

    pub(super) fn stats(&self) -> &PoolStats {
        &self.shared.stats
    }

    /// Takes a place, and loads the model if needed.
    pub(super) fn enter(self: &Arc<Self>) -> Result<PoolPermit, Error> {
        let load = {
            let queue = self.shared.lock();
            let (_, current, last) = queue.busy;
            current.max(last)
        };
        let streams = self.shared.stats.streams.fetch_add(1, Ordering::SeqCst);
        // From here on, dropping `place` gives it back.
        let place = PoolPermit(Arc::clone(self));
        let busy = |reason| Error::Busy { engine: self.engine, reason };
        if streams >= self.limits.streams {
            return Err(busy(format!("[stt] streams_max is {}", self.limits.streams)));
        }
        if streams > 0 && load > BUSY_RATIO_MAX {
            let reason = format!("the model is busy {:.0} % of the time", load * 100.0);
            return Err(busy(reason));
        }
        place.ask(Question::Load, Vec::new(), LOAD_TIMEOUT)?;
        Ok(place)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.wake.notify_all();
    }
}

/// A stream's place at a model.
pub(super) struct PoolPermit(Arc<Pool>);

impl PoolPermit {
    pub(super) fn ask(
        &self,
        question: Question,
        audio: Vec<u8>,
        limit: Duration,
    ) -> Result<Answer, Error> {
        let shared = &self.0.shared;
        let (reply, answer) = mpsc::sync_channel(1);
        let deadline = Instant::now() + limit;
        {
            let mut queue = shared.lock();
            // Always true, as a place sends one request at a time.
            if queue.jobs.len() > self.0.limits.streams {
                return Err(late(self.0.engine, "the queue is full"));
            }
            queue.jobs.push_back(Job { question, audio, deadline, reply });
        }
        shared.wake.notify_one();
        let answer = answer.recv_timeout(limit + HUNG_AFTER + Duration::from_secs(5));
        answer.unwrap_or_else(|_| Err(late(self.0.engine, "no answer")))
    }
}

impl Drop for PoolPermit {
    fn drop(&mut self) {
        self.0.shared.stats.streams.fetch_sub(1, Ordering::SeqCst);
    }
}

fn late(engine: &'static str, reason: &str) -> Error {
    Error::Late { engine, reason: reason.to_owned() }
}

/// The thread that owns the child.
struct Owner {
    engine: &'static str,
    model: String,
    shared: Arc<Shared>,
    arguments: Vec<OsString>,
    idle: Duration,
    /// When a stream asked last.
    asked: Instant,
    child: Option<Child>,
    recovery: Recovery,
}

impl Owner {
    fn run(mut self) {
        while let Some(job) = self.next() {
            let answer = if Instant::now() >= job.deadline {
                self.shared.stats.late.fetch_add(1, Ordering::Relaxed);
                Err(late(self.engine, "it waited behind other streams"))
            } else {
                self.answer(&job.question, job.audio)
            };
            // The stream may have ended.
            let _ = job.reply.send(answer);
        }
    }

    /// The next job; meanwhile looks after the child. `None` if the pool was dropped.
    fn next(&mut self) -> Option<Job> {
        let shared = Arc::clone(&self.shared);
        let mut queue = shared.lock();
        loop {
            if queue.closed {
                return None;
            }
            if let Some(job) = queue.jobs.pop_front() {
                self.asked = Instant::now();
                return Some(job);
            }
            let due = self.recovery.due().map(|due| due.saturating_duration_since(Instant::now()));
            let wait = due.map_or(self.idle, |due| due.min(self.idle));
            let (woken, waited) = shared.wake.wait_timeout(queue, wait).ignore_poison();
            queue = woken;
            if waited.timed_out() && queue.jobs.is_empty() {
                drop(queue);
                self.look_after();
                queue = shared.lock();
            }
        }
    }

    /// Unloads a model that no stream has asked for in the idle time, and starts one that died again.
    fn look_after(&mut self) {
        if self.asked.elapsed() >= self.idle {
            self.recovery.started();
            if self.child.take().is_some() {
                self.shared.stats.process.store(0, Ordering::Relaxed);
                tracing::info!(engine = self.engine, "an idle model left memory");
            }
        } else if self.recovery.is_due(Instant::now()) {
            match self.start() {
                Ok(child) => {
                    self.child = Some(child);
                    self.recovery.started();
                    tracing::info!(engine = self.engine, model = self.model, "it works again");
                }
                Err(error) => self.died(&error),
            }
        }
    }

    fn answer(&mut self, question: &Question, audio: Vec<u8>) -> Result<Answer, Error> {
        if let Some(reason) = self.recovery.rests(Instant::now()) {
            return Err(Error::Down { engine: self.engine, reason: reason.to_owned() });
        }
        let begun = Instant::now();
        let answer = self.try_answer(question, audio);
        match &answer {
            Ok(_) if matches!(question, Question::Hear { .. }) => {
                self.recovery.works();
                self.shared.stats.decoded.fetch_add(1, Ordering::Relaxed);
                self.count(begun);
            }
            Ok(_) => self.recovery.started(),
            Err(error) => self.died(error),
        }
        answer.map_err(Error::from)
    }

    fn died(&mut self, error: &engine::Error) {
        self.child = None;
        self.shared.stats.process.store(0, Ordering::Relaxed);
        self.shared.stats.deaths.fetch_add(1, Ordering::Relaxed);
        self.recovery.failed(Instant::now(), error.to_string());
    }

    fn try_answer(&mut self, question: &Question, audio: Vec<u8>) -> Result<Answer, engine::Error> {
        let mut child = match self.child.take() {
            Some(child) => child,
            None => self.start()?,
        };
        let answer = child.ask(question, audio, HUNG_AFTER)?;
        self.child = Some(child);
        Ok(answer)
    }

    fn start(&self) -> Result<Child, engine::Error> {
        let mut child = Child::start(self.engine, &self.model, &self.arguments)?;
        child.ask::<Answer>(&Question::Load, Vec::new(), LOAD_TIMEOUT)?;
        self.shared.stats.loads.fetch_add(1, Ordering::Relaxed);
        self.shared.stats.process.store(child.id().into(), Ordering::Relaxed);
        Ok(child)
    }

    /// Counts the time since `begun` as busy.
    fn count(&self, begun: Instant) {
        let mut queue = self.shared.lock();
        let now = Instant::now();
        let (since, busy, _) = &mut queue.busy;
        let window = *since.get_or_insert(begun);
        *busy += (now - begun).as_secs_f64() / LOAD_WINDOW.as_secs_f64();
        if now - window > LOAD_WINDOW {
            let share = *busy * LOAD_WINDOW.as_secs_f64() / (now - window).as_secs_f64();
            queue.busy = (Some(now), 0.0, share);
        }
    }
}
