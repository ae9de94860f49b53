//! The child's side: `auralink engine aic`.

use std::io;
use std::path::Path;

/// Serves on standard input and output until the parent is gone. Without the cargo feature `aic` it
/// only answers how to enable it.
///
/// # Errors
/// If standard output is closed.
#[cfg(not(feature = "aic"))]
pub fn serve(_weights: &Path, _threads: usize) -> io::Result<()> {
    let text = "this build has no AIC engine: `make aic`, then build with `--features aic`";
    super::wire::Answer::Off(text.into()).write(&mut io::stdout().lock())
}

#[cfg(feature = "aic")]
pub use with::serve;

#[cfg(feature = "aic")]
mod with {
    use std::collections::{HashMap, HashSet, VecDeque};
    use std::fs::File;
    use std::io::{BufReader, BufWriter, Write};
    use std::sync::mpsc::{self, Receiver};
    use std::thread;

    use super::*;
    use crate::aic::FRAME_SAMPLES;
    use crate::aic::audio::{AudioError, Model, State, Voice, device};
    use crate::aic::engine::wire::{Answer, EngineOutput, Job, Request};
    use crate::aic::packet::Codes;

    /// Most streams with state in one engine; frames of further ones fail.
    const STREAMS_MAX: usize = 1024;
    /// Requests that may wait; then the pipe blocks the parent.
    const WAITING_REQUESTS_MAX: usize = 1024;
    /// Frames that go through the network before the engine is ready.
    const WARM_UP_FRAMES: usize = 10;

    /// Serves on standard input and output until the parent is gone. Output that libraries print to
    /// standard output goes to standard error.
    ///
    /// # Errors
    /// If standard output is closed.
    pub fn serve(weights: &Path, threads: usize) -> io::Result<()> {
        let mut out = BufWriter::new(File::from(rustix::io::dup(rustix::stdio::stdout())?));
        rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
        let (sender, requests) = mpsc::sync_channel(WAITING_REQUESTS_MAX);
        thread::Builder::new().name("requests".into()).spawn(move || {
            let mut from = BufReader::with_capacity(1 << 16, io::stdin());
            while let Ok(Some(request)) = Request::read(&mut from) {
                if sender.send(request).is_err() {
                    break;
                }
            }
            // The parent is gone, so frames that are still in the network are of no use.
            std::process::exit(0);
        })?;
        tch::set_num_threads(threads.clamp(1, 64) as i32);
        let engine = Model::load(weights, device::choose()).and_then(Engine::warm);
        let mut engine = match engine {
            Ok(engine) => engine,
            Err(error) => {
                Answer::Off(said(&error)).write(&mut out)?;
                return out.flush();
            }
        };
        Answer::Hello(engine.model.id()).write(&mut out)?;
        out.flush()?;
        engine.run(&requests, &mut out)
    }

    fn said(error: &AudioError) -> String {
        let cause = std::error::Error::source(error).map(|e| format!(": {e}"));
        format!("{error}{}", cause.unwrap_or_default())
    }

    /// Stream and number of a frame, and its input.
    type Keyed<F> = ((u32, u32), F);

    struct Engine {
        model: Model,
        encoders: HashMap<u32, State>,
        decoders: HashMap<u32, Voice>,
    }

    impl Engine {
        fn warm(model: Model) -> Result<Self, AudioError> {
            let (mut state, mut voice) = (model.encoder_state(1)?, Voice::new(&model)?);
            for _ in 0..WARM_UP_FRAMES {
                let codes = model.encode_many(&[&[0.01; FRAME_SAMPLES]], &mut [&mut state])?;
                model.decode_many(&[codes.first()], &mut [&mut voice])?;
            }
            Ok(Self { model, encoders: HashMap::new(), decoders: HashMap::new() })
        }

        fn run(&mut self, requests: &Receiver<Request>, out: &mut impl Write) -> io::Result<()> {
            let mut waiting: VecDeque<Request> = VecDeque::new();
            while let Ok(request) = requests.recv() {
                waiting.push_back(request);
                while !waiting.is_empty() {
                    waiting.extend(requests.try_iter().take(WAITING_REQUESTS_MAX));
                    for answer in self.pass(&mut waiting) {
                        answer.write(out)?;
                    }
                    out.flush()?;
                }
            }
            Ok(())
        }

