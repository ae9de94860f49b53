//! The text of a manifest, without I/O.
//!
//! Presentation time is Unix time: the availability start is 1970, and each period begins when its
//! first frame was received. So periods of an appliance that was started again follow those before.

use std::io;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use super::captions::{self, Captions};
use super::periods::{self, Run};
use super::xml::{Xml, element, empty, scheme, timeline};
use crate::captions::Service;
use crate::egress::segments::{
    ClosedCaptions, Presentation, Rendition, TICKS_PER_S, TrackId, TrackView, ticks,
};
use crate::media::{Codec, Kind, Language};

/// Players stay at least this many target durations behind the newest segment, as by HLS
/// (rfc8216bis 4.4.3.8).
const DELAY_TARGETS_COUNT: u32 = 3;

/// Least id of a set of audio in another language; lower ones are those of the original and of what is
/// encoded of it.
const FIRST_DUB_ID: usize = 10;

/// A track with its segments.
pub(super) struct Track {
    pub(super) id: TrackId,
    pub(super) language: Option<Language>,
    pub(super) rendition: Rendition,
    pub(super) view: TrackView,
}

/// The manifest. `query` is appended to every URI; `now` is Unix time by the clock of the stream.
pub(super) fn text(
    presentation: &Presentation,
    (tracks, captions): (&[Track], &[Captions]),
    query: &str,
    now: Duration,
) -> String {
    let mut xml = Writer::new_with_indent(Vec::new(), b' ', 1);
    // Writing to memory does not fail.
    let _ = write_all(&mut xml, presentation, (tracks, captions), (query, now));
    String::from_utf8(xml.into_inner()).unwrap_or_default()
}

fn write_all(
    xml: &mut Xml,
    presentation: &Presentation,
    (tracks, captions): (&[Track], &[Captions]),
    (query, now): (&str, Duration),
) -> io::Result<()> {
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let timeline = &presentation.timeline;
    let target = Duration::from_secs(u64::from(presentation.target_s));
    let delay = (target * DELAY_TARGETS_COUNT).max(presentation.hold_back.unwrap_or_default());
    let lists = || tracks.iter().map(|track| &track.view.list);
    // From end to end: a stream that was off the air in between is as far back as it was.
    let depth = lists().filter_map(|list| {
        let (first, last) = (list.complete.first()?, list.complete.last()?);
        Some(last.end().saturating_sub(first.start))
    });
    let mut mpd = vec![
        ("xmlns", "urn:mpeg:dash:schema:mpd:2011".to_owned()),
        ("profiles", "urn:mpeg:dash:profile:isoff-live:2011".to_owned()),
        ("type", "dynamic".to_owned()),
        ("availabilityStartTime", "1970-01-01T00:00:00Z".to_owned()),
        ("publishTime", date(now)),
        ("minBufferTime", seconds(target)),
        ("maxSegmentDuration", seconds(target)),
        ("timeShiftBufferDepth", seconds(depth.max().unwrap_or_default())),
        ("suggestedPresentationDelay", seconds(delay)),
    ];
    if !tracks.is_empty() && lists().all(|list| list.ended) {
        let ends = lists().filter_map(|list| list.complete.last());
        let end = ends.map(|last| last.end()).max().unwrap_or_default();
        mpd.push(("mediaPresentationDuration", seconds(timeline.zero + end)));
    } else {
        mpd.push(("minimumUpdatePeriod", seconds(target)));
    }
    let runs: Vec<(&Track, Vec<Run<'_>>)> =
        tracks.iter().map(|track| (track, periods::runs(&track.view.list))).collect();
    element(xml, "MPD", mpd, |xml| {
        for (number, start) in &timeline.breaks {
            let of = |(track, runs): &'_ (_, Vec<Run<'_>>)| {
                runs.iter().position(|run| run.epoch == *number).map(|at| (*track, at))
            };
            if !runs.iter().any(|all| of(all).is_some()) {
                continue;
            }
            let begins = timeline.zero + *start;
            let id = begins.as_millis().to_string();
            let period = vec![("id", id), ("start", seconds(begins))];
            element(xml, "Period", period, |xml| {
                for (id, set) in sets(tracks) {
                    let in_period = |run: &&Run<'_>| run.epoch == *number;
                    let mut parts = Vec::new();
                    for (track, runs) in set.iter().filter_map(|at| runs.get(*at)) {
                        parts.extend(runs.iter().filter(in_period).map(|run| (*track, run)));
                    }
                    put_set(xml, id, presentation, &parts, (*start, query))?;
                }
                captions::put(xml, captions, *number, (timeline.zero, begins, query))
            })?;
        }
        let clock =
            vec![("schemeIdUri", "urn:mpeg:dash:utc:direct:2014".to_owned()), ("value", date(now))];
        empty(xml, "UTCTiming", clock)
    })
}

