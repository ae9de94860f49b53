//! One direction at work: a bounded queue in front of a pipeline that starts on demand and ends
//! when idle.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::super::Error;
use super::mode;
use super::pipeline::Pipeline;
use crate::speech::EngineError;

/// Most texts that wait for one direction. Each takes milliseconds; more are a flood.
const WAITING_TEXTS_MAX: usize = 32;

/// Time limit for one text, loading of the dictionaries included.
const TEXT_TIMEOUT: Duration = Duration::from_secs(10);

struct Work {
    text: String,
    answer: oneshot::Sender<Result<String, Error>>,
}

/// A handle to a direction; dropping the last one ends the processes.
#[derive(Clone)]
pub(super) struct Worker {
    name: String,
    queue: mpsc::Sender<Work>,
    group: Arc<AtomicI32>,
}

impl Worker {
    /// A direction whose processes start with its first text and end after `idle` without one.
    pub(super) fn spawn(folder: PathBuf, name: String, idle: Duration) -> Self {
        let (queue, work) = mpsc::channel(WAITING_TEXTS_MAX);
        let group = Arc::new(AtomicI32::new(0));
        let task = Task { folder, name: name.clone(), group: group.clone(), running: None };
        tokio::spawn(task.run(work, idle));
        Self { name, queue, group }
    }

    /// Translates one text.
    ///
    /// # Errors
    /// [`Error::Busy`] if too many texts wait, else the pipeline's error.
    pub(super) async fn translate(&self, text: String) -> Result<String, Error> {
        let (answer, answered) = oneshot::channel();
        self.queue.try_send(Work { text, answer }).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => {
                Error::Busy { what: self.name.clone(), waiting: WAITING_TEXTS_MAX }
            }
            mpsc::error::TrySendError::Closed(_) => Error::Died { what: self.name.clone() },
        })?;
        answered.await.unwrap_or_else(|_| Err(Error::Died { what: self.name.clone() }))
    }

    /// Process group of the pipeline, 0 while none runs.
    pub(super) fn group(&self) -> i32 {
        self.group.load(Ordering::Relaxed)
    }
}

struct Task {
    folder: PathBuf,
    name: String,
    group: Arc<AtomicI32>,
    running: Option<Pipeline>,
}

impl Task {
    async fn run(mut self, mut work: mpsc::Receiver<Work>, idle: Duration) {
        loop {
            let next = if self.running.is_some() {
                match tokio::time::timeout(idle, work.recv()).await {
                    Ok(next) => next,
                    Err(_) => {
                        self.stop();
                        continue;
                    }
                }
            } else {
                work.recv().await
            };
            let Some(Work { text, answer }) = next else { return };
            // The caller has given up: its text is not translated.
            if answer.is_closed() {
                continue;
            }
            let _ = answer.send(self.translate(&text).await);
        }
    }

    /// Replaces a pipeline once if it has died since the last text or dies during this one.
    async fn translate(&mut self, text: &str) -> Result<String, Error> {
        match self.once(text).await {
            Err(Error::Died { .. }) => {
                tracing::warn!(mode = self.name, "Apertium died and is started again");
                self.once(text).await
            }
            other => other,
        }
    }

    async fn once(&mut self, text: &str) -> Result<String, Error> {
        let mut pipeline = match self.running.take() {
            Some(pipeline) => pipeline,
            None => Pipeline::start(&self.name, &mode::read(&self.folder, &self.name)?)?,
        };
        self.group.store(pipeline.group(), Ordering::Relaxed);
        let answer = tokio::time::timeout(TEXT_TIMEOUT, pipeline.exchange(text)).await;
        match answer {
            Ok(Ok(text)) => {
                self.running = Some(pipeline);
                Ok(text)
            }
            // A failed pipeline is dropped with its processes: a late answer would belong to no
            // text.
            Ok(Err(error)) => {
                self.group.store(0, Ordering::Relaxed);
                Err(error)
            }
            Err(_) => {
                self.group.store(0, Ordering::Relaxed);
                Err(EngineError::TimedOut { engine: self.name.clone(), after: TEXT_TIMEOUT }.into())
            }
        }
    }

    fn stop(&mut self) {
        self.running = None;
        self.group.store(0, Ordering::Relaxed);
    }
}
