//! The text of caption segments: WebVTT whose times are running times, like those of the media.

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

#[cfg(test)]
mod tests;
