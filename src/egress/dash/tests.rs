use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use super::periods::{Stretch, stretches};
use crate::captions::Service;
use crate::egress::dash;
use crate::egress::segments::fmp4::{Chunk, Cut, Sample, TrackInfo};
use crate::egress::segments::{
    ClosedCaptions, Media, Segment, SegmentError, SegmentStore, Settings, TrackId,
};
use crate::media::{Codec, Cue, Language, Origin, Stage};

const SETTINGS: Settings =
    Settings { segment_s: 2, part_ms: 0, segments: 8, memory_mib: 4, dvr_mib: 64 };

/// Ticks per second of every track here.
const TIMESCALE: u32 = 1000;

fn info(codec: Codec) -> TrackInfo {
    TrackInfo {
        codec,
        timescale: TIMESCALE,
        entry: vec![1],
        mime: codec.to_string(),
        width: if codec == Codec::H264 { 320 } else { 0 },
        height: if codec == Codec::H264 { 180 } else { 0 },
        fps: if codec == Codec::H264 { 29.97 } else { 0.0 },
        channels: if codec == Codec::H264 { 0 } else { 2 },
        frame: None,
    }
}

fn spanish() -> Language {
    "es".parse().expect("a language")
}

/// An empty segment store for video, audio and Spanish audio.
fn segment_store() -> Arc<SegmentStore> {
    crate::init().expect("GStreamer starts");
    let segment_store = SegmentStore::new(SETTINGS);
    segment_store.expect(vec![TrackId::Video, TrackId::Audio]);
    segment_store.expect_dubs(vec![spanish()]);
    segment_store.begin_track(&TrackId::Video, info(Codec::H264));
    segment_store.begin_track(&TrackId::Audio, info(Codec::Aac));
    segment_store.begin_track(&TrackId::Dub(spanish()), info(Codec::Aac));
    segment_store
}

/// Adds a segment of two seconds to a track, presented from this second.
fn put(segment_store: &SegmentStore, id: &TrackId, second: u64, cut: Cut) {
    let data = Bytes::from_static(b"x");
    let duration = u64::from(2 * TIMESCALE);
    let sample = Sample { duration: 2 * TIMESCALE, composition: 0, key: true, data };
    let (start, shown_at) = (second * u64::from(TIMESCALE), Duration::from_secs(second));
    segment_store.push(id, &Chunk { start, shown_at, duration, cut, samples: vec![sample] });
}

/// The start tags of the manifest, as another reader of XML finds them: name and attributes.
fn tags(text: &str) -> Vec<String> {
    let written = |tag: &BytesStart<'_>| {
        let mut line = tag.name().as_ref().to_owned();
        for attribute in tag.attributes() {
            let attribute = attribute.expect("well-formed");
            let value = attribute.normalized_value(XmlVersion::Implicit1_0).expect("escaped");
            line += &format!(" {}={value}", attribute.key.as_ref());
        }
        line
    };
    let (mut reader, mut tags) = (Reader::from_str(text), Vec::new());
    reader.config_mut().check_end_names = true;
    loop {
        match reader.read_event().expect("well-formed") {
            Event::Start(tag) | Event::Empty(tag) => tags.push(written(&tag)),
            Event::Eof => return tags,
            _ => {}
        }
    }
}

async fn manifest(segment_store: &SegmentStore, query: &str) -> Vec<String> {
    let manifest = dash::manifest(segment_store, query).await.expect("a manifest");
    assert_eq!(manifest.lifetime, Duration::from_secs(1), "half a target duration");
    tags(&manifest.text)
}

/// The tags that begin so, without that.
fn those<'a>(tags: &'a [String], begin: &str) -> Vec<&'a str> {
    tags.iter().filter_map(|tag| tag.strip_prefix(begin)).collect()
}

/// A number of an attribute of a tag.
fn number(tag: &str, name: &str) -> f64 {
    let value = tag.split(' ').find_map(|a| a.strip_prefix(name)?.strip_prefix('='));
    let value = value.unwrap_or_else(|| panic!("{name} is missing: {tag}"));
    let value = value.trim_start_matches("PT").trim_end_matches('S');
    value.parse().unwrap_or_else(|e| panic!("{name}: {e}: {tag}"))
}

