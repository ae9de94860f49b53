//! A viewer that shares the packets of its feeds with others.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::fan_out::FanOut;
use super::feed_packets::FeedPackets;
use super::offer::{Agreement, captions, input};
use super::quality::{self, QualityChoice};
use crate::flow::{Blame, CaptionFeeds, Error, Inputs, Subscription};
use crate::media::{Codec, Delivery, Kind, Quality};
use crate::sfu::{self, Begin, Change, Connection, Credentials, LocalEnd, Terms, TrackTerms};
use crate::webrtc::sdp::{
    self, Candidate, Choice, Description, Direction, Fragment, LocalTransport, Media, SdpAnswer,
};
use crate::webrtc::{Config, IceEnd};

/// Time limit for a viewer to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Time limit for the RTCP BYE at the end of a session.
const GOODBYE_MAX: Duration = Duration::from_millis(300);

/// How long video goes on that another quality replaces: the stream keeps what makes it as long.
const REPLACED_MAX: Duration = Duration::from_secs(5);

/// Most data channels that wait for the one that is served.
const CHANNELS_MAX: usize = 4;

/// SCTP port of data channels (RFC 8841).
const SCTP_PORT_NUMBER: u16 = 5000;

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

/// Our end of the connection.
struct End {
    connection: Connection,
    local: LocalEnd,
    /// The viewer's section with the common transport.
    tag: Media,
    /// Identifiers (`mid`) of all sections in use.
    mids: Vec<String>,
    announced: Vec<IpAddr>,
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
        let Agreement { choices, audio_channels } = Agreement::new(&subscription, offer).await?;
        let Some(tag) = offer.transported(&choices).next().cloned() else {
            return Err(Error::build(name, "the offer has no transport"));
        };
        let terms = terms(offer, &choices, &tag);
        let unusable = |e: sfu::Error| match e {
            sfu::Error::Terms(_) => {
                Error::refused(Blame::Destination, e.to_string(), "offer a sha-256 fingerprint")
            }
            e => Error::build(&name, e),
        };
        let (connection, local) = fan_out.engine().open(&terms).map_err(unusable)?;
        let transport = LocalTransport {
            description: describe(offer, &choices, &terms, &local),
            announced: config.announced_addresses.clone(),
            is_lite: true,
            session_id: rand::random::<u64>() >> 2,
        };
        let direction = Direction::SendOnly;
        let answer = SdpAnswer { offer, choices: &choices, audio_channels, direction };
        let text = sdp::answer(&answer, &transport);
        let mids = offer.transported(&choices).map(|m| m.mid.clone()).collect();
        let announced = config.announced_addresses.clone();
        let end = Arc::new(End { connection, local, tag, mids, announced });
        let tracks = choices.iter().map(|c| (c.kind, c.codec)).collect();
        let (fan_out, playing) = (Arc::clone(fan_out), Vec::new());
        let qualities = std::mem::take(&mut subscription.qualities);
        let quality = Arc::new(QualityChoice::new(qualities, quality));
        let replaced = None;
        let viewer = Self { name, subscription, end, tracks, fan_out, playing, replaced, quality };
        Ok((viewer, text))
    }

    /// Our end of the ICE connection.
    pub(super) fn ice_end(&self) -> Arc<dyn IceEnd> {
        Arc::clone(&self.end) as Arc<dyn IceEnd>
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
        let mut inputs = self.subscription.inputs.borrow_and_update().clone();
        self.join(&Inputs::default(), &inputs, Begin::AtOnce)?;
        let (tell, opened) = mpsc::channel(CHANNELS_MAX);
        let serve = serve(opened, inputs.captions.clone(), Arc::clone(&self.quality));
        tokio::pin!(serve);
        let end = Arc::clone(&self.end);
        loop {
            tokio::select! {
                never = &mut serve => match never {},
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
            let packets = self.fan_out.packets(stream, feed, *codec)?;
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

/// Serves the data channels of a viewer, one of each label at a time; never returns.
async fn serve(
    mut opened: mpsc::Receiver<sfu::Channel>,
    caption_feeds: CaptionFeeds,
    choice: Arc<QualityChoice>,
) -> Infallible {
    let (tell_captions, mut for_captions) = mpsc::channel(CHANNELS_MAX);
    let (tell_quality, mut for_quality) = mpsc::channel(CHANNELS_MAX);
    let sort = async {
        while let Some(channel) = opened.recv().await {
            let tell = match channel.label() {
                quality::LABEL => &tell_quality,
                _ => &tell_captions,
            };
            // The session bounds the number of channels.
            let _ = tell.try_send(channel);
        }
        std::future::pending::<Infallible>().await
    };
    let serve_captions = async {
        while let Some(channel) = for_captions.recv().await {
            captions(channel, &caption_feeds).await;
        }
        std::future::pending::<Infallible>().await
    };
    let serve_quality = async {
        while let Some(channel) = for_quality.recv().await {
            choice.serve(channel).await;
        }
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        never = sort => never,
        never = serve_captions => never,
        never = serve_quality => never,
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

impl IceEnd for End {
    /// Nothing: with ICE-lite the viewer's checks tell its addresses.
    fn add_candidate(&self, _: &Candidate) {}

    fn restart_ice(
        &self,
        (ufrag, password): (&str, &str),
        _: &[Candidate],
    ) -> Result<String, Error> {
        let remote = Credentials { ufrag: ufrag.to_owned(), password: password.to_owned() };
        let own = self.connection.restart(remote);
        let own = own.map_err(|e| Error::build("an ICE restart", e))?;
        let fragment = Fragment {
            ufrag: Some(own.ufrag),
            password: Some(own.password),
            candidates: candidates(&self.local),
        };
        Ok(sdp::restart_answer(&self.tag, &self.mids, &fragment, &self.announced))
    }

    fn delivery(&self) -> Option<Delivery> {
        Some(self.connection.delivery())
    }
}

/// What viewer and appliance have agreed on.
fn terms(offer: &Description, choices: &[Choice], tag: &Media) -> Terms {
    let (ufrag, password) = tag.ice.clone().unwrap_or_default();
    let track = |choice: &Choice| TrackTerms {
        is_video: choice.kind == Kind::Video,
        payload_type: choice.payload.pt,
        rtx: choice.rtx,
        clock_rate_hz: choice.payload.clock_rate,
        nack: choice.payload.nack,
    };
    Terms {
        remote: Credentials { ufrag, password },
        fingerprint: tag.fingerprint.clone().unwrap_or_default(),
        // The end that waits chooses the cipher: ours prefers AES-GCM.
        is_active: tag.setup.as_deref() == Some("passive"),
        tracks: choices.iter().map(track).collect(),
        has_data: offer.data_section(choices).is_some(),
    }
}

/// Our end in the form of a description, for the answer.
fn describe(
    offer: &Description,
    choices: &[Choice],
    terms: &Terms,
    local: &LocalEnd,
) -> Description {
    let setup = if terms.is_active { "active" } else { "passive" };
    let own = |mid: &str| Media {
        mid: mid.to_owned(),
        ice: Some((local.credentials.ufrag.clone(), local.credentials.password.clone())),
        fingerprint: Some(local.fingerprint.clone()),
        setup: Some(setup.to_owned()),
        ..Media::default()
    };
    let cname = format!("{:016x}", rand::random::<u64>());
    let mut media = Vec::new();
    for (choice, track) in choices.iter().zip(&local.tracks) {
        let Some(offered) = offer.media.get(choice.index) else { continue };
        let ssrcs = std::iter::once(track.ssrc).chain(track.rtx_ssrc);
        media.push(Media {
            ssrcs: ssrcs.map(|ssrc| (ssrc, cname.clone())).collect(),
            retransmissions: track.rtx_ssrc.map(|rtx| (track.ssrc, rtx)).into_iter().collect(),
            ..own(&offered.mid)
        });
    }
    if let Some((_, data)) = offer.data_section(choices) {
        media.push(Media { sctp_port: Some(SCTP_PORT_NUMBER), ..own(&data.mid) });
    }
    if let Some(first) = media.first_mut() {
        first.candidates = candidates(local);
    }
    Description { media, bundle: Vec::new() }
}

fn candidates(local: &LocalEnd) -> Vec<Candidate> {
    let kinds = [false, true].into_iter().take(1 + usize::from(local.has_tcp));
    let all = kinds.flat_map(|tcp| local.addresses.iter().map(move |at| (tcp, *at)));
    all.enumerate().map(|(n, (tcp, at))| Candidate::host(at, tcp, n)).collect()
}
