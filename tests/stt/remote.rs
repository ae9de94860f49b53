//! A server that transcribes, and ones that misbehave.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use auralink::media::Secret;
use auralink::speech::stt::{Config, Event, Models, Status, Wanted};
use axum::Router;
use axum::body::Bytes;
use axum::extract::Multipart;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;

use crate::support::{self, Listener, RATE, committed, english, errors, normal};

const ROUTE: &str = "/v1/audio/transcriptions";

/// Serves on its own port until the test ends.
fn serve(app: Router) -> SocketAddr {
    let (sender, address) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            sender.send(socket.local_addr().expect("bound")).expect("the test waits");
            axum::serve(socket, app).await.expect("serves");
        });
    });
    address.recv().expect("it serves")
}

fn config(address: SocketAddr) -> Config {
    Config {
        openai_url: Some(format!("http://{address}/v1")),
        openai_key: Secret::new("sk-test"),
        openai_model: "test-model".into(),
        ..Config::default()
    }
}

/// The words of the recording, half a second each, up to the end of the window.
async fn scripted(headers: HeaderMap, mut form: Multipart) -> Result<String, StatusCode> {
    assert_eq!(headers["authorization"], "Bearer sk-test");
    let mut seconds = 0.0;
    let mut model = String::new();
    while let Some(field) = form.next_field().await.map_err(|_| StatusCode::BAD_REQUEST)? {
        let name = field.name().unwrap_or_default().to_owned();
        let bytes = field.bytes().await.map_err(|_| StatusCode::BAD_REQUEST)?;
        match name.as_str() {
            "file" => {
                assert!(bytes.starts_with(b"RIFF"));
                seconds = (bytes.len() - 44) as f64 / 2.0 / RATE as f64;
            }
            "model" => model = String::from_utf8_lossy(&bytes).into_owned(),
            _ => {}
        }
    }
    assert_eq!(model, "test-model");
    let words: Vec<_> = (0..)
        .map(|n| (n, f64::from(n) * 0.5))
        .take_while(|(_, start)| start + 0.5 <= seconds)
        .map(|(n, start)| serde_json::json!({"word": format!("w{n}"), "start": start, "end": start + 0.5}))
        .collect();
    Ok(serde_json::json!({"text": "", "words": words}).to_string())
}

#[test]
fn a_server_that_works_makes_cues() {
    let Some((sound, _)) = support::read_speech() else { return };
    let address = serve(Router::new().route(ROUTE, post(scripted)));
    let engines = support::engines(&config(address), Models::default());
    let listener = Listener::new(&engines, english(&["openai"]), true);
    listener.push(Duration::from_secs(1), &sound);
    let cues = committed(&listener.finish());
    assert!(!cues.is_empty());
    for cue in &cues {
        assert_eq!(cue.origin.engine, "openai");
        assert_eq!(cue.origin.model.as_deref(), Some("test-model"));
    }
    for pair in cues.windows(2) {
        assert!(pair[0].end <= pair[1].start, "{pair:?}");
    }
}

/// What the speakers say in turn, and the constant in the sound of each, inaudible, by which the
/// server tells them apart.
const TURNS: [(&str, &str, f32); 3] = [
    ("en", "The government has decided to wait until the end of the year", 0.0),
    ("de", "Die Regierung hat beschlossen bis zum Ende des Jahres zu warten", 0.01),
    ("es", "El gobierno ha decidido esperar hasta el final de este año", -0.01),
];

/// Writes what the speaker of the window says, and not in which language.
async fn polyglot(mut form: Multipart) -> Result<String, StatusCode> {
    let mut samples: Vec<i16> = Vec::new();
    while let Some(field) = form.next_field().await.map_err(|_| StatusCode::BAD_REQUEST)? {
        let name = field.name().unwrap_or_default().to_owned();
        assert_ne!(name, "language", "it is not known");
        let bytes = field.bytes().await.map_err(|_| StatusCode::BAD_REQUEST)?;
        if name == "file" {
            let pairs = bytes[44..].as_chunks::<2>().0;
            samples = pairs.iter().map(|b| i16::from_le_bytes(*b)).collect();
        }
    }
    let mean = samples.iter().map(|s| f32::from(*s)).sum::<f32>() / samples.len() as f32 / 32768.0;
    let said = TURNS.iter().find(|(.., constant)| (mean - constant).abs() < 0.005);
    let (_, said, _) = said.ok_or(StatusCode::BAD_REQUEST)?;
    let seconds = samples.len() as f64 / RATE as f64;
    let words: Vec<_> = said
        .split(' ')
        .enumerate()
        .map(|(n, word)| (word, n as f64 * 0.3))
        .take_while(|(_, start)| start + 0.3 <= seconds)
        .map(|(word, start)| serde_json::json!({"word": word, "start": start, "end": start + 0.3}))
        .collect();
    Ok(serde_json::json!({"text": "", "words": words}).to_string())
}

