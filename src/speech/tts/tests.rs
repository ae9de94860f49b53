//! All engines together: the real espeak-ng, programs that die, and remote engines as real servers
//! that speak their protocols.

use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::{Path, Query};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::*;
use crate::speech::http::tests::{serve, unfinished};

fn utterance(text: &str, language: &str) -> Utterance {
    let language = language.parse().expect("a language");
    Utterance { text: text.into(), language, voice: None, rate: 1.0, pitch: 1.0 }
}

type EngineSwitches = Arc<Mutex<Vec<String>>>;

fn voices(config: &str) -> (Voices, EngineSwitches) {
    let told = EngineSwitches::default();
    let into = told.clone();
    let on_switch: OnSwitch = Arc::new(move |s| {
        let to = s.to.as_deref().unwrap_or("nobody");
        into.lock().expect("no panic").push(format!("{}→{to}", s.from));
    });
    let config: Config = toml::from_str(config).expect("a configuration");
    assert_eq!(config.problems(), []);
    (Voices::new(&config, on_switch).expect("sets up"), told)
}

fn espeak() -> Option<Voices> {
    let (voices, _) = voices("engines = [\"espeak\"]");
    if voices.list().is_empty() {
        crate::needs::skip("espeak-ng");
        return None;
    }
    Some(voices)
}

async fn seconds(voices: &Voices, utterance: &Utterance) -> f64 {
    voices.speak(utterance, &[]).await.expect("speaks").pcm.duration().as_secs_f64()
}

#[tokio::test]
async fn espeak_speaks_many_languages_at_any_rate_and_pitch() {
    let Some(voices) = espeak() else { return };
    for (text, language) in [
        ("Good evening and welcome.", "en"),
        ("Buenas noches y bienvenidos.", "es-MX"),
        ("Bonsoir et bienvenue.", "fr"),
        ("Boa noite.", "pt-BR"),
        ("Guten Abend.", "de"),
        ("Добрый вечер.", "ru"),
        ("晚上好。", "zh"),
    ] {
        let speech = voices.speak(&utterance(text, language), &[]).await.expect(language);
        assert_eq!((speech.engine, speech.pcm.rate_hz), ("espeak", 22_050));
        let heard = speech.pcm.duration().as_secs_f64();
        assert!((0.3..6.0).contains(&heard), "{language}: {heard} s");
    }
    let text = "The quick brown fox jumps over the lazy dog.";
    let normal = utterance(text, "en");
    let fast = Utterance { rate: 1.25, ..normal.clone() };
    let ratio = seconds(&voices, &normal).await / seconds(&voices, &fast).await;
    assert!((1.1..1.4).contains(&ratio), "{ratio}");
    let high = Utterance { pitch: 1.8, ..normal.clone() };
    let (low, high) = (voices.speak(&normal, &[]).await, voices.speak(&high, &[]).await);
    assert_ne!(low.expect("speaks").pcm, high.expect("speaks").pcm);
    let woman = Utterance { voice: Some("en-us+f3".into()), ..normal };
    assert!(voices.speak(&woman, &[]).await.is_ok());
}

#[tokio::test]
async fn nothing_in_a_text_is_an_instruction() {
    let Some(voices) = espeak() else { return };
    // Interpreted as options, markup, phonemes or shell, each of these would be short, long or an
    // error; as text each is a few words.
    for text in [
        "--version of the programme",
        "-f /etc/passwd is a file",
        "<break time=\"30s\"/> a pause",
        "[[h@'loU]] phonemes [[[x]]]",
        "$(sleep 9) `sleep 9` ; sleep 9 | sleep 9",
        "a\0b\u{7}c\nd",
    ] {
        let heard = seconds(&voices, &utterance(text, "en")).await;
        assert!((0.5..12.0).contains(&heard), "{text}: {heard} s");
    }
    for voice in ["../../../etc/passwd", "-f/etc/passwd", "en-us+../x", "", "klingon"] {
        let strange = Utterance { voice: Some(voice.into()), ..utterance("Hello", "en") };
        let error = voices.speak(&strange, &[]).await.expect_err(voice);
        assert!(matches!(error, Error::UnknownVoice { .. }), "{voice}: {error}");
    }
    assert!(voices.states()[0].up, "a wrong voice is not the engine's fault");
    let long = voices.speak(&utterance(&"x".repeat(1001), "en"), &[]).await;
    assert!(matches!(long, Err(Error::TooLong { .. })));
    let none = voices.speak(&utterance("x", "tlh"), &[]).await;
    assert!(matches!(none, Err(Error::NoVoice(_))), "{none:?}");
}

#[tokio::test]
async fn speech_is_fitted_without_a_change_of_pitch() {
    let Some(voices) = espeak() else { return };
    let text = "The quick brown fox jumps over the lazy dog, and nobody knows why.";
    let pcm = voices.speak(&utterance(text, "en"), &[]).await.expect("speaks").pcm;
    let faster = stretch(&pcm, 1.25);
    let ratio = pcm.duration().as_secs_f64() / faster.duration().as_secs_f64();
    assert!((ratio - 1.25).abs() < 0.001, "{ratio}");
    let (before, after) = (pitch(&pcm), pitch(&faster));
    assert!((before - after).abs() < 0.05 * before, "{before} Hz became {after} Hz");
}

