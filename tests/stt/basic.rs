//! The engine of machines without weights.

use std::time::Duration;

use auralink::speech::stt::{Config, Models};

use crate::support::{self, Listener, RATE, committed, english, errors, normal};

/// Highest word error rate in read speech: PocketSphinx hears 23-27 % of these clips wrong.
const WER_MAX: f64 = 0.35;

#[test]
fn words_of_read_speech() {
    let step = std::env::var("AURALINK_WER_STEP").ok().and_then(|s| s.parse().ok()).unwrap_or(8);
    let utterances = support::utterances(step);
    if utterances.is_empty() {
        return;
    }
    let engines = support::engines(&Config::default(), Models::default());
    let listener = Listener::new(&engines, english(&["basic"]), true);
    let stats = listener.transcriber.stats();
    let mut said = Vec::new();
    let mut at = Duration::from_secs(5);
    for (sound, text) in &utterances {
        said.extend(normal(text));
        at = listener.push(at, sound);
        at = listener.push(at, &vec![0.0; RATE]);
    }
    let events = listener.finish();
    let cues = committed(&events);
    let text: Vec<&str> = cues.iter().map(|c| c.text.as_str()).collect();
    let written = normal(&text.join(" "));
    let rate = errors(&said, &written) as f64 / said.len() as f64;
    for cue in &cues {
        eprintln!(
            "{:7.2}-{:7.2} {} {:.2}",
            cue.start.as_secs_f64(),
            cue.end.as_secs_f64(),
            cue.text,
            cue.confidence()
        );
    }
    eprintln!(
        "basic: {:.1} % of {} words wrong, {} written, real-time factor {:.2}",
        rate * 100.0,
        said.len(),
        written.len(),
        stats.real_time_factor(),
    );
    assert!(rate < WER_MAX, "{rate}");
    for pair in cues.windows(2) {
        assert!(pair[0].id + 1 == pair[1].id && pair[0].end <= pair[1].start, "{pair:?}");
    }
}
