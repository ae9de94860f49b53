//! Progress of long operations: on a terminal one line that is overwritten, elsewhere an occasional
//! line.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often a line on a terminal is overwritten.
const TERMINAL_INTERVAL: Duration = Duration::from_millis(200);

/// How often a line is added elsewhere.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Approximate window over which the rate is measured.
const RATE_WINDOW: Duration = Duration::from_secs(10);

/// Bytes and their rate. Callers pass in the time.
#[derive(Clone, Debug)]
struct Rate {
    total: Option<u64>,
    done: u64,
    /// Start of the window: time and bytes at that time.
    since: (Instant, u64),
}

impl Rate {
    fn new(total: Option<u64>, now: Instant) -> Self {
        Self { total, done: 0, since: (now, 0) }
    }

    /// Counts existing bytes as done, without affecting the rate.
    fn already(&mut self, bytes: u64, now: Instant) {
        self.done = bytes;
        self.since = (now, bytes);
    }

    fn at(&mut self, done: u64, now: Instant) {
        if done < self.done {
            // The server made the download start again.
            self.since = (now, done);
        }
        self.done = done;
        let (begun, before) = self.since;
        let elapsed = now.saturating_duration_since(begun);
        if elapsed > RATE_WINDOW * 2 {
            // Half of the window is dropped, so that the rate follows.
            let half = before + (done - before) / 2;
            self.since = (begun + elapsed / 2, half);
        }
    }

    /// Bytes per second.
    fn rate(&self, now: Instant) -> Option<f64> {
        let elapsed = now.saturating_duration_since(self.since.0).as_secs_f64();
        let moved = self.done.saturating_sub(self.since.1);
        (elapsed >= 0.2 && moved > 0).then(|| moved as f64 / elapsed)
    }

    fn line(&self, now: Instant) -> String {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let mut line = format!("{:.1}", mib(self.done));
        if let Some(total) = self.total {
            let percent = self.done.saturating_mul(100).checked_div(total).unwrap_or(100);
            line += &format!(" of {:.1} MiB, {percent} %", mib(total));
        } else {
            line += " MiB";
        }
        if let Some(rate) = self.rate(now) {
            line += &format!(", {:.1} MiB/s", rate / f64::from(1 << 20));
            if let Some(rest) = self.total.and_then(|total| total.checked_sub(self.done)) {
                line += &format!(", {} left", duration((rest as f64 / rate).ceil() as u64));
            }
        }
        line
    }
}

/// Formats seconds as `1:02:03` or `2:03`.
fn duration(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// Shows a [`Rate`] on standard error.
pub(super) struct Meter {
    what: String,
    rate: Rate,
    terminal: bool,
    /// When a line was last shown or skipped.
    shown: Instant,
    ended: bool,
}

impl Meter {
    /// Starts; shows nothing yet.
    pub(super) fn start(what: &str, total: Option<u64>) -> Self {
        Self {
            what: what.to_owned(),
            rate: Rate::new(total, Instant::now()),
            terminal: std::io::stderr().is_terminal(),
            shown: Instant::now(),
            ended: false,
        }
    }

    /// Sets the number of bytes that existed before.
    pub(super) fn already(&mut self, bytes: u64) {
        self.rate.already(bytes, Instant::now());
        if bytes > 0 {
            eprintln!("{}: goes on after {:.1} MiB", self.what, bytes as f64 / f64::from(1 << 20));
        }
    }

    /// Adds bytes.
    pub(super) fn add(&mut self, bytes: u64) {
        self.at(self.rate.done + bytes);
    }

    /// Sets the total of bytes done.
    pub(super) fn at(&mut self, done: u64) {
        let now = Instant::now();
        self.rate.at(done, now);
        let period = if self.terminal { TERMINAL_INTERVAL } else { LOG_INTERVAL };
        self.ended = false;
        if now.saturating_duration_since(self.shown) >= period {
            self.show(now);
        }
    }

    fn show(&mut self, now: Instant) {
        let line = format!("{}: {}", self.what, self.rate.line(now));
        if self.terminal {
            // Carriage return; `ESC[K` clears the rest of a longer line.
            eprint!("\r{line}\x1b[K");
            // An error of the progress display must not fail the operation.
            let _ = std::io::stderr().flush();
        } else {
            eprintln!("{line}");
        }
        self.shown = now;
    }

    /// Shows the final progress, if there was any.
    pub(super) fn end(&mut self) {
        if self.rate.done > 0 && !self.ended {
            self.show(Instant::now());
            if self.terminal {
                eprintln!();
            }
            self.ended = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_rate_and_what_is_left() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut rate = Rate::new(Some(100 << 20), start);
        assert_eq!(rate.line(start), "0.0 of 100.0 MiB, 0 %");
        rate.at(10 << 20, at(1));
        assert_eq!(rate.line(at(1)), "10.0 of 100.0 MiB, 10 %, 10.0 MiB/s, 0:09 left");
        rate.at(100 << 20, at(10));
        assert_eq!(rate.line(at(10)), "100.0 of 100.0 MiB, 100 %, 10.0 MiB/s, 0:00 left");
    }

    #[test]
    fn what_was_there_is_not_quick() {
        let start = Instant::now();
        let mut rate = Rate::new(Some(100 << 20), start);
        rate.already(50 << 20, start);
        rate.at(51 << 20, start + Duration::from_secs(1));
        let line = rate.line(start + Duration::from_secs(1));
        assert_eq!(line, "51.0 of 100.0 MiB, 51 %, 1.0 MiB/s, 0:49 left");
    }

    #[test]
    fn the_rate_follows_a_line_that_slows_down() {
        let start = Instant::now();
        let mut rate = Rate::new(None, start);
        let mut done = 0;
        for second in 1..=300 {
            done += if second <= 100 { 10 << 20 } else { 1 << 20 };
            rate.at(done, start + Duration::from_secs(second));
        }
        let now = rate.rate(start + Duration::from_secs(300)).expect("moves") / f64::from(1 << 20);
        assert!((0.9..1.5).contains(&now), "{now}");
    }

    #[test]
    fn beginning_again_and_empty_files_are_no_trouble() {
        let start = Instant::now();
        let mut rate = Rate::new(Some(0), start);
        assert_eq!(rate.line(start), "0.0 of 0.0 MiB, 100 %");
        rate.at(5, start + Duration::from_secs(1));
        rate.at(1, start + Duration::from_secs(2));
        assert!(!rate.line(start + Duration::from_secs(3)).is_empty());
        assert_eq!((duration(59), duration(3723)), ("0:59".into(), "1:02:03".into()));
    }
}