#[tokio::test]
async fn every_track_is_a_set_with_the_segments_of_hls() {
    let segment_store = segment_store();
    for second in [10, 12, 14] {
        put(&segment_store, &TrackId::Video, second, Cut::Segment);
        put(&segment_store, &TrackId::Audio, second, Cut::Segment);
    }
    let language = |tag: &str| Some(tag.parse().expect("a language"));
    segment_store.set_closed_captions(vec![
        ClosedCaptions { service: Service::Cc(1), language: language("en") },
        ClosedCaptions { service: Service::Digital(2), language: language("es") },
    ]);
    let query = "?token=a%26b";
    let found = manifest(&segment_store, query).await;
    assert_eq!(those(&found, "Period ").len(), 1, "{found:#?}");
    let sets = those(&found, "AdaptationSet ");
    assert_eq!(sets.len(), 2, "Spanish is not there yet: {sets:?}");
    assert!(sets[0].starts_with("id=1 contentType=video mimeType=video/mp4"), "{sets:?}");
    assert!(sets[1].starts_with("id=3 contentType=audio mimeType=audio/mp4"), "{sets:?}");
    let inside = those(&found, "Accessibility schemeIdUri=urn:scte:dash:cc:");
    assert_eq!(inside, ["cea-608:2015 value=CC1=en", "cea-708:2015 value=2=lang:es"]);
    let representations = those(&found, "Representation ");
    assert_eq!(
        representations[0],
        "id=video bandwidth=468 codecs=h264 width=320 height=180 frameRate=29970/1000"
    );

    let list =
        crate::egress::hls::playlist(&segment_store, &TrackId::Video, query, None, false).await;
    let list = list.expect("a playlist").text;
    let template = those(&found, "SegmentTemplate ")[0].to_owned();
    let init = template.split(' ').find_map(|a| a.strip_prefix("initialization="));
    let init = init.expect("an initialisation section");
    assert!(list.contains(&format!("URI=\"{init}\"")), "{list}");
    let media = init.replacen("init", "", 1).replacen(".mp4", ".t$Time$.m4s", 1);
    assert!(template.ends_with(&format!("media={media}")), "{template}");
    let init = media.split('.').nth(1).and_then(|n| n.parse().ok()).expect("a number");
    let first = segment_store.number_at(&TrackId::Video, init, 900_000).expect("it is listed");
    assert!(list.contains(&format!("\nvideo.{first}.m4s{query}\n")), "the same segment: {list}");
    for (start, expect) in [(720_000, SegmentError::Gone), (900_001, SegmentError::Unknown)] {
        assert_eq!(segment_store.number_at(&TrackId::Video, init, start), Err(expect), "{start}");
    }
    assert_eq!(those(&found, "S "), ["t=900000 d=180000 r=1"; 2], "the open segment is not listed");

    put(&segment_store, &TrackId::Dub(spanish()), 10, Cut::Break);
    put(&segment_store, &TrackId::Dub(spanish()), 12, Cut::Segment);
    let found = manifest(&segment_store, "").await;
    let dub = those(&found, "AdaptationSet id=12 ");
    assert!(dub.len() == 1 && dub[0].ends_with("lang=es"), "{found:#?}");
    assert!(found.contains(&"Role schemeIdUri=urn:mpeg:dash:role:2011 value=dub".to_owned()));
}

/// A cue of two seconds.
fn cue(second: u64) -> Cue {
    Cue {
        id: second,
        language: Language::english(),
        stage: Stage::Committed,
        start: Duration::from_secs(second),
        end: Duration::from_secs(second + 2),
        text: format!("at {second}"),
        words: Arc::default(),
        ends_sentence: true,
        origin: Arc::new(Origin { engine: "test".into(), model: None }),
        speaker: None,
    }
}