/// Tracks by their places, in sets between which a player switches, each with its id: what is encoded of
/// the video is H.264, and cut where the original is cut.
fn sets(tracks: &[Track]) -> Vec<(usize, Vec<usize>)> {
    let original = tracks.iter().find(|track| track.id == TrackId::Video);
    let is_h264 = original.is_some_and(|track| track.rendition.info.codec == Codec::H264);
    let mut sets: Vec<(usize, Vec<usize>)> = Vec::new();
    for (index, track) in tracks.iter().enumerate() {
        let id = match track.id {
            TrackId::Video => 1,
            TrackId::H264 | TrackId::Rung(_) => 2 - usize::from(is_h264),
            TrackId::Audio => 3,
            TrackId::Dub(_) => FIRST_DUB_ID + index,
        };
        match sets.iter_mut().find(|(of, _)| *of == id) {
            Some((_, set)) => set.push(index),
            None => sets.push((id, vec![index])),
        }
    }
    sets
}

/// An adaptation set of tracks in a period that begins at this running time; none without a track.
fn put_set(
    xml: &mut Xml,
    id: usize,
    presentation: &Presentation,
    runs: &[(&Track, &Run<'_>)],
    (begins, query): (Duration, &str),
) -> io::Result<()> {
    let Some((track, _)) = runs.first() else { return Ok(()) };
    let kind = track.rendition.info.kind();
    let mut set = vec![
        ("id", id.to_string()),
        ("contentType", kind.as_str().to_owned()),
        ("mimeType", format!("{kind}/mp4")),
        ("segmentAlignment", "true".to_owned()),
        ("startWithSAP", "1".to_owned()),
    ];
    if let Some(language) = &track.language {
        set.push(("lang", language.to_string()));
    }
    element(xml, "AdaptationSet", set, |xml| {
        if kind == Kind::Video {
            put_closed_captions(xml, &presentation.closed_captions)?;
        }
        let role = if matches!(track.id, TrackId::Dub(_)) { "dub" } else { "main" };
        scheme(xml, "Role", "urn:mpeg:dash:role:2011", role.to_owned())?;
        if let Some(language) = &track.language {
            xml.create_element("Label").write_text_content(BytesText::new(language.name()))?;
        }
        runs.iter()
            .try_for_each(|(track, run)| put_representation(xml, track, run, (begins, query)))
    })
}

/// Captions that are embedded in the video (SCTE 214-1, 7.1).
fn put_closed_captions(xml: &mut Xml, inside: &[ClosedCaptions]) -> io::Result<()> {
    let (cc, digital): (Vec<_>, Vec<_>) =
        inside.iter().partition(|captions| matches!(captions.service, Service::Cc(_)));
    for (standard, listed) in [("608", cc), ("708", digital)] {
        let value = |captions: &ClosedCaptions| {
            let language = captions.language.as_ref().map_or("und", Language::as_str);
            match captions.service {
                Service::Cc(channel) => format!("CC{channel}={language}"),
                Service::Digital(service) => format!("{service}=lang:{language}"),
            }
        };
        if !listed.is_empty() {
            let values: Vec<_> = listed.into_iter().map(value).collect();
            let uri = format!("urn:scte:dash:cc:cea-{standard}:2015");
            scheme(xml, "Accessibility", &uri, values.join(";"))?;
        }
    }
    Ok(())
}

fn put_representation(
    xml: &mut Xml,
    track: &Track,
    run: &Run<'_>,
    (begins, query): (Duration, &str),
) -> io::Result<()> {
    let Rendition { info, peak, .. } = &track.rendition;
    let name = track.id.to_string();
    let mut representation = vec![
        ("id", name.clone()),
        ("bandwidth", (*peak).max(1).to_string()),
        ("codecs", info.mime.clone()),
    ];
    if info.width > 0 && info.height > 0 {
        representation.push(("width", info.width.to_string()));
        representation.push(("height", info.height.to_string()));
    }
    if info.fps > 0.0 {
        representation.push(("frameRate", format!("{:.0}/1000", info.fps * 1000.0)));
    }
    let init = run.init;
    // By time rather than by number, because ffmpeg follows a live time-line only so.
    let template = vec![
        ("timescale", TICKS_PER_S.to_string()),
        ("presentationTimeOffset", ticks(begins).to_string()),
        ("initialization", format!("{name}.init{init}.mp4{query}")),
        ("media", format!("{name}.{init}.t$Time$.m4s{query}")),
    ];
    element(xml, "Representation", representation, |xml| {
        if info.channels > 0 {
            let uri = "urn:mpeg:dash:23003:3:audio_channel_configuration:2011";
            scheme(xml, "AudioChannelConfiguration", uri, info.channels.to_string())?;
        }
        element(xml, "SegmentTemplate", template, |xml| {
            timeline(xml, &run.segments, Duration::ZERO)
        })
    })
}

/// A duration of XML Schema.
fn seconds(duration: Duration) -> String {
    format!("PT{:.3}S", duration.as_secs_f64())
}

/// A date of XML Schema, from Unix time.
fn date(unix: Duration) -> String {
    DateTime::<Utc>::from(std::time::UNIX_EPOCH + unix).to_rfc3339_opts(SecondsFormat::Millis, true)
}
