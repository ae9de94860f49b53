//! The master playlist: available renditions and their requirements.

use std::fmt::Write;

use crate::captions::Service;
use crate::egress::segments::fmp4::TrackInfo;
use crate::egress::segments::{CaptionRendition, ClosedCaptions, Presentation, Rendition, TrackId};
use crate::media::Language;

/// The master playlist of a stream. Audio with video is an `AUDIO` group, so that both are fetched
/// separately; audio alone is the stream itself. The first caption language is the spoken one. The
/// original video precedes transcoded video, because players take the first variant that they can
/// decode.
pub(super) fn text(presentation: &Presentation, query: &str) -> String {
    let mut out = String::from("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n");
    if presentation.video.is_none() && sounds(presentation).next().is_none() {
        return out;
    }
    put_sound(&mut out, presentation, query);
    put_captions(&mut out, presentation, query);
    if presentation.video.is_none() {
        put_variant(&mut out, presentation, None, &format!("audio.m3u8{query}"));
    }
    let original = presentation.video.iter().map(|video| (&TrackId::Video, video));
    let encoded = presentation.encoded.iter().map(|(id, video)| (id, video));
    for (id, video) in original.chain(encoded) {
        put_variant(&mut out, presentation, Some(video), &format!("{id}.m3u8{query}"));
    }
    out
}

/// All audio renditions.
fn sounds(presentation: &Presentation) -> impl Iterator<Item = &Rendition> {
    presentation.audio.iter().chain(presentation.dubs.iter().filter_map(|(_, dub)| dub.as_ref()))
}

fn put_variant(
    out: &mut String,
    presentation: &Presentation,
    video: Option<&Rendition>,
    uri: &str,
) {
    // The list covers a variant with everything that can be selected in it.
    let mut codecs: Vec<&str> = Vec::new();
    for rendition in video.into_iter().chain(sounds(presentation)) {
        if !codecs.contains(&rendition.info.mime.as_str()) {
            codecs.push(&rendition.info.mime);
        }
    }
    let loudest = |rate: fn(&Rendition) -> u64| {
        let pictures = video.map_or(0, rate);
        (pictures + sounds(presentation).map(rate).max().unwrap_or(0)).max(1)
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
    if has_group(presentation) {
        out.push_str(",AUDIO=\"audio\"");
    }
    if !presentation.captions.is_empty() {
        out.push_str(",SUBTITLES=\"captions\"");
    }
    // Omitted if we embed no captions, because the source may have embedded its own.
    if video.is_some() && !presentation.closed_captions.is_empty() {
        out.push_str(",CLOSED-CAPTIONS=\"inside\"");
    }
    let _ = writeln!(out, "\n{uri}");
}

/// Whether audio is selected from a group.
fn has_group(presentation: &Presentation) -> bool {
    presentation.audio.is_some() && (presentation.video.is_some() || !presentation.dubs.is_empty())
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

fn put_sound(out: &mut String, presentation: &Presentation, query: &str) {
    let Some(audio) = presentation.audio.as_ref().filter(|_| has_group(presentation)) else {
        return;
    };
    let mut names = Names::default();
    let spoken = presentation.captions.first().map(|original| &original.language);
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
    for (language, dub) in &presentation.dubs {
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

fn put_captions(out: &mut String, presentation: &Presentation, query: &str) {
    let mut names = Names::default();
    for CaptionRendition { name, language } in &presentation.captions {
        let _ = writeln!(
            out,
            "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"captions\",NAME=\"{}\",\
             LANGUAGE=\"{language}\",DEFAULT=NO,AUTOSELECT=YES,\
             CHARACTERISTICS=\"public.accessibility.transcribes-spoken-dialog\",\
             URI=\"captions-{name}.m3u8{query}\"",
            names.of(language)
        );
    }
    for ClosedCaptions { service, language } in &presentation.closed_captions {
        let instream_id = instream_id(*service);
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

/// How players are told where embedded captions are (rfc8216bis 4.4.6.1).
fn instream_id(service: Service) -> String {
    match service {
        Service::Cc(channel) => format!("CC{channel}"),
        Service::Digital(number) => format!("SERVICE{number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::segments::Timeline;
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

    fn presentation(video: Option<Rendition>, audio: Option<Rendition>) -> Presentation {
        let (dubs, captions, closed_captions) = (Vec::new(), Vec::new(), Vec::new());
        Presentation {
            video,
            encoded: Vec::new(),
            audio,
            dubs,
            captions,
            closed_captions,
            target_s: 2,
            hold_back: None,
            timeline: Timeline::default(),
        }
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
        let read = read(&text(&presentation(Some(video), Some(audio)), "?token=a"));
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
        let alone = read(&text(&presentation(None, Some(audio)), ""));
        assert_eq!((alone.variants[0].uri.as_str(), alone.alternatives.len()), ("audio.m3u8", 0));
        let video = rendition(Codec::H264, "avc1.64001f");
        let alone = read(&text(&presentation(Some(video), None), ""));
        assert_eq!((alone.variants[0].uri.as_str(), alone.alternatives.len()), ("video.m3u8", 0));
    }

    #[test]
    fn pictures_that_not_everybody_decodes_come_before_the_same_as_h264() {
        let (video, audio) =
            (rendition(Codec::H265, "hvc1.1.6.L93.90"), rendition(Codec::Aac, "mp4a.40.2"));
        let encoded = vec![(TrackId::H264, rendition(Codec::H264, "avc1.42c01f"))];
        let read = read(&text(
            &Presentation { encoded, ..presentation(Some(video), Some(audio)) },
            "?token=a",
        ));
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
        let offered = |name: &str, tag: &str| CaptionRendition {
            name: language(name),
            language: language(tag),
        };
        let inside = |service, tag: &str| ClosedCaptions { service, language: Some(language(tag)) };
        let presentation = Presentation {
            video: Some(rendition(Codec::H264, "avc1.64001f")),
            encoded: Vec::new(),
            audio: Some(rendition(Codec::Aac, "mp4a.40.2")),
            dubs: vec![
                (language("es"), Some(rendition(Codec::Aac, "mp4a.40.2"))),
                (language("pt"), None),
                (language("pt-BR"), None),
            ],
            captions: vec![offered("und", "en"), offered("es", "es")],
            closed_captions: vec![inside(Service::Cc(1), "en"), inside(Service::Digital(2), "es")],
            target_s: 2,
            hold_back: None,
            timeline: Timeline::default(),
        };
        let read = read(&text(&presentation, "?token=a"));
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
