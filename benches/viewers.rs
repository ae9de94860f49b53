//! What viewers by WebRTC cost when many watch one stream, and how they are served.
//!
//! `make bench`. The viewers are real ones (ICE, DTLS, SRTP, RTCP) in a process of their own, made
//! of str0m; they run on the same machine and slow the appliance down where cores are few. The
//! figures are of the appliance's process only.
//!
//! With `-- thin` it puts a browser at the end of a thin line instead, which then becomes a good one and
//! a thin one again, and says when the picture follows.

#![allow(clippy::print_stdout)]

#[path = "../tests/support/mod.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod support;

#[path = "viewers/crowd.rs"]
mod crowd;
#[path = "viewers/thin.rs"]
mod thin;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use support::api::Stream;
use support::appliance::Appliance;
use support::publish::Ffmpeg;
use support::s;
use support::usage::Usage;

/// Numbers of viewers that are measured, if the command line names none.
const CROWDS: [usize; 4] = [1, 20, 100, 300];

/// Shares of packets that are thrown away on arrival, with one of the crowds.
const LOSSES: [f64; 2] = [0.02, 0.05];
const LOSSES_VIEWERS: usize = 100;

/// Averaging time of each figure, in seconds.
const WINDOW_S: u64 = 10;

/// Argument that makes this program the crowd.
const CROWD: &str = "--crowd";

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|a| a == CROWD) {
        return crowd::watch(&arguments[at + 1..]);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    match arguments.iter().any(|a| a == "thin") {
        true => runtime.block_on(thin::measure()),
        false => {
            let named: Vec<usize> = arguments.iter().filter_map(|a| a.parse().ok()).collect();
            let crowds = if named.is_empty() { CROWDS.to_vec() } else { named };
            runtime.block_on(measure(&crowds));
        }
    }
}

async fn measure(crowds: &[usize]) {
    eprintln!(
        "| viewers | thrown away | appliance CPU, % of a core | per viewer | Mbit/s | Mbit/s per core \
         | threads | KiB per viewer | first packet p50, p95, ms | first picture p50, p95, ms \
         | lateness p99, ms | missing |\n|---|---|---|---|---|---|---|---|---|---|---|---|"
    );
    let folder = tempfile::tempdir().expect("a folder");
    let media = media(folder.path()).await;
    for &viewers in crowds {
        let losses = [0.0].into_iter().chain(LOSSES);
        for loss in losses.take(if viewers == LOSSES_VIEWERS { 3 } else { 1 }) {
            row(&media, viewers, loss).await;
        }
    }
}

/// H.264 of 2 Mbit/s and Opus, in a file that is sent in a loop.
async fn media(folder: &Path) -> PathBuf {
    let file = folder.join("2mbit.mkv");
    let mut made = Ffmpeg::with(&format!(
        "-f lavfi -i testsrc2=size=1280x720:rate=30 -f lavfi -i sine=frequency=440:sample_rate=48000 -t 20 \
         -c:v libx264 -preset veryfast -profile:v baseline -bf 0 -b:v 1936k -minrate 1936k -maxrate 1936k \
         -bufsize 1000k -x264-params nal-hrd=cbr -g 60 -c:a libopus -b:a 64k -ac 2 -y {}",
        file.display()
    ));
    assert_eq!(made.end(s(120)).await, Some(true), "ffmpeg makes it");
    file
}

async fn row(media: &Path, viewers: usize, loss: f64) {
    let config = "[webrtc]\nsessions_max = 2000\n\
                  viewers_per_stream_max = 1800\nviewers_per_token_max = 1800\n";
    let appliance = Appliance::start_with(config).await;
    let stream = appliance.api.create(json!({ "name": "watched" })).await;
    let _publisher = Ffmpeg::send_file(media, &appliance.srt(&stream));
    stream.wait_state("live", s(30)).await;
    // The first viewer starts the payloaders, whose cost is not that of viewers.
    let mut first = crowd(&stream, 1, 3 * WINDOW_S, 0.0);
    stream.wait("it is played", s(60), |v| watching(v, 1)).await;
    let quiet = reading(&appliance, WINDOW_S / 2).await;
    let mut crowd = crowd(&stream, viewers, WINDOW_S + 25, loss);
    stream.wait("the crowd is there", s(60), |v| watching(v, viewers + 1)).await;
    let busy = reading(&appliance, WINDOW_S).await;
    let output = tokio::task::spawn_blocking(move || {
        let output = crowd.stdout.take().expect("piped");
        let report: Value = serde_json::from_reader(output).expect("a report");
        crowd.wait().and_then(|_| first.wait()).expect("they end");
        report
    });
    say(viewers, quiet, busy, &output.await.expect("it ends"));
}

/// Starts this program as a crowd that throws a share of the packets away.
fn crowd(stream: &Stream, viewers: usize, seconds: u64, loss: f64) -> Child {
    let program = std::env::current_exe().expect("it runs");
    let numbers = [viewers.to_string(), seconds.to_string(), loss.to_string()];
    let mut command = Command::new(program);
    command.args([CROWD, &stream.whep(), &stream.play_token()]).args(numbers);
    command.stdout(Stdio::piped()).spawn().expect("it runs")
}

fn watching(stream: &Value, viewers: usize) -> bool {
    stream["viewers"]["whep"].as_u64() >= Some(viewers as u64)
}

/// Processor use over a window, and resources at its end.
async fn reading(appliance: &Appliance, window_s: u64) -> (f64, Usage) {
    tokio::time::sleep(s(2)).await;
    let before = appliance.usage();
    tokio::time::sleep(s(window_s)).await;
    let after = appliance.usage();
    (after.cpu_since(&before), after)
}

fn say(viewers: usize, quiet: (f64, Usage), busy: (f64, Usage), report: &Value) {
    let count = viewers as f64;
    let cpu = busy.0 - quiet.0;
    let number = |field: &Value| field.as_f64().unwrap_or(f64::NAN);
    let both = |field: &Value| format!("{:.0}, {:.0}", number(&field[0]), number(&field[1]));
    let mbits = number(&report["mbits_per_s"]);
    let thrown = number(&report["thrown"]) / number(&report["packets"]);
    eprintln!(
        "| {viewers} | {:.1} % | {cpu:.1} | {:.3} | {mbits:.0} | {:.0} | {} | {:.0} | {} | {} | {:.1} | {} of {} |",
        100.0 * thrown,
        cpu / count,
        100.0 * mbits / cpu,
        busy.1.threads as i64 - quiet.1.threads as i64,
        (busy.1.rss_kib as f64 - quiet.1.rss_kib as f64) / count,
        both(&report["first_packet_ms"]),
        both(&report["first_picture_ms"]),
        number(&report["lateness_p99_ms"]),
        report["lost"],
        report["packets"],
    );
}
