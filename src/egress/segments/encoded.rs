//! Video that is encoded as H.264 beside the original: for browsers that do not decode its codec, and
//! the rungs of the ladder. It is made while a player looks at it.

use std::time::{Duration, Instant};

use super::Rendition;
use super::fmp4::TrackInfo;
use crate::media::{Codec, Rung, VideoDetail};

/// Encoding continues for this long after the last look at its segments. Players look with every
/// segment.
const IDLE_TIMEOUT: Duration = Duration::from_secs(45);

/// Peak bit rate of a live encoder's segment, in percent of the average.
const PEAK_PERCENT: u64 = 130;

/// Limits of the levels: `level_idc`, macroblocks per second, macroblocks per picture (ITU-T H.264
/// table A-1).
const LEVELS: [(u8, f64, u32); 9] = [
    (21, 19_800.0, 792),
    (30, 40_500.0, 1_620),
    (31, 108_000.0, 3_600),
    (32, 216_000.0, 5_120),
    (40, 245_760.0, 8_192),
    (42, 522_240.0, 8_704),
    (50, 589_824.0, 22_080),
    (51, 983_040.0, 36_864),
    (52, 2_073_600.0, 36_864),
];

/// A rendition as H.264 that players may request.
#[derive(Clone, Debug)]
pub(super) struct Encoded {
    /// Bit rate that the encoder is set to, in bit/s.
    pub(super) bitrate: u64,
    /// Its rung of the ladder; `None` has the size of the original.
    pub(super) rung: Option<Rung>,
    /// When a player last looked at its segments.
    pub(super) asked: Option<Instant>,
}

impl Encoded {
    /// Notes that a player looks at its segments.
    pub(super) fn ask(&mut self) {
        self.asked = Some(Instant::now());
    }

    /// Whether a player uses it.
    pub(super) fn is_wanted(&self) -> bool {
        self.asked.is_some_and(|at| at.elapsed() < IDLE_TIMEOUT)
    }

    /// The rendition before it is encoded.
    pub(super) fn expected(&self, original: &TrackInfo) -> Rendition {
        let (width, height) = self.size(original);
        let level = level(width, height, original.fps);
        let info = TrackInfo {
            codec: Codec::H264,
            width,
            height,
            // Constrained baseline (RFC 6381 section 3.3), to which our encoders are set.
            mime: format!("avc1.42c0{level:02x}"),
            entry: Vec::new(),
            ..original.clone()
        };
        Rendition { info, peak: self.bitrate * PEAK_PERCENT / 100, average: self.bitrate }
    }

    fn size(&self, original: &TrackInfo) -> (u16, u16) {
        let Some(rung) = self.rung else { return (original.width, original.height) };
        let (width, height) = (original.width.into(), original.height.into());
        let scaled = rung.scaled(&VideoDetail { width, height, ..VideoDetail::default() });
        let side = |length: u32| u16::try_from(length).unwrap_or(u16::MAX);
        (side(scaled.width), side(scaled.height))
    }
}

/// The lowest level for this frame size and rate; 30 fps if the rate is unknown.
fn level(width: u16, height: u16, fps: f64) -> u8 {
    let blocks = |pixels: u16| u32::from(pixels).div_ceil(16);
    let picture = blocks(width) * blocks(height);
    let rate = f64::from(picture) * if fps > 0.0 { fps } else { 30.0 };
    let fits =
        |(_, rate_max, picture_max): &&(u8, f64, u32)| picture <= *picture_max && rate <= *rate_max;
    let highest = LEVELS[LEVELS.len() - 1];
    LEVELS.iter().find(fits).unwrap_or(&highest).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_follows_size_and_rate() {
        for (width, height, fps, expect) in [
            (320, 180, 25.0, 21),
            (1280, 720, 30.0, 31),
            (1280, 720, 0.0, 31),
            (1280, 720, 60.0, 32),
            (1920, 1080, 30.0, 40),
            (1920, 1080, 60.0, 42),
            (3840, 2160, 60.0, 52),
            (u16::MAX, u16::MAX, 60.0, 52),
        ] {
            assert_eq!(level(width, height, fps), expect, "{width}x{height} {fps}");
        }
    }

    #[test]
    fn it_is_wanted_once_asked_for() {
        let mut h264 = Encoded { bitrate: 1_000_000, rung: None, asked: None };
        assert!(!h264.is_wanted());
        h264.ask();
        assert!(h264.is_wanted());
    }
}
