//! The handles: one per stream and direction.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use super::CodecError;
use super::child::Owner;
use super::wire::{EngineOutput, Job, Request};
use crate::aic::FRAME_SAMPLES;
use crate::aic::packet::Codes;
use crate::aic::weights::ModelId;
use crate::media::IgnorePoison;

/// Frames of one stream that may be under way; more are refused at once.
const PENDING_FRAMES_MAX: u32 = 3;

/// The engine of this process. Clones share it.
#[derive(Clone, Debug)]
pub struct Codec(Arc<Owner>);

impl Codec {
    /// The engine that all streams of this process share; starts it if it does not run. Never waits
    /// and never fails: errors are reported by the first frame and by [`Codec::status`].
    pub fn shared() -> Self {
        static SHARED: Mutex<Weak<Owner>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().ignore_poison();
        let owner = shared.upgrade().unwrap_or_else(|| {
            let owner = Arc::new(Owner::start());
            *shared = Arc::downgrade(&owner);
            owner
        });
        Self(owner)
    }

    /// Id of the weights, known before the engine is warm; `None` if there are none.
    pub fn model(&self) -> Option<ModelId> {
        self.0.link.model()
    }

    /// Whether the engine is warm, and if not, why.
    ///
    /// # Errors
    /// The engine is off, starting, or died.
    pub fn status(&self) -> Result<(), CodecError> {
        self.0.link.requests().map(drop)
    }

    /// Waits up to `limit` for the engine to start.
    ///
    /// # Errors
    /// As for [`Codec::status`].
    pub fn wait(&self, limit: Duration) -> Result<(), CodecError> {
        self.0.link.wait(limit)
    }

    /// Process id of the child, if one runs.
    pub fn process_id(&self) -> Option<u32> {
        self.0.link.process_id()
    }

    /// A new stream to encode.
    pub fn encoder(&self) -> Encoder {
        Encoder(Stream { codec: self.clone(), open: None })
    }

    /// A new stream to decode.
    pub fn decoder(&self) -> Decoder {
        Decoder(Stream { codec: self.clone(), open: None })
    }
}

/// Encodes one stream.
#[derive(Debug)]
pub struct Encoder(Stream);

impl Encoder {
    /// The codes (all stages) of the next 20 ms: 16 kHz, mono, -1 to 1.
    ///
    /// # Errors
    /// See [`CodecError`]. After [`CodecError::Late`] the stream continues; after the others it
    /// starts afresh.
    pub fn encode(
        &mut self,
        frame: &[f32; FRAME_SAMPLES],
        deadline: Duration,
    ) -> Result<Codes, CodecError> {
        match self.0.ask(Job::Encode(Box::new(*frame)), deadline)? {
            EngineOutput::Codes(codes) => Ok(codes),
            EngineOutput::Audio(_) | EngineOutput::Failed => Err(CodecError::Failed),
        }
    }

    /// Forgets the past of the stream.
    pub fn reset(&mut self) {
        self.0.close();
    }
}

/// Decodes one stream.
#[derive(Debug)]
pub struct Decoder(Stream);

impl Decoder {
    /// Decodes the next 20 ms; `None`: the frame is lost. The output is delayed by
    /// [`crate::aic::DELAY_SAMPLES`] samples against the input of the encoder.
    ///
    /// # Errors
    /// See [`CodecError`].
    pub fn decode(
        &mut self,
        codes: Option<Codes>,
        deadline: Duration,
    ) -> Result<[f32; FRAME_SAMPLES], CodecError> {
        match self.0.ask(codes.map_or(Job::Lost, Job::Decode), deadline)? {
            EngineOutput::Audio(audio) => Ok(*audio),
            EngineOutput::Codes(_) | EngineOutput::Failed => Err(CodecError::Failed),
        }
    }

    /// Forgets the past of the stream.
    pub fn reset(&mut self) {
        self.0.close();
    }
}

#[derive(Debug)]
struct Stream {
    codec: Codec,
    open: Option<Open>,
}

/// A stream that is open in the running child.
#[derive(Debug)]
struct Open {
    stream: u32,
    asked: u32,
    answered: u32,
    requests: SyncSender<Request>,
    answers: Receiver<(u32, EngineOutput)>,
}

impl Stream {
    fn ask(&mut self, job: Job, deadline: Duration) -> Result<EngineOutput, CodecError> {
        let link = &self.codec.0.link;
        let open = match &mut self.open {
            Some(open) => open,
            none => {
                let (stream, requests, answers) = link.open()?;
                none.insert(Open { stream, asked: 0, answered: 0, requests, answers })
            }
        };
        let made = open.ask(job, deadline, || link.asked());
        match made {
            Ok(EngineOutput::Failed) | Err(CodecError::Died(_)) => {
                self.close();
                made.map_err(|_| self.codec.status().err().unwrap_or(CodecError::Failed))
            }
            made => made,
        }
    }

    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            self.codec.0.link.close(open.stream);
            let number = open.asked;
            // If the queue is full or closed, the late child is about to be replaced and forgets
            // everything.
            let _ =
                open.requests.try_send(Request { stream: open.stream, number, job: Job::Forget });
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.close();
    }
}

impl Open {
    fn ask(
        &mut self,
        job: Job,
        deadline: Duration,
        sent: impl Fn(),
    ) -> Result<EngineOutput, CodecError> {
        let until = Instant::now() + deadline;
        let died = || CodecError::Died("it closed its pipe".into());
        while let Ok((number, _)) = self.answers.try_recv() {
            self.answered = number;
        }
        if self.asked - self.answered >= PENDING_FRAMES_MAX {
            return Err(CodecError::Late(deadline));
        }
        self.asked += 1;
        let request = Request { stream: self.stream, number: self.asked, job };
        match self.requests.try_send(request) {
            Ok(()) => sent(),
            Err(std::sync::mpsc::TrySendError::Full(_)) => {
                self.asked -= 1;
                return Err(CodecError::Late(deadline));
            }
            Err(std::sync::mpsc::TrySendError::Disconnected(_)) => return Err(died()),
        }
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.answers.recv_timeout(left) {
                Ok((number, made)) => {
                    self.answered = number;
                    if number == self.asked {
                        return Ok(made);
                    }
                }
                Err(RecvTimeoutError::Timeout) => return Err(CodecError::Late(deadline)),
                Err(RecvTimeoutError::Disconnected) => return Err(died()),
            }
        }
    }
}
