//! The master playlist: which renditions there are and what they need.

use std::fmt::Write;

use crate::egress::fmp4::TrackInfo;

/// One rendition as the master playlist shows it.
#[derive(Clone, Debug)]
pub struct Rendition {
    /// What a decoder must know.
    pub info: TrackInfo,
    /// Highest bit rate of a segment so far, bits per second.
    pub peak: u64,
    /// Average bit rate so far, bits per second.
    pub average: u64,
}

/// The master playlist of a stream. Sound beside pictures is an `AUDIO` group, so that both are
/// fetched on their own; alone it is the stream itself.
pub(super) fn text(video: Option<&Rendition>, audio: Option<&Rendition>, query: &str) -> String {
    let mut out = String::from("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n");
    if let (Some(_), Some(audio)) = (video, audio) {
        let _ = writeln!(
            out,
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"audio\",DEFAULT=YES,AUTOSELECT=YES,\
             CHANNELS=\"{}\",URI=\"audio.m3u8{query}\"",
            audio.info.channels.max(1)
        );
    }
    let both = || video.into_iter().chain(audio);
    let codecs: Vec<_> = both().map(|r| r.info.mime.as_str()).collect();
    if codecs.is_empty() {
        return out;
    }
    let _ = write!(
        out,
        "#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={},CODECS=\"{}\"",
        both().map(|r| r.peak).sum::<u64>().max(1),
        both().map(|r| r.average).sum::<u64>().max(1),
        codecs.join(",")
    );
    if let Some(TrackInfo { width, height, fps, .. }) = video.map(|v| &v.info) {
        if *width > 0 && *height > 0 {
            let _ = write!(out, ",RESOLUTION={width}x{height}");
        }
        if *fps > 0.0 {
            let _ = write!(out, ",FRAME-RATE={fps:.3}");
        }
        if audio.is_some() {
            out.push_str(",AUDIO=\"audio\"");
        }
    }
    let name = if video.is_some() { "video" } else { "audio" };
    let _ = writeln!(out, "\n{name}.m3u8{query}");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Codec;

    fn rendition(codec: Codec, mime: &str) -> Rendition {
        let video = codec == Codec::H264;
        let info = TrackInfo {
            codec,
            timescale: 90_000,
            entry: Vec::new(),
            mime: mime.into(),
            width: if video { 1280 } else { 0 },
            height: if video { 720 } else { 0 },
            fps: if video { 30.0 } else { 0.0 },
            channels: u16::from(!video) * 2,
            frame: None,
        };
        Rendition { info, peak: 1000, average: 800 }
    }

    fn read(text: &str) -> m3u8_rs::MasterPlaylist {
        match m3u8_rs::parse_playlist_res(text.as_bytes()) {
            Ok(m3u8_rs::Playlist::MasterPlaylist(playlist)) => playlist,
            other => panic!("not a master playlist: {other:?}\n{text}"),
        }
    }

    #[test]
    fn pictures_with_sound_are_a_variant_with_a_group() {
        let (video, audio) =
            (rendition(Codec::H264, "avc1.64001f"), rendition(Codec::Aac, "mp4a.40.2"));
        let read = read(&text(Some(&video), Some(&audio), "?token=a"));
        let variant = &read.variants[0];
        assert_eq!(variant.uri, "video.m3u8?token=a");
        assert_eq!(variant.codecs.as_deref(), Some("avc1.64001f,mp4a.40.2"));
        assert_eq!(variant.resolution.map(|r| (r.width, r.height)), Some((1280, 720)));
        assert_eq!((variant.bandwidth, variant.audio.as_deref()), (2000, Some("audio")));
        assert_eq!(read.alternatives[0].uri.as_deref(), Some("audio.m3u8?token=a"));
        assert_eq!(read.alternatives[0].group_id, "audio");
    }

    #[test]
    fn sound_or_pictures_alone_are_the_stream() {
        let audio = rendition(Codec::Aac, "mp4a.40.2");
        let alone = read(&text(None, Some(&audio), ""));
        assert_eq!((alone.variants[0].uri.as_str(), alone.alternatives.len()), ("audio.m3u8", 0));
        let video = rendition(Codec::H264, "avc1.64001f");
        let alone = read(&text(Some(&video), None, ""));
        assert_eq!((alone.variants[0].uri.as_str(), alone.alternatives.len()), ("video.m3u8", 0));
    }
}
