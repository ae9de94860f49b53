//! An engine's process is killed while it transcribes.

use std::time::Duration;

use auralink::speech::stt::{Config, Event, Models, Status};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{self, Listener, RATE, committed, english, errors, normal};

/// Children of this test that run the basic engine.
fn children() -> Vec<i32> {
    let own = std::process::id();
    let list = std::fs::read_dir("/proc").expect("Linux");
    let numbers =
        list.flatten().filter_map(|e| e.file_name().to_string_lossy().parse::<i32>().ok());
    let ours = numbers.filter(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parent =
            stat.rsplit(") ").next().and_then(|r| r.split(' ').nth(1)?.parse::<u32>().ok());
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        parent == Some(own) && String::from_utf8_lossy(&line).contains("sphinx")
    });
    ours.collect()
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
    let victims = children();
    assert_eq!(victims.len(), 1, "one engine");
    kill_process(Pid::from_raw(victims[0]).expect("a pid"), Signal::KILL).expect("it is ours");
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
    assert_ne!(children(), victims, "it was started again");
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
