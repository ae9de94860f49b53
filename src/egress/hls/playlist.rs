//! Media playlists (RFC 8216 and its successor draft-pantos-hls-rfc8216bis), without I/O.

use std::collections::VecDeque;
use std::fmt::Write;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

/// Segments that left the playlist stay available for this many target durations, for players that
/// have just read an older playlist (RFC 8216, 6.2.2).
const GRACE_TARGETS: u32 = 3;

/// Parts are listed for segments that end within this many target durations of the live edge
/// (rfc8216bis 4.4.4.9).
const PARTS_TARGETS: u32 = 3;

/// A part, as listed in a playlist.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Part {
    /// Its duration.
    pub(super) duration: Duration,
    /// Whether a player can start with it.
    pub(super) independent: bool,
}

/// One segment: complete, or still open.
#[derive(Clone, Debug)]
struct Segment {
    sequence: u64,
    /// Wall-clock time of its first frame.
    date: DateTime<Utc>,
    discontinuity: bool,
    /// Number of its initialisation section.
    init: u64,
    parts: Vec<Part>,
    /// Whether it is a gap without media.
    gap: bool,
}

impl Segment {
    fn duration(&self) -> Duration {
        self.parts.iter().map(|p| p.duration).sum()
    }
}

/// The live edge of another rendition, for players that switch to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Report {
    /// URI of its playlist.
    pub(super) uri: String,
    /// Its newest segment, complete or not.
    pub(super) sequence: u64,
    /// Its newest part in that segment.
    pub(super) part: usize,
}

/// Parameters for writing a playlist.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form<'a> {
    /// Start of the file names: `video` or `audio`.
    pub(super) name: &'a str,
    /// Appended to every URI: empty or `?token=…`.
    pub(super) query: &'a str,
    /// Target duration in seconds; no segment of any rendition exceeds it.
    pub(super) target: u32,
    /// Longest part of any rendition. `None` disables low latency.
    pub(super) part_target: Option<Duration>,
    /// Minimum distance of players from the live edge. `None` leaves it to the players.
    pub(super) hold_back: Option<Duration>,
    /// Live edges of the other renditions.
    pub(super) reports: &'a [Report],
}

impl Form<'_> {
    /// Writes the distance of players from the live edge, and support for blocking reloads.
    fn write_control(&self, out: &mut String) {
        // At least three target durations are required (rfc8216bis 4.4.3.8).
        let least = f64::from(self.target) * 3.0;
        let hold_back =
            self.hold_back.map(|h| format!("HOLD-BACK={:.3}", h.as_secs_f64().max(least)));
        let Some(longest) = self.part_target.map(|p| p.as_secs_f64()) else {
            if let Some(hold_back) = hold_back {
                let _ = writeln!(out, "#EXT-X-SERVER-CONTROL:{hold_back}");
            }
            return;
        };
        let hold_back = hold_back.map(|h| h + ",").unwrap_or_default();
        let from_edge = self.hold_back.unwrap_or_default().as_secs_f64().max(longest * 3.0);
        let _ = writeln!(
            out,
            "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,{hold_back}PART-HOLD-BACK={from_edge:.3}\n\
             #EXT-X-PART-INF:PART-TARGET={longest:.3}"
        );
    }
}

/// The segments of one rendition and their numbers. Sequence numbers only increase.
#[derive(Debug)]
pub(super) struct MediaPlaylist {
    /// Complete segments, oldest first, including those in the grace period.
    segments: VecDeque<Segment>,
    open: Option<Segment>,
    next_sequence: u64,
    /// Number of discontinuities in removed segments.
    gone_discontinuities: u64,
    ended: bool,
}

/// Availability of a segment or part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It was available and is removed.
    Gone,
    /// It is available.
    Here,
    /// It will be available shortly.
    Soon,
    /// It is too far ahead to wait for.
    Unknown,
}

impl MediaPlaylist {
    /// An empty playlist whose first segment gets this number.
    pub(super) fn new(first_sequence: u64) -> Self {
        Self {
            segments: VecDeque::new(),
            open: None,
            next_sequence: first_sequence,
            gone_discontinuities: 0,
            ended: false,
        }
    }

    /// Closes the open segment and begins the next one. Returns its number.
    pub(super) fn begin_segment(
        &mut self,
        date: DateTime<Utc>,
        init: u64,
        discontinuity: bool,
    ) -> u64 {
        self.close_segment();
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        self.ended = false;
        let (parts, gap) = (Vec::new(), false);
        self.open = Some(Segment { sequence, date, discontinuity, init, parts, gap });
        sequence
    }

    /// Closes the open segment and fills a gap of this duration with segments that players do not
    /// fetch, each at most `target` seconds long.
    pub(super) fn skip(&mut self, mut missing: Duration, target: u32) {
        self.close_segment();
        let target = Duration::from_secs(u64::from(target.max(1)));
        while let Some(last) = self.segments.back().filter(|_| !missing.is_zero()) {
            let (date, init) = (last.date + last.duration(), last.init);
            let part = Part { duration: missing.min(target), independent: false };
            missing -= part.duration;
            self.begin_segment(date, init, false);
            self.add_part(part);
            if let Some(open) = &mut self.open {
                open.gap = true;
            }
            self.close_segment();
        }
    }

