//! A table of every codec, container and protocol that the README lists as input against every
//! output. Video and audio are counted by timestamps, in and out. A loss without a note is a red
//! cell, which fails the test.
//!
//! `AURALINK_TABLE=whip` selects the inputs with that word in their name.

mod count;
mod input;
mod judge;
mod output;

use std::collections::BTreeSet;
use std::time::Duration;

use futures::StreamExt;
use serde_json::{Value, json};

use crate::support::appliance::Appliance;
use crate::support::s;
use count::Counted;
use input::{INPUTS, Input};
use judge::Cell;
use output::{OUTPUTS, Receivers};

/// Parallel inputs: as many as two cores can handle with all their viewers.
const PARALLEL: usize = 3;

/// How often the stream's notes are read.
const ASKED_EVERY: Duration = Duration::from_millis(300);

/// One line of the table.
struct Row {
    input: &'static Input,
    cells: Vec<Cell>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_in_comes_out_or_the_stream_says_why_not() {
    let wanted = std::env::var("AURALINK_TABLE").unwrap_or_default();
    let inputs = INPUTS.iter().filter(|input| input.name.contains(&wanted));
    let appliance = Appliance::start().await;
    let rows = futures::stream::iter(inputs).map(|input| row(&appliance, input, ""));
    let mut rows: Vec<Row> = rows.buffer_unordered(PARALLEL).collect().await;
    // A loss that the appliance causes is there each time; one that a busy machine causes in a
    // receiver is not.
    for tried in rows.iter_mut().filter(|row| row.losses().next().is_some()) {
        let losses: Vec<String> = tried.losses().collect();
        eprintln!("again, by itself, because of: {}", losses.join("; "));
        // By another name, because the recordings of the first try stay.
        *tried = row(&appliance, tried.input, "-again").await;
    }
    print(&rows);
    let red: Vec<String> = rows.iter().flat_map(Row::losses).collect();
    assert!(red.is_empty(), "lost without a word:\n  {}", red.join("\n  "));
}

/// Sends one input through the appliance, with all outputs at the same time. `suffix`: the end of
/// the stream's name.
async fn row(appliance: &Appliance, input: &'static Input, suffix: &str) -> Row {
    let clip = input.clip();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let push = output::Push::listen(folder.path()).await;
    let spec = json!({
        "name": input.name.replace([' ', '+'], "-") + suffix, "preset": "record", "linger_s": 0,
        "outputs": [{ "id": "push", "type": "push", "url": push.url }],
    });
    let stream = appliance.api.create(spec).await;
    let receivers = Receivers::attend(appliance, &stream, push, folder.path());
    let (mut notes, mut arrived) = (BTreeSet::new(), 0);
    {
        let send = input.send(appliance, &stream, clip.as_deref());
        tokio::pin!(send);
        loop {
            tokio::select! {
                () = &mut send => break,
                // On a loaded machine an answer may be missed; others follow.
                () = tokio::time::sleep(ASKED_EVERY) => {
                    let Ok(answer) = stream.api.get(&stream.path()).await else { continue };
                    let snapshot = answer.json();
                    notes.extend(said(&snapshot));
                    arrived = arrived.max(pictures(&snapshot));
                }
            }
        }
    }
    stream.wait_state("idle", s(40)).await;
    let got = receivers.finish(appliance, &stream, input.fps()).await;
    appliance.api.must_delete(&stream.path()).await;
    let sent = match clip.filter(|_| input.is_whole_clip()) {
        Some(clip) => count::file(&clip, input.fps()).await,
        None => Counted::pictures(arrived),
    };
    let seams = input.seams();
    let cell = |(output, got): (&&'static str, &Counted)| {
        judge::cell(input, output, &sent, got, &seams, &notes)
    };
    Row { input, cells: OUTPUTS.iter().zip(&got).map(cell).collect() }
}

/// Number of frames so far.
fn pictures(snapshot: &Value) -> u64 {
    let mut feeds = snapshot["feeds"].as_array().into_iter().flatten();
    let video = feeds.find(|feed| feed["name"] == "video");
    video.and_then(|feed| feed["buffers"].as_u64()).unwrap_or(0)
}

/// All notes of a stream about what it leaves out.
fn said(snapshot: &Value) -> Vec<String> {
    let texts = |list: &Value, field: &str| -> Vec<String> {
        let items = list.as_array().into_iter().flatten();
        items.filter_map(|item| item[field].as_str().map(str::to_owned)).collect()
    };
    let mut all: Vec<String> = snapshot["sources"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|source| source["notes"].as_array().cloned().unwrap_or_default())
        .filter_map(|note| note.as_str().map(str::to_owned))
        .collect();
    all.extend(texts(&snapshot["outputs"], "error"));
    all.extend(texts(&snapshot["nodes"], "last_error"));
    all.extend(snapshot["last_error"].as_str().map(str::to_owned));
    all
}

impl Row {
    fn losses(&self) -> impl Iterator<Item = String> + '_ {
        let named = self.cells.iter().zip(OUTPUTS);
        named.filter_map(|(cell, output)| {
            Some(format!("{} by {output}: {}", self.input.name, cell.loss()?))
        })
    }
}

/// Prints the table, and below it the notes on losses.
fn print(rows: &[Row]) {
    let mut sorted: Vec<&Row> = rows.iter().collect();
    sorted.sort_by_key(|row| INPUTS.iter().position(|input| input.name == row.input.name));
    eprintln!("\n{:<26}{}", "", OUTPUTS.map(|output| format!("{output:<30}")).concat());
    for row in &sorted {
        let cells: String = row.cells.iter().map(|cell| cell.printed(30)).collect();
        eprintln!("{:<26}{cells}", row.input.name);
    }
    for row in sorted {
        for (cell, output) in row.cells.iter().zip(OUTPUTS) {
            if let Some(word) = cell.word() {
                eprintln!("  {} by {output}: {word}", row.input.name);
            }
        }
    }
}
