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

use std::process::{Command, Stdio};

use serde_json::{Value, json};
use support::appliance::Appliance;
use support::s;
use support::usage::Usage;

/// Numbers of viewers that are measured, if the command line names none.
const CROWDS: [usize; 4] = [1, 20, 100, 300];

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
        "| viewers | appliance CPU, % of a core | per viewer | Mbit/s | Mbit/s per core | threads \
         | KiB per viewer | lateness p99, ms | lost |\n|---|---|---|---|---|---|---|---|---|"
    );
    for &viewers in crowds {
        let config = "[webrtc]\nsessions_max = 1000\nviewers_per_stream_max = 900\n\
                      viewers_per_token_max = 900\n";
        let appliance = Appliance::start_with(config).await;
        let spec = json!({ "name": "watched", "source": { "type": "test" } });
        let stream = appliance.api.create(spec).await;
        stream.wait_state("live", s(30)).await;
        let quiet = reading(&appliance, WINDOW_S / 2).await;
        let program = std::env::current_exe().expect("it runs");
        let mut crowd = Command::new(program)
            .args([CROWD, &stream.whep(), &stream.play_token(), &viewers.to_string()])
            .arg((WINDOW_S + 25).to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it runs");
        let all = |v: &Value| v["viewers"]["whep"].as_u64() == Some(viewers as u64);
        stream.wait("the crowd is there", s(60), all).await;
        let busy = reading(&appliance, WINDOW_S).await;
        let output = tokio::task::spawn_blocking(move || {
            let output = crowd.stdout.take().expect("piped");
            let report: Value = serde_json::from_reader(output).expect("a report");
            crowd.wait().expect("it ends");
            report
        });
        row(viewers, quiet, busy, &output.await.expect("it ends"));
    }
}

/// Processor use over a window, and resources at its end.
async fn reading(appliance: &Appliance, window_s: u64) -> (f64, Usage) {
    tokio::time::sleep(s(2)).await;
    let before = appliance.usage();
    tokio::time::sleep(s(window_s)).await;
    let after = appliance.usage();
    (after.cpu_since(&before), after)
}

fn row(viewers: usize, quiet: (f64, Usage), busy: (f64, Usage), report: &Value) {
    let count = viewers as f64;
    let cpu = busy.0 - quiet.0;
    let number = |field: &str| report[field].as_f64().unwrap_or(f64::NAN);
    let mbits = number("mbits_per_s");
    eprintln!(
        "| {viewers} | {cpu:.1} | {:.3} | {mbits:.0} | {:.0} | {} | {:.0} | {:.1} | {} of {} |",
        cpu / count,
        100.0 * mbits / cpu,
        busy.1.threads as i64 - quiet.1.threads as i64,
        (busy.1.rss_kib as f64 - quiet.1.rss_kib as f64) / count,
        number("lateness_p99_ms"),
        report["lost"],
        report["packets"],
    );
}