/// The median pitch of the voiced parts, by autocorrelation, 60-400 Hz.
fn pitch(pcm: &Pcm) -> f64 {
    let rate = pcm.rate_hz as usize;
    let mut found: Vec<usize> = Vec::new();
    for frame in pcm.samples.chunks_exact(rate / 20) {
        let likeness =
            |lag: usize| -> f32 { frame.iter().zip(&frame[lag..]).map(|(a, b)| a * b).sum() };
        let energy = likeness(0);
        let best = (rate / 400..rate / 60).max_by(|a, b| likeness(*a).total_cmp(&likeness(*b)));
        found.extend(best.filter(|lag| energy > 1.0 && likeness(*lag) > 0.5 * energy));
    }
    found.sort_unstable();
    rate as f64 / found[found.len() / 2] as f64
}

/// A program for the tests, as a shell script.
fn script(folder: &std::path::Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("writes");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("marks");
    path.display().to_string()
}

#[tokio::test]
async fn a_killed_espeak_is_replaced_and_a_broken_one_is_told() {
    if espeak().is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("temporary folder");
    // The first process after `--voices` is killed while it works.
    let once = "case $1 in --voices) exec espeak-ng --voices;; esac\n\
                if [ ! -e \"$0.once\" ]; then touch \"$0.once\"; echo RIFF; kill -9 $$; fi\n\
                exec espeak-ng \"$@\"";
    let program = script(folder.path(), "once", once);
    let (voices, told) =
        voices(&format!("engines = [\"espeak\"]\nespeak = {{ program = \"{program}\" }}"));
    assert!(voices.speak(&utterance("Hello.", "en"), &[]).await.is_ok());
    assert!(std::path::Path::new(&format!("{program}.once")).exists() && voices.states()[0].up);
    assert!(told.lock().expect("no panic").is_empty());

    let broken = "case $1 in --voices) exec espeak-ng --voices;; esac\n\
                  cat > /dev/null; echo 'no sound card today' >&2; exit 3";
    let program = script(folder.path(), "broken", broken);
    let (voices, _) =
        self::voices(&format!("engines = [\"espeak\"]\nespeak = {{ program = \"{program}\" }}"));
    let error = voices.speak(&utterance("Hello.", "en"), &[]).await.expect_err("broken");
    let text = error.to_string();
    assert!(text.contains("exit status: 3") && text.contains("no sound card today"), "{text}");

    let endless = "case $1 in --voices) exec espeak-ng --voices;; esac\ncat /dev/zero";
    let program = script(folder.path(), "endless", endless);
    let (voices, _) =
        self::voices(&format!("engines = [\"espeak\"]\nespeak = {{ program = \"{program}\" }}"));
    let error = voices.speak(&utterance("Hello.", "en"), &[]).await.expect_err("endless");
    assert!(error.to_string().contains("bytes of sound"), "{error}");
}

#[tokio::test]
async fn piper_speaks_as_a_program() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let model = folder.path().join("es_ES-test.onnx").display().to_string();
    std::fs::write(&model, "").expect("writes");
    std::fs::write(format!("{model}.json"), r#"{"audio": {"sample_rate": 16000}}"#)
        .expect("writes");
    // Piper's command line: raw samples for each line; here half as many bytes as the rate implies.
    let program = script(
        folder.path(),
        "piper",
        "read -r line; [ \"$1\" = --model ] && [ \"$5\" = --output-raw ] && [ \"$line\" = 'Hola.' ] \
         || exit 9\n[ \"$4\" = 0.800 ] || exit 8\nhead -c 32000 /dev/urandom",
    );
    let (voices, _) = voices(&format!(
        "engines = [\"piper\"]\n[piper]\nprogram = \"{program}\"\nvoices = {{ es = \"{model}\" }}"
    ));
    assert_eq!(voices.list()[0].voice.as_deref(), Some("es_ES-test"));
    let fast = Utterance { rate: 1.25, ..utterance("Hola.", "es") };
    let speech = voices.speak(&fast, &[]).await.expect("speaks");
    assert_eq!((speech.engine, speech.pcm.duration()), ("piper", Duration::from_secs(1)));
}

/// One second of loud audio.
fn audio() -> Vec<u8> {
    let samples: Vec<i16> = (0..24_000).map(|n| if n % 100 < 50 { 8000 } else { -8000 }).collect();
    wav::tests::write(1, &samples, u32::MAX)
}