#[test]
fn turns_in_three_languages_are_told_by_their_text() {
    let Some((sound, _)) = support::read_speech() else { return };
    let address = serve(Router::new().route(ROUTE, post(polyglot)));
    let engines = support::engines(&config(address), Models::default());
    let spoken = TURNS.map(|(tag, ..)| tag.parse().expect("a language")).to_vec();
    let wanted = Wanted { language: None, spoken, ..english(&["openai"]) };
    let listener = Listener::new(&engines, wanted, true);
    let mut at = Duration::from_secs(1);
    for (.., constant) in TURNS {
        let turn: Vec<f32> = sound.iter().map(|s| s * 0.9 + constant).collect();
        at = listener.push(at, &turn);
        at = listener.push(at, &vec![constant; 2 * RATE]);
    }
    let events = listener.finish();
    let cues = committed(&events);
    for (tag, text, _) in TURNS {
        let of_turn: Vec<_> = cues.iter().filter(|c| text.starts_with(&c.text[..2])).collect();
        assert!(!of_turn.is_empty(), "{tag}: {cues:#?}");
        assert!(of_turn.iter().all(|c| c.language.as_str() == tag), "{tag}: {of_turn:#?}");
    }
    let told = |e: &Event| match e {
        Event::Language(language, _) => Some(language.to_string()),
        _ => None,
    };
    assert_eq!(events.iter().filter_map(told).collect::<Vec<_>>(), ["en", "de", "es"]);
}

/// A stream whose first engine is that server and whose second is the basic one, which must take
/// over; every spoken word must be written once.
fn falls_over(app: Router, reason: &str) {
    let Some((sound, said)) = support::read_speech() else { return };
    let address = serve(app);
    let engines = support::engines(&config(address), Models::default());
    let mut listener = Listener::new(&engines, english(&["openai", "basic"]), true);
    listener.push(Duration::from_secs(1), &sound);
    let taken = listener.wait_for("the basic engine", |e| {
        matches!(e, Event::Switched { from: Some(from), to, .. } if from == "openai" && to == "basic")
    });
    let Event::Switched { why, .. } = taken else { unreachable!() };
    assert!(why.contains(reason), "{why}");
    assert!(!why.contains("sk-test"));
    let events = listener.finish();
    let cues = committed(&events);
    let text = cues.iter().map(|c| c.text.as_str()).collect::<Vec<_>>().join(" ");
    eprintln!("{why}\n{text}");
    let said = normal(&said);
    let wrong = errors(&said, &normal(&text));
    assert!(wrong * 3 < said.len(), "each word once: {text}");
    assert!(cues.iter().all(|c| c.origin.engine == "basic"));
    let listens = Event::State(Status::Listening {
        engine: "basic".into(),
        model: Some("pocketsphinx-en-us".into()),
    });
    assert!(events.contains(&listens), "{events:#?}");
}

#[test]
fn a_server_that_answers_500_is_left() {
    let app =
        Router::new().route(ROUTE, post(|_: Bytes| async { StatusCode::INTERNAL_SERVER_ERROR }));
    falls_over(app, "500");
}

#[test]
fn a_server_that_hangs_is_left() {
    let app = Router::new().route(ROUTE, post(std::future::pending::<StatusCode>));
    falls_over(app, "did not answer within");
}

#[test]
fn a_server_that_talks_nonsense_is_left() {
    let app = Router::new().route(ROUTE, post(|_: Bytes| async { "<html>welcome</html>" }));
    falls_over(app, "no valid answer");
}

#[test]
fn a_server_that_is_not_there_is_left() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
    let engines = support::engines(&config(gone.expect("a port")), Models::default());
    let Some((sound, _)) = support::read_speech() else { return };
    let mut listener = Listener::new(&engines, english(&["openai", "basic"]), true);
    listener.push(Duration::ZERO, &sound);
    let is = |e: &Event| matches!(e, Event::Switched { to, .. } if to == "basic");
    listener.wait_for("the basic engine", is);
}

#[test]
fn a_server_that_recovers_hears_again() {
    let Some((sound, _)) = support::read_speech() else { return };
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let app = Router::new().route(
        ROUTE,
        post(move |headers: HeaderMap, form: Multipart| {
            let first = count.fetch_add(1, Ordering::SeqCst) == 0;
            async move {
                let answer = scripted(headers, form).await;
                if first { Err(StatusCode::BAD_GATEWAY) } else { answer }
            }
        }),
    );
    let engines = support::engines(&config(serve(app)), Models::default());
    let mut listener = Listener::new(&engines, english(&["openai", "basic"]), false);
    let mut at = listener.push(Duration::ZERO, &sound[..RATE * 4]);
    let to = |name: &'static str| move |e: &Event| matches!(e, Event::Switched { from: Some(_), to, .. } if to == name);
    listener.wait_for("the basic engine", to("basic"));
    // Silence, so that the engine may change.
    at = listener.push(at, &vec![0.0; RATE]);
    listener.wait_for("the server again", to("openai"));
    assert!(at > Duration::ZERO);
}