        /// Processes the first waiting frame of each stream, all in one pass per direction.
        fn pass(&mut self, waiting: &mut VecDeque<Request>) -> Vec<Answer> {
            let (mut encode, mut decode) = (Vec::new(), Vec::new());
            let (mut seen, mut later) = (HashSet::new(), VecDeque::new());
            for request in waiting.drain(..) {
                if !seen.insert(request.stream) {
                    later.push_back(request);
                    continue;
                }
                let key = (request.stream, request.number);
                match request.job {
                    Job::Encode(sound) => encode.push((key, sound)),
                    Job::Decode(codes) => decode.push((key, Some(codes))),
                    Job::Lost => decode.push((key, None)),
                    Job::Forget => {
                        self.encoders.remove(&request.stream);
                        self.decoders.remove(&request.stream);
                    }
                }
            }
            *waiting = later;
            let mut answers = self.encode(&encode);
            answers.extend(self.decode(&decode));
            answers
        }

        fn encode(&mut self, frames: &[Keyed<Box<[f32; FRAME_SAMPLES]>>]) -> Vec<Answer> {
            let (model, all) = (&self.model, &mut self.encoders);
            let made = run(
                frames,
                all,
                || model.encoder_state(1),
                |frames, states| {
                    let frames: Vec<&[f32; FRAME_SAMPLES]> =
                        frames.iter().map(|f| f.as_ref()).collect();
                    let codes = model.encode_many(&frames, states)?;
                    Ok(codes.into_iter().map(EngineOutput::Codes).collect())
                },
            );
            answers(frames.iter().map(|(key, _)| *key), made)
        }

        fn decode(&mut self, frames: &[Keyed<Option<Codes>>]) -> Vec<Answer> {
            let (model, all) = (&self.model, &mut self.decoders);
            let made = run(
                frames,
                all,
                || Voice::new(model),
                |frames, voices| {
                    let frames: Vec<Option<&Codes>> = frames.iter().map(|f| f.as_ref()).collect();
                    let sounds = model.decode_many(&frames, voices)?;
                    Ok(sounds.into_iter().map(|s| EngineOutput::Audio(Box::new(s))).collect())
                },
            );
            answers(frames.iter().map(|(key, _)| *key), made)
        }
    }

    /// Takes the state of each stream out of the map, runs all frames, and puts it back. If the
    /// pass fails the states are lost, and these streams start afresh.
    fn run<F, S>(
        frames: &[Keyed<F>],
        all: &mut HashMap<u32, S>,
        fresh: impl Fn() -> Result<S, AudioError>,
        pass: impl FnOnce(&[&F], &mut [&mut S]) -> Result<Vec<EngineOutput>, AudioError>,
    ) -> Vec<EngineOutput> {
        if frames.is_empty() || all.len() + frames.len() > STREAMS_MAX {
            return Vec::new();
        }
        let taken: Result<Vec<S>, _> = frames
            .iter()
            .map(|((stream, _), _)| all.remove(stream).map_or_else(&fresh, Ok))
            .collect();
        let made = taken.and_then(|mut states| {
            let frames_only: Vec<&F> = frames.iter().map(|(_, f)| f).collect();
            let made = pass(&frames_only, &mut states.iter_mut().collect::<Vec<_>>())?;
            all.extend(frames.iter().map(|((stream, _), _)| *stream).zip(states));
            Ok(made)
        });
        made.unwrap_or_else(|error| {
            eprintln!("a pass of {} frames failed: {}", frames.len(), said(&error));
            Vec::new()
        })
    }

    /// Frames without a result have failed.
    fn answers(keys: impl Iterator<Item = (u32, u32)>, made: Vec<EngineOutput>) -> Vec<Answer> {
        let made = made.into_iter().chain(std::iter::repeat(EngineOutput::Failed));
        keys.zip(made)
            .map(|((stream, number), made)| Answer::EngineOutput { stream, number, made })
            .collect()
    }
}
