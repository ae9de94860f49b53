//! The text of caption segments: WebVTT, by HLS with running times, like those of the media.

use std::time::Duration;

use super::subtitles::CaptionSegment;
use crate::captions::{FileClock, vtt};

/// Ticks per second of an MPEG transport stream.
const TICKS_PER_S: u64 = 90_000;

/// The WebVTT of a segment.
pub(super) fn text(segment: &CaptionSegment) -> String {
    // A whole second is exact both in milliseconds and in ticks.
    let second = segment.window.start.as_secs();
    let map =
        vtt::TimestampMap { mpegts: second * TICKS_PER_S, local: Duration::from_secs(second) };
    vtt::segment(&segment.texts, &segment.window, map, FileClock::default(), &vtt::Style::default())
}

/// The WebVTT of a segment for DASH, whose times are those of the presentation: `zero` is added to running
/// times. dash.js takes them as they are, others with the offset of the period, which the manifest has as 0.
pub(super) fn presented(segment: &CaptionSegment, zero: Duration) -> String {
    let mut out = String::from("WEBVTT\n\n");
    for shown in &segment.texts {
        let (start, end) = (zero + shown.start, zero + shown.end);
        let mut shown = shown.clone();
        (shown.start, shown.end) = (start, end);
        out.push_str(&vtt::cue(&shown, FileClock::default(), &vtt::Style::default()));
    }
    out
}

#[cfg(test)]
mod tests;
