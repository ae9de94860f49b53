//! A browser whose line changes.

use std::time::Instant;

use serde_json::{Value, json};

use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::line::Line;
use crate::support::media::Coding;
use crate::support::publish::Ffmpeg;
use crate::support::s;

/// Bandwidth of the thin and the good line, in kbit/s, and their round-trip time in ms. The source has
/// 800 kbit/s and the rung 200, beside the sound.
const THIN_KBPS: u32 = 600;
const GOOD_KBPS: u32 = 20_000;
const ROUND_TRIP_MS: u32 = 30;

/// Pictures that are watched on the thin line: ten seconds.
const WATCHED_FRAMES: u64 = 300;

pub(crate) async fn measure() {
    let Some(mut line) = Line::lay().await else { return };
    let [near, _far] = Appliance::start_at(&line.ends).await;
    line.set(THIN_KBPS, 0.0, ROUND_TRIP_MS).await;
    let ladder = json!([{ "height": 180, "kbps": 200 }]);
    let stream = near.api.create(json!({ "name": "thin", "ladder": ladder })).await;
    let _publisher = Ffmpeg::send(Coding::H264Baseline, &near.srt(&stream));
    stream.wait("it has rungs", s(30), |v| v["ladder"][0].is_object()).await;
    let url = format!("http://{}:{}/whep/thin", line.ends[0].on_line, near.ports.http);
    let args = [&*url, "--token", &stream.play_token(), "--patience", "60"];
    let mut viewer = Client::browser_at(&line.ends[1], "whep", &args);
    viewer.wait_for("playing", s(60)).await;
    let watched = |e: &Value| e["decoded"].as_u64() > Some(WATCHED_FRAMES);
    let thin = viewer.wait_until("progress", s(60), watched).await;
    say("ten seconds on the thin line", None, &thin);
    for (kbps, size) in [(GOOD_KBPS, "640x360"), (THIN_KBPS, "320x180")] {
        line.set(kbps, 0.0, ROUND_TRIP_MS).await;
        let begun = Instant::now();
        let follows = |e: &Value| e["size"] == size;
        let seen = viewer.wait_until("progress", s(180), follows).await;
        say(&format!("{size} at {kbps} kbit/s"), Some(begun), &seen);
    }
    viewer.finish().await;
}

fn say(what: &str, begun: Option<Instant>, seen: &Value) {
    let after = begun.map(|begun| format!(" after {:.1} s", begun.elapsed().as_secs_f64()));
    eprintln!(
        "{what}{}: {}, {} freezes, {} packets lost",
        after.unwrap_or_default(),
        seen["size"],
        seen["freezes"],
        seen["video_lost"]
    );
}
