//! The master playlist: available renditions and their requirements.

use std::fmt::Write;

use super::subtitles::Offered;
use crate::egress::segments::fmp4::TrackInfo;
use crate::media::Language;

/// One rendition in the master playlist.
#[derive(Clone, Debug)]
pub struct Rendition {
    /// Its decoder configuration.
    pub info: TrackInfo,
    /// Maximum bit rate of a segment so far, bit/s.
    pub peak: u64,
    /// Average bit rate so far, bit/s.
    pub average: u64,
}

/// Captions embedded in the video, as signalled to players (rfc8216bis 4.4.6.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosedCaptions {
    /// `CC1`-`CC4` or `SERVICE1`-`SERVICE63`.
    pub instream_id: String,
    /// Their language, if known.
    pub language: Option<Language>,
}

/// Content of a master playlist.
pub(super) struct Contents<'a> {
    pub(super) video: Option<Rendition>,
    /// The video as H.264, whether or not it is being encoded.
    pub(super) h264: Option<Rendition>,
    pub(super) audio: Option<Rendition>,
    /// Audio in other languages, possibly not available yet.
    pub(super) dubs: Vec<(Language, Option<Rendition>)>,
    /// Captions as separate renditions, the original first.
    pub(super) captions: Vec<Offered>,
    pub(super) closed_captions: &'a [ClosedCaptions],
}

/// The master playlist of a stream. Audio with video is an `AUDIO` group, so that both are fetched
/// separately; audio alone is the stream itself. The first caption language is the spoken one. The
/// original video precedes transcoded video, because players take the first variant that they can
/// decode.
pub(super) fn text(contents: &Contents<'_>, query: &str) -> String {
    let mut out = String::from("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n");
    if contents.video.is_none() && sounds(contents).next().is_none() {
        return out;
    }
    put_sound(&mut out, contents, query);
    put_captions(&mut out, contents, query);
    if contents.video.is_none() {
        put_variant(&mut out, contents, None, &format!("audio.m3u8{query}"));
    }
    for (name, video) in [("video", &contents.video), ("video-h264", &contents.h264)] {
        if video.is_some() {
            put_variant(&mut out, contents, video.as_ref(), &format!("{name}.m3u8{query}"));
        }
    }
    out
}

/// All audio renditions.
fn sounds<'a>(contents: &'a Contents<'_>) -> impl Iterator<Item = &'a Rendition> {
    contents.audio.iter().chain(contents.dubs.iter().filter_map(|(_, dub)| dub.as_ref()))
}

fn put_variant(out: &mut String, contents: &Contents<'_>, video: Option<&Rendition>, uri: &str) {
    // The list covers a variant with everything that can be selected in it.
    let mut codecs: Vec<&str> = Vec::new();
    for rendition in video.into_iter().chain(sounds(contents)) {
        if !codecs.contains(&rendition.info.mime.as_str()) {
            codecs.push(&rendition.info.mime);
        }
    }
    let loudest = |rate: fn(&Rendition) -> u64| {
        let pictures = video.map_or(0, rate);
        (pictures + sounds(contents).map(rate).max().unwrap_or(0)).max(1)
    };
    let _ = write!(
        out,
        "#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={},CODECS=\"{}\"",
        loudest(|r| r.peak),
        loudest(|r| r.average),
        codecs.join(",")
    );
    if let Some(TrackInfo { width, height, fps, .. }) = video.map(|v| &v.info) {
        if *width > 0 && *height > 0 {
            let _ = write!(out, ",RESOLUTION={width}x{height}");
        }
        if *fps > 0.0 {
            let _ = write!(out, ",FRAME-RATE={fps:.3}");
        }
    }
    if has_group(contents) {
        out.push_str(",AUDIO=\"audio\"");
    }
    if !contents.captions.is_empty() {
        out.push_str(",SUBTITLES=\"captions\"");
    }
    // Omitted if we embed no captions, because the source may have embedded its own.
    if video.is_some() && !contents.closed_captions.is_empty() {
        out.push_str(",CLOSED-CAPTIONS=\"inside\"");
    }
    let _ = writeln!(out, "\n{uri}");
}

/// Whether audio is selected from a group.
fn has_group(contents: &Contents<'_>) -> bool {
    contents.audio.is_some() && (contents.video.is_some() || !contents.dubs.is_empty())
}

/// Makes names unique, as a group requires: `português (pt-BR)` beside `português`.
#[derive(Default)]
struct Names(Vec<String>);

impl Names {
    fn of(&mut self, language: &Language) -> String {
        let name = match language {
            unknown if *unknown == Language::undetermined() => "original",
            known => known.name(),
        };
        let taken = self.0.iter().any(|given| given == name);
        let name = if taken { format!("{name} ({language})") } else { name.to_owned() };
        self.0.push(name.clone());
        name
    }
}

fn put_sound(out: &mut String, contents: &Contents<'_>, query: &str) {
    let Some(audio) = contents.audio.as_ref().filter(|_| has_group(contents)) else { return };
    let mut names = Names::default();
    let spoken = contents.captions.first().map(|original| &original.language);
    let (name, language) = match spoken.filter(|l| **l != Language::undetermined()) {
        Some(language) => (names.of(language), format!(",LANGUAGE=\"{language}\"")),
        None => ("audio".into(), String::new()),
    };
    let _ = writeln!(
        out,
        "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"{name}\"{language},DEFAULT=YES,\
         AUTOSELECT=YES,CHANNELS=\"{}\",URI=\"audio.m3u8{query}\"",
        audio.info.channels.max(1)
    );
    for (language, dub) in &contents.dubs {
        let channels =
            dub.as_ref().map(|dub| format!(",CHANNELS=\"{}\"", dub.info.channels.max(1)));
        let _ = writeln!(
            out,
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"{}\",LANGUAGE=\"{language}\",\
             DEFAULT=NO,AUTOSELECT=YES{},URI=\"audio-{language}.m3u8{query}\"",
            names.of(language),
            channels.unwrap_or_default()
        );
    }
}

