//! Media playlists (RFC 8216 and its successor draft-pantos-hls-rfc8216bis), without I/O.

use std::fmt::Write;
use std::time::Duration;

use chrono::SecondsFormat;

use crate::egress::segments::{Segment, SegmentList, TrackView};

/// Parts are listed for segments that end within this many target durations of the live edge
/// (rfc8216bis 4.4.4.9).
const PARTS_TARGETS_COUNT: u32 = 3;

/// Segments that end within this many target durations of the live edge are always listed (rfc8216bis
/// 4.4.3.8).
const SKIP_BOUNDARY_TARGETS_COUNT: u32 = 6;

/// The playlist of a track. `name` begins its file names: `video` or `audio`. `query` is appended
/// to every URI: empty or `?token=…`. With `skip` a long playlist is only its end.
pub(super) fn text(view: &TrackView, name: &str, query: &str, skip: bool) -> String {
    let TrackView { list, target_s, part_target, .. } = view;
    let mut out = String::with_capacity(4096);
    // EXT-X-GAP requires version 8.
    let version = if part_target.is_some() || view.can_skip { 9 } else { 8 };
    let _ = writeln!(out, "#EXTM3U\n#EXT-X-VERSION:{version}\n#EXT-X-TARGETDURATION:{target_s}");
    let _ = writeln!(out, "#EXT-X-INDEPENDENT-SEGMENTS");
    put_control(&mut out, view);
    let _ = writeln!(out, "#EXT-X-MEDIA-SEQUENCE:{}", list.first);
    let _ = writeln!(out, "#EXT-X-DISCONTINUITY-SEQUENCE:{}", list.discontinuities);

    let skipped = if skip { skippable(view) } else { 0 };
    if skipped > 0 {
        let _ = writeln!(out, "#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}");
    }
    let with_parts = part_target.and_then(|_| first_with_parts(list, *target_s));
    let mut init = None;
    for (index, segment) in list.complete.iter().chain(&list.open).enumerate().skip(skipped) {
        let parts = !segment.gap && with_parts.is_some_and(|first| segment.sequence >= first);
        let complete = list.open.as_ref().is_none_or(|o| o.sequence != segment.sequence);
        if complete || parts {
            put_head(&mut out, segment, index == 0, &mut init, (name, query));
        }
        if parts {
            put_parts(&mut out, segment, (name, query));
        }
        if complete {
            let (sequence, duration) = (segment.sequence, segment.length.as_secs_f64());
            out.push_str(if segment.gap { "#EXT-X-GAP\n" } else { "" });
            let _ = writeln!(out, "#EXTINF:{duration:.5},\n{name}.{sequence}.m4s{query}");
        }
    }
    put_end(&mut out, view, (name, query));
    out
}

/// The playlist of captions, whose segments have the numbers and durations of the media's. `name`
/// and `query` are as for [`text`].
pub(super) fn captions(view: &TrackView, name: &str, query: &str) -> String {
    let TrackView { list, target_s, .. } = view;
    let mut out = format!(
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{target_s}\n\
         #EXT-X-MEDIA-SEQUENCE:{}\n#EXT-X-DISCONTINUITY-SEQUENCE:{}\n",
        list.first, list.discontinuities
    );
    for (index, segment) in list.complete.iter().enumerate() {
        if segment.discontinuity && index > 0 {
            out.push_str("#EXT-X-DISCONTINUITY\n");
        }
        let date = segment.date.to_rfc3339_opts(SecondsFormat::Millis, true);
        let (sequence, duration) = (segment.sequence, segment.length.as_secs_f64());
        let _ = writeln!(out, "#EXT-X-PROGRAM-DATE-TIME:{date}");
        let _ = writeln!(out, "#EXTINF:{duration:.5},\n{name}.{sequence}.vtt{query}");
    }
    if list.ended {
        out.push_str("#EXT-X-ENDLIST\n");
    }
    out
}

