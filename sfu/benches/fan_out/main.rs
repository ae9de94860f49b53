//! What a shard costs for each packet, beside the least that a core can do: encrypt and send it.
//!
//! `cargo bench --package auralink-sfu` (optimised), or `cargo test --package auralink-sfu --bench
//! fan-out` (as `make run` builds it); `-- 20 1000` names the numbers of viewers. A shard sends a
//! stream of 2 Mbit/s and its sound to viewers on the same machine by the loopback interface, so the
//! cost has the kernel's delivery in it. CPU time is that of the shard's thread alone.

#![allow(clippy::print_stdout, reason = "it prints a table")]

mod crowd;
mod limit;
mod stream;
mod thread;

use std::time::{Duration, Instant};

use auralink_sfu::{Begin, Engine, Settings, Source};

use crowd::Crowd;
use stream::Stream;

/// Numbers of viewers that are measured, if the command line names none.
const CROWDS: [usize; 4] = [20, 100, 300, 1000];

/// What is left out at the beginning, while buffers grow.
const WARM_UP: Duration = Duration::from_secs(3);

/// Averaging time of each row.
const WINDOW: Duration = Duration::from_secs(6);

fn main() {
    let named: Vec<usize> = std::env::args().filter_map(|a| a.parse().ok()).collect();
    let crowds = if named.is_empty() { CROWDS.to_vec() } else { named };
    let least = limit::packet_cost();
    println!("one core encrypts and sends a packet of this stream in {least:?}\n");
    println!(
        "| viewers | of a core | per viewer | µs per packet | Gbit/s per core | of the limit | lateness \
         p50, p99 | lost |\n|---|---|---|---|---|---|---|---|"
    );
    for viewers in crowds {
        row(viewers, least);
    }
}

fn row(viewers: usize, least: Duration) {
    let settings = Settings { ports: (0, 0), addresses: vec![], shards: 1, tcp: false };
    let engine = Engine::start(settings).expect("it starts");
    let (video, sound) = (Source::new(), Source::new());
    let mut crowd = Crowd::new(viewers);
    let connections: Vec<_> = crowd
        .terms()
        .into_iter()
        .map(|terms| {
            let (connection, local) = engine.open(&terms).expect("the terms are right");
            for (track, source) in [&video, &sound].into_iter().enumerate() {
                connection.play(track, source, Begin::AtOnce).expect("the shard has time");
            }
            (connection, local)
        })
        .collect();
    crowd.accept(connections.iter().map(|(_, local)| local));
    let watching = crowd.watch();
    watching.wait_connected();
    let mut stream = Stream::new(video, sound);
    stream.play(WARM_UP);
    let shard = thread::named("fan-out-0");
    watching.clear();
    let (cpu, began, before) = (shard.cpu_time(), Instant::now(), stream.pushed());
    stream.play(WINDOW);
    let (cpu, window) = (shard.cpu_time() - cpu, began.elapsed());
    let pushed = stream.pushed() - before;
    let seen = watching.finish();
    let sent = pushed.packets * viewers as u64;
    let share = cpu.as_secs_f64() / window.as_secs_f64();
    let each = cpu / u32::try_from(sent).unwrap_or(u32::MAX);
    let gbits = pushed.bytes as f64 * viewers as f64 * 8e-9 / cpu.as_secs_f64();
    println!(
        "| {viewers} | {:.1} % | {:.3} % | {:.2} | {gbits:.2} | {:.0} % | {:.1} ms, {:.1} ms | {} of {sent} |",
        100.0 * share,
        100.0 * share / viewers as f64,
        each.as_nanos() as f64 / 1e3,
        100.0 * least.as_secs_f64() / each.as_secs_f64(),
        seen.late_ms(0.5),
        seen.late_ms(0.99),
        sent as i64 - seen.packets as i64,
    );
}
