//! Where a publisher puts its media into a stream.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{CueBoard, Status, Tracks};
use crate::media::{Pace, StreamName};

/// Longest time for what a publisher that has left has sent to come out of its pipelines.
pub const DRAIN_MAX: Duration = Duration::from_secs(1);

/// A publisher's place in a stream. Whoever holds it may write; dropping it says that the
/// publisher is gone.
pub struct Intake {
    /// The stream that is published.
    pub stream: StreamName,
    /// Where its tracks go, and what the API shows of it.
    pub tracks: Tracks,
    /// Where it puts up captions that it brings along. They are the stream's own while it is on air
    /// and the stream makes none itself.
    pub captions: CueBoard,
    /// The stream wants this publisher gone: it was replaced, removed or stopped.
    pub cancel: CancellationToken,
    /// Runs when the intake is dropped.
    pub on_drop: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl Drop for Intake {
    fn drop(&mut self) {
        if let Some(tell) = self.on_drop.take() {
            tell();
        }
    }
}

/// What is known of a publisher, filled in by its protocol while it runs.
#[derive(Debug, Default)]
pub struct SourceReport {
    /// `srt`, `rtmp`, `whip`, `rtsp`, `file`, `test` …
    pub protocol: &'static str,
    /// Address of the other end, or the URL without its secrets.
    pub peer: String,
    /// Bytes received.
    pub bytes: AtomicU64,
    /// Packets lost and not recovered.
    pub lost: AtomicU64,
    /// Round-trip time in microseconds; 0 when the protocol has none.
    pub rtt_us: AtomicU64,
    /// Its own figures, for the API.
    pub status: Status,
    /// The publisher leaves out pictures for now and has said so.
    no_pictures: AtomicBool,
    /// The connection is over; what is written from now on was left in a demuxer.
    ended: AtomicBool,
    /// Whether it sends at the pace at which its media plays.
    pace: Mutex<Pace>,
    /// Words for people: what is odd about this publisher, such as a track that is ignored.
    notes: Mutex<Vec<String>>,
}

/// A publisher gets this many notes; more would be a way to fill memory.
const NOTES_MAX: usize = 16;

impl SourceReport {
    /// A report for a publisher of this protocol at this address.
    pub fn new(protocol: &'static str, peer: impl Into<String>) -> Self {
        Self { protocol, peer: peer.into(), ..Self::default() }
    }

    /// Adds received bytes.
    pub fn add_bytes(&self, count: usize) {
        self.bytes.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Says that the connection is over: media that still comes is no sign of life.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Says that the publisher leaves out pictures, or sends them again: that none come is no sign
    /// that it is frozen.
    pub fn set_no_pictures(&self, left_out: bool) {
        self.no_pictures.store(left_out, Ordering::Relaxed);
    }

    /// Whether the publisher leaves out pictures for now.
    pub fn has_no_pictures(&self) -> bool {
        self.no_pictures.load(Ordering::Relaxed)
    }

    /// Whether the connection is over.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Follows the media time of what comes, in milliseconds; a publisher that sends faster than its
    /// media plays gets a note. `now` is by any clock that never goes back.
    pub fn follow_pace(&self, media_ms: i64, now: Duration) {
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(words) = pace.follow(media_ms, now) {
            self.note(words);
        }
    }

    /// Whether it has sent faster than its media plays, in words; to be asked when it has left.
    pub fn too_fast(&self) -> Option<String> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner).at_end()
    }

    /// Says something odd about the publisher, once.
    pub fn note(&self, text: impl Into<String>) {
        let text = text.into();
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.len() < NOTES_MAX && !notes.contains(&text) {
            notes.push(text);
        }
    }

    /// All notes.
    pub fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
