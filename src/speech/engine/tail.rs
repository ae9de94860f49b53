//! What a child writes to standard error.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::media::IgnorePoison;

/// Longest line that is kept, in characters.
const LINE_CHARS_MAX: usize = 300;

/// Lines of one child that reach our log within [`LINES_WINDOW`]; further ones are only counted.
const LINES_MAX: u32 = 20;

/// The period of [`LINES_MAX`].
const LINES_WINDOW: Duration = Duration::from_secs(10);

/// Keeps the last line for error messages and passes lines to the log at a bounded rate.
#[derive(Clone, Debug, Default)]
pub struct Tail(Arc<Mutex<String>>);

impl Tail {
    /// The last line that is not empty.
    pub fn last(&self) -> String {
        self.0.lock().ignore_poison().clone()
    }

    /// Reads until the pipe ends.
    pub fn follow(&self, engine: &str, from: impl Read) {
        let mut reader = BufReader::new(from);
        let (mut since, mut lines, mut held) = (Instant::now(), 0, 0);
        let mut line = Vec::new();
        loop {
            line.clear();
            match reader.by_ref().take(64 << 10).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
            let text: String =
                String::from_utf8_lossy(&line).trim().chars().take(LINE_CHARS_MAX).collect();
            if text.is_empty() {
                continue;
            }
            if since.elapsed() > LINES_WINDOW {
                if held > 0 {
                    tracing::info!(engine, lines = held, "lines of an engine's log were left out");
                }
                (since, lines, held) = (Instant::now(), 0, 0);
            }
            if lines < LINES_MAX {
                lines += 1;
                tracing::debug!(engine, "{text}");
            } else {
                held += 1;
            }
            *self.0.lock().ignore_poison() = text;
        }
    }
}