    /// Counts discontinuities that occurred before the first segment.
    pub(super) fn missed_discontinuities(&mut self, count: u64) {
        self.gone_discontinuities += count;
    }

    /// Adds a part to the open segment. Returns its number in the segment, or `None` without an
    /// open one.
    pub(super) fn add_part(&mut self, part: Part) -> Option<usize> {
        let open = self.open.as_mut()?;
        open.parts.push(part);
        Some(open.parts.len() - 1)
    }

    /// Closes the open segment.
    pub(super) fn close_segment(&mut self) {
        self.segments.extend(self.open.take().filter(|s| !s.parts.is_empty()));
    }

    /// Ends the playlist: nothing more will be added.
    pub(super) fn end(&mut self) {
        self.close_segment();
        self.ended = true;
    }

    /// Removes segments that are past the window and its grace period. Returns the number of the
    /// oldest remaining one.
    pub(super) fn trim(&mut self, window: usize, target: u32) -> u64 {
        let grace = Duration::from_secs(u64::from(target * GRACE_TARGETS));
        while self.segments.len() > window {
            let kept: Duration =
                self.segments.iter().rev().skip(window).map(Segment::duration).sum();
            let Some(oldest) = self.segments.front() else { break };
            if kept.saturating_sub(oldest.duration()) < grace && self.segments.len() < 4 * window {
                break;
            }
            self.drop_oldest();
        }
        self.oldest()
    }

    /// Removes the oldest complete segment. Returns the number of the oldest remaining one.
    pub(super) fn drop_oldest(&mut self) -> u64 {
        if let Some(gone) = self.segments.pop_front() {
            self.gone_discontinuities += u64::from(gone.discontinuity);
        }
        self.oldest()
    }

    fn oldest(&self) -> u64 {
        let first = self.segments.front().or(self.open.as_ref());
        first.map_or(self.next_sequence, |s| s.sequence)
    }

    /// Number of complete segments.
    pub(super) fn complete(&self) -> usize {
        self.segments.len()
    }

    /// Numbers of the complete segments.
    pub(super) fn complete_numbers(&self) -> impl Iterator<Item = u64> {
        self.segments.iter().map(|s| s.sequence)
    }

    /// A caption playlist for this one: the same segments with the same numbers, up to `last`.
    pub(super) fn captions(&self, window: usize, last: u64, form: &Form<'_>) -> String {
        let Form { name, query, target, .. } = *form;
        let complete: Vec<_> = self.segments.iter().filter(|s| s.sequence <= last).collect();
        let (gone, listed) = complete.split_at(complete.len().saturating_sub(window));
        let first = listed.first().map_or(last, |s| s.sequence);
        let discontinuities = gone.iter().filter(|s| s.discontinuity).count() as u64;
        let discontinuities = self.gone_discontinuities + discontinuities;
        let mut out = format!(
            "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{target}\n\
             #EXT-X-MEDIA-SEQUENCE:{first}\n#EXT-X-DISCONTINUITY-SEQUENCE:{discontinuities}\n"
        );
        for (index, segment) in listed.iter().enumerate() {
            if segment.discontinuity && index > 0 {
                out.push_str("#EXT-X-DISCONTINUITY\n");
            }
            let date = segment.date.to_rfc3339_opts(SecondsFormat::Millis, true);
            let (sequence, duration) = (segment.sequence, segment.duration().as_secs_f64());
            let _ = writeln!(out, "#EXT-X-PROGRAM-DATE-TIME:{date}");
            let _ = writeln!(out, "#EXTINF:{duration:.5},\n{name}.{sequence}.vtt{query}");
        }
        if self.ended && self.complete_numbers().last() == Some(last) {
            out.push_str("#EXT-X-ENDLIST\n");
        }
        out
    }

    /// Duration of the longest segment, including the open one.
    pub(super) fn longest(&self) -> Duration {
        self.segments.iter().chain(&self.open).map(Segment::duration).max().unwrap_or_default()
    }

    /// Number of the open segment and of the parts in it.
    pub(super) fn edge(&self) -> Option<(u64, usize)> {
        let open = self.open.as_ref()?;
        Some((open.sequence, open.parts.len()))
    }

    /// Availability of a segment or part: `Here` if the playlist lists it.
    pub(super) fn standing(&self, sequence: u64, part: Option<usize>) -> Standing {
        if sequence < self.oldest() {
            return Standing::Gone;
        }
        if self.segments.back().is_some_and(|s| sequence <= s.sequence) {
            return Standing::Here;
        }
        let (edge, parts) = self.edge().unwrap_or((self.next_sequence, 0));
        let here = part.is_some_and(|p| sequence == edge && p < parts);
        match sequence - edge.min(sequence) {
            _ if here => Standing::Here,
            _ if self.ended => Standing::Unknown,
            0 | 1 => Standing::Soon,
            _ => Standing::Unknown,
        }
    }

