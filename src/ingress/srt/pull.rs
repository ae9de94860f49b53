//! SRT caller: pulls a stream from a remote listener.

use serde::{Deserialize, Serialize};

use crate::flow::{self, Blame};
use crate::ingress::source::{PulledSource, SourceContext};
use crate::media::{
    InvalidSetting, Protocol, Secret, passphrase_length_problem, url_problem, url_without_secrets,
};
use crate::mpegts::Limits;
use crate::srt::{self, Target, TargetError};

/// A listener elsewhere, whose stream is received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SrtSource {
    /// `srt://host:port`, with `?streamid=…` if the remote end requires one.
    #[schema(example = "srt://host:port?streamid=…")]
    url: String,
    /// Passphrase of 10-79 characters if the remote end encrypts. Overrides one in the URL.
    #[serde(default)]
    passphrase: Option<String>,
}

impl PulledSource for SrtSource {
    const PROTOCOL: Protocol = Protocol::Srt;

    fn shown(&self) -> String {
        url_without_secrets(&self.url)
    }

    fn check(&self) -> Result<(), InvalidSetting> {
        InvalidSetting::check("url", url_problem(&self.url, &["srt"]))?;
        let problem = self.passphrase.as_deref().and_then(passphrase_length_problem);
        InvalidSetting::check("passphrase", problem)
    }

    /// Fails with blame on the input if the listener is unreachable, refuses, closes, or sends
    /// nothing usable.
    async fn run(self, context: SourceContext) -> Result<(), flow::Error> {
        let intake = context.intake;
        let refused = |e: TargetError| {
            flow::Error::refused(Blame::Us, e.to_string(), "correct the address of the source")
        };
        let mut target: Target = self.url.parse().map_err(refused)?;
        if let Some(passphrase) = self.passphrase {
            target.set_passphrase(Secret::new(passphrase)).map_err(refused)?;
        }
        let socket = tokio::select! {
            socket = target.connect(Blame::Input) => socket?,
            () = intake.cancel.cancelled() => return Ok(()),
        };
        tracing::info!(stream = %intake.stream, %target, "SRT source connected");
        srt::receive("srt-pull", socket, &intake.tracks, Limits::default(), &intake.cancel).await
    }
}
