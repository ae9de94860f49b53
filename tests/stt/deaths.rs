//! An engine's process is killed while it transcribes.

use std::fs;
use std::time::{Duration, Instant};

use auralink::speech::recovery::{Trouble, troubles};
use auralink::speech::stt::{Config, Event, Models, Status};
use rustix::process::{Pid, Signal, kill_process};

use crate::moonshine;
use crate::support::{self, Listener, RATE, committed, english, errors, normal};

/// Children of this test with this text in their command line.
fn children(named: &str) -> Vec<i32> {
    let own = std::process::id();
    let list = std::fs::read_dir("/proc").expect("Linux");
    let numbers =
        list.flatten().filter_map(|e| e.file_name().to_string_lossy().parse::<i32>().ok());
    let ours = numbers.filter(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parent =
            stat.rsplit(") ").next().and_then(|r| r.split(' ').nth(1)?.parse::<u32>().ok());
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        parent == Some(own) && String::from_utf8_lossy(&line).contains(named)
    });
    ours.collect()
}

fn kill(victim: i32) {
    kill_process(Pid::from_raw(victim).expect("a pid"), Signal::KILL).expect("it is ours");
}

/// Runs in its own process, so that it kills no other test's engine.
#[test]
#[ignore = "run by `a_killed_engine_loses_no_committed_word`"]
fn killed() {
    let Some((sound, text)) = support::read_speech() else { return };
    let engines = support::engines(&Config::default(), Models::default());
    let mut listener = Listener::new(&engines, english(&["basic"]), true);
    let listens = |e: &Event| matches!(e, Event::State(Status::Listening { .. }));
    listener.wait_for("the engine", listens);
    let mut at = listener.push(Duration::from_secs(1), &sound);
    listener.wait_for("a committed cue", |e| matches!(e, Event::Committed(_)));
    let victims = children("sphinx");
    assert_eq!(victims.len(), 1, "one engine");
    kill(victims[0]);
    at = listener.push(at, &vec![0.0; RATE]);
    listener.push(at, &sound);
    let stats = listener.transcriber.stats();
    let events = listener.finish();
    let cues = committed(&events);
    let written = cues.iter().map(|c| c.text.as_str()).collect::<Vec<_>>().join(" ");
    let said = normal(&format!("{text} {text}"));
    let wrong = errors(&said, &normal(&written));
    eprintln!("{written}\n{wrong} of {} words wrong", said.len());
    assert!(wrong * 3 < said.len(), "{written}");
    for pair in cues.windows(2) {
        assert!(pair[0].id + 1 == pair[1].id && pair[0].end <= pair[1].start, "{pair:?}");
    }
    assert!(stats.failures.load(std::sync::atomic::Ordering::Relaxed) >= 1);
    assert_ne!(children("sphinx"), victims, "it was started again");
}

#[test]
fn a_killed_engine_loses_no_committed_word() {
    let own = std::env::current_exe().expect("a path");
    let output = std::process::Command::new(own)
        .args(["deaths::killed", "--exact", "--ignored", "--nocapture"])
        .output()
        .expect("it starts again");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stdout));
    eprintln!("{said}");
}

/// The folder of the model that dies, and the name by which it is reported.
const MORTAL: (&str, &str) = ("moonshine-mortal", "mortal");

fn in_trouble() -> Option<Trouble> {
    troubles().into_iter().find(|trouble| trouble.model == MORTAL.1)
}

fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "{what}: {:?}", troubles());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_engine_that_died_is_in_trouble_until_it_has_been_started_again() {
    let Some(models) = moonshine::models() else { return };
    let Some((sound, _)) = support::read_speech() else { return };
    let folder = tempfile::tempdir().expect("temporary folder");
    let (real, mortal) = (models.moonshine.expect("a model"), folder.path().join(MORTAL.0));
    fs::create_dir(&mortal).expect("creates");
    for file in fs::read_dir(&real).expect("a folder").flatten() {
        std::os::unix::fs::symlink(file.path(), mortal.join(file.file_name())).expect("links");
    }
    let models = Models { moonshine: Some(mortal.clone()), ..models };
    let engines = support::engines(&Config::default(), models);
    let mut listener = Listener::new(&engines, english(&["moonshine", "basic"]), true);
    listener.wait_for("the engine", |e| matches!(e, Event::State(Status::Listening { .. })));
    let mut at = listener.push(Duration::from_secs(1), &sound);
    let of = |engine: &'static str, from: Duration| {
        move |event: &Event| match event {
            Event::Committed(cue) => &*cue.origin.engine == engine && cue.start > from,
            _ => false,
        }
    };
    listener.wait_for("words of Moonshine", of("moonshine", Duration::ZERO));
    assert!(in_trouble().is_none(), "{:?}", in_trouble());

    // It dies, and a damaged file keeps it from starting again.
    let (encoder, whole) = (mortal.join("encoder_model.ort"), real.join("encoder_model.ort"));
    fs::remove_file(&encoder).expect("removes the link");
    fs::write(&encoder, &fs::read(&whole).expect("reads")[..10_000]).expect("writes");
    let victims = children(MORTAL.0);
    assert_eq!(victims.len(), 1, "one engine");
    kill(victims[0]);
    let dead = at;
    at = listener.push(at, &sound);
    at = listener.push(at, &vec![0.0; RATE]);
    listener.wait_for("words of another engine", of("basic", dead));
    let trouble = until("the file is named", || {
        in_trouble().filter(|trouble| trouble.reason.contains("encoder_model.ort"))
    });
    assert!(trouble.engine == "moonshine" && trouble.failures >= 2, "{trouble:?}");

    fs::write(&encoder, fs::read(&whole).expect("reads")).expect("writes");
    until("it works again", || in_trouble().is_none().then_some(()));
    assert!(!children(MORTAL.0).is_empty(), "it was started again");
    let again = at;
    // The better engine takes over at a pause, once the stream has asked for it again.
    until("Moonshine is heard again", || {
        at = listener.push(at, &sound);
        at = listener.push(at, &vec![0.0; RATE]);
        listener.has_come(of("moonshine", again)).then_some(())
    });
}
