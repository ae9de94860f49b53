//! One loaded voice for all streams.
//!
//! A thread owns the child process, which has the model. Sentences wait in a bounded queue; one whose
//! deadline passes there, or whose stream has given up, is skipped. A child that dies or hangs fails
//! its sentence; the next ones find the voice down until its pause ends and it is started again, and
//! other engines speak meanwhile. One that fails on a GPU is started again at once, on the processor.

use std::ffi::OsString;
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::model::Run;
use super::wire::{Answer, Question, Sentence};
use crate::media::{Backoff, IgnorePoison};
use crate::onnx::Device;
use crate::speech::EngineError;
use crate::speech::engine::{self, Child};
use crate::speech::recovery::Recovery;
use crate::speech::tts::Error;

/// Sentences that wait for one voice: some seconds of work.
const QUEUE_ITEMS_MAX: usize = 16;

/// Time limit for loading from a slow disk.
const LOAD_TIMEOUT: Duration = Duration::from_secs(60);

/// A child that takes this long for one sentence hangs.
const HUNG_AFTER: Duration = Duration::from_secs(30);

/// A voice leaves memory after this long without a sentence.
const IDLE_UNLOAD: Duration = Duration::from_secs(300);

/// Pauses after failures: 1-60 s; only a success resets them.
const RESTART_PAUSES: Backoff =
    Backoff::new(Duration::from_secs(1), Duration::from_secs(60), Duration::MAX);

struct Job {
    question: Question,
    deadline: Instant,
    reply: oneshot::Sender<Result<Vec<u8>, Error>>,
}

/// One voice. Its thread starts with the first sentence and ends with this.
pub(super) struct Worker {
    name: String,
    run: Run,
    queue: Mutex<Option<SyncSender<Job>>>,
}

impl Worker {
    /// A voice that is not loaded yet.
    pub(super) fn new(name: String, run: Run) -> Self {
        Self { name, run, queue: Mutex::default() }
    }

    /// ONNX Runtime's library that runs it.
    pub(super) fn run(&self) -> &Run {
        &self.run
    }

    /// Speaks a sentence: 16-bit samples.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::VoiceDown`] while the voice rests, or why it failed.
    pub(super) async fn say(&self, sentence: Sentence, limit: Duration) -> Result<Vec<u8>, Error> {
        self.ask(Question::Say(sentence), limit).await
    }

    /// Loads the voice.
    ///
    /// # Errors
    /// As [`Self::say`].
    pub(super) async fn load(&self) -> Result<(), Error> {
        self.ask(Question::Load, LOAD_TIMEOUT).await.map(drop)
    }

    async fn ask(&self, question: Question, limit: Duration) -> Result<Vec<u8>, Error> {
        let (reply, answer) = oneshot::channel();
        let job = Job { question, deadline: Instant::now() + limit, reply };
        let queue = self.queue()?;
        queue.try_send(job).map_err(|_| Error::Busy { voice: self.name.clone() })?;
        let late = || EngineError::TimedOut { engine: "piper".into(), after: limit };
        answer.await.unwrap_or_else(|_| Err(late().into()))
    }

    fn queue(&self) -> Result<SyncSender<Job>, Error> {
        let mut queue = self.queue.lock().ignore_poison();
        if let Some(queue) = &*queue {
            return Ok(queue.clone());
        }
        let (sender, jobs) = mpsc::sync_channel(QUEUE_ITEMS_MAX);
        let owner = Owner {
            name: self.name.clone(),
            recovery: Recovery::new("piper", &self.name, RESTART_PAUSES),
            device: self.run.device,
            run: self.run.clone(),
            on_gpu: false,
            asked: Instant::now(),
            child: None,
        };
        let start = |source| EngineError::Start { program: "piper".into(), source };
        thread::Builder::new()
            .name("piper".into())
            .spawn(move || owner.run(&jobs))
            .map_err(start)?;
        Ok(queue.insert(sender).clone())
    }
}

/// Arguments of a child that may run on `device`.
fn arguments(run: &Run, device: Device) -> Vec<OsString> {
    vec![
        "piper".into(),
        "--model".into(),
        run.model.clone().into(),
        "--runtime".into(),
        run.runtime.clone().into(),
        "--device".into(),
        device.as_str().into(),
        "--threads".into(),
        run.threads.to_string().into(),
    ]
}