    /// Like [`Self::standing`], for a playlist that must list it: a number that has left the
    /// window, or a part of a complete segment, requires no wait.
    pub(super) fn standing_in_list(&self, sequence: u64, part: Option<usize>) -> Standing {
        match self.standing(sequence, part) {
            Standing::Gone => Standing::Here,
            standing => standing,
        }
    }

    /// The playlist as text, with at most `window` complete segments.
    pub(super) fn text(&self, window: usize, form: &Form<'_>) -> String {
        let Form { name, query, target, .. } = *form;
        let skipped = self.segments.len().saturating_sub(window);
        let gone = self.segments.iter().take(skipped).filter(|s| s.discontinuity).count() as u64;
        let listed: Vec<_> = self.segments.iter().skip(skipped).collect();
        let first = listed.first().map_or_else(|| self.oldest(), |s| s.sequence);
        let mut out = String::with_capacity(4096);
        // EXT-X-GAP requires version 8.
        let version = if form.part_target.is_some() { 9 } else { 8 };
        let _ = writeln!(out, "#EXTM3U\n#EXT-X-VERSION:{version}\n#EXT-X-TARGETDURATION:{target}");
        let _ = writeln!(out, "#EXT-X-INDEPENDENT-SEGMENTS");
        form.write_control(&mut out);
        let _ = writeln!(out, "#EXT-X-MEDIA-SEQUENCE:{first}");
        let discontinuities = self.gone_discontinuities + gone;
        let _ = writeln!(out, "#EXT-X-DISCONTINUITY-SEQUENCE:{discontinuities}");

        let with_parts = self.first_with_parts(target);
        let mut init = None;
        for segment in listed.into_iter().chain(&self.open) {
            let low_latency = form.part_target.is_some() && !segment.gap;
            let parts = low_latency && segment.sequence >= with_parts;
            let complete = self.open.as_ref().is_none_or(|o| o.sequence != segment.sequence);
            if complete || parts {
                segment.write(&mut out, form, &mut init, parts, complete);
            }
        }
        if self.ended {
            out.push_str("#EXT-X-ENDLIST\n");
        } else if let (Some((sequence, part)), true) = (self.edge(), form.part_target.is_some()) {
            let _ = writeln!(
                out,
                "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{name}.{sequence}.{part}.m4s{query}\""
            );
            for Report { uri, sequence, part } in form.reports {
                let _ = writeln!(
                    out,
                    "#EXT-X-RENDITION-REPORT:URI=\"{uri}{query}\",LAST-MSN={sequence},LAST-PART={part}"
                );
            }
        }
        out
    }

    /// The first segment close enough to the live edge for its parts to be listed.
    fn first_with_parts(&self, target: u32) -> u64 {
        let reach = Duration::from_secs(u64::from(target * PARTS_TARGETS));
        let mut from_edge = self.open.as_ref().map_or(Duration::ZERO, Segment::duration);
        let mut first = self.next_sequence.saturating_sub(1);
        for segment in self.segments.iter().rev() {
            if from_edge > reach {
                break;
            }
            first = segment.sequence;
            from_edge += segment.duration();
        }
        first
    }
}

impl Segment {
    fn write(
        &self,
        out: &mut String,
        form: &Form<'_>,
        init: &mut Option<u64>,
        parts: bool,
        complete: bool,
    ) {
        let (name, query, sequence) = (form.name, form.query, self.sequence);
        if self.discontinuity && init.is_some() {
            out.push_str("#EXT-X-DISCONTINUITY\n");
        }
        if *init != Some(self.init) {
            *init = Some(self.init);
            let _ = writeln!(out, "#EXT-X-MAP:URI=\"{name}.init{}.mp4{query}\"", self.init);
        }
        let date = self.date.to_rfc3339_opts(SecondsFormat::Millis, true);
        let _ = writeln!(out, "#EXT-X-PROGRAM-DATE-TIME:{date}");
        for (number, part) in self.parts.iter().enumerate().filter(|_| parts) {
            let independent = if part.independent { ",INDEPENDENT=YES" } else { "" };
            let _ = writeln!(
                out,
                "#EXT-X-PART:DURATION={:.5},URI=\"{name}.{sequence}.{number}.m4s{query}\"{independent}",
                part.duration.as_secs_f64()
            );
        }
        if complete {
            let duration = self.duration().as_secs_f64();
            out.push_str(if self.gap { "#EXT-X-GAP\n" } else { "" });
            let _ = writeln!(out, "#EXTINF:{duration:.5},\n{name}.{sequence}.m4s{query}");
        }
    }
}

#[cfg(test)]
#[path = "playlist_tests.rs"]
mod tests;
