//! The archive of captions, for search. Takes committed cues without blocking the caller, writes
//! them in batches, and deletes expired ones.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use super::store::{self, CueRow, CueTable, CueWord, Found, Search};
use crate::egress::archive::CueSink;
use crate::flow;
use crate::media::{Cue, StreamName, Word};

/// Cues that may wait for the disk; further cues are dropped and counted. Enough for minutes of
/// speech on ten streams.
const WAITING_CUES_MAX: usize = 4096;

/// Maximum number of cues per transaction.
const BATCH_CUES_MAX: usize = 256;

/// How long a batch waits for more cues: one disk write instead of one per cue.
const BATCH_WAIT: Duration = Duration::from_millis(250);

/// Pauses before a failed batch is written again. After the last one it is lost.
const RETRY_PAUSES: [Duration; 3] =
    [Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(4)];

/// How often expired cues are deleted.
const EXPIRE_EVERY: Duration = Duration::from_secs(3600);

/// A cue on its way to the store.
struct Kept {
    row: CueRow,
    days: u32,
}

/// Totals since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Cues that were stored.
    pub kept: u64,
    /// Cues that were lost because the disk was too slow or failed.
    pub lost: u64,
}

#[derive(Debug, Default)]
struct Counts {
    kept: AtomicU64,
    lost: AtomicU64,
}

/// A handle to the archive. Cheap to clone.
#[derive(Clone)]
pub struct Archive {
    cues: Arc<dyn CueTable>,
    sender: mpsc::Sender<Kept>,
    counts: Arc<Counts>,
}

/// The receiving side of an [`Archive`]: writes the cues.
pub struct Writer {
    cues: Arc<dyn CueTable>,
    receiver: mpsc::Receiver<Kept>,
    counts: Arc<Counts>,
    /// Retention in days per stream, as last written to the store.
    days: HashMap<String, u32>,
}

impl Archive {
    /// An archive in this table. Nothing is written until [`Writer::run`] runs.
    pub fn new(cues: Arc<dyn CueTable>) -> (Self, Writer) {
        let (sender, receiver) = mpsc::channel(WAITING_CUES_MAX);
        let counts = Arc::<Counts>::default();
        let (days, theirs) = (HashMap::new(), counts.clone());
        let writer = Writer { cues: cues.clone(), receiver, counts: theirs, days };
        (Self { cues, sender, counts }, writer)
    }

    /// Totals since the start.
    pub fn totals(&self) -> Totals {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Totals { kept: read(&self.counts.kept), lost: read(&self.counts.lost) }
    }

    /// Searches cues, newest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn search(&self, search: &Search) -> Result<Vec<Found>, store::Error> {
        self.cues.search(search).await
    }

    /// The cues of a stream in the order of speech.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn transcript(&self, search: &Search) -> Result<Vec<CueRow>, store::Error> {
        self.cues.transcript(search).await
    }

    /// The languages of a stream's cues.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn languages(&self, search: &Search) -> Result<Vec<String>, store::Error> {
        self.cues.languages(search).await
    }

    /// Deletes all cues of a stream, or those that began before a time in milliseconds since 1970.
    /// Returns the number of deleted cues.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn forget(
        &self,
        stream: &StreamName,
        before_ms: Option<i64>,
    ) -> Result<u64, store::Error> {
        let (cues, stream) = (self.cues.clone(), stream.clone());
        // The deletion completes even if the caller stops waiting.
        let delete =
            async move { cues.delete(stream.as_str(), before_ms.unwrap_or(i64::MAX)).await };
        let deleted = tokio::spawn(delete).await;
        deleted.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }
}

impl CueSink for Archive {
    fn keep(&self, stream: &StreamName, cue: &Cue, days: u32) {
        let row = row(stream, cue);
        if !cue.is_committed() || row.text.is_empty() {
            return;
        }
        if self.sender.try_send(Kept { row, days }).is_err() {
            let lost = self.counts.lost.fetch_add(1, Ordering::Relaxed) + 1;
            // Only loss number 1, 2, 4, 8 … is logged, so that a full disk does not flood the log.
            if lost.is_power_of_two() {
                tracing::warn!(%stream, lost, "captions are not kept: the database is too slow");
            }
        }
    }
}