fn put_captions(out: &mut String, contents: &Contents<'_>, query: &str) {
    let mut names = Names::default();
    for Offered { name, language } in &contents.captions {
        let _ = writeln!(
            out,
            "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"captions\",NAME=\"{}\",\
             LANGUAGE=\"{language}\",DEFAULT=NO,AUTOSELECT=YES,\
             CHARACTERISTICS=\"public.accessibility.transcribes-spoken-dialog\",\
             URI=\"captions-{name}.m3u8{query}\"",
            names.of(language)
        );
    }
    for ClosedCaptions { instream_id, language } in contents.closed_captions {
        let tag = language.as_ref().map(|l| format!(",LANGUAGE=\"{l}\"")).unwrap_or_default();
        let name = language.as_ref().map_or(instream_id.as_str(), Language::name);
        let _ = writeln!(
            out,
            "#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"inside\",\
             NAME=\"{name} ({instream_id})\"{tag},DEFAULT=NO,AUTOSELECT=YES,\
             INSTREAM-ID=\"{instream_id}\""
        );
    }
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

    fn contents(video: Option<Rendition>, audio: Option<Rendition>) -> Contents<'static> {
        let (dubs, captions) = (Vec::new(), Vec::new());
        Contents { video, h264: None, audio, dubs, captions, closed_captions: &[] }
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
        let read = read(&text(&contents(Some(video), Some(audio)), "?token=a"));
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
        let alone = read(&text(&contents(None, Some(audio)), ""));
        assert_eq!((alone.variants[0].uri.as_str(), alone.alternatives.len()), ("audio.m3u8", 0));
        let video = rendition(Codec::H264, "avc1.64001f");
        let alone = read(&text(&contents(Some(video), None), ""));
        assert_eq!((alone.variants[0].uri.as_str(), alone.alternatives.len()), ("video.m3u8", 0));
    }

    #[test]
    fn pictures_that_not_everybody_decodes_come_before_the_same_as_h264() {
        let (video, audio) =
            (rendition(Codec::H265, "hvc1.1.6.L93.90"), rendition(Codec::Aac, "mp4a.40.2"));
        let h264 = Some(rendition(Codec::H264, "avc1.42c01f"));
        let read =
            read(&text(&Contents { h264, ..contents(Some(video), Some(audio)) }, "?token=a"));
        let listed =
            |v: &m3u8_rs::VariantStream| (v.uri.clone(), v.codecs.clone(), v.audio.clone());
        let variants: Vec<_> = read.variants.iter().map(listed).collect();
        let expect = |uri: &str, codecs: &str| {
            (uri.to_owned(), Some(codecs.to_owned()), Some("audio".to_owned()))
        };
        assert_eq!(
            variants,
            [
                expect("video.m3u8?token=a", "hvc1.1.6.L93.90,mp4a.40.2"),
                expect("video-h264.m3u8?token=a", "avc1.42c01f,mp4a.40.2"),
            ]
        );
    }

    #[test]
    fn languages_are_listed_for_ears_and_eyes() {
        let language = |tag: &str| tag.parse::<Language>().expect("a language");
        let offered =
            |name: &str, tag: &str| Offered { name: language(name), language: language(tag) };
        let inside = |id: &str, tag: &str| ClosedCaptions {
            instream_id: id.into(),
            language: Some(language(tag)),
        };
        let closed_captions = [inside("CC1", "en"), inside("SERVICE2", "es")];
        let contents = Contents {
            video: Some(rendition(Codec::H264, "avc1.64001f")),
            h264: None,
            audio: Some(rendition(Codec::Aac, "mp4a.40.2")),
            dubs: vec![
                (language("es"), Some(rendition(Codec::Aac, "mp4a.40.2"))),
                (language("pt"), None),
                (language("pt-BR"), None),
            ],
            captions: vec![offered("und", "en"), offered("es", "es")],
            closed_captions: &closed_captions,
        };
        let read = read(&text(&contents, "?token=a"));
        let variant = &read.variants[0];
        assert_eq!(variant.subtitles.as_deref(), Some("captions"));
        assert_eq!(variant.bandwidth, 2000, "one sound at a time");
        let listed: Vec<String> = read
            .alternatives
            .iter()
            .map(|a| {
                let of = |text: &Option<String>| text.clone().unwrap_or_default();
                format!("{:?} {} {} {}", a.media_type, of(&a.language), a.name, of(&a.uri))
            })
            .collect();
        assert_eq!(
            listed,
            [
                "Audio en English audio.m3u8?token=a",
                "Audio es español audio-es.m3u8?token=a",
                "Audio pt português audio-pt.m3u8?token=a",
                "Audio pt-BR português (pt-BR) audio-pt-BR.m3u8?token=a",
                "Subtitles en English captions-und.m3u8?token=a",
                "Subtitles es español captions-es.m3u8?token=a",
                "ClosedCaptions en English (CC1) ",
                "ClosedCaptions es español (SERVICE2) ",
            ]
        );
    }
}
