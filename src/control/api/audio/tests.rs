//! File transcription through the router, with the engines of this machine.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, header};
use serde_json::Value;

use super::super::tests::{ADMIN, Fixture};
use super::output::{Format, Task, Transcription};
use crate::flow::Node;
use crate::media::{Cue, Language, Origin, Stage};
use crate::needs::{skip, test_data};

const TRANSCRIBE: &str = "/v1/audio/transcriptions";
const BOUNDARY: &str = "a-boundary-of-these-tests";

/// A form with a file and fields.
fn form(path: &str, file: Option<&[u8]>, fields: &[(&str, &str)]) -> Request<Body> {
    let mut body = Vec::new();
    for (name, value) in fields {
        let head = format!("Content-Disposition: form-data; name=\"{name}\"");
        body.extend(format!("--{BOUNDARY}\r\n{head}\r\n\r\n{value}\r\n").into_bytes());
    }
    if let Some(file) = file {
        let head = "Content-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\
            Content-Type: application/octet-stream";
        body.extend(format!("--{BOUNDARY}\r\n{head}\r\n\r\n").into_bytes());
        body.extend(file);
        body.extend(b"\r\n");
    }
    body.extend(format!("--{BOUNDARY}--\r\n").into_bytes());
    Request::post(path)
        .header(header::AUTHORIZATION, format!("Bearer {ADMIN}"))
        .header(header::CONTENT_TYPE, format!("multipart/form-data; boundary={BOUNDARY}"))
        .body(Body::from(body))
        .expect("a request")
}

/// Some seconds of English and an engine that transcribes them. `None`, with a message, if either
/// is missing.
pub(in super::super) async fn speech(api: &Fixture) -> Option<(PathBuf, String)> {
    let file = test_data("speech/librispeech/19-198-0002.flac")?;
    let wanted = crate::speech::stt::Wanted::default();
    let choice = api.stream_service.supervisor().speech().stt.choose(&wanted);
    let Some(engine) = choice.engines.first() else {
        skip(format!("a speech-to-text engine: {:?}", choice.missing));
        return None;
    };
    Some((file, engine.name().to_owned()))
}

/// Number of the 15 longer words of the speech that a text contains.
fn words_found(text: &str) -> usize {
    const SAID: &str = "neither author public have other concern than some observation necessary \
        upon those parts work which";
    let text = text.to_lowercase();
    let heard = |word: &&str| text.split(|c: char| !c.is_alphanumeric()).any(|w| w == *word);
    SAID.split_whitespace().filter(heard).count()
}

