//! What sources that pull have in common: pads that appear, and media that stops coming.

use std::time::Duration;

use gst::prelude::*;

use crate::flow::{Error, Intake, Node, Tracks};

/// A pulled source that gave nothing for this long is dead: it is connected anew.
const STALLED_AFTER: Duration = Duration::from_secs(8);

/// Posts a failed attachment on the bus of the element, so that the node ends with it.
pub(super) fn report(element: &gst::Element, outcome: Result<(), Error>) {
    if let Err(error) = outcome {
        gst::element_error!(element, gst::StreamError::Failed, ["{error}"]);
    }
}

/// Connects an RTP pad: the depayloader of its encoding, then the track. An encoding that has no
/// depayloader here is noted and ignored.
pub(super) fn attach_rtp(
    pipeline: &gst::Pipeline,
    pad: &gst::Pad,
    tracks: &Tracks,
) -> Result<(), Error> {
    let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
    let encoding =
        caps.structure(0).and_then(|s| s.get::<String>("encoding-name").ok()).unwrap_or_default();
    let Some(factory) = depayloader(&encoding) else {
        tracks.report.note(format!("a track is ignored: RTP {encoding}"));
        return tracks.attach_pad(pipeline, pad);
    };
    let depay = gst::ElementFactory::make(factory)
        .build()
        .map_err(|_| Error::MissingElement { factory: factory.into() })?;
    pipeline.add(&depay).map_err(|e| Error::build(factory, e))?;
    depay.sync_state_with_parent().map_err(|e| Error::build(factory, e))?;
    let (Some(entry), Some(exit)) = (depay.static_pad("sink"), depay.static_pad("src")) else {
        return Err(Error::build(factory, "it has no pads"));
    };
    pad.link(&entry).map_err(|e| Error::build(factory, e))?;
    // The depayloader knows its caps only once media flows; the template says enough to attach.
    tracks.attach_pad(pipeline, &exit)
}

/// The depayloader of an RTP encoding name (RFC 8866 `a=rtpmap`).
fn depayloader(encoding: &str) -> Option<&'static str> {
    Some(match encoding {
        "H264" => "rtph264depay",
        "H265" => "rtph265depay",
        "VP8" => "rtpvp8depay",
        "VP9" => "rtpvp9depay",
        "OPUS" => "rtpopusdepay",
        "MPEG4-GENERIC" => "rtpmp4gdepay",
        "MP4A-LATM" => "rtpmp4adepay",
        "MPA" => "rtpmpadepay",
        "PCMU" => "rtppcmudepay",
        "PCMA" => "rtppcmadepay",
        "L16" => "rtpL16depay",
        _ => return None,
    })
}

/// Starts a node and follows it until the stream wants the source gone, its pipeline ends, or
/// its media stalls. Byte totals are kept up by the caller's pads.
pub(super) async fn run_watched(node: &Node, intake: &Intake) -> Result<(), Error> {
    node.start().await?;
    let outcome = tokio::select! {
        outcome = node.run(&intake.cancel) => outcome,
        stalled = watch_for_stall(&intake.tracks) => Err(stalled),
    };
    node.stop().await?;
    outcome
}

async fn watch_for_stall(tracks: &Tracks) -> Error {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    let started = tokio::time::Instant::now();
    loop {
        tick.tick().await;
        let newest = [tracks.video.age(), tracks.audio.age()].into_iter().flatten().min();
        if newest.unwrap_or_else(|| started.elapsed()) > STALLED_AFTER {
            return Error::Stalled(STALLED_AFTER);
        }
    }
}
