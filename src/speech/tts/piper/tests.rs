//! The engine without weights: what is missing, and voices that do not load.

use super::*;
use crate::media::Language;

const TIMEOUT: Duration = Duration::from_secs(8);

/// A folder with files that look like a voice and a library.
fn pretended() -> (tempfile::TempDir, Models) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let put = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("has one")).expect("creates");
        std::fs::write(&path, text).expect("writes");
    };
    put("piper-x/en_US-x-medium.onnx", "no model");
    put("piper-x/en_US-x-medium.onnx.json", voice::tests::DESCRIPTION);
    put("onnxruntime-1.32.0/libonnxruntime.so.1.32.0", "no library");
    let models = Models::scan(&[folder.path().to_owned()]);
    assert_eq!(models.piper.len(), 1);
    assert_eq!(models.piper[0].0.as_str(), "en-US");
    (folder, models)
}

fn piper(espeak: &str) -> Piper {
    Piper::new(BTreeMap::new(), espeak, TIMEOUT).expect("no configuration can be wrong")
}

fn hello() -> Utterance {
    let language = Language::english();
    Utterance { text: "Hello.".into(), language, voice: None, rate: 1.0, pitch: 1.0 }
}

#[test]
fn what_is_missing_is_named_with_the_command() {
    let (_folder, models) = pretended();
    let english = Language::english();
    // Any program is there as espeak-ng is.
    let engine = piper("true");
    let missing = |engine: &Piper| engine.missing().unwrap_or_default();
    assert!(missing(&engine).contains("auralink models pull NAME"), "{}", missing(&engine));
    engine.set_models(&Models { onnxruntime: None, ..models.clone() });
    assert!(missing(&engine).contains("pull onnxruntime-1.32.0") && !engine.can(&english));
    engine.set_models(&models);
    assert!(engine.missing().is_none() && engine.can(&english));
    assert_eq!(engine.voices()[0].voice.as_deref(), Some("en_US-x-medium"));

    let engine = piper("no-such-program");
    engine.set_models(&models);
    assert!(missing(&engine).contains("apt-get install espeak-ng") && !engine.can(&english));
    assert!(engine.voices().is_empty());
}

#[test]
fn a_voice_with_a_wrong_description_is_named() {
    let (_folder, models) = pretended();
    std::fs::write(format!("{}.json", models.piper[0].1.display()), "{}").expect("writes");
    let engine = piper("true");
    engine.set_models(&models);
    let missing = engine.missing().expect("no voice is left");
    assert!(missing.contains("en_US-x-medium.onnx") && missing.contains(".json"), "{missing}");
}

#[test]
fn voices_that_stay_keep_their_process() {
    let (_folder, mut models) = pretended();
    let engine = piper("true");
    engine.set_models(&models);
    let voice = |engine: &Piper| engine.voice(&hello()).expect("one");
    let before = voice(&engine);
    models.piper.push(("de".parse().expect("a language"), "/none.onnx".into()));
    engine.set_models(&models);
    assert!(Arc::ptr_eq(&before, &voice(&engine)));
    let strange = Utterance { voice: Some("nobody".into()), ..hello() };
    assert!(matches!(engine.voice(&strange), Err(Error::UnknownVoice { .. })));
}

#[tokio::test]
async fn a_library_that_does_not_open_is_told_once_and_then_rests() {
    if crate::speech::engine::program().is_none() {
        return crate::needs::skip("the program `auralink` beside the tests");
    }
    let (_folder, models) = pretended();
    let engine = piper("espeak-ng");
    if !engine.has_espeak {
        return crate::needs::skip("espeak-ng");
    }
    engine.set_models(&models);
    let error = engine.ask(&hello()).await.expect_err("no library");
    assert!(error.to_string().contains("ONNX Runtime cannot be opened"), "{error}");
    let error = engine.ask(&hello()).await.expect_err("it rests");
    assert!(matches!(error, Error::VoiceDown { .. }), "{error}");
}
