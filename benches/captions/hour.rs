//! An hour of speech with a fast clock: memory in each ten minutes, and the words that are wrong in all.

use std::sync::Arc;
use std::time::Duration;

use auralink::speech::engine::usage;
use auralink::speech::stt::{Engines, Wanted};

use crate::support::{Listener, committed, errors, normal};
use crate::{PAUSE_SAMPLES, name};

const HOUR: Duration = Duration::from_secs(3600);

/// A row is printed this often.
const ROW_INTERVAL: Duration = Duration::from_secs(600);

/// Prints the table: the same utterances again and again as one stream.
pub fn print(engines: &Arc<Engines>, wanted: &Wanted, utterances: &[(Vec<f32>, String)]) {
    println!("{}\n", name(wanted));
    println!(
        "| minutes of speech | memory of the engine MiB | its starts | memory of this process MiB |"
    );
    println!("|---|---|---|---|");
    let listener = Listener::new(engines, wanted.clone(), true);
    let (mut said, mut at, mut row) = (Vec::new(), Duration::ZERO, ROW_INTERVAL);
    for (audio, text) in utterances.iter().cycle() {
        said.extend(normal(text));
        at = listener.push(at, audio);
        at = listener.push(at, &vec![0.0; PAUSE_SAMPLES]);
        if at >= row {
            print_row(at);
            row += ROW_INTERVAL;
        }
        if at >= HOUR {
            break;
        }
    }
    let cues = committed(&listener.finish());
    let text: Vec<&str> = cues.iter().map(|c| c.text.as_str()).collect();
    let wrong = errors(&said, &normal(&text.join(" ")));
    let percent = 100.0 * wrong as f64 / said.len() as f64;
    println!("\n{percent:.1} % of {} words are wrong\n", said.len());
}

fn print_row(at: Duration) {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let engines = usage();
    let memory: u64 = engines.iter().map(|e| e.memory_bytes).sum();
    let starts: u64 = engines.iter().map(|e| e.starts).sum();
    let own = auralink::telemetry::process_usage(std::process::id()).0;
    println!("| {} | {:.0} | {starts} | {:.0} |", at.as_secs() / 60, mib(memory), mib(own));
}
