//! Connects the pads of `webrtcbin` to the tracks of a stream.

use std::sync::Arc;

use gst::prelude::*;

use super::layers::attach_when_known;
use super::vp9;
use crate::flow::{Error, Tracks};
use crate::ingress::h264_units;
use crate::media::Codec;
use crate::webrtc::sdp::SentLayers;
use crate::webrtc::{Peer, aic, element, payload_type};

/// Name of the AIC-A decoder element.
pub(super) const VOICE: &str = "voice";

/// Whether the depayloader of a codec is installed.
pub fn can_receive(codec: Codec) -> bool {
    crate::webrtc::register();
    let factory = depayloader(codec).and_then(|d| d.split(' ').next());
    factory.is_some_and(|f| gst::ElementFactory::find(f).is_some())
}

/// The depayloader of a codec. After a loss it drops undecodable data and requests a key frame.
fn depayloader(codec: Codec) -> Option<&'static str> {
    Some(match codec {
        Codec::H264 => "rtph264depay request-keyframe=true wait-for-keyframe=true",
        Codec::Vp8 => "rtpvp8depay request-keyframe=true wait-for-keyframe=true",
        Codec::Vp9 => "rtpvp9depay request-keyframe=true wait-for-keyframe=true",
        Codec::Av1 => "rtpav1depay",
        Codec::Opus => "rtpopusdepay",
        _ => return None,
    })
}

/// What the pads of a publisher carry, as agreed on.
pub(super) struct Pads {
    pub(super) tracks: Tracks,
    /// Id of the header extension used with AIC-A.
    pub(super) hints: Option<u8>,
    /// The layers of its video, if it sends several.
    pub(super) layers: Option<SentLayers>,
}

impl Pads {
    /// Connects each track, and each layer, to the stream at its first packet.
    pub(super) fn attach_to(self, peer: &Peer) {
        let pipeline = peer.node().pipeline().downgrade();
        let pads = Arc::new(self);
        peer.bin().connect_pad_added(move |_, pad| {
            let Some(pipeline) = pipeline.upgrade() else { return };
            if pad.direction() != gst::PadDirection::Src {
                return;
            }
            match &pads.layers {
                Some(layers) if is_video(pad) => {
                    let pads = Arc::clone(&pads);
                    attach_when_known(
                        &pipeline,
                        pad,
                        &pads.tracks.clone(),
                        layers,
                        move |to, pad, tracks| {
                            pads.attach(to, pad, tracks);
                        },
                    );
                }
                _ => pads.attach(&pipeline, pad, &pads.tracks),
            }
        });
    }

    fn attach(&self, pipeline: &gst::Pipeline, pad: &gst::Pad, tracks: &Tracks) {
        if let Err(error) = attach(pipeline, pad, tracks, self.hints) {
            tracing::warn!(pipeline = %pipeline.name(), %error, "a WebRTC track is not taken");
            tracks.report.note(format!("a track is not taken: {error}"));
        }
    }
}

fn is_video(pad: &gst::Pad) -> bool {
    let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
    caps.structure(0).and_then(|s| s.get::<&str>("media").ok()) == Some("video")
}

fn attach(
    pipeline: &gst::Pipeline,
    pad: &gst::Pad,
    tracks: &Tracks,
    hints: Option<u8>,
) -> Result<(), Error> {
    let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
    let name = caps.structure(0).and_then(|s| s.get::<&str>("encoding-name").ok()).unwrap_or("");
    let codec = match name {
        aic::NAME => return attach_voice(pipeline, pad, tracks, hints),
        "H264" => Codec::H264,
        "VP8" => Codec::Vp8,
        "VP9" => Codec::Vp9,
        "AV1" => Codec::Av1,
        "OPUS" => Codec::Opus,
        other => return Err(Error::build("the track", format!("`{other}` was not agreed on"))),
    };
    let description = depayloader(codec).ok_or_else(|| Error::build("the track", codec))?;
    if codec == Codec::Vp9 {
        return vp9::attach(pipeline, pad, tracks, description);
    }
    let depayloader = element(description)?;
    if codec == Codec::H264 {
        h264_units::keep_whole(&depayloader);
    }
    let failed = |e: gst::glib::BoolError| Error::build("the track", e);
    pipeline.add(&depayloader).map_err(failed)?;
    let exit = depayloader.static_pad("src").ok_or_else(|| Error::build("the track", "no pad"))?;
    tracks.attach_pad(pipeline, &exit);
    depayloader.sync_state_with_parent().map_err(failed)?;
    let number = caps.structure(0).and_then(|s| s.get::<i32>("payload").ok());
    let number = number.and_then(|number| u8::try_from(number).ok());
    let entry = payload_type::receive_as(pipeline, &depayloader, number)?;
    pad.link(&entry).map(|_| ()).map_err(|e| Error::build("the track", e))
}

/// Decodes AIC-A at the input: the stream gets plain audio, and browsers never receive AIC-A.
fn attach_voice(
    pipeline: &gst::Pipeline,
    pad: &gst::Pad,
    tracks: &Tracks,
    hints: Option<u8>,
) -> Result<(), Error> {
    let failed = |e: gst::glib::BoolError| Error::build("the voice", e);
    // `webrtcbin` does not parse the format parameters, and the decoder must know the model.
    let model = aic::model().unwrap_or_default();
    let setter = element("capssetter")?;
    let mut caps = gst::Caps::builder("application/x-rtp").field("model", model);
    if let Some(id) = hints {
        caps = caps.field(format!("extmap-{id}"), aic::HINTS_URI);
    }
    setter.set_property("caps", caps.build());
    let depayloader = element("rtpaicdepay")?;
    let decoder = element(&format!("auralinkaicdec name={VOICE} deadline=80"))?;
    let chain = [&setter, &depayloader, &decoder];
    pipeline.add_many(chain).map_err(failed)?;
    gst::Element::link_many(chain).map_err(failed)?;
    let pads = decoder.static_pad("src").zip(setter.static_pad("sink"));
    let (exit, entry) = pads.ok_or_else(|| Error::build("the voice", "no pads"))?;
    let raw = gst::Caps::new_empty_simple("audio/x-raw");
    tracks.attach_pad_with(pipeline, &exit, Some(raw), "AIC-A");
    for element in chain.into_iter().rev() {
        element.sync_state_with_parent().map_err(failed)?;
    }
    pad.link(&entry).map(|_| ()).map_err(|e| Error::build("the voice", e))
}
