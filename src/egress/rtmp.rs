//! RTMP and RTMPS output: pushes H.264 and AAC to a server, such as a platform's ingest.
//!
//! The stream key in the URL is secret: no log, fact or error of this node contains it. The text
//! after `?` belongs to the key, including slashes. `rtmp2sink` would split the URL at the very
//! last slash, so application and key are set separately.

use std::time::Duration;

use gst::prelude::*;
use percent_encoding::percent_decode_str;
use tokio::time::{Instant, MissedTickBehavior, interval};
use url::Url;

use crate::flow::{Blame, Error, Framing, Inputs, Join, Node, NodeEvent, Task};
use crate::media::{Accept, Accepts, Captions, Codec};

/// A target that accepts no data for this long, although some is pending, is gone.
const STALL_MAX: Duration = Duration::from_secs(10);

/// How often figures are updated and the target is checked.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// Time limit for sending pending data and the end of the stream.
const FINISH_MAX: Duration = Duration::from_secs(1);

/// More bytes than the handshake: media is flowing.
const GREETING_BYTES: u64 = 8 << 10;

/// The media that an RTMP target accepts.
pub fn accepts() -> Accepts {
    let (video, audio) = (Accept::any_of([Codec::H264]), Accept::any_of([Codec::Aac]));
    let captions = Captions { text: false, embedded: true };
    Accepts::media(Some(video), Some(audio)).with_captions(captions)
}

/// Pushes to `url`, `rtmp[s]://host[:port]/app/key`, until the task is cancelled.
///
/// # Errors
/// Blames the destination if it refuses, disconnects, or accepts nothing for ten seconds; the
/// supervisor then retries. [`Error::Refused`] for a URL that cannot work.
pub async fn run(task: Task, inputs: Inputs, url: String) -> Result<(), Error> {
    push(task, inputs, url, true).await
}

/// Like [`run`]; without `verify` any certificate is accepted.
async fn push(task: Task, inputs: Inputs, url: String, verify: bool) -> Result<(), Error> {
    let target = Target::parse(&url)?;
    task.status.set("target", target.shown.clone());
    let node = build(&task, &inputs, &target, verify)?;
    let result = match node.start().await {
        Ok(()) => follow(&task, &node, &target).await,
        Err(error) => Err(error),
    };
    if result.is_ok() {
        node.finish(FINISH_MAX).await;
    }
    let stopped = node.stop().await;
    result.and(stopped).map_err(|error| target.redact(error))
}

/// `appsrc ! parser` for each kind of media, then `flvmux ! rtmp2sink`.
fn build(task: &Task, inputs: &Inputs, target: &Target, verify: bool) -> Result<Node, Error> {
    let mut description = String::from(
        "flvmux name=mux streamable=true latency=1000000000 \
         ! rtmp2sink name=sink sync=false async=false chunk-size=4096",
    );
    for (input, codec) in [(&inputs.video, Codec::H264), (&inputs.audio, Codec::Aac)] {
        if let (Some(_), Some(parser)) = (input, Framing::Flv.parser(codec)) {
            let kind = codec.kind();
            description += &format!(" appsrc name={kind} ! {parser} ! mux.{kind}");
        }
    }
    let node = Node::parse(&task.name, &description)?;
    let sink = node.element("sink")?;
    target.apply(&sink);
    if !verify {
        sink.set_property_from_str("tls-validation-flags", "no-flags");
    }
    node.input_backlog(inputs.video.as_ref(), inputs.audio.as_ref(), Join::Backlog)?;
    Ok(node)
}

/// Watches the pipeline until it is cancelled or fails.
async fn follow(task: &Task, node: &Node, target: &Target) -> Result<(), Error> {
    let sink = node.element("sink")?;
    let mut progress = Progress::new(Instant::now());
    let mut ticks = interval(CHECK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = task.cancel.cancelled() => return Ok(()),
            event = node.next_event() => if let NodeEvent::Eos = event? {
                return Err(Error::Ended);
            },
            _ = ticks.tick() => {
                let sent = bytes_sent(&sink);
                let (_, offered, dropped) = node.input_totals();
                task.status.set("bytes_sent", sent);
                task.status.set("dropped", dropped);
                if sent > GREETING_BYTES {
                    task.status.set_running();
                }
                if let Some(stalled) = progress.stalled(Instant::now(), offered, sent) {
                    let message = format!("{} takes nothing for {stalled:?}", target.shown);
                    let hint = "check the network, and whether the server accepts the key";
                    return Err(Error::refused(Blame::Destination, message, hint));
                }
            }
        }
    }
}

fn bytes_sent(sink: &gst::Element) -> u64 {
    let stats = sink.property::<gst::Structure>("stats");
    stats.get::<u64>("out-bytes-total").unwrap_or(0)
}

