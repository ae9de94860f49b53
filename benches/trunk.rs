//! Voice quality over a bad line: two appliances joined by a trunk, each in a network namespace,
//! with bandwidth, loss and round trip between them as in the table.
//!
//! `cargo test --bench trunk`, as root. Real speech is published to one by SRT, with video; a WHEP
//! viewer listens to the other, and its audio is compared with the source. Each step runs with
//! AIC-A and with Opus alone; `-- aic` or `-- opus` runs one of them. To run other steps than those of
//! the table: `cargo test --bench trunk -- 300,0.05,50 24,0,100`.

#[path = "../tests/support/mod.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod support;

use serde_json::{Value, json};
use support::api::Stream;
use support::appliance::Appliance;
use support::client::Client;
use support::line::Line;
use support::publish::Ffmpeg;
use support::s;
use support::speech::{Speech, speech};

/// Clips of speech that the publisher repeats.
const CLIPS: usize = 6;

/// Time for the trunk to adapt after each change of the line, in seconds.
const SETTLE_S: u64 = 8;

/// Listening time, in seconds.
const LISTEN_S: u32 = 15;

/// kbit/s each way, share of packets lost, round trip in ms.
type Step = (u32, f64, u32);

/// The line is good again at the end.
const STEPS: [Step; 11] = [
    (2000, 0.0, 20),
    (300, 0.0, 20),
    (300, 0.05, 50),
    (60, 0.0, 50),
    (60, 0.1, 100),
    (24, 0.0, 100),
    (24, 0.05, 200),
    (300, 0.2, 100),
    (2000, 0.0, 20),
    (2000, 0.0, 20),
    (2000, 0.0, 20),
];

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime starts");
    runtime.block_on(async {
        let Some(speech) = speech(CLIPS) else { return };
        let asked: Vec<Step> = std::env::args().skip(1).filter_map(|a| step(&a)).collect();
        let steps = if asked.is_empty() { STEPS.to_vec() } else { asked };
        eprintln!("\nA trunk over a bad line ({LISTEN_S} s each, after {SETTLE_S} s)\n");
        eprintln!(
            "| kbit/s | lost | round trip ms | may use | in use | rung | sound kbit/s | the same in \
             Opus | STOI | longest stall ms | moved ms | dropped by the line |"
        );
        eprintln!("|---|---|---|---|---|---|---|---|---|---|---|---|");
        let one = |word: &str| std::env::args().any(|argument| argument == word);
        for aic in [true, false] {
            if one(if aic { "opus" } else { "aic" }) {
                continue;
            }
            let Some(line) = Line::lay().await else { return };
            walk(line, &speech, aic, &steps).await;
        }
    });
}

/// Parses a step such as `300,0.05,50`.
fn step(text: &str) -> Option<Step> {
    let mut parts = text.split(',');
    let (kbps, loss, round_trip) = (parts.next()?, parts.next()?, parts.next()?);
    Some((kbps.parse().ok()?, loss.parse().ok()?, round_trip.parse().ok()?))
}

/// Runs all steps with one trunk.
async fn walk(mut line: Line, speech: &Speech, aic: bool, steps: &[Step]) {
    let [a, b] = Appliance::start_at(&line.ends).await;
    let far = b.api.create(json!({ "name": "far" })).await;
    let url = format!("http://{}:{}/whip/far", line.ends[1].on_line, b.ports.http);
    let trunk = json!({
        "id": "b", "type": "trunk", "url": url, "token": far.publish_token(), "aic": aic,
    });
    let near = a.api.create(json!({ "name": "near", "outputs": [trunk] })).await;
    let _publisher = Ffmpeg::send_file(&speech.file, &a.srt(&near));
    near.wait_state("live", s(20)).await;
    far.wait_state("live", s(40)).await;
    // By then speech has paused and the trunk has settled.
    tokio::time::sleep(s(u64::from(speech.seconds))).await;
    for &(kbps, loss, round_trip_ms) in steps {
        line.set(kbps, loss, round_trip_ms).await;
        tokio::time::sleep(s(SETTLE_S)).await;
        line.carried().await;
        let wav = b.state().join("heard.wav");
        let heard = listen(&far, &wav.display().to_string()).await;
        let carried = line.carried().await;
        let found = near.snapshot().await;
        row((kbps, loss, round_trip_ms), aic, &found, &carried, &score(speech, &wav, heard).await);
    }
    eprintln!("\nWhat the trunk decided:\n");
    for text in a.log_text().lines().filter(|l| l.contains("ladder") || l.contains("voice goes")) {
        eprintln!("    {}", text.split_once("INFO ").map_or(text, |(_, rest)| rest));
    }
    eprintln!();
}

/// Listens for a while; returns false if nothing came.
async fn listen(stream: &Stream, wav: &str) -> bool {
    let (token, seconds) = (stream.play_token(), LISTEN_S.to_string());
    let args = [&stream.whep(), "--token", &token, "--seconds", &seconds, "--wav", wav];
    let mut client = Client::python("whep.py", &args);
    while let Some(event) = client.next_event().await {
        match event["event"].as_str() {
            Some("report") => return true,
            Some("failed" | "refused") => return false,
            _ => {}
        }
    }
    false
}

async fn score(speech: &Speech, wav: &std::path::Path, heard: bool) -> Value {
    if !heard || !wav.exists() {
        return Value::Null;
    }
    let (source, wav) = (speech.file.display().to_string(), wav.display().to_string());
    Client::python("stoi.py", &[&source, &wav]).report(s(120)).await
}

fn row(step: Step, aic: bool, found: &Value, carried: &Value, score: &Value) {
    let outputs = found["outputs"].as_array().map(Vec::as_slice).unwrap_or_default();
    let facts = outputs.first().map_or(&Value::Null, |o| &o["facts"]);
    let number = |v: &Value| v.as_f64().map_or("-".to_owned(), |n| format!("{n:.1}"));
    let word = |v: &Value| v.as_str().unwrap_or("-").to_owned();
    let dropped = &carried["a_to_b"];
    eprintln!(
        "| {} | {:.0} % | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} + {} |",
        step.0,
        step.1 * 100.0,
        step.2,
        if aic { "AIC-A" } else { "Opus" },
        word(&facts["codec"]),
        word(&facts["rung"]),
        number(&facts["audio_kbps"]),
        number(&facts["audio_in_opus_kbps"]),
        score["stoi"].as_f64().map_or("nothing heard".to_owned(), |n| format!("{n:.3}")),
        score["stall_ms"],
        score["moved_ms"],
        dropped["lost"],
        dropped["overflowed"],
    );
}
