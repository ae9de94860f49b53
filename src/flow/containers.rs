//! Which files are media. The content of a file decides, never its name.
//!
//! Playlists, session descriptions and manifests refer to other media. A demuxer for one of them
//! would open local files and the appliance's own ports for a user who may only give a file. So a
//! file must begin with a container of the list, and only demuxers of the list are plugged for its
//! content.

use gst::prelude::*;

use super::{Blame, Error};

/// Containers and elementary streams that a file may be, as GStreamer media types.
const MEDIA: &[&str] = &[
    "application/mxf",
    "application/ogg",
    "application/x-ape",
    "application/x-apetag",
    "application/x-id3",
    "audio/ogg",
    "audio/x-ac3",
    "audio/x-aiff",
    "audio/x-amr-nb-sh",
    "audio/x-amr-wb-sh",
    "audio/x-au",
    "audio/x-caf",
    "audio/x-dts",
    "audio/x-eac3",
    "audio/x-flac",
    "audio/x-m4a",
    "audio/x-matroska",
    "audio/x-wav",
    "audio/x-wavpack",
    "audio/mpeg",
    "audio/webm",
    "video/mpeg",
    "video/mpegts",
    "video/ogg",
    "video/quicktime",
    "video/webm",
    "video/x-flv",
    "video/x-h264",
    "video/x-h265",
    "video/x-ivf",
    "video/x-matroska",
    "video/x-ms-asf",
    "video/x-msvideo",
    "video/x-av1",
];

/// Demuxers that may be plugged. Any other demuxer could follow addresses.
const DEMUXERS: &[&str] = &[
    "aiffparse",
    "apedemux",
    "asfdemux",
    "auparse",
    "avidemux",
    "avdemux_ape",
    "avdemux_caf",
    "flvdemux",
    "id3demux",
    "ivfparse",
    "matroskademux",
    "mpegpsdemux",
    "mxfdemux",
    "oggdemux",
    "qtdemux",
    "tsdemux",
    "wavparse",
];

/// `GstAutoplugSelectResult`: this factory is not used.
const SKIP_CODE: i32 = 2;

/// `GstAutoplugSelectResult`: this factory is tried.
const TRY_CODE: i32 = 0;

/// The media type of a file, detected from its first bytes; more bytes give a surer result.
///
/// # Errors
/// [`Error::Refused`] that names the type found, if that is not media.
pub fn check(head: &[u8]) -> Result<String, Error> {
    let found = gst_base::functions::type_find_helper_for_data(None::<&gst::Object>, head);
    let Ok((caps, _)) = found else {
        return Err(refused("it is of no kind that is known"));
    };
    let name = caps.structure(0).map_or("", |s| s.name().as_str());
    match MEDIA.contains(&name) {
        true => Ok(name.to_owned()),
        false => Err(refused(&format!("it is {}", described(name)))),
    }
}

fn refused(what: &str) -> Error {
    let hint = "give the media itself in a container such as MP4, Matroska, MPEG-TS, Ogg or WAV";
    Error::refused(Blame::Input, format!("this is no media file: {what}"), hint)
}

/// Describes a media type for the error message.
fn described(name: &str) -> String {
    match name {
        "application/x-hls" => "an HLS playlist (.m3u8), which only names media elsewhere".into(),
        "application/dash+xml" => "a DASH manifest, which only names media elsewhere".into(),
        "application/vnd.ms-sstr+xml" => {
            "a Smooth Streaming manifest, which only names media elsewhere".into()
        }
        "application/sdp" => "a session description (SDP), which only names addresses".into(),
        "text/uri-list" | "application/smil" => {
            "a playlist, which only names media elsewhere".into()
        }
        other => format!("`{other}`"),
    }
}

/// Keeps a `decodebin` or `parsebin` from plugging demuxers that are not on the list, whatever the
/// container holds.
pub fn guard(bin: &gst::Element) {
    bin.connect("autoplug-select", false, |values| {
        let factory = values.iter().find_map(|v| v.get::<gst::ElementFactory>().ok());
        let plugged = factory.as_ref().is_some_and(is_harmless);
        if let Some(factory) = factory.filter(|_| !plugged) {
            tracing::warn!(element = %factory.name(), "not plugged into a file: it follows addresses");
        }
        let result = gst::glib::Type::from_name("GstAutoplugSelectResult")?;
        let class = gst::glib::EnumClass::with_type(result)?;
        class.to_value(if plugged { TRY_CODE } else { SKIP_CODE })
    });
}

fn is_harmless(factory: &gst::ElementFactory) -> bool {
    if DEMUXERS.contains(&factory.name().as_str()) {
        return true;
    }
    let class = factory.metadata("klass").unwrap_or_default();
    let is = |word: &str| class.split('/').any(|part| part == word);
    let opens = ["Demuxer", "Demux", "Source", "Bin", "Network", "Adaptive"];
    !opens.into_iter().any(is) && ["Parser", "Decoder", "Converter"].into_iter().any(is)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_is_told_from_what_names_media() {
        crate::init().expect("GStreamer");
        let check = |head: &[u8], expect: &str| {
            let found = check(head).map_or_else(|e| e.to_string(), |_| "media".into());
            assert!(found.contains(expect), "{found} instead of {expect}");
        };
        check(
            b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0data",
            "media",
        );
        check(b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41\0\0\0\x08free", "media");
        check(b"OggS\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x13OpusHead", "media");
        check(
            b"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nfile:///etc/passwd\n",
            "HLS playlist",
        );
        check(
            b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=audio 5004 RTP/AVP 0\r\n",
            "session description",
        );
        check(
            b"<?xml version=\"1.0\"?>\n<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\"></MPD>",
            "no media file",
        );
        check(b"", "no kind that is known");
        check(b"root:x:0:0:root:/root:/bin/bash\n", "no media file");
    }

    #[test]
    fn whatever_follows_addresses_is_not_plugged() {
        crate::init().expect("GStreamer");
        let harmless = |name: &str| gst::ElementFactory::find(name).map(|f| is_harmless(&f));
        for name in ["qtdemux", "matroskademux", "tsdemux", "h264parse", "avdec_aac", "opusdec"] {
            assert_ne!(harmless(name), Some(false), "{name}");
        }
        for name in
            ["hlsdemux", "hlsdemux2", "dashdemux", "sdpdemux", "urisourcebin", "avdemux_concat"]
        {
            assert_ne!(harmless(name), Some(true), "{name}");
        }
        assert_eq!(harmless("qtdemux"), Some(true));
    }
}
