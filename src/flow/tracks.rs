//! Connects a demuxer's pads to the writers of a stream.

use std::sync::Arc;

use gst::prelude::*;

use super::branch::Branch;
use super::caps::{codec_of, mpeg_version};
use super::decoding::{DECODER, Decoding, tune};
use super::{Error, Framing, PublisherLayer, PublisherLayers, SourceReport, Writer};
use crate::media::{Kind, TrackChoice};

/// Where the tracks of one publisher go. Cheap to clone, so that callbacks can own it.
#[derive(Clone)]
pub struct Tracks {
    /// The writer of video.
    pub video: Writer,
    /// The writer of audio.
    pub audio: Writer,
    /// What the API shows of this publisher.
    pub report: Arc<SourceReport>,
    /// Which track is taken if there are several.
    pub choice: TrackChoice,
    /// The layers of its video, if it sends several.
    pub layers: PublisherLayers,
    /// The layer that attached video goes to; `None` for video without layers.
    layer: Option<PublisherLayer>,
}

/// The elements between a source pad and a feed, so that every feed carries the form of
/// [`Framing::Feed`]. Broadcast and telephony codecs that no later node takes are decoded here.
///
/// The outer `None` is for caps that are neither video nor audio we know, the inner one for a codec
/// that no installed element decodes.
fn branch(caps: &gst::CapsRef) -> Option<(Kind, Option<String>)> {
    let s = caps.structure(0)?;
    let version = mpeg_version(s);
    let in_latm = matches!(s.get::<&str>("stream-format"), Ok("loas" | "latm-mcp1"));
    let (kind, parser, decoders): (Kind, &str, &[&'static str]) = match (s.name().as_str(), version)
    {
        ("video/mpeg", 1 | 2) => (Kind::Video, "mpegvideoparse", &["avdec_mpeg2video", "mpeg2dec"]),
        ("audio/mpeg", 4) if in_latm => (Kind::Audio, "auralinkloasparse", &["avdec_aac_latm"]),
        ("audio/x-ac3" | "audio/x-private1-ac3", _) => {
            (Kind::Audio, "ac3parse", &["avdec_ac3", "a52dec"])
        }
        ("audio/x-eac3", _) => (Kind::Audio, "ac3parse", &["avdec_eac3"]),
        ("audio/x-dts", _) => (Kind::Audio, "dcaparse", &["avdec_dca", "dtsdec"]),
        ("audio/x-smpte-302m", _) => (Kind::Audio, "identity", &["avdec_s302m"]),
        ("audio/x-alaw", _) => (Kind::Audio, "identity", &["alawdec", "avdec_pcm_alaw"]),
        ("audio/x-mulaw", _) => (Kind::Audio, "identity", &["mulawdec", "avdec_pcm_mulaw"]),
        // Raw media has no `decodebin`: while it looks for its decoder it takes the whole pipeline
        // back to PAUSED, and a track added at that moment would stay there.
        _ => {
            let codec = codec_of(s)?;
            return Some((codec.kind(), Some(Framing::Feed.parser(codec)?.to_owned())));
        }
    };
    let decoding = Decoding::with(kind, parser, decoders);
    Some((kind, decoding.map(|decoding| decoding.description)))
}

/// The kind of track that media with these caps becomes; `None` if it cannot be taken.
pub fn kind_of(caps: &gst::CapsRef) -> Option<Kind> {
    branch(caps).and_then(|(kind, elements)| elements.map(|_| kind))
}

impl Tracks {
    /// The tracks that these writers fill.
    pub fn new(
        video: Writer,
        audio: Writer,
        report: Arc<SourceReport>,
        choice: TrackChoice,
    ) -> Self {
        let layers = PublisherLayers::new(video.clone());
        Self { video, audio, report, choice, layers, layer: None }
    }

    /// The same, with video that is attached going to a layer.
    pub fn for_layer(&self, layer: PublisherLayer) -> Self {
        Self { layer: Some(layer), ..self.clone() }
    }

    /// The writer of this kind.
    pub fn writer(&self, kind: Kind) -> &Writer {
        match kind {
            Kind::Video => &self.video,
            Kind::Audio => &self.audio,
        }
    }

    /// The layer that attached media of this kind goes to.
    fn layer(&self, kind: Kind) -> Option<&PublisherLayer> {
        self.layer.as_ref().filter(|_| kind == Kind::Video)
    }

    /// Name of the element that takes this kind of media.
    fn sink_name(&self, kind: Kind) -> String {
        self.layer(kind).map_or_else(|| kind.to_string(), |l| l.writer.feed().name().to_owned())
    }

    /// Connects a source pad in `pipeline` to the writer of its kind. The first pad of each kind
    /// wins. Further pads and unknown or unsupported ones end in a sink that drops their data, with
    /// a note for the API. Call it from `pad-added`, on a GStreamer thread.
    ///
    /// A track whose media proves unusable before any of it was written is ignored in the same way.
    /// A later failure ends the pipeline, so that it is restarted.
    pub fn attach_pad(&self, pipeline: &gst::Pipeline, pad: &gst::Pad) {
        self.attach_pad_with(pipeline, pad, pad.current_caps(), "a track");
    }

    /// The same for a pad whose caps the caller knows better than the pad does yet. `name` is the
    /// track's name in notes: its origin in terms of the protocol.
    pub fn attach_pad_with(
        &self,
        pipeline: &gst::Pipeline,
        pad: &gst::Pad,
        caps: Option<gst::Caps>,
        name: &str,
    ) {
        let caps = caps.unwrap_or_else(|| pad.query_caps(None));
        let name = format!("{name} ({})", short(&caps));
        let (kind, elements) = match branch(&caps) {
            None => return self.ignore_pad(pipeline, pad, &name, "no such media is taken"),
            Some((kind, _)) if pipeline.by_name(&self.sink_name(kind)).is_some() => {
                let why = format!("one track of {kind} is taken, and there is one already");
                return self.ignore_pad(pipeline, pad, &name, &why);
            }
            Some((_, None)) => {
                let why = "no decoder for it is installed; `auralink doctor` names what is missing";
                return self.ignore_pad(pipeline, pad, &name, why);
            }
            Some((kind, Some(elements))) => (kind, elements),
        };
        if let Err(error) = self.connect(pipeline, pad, kind, &elements, &name) {
            self.detach_pad(pipeline, pad);
            self.ignore_pad(pipeline, pad, &name, &error.to_string());
        }
    }

    /// Connects a source pad to a sink that drops its data, with a note unless `why` is empty.
    pub fn ignore_pad(&self, pipeline: &gst::Pipeline, pad: &gst::Pad, name: &str, why: &str) {
        if !why.is_empty() {
            self.report.note(format!("{name} is ignored: {why}"));
        }
        if let Err(error) = swallow(pipeline, pad) {
            tracing::warn!(pipeline = %pipeline.name(), %error, "a track that is ignored stays loose");
        }
    }

    fn connect(
        &self,
        pipeline: &gst::Pipeline,
        pad: &gst::Pad,
        kind: Kind,
        elements: &str,
        name: &str,
    ) -> Result<(), Error> {
        let layer = self.layer(kind);
        let writer = layer.map_or_else(|| self.writer(kind), |layer| &layer.writer).clone();
        let (report, noted) = (self.report.clone(), name.to_owned());
        let keep = move |why: &str| {
            let unfit = writer.age().is_none();
            if unfit {
                report.note(format!("{noted} is ignored: {why}"));
            }
            unfit
        };
        let branch = Branch::parse(&branch_name(pad), elements, keep)?;
        if let Some(decoder) = branch.by_name(DECODER) {
            tune(&decoder);
        }
        let sink = gst_app::AppSink::builder().name(self.sink_name(kind)).build();
        match layer {
            Some(layer) => layer.attach(&sink),
            None => self.writer(kind).attach(&sink),
        }
        let what = format!("the {kind} branch");
        let add = || -> Result<(), gst::glib::BoolError> {
            pipeline.add(&branch)?;
            pipeline.add(&sink)?;
            branch.link(&sink)?;
            sink.sync_state_with_parent()?;
            branch.sync_state_with_parent()
        };
        add().map_err(|e| Error::build(&what, e))?;
        let entry =
            branch.static_pad("sink").ok_or_else(|| Error::build(&what, "it has no pad"))?;
        pad.link(&entry).map(|_| ()).map_err(|e| Error::build(&what, e))
    }

    /// Removes what [`Self::attach_pad`] put behind a pad that is gone, so that a replacement track
    /// finds its place free. Call it from `pad-removed`.
    pub fn detach_pad(&self, pipeline: &gst::Pipeline, pad: &gst::Pad) {
        let Some(branch) = pipeline.by_name(&branch_name(pad)) else { return };
        let sink = branch.static_pad("src").and_then(|p| p.peer()).and_then(|p| p.parent_element());
        for element in [Some(branch), sink].into_iter().flatten() {
            element.set_locked_state(true);
            // Both fail only when the pipeline itself is being stopped.
            let _ = element.set_state(gst::State::Null);
            let _ = pipeline.remove(&element);
        }
    }
}

/// Name of the element behind a source pad, to find it again. It includes the parent element's
/// name: the pads of two depayloaders are both called `src`.
fn branch_name(pad: &gst::Pad) -> String {
    let element = pad.parent().map(|p| p.name().to_string()).unwrap_or_default();
    format!("branch-{element}-{}", pad.name())
}

fn swallow(pipeline: &gst::Pipeline, pad: &gst::Pad) -> Result<(), Error> {
    let sink = gst::ElementFactory::make("fakesink")
        .name(branch_name(pad))
        .property("sync", false)
        .property("async", false)
        .build()
        .map_err(|_| Error::MissingElement { factory: "fakesink".into() })?;
    pipeline.add(&sink).map_err(|e| Error::build("a fakesink", e))?;
    sink.sync_state_with_parent().map_err(|e| Error::build("a fakesink", e))?;
    let entry = sink.static_pad("sink").ok_or_else(|| Error::build("a fakesink", "no pad"))?;
    pad.link(&entry).map(|_| ()).map_err(|e| Error::build("a fakesink", e))
}

/// The media type without its other fields.
fn short(caps: &gst::CapsRef) -> String {
    caps.structure(0).map_or_else(|| "unknown".to_owned(), |s| s.name().to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::flow::{Feed, Node};

    /// Runs a source into tracks until the format of its feed is known.
    fn check(source: &str, expect: &str) {
        crate::init().expect("GStreamer starts");
        let (video, audio) = (Feed::new("video", Kind::Video), Feed::new("audio", Kind::Audio));
        let report = Arc::new(SourceReport::new(crate::media::Protocol::Test, "here"));
        let (to_video, to_audio) = (video.sole_writer(), audio.sole_writer());
        let tracks = Tracks::new(to_video, to_audio, report, TrackChoice::default());
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let node =
                Node::parse("source", &format!("{source} ! identity name=exit")).expect("parses");
            let exit = node.element("exit").expect("an exit").static_pad("src").expect("a pad");
            let caps = source.split(" ! ").last().and_then(|caps| caps.parse().ok());
            tracks.attach_pad_with(node.pipeline(), &exit, caps, "the track");
            node.start().await.expect("plays");
            let mut format = audio.format();
            let known = format.wait_for(Option::is_some);
            let known = tokio::time::timeout(std::time::Duration::from_secs(10), known).await;
            let known = known.expect("in time").expect("the feed lives");
            assert_eq!(
                known.as_ref().map(ToString::to_string).as_deref(),
                Some(expect),
                "{source}"
            );
            drop(known);
            node.stop().await.expect("stops");
        });
    }

    #[test]
    fn a_parser_that_has_seen_nothing_yet_takes_its_branch() {
        gst::init().expect("GStreamer starts");
        for (caps, kind) in [
            ("video/mpeg, mpegversion=[ 1, 2 ], parsed=true, systemstream=false", Kind::Video),
            ("audio/mpeg, mpegversion={ 2, 4 }, framed=true", Kind::Audio),
        ] {
            let caps: gst::Caps = caps.parse().expect("caps");
            assert_eq!(branch(&caps).map(|(kind, _)| kind), Some(kind), "{caps}");
        }
    }

    #[test]
    fn sound_of_telephones_and_raw_sound_become_48_khz() {
        let raw = "audiotestsrc is-live=true ! audioconvert ! audioresample";
        check(
            &format!("{raw} ! audio/x-raw,format=S16LE,rate=16000,channels=1"),
            "rawaudio 48000 Hz 1 ch",
        );
        check(
            &format!("{raw} ! alawenc ! audio/x-alaw,rate=8000,channels=1"),
            "rawaudio 48000 Hz 1 ch",
        );
        check(
            &format!("{raw} ! mulawenc ! audio/x-mulaw,rate=8000,channels=1"),
            "rawaudio 48000 Hz 1 ch",
        );
    }
}
