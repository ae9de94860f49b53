//! SRT caller: pulls a stream from a remote listener.

use crate::flow::{self, Blame, Intake};
use crate::media::Secret;
use crate::mpegts::Limits;
use crate::srt::{self, Target, TargetError};

/// Calls the listener at `url` (`srt://host:port?streamid=…&latency=ms`) and receives its media
/// until the intake is cancelled. `passphrase` overrides one in the URL.
///
/// # Errors
/// With blame on the input: the listener is unreachable, refuses, closes, or sends nothing usable.
pub async fn run(intake: Intake, url: &str, passphrase: Option<Secret>) -> Result<(), flow::Error> {
    let refused = |e: TargetError| {
        flow::Error::refused(Blame::Us, e.to_string(), "correct the address of the source")
    };
    let mut target: Target = url.parse().map_err(refused)?;
    if let Some(passphrase) = passphrase {
        target.set_passphrase(passphrase).map_err(refused)?;
    }
    let socket = tokio::select! {
        socket = target.connect(Blame::Input) => socket?,
        () = intake.cancel.cancelled() => return Ok(()),
    };
    tracing::info!(stream = %intake.stream, %target, "SRT source connected");
    srt::receive("srt-pull", socket, &intake.tracks, Limits::default(), &intake.cancel).await
}
