//! The one table of parsers: how coded frames get the form that a container or a decoder needs.

use crate::media::{Codec, Kind};

/// Who determines the form of coded frames: byte-stream or length-prefixed, with headers or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Feeds: H.264 and H.265 as Annex B access units with parameter sets before each key frame,
    /// AV1 as temporal units, raw AAC, Opus packets, and the media of [`Framing::raw`].
    Feed,
    /// Decoders.
    Decoder,
    /// MPEG-TS, whose muxer takes AAC with ADTS headers.
    MpegTs,
    /// MP4: H.264 as `avc1`, H.265 as `hvc1`.
    Mp4,
    /// FLV, as RTMP carries it.
    Flv,
}

impl Framing {
    /// The elements that give the frames of a codec this form, in `gst-launch-1.0` syntax. `None`
    /// if the form does not exist.
    ///
    /// Caps are set by `capsfilter`, because a bin cannot end with bare caps.
    pub fn parser(self, codec: Codec) -> Option<&'static str> {
        use Framing::{Decoder, Feed, Flv, Mp4, MpegTs};
        Some(match (codec, self) {
            (Codec::H264, Feed) => {
                "h264parse config-interval=-1 \
                 ! capsfilter caps=video/x-h264,stream-format=byte-stream,alignment=au"
            }
            (Codec::H264, MpegTs) => {
                "h264parse config-interval=-1 ! capsfilter caps=video/x-h264,alignment=au"
            }
            (Codec::H264, Mp4 | Flv) => {
                "h264parse ! capsfilter caps=video/x-h264,stream-format=avc,alignment=au"
            }
            (Codec::H264, Decoder) => "h264parse",
            (Codec::H265, Feed) => {
                "h265parse config-interval=-1 \
                 ! capsfilter caps=video/x-h265,stream-format=byte-stream,alignment=au"
            }
            (Codec::H265, MpegTs) => {
                "h265parse config-interval=-1 ! capsfilter caps=video/x-h265,alignment=au"
            }
            (Codec::H265, Mp4) => {
                "h265parse ! capsfilter caps=video/x-h265,stream-format=hvc1,alignment=au"
            }
            (Codec::H265, Decoder) => "h265parse",
            (Codec::Vp8, Feed | Mp4 | Decoder) | (Codec::Opus, Decoder) => "identity silent=true",
            (Codec::Vp9, Feed | Mp4) => {
                "vp9parse ! capsfilter caps=video/x-vp9,alignment=super-frame"
            }
            (Codec::Vp9, Decoder) => "vp9parse",
            (Codec::Av1, Feed | Mp4) => {
                "av1parse ! capsfilter caps=video/x-av1,stream-format=obu-stream,alignment=tu"
            }
            (Codec::Av1, Decoder) => "av1parse",
            (Codec::Aac, Feed | Mp4 | Flv) => {
                "aacparse ! capsfilter caps=audio/mpeg,mpegversion=4,stream-format=raw"
            }
            (Codec::Aac, MpegTs) => {
                "aacparse ! capsfilter caps=audio/mpeg,mpegversion=4,stream-format=adts"
            }
            (Codec::Aac, Decoder) => "aacparse",
            (Codec::Opus, Feed | MpegTs | Mp4) => "opusparse",
            (Codec::Mp2 | Codec::Mp3, Feed | MpegTs | Decoder) => "mpegaudioparse",
            (Codec::RawVideo | Codec::RawAudio, Feed) => Self::raw(codec.kind()),
            (Codec::RawVideo | Codec::RawAudio, Decoder) => "identity silent=true",
            _ => return None,
        })
    }

    /// The elements that make all raw media of feeds alike: progressive I420 video, because encoders
    /// and web players take no fields, and F32LE audio at 48 kHz, mono or stereo.
    pub(super) fn raw(kind: Kind) -> &'static str {
        match kind {
            Kind::Video => {
                "deinterlace mode=auto fields=top ! videoconvert \
                 ! capsfilter caps=\"video/x-raw,format=I420\""
            }
            Kind::Audio => {
                "audioconvert ! audioresample ! capsfilter \
                 caps=\"audio/x-raw,format=F32LE,rate=48000,channels=[1,2],layout=interleaved\""
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parser_is_a_bin_with_two_ends() {
        crate::init().expect("GStreamer starts");
        for framing in
            [Framing::Feed, Framing::Decoder, Framing::MpegTs, Framing::Mp4, Framing::Flv]
        {
            for parser in Codec::ALL.into_iter().filter_map(|codec| framing.parser(codec)) {
                let bin = gst::parse::bin_from_description(parser, true);
                let bin = bin.unwrap_or_else(|error| panic!("{parser}: {error}"));
                let ends =
                    ["sink", "src"].map(|pad| gst::prelude::ElementExt::static_pad(&bin, pad));
                assert!(ends.iter().all(Option::is_some), "{parser}");
            }
        }
    }

    #[test]
    fn feeds_and_decoders_take_every_codec_and_containers_some() {
        let carried = |framing: Framing| {
            let carried = Codec::ALL.into_iter().filter(|codec| framing.parser(*codec).is_some());
            carried.map(Codec::as_str).collect::<Vec<_>>().join(" ")
        };
        let all = Codec::ALL.map(Codec::as_str).join(" ");
        assert_eq!(carried(Framing::Feed), all);
        assert_eq!(carried(Framing::Decoder), all);
        assert_eq!(carried(Framing::MpegTs), "h264 h265 aac opus mp2 mp3");
        assert_eq!(carried(Framing::Mp4), "h264 h265 vp8 vp9 av1 aac opus");
        assert_eq!(carried(Framing::Flv), "h264 aac");
    }
}