/// Writes the distance of players from the live edge, and support for blocking reloads.
fn put_control(out: &mut String, view: &TrackView) {
    // At least three target durations are required (rfc8216bis 4.4.3.8).
    let least = f64::from(view.target_s) * 3.0;
    let skip = f64::from(view.target_s * SKIP_BOUNDARY_TARGETS_COUNT);
    let longest = view.part_target.map(|part| part.as_secs_f64());
    let wanted = view.hold_back.map(|wanted| wanted.as_secs_f64());
    let from_edge = longest.map(|longest| wanted.unwrap_or_default().max(longest * 3.0));
    let control: Vec<String> = [
        longest.map(|_| "CAN-BLOCK-RELOAD=YES".to_owned()),
        view.can_skip.then(|| format!("CAN-SKIP-UNTIL={skip:.1}")),
        wanted.map(|wanted| format!("HOLD-BACK={:.3}", wanted.max(least))),
        from_edge.map(|from_edge| format!("PART-HOLD-BACK={from_edge:.3}")),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !control.is_empty() {
        let _ = writeln!(out, "#EXT-X-SERVER-CONTROL:{}", control.join(","));
    }
    if let Some(longest) = longest {
        let _ = writeln!(out, "#EXT-X-PART-INF:PART-TARGET={longest:.3}");
    }
}

/// Number of segments at the beginning that a player with the playlist of before has anyway.
fn skippable(view: &TrackView) -> usize {
    let boundary = Duration::from_secs(u64::from(view.target_s * SKIP_BOUNDARY_TARGETS_COUNT));
    let list = &view.list;
    let mut from_edge = list.open.as_ref().map_or(Duration::ZERO, |open| open.length);
    let mut listed = 0;
    for segment in list.complete.iter().rev() {
        if from_edge >= boundary {
            break;
        }
        from_edge += segment.length;
        listed += 1;
    }
    if view.can_skip { list.complete.len() - listed } else { 0 }
}

/// Number of the first segment close enough to the live edge for its parts to be listed. `None`
/// without segments.
fn first_with_parts(list: &SegmentList, target_s: u32) -> Option<u64> {
    let reach = Duration::from_secs(u64::from(target_s * PARTS_TARGETS_COUNT));
    let mut from_edge = list.open.as_ref().map_or(Duration::ZERO, |open| open.length);
    let mut first = list.open.as_ref().map(|open| open.sequence);
    for segment in list.complete.iter().rev() {
        if from_edge > reach {
            break;
        }
        first = Some(segment.sequence);
        from_edge += segment.length;
    }
    first
}

/// Writes what precedes the parts of a segment. `init` is the initialisation section in force.
fn put_head(
    out: &mut String,
    segment: &Segment,
    first: bool,
    init: &mut Option<u64>,
    (name, query): (&str, &str),
) {
    // That of the first one is in EXT-X-DISCONTINUITY-SEQUENCE.
    if segment.discontinuity && !first {
        out.push_str("#EXT-X-DISCONTINUITY\n");
    }
    if *init != Some(segment.init) {
        *init = Some(segment.init);
        let _ = writeln!(out, "#EXT-X-MAP:URI=\"{name}.init{}.mp4{query}\"", segment.init);
    }
    let date = segment.date.to_rfc3339_opts(SecondsFormat::Millis, true);
    let _ = writeln!(out, "#EXT-X-PROGRAM-DATE-TIME:{date}");
}

fn put_parts(out: &mut String, segment: &Segment, (name, query): (&str, &str)) {
    let sequence = segment.sequence;
    for (number, part) in segment.parts.iter().enumerate() {
        let independent = if part.independent { ",INDEPENDENT=YES" } else { "" };
        let _ = writeln!(
            out,
            "#EXT-X-PART:DURATION={:.5},URI=\"{name}.{sequence}.{number}.m4s{query}\"{independent}",
            part.duration.as_secs_f64()
        );
    }
}

/// Writes the end of the playlist, or what comes next and where the other tracks are.
fn put_end(out: &mut String, view: &TrackView, (name, query): (&str, &str)) {
    if view.list.ended {
        out.push_str("#EXT-X-ENDLIST\n");
        return;
    }
    let Some(open) = view.list.open.as_ref().filter(|_| view.part_target.is_some()) else { return };
    let (sequence, part) = (open.sequence, open.parts.len());
    let _ =
        writeln!(out, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{name}.{sequence}.{part}.m4s{query}\"");
    for other in &view.others {
        let _ = writeln!(
            out,
            "#EXT-X-RENDITION-REPORT:URI=\"{}.m3u8{query}\",LAST-MSN={},LAST-PART={}",
            other.id, other.sequence, other.part
        );
    }
}

#[cfg(test)]
mod tests;
