//! From a demuxer's pad to a stream's writer.

use std::sync::Arc;

use gst::prelude::*;

use super::{Error, SourceReport, Writer};
use crate::media::Kind;

/// Where the tracks of one publisher go. Cheap to clone, so that callbacks can own it.
#[derive(Clone)]
pub struct Tracks {
    /// Where pictures go.
    pub video: Writer,
    /// Where sound goes.
    pub audio: Writer,
    /// What the API shows of this publisher.
    pub report: Arc<SourceReport>,
}

/// What stands between a source pad with these caps and a feed, so that every feed carries one
/// canonical form: H.264/H.265 as Annex B access units with parameter sets before each key frame,
/// AV1 as temporal units, raw AAC, Opus packets. Broadcast codecs that nothing downstream takes
/// (MPEG-2 video, AC-3) are decoded here.
///
/// `None` for a pad that is neither video nor audio that we know.
fn branch(caps: &gst::CapsRef) -> Option<(Kind, &'static str)> {
    let s = caps.structure(0)?;
    let name = s.name().as_str();
    let version = s.get::<i32>("mpegversion").unwrap_or(0);
    Some(match (name, version) {
        ("video/x-h264", _) => (
            Kind::Video,
            "h264parse config-interval=-1 \
             ! capsfilter caps=video/x-h264,stream-format=byte-stream,alignment=au",
        ),
        ("video/x-h265", _) => (
            Kind::Video,
            "h265parse config-interval=-1 \
             ! capsfilter caps=video/x-h265,stream-format=byte-stream,alignment=au",
        ),
        ("video/x-vp8", _) => (Kind::Video, "identity silent=true"),
        ("video/x-raw", _) => (
            Kind::Video,
            "videoconvert \
             ! capsfilter caps=video/x-raw,format=I420",
        ),
        ("video/x-vp9", _) => {
            (Kind::Video, "vp9parse ! capsfilter caps=video/x-vp9,alignment=frame")
        }
        ("video/x-av1", _) => (
            Kind::Video,
            "av1parse \
             ! capsfilter caps=video/x-av1,stream-format=obu-stream,alignment=tu",
        ),
        ("video/mpeg", 1 | 2) => (
            Kind::Video,
            "mpegvideoparse ! avdec_mpeg2video ! videoconvert \
             ! capsfilter caps=video/x-raw,format=I420",
        ),
        ("audio/mpeg", 2 | 4) => {
            (Kind::Audio, "aacparse ! capsfilter caps=audio/mpeg,mpegversion=4,stream-format=raw")
        }
        ("audio/mpeg", 1) => (Kind::Audio, "mpegaudioparse"),
        ("audio/x-opus", _) => (Kind::Audio, "opusparse"),
        ("audio/x-ac3" | "audio/x-eac3" | "audio/x-private1-ac3", _) => (
            Kind::Audio,
            "ac3parse ! avdec_ac3 ! audioconvert ! audioresample \
             ! capsfilter caps=audio/x-raw,format=F32LE,rate=48000,layout=interleaved",
        ),
        // No `decodebin` here: while it looks for its decoder it takes the whole pipeline back to
        // PAUSED, and a track that comes at that moment would stay there.
        ("audio/x-raw", _) => (
            Kind::Audio,
            "audioconvert ! audioresample \
             ! capsfilter caps=audio/x-raw,format=F32LE,rate=48000,layout=interleaved",
        ),
        ("audio/x-alaw", _) => (
            Kind::Audio,
            "alawdec ! audioconvert ! audioresample \
             ! capsfilter caps=audio/x-raw,format=F32LE,rate=48000,layout=interleaved",
        ),
        ("audio/x-mulaw", _) => (
            Kind::Audio,
            "mulawdec ! audioconvert ! audioresample \
             ! capsfilter caps=audio/x-raw,format=F32LE,rate=48000,layout=interleaved",
        ),
        _ => return None,
    })
}

impl Tracks {
    /// The writer of a kind.
    pub fn writer(&self, kind: Kind) -> &Writer {
        match kind {
            Kind::Video => &self.video,
            Kind::Audio => &self.audio,
        }
    }

