//! Payloaders: elements that make RTP packets.

use gst::prelude::*;

use crate::media::Codec;

/// Whether the payloader of a codec is installed.
pub fn can_send(codec: Codec) -> bool {
    crate::webrtc::register();
    let factory = payloader(codec).and_then(|d| d.split(' ').next());
    factory.is_some_and(|f| gst::ElementFactory::find(f).is_some())
}

/// The payloader of a codec.
pub(crate) fn payloader(codec: Codec) -> Option<&'static str> {
    Some(match codec {
        // The parameter sets before each key frame come from the parser of feeds and encoders. Those
        // that this element can add stand before each slice: a receiver takes the second slice of a
        // key frame for another frame.
        Codec::H264 => "rtph264pay aggregate-mode=zero-latency",
        // Picture ids let the player distinguish a lost frame from an omitted one.
        Codec::Vp8 => "rtpvp8pay picture-id-mode=15-bit",
        Codec::Vp9 => "rtpvp9pay picture-id-mode=15-bit",
        Codec::Av1 => "rtpav1pay",
        Codec::Opus => "rtpopuspay",
        _ => return None,
    })
}

/// `webrtcbin` links a track internally when its caps arrive. Only then can latency be distributed.
/// Without it sender reports carry no time, and players cannot synchronise audio and video.
pub(crate) fn configure_latency_when_linked(pipeline: &gst::Pipeline, exit: &gst::Pad) {
    let pipeline = pipeline.downgrade();
    let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
    exit.add_probe(kinds, move |_, _| {
        if let Some(pipeline) = pipeline.upgrade() {
            pipeline.call_async(|pipeline| {
                let _ = pipeline.recalculate_latency();
            });
        }
        gst::PadProbeReturn::Remove
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Framing;

    /// Encoders that share a frame among threads make several slices of it: a receiver must see one
    /// frame, with parameter sets where decoding can start.
    #[test]
    fn key_frames_of_several_slices_are_one_frame() {
        crate::init().expect("GStreamer starts");
        let parser = Framing::Feed.parser(Codec::H264).expect("it has one");
        let payloader = payloader(Codec::H264).expect("it has one");
        let description = format!(
            "videotestsrc num-buffers=8 pattern=white ! video/x-raw,width=640,height=360,framerate=30/1 \
             ! x264enc tune=zerolatency threads=2 key-int-max=2 ! {parser} ! {payloader} \
             ! rtph264depay ! video/x-h264,stream-format=byte-stream,alignment=au \
             ! appsink name=out sync=false"
        );
        let pipeline = gst::parse::launch(&description).expect("it is installed");
        let pipeline = pipeline.downcast::<gst::Pipeline>().expect("a pipeline");
        let out = pipeline.by_name("out").expect("named");
        let out = out.downcast::<gst_app::AppSink>().expect("an appsink");
        pipeline.set_state(gst::State::Playing).expect("it starts");
        let frames: Vec<gst::Sample> = std::iter::from_fn(|| out.pull_sample().ok()).collect();
        pipeline.set_state(gst::State::Null).expect("it stops");
        let slices_and_sets = |sample: &gst::Sample| {
            let map = sample.buffer().and_then(|b| b.map_readable().ok()).expect("readable");
            let kinds = map.windows(4).filter(|w| w[..3] == [0, 0, 1]).map(|w| w[3] & 31);
            kinds.fold((0, 0), |(slices, sets), kind| match kind {
                1 | 5 => (slices + 1, sets),
                7 => (slices, sets + 1),
                _ => (slices, sets),
            })
        };
        let found: Vec<(u32, u32)> = frames.iter().map(slices_and_sets).collect();
        assert_eq!(found.len(), 8, "{found:?}");
        for (n, (slices, sets)) in found.into_iter().enumerate() {
            assert_eq!((slices, sets > 0), (2, n % 2 == 0), "frame {n}");
        }
    }
}