fn row(stream: &StreamName, cue: &Cue) -> CueRow {
    let wall = |running: Duration| {
        let nanos = u64::try_from(running.as_nanos()).unwrap_or(u64::MAX / 2);
        millis(flow::wall_clock(gst::ClockTime::from_nseconds(nanos)))
    };
    let after = |at: Duration| millis(at.saturating_sub(cue.start));
    let word = |word: &Word| CueWord {
        text: plain(&word.text),
        start_offset_ms: after(word.start),
        end_offset_ms: after(word.end),
        confidence: finite(word.confidence),
    };
    CueRow {
        stream: stream.to_string(),
        language: cue.language.to_string(),
        number: i64::try_from(cue.id).unwrap_or(i64::MAX),
        running_ms: millis(cue.start),
        start_ms: wall(cue.start),
        end_ms: wall(cue.end.max(cue.start)),
        text: plain(&cue.text),
        words: cue.words.iter().map(word).collect(),
        ends_sentence: cue.ends_sentence,
        engine: cue.origin.engine.clone(),
        model: cue.origin.model.clone(),
        speaker: cue.speaker.as_deref().map(plain),
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// The table takes no not-a-number.
fn finite(confidence: f32) -> f32 {
    if confidence.is_finite() { (confidence * 1000.0).round() / 1000.0 } else { 0.0 }
}

/// One line without control characters, because some of them mark search hits.
fn plain(text: &str) -> String {
    let spaced = text.replace(|c: char| c.is_control(), " ");
    spaced.trim().to_owned()
}

impl Writer {
    /// Writes until it is cancelled, then writes the cues that still wait.
    pub async fn run(mut self, cancel: CancellationToken) {
        let mut expire = interval(EXPIRE_EVERY);
        expire.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = cancel.cancelled() => break,
                _ = expire.tick() => self.expire().await,
                first = self.receiver.recv() => match first {
                    Some(first) => {
                        let batch = self.collect(first).await;
                        self.write(batch, &cancel).await;
                    }
                    None => return,
                },
            }
        }
        self.receiver.close();
        while let Some(first) = self.receiver.recv().await {
            let batch = self.collect(first).await;
            self.write(batch, &cancel).await;
        }
    }

    /// The cues that arrive within [`BATCH_WAIT`].
    async fn collect(&mut self, first: Kept) -> Vec<Kept> {
        let until = Instant::now() + BATCH_WAIT;
        let mut batch = vec![first];
        while batch.len() < BATCH_CUES_MAX {
            match timeout_at(until, self.receiver.recv()).await {
                Ok(Some(kept)) => batch.push(kept),
                Ok(None) | Err(_) => break,
            }
        }
        batch
    }

    async fn write(&mut self, batch: Vec<Kept>, cancel: &CancellationToken) {
        let mut pauses = RETRY_PAUSES.iter();
        let (days, rows): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|kept| ((kept.row.stream.clone(), kept.days), kept.row)).unzip();
        loop {
            let error = match self.attempt(&days, &rows).await {
                Ok(()) => {
                    self.counts.kept.fetch_add(rows.len() as u64, Ordering::Relaxed);
                    return;
                }
                Err(error) => error,
            };
            // At shutdown there is no wait for a disk that may never recover.
            let Some(pause) = pauses.next().filter(|_| !cancel.is_cancelled()) else {
                let lost = rows.len() as u64;
                let total = self.counts.lost.fetch_add(lost, Ordering::Relaxed) + lost;
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(%error, cause, lost, total, "captions are not kept");
                return;
            };
            tokio::select! {
                () = sleep(*pause) => {}
                () = cancel.cancelled() => {}
            }
        }
    }

    async fn attempt(
        &mut self,
        days: &[(String, u32)],
        rows: &[CueRow],
    ) -> Result<(), store::Error> {
        for (stream, days) in days {
            if self.days.get(stream) != Some(days) {
                self.cues.set_retention(stream, *days).await?;
                self.days.insert(stream.clone(), *days);
            }
        }
        self.cues.insert(rows).await
    }

    async fn expire(&self) {
        match expire(&*self.cues, flow::written_at).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "captions that were kept long enough are deleted"),
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(%error, cause, "old captions are not deleted");
            }
        }
    }
}

/// Deletes expired cues. Returns their number. `cutoff` maps an age to a time in milliseconds since
/// 1970, or returns `None` if the time is unknown.
async fn expire(
    cues: &dyn CueTable,
    cutoff: impl Fn(Duration) -> Option<i64>,
) -> Result<u64, store::Error> {
    let mut total = 0;
    for (stream, days) in cues.retention().await? {
        if let Some(before_ms) = cutoff(Duration::from_hours(24 * u64::from(days))) {
            total += cues.delete(&stream, before_ms).await?;
        }
    }
    Ok(total)
}

#[cfg(test)]
mod tests;
