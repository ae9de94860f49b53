//! A viewer that shares the packets of its feeds with others.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::channels::{CHANNELS_MAX, serve};
use super::fan_out::FanOut;
use super::feed_packets::FeedPackets;
use super::local_end::{self, End};
use super::offer::{Agreement, input};
use super::quality::QualityChoice;
use crate::flow::{Blame, Error, Inputs, Subscription};
use crate::media::{Codec, Kind, Quality};
use crate::webrtc::sdp::Description;
use crate::webrtc::{Config, IceEnd, Layers};
use auralink_sfu::{self as sfu, Begin, Change};

/// Time limit for a viewer to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Time limit for the RTCP BYE at the end of a session.
const GOODBYE_MAX: Duration = Duration::from_millis(300);

/// How long a viewer waits for the feed of the rung that it begins with.
const RUNG_MAX: Duration = Duration::from_secs(1);

/// How often the quality follows what the viewer's line carries.
const LINE_INTERVAL: Duration = Duration::from_millis(250);

/// How long video goes on that another quality replaces: the stream keeps what makes it as long.
const REPLACED_MAX: Duration = Duration::from_secs(5);

/// A viewer that has received its answer.
pub(crate) struct Viewer {
    name: String,
    subscription: Subscription,
    end: Arc<End>,
    tracks: Vec<(Kind, Codec)>,
    fan_out: Arc<FanOut>,
    playing: Vec<(Kind, Arc<FeedPackets>)>,
    /// The video that another quality replaces, and when its packets may end.
    replaced: Option<(Instant, Arc<FeedPackets>)>,
    quality: Arc<QualityChoice>,
}

impl Viewer {
    /// Opens a viewer's session and makes the answer to its offer.
    ///
    /// # Errors
    /// If the feeds do not match the offer or the session cannot be opened.
    pub(super) async fn new(
        mut subscription: Subscription,
        name: String,
        (offer, quality): (&Description, Quality),
        config: &Config,
        fan_out: &Arc<FanOut>,
    ) -> Result<(Self, String), Error> {
        let Agreement { mut choices, audio_channels } =
            Agreement::new(&subscription, offer).await?;
        let mut quality = QualityChoice::new(std::mem::take(&mut subscription.qualities), quality);
        let congestion = quality.congestion(offer, &mut choices);
        let unusable = |e: sfu::Error| match e {
            sfu::Error::Terms(_) => {
                Error::refused(Blame::Destination, e.to_string(), "offer a sha-256 fingerprint")
            }
            e => Error::build(&name, e),
        };
        let (engine, announced) = (fan_out.engine(), &config.announced_addresses);
        let opened =
            local_end::open(engine, (offer, &choices), congestion, audio_channels, announced);
        let (end, text) = opened.map_err(unusable)?;
        let end = Arc::new(end);
        let tracks = choices.iter().map(|c| (c.kind, c.codec)).collect();
        let (fan_out, playing) = (Arc::clone(fan_out), Vec::new());
        let (quality, replaced) = (Arc::new(quality), None);
        let viewer = Self { name, subscription, end, tracks, fan_out, playing, replaced, quality };
        Ok((viewer, text))
    }

    /// Our end of the ICE connection.
    pub(super) fn ice_end(&self) -> Arc<dyn IceEnd> {
        Arc::clone(&self.end) as Arc<dyn IceEnd>
    }

    /// The qualities that it may choose from, if there are several.
    pub(super) fn layers(&self) -> Option<Arc<dyn Layers>> {
        self.quality.has_ladder().then(|| Arc::clone(&self.quality) as Arc<dyn Layers>)
    }

    /// The codecs of its tracks.
    pub(super) fn codecs(&self) -> Vec<Codec> {
        self.tracks.iter().map(|(_, codec)| *codec).collect()
    }

    /// Plays until the viewer leaves, the subscription is cancelled, or `cancel`.
    ///
    /// # Errors
    /// If no connection is established, or the packets of a feed end.
    pub(super) async fn run(mut self, cancel: &CancellationToken) -> Result<(), Error> {
        let gone = self.subscription.cancel.clone();
        let end = Arc::clone(&self.end);
        let result = tokio::select! {
            () = cancel.cancelled() => Ok(()),
            () = gone.cancelled() => Ok(()),
            result = self.play() => result,
        };
        // A viewer that did not leave gets an RTCP BYE (RFC 3550 6.6): otherwise it would wait for
        // video until its own time-out.
        let _ = tokio::time::timeout(GOODBYE_MAX, end.connection.close()).await;
        result
    }