#[tokio::test]
async fn captions_are_sets_of_webvtt_at_the_times_of_the_presentation() {
    let segment_store = segment_store();
    let name = Language::undetermined();
    segment_store.follow_captions(&[name.clone(), spanish()]);
    for second in [9_010, 9_012, 9_014, 9_016] {
        put(&segment_store, &TrackId::Video, second, Cut::Segment);
        put(&segment_store, &TrackId::Audio, second, Cut::Segment);
    }
    let found = manifest(&segment_store, "?token=a").await;
    assert_eq!(those(&found, "AdaptationSet ").len(), 2, "nothing is settled: {found:#?}");
    for second in [9_011, 9_014] {
        segment_store.add_cue(&name, &cue(second));
    }
    let found = manifest(&segment_store, "?token=a").await;
    let sets = those(&found, "AdaptationSet id=100 ");
    assert_eq!(
        sets,
        ["contentType=text mimeType=text/vtt lang=en segmentAlignment=true"],
        "Spanish has none: {found:#?}"
    );
    assert!(found.contains(&"Role schemeIdUri=urn:mpeg:dash:role:2011 value=caption".to_owned()));
    let template = those(&found, "SegmentTemplate ").pop().expect("that of the captions");
    assert!(template.ends_with("media=captions-und.t$Time$.vtt?token=a"), "{template}");
    // Their offset is the start of their period, so none is left.
    let begins = number(those(&found, "Period ")[0], "start");
    let offset = number(template, "presentationTimeOffset") / 90_000.0;
    assert!((offset - begins).abs() < 0.002, "{offset} {begins}");
    let times: Vec<&String> = found.iter().filter(|tag| tag.starts_with("S t=")).collect();
    let start = number(times.last().expect("there are segments"), "t");
    assert!((start / 90_000.0 - begins).abs() < 0.002, "{start} {begins}");
    let media = segment_store.captions_at(&name, start as u64).expect("it is listed");
    let Media::Memory(parts) = media else { panic!("it is in memory") };
    let text = String::from_utf8(parts[0].to_vec()).expect("text");
    let hours = (begins as u64 + 1) / 3600;
    assert!(text.starts_with("WEBVTT\n\n") && text.contains("at 9011"), "{text}");
    assert!(text.contains(&format!("\n{hours}:")), "Unix time: {text}");
    let missing = segment_store.captions_at(&name, 1).err();
    assert_eq!(missing, Some(SegmentError::Gone));
}

/// A player switches between the source and its rungs, if both are H.264.
#[tokio::test]
async fn rungs_are_in_the_set_of_their_codec() {
    for (codec, expect) in [(Codec::H264, [1, 1].as_slice()), (Codec::H265, &[1, 2, 2])] {
        crate::init().expect("GStreamer starts");
        let segment_store = SegmentStore::new(SETTINGS);
        segment_store.expect(vec![TrackId::Video]);
        segment_store.begin_track(&TrackId::Video, info(codec));
        let rung = crate::media::Rung { height: 90, kbps: Some(100) };
        let mut encoded = vec![(TrackId::Rung(90), Some(rung), 100_000)];
        if codec == Codec::H265 {
            encoded.push((TrackId::H264, None, 900_000));
        }
        segment_store.offer_encoded(&encoded);
        put(&segment_store, &TrackId::Video, 10, Cut::Segment);
        put(&segment_store, &TrackId::Video, 12, Cut::Segment);
        let asked = tokio::spawn({
            let segment_store = Arc::clone(&segment_store);
            async move { manifest(&segment_store, "").await }
        });
        while segment_store.wanted_encoded().len() < encoded.len() {
            tokio::task::yield_now().await;
        }
        for (id, ..) in &encoded {
            segment_store.begin_track(id, info(Codec::H264));
            put(&segment_store, id, 10, Cut::Segment);
            put(&segment_store, id, 12, Cut::Segment);
        }
        let found = asked.await.expect("no panic");
        let mut sets = Vec::new();
        for tag in &found {
            if let Some(set) = tag.strip_prefix("AdaptationSet ") {
                sets.push((number(set, "id") as usize, 0));
            } else if tag.starts_with("Representation ") {
                sets.last_mut().expect("a set").1 += 1;
            }
        }
        let listed: Vec<usize> = sets.iter().flat_map(|(id, count)| vec![*id; *count]).collect();
        assert_eq!(listed, expect, "{found:#?}");
    }
}

