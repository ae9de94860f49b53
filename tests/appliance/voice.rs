//! Voices by AIC-A beside trunks: recordings, by `kill -9`, WAV and in Chromium; and live, in Chromium.

use std::process::Command;

use auralink::aic::packet::Coded;
use futures::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::api::Stream;
use crate::support::appliance::{ADMIN, Appliance};
use crate::support::client::Client;
use crate::support::needs::skip;
use crate::support::publish::Ffmpeg;
use crate::support::speech::speech;
use crate::support::{eventually, root, s};

/// Speech that is recorded before the appliance dies, in seconds.
const RECORDED_S: f64 = 16.0;

/// Samples of 20 ms at 16 kHz.
const FRAME_SAMPLES: usize = 320;

/// What a voice may take on disk, in kbit/s: a day in 40 MB is 3.7.
const RATE_KBPS: std::ops::Range<f64> = 2.2..3.7;

/// What a live voice may take, in kbit/s: 3.2 of packets, 0.3 of WebSocket.
const LIVE_KBPS: std::ops::Range<f64> = 2.2..4.2;

async fn recording(appliance: &Appliance, stream: &Stream) -> Value {
    let list = appliance.api.must_get(&format!("/api/v1/recordings?stream={}", stream.name)).await;
    list["items"][0].clone()
}

/// Samples of a WAV file of 16 bits.
fn samples(wav: &[u8]) -> Vec<f32> {
    let body = wav.get(44..).unwrap_or_default().as_chunks::<2>().0;
    body.iter().map(|b| f32::from(i16::from_le_bytes(*b)) / 32_768.0).collect()
}

/// Root mean square of each frame.
fn envelope(samples: &[f32]) -> Vec<f32> {
    let rms =
        |frame: &[f32]| (frame.iter().map(|x| x * x).sum::<f32>() / frame.len() as f32).sqrt();
    samples.chunks_exact(FRAME_SAMPLES).map(rms).collect()
}