    async fn play(&mut self) -> Result<(), Error> {
        self.connected().await?;
        if self.quality.begin() {
            // The feed of the rung; without it the viewer begins with the source.
            let changed = self.subscription.inputs.changed();
            let _ = tokio::time::timeout(RUNG_MAX, changed).await;
            self.quality.take_change();
        }
        let mut inputs = self.subscription.inputs.borrow_and_update().clone();
        self.join(&Inputs::default(), &inputs, Begin::AtOnce)?;
        let (tell, opened) = mpsc::channel(CHANNELS_MAX);
        let serve = serve(opened, inputs.captions.clone(), Arc::clone(&self.quality));
        tokio::pin!(serve);
        let end = Arc::clone(&self.end);
        let mut tick = tokio::time::interval(LINE_INTERVAL);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                never = &mut serve => match never {},
                _ = tick.tick(), if self.quality.has_estimate() => {
                    let (now, estimate) =
                        (std::time::Instant::now(), end.connection.delivery().estimate_kbps);
                    if let Some(kbps) = self.quality.desire(now, estimate) {
                        end.connection.desire(kbps);
                    }
                    if let Some(kbps) = estimate {
                        self.quality.follow_line(now, kbps);
                    }
                }
                () = ends(self.replaced.as_ref()) => self.replaced = None,
                change = end.connection.changed() => match change {
                    Change::Connected => {}
                    // The session bounds the number of channels.
                    Change::Opened(channel) => { let _ = tell.try_send(channel); }
                    Change::Ended(why) => {
                        tracing::debug!(viewer = self.name, why, "viewer left");
                        return Ok(());
                    }
                },
                () = failed(&self.playing) => {
                    return Err(Error::build(&self.name, "the packets of its feed have ended"));
                }
                changed = self.subscription.inputs.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    let next = self.subscription.inputs.borrow_and_update().clone();
                    // A feed of the same stream in another quality: both play until its key frame.
                    let begin = match self.quality.take_change() {
                        true => Begin::AtKeyFrame,
                        false => Begin::AtOnce,
                    };
                    self.join(&inputs, &next, begin)?;
                    inputs = next;
                }
            }
        }
    }

    /// Waits until media can flow.
    async fn connected(&self) -> Result<(), Error> {
        let hint = "open the UDP port of WebRTC viewers in firewalls (viewer_port of [webrtc]), or \
                    set announced_addresses behind NAT";
        let refused = |message: String| Error::refused(Blame::Destination, message, hint);
        let change = tokio::time::timeout(CONNECT_TIMEOUT, self.end.connection.changed()).await;
        match change {
            Ok(Change::Ended(why)) => Err(refused(format!("the connection failed: {why}"))),
            // A data channel opens only after the connection is there.
            Ok(Change::Connected | Change::Opened(_)) => Ok(()),
            Err(_) => Err(refused(format!("no connection within {} s", CONNECT_TIMEOUT.as_secs()))),
        }
    }

    /// Switches the tracks to other feeds, where those have changed.
    fn join(&mut self, before: &Inputs, now: &Inputs, begin: Begin) -> Result<(), Error> {
        let stream = self.name.rsplit_once('.').map_or(&*self.name, |(stream, _)| stream);
        for (index, (kind, codec)) in self.tracks.iter().enumerate() {
            let (old, new) = (input(before, *kind), input(now, *kind));
            let Some(feed) = new else { continue };
            if old.is_some_and(|old| old.same_as(feed)) {
                continue;
            }
            let packets = self.fan_out.packets(stream, feed, *codec, begin)?;
            let played = self.end.connection.play(index, packets.source(), begin);
            played.map_err(|e| Error::build(&self.name, e))?;
            for (_, replaced) in self.playing.extract_if(.., |(of, _)| of == kind) {
                if *kind == Kind::Video && begin == Begin::AtKeyFrame {
                    self.replaced = Some((Instant::now() + REPLACED_MAX, replaced));
                }
            }
            self.playing.push((*kind, packets));
        }
        Ok(())
    }
}

/// Waits until replaced video may end.
async fn ends(replaced: Option<&(Instant, Arc<FeedPackets>)>) {
    match replaced {
        Some((end, _)) => tokio::time::sleep_until(*end).await,
        None => std::future::pending().await,
    }
}

/// Waits until the packets of a feed end.
async fn failed(playing: &[(Kind, Arc<FeedPackets>)]) {
    if playing.is_empty() {
        return std::future::pending().await;
    }
    futures::future::select_all(playing.iter().map(|(_, p)| Box::pin(p.failed()))).await;
}
