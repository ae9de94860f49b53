//! What a viewer's offer gets of a stream.

use std::time::Duration;

use super::payloader::can_send;
use crate::egress::words;
use crate::flow::{Blame, CaptionFeeds, Error, Feed, Inputs, Subscription};
use crate::media::{Accept, Accepts, Format, Kind};
use crate::webrtc::sdp::{self, Choice, Description, Media};

/// Time limit for a feed of the subscription to start flowing.
const FORMAT_TIMEOUT: Duration = Duration::from_secs(5);

/// What a viewer gets.
pub(super) struct Agreement {
    /// Sections and payloads of its offer, in their order.
    pub(super) choices: Vec<Choice>,
    /// Channels of the audio.
    pub(super) audio_channels: u32,
}

impl Agreement {
    /// Chooses from an offer what carries the feeds of the subscription.
    ///
    /// # Errors
    /// If nothing does, or a feed does not flow in time.
    pub(super) async fn new(
        subscription: &Subscription,
        offer: &Description,
    ) -> Result<Self, Error> {
        let inputs = subscription.inputs.borrow().clone();
        let (mut choices, mut audio_channels) = (Vec::new(), 0);
        for feed in feeds(&inputs) {
            let format = known_format(feed).await?;
            audio_channels = audio_channels.max(format.audio.channels);
            choices.extend(offer.choose_for(&format));
        }
        choices.sort_by_key(|c| c.index);
        let unusable = |e: sdp::Invalid| {
            Error::refused(Blame::Destination, e.to_string(), "offer a codec that the stream has")
        };
        offer.check(&choices).map_err(unusable)?;
        Ok(Self { choices, audio_channels })
    }
}

/// Sends captions on a data channel until it is closed, if it is for captions.
pub(super) async fn captions(channel: impl words::TextChannel, caption_feeds: &CaptionFeeds) {
    if channel.label() == words::LABEL {
        words::serve(channel, caption_feeds).await;
    }
}

/// The feed of a kind.
pub(super) fn input(inputs: &Inputs, kind: Kind) -> Option<&Feed> {
    match kind {
        Kind::Video => inputs.video.as_ref(),
        Kind::Audio => inputs.audio.as_ref(),
    }
}

fn feeds(inputs: &Inputs) -> impl Iterator<Item = &Feed> {
    Kind::ALL.into_iter().filter_map(|kind| input(inputs, kind))
}

/// The format of a feed, which must be known within [`FORMAT_TIMEOUT`].
pub(crate) async fn known_format(feed: &Feed) -> Result<Format, Error> {
    let mut format = feed.format();
    let known = tokio::time::timeout(FORMAT_TIMEOUT, format.wait_for(Option::is_some)).await;
    let known = known.ok().and_then(|f| f.ok()?.clone());
    known.ok_or(Error::Stalled(FORMAT_TIMEOUT))
}

/// The media that a player with this offer can receive: codecs that it lists and that can be
/// payloaded.
pub(crate) fn accepts(offer: &Description) -> Accepts {
    let mut accepts = offer.accepts();
    let installed = |accept: Accept| {
        let codecs = accept.codecs.iter().copied().filter(|c| can_send(*c)).collect();
        Some(Accept { codecs, ..accept }).filter(|a| !a.codecs.is_empty())
    };
    accepts.video = accepts.video.and_then(installed);
    accepts.audio = accepts.audio.and_then(installed);
    accepts.captions.text = offer.media.iter().any(Media::is_data);
    accepts
}
