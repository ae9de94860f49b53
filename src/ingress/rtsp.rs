//! RTSP: pulls from cameras and servers.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use gst::prelude::*;
use serde::{Deserialize, Serialize};

use super::pads;
use super::source::{PulledSource, SourceContext};
use crate::flow::{Error, Node, Tracks};
use crate::media::{
    IgnorePoison, InvalidSetting, Offered, Protocol, url_problem, url_without_secrets,
};

/// A camera or server, whose media is received. RTP over UDP is tried first, then TCP. Of several
/// media of one kind one is taken, by the language that the server announces (`a=lang`, RFC 8866
/// section 6.12).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RtspSource {
    /// `rtsp://[user:password@]host[:port]/path`. User and password are kept out of logs and reports.
    #[schema(example = "rtsp://user:password@camera/path")]
    url: String,
}

impl PulledSource for RtspSource {
    const PROTOCOL: Protocol = Protocol::Rtsp;

    fn shown(&self) -> String {
        url_without_secrets(&self.url)
    }

    fn check(&self) -> Result<(), InvalidSetting> {
        InvalidSetting::check("url", url_problem(&self.url, &["rtsp", "rtsps"]))
    }

    async fn run(self, context: SourceContext) -> Result<(), Error> {
        let intake = context.intake;
        // What comes late, in a burst, keeps its time: the default mode of the jitter buffer moves it
        // to its arrival, and the timeline of its feed follows a clock that drifts.
        let node = Node::parse("rtsp source", "rtspsrc name=in latency=200 buffer-mode=synced")?;
        let source = node.element("in")?;
        source.set_property("location", self.url);
        source.set_property_from_str("protocols", "tcp+udp");
        let left_out = Arc::new(Mutex::new(BTreeSet::new()));
        let (decided, tracks) = (Arc::clone(&left_out), intake.tracks.clone());
        source.connect("on-sdp", false, move |values| {
            let description = values.get(1)?.get::<gst_sdp::SDPMessage>().ok()?;
            let found = leave_out(&description, &tracks);
            *decided.lock().ignore_poison() = found;
            None
        });
        let tracks = intake.tracks.clone();
        let pipeline = node.pipeline().downgrade();
        source.connect_pad_added(move |_, pad| {
            let Some(pipeline) = pipeline.upgrade() else { return };
            let left_out = left_out.lock().ignore_poison();
            // All media are requested, because some servers send nothing for one medium if another was
            // left out.
            match number_of(&pad.name()).is_some_and(|number| left_out.contains(&number)) {
                true => tracks.ignore_pad(&pipeline, pad, "", ""),
                false => pads::attach_rtp(&pipeline, pad, &tracks),
            }
        });
        pads::run_watched(&node, &intake).await
    }
}

/// The index of the medium that a pad carries: 1, the second one, for `recv_rtp_src_1_<ssrc>_97`.
fn number_of(pad: &str) -> Option<usize> {
    let numbers = pad.strip_prefix("recv_rtp_src_").or_else(|| pad.strip_prefix("stream_"))?;
    numbers.split('_').next()?.parse().ok()
}

/// Indexes of the media that are not taken, with a note for each. Media that are neither video nor
/// audio are noted when their pad appears.
fn leave_out(description: &gst_sdp::SDPMessageRef, tracks: &Tracks) -> BTreeSet<usize> {
    let (wish, notes) = tracks.choice.without_numbers();
    let offered: Vec<Offered> = description.medias().map(offered).collect();
    let picked = wish.pick(&offered, "what the server sends");
    notes.into_iter().chain(picked.notes).for_each(|note| tracks.report.note(note));
    let out = |(n, track): &(usize, &Offered)| track.kind.is_some() && !picked.taken.contains(n);
    offered.iter().enumerate().filter(out).map(|(n, _)| n).collect()
}

fn offered(media: &gst_sdp::SDPMediaRef) -> Offered {
    let payload = media.formats().next().and_then(|format| format.parse().ok());
    let caps = payload.and_then(|payload| media.caps_from_media(payload));
    let mut caps = caps.unwrap_or_else(|| gst::Caps::new_empty_simple("application/x-unknown"));
    if let Some(caps) = caps.get_mut().and_then(|caps| caps.structure_mut(0)) {
        // `rtspsrc` sets this also for the static payload types of RFC 3551.
        caps.set("media", media.media().unwrap_or_default());
    }
    pads::offered_rtp(&caps, media.attribute_val("lang"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pads_are_known_by_the_number_of_their_medium() {
        for (pad, expect) in [
            ("recv_rtp_src_0_3741635733_96", Some(0)),
            ("recv_rtp_src_12_1_97", Some(12)),
            ("stream_1", Some(1)),
            ("src_0", None),
        ] {
            assert_eq!(number_of(pad), expect, "{pad}");
        }
    }
}
