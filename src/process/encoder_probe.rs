//! Tests whether each encoder works on this machine, in this process or in a separate one.
//!
//! Encoders are third-party libraries on top of drivers: one that aborts must not end the
//! appliance.

use std::io::{self, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use gst::prelude::*;
use serde::{Deserialize, Serialize};

use super::encoder_settings::{RECIPES, Recipe, Wanted};
use crate::media::Kind;

/// Time limit for an encoder to encode [`PROBE_FRAMES`] small frames. It needs milliseconds; the
/// rest is for a busy machine, because a wrong result would stay until the next start.
const PROBE_TIMEOUT: Duration = Duration::from_secs(4);

/// Time limit for a process that tests encoders: it also has to load GStreamer.
const PROCESS_TIMEOUT: Duration = Duration::from_secs(8);

/// Most simultaneous processes when each encoder gets its own.
const PROBE_PROCESSES_MAX: usize = 4;

/// Frames that an encoder has to encode.
const PROBE_FRAMES: u32 = 5;

/// Result of testing one encoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Factory name, as `gst-inspect-1.0` knows it.
    pub factory: String,
    /// Milliseconds until five small frames were encoded, or the reason of failure.
    pub outcome: Result<f64, String>,
}

impl Trial {
    fn failed(recipe: &Recipe, reason: impl Into<String>) -> Self {
        Self { factory: recipe.factory.to_owned(), outcome: Err(reason.into()) }
    }
}

/// Tests these encoders, or all if empty, in this process and at the same time. Blocks, at most
/// four and a half seconds if an encoder hangs. GStreamer must be initialised.
pub fn here(factories: &[String]) -> Vec<Trial> {
    let wanted = |r: &&Recipe| factories.is_empty() || factories.iter().any(|f| f == r.factory);
    let recipes: Vec<&'static Recipe> = RECIPES.iter().filter(wanted).collect();
    let hung = format!("it hung for {PROBE_TIMEOUT:?}");
    let mut trials: Vec<Trial> = recipes.iter().map(|r| Trial::failed(r, &*hung)).collect();
    let (tell, told) = mpsc::channel();
    let mut waiting = 0;
    for (index, recipe) in recipes.into_iter().enumerate() {
        let tell = tell.clone();
        let attempt = move || {
            // After the time limit the receiver is gone.
            let _ = tell.send((index, attempt(recipe)));
        };
        match std::thread::Builder::new().name("trial".into()).spawn(attempt) {
            Ok(_) => waiting += 1,
            Err(error) => tracing::error!(%error, "no thread to try an encoder"),
        }
    }
    let end = Instant::now() + PROBE_TIMEOUT + Duration::from_millis(500);
    for _ in 0..waiting {
        let left = end.saturating_duration_since(Instant::now());
        let Ok((index, outcome)) = told.recv_timeout(left) else { break };
        let tenths = |took: Duration| (took.as_secs_f64() * 10_000.0).round() / 10.0;
        trials[index].outcome = outcome.map(tenths);
    }
    trials
}

/// Tests all encoders in a separate process. If it dies, each encoder gets its own process, to find
/// the one that causes it.
///
/// # Errors
/// If no process can be started.
pub(super) fn apart(child: impl Fn() -> Command) -> io::Result<Vec<Trial>> {
    let end = Instant::now() + PROCESS_TIMEOUT;
    match listen(child(), end)? {
        Ok(trials) => return Ok(trials),
        Err(why) => tracing::warn!(why, "trying the encoders failed; each is tried by itself"),
    }
    let mut trials = Vec::new();
    for recipes in RECIPES.chunks(PROBE_PROCESSES_MAX) {
        let end = Instant::now() + PROCESS_TIMEOUT;
        let started: Vec<_> = recipes
            .iter()
            .map(|recipe| {
                let mut command = child();
                command.arg(recipe.factory);
                std::thread::spawn(move || listen(command, end))
            })
            .collect();
        for (recipe, outcome) in recipes.iter().zip(started) {
            let outcome = outcome.join().map_err(|_| io::Error::other("a thread panicked"))??;
            trials.extend(outcome.unwrap_or_else(|why| vec![Trial::failed(recipe, why)]));
        }
    }
    Ok(trials)
}