/// Detects whether pending data is sent.
struct Progress {
    /// When data was last sent, or none was pending.
    fine_at: Instant,
    offered: u64,
    sent: u64,
}

impl Progress {
    fn new(now: Instant) -> Self {
        Self { fine_at: now, offered: 0, sent: 0 }
    }

    /// How long no data was sent, if that is at least [`STALL_MAX`]. A silent feed does not count
    /// as a stall of the target.
    fn stalled(&mut self, now: Instant, offered: u64, sent: u64) -> Option<Duration> {
        if sent > self.sent || offered == self.offered {
            self.fine_at = now;
        }
        (self.offered, self.sent) = (offered, sent);
        let stalled = now - self.fine_at;
        (stalled >= STALL_MAX).then_some(stalled)
    }
}

/// A parsed URL with its displayable form and its secrets.
struct Target {
    secure: bool,
    host: String,
    port: u16,
    user: Option<(String, String)>,
    app: String,
    /// The stream key, including the text after `?`.
    key: String,
    shown: String,
    /// Texts that must not appear in messages, longest first.
    secrets: Vec<String>,
}

impl Target {
    fn parse(text: &str) -> Result<Self, Error> {
        let refuse = |message: &str| {
            let hint = "write it as rtmp://host/app/key or rtmps://host/app/key";
            Error::refused(Blame::Us, message, hint)
        };
        let url = Url::parse(text).map_err(|e| refuse(&format!("not an RTMP address: {e}")))?;
        let secure = match url.scheme() {
            "rtmp" => false,
            "rtmps" => true,
            _ => return Err(refuse("this is not an RTMP address")),
        };
        let Some(host) = url.host_str().filter(|h| !h.is_empty()) else {
            return Err(refuse("the host is missing"));
        };
        let Some((app, key)) = app_and_key(text) else {
            return Err(refuse("the application or the stream key is missing"));
        };
        let port = url.port().map(|p| format!(":{p}")).unwrap_or_default();
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let user = Some((decode(url.username()), decode(url.password().unwrap_or_default())));
        Ok(Self {
            secure,
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port().unwrap_or(if secure { 443 } else { 1935 }),
            user: user.filter(|(name, _)| !name.is_empty()),
            app: app.to_owned(),
            key: key.to_owned(),
            shown: format!("{}://{host}{port}/{app}/***", url.scheme()),
            secrets: secrets(&url, key),
        })
    }

    /// Sets the connection properties of `rtmp2sink`.
    fn apply(&self, sink: &gst::Element) {
        sink.set_property_from_str("scheme", if self.secure { "rtmps" } else { "rtmp" });
        sink.set_property("host", &self.host);
        sink.set_property("port", i32::from(self.port));
        sink.set_property("application", &self.app);
        sink.set_property("stream", &self.key);
        if let Some((name, password)) = &self.user {
            sink.set_property("username", name);
            sink.set_property("password", password);
        }
    }

    /// The error without secrets: GStreamer includes URLs in its messages.
    fn redact(&self, error: Error) -> Error {
        let clean = |text: String| {
            self.secrets.iter().fold(text, |text, secret| text.replace(secret.as_str(), "***"))
        };
        match error {
            Error::Element { element, message, blame } => {
                Error::Element { element, message: clean(message), blame }
            }
            Error::Build { what, reason } => Error::Build { what, reason: clean(reason) },
            other => other,
        }
    }
}

/// Application and stream key of a URL, undecoded. The key begins after the last slash of the path;
/// a `?` ends the path and belongs to the key.
fn app_and_key(address: &str) -> Option<(&str, &str)> {
    let (_, rest) = address.trim().split_once("://")?;
    let (_, rest) = rest.split_once('/')?;
    let rest = rest.trim_start_matches('/');
    let path = &rest[..rest.find('?').unwrap_or(rest.len())];
    let slash = path.rfind('/')?;
    // If only one of the two is present, the other was forgotten.
    let complete = slash > 0 && slash + 1 < path.len();
    complete.then(|| (&rest[..slash], &rest[slash + 1..]))
}

/// The secrets of a URL, longest first, raw and decoded.
fn secrets(url: &Url, key: &str) -> Vec<String> {
    let name = key.split('?').next().unwrap_or_default();
    let query = url.query().unwrap_or_default();
    let values = query.split('&').filter_map(|pair| pair.split_once('=')).map(|(_, v)| v);
    let mut secrets: Vec<String> = [key, name, query, url.username()]
        .into_iter()
        .chain(url.password())
        .chain(values)
        .flat_map(|s| [s.to_owned(), percent_decode_str(s).decode_utf8_lossy().into_owned()])
        // Shorter texts are not secrets, and hiding them would garble messages.
        .filter(|s| s.len() >= 4)
        .collect();
    secrets.sort_by_key(|s| std::cmp::Reverse(s.len()));
    secrets
}

#[cfg(test)]
mod tests;
