//! Trunk: a stream sent to another appliance, or to any WHIP server (RFC 9725).
//!
//! One pipeline per trunk: `appsrc ! encoder ! payloader ! webrtcbin` for each kind of media, with
//! our offer and the other end's answer. Voice uses AIC-A if both ends have it. Bit rates follow
//! the capacity of the path. After any failure the trunk is set up again.

mod arrivals;
mod audio;
mod branch;
mod dependencies;
mod estimator;
mod exchange;
mod figures;
mod ladder;
mod links;
mod offer;
mod pace;
mod packet_counter;
mod path_monitor;
mod sender;
mod settings;
mod signal;
mod video;

use std::sync::Mutex;
use std::time::Duration;

use super::output::{OutputContext, StreamOutput};
use super::whep;
use crate::flow::{Blame, Error, Inputs, Task};
use crate::media::{
    Accept, Accepts, Captions, Codec, H264Profile, InvalidSetting, Kind, url_problem,
    url_without_secrets,
};
use crate::webrtc::{Channel, Config, Peer, Track, sdp, trunk::LABEL};
use links::{Links, Source};
use signal::{Endpoint, Session};

pub use dependencies::{EncoderFactory, Trunk};
pub use settings::{Settings, Share, Video};

/// Time limit for the RTCP BYE at the end of a trunk.
const GOODBYE_MAX: Duration = Duration::from_millis(300);

impl StreamOutput for Settings {
    fn shown(&self) -> String {
        url_without_secrets(&self.url)
    }

    fn accepts(&self) -> Accepts {
        accepts(self)
    }

    fn check(&self) -> Result<(), InvalidSetting> {
        InvalidSetting::check("url", url_problem(&self.url, &["https", "http"]))?;
        match self.problem() {
            Some((field, message)) => Err(InvalidSetting { field, message }),
            None => Ok(()),
        }
    }

    fn reads_files(&self) -> bool {
        self.ca.is_some()
    }

    async fn run(self, context: OutputContext) -> Result<(), Error> {
        let OutputContext { task, inputs, webrtc, encoders, .. } = context;
        run(task, inputs, Trunk { settings: self, config: webrtc, codecs: encoders }).await
    }
}

/// The media that a trunk accepts.
pub fn accepts(settings: &Settings) -> Accepts {
    use H264Profile::{Baseline, ConstrainedBaseline, High, Main};
    let sendable = || sdp::VIDEO_CODECS.into_iter().filter(|c| whep::can_send(*c));
    let pass = || Accept {
        reorders: false,
        recovery_points: false,
        h264_profiles: vec![ConstrainedBaseline, Baseline, Main, High],
        ..Accept::any_of(sendable().collect::<Vec<_>>())
    };
    let video = match settings.video {
        Video::Off => None,
        Video::Pass => Some(pass()),
        Video::Encode(_) => Some(Accept::any_of([Codec::RawVideo])),
    };
    // Audio is always encoded for the path: the bit rate of the stream's Opus could not be reduced.
    let audio = Accept::any_of([Codec::RawAudio]);
    let captions = Captions { text: true, embedded: false };
    Accepts::media(video, Some(audio)).with_captions(captions)
}

/// Sends the inputs to the endpoint until the task is cancelled.
///
/// # Errors
/// If the endpoint is unreachable, refuses or disconnects; the supervisor then retries.
pub async fn run(task: Task, inputs: Inputs, trunk: Trunk) -> Result<(), Error> {
    let endpoint = Endpoint::new(&trunk.settings).await?;
    task.status.set("target", endpoint.server());
    let by_aic = trunk.settings.aic.has(rand::random());
    let sources = sources(&inputs, &trunk, by_aic).await?;
    let mut peer = Peer::new(&task.name, &trunk.config)?;
    let path_monitor = path_monitor::PathMonitor::install(&peer)?;
    let medias = sources.iter().map(|s| s.media.clone()).collect();
    let result = tokio::select! {
        () = task.cancel.cancelled() => Ok(()),
        result = connect(&mut peer, &endpoint, medias, &trunk.config) => match result {
            Ok((session, tracks, channel)) => {
                let links = Links { sources, tracks, channel };
                let result = send(&task, &peer, &trunk, &inputs, links, path_monitor).await;
                session.leave().await;
                result
            }
            Err(error) => Err(error),
        },
    };
    let stopped = peer.node().stop().await;
    result.and(stopped)
}

async fn sources(inputs: &Inputs, trunk: &Trunk, by_aic: bool) -> Result<Vec<Source>, Error> {
    let mut sources = Vec::new();
    // Audio first: it carries the transport for all tracks, and almost every stream has it.
    for (kind, feed) in [(Kind::Audio, &inputs.audio), (Kind::Video, &inputs.video)] {
        let Some(feed) = feed.clone() else { continue };
        let format = whep::known_format(&feed).await?;
        let payloads = match kind {
            Kind::Audio => offer::audio_payloads(by_aic),
            Kind::Video => {
                offer::video_payloads(&format, trunk.settings.video, &trunk.codecs.available())
            }
        };
        if !payloads.is_empty() {
            let media = offer::section(kind, payloads);
            sources.push(Source { kind, feed, format, media, last: Mutex::default() });
        }
    }
    if sources.is_empty() {
        let hint = "publish sound, or pictures that WebRTC can carry, to the stream";
        return Err(Error::refused(Blame::Input, "there is nothing to send", hint));
    }
    Ok(sources)
}

async fn connect(
    peer: &mut Peer,
    endpoint: &Endpoint,
    medias: Vec<sdp::Media>,
    config: &Config,
) -> Result<(Session, Vec<(sdp::Agreed, Track)>, Option<Channel>), Error> {
    let call = peer.call(medias, LABEL, config).await?;
    let session = endpoint.offer(&call.offer).await?;
    match peer.answered(call, &session.answer).await {
        Ok((tracks, channel)) => Ok((session, tracks, channel)),
        Err(error) => {
            session.leave().await;
            Err(error)
        }
    }
}

async fn send(
    task: &Task,
    peer: &Peer,
    trunk: &Trunk,
    inputs: &Inputs,
    links: Links,
    path_monitor: path_monitor::PathMonitor,
) -> Result<(), Error> {
    let flight = sender::TrunkSender { task, peer, trunk, captions: &inputs.captions };
    let result = tokio::select! {
        () = task.cancel.cancelled() => Ok(()),
        result = flight.run(links, path_monitor) => result,
    };
    if task.cancel.is_cancelled() {
        peer.node().finish(GOODBYE_MAX).await;
    }
    result
}