    /// Connects a source pad in `pipeline` to the writer of its kind. The first pad of each kind
    /// wins; further ones and unknown ones end in a sink that swallows them, with a note for the
    /// API. Call it from `pad-added`, on a GStreamer thread.
    ///
    /// # Errors
    /// When an element is missing or a pad does not link.
    pub fn attach_pad(&self, pipeline: &gst::Pipeline, pad: &gst::Pad) -> Result<(), Error> {
        self.attach_pad_with(pipeline, pad, pad.current_caps())
    }

    /// The same for a pad whose caps the caller knows better than the pad does yet.
    ///
    /// # Errors
    /// When an element is missing or a pad does not link.
    pub fn attach_pad_with(
        &self,
        pipeline: &gst::Pipeline,
        pad: &gst::Pad,
        caps: Option<gst::Caps>,
    ) -> Result<(), Error> {
        let caps = caps.unwrap_or_else(|| pad.query_caps(None));
        let branch = branch(&caps).filter(|(kind, _)| pipeline.by_name(kind.as_str()).is_none());
        let Some((kind, description)) = branch else {
            self.report.note(format!("a track is ignored: {}", short(&caps)));
            return swallow(pipeline, pad);
        };
        let what = format!("the {kind} branch");
        let bin = gst::parse::bin_from_description(description, true)
            .map_err(|e| Error::build(&what, e))?;
        bin.set_property("name", branch_name(pad));
        let sink = gst_app::AppSink::builder().name(kind.as_str()).build();
        self.writer(kind).attach(&sink);
        let add = || -> Result<(), gst::glib::BoolError> {
            pipeline.add(&bin)?;
            pipeline.add(&sink)?;
            bin.link(&sink)?;
            sink.sync_state_with_parent()?;
            bin.sync_state_with_parent()
        };
        add().map_err(|e| Error::build(&what, e))?;
        let entry = bin.static_pad("sink").ok_or_else(|| Error::build(&what, "it has no pad"))?;
        pad.link(&entry).map(|_| ()).map_err(|e| Error::build(&what, e))
    }

    /// Takes away what [`Self::attach_pad`] put behind a pad that is gone, so that the track that
    /// replaces it finds its place free. Call it from `pad-removed`.
    pub fn detach_pad(&self, pipeline: &gst::Pipeline, pad: &gst::Pad) {
        let Some(branch) = pipeline.by_name(&branch_name(pad)) else { return };
        let sink = branch.static_pad("src").and_then(|p| p.peer()).and_then(|p| p.parent_element());
        for element in [Some(branch), sink].into_iter().flatten() {
            element.set_locked_state(true);
            // Both only fail when the pipeline itself is going.
            let _ = element.set_state(gst::State::Null);
            let _ = pipeline.remove(&element);
        }
    }
}

/// What stands behind a source pad is found again by its name. The element's name belongs to it:
/// the pads of two depayloaders are both called `src`.
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

/// The media type without its hundred fields.
fn short(caps: &gst::CapsRef) -> String {
    caps.structure(0).map_or_else(|| "unknown".to_owned(), |s| s.name().to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::flow::{Feed, Node};

    /// Runs a source into tracks until its feed knows what it is.
    fn check(source: &str, expect: &str) {
        crate::flow::init().expect("GStreamer starts");
        let (video, audio) = (Feed::new("video", Kind::Video), Feed::new("audio", Kind::Audio));
        let tracks = Tracks {
            video: video.sole_writer(),
            audio: audio.sole_writer(),
            report: Arc::new(SourceReport::new("test", "here")),
        };
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let node =
                Node::parse("source", &format!("{source} ! identity name=exit")).expect("parses");
            let exit = node.element("exit").expect("an exit").static_pad("src").expect("a pad");
            let caps = source.split(" ! ").last().and_then(|caps| caps.parse().ok());
            tracks.attach_pad_with(node.pipeline(), &exit, caps).expect("attaches");
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
