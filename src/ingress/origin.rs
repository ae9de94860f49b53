//! The stream of the same name of another appliance of the cluster, pulled by SRT.
//!
//! SRT sends what is lost again, takes what its origin sends unchanged in most codecs, and has one
//! port. Captions come beside it, in the messages of a trunk. The address comes from the configuration
//! of this appliance, the port and the token from the origin.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use super::received_captions::ReceivedCaptions;
use super::source::{PulledSource, SourceContext};
use crate::cluster::{Found, Lookup, Origins};
use crate::flow::{self, Blame, Intake};
use crate::media::{Protocol, StreamName};
use crate::mpegts::Limits;
use crate::srt::{self, Target, TargetError};
use crate::webrtc::trunk::Message;

/// Pause between two lookups, and after a call that failed. Viewers on the slate wait for it.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// An origin that sends nothing for this long is gone. Shorter than libsrt's own limit of 5 s, so that
/// its stream is back within 5 s; a publisher that stalls makes its origin send nothing either, and
/// calling it once more costs nothing.
const SILENCE_MAX: Duration = Duration::from_secs(4);

/// Unreserved characters (RFC 3986, section 2.3) stay as they are.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The stream of the same name, from the origin that has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OriginSource {}

impl PulledSource for OriginSource {
    const PROTOCOL: Protocol = Protocol::Srt;

    fn shown(&self) -> String {
        "an origin of the cluster".into()
    }

    /// Waits for an origin that has the stream on air, and receives it.
    ///
    /// # Errors
    /// With blame on the input: the origin has left, or sends nothing usable.
    async fn run(self, context: SourceContext) -> Result<(), flow::Error> {
        let SourceContext { intake, origins, .. } = context;
        let (socket, found) = tokio::select! {
            called = call(&origins, &intake) => called,
            () = intake.cancel.cancelled() => return Ok(()),
        };
        let limits = Limits { silence: SILENCE_MAX, ..Limits::default() };
        let ended = tokio::select! {
            ended = srt::receive("origin-pull", socket, &intake.tracks, limits, &intake.cancel) => ended,
            never = follow_captions(&origins, &found, &intake) => match never {},
            () = origins.overtaken(&intake.stream, &found) => {
                tracing::info!(stream = %intake.stream, origin = found.origin, "it has another origin now");
                return Ok(());
            }
        };
        origins.forget(&intake.stream);
        ended
    }
}

/// Connects to the origin that has the stream, as soon as there is one.
async fn call(origins: &Origins, intake: &Intake) -> (Arc<srt::Socket>, Arc<Found>) {
    let (stream, report) = (&intake.stream, &intake.tracks.report);
    loop {
        if let Lookup::Found(found) = origins.lookup(stream).await
            && found.access.live
        {
            report.status.set("origin", found.origin.clone());
            let connected = match target(stream, &found) {
                Ok(target) => target.connect(Blame::Input).await.map_err(|e| e.to_string()),
                Err(problem) => Err(problem),
            };
            match connected {
                Ok(socket) => {
                    tracing::info!(%stream, origin = found.origin, "pulled from its origin");
                    return (socket, found);
                }
                Err(error) => {
                    tracing::warn!(%stream, origin = found.origin, error, "an origin cannot be pulled");
                    report.note(format!("{}: {error}", found.origin));
                    origins.forget(stream);
                }
            }
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

/// Takes the captions of the stream from its origin, as those of a trunk: cues with their words, in every
/// language. Media does not wait for them.
async fn follow_captions(origins: &Origins, found: &Found, intake: &Intake) -> Infallible {
    let stream = &intake.stream;
    loop {
        match origins.captions(found, stream).await {
            Ok(mut events) => {
                let mut received = ReceivedCaptions::new(&intake.captions);
                while let Some(text) = events.next().await {
                    match Message::read(&text) {
                        Ok(Message::Languages { tags }) => received.put_up(&tags),
                        Ok(Message::Cue(cue)) => received.publish(cue),
                        Ok(_) => {}
                        Err(error) => {
                            tracing::debug!(%stream, error, "a caption is not understood")
                        }
                    }
                }
            }
            Err(error) => tracing::debug!(%stream, error, "no captions from the origin"),
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

/// The SRT listener of an origin, and what it asks for.
fn target(stream: &StreamName, found: &Found) -> Result<Target, String> {
    let access = &found.access;
    let port = access.srt_port.ok_or("it does not offer this stream by SRT")?;
    let encode = |text: &str| utf8_percent_encode(text, ENCODED).to_string();
    let token = access.play_token.as_deref().filter(|_| !access.open_play);
    // Encoded twice: in the streamid, which is what the gate decodes, and in the address.
    let token = token.map_or_else(String::new, |token| format!(":{}", encode(token)));
    let stream_id = encode(&format!("request:{stream}{token}"));
    let passphrase = access.srt_passphrase.as_deref();
    let passphrase = passphrase.map_or_else(String::new, |p| format!("&passphrase={}", encode(p)));
    let url = format!("srt://{}:{port}?streamid={stream_id}{passphrase}", found.host);
    url.parse().map_err(|e: TargetError| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::StreamAccess;

    fn found(host: &str, srt_port: Option<u16>) -> Found {
        let access = StreamAccess {
            live: true,
            live_ms: Some(1),
            open_play: false,
            play_token: Some("a/b c&d:e".into()),
            srt_passphrase: Some("correct & horse".into()),
            srt_port,
        };
        Found { origin: format!("http://{host}:8080"), host: host.into(), access }
    }

    #[test]
    fn only_the_port_comes_from_the_origin_and_secrets_are_not_shown() {
        let stream = "studio-1".parse().expect("a name");
        let target = |found: &Found| target(&stream, found).map(|target| format!("{target:?}"));
        assert_eq!(target(&found("origin-a", Some(8890))), Ok("srt://origin-a:8890".into()));
        assert_eq!(target(&found("[::1]", Some(1))), Ok("srt://[::1]:1".into()));
        let off = target(&found("origin-a", None)).expect_err("SRT is off");
        assert!(off.contains("does not offer"), "{off}");
    }

    #[test]
    fn nobody_makes_this_source_by_the_api() {
        let read = serde_json::from_str::<crate::ingress::SourceSpec>(r#"{"type":"origin"}"#);
        assert!(read.is_err());
        let spec = crate::ingress::SourceSpec::Origin(OriginSource::default());
        let written = serde_json::to_string(&spec).expect("the API shows it");
        assert_eq!(written, r#"{"type":"origin"}"#);
    }
}
