//! The child process: started, watched, and started again.

use std::collections::HashMap;
use std::io::{BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use super::CodecError;
use super::wire::{Answer, EngineOutput, Request};
use crate::aic::weights::{self, ModelId};
use crate::media::{Backoff, IgnorePoison};
use crate::speech::engine::{Tail, program};

/// Requests of all streams that may wait for the pipe.
const WAITING_REQUESTS_MAX: usize = 256;
/// Answers that may wait for one stream: more than it can have under way.
const WAITING_ANSWERS_MAX: usize = 8;
/// How often the child is checked.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);
/// Checks without any answer while one is outstanding, before the child counts as hung: 2 s.
const HUNG_CHECKS: u32 = 8;
/// Time limit for loading and warming up.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Pauses before another child is started: 1-60 s; a child that ran for 60 s resets them.
const RESTART_PAUSES: Backoff =
    Backoff::new(Duration::from_secs(1), Duration::from_secs(60), Duration::from_secs(60));

const NO_WEIGHTS: &str = "no weights: put aic-a.safetensors and aic-a.json to \
    /var/lib/auralink/models/aic-audio, or train them (models/aic-audio/README.md)";

/// Keeps the engine running until it is dropped.
#[derive(Debug)]
pub(super) struct Owner {
    pub(super) link: Arc<Link>,
}

/// State shared by handles, pipes and watcher.
#[derive(Debug)]
pub(super) struct Link {
    state: Mutex<State>,
    changed: Condvar,
    asked: AtomicU64,
    answered: AtomicU64,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    model: Option<ModelId>,
    process: Option<u32>,
    boxes: HashMap<u32, SyncSender<(u32, EngineOutput)>>,
    next: u32,
    /// The pipe of the running child has ended.
    ended: bool,
    /// The reason from a child that cannot serve.
    off: Option<String>,
    closing: bool,
}

#[derive(Debug)]
enum Phase {
    Starting,
    Ready(SyncSender<Request>),
    Down(CodecError),
}

/// What a handle needs: the id of its stream, and the channels in both directions.
type Ways = (u32, SyncSender<Request>, Receiver<(u32, EngineOutput)>);

impl Owner {
    pub(super) fn start() -> Self {
        let state = State {
            phase: Phase::Starting,
            model: weights::find().as_deref().and_then(weights::id),
            process: None,
            boxes: HashMap::new(),
            next: 0,
            ended: false,
            off: None,
            closing: false,
        };
        let link = Arc::new(Link {
            state: Mutex::new(state),
            changed: Condvar::new(),
            asked: AtomicU64::new(0),
            answered: AtomicU64::new(0),
        });
        let watched = Arc::clone(&link);
        if let Err(error) = named("aic-engine", move || supervise(&watched)) {
            link.down(CodecError::NotThere(format!("no thread: {error}")));
        }
        Self { link }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.link.lock().closing = true;
        self.link.changed.notify_all();
    }
}

impl Link {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Plain values that a panic cannot leave inconsistent.
        self.state.lock().ignore_poison()
    }

    pub(super) fn model(&self) -> Option<ModelId> {
        self.lock().model
    }

    pub(super) fn process_id(&self) -> Option<u32> {
        self.lock().process
    }

    pub(super) fn requests(&self) -> Result<SyncSender<Request>, CodecError> {
        self.lock().phase.requests()
    }

    pub(super) fn wait(&self, limit: Duration) -> Result<(), CodecError> {
        let starting = |state: &mut State| matches!(state.phase, Phase::Starting);
        let waited = self.changed.wait_timeout_while(self.lock(), limit, starting);
        let (state, _) = waited.ignore_poison();
        state.phase.requests().map(drop)
    }

    /// Opens a stream of the running child.
    pub(super) fn open(&self) -> Result<Ways, CodecError> {
        let mut state = self.lock();
        let requests = state.phase.requests()?;
        let (answered, answers) = mpsc::sync_channel(WAITING_ANSWERS_MAX);
        state.next = state.next.wrapping_add(1);
        let stream = state.next;
        state.boxes.insert(stream, answered);
        Ok((stream, requests, answers))
    }

    pub(super) fn close(&self, stream: u32) {
        self.lock().boxes.remove(&stream);
    }

    pub(super) fn asked(&self) {
        self.asked.fetch_add(1, Ordering::Relaxed);
    }

    fn down(&self, error: CodecError) {
        let mut state = self.lock();
        tracing::warn!(engine = "aic", "{error}");
        state.phase = Phase::Down(error);
        state.process = None;
        state.boxes.clear();
        drop(state);
        self.changed.notify_all();
    }

    /// Distributes the child's answers until it ends; callers that wait then get an error at once.
    fn follow(&self, requests: SyncSender<Request>, from: ChildStdout) {
        let mut from = BufReader::new(from);
        let mut requests = Some(requests);
        while let Ok(Some(answer)) = Answer::read(&mut from) {
            match answer {
                Answer::EngineOutput { stream, number, made } => {
                    self.answered.fetch_add(1, Ordering::Relaxed);
                    let to = self.lock().boxes.get(&stream).cloned();
                    // A full box belongs to a caller that has given up.
                    let _ = to.map(|to| to.try_send((number, made)));
                }
                Answer::Hello(model) => {
                    let mut state = self.lock();
                    state.model = Some(model);
                    if let Some(requests) = requests.take() {
                        state.phase = Phase::Ready(requests);
                    }
                    drop(state);
                    self.changed.notify_all();
                }
                Answer::Off(text) => self.lock().off = Some(text),
            }
        }
        let mut state = self.lock();
        state.ended = true;
        state.phase = match &state.off {
            Some(text) => Phase::Down(CodecError::NotThere(text.clone())),
            None => Phase::Down(CodecError::Died("it closed its pipe".into())),
        };
        state.boxes.clear();
        drop(state);
        self.changed.notify_all();
    }

    /// Whether the engine is no longer wanted; waits up to `limit` for that.
    fn closes_within(&self, limit: Duration) -> bool {
        let open = |state: &mut State| !state.closing;
        let waited = self.changed.wait_timeout_while(self.lock(), limit, open);
        waited.ignore_poison().0.closing
    }
}

