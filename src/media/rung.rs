//! A rung of a ladder of qualities.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::VideoDetail;

/// Heights that a rung may have, in lines.
const HEIGHTS_LINES: std::ops::RangeInclusive<u32> = 90..=2160;

/// Bit rates that a rung may have, in kbit/s.
const RATES_KBPS: std::ops::RangeInclusive<u32> = 50..=50_000;

/// Most rungs of a ladder, the source not counted.
const RUNGS_MAX: usize = 8;

/// Most layers that a publisher sends of one picture; Chromium sends three.
pub const SENT_LAYERS_MAX: usize = 4;

/// A quality below the source: the video in a smaller picture. Its name is `480p`.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(deny_unknown_fields)]
pub struct Rung {
    /// The shorter side of the picture in pixels, even, 90-2160. The longer side follows the shape of
    /// the source. A source that is not larger has no such rung.
    #[schema(minimum = 90, maximum = 2160)]
    pub height: u32,
    /// Bit rate in kbit/s, 50-50,000; what suits the size if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 50, maximum = 50_000)]
    pub kbps: Option<u32>,
}

impl Rung {
    /// What is wrong with a ladder, with the index of the rung and its field.
    pub fn problem(ladder: &[Self]) -> Option<(usize, &'static str, String)> {
        if ladder.len() > RUNGS_MAX {
            return Some((RUNGS_MAX, "height", format!("a ladder has at most {RUNGS_MAX} rungs")));
        }
        ladder.iter().enumerate().find_map(|(index, rung)| {
            let twice = ladder.iter().take(index).any(|other| other.height == rung.height);
            if twice {
                return Some((index, "height", format!("{rung} is there twice")));
            }
            if !HEIGHTS_LINES.contains(&rung.height) || rung.height % 2 != 0 {
                return Some((index, "height", "an even number of lines, 90-2160".into()));
            }
            let kbps = rung.kbps.filter(|kbps| !RATES_KBPS.contains(kbps));
            kbps.map(|_| (index, "kbps", "50-50,000".into()))
        })
    }

    /// Whether a picture is larger, so that it has this rung.
    pub fn is_below(self, video: &VideoDetail) -> bool {
        video.width.min(video.height) > self.height
    }

    /// The picture in this size, with even sides; a picture that is not larger stays as it is.
    pub fn scaled(self, video: &VideoDetail) -> VideoDetail {
        let shorter = video.width.min(video.height);
        if shorter <= self.height {
            return video.clone();
        }
        let side = |length: u32| {
            let exact = f64::from(length) * f64::from(self.height) / f64::from(shorter);
            ((exact / 2.0).round() as u32 * 2).max(2)
        };
        VideoDetail { width: side(video.width), height: side(video.height), ..video.clone() }
    }
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}p", self.height)
    }
}

/// The qualities that a stream offers now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ladder {
    /// Bit rate of the source's video in kbit/s; 0 before it is measured.
    pub source_kbps: u32,
    /// The rungs below the source, the largest first, each with its bit rate.
    pub rungs: Vec<Rung>,
}

impl Ladder {
    /// The rung with this height in lines.
    pub fn rung(&self, height: u32) -> Option<Rung> {
        self.rungs.iter().copied().find(|rung| rung.height == height)
    }
}

/// What a viewer asks for of a stream with a ladder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Quality {
    /// What the viewer's line carries.
    #[default]
    Auto,
    /// The source.
    Source,
    /// The rung with this height in lines, or the source where that is not larger.
    Rung(u32),
}

impl FromStr for Quality {
    type Err = &'static str;

    /// Reads `auto`, `source` or the name of a rung: `480p`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "source" => Ok(Self::Source),
            rung => {
                let height = rung.strip_suffix('p').and_then(|height| height.parse().ok());
                height.map(Self::Rung).ok_or("`auto`, `source` or a rung, such as `480p`")
            }
        }
    }
}

impl fmt::Display for Quality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Source => f.write_str("source"),
            Self::Rung(height) => write!(f, "{height}p"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rung(height: u32) -> Rung {
        Rung { height, kbps: None }
    }

    #[test]
    fn pictures_keep_their_shape_and_get_even_sides() {
        for ((width, height), lines, expect) in [
            ((1920, 1080), 480, (854, 480)),
            ((1080, 1920), 480, (480, 854)),
            ((720, 576), 360, (450, 360)),
            ((640, 360), 360, (640, 360)),
            ((320, 180), 360, (320, 180)),
        ] {
            let video = VideoDetail { width, height, ..VideoDetail::default() };
            let scaled = rung(lines).scaled(&video);
            assert_eq!((scaled.width, scaled.height), expect, "{width}x{height}");
            assert_eq!(rung(lines).is_below(&video), expect != (width, height));
        }
    }

    #[test]
    fn wrong_ladders_are_named() {
        let problem = |ladder: &[Rung]| Rung::problem(ladder).map(|(n, field, _)| (n, field));
        assert_eq!(problem(&[rung(720), rung(360)]), None);
        assert_eq!(problem(&[rung(720), rung(720)]), Some((1, "height")));
        assert_eq!(problem(&[rung(361)]), Some((0, "height")));
        assert_eq!(problem(&[Rung { height: 360, kbps: Some(1) }]), Some((0, "kbps")));
        let many: Vec<Rung> = (0..9).map(|n| rung(100 + 2 * n)).collect();
        assert_eq!(problem(&many), Some((8, "height")));
    }

    #[test]
    fn qualities_read_as_they_are_written() {
        for text in ["auto", "source", "480p"] {
            assert_eq!(text.parse::<Quality>().expect("reads").to_string(), text);
        }
        for wrong in ["", "480", "p", "-1p", "best"] {
            assert!(wrong.parse::<Quality>().is_err(), "{wrong}");
        }
    }
}
