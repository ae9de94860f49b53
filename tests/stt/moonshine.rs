//! Moonshine on its real weights.

use auralink::speech::stt::{Config, Models};

use crate::pulled;
use crate::support::{self, Reading};

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
    let engines = support::engines(&Config::default(), models);
    let Some(Reading { error_rate, cues }) = support::read(&engines, "moonshine", 8) else {
        return;
    };
    assert!(error_rate < WER_MAX, "{error_rate}");
    let used = auralink::speech::engine::usage();
    let used = used.iter().find(|engine| engine.engine == "moonshine").expect("it runs");
    assert!(used.starts >= 1 && used.memory_bytes > 50 << 20 && !used.cpu.is_zero(), "{used:?}");
    for pair in cues.windows(2) {
        assert!(pair[0].id + 1 == pair[1].id && pair[0].end <= pair[1].start, "{pair:?}");
    }
}
