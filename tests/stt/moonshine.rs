//! Moonshine on its real weights.

use auralink::speech::recovery::troubles;
use auralink::speech::stt::{Config, Event, Models, Status};

use crate::pulled;
use crate::support::{self, Listener, Reading, english};

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
    // Tests beside this one run it with models that do not load.
    let used = used.iter().filter(|engine| engine.engine == "moonshine");
    let used = used.max_by_key(|engine| engine.memory_bytes).expect("it runs");
    assert!(used.starts >= 1 && used.memory_bytes > 50 << 20 && !used.cpu.is_zero(), "{used:?}");
    for pair in cues.windows(2) {
        assert!(pair[0].id + 1 == pair[1].id && pair[0].end <= pair[1].start, "{pair:?}");
    }
}

#[test]
fn what_is_missing_is_named_with_the_command_that_brings_it() {
    let why = |models: Models| {
        let choice = support::engines(&Config::default(), models).choose(&english(&[]));
        let mut missing = choice.missing.into_iter();
        missing.find(|(engine, _)| engine == "moonshine").expect("it is missing").1
    };
    let none = why(Models::default());
    assert!(none.contains("`auralink models pull moonshine-tiny-en`"), "{none}");
    let no_runtime =
        why(Models { moonshine: Some("moonshine-tiny-en".into()), ..Models::default() });
    assert!(no_runtime.contains("`auralink models pull onnxruntime-1.32.0`"), "{no_runtime}");
}

#[test]
fn a_library_that_does_not_open_is_named_and_another_engine_listens() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let library = folder.path().join("libonnxruntime.so.1.32.0");
    std::fs::write(&library, "no library").expect("writes");
    let model = folder.path().join("moonshine-libraryless");
    let models =
        Models { moonshine: Some(model), onnxruntime: Some(library.clone()), ..Models::default() };
    let engines = support::engines(&Config::default(), models);
    let mut listener = Listener::new(&engines, english(&["moonshine", "basic"]), true);
    let listens = |event: &Event| match event {
        Event::State(Status::Listening { engine, .. }) => &**engine == "basic",
        _ => false,
    };
    listener.wait_for("the basic engine", listens);
    let trouble = troubles().into_iter().find(|trouble| trouble.model == "libraryless");
    let reason = trouble.expect("it is told").reason;
    let path = library.display().to_string();
    assert!(reason.contains("ONNX Runtime cannot be opened") && reason.contains(&path), "{reason}");
}
