//! A viewer with a pipeline of its own: `appsrc ! payloader ! webrtcbin` for each kind of media.
//!
//! For machines that are reached by STUN and TURN only: `webrtcbin` gathers such candidates.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use gst::prelude::*;
use tokio_util::sync::CancellationToken;

use super::offer::{Agreement, captions, input};
use super::payloader::{configure_latency_when_linked, payloader};
use crate::flow::{CaptionFeeds, Error, Inputs, Join, Subscription};
use crate::media::{Codec, Kind};
use crate::webrtc::sdp::{self, Choice, Description, Direction, LocalTransport, SdpAnswer};
use crate::webrtc::{Config, Peer, opus_sequence_gaps, payload_type};

/// Time limit for the RTCP BYE at the end of a session.
const GOODBYE_MAX: Duration = Duration::from_millis(300);

/// A viewer that has received its answer.
pub(crate) struct Viewer {
    subscription: Subscription,
    peer: Arc<Peer>,
    tracks: Vec<(Kind, Codec)>,
}

impl Viewer {
    /// Builds a viewer's pipeline and the answer to its offer.
    ///
    /// # Errors
    /// If the feeds do not match the offer or the pipeline cannot be built.
    pub(crate) async fn new(
        subscription: Subscription,
        name: String,
        offer: &Description,
        config: &Config,
    ) -> Result<(Self, String), Error> {
        let Agreement { choices, audio_channels } = Agreement::new(&subscription, offer).await?;
        let mut peer = Peer::new(name, config)?;
        for (section, choice) in choices.iter().enumerate() {
            add_track(&peer, section, choice)?;
        }
        let gather_max = Duration::from_millis(config.gather_ms);
        let local = LocalTransport {
            description: peer.answer(offer, &choices, gather_max).await?,
            announced: config.announced_addresses.clone(),
            is_lite: false,
            session_id: rand::random::<u64>() >> 2,
        };
        let direction = Direction::SendOnly;
        let answer = SdpAnswer { offer, choices: &choices, audio_channels, direction };
        let text = sdp::answer(&answer, &local);
        let tracks = choices.iter().map(|c| (c.kind, c.codec)).collect();
        Ok((Self { subscription, peer: Arc::new(peer), tracks }, text))
    }

    /// The WebRTC connection.
    pub(crate) fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }

    /// The codecs of its tracks.
    pub(super) fn codecs(&self) -> Vec<Codec> {
        self.tracks.iter().map(|(_, codec)| *codec).collect()
    }

    /// Plays until the viewer leaves, the subscription is cancelled, or `cancel`.
    ///
    /// # Errors
    /// If no connection is established, or the pipeline fails.
    pub(crate) async fn run(mut self, cancel: &CancellationToken) -> Result<(), Error> {
        let peer = Arc::clone(&self.peer);
        let gone = self.subscription.cancel.clone();
        let result = tokio::select! {
            () = cancel.cancelled() => Ok(()),
            () = gone.cancelled() => Ok(()),
            result = peer.node().run(cancel) => result,
            result = self.play() => result,
        };
        // A viewer that did not leave gets an RTCP BYE (RFC 3550 6.6): otherwise it would wait for
        // video until its own time-out.
        if cancel.is_cancelled() || gone.is_cancelled() {
            self.peer.node().finish(GOODBYE_MAX).await;
        }
        let stopped = self.peer.node().stop().await;
        result.and(stopped)
    }

    async fn play(&mut self) -> Result<(), Error> {
        self.peer.connected().await?;
        let mut inputs = self.subscription.inputs.borrow_and_update().clone();
        self.join(&Inputs::default(), &inputs)?;
        let peer = Arc::clone(&self.peer);
        let left = peer.gone();
        let captions = serve_captions(&peer, inputs.captions.clone());
        tokio::pin!(left, captions);
        loop {
            tokio::select! {
                never = &mut captions => match never {},
                why = &mut left => {
                    tracing::debug!(viewer = peer.node().name(), why, "viewer left");
                    return Ok(());
                }
                changed = self.subscription.inputs.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    let next = self.subscription.inputs.borrow_and_update().clone();
                    self.join(&inputs, &next)?;
                    inputs = next;
                }
            }
        }
    }

    /// Switches the tracks to other feeds, where those have changed.
    fn join(&self, before: &Inputs, now: &Inputs) -> Result<(), Error> {
        for (kind, _) in &self.tracks {
            let (old, new) = (input(before, *kind), input(now, *kind));
            let Some(feed) = new else { continue };
            if old.is_some_and(|old| old.same_as(feed)) {
                continue;
            }
            self.peer.node().input(kind.as_str(), feed, Join::FastForward)?;
        }
        Ok(())
    }
}

/// Sends captions on each caption channel that the viewer opens, one after the other.
async fn serve_captions(peer: &Peer, caption_feeds: CaptionFeeds) -> Infallible {
    loop {
        captions(peer.channel().await, &caption_feeds).await;
    }
}

fn add_track(peer: &Peer, section: usize, choice: &Choice) -> Result<(), Error> {
    let what = format!("the {} branch", choice.kind);
    let failed = |e: gst::glib::BoolError| Error::build(&what, e);
    let description = payloader(choice.codec)
        .ok_or_else(|| Error::build(&what, format!("{} has no payloader", choice.codec)))?;
    let payloader = crate::webrtc::element(description)?;
    let ssrc = rand::random::<u32>();
    payloader.set_property("mtu", 1200u32);
    // The type of this property differs between elements.
    payloader.set_property_from_str("ssrc", &ssrc.to_string());
    if choice.codec == Codec::Opus {
        opus_sequence_gaps::keep(&payloader);
    }
    // A source that becomes live or changes its format while playing would never start.
    let source = gst_app::AppSrc::builder().name(choice.kind.as_str());
    let source = source.is_live(true).format(gst::Format::Time).build();
    let pipeline = peer.node().pipeline();
    pipeline.add(&source).map_err(failed)?;
    pipeline.add(&payloader).map_err(failed)?;
    source.link(&payloader).map_err(failed)?;
    let exit = payload_type::send_as(pipeline, &payloader, choice.payload.pt)?;
    configure_latency_when_linked(pipeline, &exit);
    let entry = peer.send(section, choice, ssrc)?;
    exit.link(&entry).map(|_| ()).map_err(|e| Error::build(&what, e))
}