#[tokio::test]
async fn remote_engines_speak_their_protocols() {
    let openai = |headers: HeaderMap, Json(body): Json<Value>| async move {
        assert_eq!(headers["authorization"], "Bearer the-key");
        let expect = json!({"model": "m", "voice": "nova", "input": "Hola break .", "speed": 1.25,
                            "response_format": "wav"});
        assert_eq!(body, expect);
        audio()
    };
    let elevenlabs = |Path(voice): Path<String>,
                      Query(query): Query<Value>,
                      headers: HeaderMap,
                      Json(body): Json<Value>| async move {
        assert_eq!(
            (voice.as_str(), &headers["xi-api-key"]),
            ("JBFqnCBs", &"the-key".parse().expect("a value"))
        );
        assert_eq!(query, json!({"output_format": "pcm_22050"}));
        assert_eq!(
            (&body["language_code"], &body["voice_settings"]["speed"]),
            (&json!("es"), &json!(1.2))
        );
        audio()[56..].to_vec()
    };
    let piper = |Json(body): Json<Value>| async move {
        assert_eq!(body, json!({"text": "Hola break .", "voice": "es_ES-x", "length_scale": 0.8}));
        audio()
    };
    let base = serve(
        Router::new()
            .route("/v1/audio/speech", post(openai))
            .route("/v1/text-to-speech/{voice}", post(elevenlabs))
            .route("/", post(piper)),
    )
    .await;
    let (voices, _) = voices(&format!(
        "[openai]\nurl = \"{base}/v1\"\nkey = \"the-key\"\nmodel = \"m\"\nvoice = \"nova\"\n\
         [elevenlabs]\nurl = \"{base}\"\nkey = \"the-key\"\nvoice = \"JBFqnCBs\"\n\
         [piper]\nurl = \"{base}\"\nvoices = {{ es = \"es_ES-x\" }}"
    ));
    let said = Utterance { rate: 1.25, ..utterance("Hola <break>.", "es") };
    for (engine, rate_hz) in [("openai", 24_000), ("elevenlabs", 22_050), ("piper", 24_000)] {
        let speech = voices.speak(&said, &[engine.to_owned()]).await.expect(engine);
        assert_eq!((speech.engine, speech.pcm.rate_hz), (engine, rate_hz));
        assert_eq!(speech.pcm.samples.len(), 24_000, "{engine}");
    }
}

/// A preferred server that fails in some way, with espeak behind it.
async fn falls_over(answer: impl Fn() -> Response + Clone + Send + Sync + 'static, expect: &str) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let speech = move || {
        count.fetch_add(1, Ordering::Relaxed);
        std::future::ready(answer())
    };
    let base = serve(Router::new().route("/audio/speech", post(speech))).await;
    let (voices, told) = voices(&format!(
        "engines = [\"openai\", \"espeak\"]\ntimeout_ms = 3000\n\
         [openai]\nurl = \"{base}\"\nkey = \"k\"\nmodel = \"m\"\nvoice = \"v\""
    ));
    for _ in 0..3 {
        let speech = voices.speak(&utterance("Hello.", "en"), &[]).await.expect(expect);
        assert_eq!(speech.engine, "espeak", "{expect}");
    }
    let openai = &voices.states()[0];
    let error = openai.last_error.clone().expect("an error");
    assert!(error.contains(expect), "{error}\n  instead of {expect}");
    assert_eq!(*told.lock().expect("no panic"), ["openai→espeak"], "{expect}");
    assert_eq!(asked.load(Ordering::Relaxed), 1, "{expect}: a dead server is asked once");
}

#[tokio::test]
async fn each_failure_of_a_server_hands_over() {
    if espeak().is_none() {
        return;
    }
    let limited =
        || (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "20")], "slow down").into_response();
    falls_over(limited, "answered 429: slow down").await;
    falls_over(|| StatusCode::UNAUTHORIZED.into_response(), "answered 401").await;
    falls_over(|| StatusCode::INTERNAL_SERVER_ERROR.into_response(), "answered 500").await;
    falls_over(|| vec![0_u8; 20 << 20].into_response(), "answered more than").await;
    falls_over(|| "<html>".into_response(), "it is no WAV file").await;
    falls_over(|| wav::tests::write(1, &[0; 9000], 18_000).into_response(), "it is silent").await;
    falls_over(|| unfinished("RIFF", true).into_response(), "gave no valid answer").await;
    falls_over(|| unfinished("RIFF", false).into_response(), "did not answer within").await;
}

#[test]
fn settings_that_cannot_work_are_named() {
    let check = |text: &str, expect: &str| {
        let config: Config = toml::from_str(text).expect("parses");
        let fields: Vec<&str> = config.problems().iter().map(|(field, _)| *field).collect();
        assert_eq!(fields.join(" "), expect);
    };
    check("", "");
    check("engines = [\"parrot\"]\ntimeout_ms = 1", "engines timeout_ms");
    check("piper = {}", "piper.voices");
    check("piper = { voices = { es = \"/none.onnx\" } }", "piper.voices");
    check("openai = { url = \"x\", model = \"m\", voice = \"v\" }", "openai.url");
    check("elevenlabs = { key = \"k\", voice = \"../x\" }", "elevenlabs.voice");
}