/// The thread that owns the child.
struct Owner {
    name: String,
    run: Run,
    /// Where the next child may run: as in `run`, or on the processor after a failure.
    device: Device,
    /// Whether the child runs on a GPU, as far as is known.
    on_gpu: bool,
    /// When a sentence came last.
    asked: Instant,
    child: Option<Child>,
    recovery: Recovery,
}

impl Owner {
    fn run(mut self, jobs: &Receiver<Job>) {
        loop {
            let due = self.recovery.due().map(|due| due.saturating_duration_since(Instant::now()));
            match jobs.recv_timeout(due.map_or(IDLE_UNLOAD, |due| due.min(IDLE_UNLOAD))) {
                Ok(job) => {
                    self.asked = Instant::now();
                    self.serve(job);
                }
                Err(RecvTimeoutError::Timeout) => self.look_after(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Unloads a voice that has had no sentence in the idle time, and starts one that died again.
    fn look_after(&mut self) {
        if self.asked.elapsed() >= IDLE_UNLOAD {
            self.recovery.started();
            if self.child.take().is_some() {
                self.device = self.run.device;
                tracing::info!(voice = self.name, "an idle voice left memory");
            }
        } else if self.recovery.is_due(Instant::now()) {
            match self.start() {
                Ok(child) => {
                    self.child = Some(child);
                    self.recovery.started();
                }
                Err(error) => self.recovery.failed(Instant::now(), error.to_string()),
            }
        }
    }

    fn serve(&mut self, job: Job) {
        let Job { question, deadline, reply } = job;
        // The other end reports its own time-out.
        if Instant::now() >= deadline || reply.is_closed() {
            return;
        }
        // The stream may have given up meanwhile.
        let _ = reply.send(self.answer(&question));
    }

    fn answer(&mut self, question: &Question) -> Result<Vec<u8>, Error> {
        if let Some(reason) = self.recovery.rests(Instant::now()) {
            return Err(Error::VoiceDown { voice: self.name.clone(), reason: reason.to_owned() });
        }
        let error = match self.try_answer(question) {
            Ok(audio) => {
                match question {
                    Question::Say(_) => self.recovery.works(),
                    Question::Load => self.recovery.started(),
                }
                return Ok(audio);
            }
            Err(error) => error,
        };
        // A refused sentence leaves a loaded child as it was.
        if self.child.is_none() {
            self.recovery.failed(Instant::now(), error.to_string());
        }
        Err(Error::Voice { voice: self.name.clone(), source: error })
    }

    /// Asks the child, and after a failure on a GPU another one on the processor.
    fn try_answer(&mut self, question: &Question) -> Result<Vec<u8>, engine::Error> {
        let answer = self.ask(question);
        let Err(error) = &answer else { return answer };
        if !self.on_gpu {
            return answer;
        }
        let voice = &self.name;
        tracing::warn!(voice, %error, "a voice fails on the GPU and goes on on the processor");
        (self.child, self.device) = (None, Device::Cpu);
        self.ask(question)
    }

    fn ask(&mut self, question: &Question) -> Result<Vec<u8>, engine::Error> {
        let mut child = match self.child.take() {
            Some(child) => child,
            None => self.start()?,
        };
        let answer = child.ask_with_body::<Answer>(question, Vec::new(), HUNG_AFTER);
        if matches!(answer, Ok(_) | Err(engine::Error::Refused { .. })) {
            self.child = Some(child);
        }
        answer.map(|(_, audio)| audio)
    }

    fn start(&mut self) -> Result<Child, engine::Error> {
        // A child that dies before it answers may have died of the GPU.
        self.on_gpu = self.device != Device::Cpu;
        let mut child = Child::start("piper", &self.name, &arguments(&self.run, self.device))?;
        let answer: Answer = child.ask(&Question::Load, Vec::new(), LOAD_TIMEOUT)?;
        self.on_gpu = answer.on_gpu;
        let voice = &self.name;
        match (answer.why_not, self.device) {
            (Some(reason), Device::Cuda) => {
                tracing::warn!(voice, reason, "a voice runs on the processor, not the GPU");
            }
            (Some(reason), _) => tracing::info!(voice, reason, "a voice runs on the processor"),
            (None, _) => tracing::info!(voice, on_gpu = answer.on_gpu, "a voice is loaded"),
        }
        Ok(child)
    }
}