/// Normalised correlation of two envelopes around their means.
fn alike(a: &[f32], b: &[f32]) -> f32 {
    let mean = |x: &[f32]| x.iter().sum::<f32>() / x.len() as f32;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let pairs = a.iter().zip(b).map(|(a, b)| (a - mean_a, b - mean_b));
    let (product, power_a, power_b) =
        pairs.fold((0.0, 0.0, 0.0), |(p, x, y), (a, b)| (p + a * b, x + a * a, y + b * b));
    product / (power_a * power_b).sqrt().max(1e-9)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voice_is_recorded_at_3_kbit_s_and_survives_kill_nine() {
    let Some(speech) = speech(3) else { return };
    let mut appliance = Appliance::start().await;
    let output = json!({ "id": "voice", "type": "record", "format": "aic" });
    let spec = json!({ "name": "said", "preset": "passthrough", "outputs": [output] });
    let stream = appliance.api.create(spec).await;
    let publisher = Ffmpeg::send_file(&speech.file, &appliance.srt(&stream));
    eventually("a voice is recorded", s(60), || async {
        let one = recording(&appliance, &stream).await;
        let long = one["duration_s"].as_f64().is_some_and(|d| d > RECORDED_S);
        if long { Ok(()) } else { Err(one.to_string()) }
    })
    .await;
    assert_eq!(recording(&appliance, &stream).await["state"], "writing");
    appliance.kill();
    publisher.kill().await;
    appliance.launch().await;
    let one = recording(&appliance, &stream).await;
    assert_eq!((&one["state"], &one["format"]), (&json!("interrupted"), &json!("aic")), "{one}");
    let (bytes, seconds) = (one["bytes"].as_f64(), one["duration_s"].as_f64().unwrap_or(0.0));
    let kbps = bytes.unwrap_or(0.0) * 0.008 / seconds;
    eprintln!("  {seconds:.1} s of speech in {bytes:?} bytes: {kbps:.2} kbit/s");
    assert!(seconds > RECORDED_S && RATE_KBPS.contains(&kbps), "{one}");

    let path = format!("/api/v1/recordings/said/{}", one["id"].as_str().expect("an id"));
    let wav = appliance.api.raw(Method::GET, &format!("{path}/wav"));
    let wav = wav.bearer_auth(ADMIN).send().await.expect("an answer");
    assert_eq!(wav.headers()["content-type"], "audio/wav");
    let heard = samples(&wav.bytes().await.expect("a body"));
    assert!((heard.len() as f64 / 16_000.0 - seconds).abs() < 0.1, "{} samples", heard.len());
    sounds_like(&heard, &speech.file);
    plays_in_chromium(&appliance, seconds).await;
}

/// The loudness of the speech over time is that of the file, from wherever it began.
fn sounds_like(heard: &[f32], file: &std::path::Path) {
    let mut command = Command::new("ffmpeg");
    command.args("-v error -nostdin -stream_loop 1 -i".split(' ')).arg(file);
    let made = command.args("-vn -ac 1 -ar 16000 -f wav -".split(' ')).output();
    let said = envelope(&samples(&made.expect("ffmpeg is installed").stdout));
    // Without the start, which differs while players and encoders settle.
    let heard = &envelope(heard)[25..];
    let window = |at: usize| &said[at..at + heard.len()];
    let lags = 0..said.len().saturating_sub(heard.len());
    let best = lags.max_by(|a, b| alike(heard, window(*a)).total_cmp(&alike(heard, window(*b))));
    let best = window(best.expect("the file is longer"));
    let power = |x: &[f32]| x.iter().map(|x| x * x).sum::<f32>();
    let (alike, ratio) = (alike(heard, best), power(heard) / power(best));
    eprintln!("  envelope {alike:.3} alike, {ratio:.2} of the power");
    assert!(alike > 0.9 && (0.5..2.0).contains(&ratio), "{alike}, {ratio}");
}

/// The page plays it: decoded there if the build has the decoder, else as WAV.
async fn plays_in_chromium(appliance: &Appliance, seconds: f64) {
    let url = appliance.api.url("/");
    let shot = root().join("target/voice.png");
    let shot = shot.display().to_string();
    let arguments = [&*url, "--token", ADMIN, "--stream", "said", "--shot", &shot];
    let report = Client::browser("voice", &arguments).report(s(90)).await;
    eprintln!("  {report}");
    assert_eq!(report["errors"], json!([]), "{report}");
    let decoded_here = root().join("web/voice.wasm").is_file();
    assert_eq!(report["wav"], json!(!decoded_here), "{report}");
    let at = |field: &str| report[field].as_f64().unwrap_or(0.0);
    assert!(at("played") > 1.0, "{report}");
    assert!((at("sought") - seconds * 0.75).abs() < 3.0, "{report}");
    assert!(at("loud") > 0.003, "{report}");
}

/// The voice of a stream, live: what comes over the WebSocket, and what Chromium makes of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_voice_comes_to_the_page_at_3_kbit_s() {
    let Some(speech) = speech(3) else { return };
    let appliance = Appliance::start().await;
    let stream = appliance.api.create(json!({ "name": "said", "preset": "passthrough" })).await;
    let url = appliance.api.url("/voice/said").replacen("http", "ws", 1);
    let token = stream.play_token();
    for wrong in [url.clone(), format!("{url}?token=guess")] {
        assert!(tokio_tungstenite::connect_async(&wrong).await.is_err(), "{wrong}");
    }
    let _publisher = Ffmpeg::send_file(&speech.file, &appliance.srt(&stream));
    stream.wait_state("live", s(20)).await;
    let kbps = listen(&format!("{url}?token={token}"), 10.0).await;
    assert!(LIVE_KBPS.contains(&kbps), "{kbps}");

    if !root().join("web/voice.wasm").is_file() {
        skip("web/voice.wasm: `make wasm`");
        return;
    }
    let (page, shot) = (appliance.api.url("/"), root().join("target/listen.png"));
    let shot = shot.display().to_string();
    let arguments = [&*page, "--token", ADMIN, "--stream", "said", "--shot", &shot];
    let report = Client::browser("listen", &arguments).report(s(90)).await;
    eprintln!("  {report}");
    assert_eq!(report["errors"], json!([]), "{report}");
    // The page did not fall back to WHEP.
    assert!(report["told"].as_str().is_some_and(|t| t.starts_with("AIC-A, ")), "{report}");
    assert_eq!(report["video"], 0, "{report}");
    assert!(report["loud"].as_f64().is_some_and(|loud| loud > 0.003), "{report}");
}

/// Listens to so many seconds of a voice; returns kbit/s of messages, with the bytes of WebSocket.
async fn listen(url: &str, seconds: f64) -> f64 {
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.expect("let in");
    let (mut bytes, mut frames, mut said) = (0, 0, Vec::new());
    while (frames as f64) * 0.02 < seconds {
        let message = tokio::time::timeout(s(20), socket.next()).await.expect("in time");
        let message = message.expect("open").expect("a message");
        bytes += 2 + message.len();
        match message {
            Message::Text(text) => {
                said.push(serde_json::from_str::<Value>(&text).expect("JSON"));
            }
            Message::Binary(payload) => {
                frames += Coded::read(&payload).expect("a packet").header().frames;
            }
            _ => {}
        }
    }
    assert_eq!(said[0]["type"], "hello", "{said:?}");
    assert_eq!(said[0]["rate"], 16_000, "{said:?}");
    assert_eq!(said[1]["type"], "at", "{said:?}");
    let kbps = bytes as f64 * 0.008 / (frames as f64 * 0.02);
    eprintln!("  live: {kbps:.2} kbit/s over {seconds} s, with the frames of the WebSocket");
    kbps
}