/// A player computes the same moment from the period of either side of a break.
#[tokio::test]
async fn a_break_begins_a_period_and_the_time_line_goes_on() {
    let segment_store = segment_store();
    let originals = [TrackId::Video, TrackId::Audio];
    let all = |second, cut| originals.iter().for_each(|id| put(&segment_store, id, second, cut));
    for second in [10, 12, 14] {
        all(second, Cut::Segment);
    }
    all(20, Cut::Break);
    all(22, Cut::Segment);
    let found = manifest(&segment_store, "").await;
    let starts: Vec<f64> = those(&found, "Period ").iter().map(|p| number(p, "start")).collect();
    assert_eq!(starts.len(), 2, "{found:#?}");
    assert!((starts[1] - starts[0] - 10.0).abs() < 0.002, "{starts:?}");
    let offsets: Vec<f64> = those(&found, "SegmentTemplate ")
        .iter()
        .map(|template| number(template, "presentationTimeOffset"))
        .collect();
    assert_eq!(offsets, [900_000.0, 900_000.0, 1_800_000.0, 1_800_000.0]);
    let listed = [
        "t=900000 d=180000 r=2",
        "t=900000 d=180000 r=2",
        "t=1800000 d=180000",
        "t=1800000 d=180000",
    ];
    assert_eq!(those(&found, "S "), listed);
    let now = chrono::Utc::now().timestamp() as f64;
    let wall = crate::flow::wall_clock(gst::ClockTime::from_seconds(10)).as_secs_f64();
    assert!((starts[0] - wall).abs() < 1.0 && (wall - now).abs() < 3600.0, "{starts:?} {wall}");

    // What has left the window takes nothing with it.
    for second in (24..60).step_by(2) {
        all(second, Cut::Segment);
    }
    let later = manifest(&segment_store, "").await;
    assert_eq!(those(&later, "Period "), those(&found, "Period ")[1..], "{later:#?}");
    assert_eq!(those(&later, "S "), ["t=3780000 d=180000 r=7"; 2]);
    assert!(those(&later, "MPD ")[0].contains("minimumUpdatePeriod=PT2.000S"));

    segment_store.end();
    let ended = manifest(&segment_store, "").await;
    let mpd = those(&ended, "MPD ")[0].to_owned();
    assert!(!mpd.contains("minimumUpdatePeriod"), "{mpd}");
    assert!((number(&mpd, "mediaPresentationDuration") - starts[0] - 50.0).abs() < 0.002, "{mpd}");
}

#[tokio::test]
async fn gaps_of_a_language_are_not_listed() {
    let segment_store = segment_store();
    for second in (10..30).step_by(2) {
        put(&segment_store, &TrackId::Video, second, Cut::Segment);
        put(&segment_store, &TrackId::Audio, second, Cut::Segment);
    }
    let dub = TrackId::Dub(spanish());
    let cuts = [(16, Cut::Break), (18, Cut::Segment), (23, Cut::Break), (25, Cut::Segment)];
    for (second, cut) in cuts {
        put(&segment_store, &dub, second, cut);
    }
    let found = manifest(&segment_store, "").await;
    assert_eq!(those(&found, "S ")[2..], ["t=1440000 d=180000 r=1", "t=2070000 d=180000"]);
    assert_eq!(those(&found, "Period ").len(), 1, "the originals have no break");
}

#[test]
fn segments_that_touch_are_one_stretch() {
    let check = |times: &[(u64, u64)], expect: &[(u64, u64, u32)]| {
        let segment = |(start, duration): &(u64, u64)| Segment {
            sequence: 0,
            date: chrono::DateTime::default(),
            start: Duration::from_millis(*start),
            discontinuity: false,
            init: 0,
            parts: Vec::new(),
            length: Duration::from_millis(*duration),
            gap: false,
        };
        let segments: Vec<_> = times.iter().map(segment).collect();
        let segments: Vec<&Segment> = segments.iter().collect();
        let expect: Vec<_> = expect
            .iter()
            .map(|&(start, duration, repeat)| Stretch { start, duration, repeat })
            .collect();
        assert_eq!(stretches(&segments, Duration::ZERO), expect, "{times:?}");
    };
    check(&[], &[]);
    check(&[(0, 2000), (2000, 2000), (4000, 2000)], &[(0, 180_000, 2)]);
    check(&[(0, 2000), (2000, 1000), (3000, 1000)], &[(0, 180_000, 0), (180_000, 90_000, 1)]);
    // The order of frames differs: no gap and no overlap of 40 ms.
    check(&[(0, 2000), (2040, 2000)], &[(0, 183_600, 0), (183_600, 180_000, 0)]);
    check(&[(0, 2040), (2000, 2000)], &[(0, 180_000, 1)]);
    // A pause stays one.
    check(&[(0, 2000), (5000, 2000)], &[(0, 180_000, 0), (450_000, 180_000, 0)]);
}
