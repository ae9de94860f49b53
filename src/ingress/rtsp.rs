//! RTSP: pulls from cameras and servers.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use gst::prelude::*;

use super::pads;
use crate::flow::{Error, Intake, Node, Tracks};
use crate::media::Offered;

/// Pulls from `rtsp://[user:password@]host[:port]/path` until the stream wants it gone.
///
/// RTP over UDP is tried first, then TCP. User and password stay out of logs and of the report. Of
/// several media of one kind one is asked for, by the language that the server gives them
/// (`a=lang`, RFC 8866 section 6.12).
///
/// # Errors
/// When the address is wrong, the server refuses or the media stops.
pub async fn run(intake: Intake, url: &str) -> Result<(), Error> {
    let node = Node::parse("rtsp source", "rtspsrc name=in latency=200 drop-on-latency=true")?;
    let source = node.element("in")?;
    source.set_property("location", url);
    source.set_property_from_str("protocols", "tcp+udp");
    select(&source, &intake.tracks);
    let tracks = intake.tracks.clone();
    let pipeline = node.pipeline().downgrade();
    source.connect_pad_added(move |_, pad| {
        let Some(pipeline) = pipeline.upgrade() else { return };
        pads::attach_rtp(&pipeline, pad, &tracks);
    });
    pads::run_watched(&node, &intake).await
}

/// Asks for those media of the server's description that the stream takes.
fn select(source: &gst::Element, tracks: &Tracks) {
    let left_out = Arc::new(Mutex::new(BTreeSet::new()));
    let (decided, tracks) = (Arc::clone(&left_out), tracks.clone());
    source.connect("on-sdp", false, move |values| {
        let description = values.get(1)?.get::<gst_sdp::SDPMessage>().ok()?;
        let found = leave_out(&description, &tracks);
        *decided.lock().unwrap_or_else(PoisonError::into_inner) = found;
        None
    });
    source.connect("select-stream", false, move |values| {
        let number = values.get(1)?.get::<u32>().ok()?;
        let left_out = left_out.lock().unwrap_or_else(PoisonError::into_inner);
        Some((!left_out.contains(&number)).to_value())
    });
}

/// Numbers of the media that are not taken, with a note for each. What is neither video nor audio
/// stays: it is named when its pad comes.
fn leave_out(description: &gst_sdp::SDPMessageRef, tracks: &Tracks) -> BTreeSet<u32> {
    let (wish, notes) = tracks.choice.without_numbers();
    let offered: Vec<Offered> = description.medias().map(offered).collect();
    let picked = wish.pick(&offered, "what the server sends");
    notes.into_iter().chain(picked.notes).for_each(|note| tracks.report.note(note));
    let out = |(n, track): &(usize, &Offered)| track.kind.is_some() && !picked.taken.contains(n);
    let left_out = offered.iter().enumerate().filter(out);
    left_out.filter_map(|(n, _)| u32::try_from(n).ok()).collect()
}

fn offered(media: &gst_sdp::SDPMediaRef) -> Offered {
    let payload = media.formats().next().and_then(|format| format.parse().ok());
    let caps = payload.and_then(|payload| media.caps_from_media(payload));
    let mut caps = caps.unwrap_or_else(|| gst::Caps::new_empty_simple("application/x-unknown"));
    if let Some(caps) = caps.get_mut().and_then(|caps| caps.structure_mut(0)) {
        // As `rtspsrc` fills it in for payload types of RFC 3551 too.
        caps.set("media", media.media().unwrap_or_default());
    }
    pads::offered_rtp(&caps, media.attribute_val("lang"))
}
