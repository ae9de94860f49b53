//! Voices that speak on this machine, heard by an engine that understands speech.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use auralink::onnx::Device;
use auralink::speech::stt;
use auralink::speech::tts::{self, Config, Speech, Utterance, Voices};

use crate::needs;
use crate::support::{self, RATE, errors, heard, normal, resampled};

const TEXT: [&str; 5] = [
    "Good evening, and welcome to the programme.",
    "The weather will be warm tomorrow, with some rain in the evening.",
    "She opened the window and looked out over the quiet garden.",
    "Are you sure that the train leaves before seven?",
    "Nobody knew the answer; everybody had a question.",
];

/// These engines, without models. A voice has time to load on a busy machine.
fn engines(names: &[&str]) -> Voices {
    let engines = names.iter().map(|name| (*name).to_owned()).collect();
    let config = Config { engines, timeout_ms: 60_000, ..Config::default() };
    Voices::new(&config, Arc::new(|_| {})).expect("sets up")
}

/// The voices of one engine; `None`, noted, if it is not there.
fn voices(engine: &str) -> Option<Voices> {
    let voices = engines(&[engine]);
    voices.set_models(&tts::Models::scan(&needs::model_folders()));
    for (engine, why) in voices.missing() {
        needs::skip(format!("{engine}: {why}"));
    }
    voices.missing().is_empty().then_some(voices)
}

fn utterance(text: &str, rate: f32) -> Utterance {
    let language = "en".parse().expect("a language");
    Utterance { text: text.into(), language, voice: None, rate, pitch: 1.0 }
}

async fn speak(voices: &Voices, text: &str, rate: f32) -> Speech {
    voices.speak(&utterance(text, rate), &[]).await.expect("speaks")
}

/// Share of the words that are not understood: by Moonshine, else by the basic engine.
async fn misheard(voices: &Voices) -> f64 {
    let mut clips = Vec::new();
    for text in TEXT {
        let speech = speak(voices, text, 1.0).await;
        let pace = text.chars().count() as f64 / speech.pcm.duration().as_secs_f64();
        assert!((8.0..30.0).contains(&pace), "{text}: {pace} characters a second");
        clips.push(resampled(&speech.pcm.samples, speech.pcm.rate_hz, RATE as u32));
    }
    let engines =
        support::engines(&stt::Config::default(), stt::Models::scan(&needs::model_folders()));
    let written = heard(&engines, &["moonshine", "basic"], &clips);
    let said = normal(&TEXT.join(" "));
    eprintln!("{}", written.join(" "));
    errors(&said, &written) as f64 / said.len() as f64
}

#[tokio::test(flavor = "multi_thread")]
async fn piper_is_understood() {
    let Some(voices) = voices("piper") else { return };
    let wrong = misheard(&voices).await;
    assert!(wrong < 0.15, "{wrong}");
}

/// Without a GPU, or without the library for it, on the processor.
#[tokio::test(flavor = "multi_thread")]
async fn a_voice_that_is_to_run_on_a_gpu_speaks_on_any_machine() {
    let Some(voices) = voices("piper") else { return };
    voices.set_models(&tts::Models {
        device: Device::Cuda,
        ..tts::Models::scan(&needs::model_folders())
    });
    let wrong = misheard(&voices).await;
    assert!(wrong < 0.15, "{wrong}");
}