#[tokio::test]
async fn what_cannot_be_heard_is_refused_in_both_forms() {
    let api = Fixture::new().await;
    let check = async |request: Request<Body>, status: u16, code: &str| {
        let (got, _, body) = api.send(request).await;
        assert_eq!((got.as_u16(), &body["code"]), (status, &code.into()), "{body}");
        assert!(body["hint"].as_str().is_some_and(|h| !h.is_empty()), "{body}");
        assert!(body["error"]["message"].as_str().is_some_and(|m| !m.is_empty()), "{body}");
    };
    check(form(TRANSCRIBE, None, &[]), 422, "invalid").await;
    check(form(TRANSCRIBE, Some(b""), &[]), 422, "invalid").await;
    check(form(TRANSCRIBE, Some(b"x"), &[("response_format", "pdf")]), 422, "invalid").await;
    check(form(TRANSCRIBE, Some(b"x"), &[("language", "no such")]), 422, "invalid").await;
    let mut nobody = form(TRANSCRIBE, Some(b"x"), &[]);
    nobody.headers_mut().remove(header::AUTHORIZATION);
    assert_eq!(api.send(nobody).await.0.as_u16(), 401);
    if speech(&api).await.is_some() {
        let noise: Vec<u8> =
            (0..50_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        check(form(TRANSCRIBE, Some(&noise), &[]), 422, "unsupported_sound").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_written_down_in_every_form() {
    let api = Fixture::new().await;
    let Some((path, engine)) = speech(&api).await else { return };
    let audio = std::fs::read(&path).expect("readable");
    let fields = |format| [("language", "en"), ("model", "whisper-1"), ("response_format", format)];
    let ask = async |file: &[u8], format| {
        let (status, _, body) = api.send(form(TRANSCRIBE, Some(file), &fields(format))).await;
        assert_eq!(status.as_u16(), 200, "{body}");
        body
    };
    let verbose = ask(&audio, "verbose_json").await;
    let text = verbose["text"].as_str().expect("text");
    eprintln!("{engine} hears: {text}");
    assert!(words_found(text) >= 8, "{verbose}");
    let number = |value: &Value| value.as_f64().expect("a number");
    assert!((10.7..10.9).contains(&number(&verbose["duration"])), "{verbose}");
    let segments = verbose["segments"].as_array().expect("segments");
    let words = verbose["words"].as_array().expect("words");
    assert!(!segments.is_empty() && words.len() >= 10, "{verbose}");
    let ends = words.iter().map(|w| number(&w["end"])).collect::<Vec<_>>();
    assert!(ends.is_sorted() && ends.last().is_some_and(|e| *e < 11.0), "{ends:?}");

    // The index of this MP4 file is at its end.
    let folder = tempfile::tempdir().expect("a folder");
    let mp4 = folder.path().join("speech.mp4");
    let pipeline = format!(
        "filesrc location={} ! flacparse ! flacdec ! audioconvert ! audioresample ! opusenc ! mp4mux \
         ! filesink location={}",
        path.display(),
        mp4.display()
    );
    let encode = Node::parse("encode", &pipeline).expect("installed");
    encode.start().await.expect("it starts");
    encode.next_event().await.expect("it comes to its end");
    encode.stop().await.expect("it stops");
    let mp4 = std::fs::read(mp4).expect("written");
    let vtt = ask(&mp4, "vtt").await;
    let vtt = vtt.as_str().expect("text");
    assert!(vtt.starts_with("WEBVTT\n\n") && vtt.contains(" --> 00:00:"), "{vtt}");
    assert!(words_found(vtt) >= 7, "{vtt}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_text_comes_while_it_is_heard_and_adds_up() {
    let api = Fixture::new().await;
    let Some((path, _)) = speech(&api).await else { return };
    let audio = std::fs::read(path).expect("readable");
    // Translating English to English returns the transcription.
    let fields = [("language", "en"), ("stream", "true")];
    let request = form("/v1/audio/translations", Some(&audio), &fields);
    let (status, head, body) = api.send(request).await;
    assert_eq!(status.as_u16(), 200, "{body}");
    assert_eq!(head["content-type"], "text/event-stream");
    let events: Vec<Value> = body
        .as_str()
        .expect("text")
        .lines()
        .filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok())
        .collect();
    let (done, deltas) = events.split_last().expect("events");
    assert_eq!(done["type"], "transcript.text.done", "{body}");
    let sum: String = deltas.iter().map(|d| d["delta"].as_str().expect("text")).collect();
    assert_eq!(done["text"], sum);
    assert!(words_found(&sum) >= 8, "{sum}");
}

#[test]
fn cues_become_each_kind_of_text() {
    let cue = |id: u64, start_s: u64, text: &str| Cue {
        id,
        language: Language::english(),
        stage: Stage::Committed,
        start: Duration::from_secs(start_s),
        end: Duration::from_secs(start_s + 2),
        text: text.into(),
        words: Arc::default(),
        ends_sentence: true,
        origin: Arc::new(Origin { engine: "test".into(), model: None }),
        speaker: None,
    };
    let cues = vec![cue(1, 1, "Good evening."), cue(2, 5, "Good night.")];
    let duration = Duration::from_secs(8);
    let heard = Transcription { cues, duration, language: Language::english() };
    assert_eq!(heard.text(), "Good evening. Good night.");
    assert!(heard.srt().starts_with("1\n00:00:01,000 --> 00:00:03,000\nGood evening."));
    assert!(heard.srt().contains("2\n00:00:05,000 --> "));
    assert!(heard.vtt().starts_with("WEBVTT\n\n"), "{}", heard.vtt());
    let verbose = serde_json::to_value(heard.verbose(Task::Translate)).expect("JSON");
    assert_eq!(
        (&verbose["task"], &verbose["segments"][1]["start"]),
        (&"translate".into(), &5.0.into())
    );
    for (word, format) in [("", Some(Format::Json)), ("srt", Some(Format::Srt)), ("pdf", None)] {
        assert_eq!(Format::parse(word), format, "{word}");
    }
}

/// Random forms and field contents.
#[test]
fn fuzz_audio_form() {
    use axum::extract::{FromRequest, Multipart};
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    crate::fuzz::run("audio-form", |bytes| {
        let kind = format!("multipart/form-data; boundary={BOUNDARY}");
        let body = Body::from(bytes.to_vec());
        let request = Request::post("/").header(header::CONTENT_TYPE, kind).body(body);
        runtime.block_on(async {
            let multipart = Multipart::from_request(request.expect("a request"), &()).await;
            let Ok(form) = super::form::Form::read(multipart.expect("it has a boundary")).await
            else {
                return;
            };
            assert!(!form.file.is_empty() && form.file.len() <= bytes.len());
        });
    });
}
