//! The names of files that players fetch.

use crate::egress::segments::TrackId;
use crate::media::Language;

/// A file of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum File {
    /// Whether the credential opens the stream, without the media: for caches.
    Admission,
    Master,
    Mpd,
    Playlist(TrackId),
    Init(TrackId, u64),
    Segment(TrackId, u64),
    /// A segment by its initialisation section and start in ticks.
    SegmentAt(TrackId, u64, u64),
    Part(TrackId, u64, usize),
    Captions(Language),
    CaptionsSegment(Language, u64),
    /// Captions for DASH by the start of the segment in ticks of the presentation.
    CaptionsAt(Language, u64),
}

impl File {
    /// `index.m3u8`, `video.m3u8`, `video.init3.mp4`, `video.17.m4s`, `video.17.2.m4s`, `video.3.t180000.m4s`,
    /// `audio-es.m3u8`, `captions-es.m3u8`, `captions-es.17.vtt`, `captions-es.t180000.vtt`,
    /// `manifest.mpd`, `admission`.
    pub(super) fn parse(name: &str) -> Option<Self> {
        match name {
            "index.m3u8" => return Some(Self::Master),
            "manifest.mpd" => return Some(Self::Mpd),
            "admission" => return Some(Self::Admission),
            _ => {}
        }
        let (track, rest) = name.split_once('.')?;
        if let Some(language) = track.strip_prefix("captions-") {
            let language = language.parse().ok()?;
            return match rest.strip_suffix(".vtt") {
                Some(place) => Some(match place.strip_prefix('t') {
                    Some(start) => Self::CaptionsAt(language, start.parse().ok()?),
                    None => Self::CaptionsSegment(language, place.parse().ok()?),
                }),
                None => (rest == "m3u8").then_some(Self::Captions(language)),
            };
        }
        let track = TrackId::parse(track)?;
        if rest == "m3u8" {
            return Some(Self::Playlist(track));
        }
        if let Some(number) = rest.strip_prefix("init").and_then(|r| r.strip_suffix(".mp4")) {
            return Some(Self::Init(track, number.parse().ok()?));
        }
        let numbers = rest.strip_suffix(".m4s")?;
        match numbers.split_once('.') {
            None => Some(Self::Segment(track, numbers.parse().ok()?)),
            Some((number, rest)) => {
                let number = number.parse().ok()?;
                Some(match rest.strip_prefix('t') {
                    Some(start) => Self::SegmentAt(track, number, start.parse().ok()?),
                    None => Self::Part(track, number, rest.parse().ok()?),
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_taken_apart() {
        let check = |name: &str, expect| assert_eq!(File::parse(name), expect, "{name}");
        check("admission", Some(File::Admission));
        check("index.m3u8", Some(File::Master));
        check("manifest.mpd", Some(File::Mpd));
        check("audio.m3u8", Some(File::Playlist(TrackId::Audio)));
        check("video.init0.mp4", Some(File::Init(TrackId::Video, 0)));
        check("video.17.m4s", Some(File::Segment(TrackId::Video, 17)));
        check("audio.17.3.m4s", Some(File::Part(TrackId::Audio, 17, 3)));
        check("video.3.t180000.m4s", Some(File::SegmentAt(TrackId::Video, 3, 180_000)));
        let spanish = || "es".parse().expect("a language");
        check("audio-es.17.m4s", Some(File::Segment(TrackId::Dub(spanish()), 17)));
        check("captions-es.m3u8", Some(File::Captions(spanish())));
        check("captions-es.17.vtt", Some(File::CaptionsSegment(spanish(), 17)));
        check("captions-es.t9.vtt", Some(File::CaptionsAt(spanish(), 9)));
        for bad in [
            "captions-es.t.vtt",
            "captions-.m3u8",
            "captions-es.vtt",
            "audio-x/y.m3u8",
            "",
            "video",
            "x.1.m4s",
            "video..m4s",
            "video.3.t.m4s",
            "video.3.t-1.m4s",
            "video.-1.m4s",
            "video.1.2.3.m4s",
            "../x",
        ] {
            check(bad, None);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_file_name_is_survived(name: String) {
            File::parse(&name);
        }
    }
}