impl Phase {
    fn requests(&self) -> Result<SyncSender<Request>, CodecError> {
        match self {
            Self::Ready(requests) => Ok(requests.clone()),
            Self::Starting => Err(CodecError::Starting),
            Self::Down(error) => Err(error.clone()),
        }
    }
}

fn named(name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    thread::Builder::new().name(name.into()).spawn(run).map(drop)
}

fn supervise(link: &Arc<Link>) {
    let mut pauses = RESTART_PAUSES;
    loop {
        let born = Instant::now();
        let Some(error) = live(link) else { return };
        let pause = match error {
            CodecError::NotThere(_) => pauses.longest(),
            _ => pauses.pause(born.elapsed()),
        };
        link.down(error);
        if link.closes_within(pause) {
            return;
        }
        link.lock().phase = Phase::Starting;
    }
}

/// Runs one child; returns why it ended, or `None` if the engine is no longer wanted.
fn live(link: &Arc<Link>) -> Option<CodecError> {
    let tail = Tail::default();
    let mut child = match start(link, &tail) {
        Ok(child) => child,
        Err(error) => return Some(error),
    };
    let ended = watch(link);
    // Its pipes close with it, which ends the threads.
    let _ = child.kill();
    let status = child.wait().map_or_else(|e| e.to_string(), |s| s.to_string());
    let mut state = link.lock();
    state.process = None;
    let off = state.off.take();
    drop(state);
    let why = match (ended?, off) {
        (_, Some(text)) => return Some(CodecError::NotThere(text)),
        (End::Pipe, None) => status,
        (End::Hung, None) => format!("no answer in {} s", (CHECK_INTERVAL * HUNG_CHECKS).as_secs()),
        (End::Slow, None) => format!("not ready after {} s", START_TIMEOUT.as_secs()),
    };
    let last = tail.last();
    Some(CodecError::Died(if last.is_empty() { why } else { format!("{why}: {last}") }))
}

fn start(link: &Arc<Link>, tail: &Tail) -> Result<Child, CodecError> {
    let off = |why: &dyn std::fmt::Display| CodecError::NotThere(why.to_string());
    let weights = weights::find().ok_or_else(|| off(&NO_WEIGHTS))?;
    let program = program().ok_or_else(|| {
        off(&"the program `auralink` is not found; set AURALINK_ENGINE to its path")
    })?;
    let mut child = Command::new(program)
        .args(["engine", "aic", "--weights"])
        .arg(&weights)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| off(&format!("the engine does not start: {e}")))?;
    let (requests, asked) = mpsc::sync_channel(WAITING_REQUESTS_MAX);
    {
        let mut state = link.lock();
        state.phase = Phase::Starting;
        (state.ended, state.off) = (false, None);
        state.model = weights::id(&weights);
        state.process = Some(child.id());
    }
    link.asked.store(0, Ordering::Relaxed);
    link.answered.store(0, Ordering::Relaxed);
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (follower, tail) = (Arc::clone(link), tail.clone());
    let spawned = match pipes {
        (Some(stdin), Some(stdout), Some(stderr)) => named("aic-ask", move || ask(&asked, stdin))
            .and_then(|()| named("aic-answer", move || follower.follow(requests, stdout)))
            .and_then(|()| named("aic-log", move || tail.follow("aic", stderr))),
        _ => Err(std::io::Error::other("it has no pipes")),
    };
    if let Err(error) = spawned {
        let _ = child.kill();
        let _ = child.wait();
        return Err(off(&error));
    }
    Ok(child)
}

/// If the child hangs, its full pipe blocks only this thread.
fn ask(asked: &Receiver<Request>, mut to: ChildStdin) {
    let mut bytes = Vec::new();
    while let Ok(request) = asked.recv() {
        bytes.clear();
        request.write(&mut bytes);
        // Sends requests that arrived meanwhile together, so that the child can batch them.
        for request in asked.try_iter().take(64) {
            request.write(&mut bytes);
        }
        if to.write_all(&bytes).is_err() {
            return;
        }
    }
}

enum End {
    Pipe,
    Hung,
    Slow,
}

/// Waits until the child has ended or must be ended; `None`: it is no longer wanted.
fn watch(link: &Link) -> Option<End> {
    let (born, mut seen, mut still) = (Instant::now(), 0, 0);
    loop {
        let quiet = |state: &mut State| !state.closing && !state.ended;
        let waited = link.changed.wait_timeout_while(link.lock(), CHECK_INTERVAL, quiet);
        let (state, _) = waited.ignore_poison();
        if state.closing {
            return None;
        }
        if state.ended {
            return Some(End::Pipe);
        }
        let starting = matches!(state.phase, Phase::Starting);
        drop(state);
        if starting && born.elapsed() > START_TIMEOUT {
            return Some(End::Slow);
        }
        let (asked, answered) =
            (link.asked.load(Ordering::Relaxed), link.answered.load(Ordering::Relaxed));
        still = if asked > answered && answered == seen { still + 1 } else { 0 };
        seen = answered;
        if still >= HUNG_CHECKS {
            return Some(End::Hung);
        }
    }
}
