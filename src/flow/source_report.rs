//! Figures and notes of a publisher.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::Status;
use crate::media::{IgnorePoison, Pace, Protocol};

/// Figures of a publisher, filled in by its protocol while it runs.
#[derive(Debug)]
pub struct SourceReport {
    /// How it is connected.
    pub protocol: Protocol,
    /// Address of the other end, or the URL without its secrets.
    pub peer: String,
    /// Bytes received.
    pub bytes: AtomicU64,
    /// Packets lost and not recovered.
    pub lost: AtomicU64,
    /// Round-trip time in microseconds; 0 when the protocol has none.
    pub rtt_us: AtomicU64,
    /// Figures specific to the protocol, for the API.
    pub status: Status,
    /// The publisher leaves out video for now and has announced it.
    no_video: AtomicBool,
    /// The connection has ended; later writes are leftovers in a demuxer.
    ended: AtomicBool,
    /// Checks whether the publisher sends at the pace at which its media plays.
    pace: Mutex<Pace>,
    /// Notes for the admin: what is odd about this publisher, such as an ignored track.
    notes: Mutex<Vec<String>>,
}

/// Most notes of a publisher; without a limit they could fill memory.
const NOTES_MAX: usize = 16;

impl SourceReport {
    /// A report for a publisher of this protocol at this address.
    pub fn new(protocol: Protocol, peer: impl Into<String>) -> Self {
        Self {
            protocol,
            peer: peer.into(),
            bytes: AtomicU64::default(),
            lost: AtomicU64::default(),
            rtt_us: AtomicU64::default(),
            status: Status::default(),
            no_video: AtomicBool::default(),
            ended: AtomicBool::default(),
            pace: Mutex::default(),
            notes: Mutex::default(),
        }
    }

    /// Adds received bytes.
    pub fn add_bytes(&self, count: usize) {
        self.bytes.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Marks the connection as ended: media that still arrives is no sign of life.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Records whether the publisher leaves out video: its absence then does not mean a freeze.
    pub fn set_no_video(&self, left_out: bool) {
        self.no_video.store(left_out, Ordering::Relaxed);
    }

    /// Whether the publisher leaves out video for now.
    pub fn has_no_video(&self) -> bool {
        self.no_video.load(Ordering::Relaxed)
    }

    /// Whether the connection has ended.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Follows the media time of arriving data, in milliseconds; a publisher that sends faster than
    /// its media plays gets a note. `now` is the time of any monotonic clock.
    pub fn follow_pace(&self, media_ms: i64, now: Duration) {
        let mut pace = self.pace.lock().ignore_poison();
        if let Some(words) = pace.follow(media_ms, now) {
            self.note(words);
        }
    }

    /// A text if it has sent faster than its media plays; to be called when it has left.
    pub fn too_fast(&self) -> Option<String> {
        self.pace.lock().ignore_poison().at_end()
    }

    /// Adds a note about the publisher; repeats are ignored.
    pub fn note(&self, text: impl Into<String>) {
        let text = text.into();
        let mut notes = self.notes.lock().ignore_poison();
        if notes.len() < NOTES_MAX && !notes.contains(&text) {
            notes.push(text);
        }
    }

    /// All notes.
    pub fn notes(&self) -> Vec<String> {
        self.notes.lock().ignore_poison().clone()
    }
}