/// Runs a process that tests encoders and reads its output; the inner error is the reason if it
/// dies or takes too long.
fn listen(mut command: Command, end: Instant) -> io::Result<Result<Vec<Trial>, String>> {
    // Encoders write to standard error at will; their failures are no errors of ours.
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut process = command.spawn()?;
    let stdout = process.stdout.take();
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        let read = stdout.map(|mut s| s.read_to_string(&mut text));
        let _ = tell.send(read.map(|_| text));
    });
    let left = end.saturating_duration_since(Instant::now());
    let Ok(text) = told.recv_timeout(left) else {
        process.kill()?;
        process.wait()?;
        return Ok(Err(format!("it hung for {PROCESS_TIMEOUT:?}")));
    };
    let status = process.wait()?;
    if let Some(signal) = status.signal() {
        return Ok(Err(format!("it crashed (signal {signal})")));
    }
    let last = text.as_deref().and_then(|t| t.lines().last()).unwrap_or_default();
    Ok(serde_json::from_str(last).map_err(|_| format!("it ended with {status}")))
}

/// Runs one encoder; returns the time it took, or why it failed.
fn attempt(recipe: &Recipe) -> Result<Duration, String> {
    if gst::ElementFactory::find(recipe.factory).is_none() {
        return Err(format!("not on this machine; it comes with {}", recipe.from));
    }
    let source = match recipe.codec.kind() {
        Kind::Video => {
            "videotestsrc pattern=ball ! video/x-raw,format=I420,width=320,height=180,\
             framerate=30/1 ! identity eos-after=6 ! videoconvert"
        }
        Kind::Audio => {
            "audiotestsrc samplesperbuffer=1920 ! audio/x-raw,rate=48000,channels=2 \
             ! identity eos-after=6 ! audioconvert"
        }
    };
    let wanted = Wanted { kbps: 128, key_frames: 60, threads: 1 };
    let encoder = recipe.describe(wanted);
    let description = format!("{source} ! {encoder} ! fakesink name=sink sync=false");
    let started = Instant::now();
    let pipeline = gst::parse::launch(&description).map_err(|e| e.message().to_owned())?;
    let outcome = encode(&pipeline);
    let took = started.elapsed();
    // This runs on a separate thread, so an encoder that cannot stop blocks no other test.
    let _ = pipeline.set_state(gst::State::Null);
    outcome.map(|()| took)
}

fn encode(pipeline: &gst::Element) -> Result<(), String> {
    let bin = pipeline.downcast_ref::<gst::Bin>().ok_or("it is no pipeline")?;
    let pad = bin.by_name("sink").and_then(|s| s.static_pad("sink")).ok_or("it has no sink")?;
    let frames = Arc::new(AtomicU32::new(0));
    let counter = frames.clone();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        counter.fetch_add(1, Ordering::Relaxed);
        gst::PadProbeReturn::Ok
    });
    let bus = pipeline.bus().ok_or("it has no bus")?;
    let refused = pipeline.set_state(gst::State::Playing).is_err();
    let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
    let limit = gst::ClockTime::try_from(PROBE_TIMEOUT).map_err(|e| e.to_string())?;
    let wait = if refused { gst::ClockTime::ZERO } else { limit };
    let message = bus.timed_pop_filtered(wait, &kinds);
    match message.as_ref().map(|m| m.view()) {
        Some(gst::MessageView::Error(error)) => Err(error.error().message().to_owned()),
        Some(_) if frames.load(Ordering::Relaxed) >= PROBE_FRAMES => Ok(()),
        Some(_) => {
            Err(format!("it gave {} frames for {PROBE_FRAMES}", frames.load(Ordering::Relaxed)))
        }
        None if refused => Err("it did not start".to_owned()),
        None => Err(format!("it did not finish within {PROBE_TIMEOUT:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process in which one encoder aborts and ends all tests beside it.
    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]);
        command
    }

    #[test]
    fn an_encoder_that_aborts_is_found_and_the_others_are_used() {
        let script = r#"case "$1" in
            ''|x264enc) echo noise; kill -ABRT $$ ;;
            openh264enc) echo noise; exit 3 ;;
            *) printf 'noise\n[{"factory":"%s","outcome":{"Ok":1.5}}]\n' "$1" ;;
        esac"#;
        let trials = apart(|| shell(script)).expect("a shell");
        let check = |factory: &str, expect: Result<f64, &str>| {
            let trial = trials.iter().find(|t| t.factory == factory).expect("tried");
            let found = trial.outcome.as_ref().copied().map_err(String::as_str);
            assert_eq!(found, expect, "{factory}");
        };
        assert_eq!(trials.len(), RECIPES.len());
        check("x264enc", Err("it crashed (signal 6)"));
        check("openh264enc", Err("it ended with exit status: 3"));
        check("vp8enc", Ok(1.5));
    }

    #[test]
    fn a_process_that_hangs_is_ended() {
        let end = Instant::now() + Duration::from_millis(200);
        let outcome = listen(shell("exec sleep 60"), end).expect("a shell");
        assert!(outcome.is_err_and(|why| why.starts_with("it hung")));
        assert!(apart(|| Command::new("/there/is/no/such/program")).is_err());
    }
}
