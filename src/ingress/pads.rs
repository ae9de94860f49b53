//! Common parts of pulled sources: dynamic pads and detection of stalls.

use std::time::Duration;

use gst::prelude::*;

use super::h264_units;
use crate::flow::{Error, Intake, Node, Tracks, kind_of};
use crate::media::Offered;

/// A pulled source without media for this long is dead and reconnects.
const STALLED_AFTER: Duration = Duration::from_secs(8);

/// Posts a failed attachment on the bus of the element, which ends the node.
pub(super) fn report(element: &gst::Element, outcome: Result<(), Error>) {
    if let Err(error) = outcome {
        gst::element_error!(element, gst::StreamError::Failed, ["{error}"]);
    }
}

/// Connects an RTP pad to its depayloader and track. A pad that cannot be used is noted and
/// ignored.
pub(super) fn attach_rtp(pipeline: &gst::Pipeline, pad: &gst::Pad, tracks: &Tracks) {
    let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
    let rtp = RtpFormat::read(&caps);
    let name = rtp.to_string();
    let Some((factory, media)) = rtp.depayloader() else {
        let why = "there is no depayloader for it here";
        return tracks.ignore_pad(pipeline, pad, &name, why);
    };
    let link = || -> Result<gst::Pad, gst::glib::BoolError> {
        let depay = gst::ElementFactory::make(factory).build()?;
        pipeline.add(&depay)?;
        if rtp.encoding == "H264" {
            h264_units::keep_whole(&depay);
        }
        depay.sync_state_with_parent()?;
        let ends = depay.static_pad("sink").zip(depay.static_pad("src"));
        let (entry, exit) = ends.ok_or_else(|| gst::glib::bool_error!("it has no pads"))?;
        pad.link(&entry).map_err(|e| gst::glib::bool_error!("{e}"))?;
        Ok(exit)
    };
    match link() {
        // The depayloader fixes its caps only once media flows, and its template lists everything
        // it could produce. The sender's announcement decides.
        Ok(exit) => tracks.attach_pad_with(pipeline, &exit, media.parse().ok(), &name),
        Err(error) => {
            let why = format!("`{factory}` cannot be used: {error}");
            tracks.ignore_pad(pipeline, pad, &name, &why);
        }
    }
}

/// A track announced with these caps and, if given, this language.
pub(super) fn offered_rtp(caps: &gst::CapsRef, language: Option<&str>) -> Offered {
    let rtp = RtpFormat::read(caps);
    let media = rtp.depayloader().and_then(|(_, media)| media.parse::<gst::Caps>().ok());
    let named = language.map_or_else(String::new, |language| format!(", language {language}"));
    Offered {
        label: format!("payload type {}", rtp.payload),
        name: format!("{rtp}{named}"),
        kind: media.and_then(|media| kind_of(&media)),
        pid: None,
        // `de-AT` becomes `de`.
        language: language.and_then(|tag| tag.split('-').next()).map(str::to_ascii_lowercase),
    }
}

/// Fields of an RTP pad's caps, from `m=` and `a=rtpmap` of the sender's description (RFC 8866).
struct RtpFormat {
    /// `audio`, `video`, `application`.
    media: String,
    /// Encoding name in upper case.
    encoding: String,
    /// Payload type, 0-127.
    payload: i32,
}

impl RtpFormat {
    fn read(caps: &gst::CapsRef) -> Self {
        let text = |field: &str| {
            let value = caps.structure(0).and_then(|s| s.get::<String>(field).ok());
            value.unwrap_or_default()
        };
        let payload = caps.structure(0).and_then(|s| s.get("payload").ok()).unwrap_or(0);
        let encoding = text("encoding-name").to_ascii_uppercase();
        Self { media: text("media"), encoding, payload }
    }

    /// The depayloader of this encoding, and its output caps.
    fn depayloader(&self) -> Option<(&'static str, &'static str)> {
        Some(match (self.media.as_str(), self.encoding.as_str()) {
            (_, "H264") => ("rtph264depay", "video/x-h264"),
            (_, "H265") => ("rtph265depay", "video/x-h265"),
            (_, "VP8") => ("rtpvp8depay", "video/x-vp8"),
            (_, "VP9") => ("rtpvp9depay", "video/x-vp9"),
            (_, "MPV") => ("rtpmpvdepay", "video/mpeg,mpegversion=2,systemstream=false"),
            (_, "OPUS") => ("rtpopusdepay", "audio/x-opus"),
            // The same name stands for MPEG-4 systems and video (RFC 3640 section 4.1).
            ("audio", "MPEG4-GENERIC") => ("rtpmp4gdepay", "audio/mpeg,mpegversion=4"),
            // The depayloader removes the LATM layer.
            (_, "MP4A-LATM") => ("rtpmp4adepay", "audio/mpeg,mpegversion=4"),
            (_, "MPA") => ("rtpmpadepay", "audio/mpeg,mpegversion=1"),
            (_, "AC3") => ("rtpac3depay", "audio/x-ac3"),
            (_, "PCMU") => ("rtppcmudepay", "audio/x-mulaw"),
            (_, "PCMA") => ("rtppcmadepay", "audio/x-alaw"),
            (_, "L16") => ("rtpL16depay", "audio/x-raw"),
            (_, "L24") => ("rtpL24depay", "audio/x-raw"),
            _ => return None,
        })
    }
}

impl std::fmt::Display for RtpFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RTP {} {}, payload type {}", self.media, self.encoding, self.payload)
    }
}

/// Runs a node until the intake is cancelled, its pipeline ends, or its media stalls. The pads of
/// the caller update the byte totals.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Kind;

    #[test]
    fn what_the_sender_announces_decides() {
        gst::init().expect("GStreamer starts");
        let check = |announced: &str, expect: Option<&str>| {
            let caps: gst::Caps = format!("application/x-rtp,{announced}").parse().expect("caps");
            let found = RtpFormat::read(&caps).depayloader().map(|(_, media)| media);
            assert_eq!(found, expect, "{announced}");
        };
        let aac = "media=audio,payload=97,clock-rate=48000,encoding-name=MPEG4-GENERIC";
        check(aac, Some("audio/mpeg,mpegversion=4"));
        check("media=video,encoding-name=MPEG4-GENERIC", None);
        check("media=audio,encoding-name=pcmu", Some("audio/x-mulaw"));
        check("media=application,encoding-name=VND.ONVIF.METADATA", None);
    }

    #[test]
    fn what_is_announced_is_offered_by_its_kind_and_language() {
        gst::init().expect("GStreamer starts");
        let check = |announced: &str, language, kind, expect: (&str, Option<&str>)| {
            let caps: gst::Caps = format!("application/x-rtp,{announced}").parse().expect("caps");
            let found = offered_rtp(&caps, language);
            assert_eq!((found.name.as_str(), found.language.as_deref()), expect);
            assert_eq!(found.kind, kind, "{announced}");
        };
        let opus = "media=audio,payload=98,encoding-name=OPUS";
        let name = "RTP audio OPUS, payload type 98";
        check(opus, None, Some(Kind::Audio), (name, None));
        let name = "RTP audio OPUS, payload type 98, language de-AT";
        check(opus, Some("de-AT"), Some(Kind::Audio), (name, Some("de")));
        let data = "media=application,payload=107,encoding-name=SMPTE336M";
        check(data, None, None, ("RTP application SMPTE336M, payload type 107", None));
    }
}
