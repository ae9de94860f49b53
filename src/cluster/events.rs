//! Server-sent events of an origin (HTML standard, section 9.2), in bounded memory.

use std::time::Duration;

use reqwest::Response;

/// An origin sends at least a comment every 15 s.
const SILENCE_MAX: Duration = Duration::from_secs(40);

/// Longest line, in bytes: a cue with its words takes up to 4 KiB.
const LINE_BYTES_MAX: usize = 16 << 10;

/// Events that an origin sends until either end hangs up.
pub struct Events {
    response: Response,
    lines: Lines,
}

impl Events {
    pub(super) fn new(response: Response) -> Self {
        Self { response, lines: Lines::default() }
    }

    /// The data of the next event. `None` at the end, also when the origin falls silent or sends
    /// lines that are too long.
    pub async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(line) = self.lines.take() {
                if let Some(data) = line.strip_prefix("data:") {
                    return Some(data.trim_start().to_owned());
                }
                continue;
            }
            let chunk = tokio::time::timeout(SILENCE_MAX, self.response.chunk()).await;
            let fits = self.lines.add(&chunk.ok()?.ok()??);
            if !fits {
                return None;
            }
        }
    }
}

/// Bytes that become lines.
#[derive(Default)]
struct Lines(Vec<u8>);

impl Lines {
    /// Adds bytes. False if a line becomes too long.
    fn add(&mut self, bytes: &[u8]) -> bool {
        self.0.extend_from_slice(bytes);
        let last = self.0.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        last.len() <= LINE_BYTES_MAX
    }

    /// The next complete line, without its end.
    fn take(&mut self) -> Option<String> {
        let end = self.0.iter().position(|byte| *byte == b'\n')?;
        let line: Vec<u8> = self.0.drain(..=end).collect();
        Some(String::from_utf8_lossy(&line).trim_end().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_however_they_are_cut_and_endless_ones_end() {
        let mut lines = Lines::default();
        assert!(lines.add(b"data: a") && lines.take().is_none());
        assert!(lines.add(b"b\r\n\ndata: c\nda"));
        let taken: Vec<String> = std::iter::from_fn(|| lines.take()).collect();
        assert_eq!(taken, ["data: ab", "", "data: c"]);
        assert!(lines.add(&[b'x'; LINE_BYTES_MAX - 2]) && !lines.add(b"y"));
    }
}
