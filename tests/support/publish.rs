//! Publishers and players by FFmpeg.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use super::media::{Coding, media};

/// An FFmpeg that sends or receives; it is killed when dropped.
pub(crate) struct Ffmpeg {
    child: Child,
}

impl Ffmpeg {
    /// Sends a file in real time, looped and without re-encoding, in the format of the protocol.
    pub(crate) fn send(coding: Coding, url: &str) -> Self {
        let file = media(coding);
        Self::send_file(&file, url)
    }

    /// The same with any file.
    pub(crate) fn send_file(file: &Path, url: &str) -> Self {
        let format = if url.starts_with("rtmp") { "flv" } else { "mpegts" };
        let mut command = ffmpeg();
        command.args(["-re", "-stream_loop", "-1", "-i"]).arg(file);
        command.args(["-c", "copy", "-f", format, url]);
        Self::start(command)
    }

    /// Receives `seconds` of the stream at `url` into a file, without re-encoding. Await with
    /// [`Self::end`].
    pub(crate) fn receive(url: &str, seconds: u32, into: &Path) -> Self {
        let mut command = ffmpeg();
        command.args(["-i", url, "-t", &seconds.to_string(), "-c", "copy", "-y"]).arg(into);
        Self::start(command)
    }

    /// Any other command line.
    pub(crate) fn with(arguments: &str) -> Self {
        let mut command = ffmpeg();
        command.args(arguments.split_whitespace());
        Self::start(command)
    }

    fn start(mut command: Command) -> Self {
        let child = command.spawn().expect("ffmpeg is installed: run `make setup` first");
        Self { child }
    }

    /// Kills it without warning, like a crash or a pulled cable.
    pub(crate) async fn kill(mut self) {
        let _ = self.child.kill().await;
    }

    /// Waits for its end; true if it succeeded, `None` if it did not end within `max`.
    pub(crate) async fn end(&mut self, max: Duration) -> Option<bool> {
        let status = tokio::time::timeout(max, self.child.wait()).await.ok()?;
        Some(status.is_ok_and(|s| s.success()))
    }

    /// Its process id, for figures.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap_or(0)
    }
}

fn ffmpeg() -> Command {
    let mut command = Command::new("ffmpeg");
    // FFmpeg's complaints appear in the test's output only on request.
    let level = std::env::var("FFMPEG_LOG").unwrap_or_else(|_| "quiet".into());
    command.args(["-nostdin", "-hide_banner", "-v", &level]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    command
}
