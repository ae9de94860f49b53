//! Trunk: a stream sent to another appliance, or to any WHIP server (RFC 9725).
//!
//! One pipeline per trunk: `appsrc ! payloader ! webrtcbin` for each kind of media, with our offer
//! and the other end's answer. Whatever ends it is tried again from the start.

mod offer;
mod settings;
mod signal;

use std::time::Duration;

use gst::prelude::*;
use tokio::time::{MissedTickBehavior, interval};

use super::whep;
use crate::flow::{Blame, Error, Feed, Inputs, Join, Task};
use crate::media::{Accept, Accepts, Captions, Codec, H264Profile, Kind};
use crate::webrtc::{Config, Peer, Track, sdp, stats};
use signal::{Endpoint, Session};

pub use settings::{Settings, Share, Video};

/// An end from which nothing has come for so long is gone: it reports on what it gets every few
/// seconds.
const SILENCE_MAX: Duration = Duration::from_secs(12);

/// How often figures are renewed.
const TICK: Duration = Duration::from_secs(1);

/// Saying goodbye to the other end's receivers may hold up the end of a trunk for so long.
const GOODBYE_MAX: Duration = Duration::from_millis(300);

/// Label of the data channel.
pub const LABEL: &str = "trunk";

/// What a trunk takes of its stream.
pub fn accepts(settings: &Settings) -> Accepts {
    use H264Profile::{Baseline, ConstrainedBaseline, High, Main};
    let pass = || Accept {
        codecs: sdp::VIDEO_CODECS.into_iter().filter(|c| whep::can_send(*c)).collect(),
        reorders: false,
        h264_profiles: vec![ConstrainedBaseline, Baseline, Main, High],
    };
    let video = match settings.video {
        Video::Off => None,
        Video::Pass | Video::Encode(_) => Some(pass()),
    };
    let captions = Captions { text: true, embedded: false };
    Accepts::media(video, Some(Accept::any_of([Codec::Opus]))).with_captions(captions)
}

/// Sends the inputs to the endpoint until the task is cancelled.
///
/// # Errors
/// When the endpoint is not there, refuses or goes; the supervisor then tries again.
pub async fn run(
    task: Task,
    inputs: Inputs,
    settings: Settings,
    config: Config,
) -> Result<(), Error> {
    let endpoint = Endpoint::new(&settings)?;
    task.status.set("target", endpoint.server());
    let sources = sources(&inputs).await?;
    let mut peer = Peer::new(&task.name, &config)?;
    let medias = sources.iter().map(|s| s.media.clone()).collect();
    let result = tokio::select! {
        () = task.cancel.cancelled() => Ok(()),
        result = connect(&mut peer, &endpoint, medias, &config) => match result {
            Ok((session, tracks)) => {
                let result = send(&task, &peer, &session, sources, tracks).await;
                session.leave().await;
                result
            }
            Err(error) => Err(error),
        },
    };
    let stopped = peer.node().stop().await;
    result.and(stopped)
}

/// One track of the stream and what is offered for it.
struct Source {
    kind: Kind,
    feed: Feed,
    media: sdp::Media,
}

async fn sources(inputs: &Inputs) -> Result<Vec<Source>, Error> {
    let mut sources = Vec::new();
    // Sound first: it carries the transport of all, and there is hardly a stream without.
    for (kind, feed) in [(Kind::Audio, &inputs.audio), (Kind::Video, &inputs.video)] {
        let Some(feed) = feed.clone() else { continue };
        let format = whep::known_format(&feed).await?;
        let payload = offer::payload(&format)
            .ok_or_else(|| Error::build("the offer", format!("{format} has no payload")))?;
        let media = offer::section(kind, vec![payload]);
        sources.push(Source { kind, feed, media });
    }
    if sources.is_empty() {
        let hint = "publish sound or pictures to the stream";
        return Err(Error::refused(Blame::Input, "there is nothing to send", hint));
    }
    Ok(sources)
}

async fn connect(
    peer: &mut Peer,
    endpoint: &Endpoint,
    medias: Vec<sdp::Media>,
    config: &Config,
) -> Result<(Session, Vec<(sdp::Agreed, Track)>), Error> {
    let call = peer.call(medias, LABEL, config).await?;
    let session = endpoint.offer(&call.offer).await?;
    let agreed = peer.answered(call, &session.answer).await;
    match agreed {
        Ok((tracks, _channel)) => Ok((session, tracks)),
        Err(error) => {
            session.leave().await;
            Err(error)
        }
    }
}

async fn send(
    task: &Task,
    peer: &Peer,
    session: &Session,
    sources: Vec<Source>,
    tracks: Vec<(sdp::Agreed, Track)>,
) -> Result<(), Error> {
    let _ = session;
    for (agreed, track) in &tracks {
        add_track(peer, agreed, track)?;
    }
    let result = tokio::select! {
        () = task.cancel.cancelled() => Ok(()),
        result = peer.node().run(&task.cancel) => result,
        result = follow(task, peer, &sources, &tracks) => result,
    };
    if task.cancel.is_cancelled() {
        peer.node().finish(GOODBYE_MAX).await;
    }
    result
}

async fn follow(
    task: &Task,
    peer: &Peer,
    sources: &[Source],
    tracks: &[(sdp::Agreed, Track)],
) -> Result<(), Error> {
    peer.connected().await?;
    for source in sources.iter().filter(|s| tracks.iter().any(|(a, _)| a.kind == s.kind)) {
        peer.node().input(source.kind.as_str(), &source.feed, Join::Live)?;
    }
    task.status.set_running();
    let gone = peer.gone_after(SILENCE_MAX);
    tokio::pin!(gone);
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            why = &mut gone => {
                let message = format!("the other end is gone: {why}");
                return Err(Error::refused(Blame::Destination, message, "it is called again"));
            }
            _ = ticks.tick() => {
                if let Some(found) = peer.stats().await {
                    tracing::debug!(%found, "stats");
                    let reception = stats::Reception::read(&found);
                    if let Some(rtt) = reception.round_trip {
                        task.status.set("rtt_ms", rtt.as_secs_f64() * 1000.0);
                    }
                }
            }
        }
    }
}

fn add_track(peer: &Peer, agreed: &sdp::Agreed, track: &Track) -> Result<(), Error> {
    let what = format!("the {} branch", agreed.kind);
    let failed = |e: gst::glib::BoolError| Error::build(&what, e);
    let codec = agreed.payload.codec();
    let description = codec
        .and_then(whep::payloader)
        .ok_or_else(|| Error::build(&what, format!("{} has no payloader", agreed.payload.name)))?;
    let payloader = crate::webrtc::element(description)?;
    payloader.set_property("pt", u32::from(agreed.payload.pt));
    payloader.set_property("mtu", 1200u32);
    // The elements do not agree on the type of this property.
    payloader.set_property_from_str("ssrc", &track.ssrc.to_string());
    let source = gst_app::AppSrc::builder().name(agreed.kind.as_str());
    let source = source.is_live(true).format(gst::Format::Time).build();
    let pipeline = peer.node().pipeline();
    pipeline.add(&source).map_err(failed)?;
    pipeline.add(&payloader).map_err(failed)?;
    source.link(&payloader).map_err(failed)?;
    let exit = payloader.static_pad("src").ok_or_else(|| Error::build(&what, "no pad"))?;
    whep::configure_latency_when_linked(pipeline, &exit);
    exit.link(&track.pad).map_err(|e| Error::build(&what, e))?;
    payloader.sync_state_with_parent().map_err(failed)?;
    source.sync_state_with_parent().map_err(failed)
}
