//! Moonshine on its real weights.

use std::time::Duration;

use auralink::speech::stt::{Config, Models};

use crate::pulled;
use crate::support::{self, Listener, RATE, committed, english, errors, normal};

/// Highest word error rate in read speech.
const WER_MAX: f64 = 0.08;

/// Moonshine's weights and ONNX Runtime; `None`, noted, if they cannot be fetched.
pub fn models() -> Option<Models> {
    let models = Models::scan(pulled::default_models()?);
    assert!(models.moonshine.is_some() && models.onnxruntime.is_some(), "{models:?}");
    Some(models)
}

#[test]
fn words_of_read_speech() {
    let Some(models) = models() else { return };
    let step = std::env::var("AURALINK_WER_STEP").ok().and_then(|s| s.parse().ok()).unwrap_or(8);
    let utterances = support::utterances(step);
    if utterances.is_empty() {
        return;
    }
    let engines = support::engines(&Config::default(), models);
    let listener = Listener::new(&engines, english(&["moonshine"]), true);
    let stats = listener.transcriber.stats();
    let (mut said, mut at) = (Vec::new(), Duration::from_secs(5));
    for (audio, text) in &utterances {
        said.extend(normal(text));
        at = listener.push(at, audio);
        at = listener.push(at, &vec![0.0; RATE]);
    }
    let cues = committed(&listener.finish());
    let text: Vec<&str> = cues.iter().map(|c| c.text.as_str()).collect();
    let written = normal(&text.join(" "));
    let rate = errors(&said, &written) as f64 / said.len() as f64;
    eprintln!("{}", text.join("\n"));
    eprintln!(
        "moonshine: {:.1} % of {} words wrong, {} written, real-time factor {:.2}",
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