#[tokio::test(flavor = "multi_thread")]
async fn flite_is_understood() {
    let Some(voices) = voices("flite") else { return };
    let wrong = misheard(&voices).await;
    assert!(wrong < 0.25, "{wrong}");
    let (slow, fast) = (speak(&voices, TEXT[2], 1.0).await, speak(&voices, TEXT[2], 1.25).await);
    let ratio = slow.pcm.duration().as_secs_f64() / fast.pcm.duration().as_secs_f64();
    assert!((1.1..1.4).contains(&ratio), "{ratio}");
    // Nothing in a text is an option, a file or a command.
    for text in ["-f /etc/passwd is a file", "$(sleep 9) `sleep 9`; sleep 9", "a\0b <break/> c"] {
        let seconds = speak(&voices, text, 1.0).await.pcm.duration().as_secs_f64();
        assert!((0.3..8.0).contains(&seconds), "{text}: {seconds} s");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn piper_follows_the_rate_and_serves_many_streams_with_one_voice() {
    let Some(voices) = voices("piper") else { return };
    let (slow, fast) = (speak(&voices, TEXT[2], 1.0).await, speak(&voices, TEXT[2], 1.5).await);
    let ratio = slow.pcm.duration().as_secs_f64() / fast.pcm.duration().as_secs_f64();
    assert!((1.2..1.8).contains(&ratio), "{ratio}");
    let streams = TEXT.map(|text| speak(&voices, text, 1.0));
    let spoken = futures::future::join_all(streams).await;
    assert!(spoken.iter().all(|speech| speech.pcm.duration() > Duration::from_secs(1)));
    // Two sentences have a pause between them.
    let text = format!("{} {}", TEXT[0], TEXT[3]);
    let both = speak(&voices, &text, 1.0).await.pcm.duration().as_secs_f64();
    assert!(both > 4.0, "{both} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_voice_is_told_and_the_next_engine_speaks() {
    if voices("piper").is_none() || voices("espeak").is_none() {
        return;
    }
    let all = engines(&["piper", "espeak"]);
    let mut models = tts::Models::scan(&needs::model_folders());
    all.set_models(&models);
    assert_eq!(speak(&all, TEXT[0], 1.0).await.engine, "piper");
    // A voice whose model is no model: the engine is not to blame.
    let folder = tempfile::tempdir().expect("temporary folder");
    let broken = folder.path().join("en_US-broken-medium.onnx");
    std::fs::write(&broken, "no model").expect("writes");
    let beside = |path: &PathBuf| format!("{}.json", path.display());
    std::fs::copy(beside(&models.piper[0].1), beside(&broken)).expect("copies");
    models.piper.insert(0, ("en".parse().expect("a language"), broken));
    all.set_models(&models);
    assert_eq!(speak(&all, TEXT[0], 1.0).await.engine, "espeak");
    let state = &all.states()[0];
    let error = state.last_error.clone().unwrap_or_default();
    assert!(state.up && error.contains("en_US-broken-medium"), "{error}");
    models.piper.remove(0);
    all.set_models(&models);
    assert_eq!(speak(&all, TEXT[1], 1.0).await.engine, "piper");
}

/// The processes with this path in their command line.
fn processes(path: &Path) -> Vec<String> {
    let all = std::fs::read_dir("/proc").expect("/proc").flatten();
    let ours = all.filter(|process| {
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&path.display().to_string())
    });
    ours.map(|process| process.file_name().to_string_lossy().into_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voice_is_loaded_before_it_speaks_and_started_again_when_it_is_killed() {
    if voices("piper").is_none() || voices("espeak").is_none() {
        return;
    }
    // A path of its own, so that other tests keep their process.
    let mut models = tts::Models::scan(&needs::model_folders());
    let folder = tempfile::tempdir().expect("temporary folder");
    let own = folder.path().join("en_US-own-medium.onnx");
    for ending in ["", ".json"] {
        let of = |path: &Path| PathBuf::from(format!("{}{ending}", path.display()));
        std::os::unix::fs::symlink(of(&models.piper[0].1), of(&own)).expect("links");
    }
    models.piper = vec![("en".parse().expect("a language"), own.clone())];
    let all = engines(&["piper", "espeak"]);
    all.set_models(&models);
    assert!(processes(&own).is_empty());
    all.warm_up(&utterance(TEXT[0], 1.0), &[]).await;
    let loaded = processes(&own);
    assert_eq!(loaded.len(), 1);
    assert_eq!(speak(&all, TEXT[0], 1.0).await.engine, "piper");
    assert_eq!(processes(&own), loaded);
    assert!(Command::new("kill").arg("-9").args(&loaded).status().expect("kill").success());
    assert_eq!(speak(&all, TEXT[0], 1.0).await.engine, "espeak");
    assert!(!all.states()[0].up, "it rests");
    let rests = std::time::Instant::now();
    while speak(&all, TEXT[0], 1.0).await.engine != "piper" {
        assert!(rests.elapsed() < Duration::from_secs(30), "{:?}", all.states()[0]);
    }
    assert!(all.states()[0].up);
}

/// In place of `auralink`: a child on a GPU loads its voice and fails to speak as `HOW` says. One on the
/// processor is the real one.
const FAILING_ENGINE: &str = r#"#!/usr/bin/env python3
import json, os, struct, sys
if sys.argv[sys.argv.index("--device") + 1] == "cpu":
    os.execv("PROGRAM", ["PROGRAM", *sys.argv[1:]])
pipe = sys.stdin.buffer
while len(lengths := pipe.read(8)) == 8:
    header, body = struct.unpack("<II", lengths)
    question = json.loads(pipe.read(header))
    pipe.read(body)
    if question["op"] == "say" and "HOW" == "dies":
        os.abort()
    loaded = question["op"] == "load"
    answer = json.dumps({"on_gpu": True} if loaded else {"error": "CUDA failure 700"}).encode()
    sys.stdout.buffer.write(struct.pack("<II", len(answer), 0) + answer)
    sys.stdout.buffer.flush()
"#;

/// Runs in its own process, whose engines are [`FAILING_ENGINE`].
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by `a_voice_that_fails_on_the_gpu_goes_on_on_the_processor`"]
async fn fails_on_the_gpu() {
    let Some(voices) = voices("piper") else { return };
    let models = tts::Models::scan(&needs::model_folders());
    voices.set_models(&tts::Models { device: Device::Cuda, ..models.clone() });
    voices.warm_up(&utterance(TEXT[0], 1.0), &[]).await;
    let of_this_test = |process: &String| {
        let file = |name: &str| std::fs::read_to_string(format!("/proc/{process}/{name}"));
        let parent = format!("PPid:\t{}\n", std::process::id());
        let line = file("cmdline").unwrap_or_default();
        file("status").is_ok_and(|status| status.contains(&parent)).then_some(line)
    };
    let lines = || -> Vec<String> {
        processes(&models.piper[0].1).iter().filter_map(of_this_test).collect()
    };
    assert!(lines().iter().all(|line| line.contains("--device\0cuda")), "{:?}", lines());
    let speech = speak(&voices, TEXT[2], 1.0).await;
    assert!(speech.pcm.duration() > Duration::from_secs(1));
    let lines = lines();
    assert!(lines.len() == 1 && lines[0].contains("--device\0cpu"), "{lines:?}");
    assert!(voices.states()[0].up, "{:?}", voices.states()[0]);
}

#[test]
fn a_voice_that_fails_on_the_gpu_goes_on_on_the_processor() {
    for how in ["dies", "refuses"] {
        let folder = tempfile::tempdir().expect("temporary folder");
        let engine = folder.path().join("engine");
        let program = env!("CARGO_BIN_EXE_auralink");
        let text = FAILING_ENGINE.replace("PROGRAM", program).replace("HOW", how);
        std::fs::write(&engine, text).expect("writes");
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(&engine, executable).expect("sets");
        let output = Command::new(std::env::current_exe().expect("a path"))
            .args(["spoken::fails_on_the_gpu", "--exact", "--ignored", "--nocapture"])
            .env("AURALINK_ENGINE", engine)
            .output()
            .expect("it starts again");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{how}: {said}\n{}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
}
