//! Requirements for measured media.

use serde_json::Value;

/// Bounds for one path through the appliance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Offset between audio and video, ms either way, in the median.
    pub(crate) av_offset_ms: f64,
    /// Longest step between two frames, ms.
    pub(crate) video_gap_ms: f64,
    /// Total missing audio, ms.
    pub(crate) audio_lost_ms: f64,
    /// Largest deviation from a second between flashes, ms.
    pub(crate) beat_ms: f64,
    /// Fewest pairs of flash and beep that must be found.
    pub(crate) pairs: u64,
}

/// Files, segments and transport streams: timestamps are carried, so little may change. A frame
/// takes 33 ms, and AAC comes in blocks of 21 ms.
pub(crate) const FILED: Bounds = Bounds {
    av_offset_ms: 60.0,
    video_gap_ms: 110.0,
    audio_lost_ms: 50.0,
    beat_ms: 45.0,
    pairs: 5,
};

/// WebRTC: the same, plus the receiver's jitter buffer under load.
pub(crate) const LIVE: Bounds = Bounds {
    av_offset_ms: 100.0,
    video_gap_ms: 250.0,
    audio_lost_ms: 100.0,
    beat_ms: 70.0,
    pairs: 5,
};

fn number(report: &Value, pointer: &str) -> f64 {
    report.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN)
}

/// Fails with the whole report unless the media is within bounds.
pub(crate) fn expect(path: &str, report: &Value, bounds: Bounds) {
    let mut wrong = Vec::new();
    // A missing figure is NaN, which fails every bound.
    let mut check = |what: &str, value: f64, max: f64| {
        let within = value.abs() <= max;
        if !within {
            wrong.push(format!("{what}: {value:.1}, allowed {max:.1}"));
        }
    };
    let pairs = number(report, "/av/pairs");
    check("pairs of flash and beep that are missing", (bounds.pairs as f64 - pairs).max(0.0), 0.0);
    check("sound against picture, ms", number(report, "/av/median_ms"), bounds.av_offset_ms);
    check("step between frames, ms", number(report, "/video/max_gap_ms"), bounds.video_gap_ms);
    check("steps back in time", number(report, "/video/steps_back"), 0.0);
    check("sound lost, ms", number(report, "/audio/lost_ms"), bounds.audio_lost_ms);
    for end in [0, 1] {
        let beat = number(report, &format!("/video/flash_interval_ms/{end}"));
        check("flashes off the second, ms", beat - 1000.0, bounds.beat_ms);
    }
    eprintln!(
        "  {path:<28} A/V {:+6.1} ms  cadence {:5.1} ms  longest step {:6.1} ms  sound lost {:5.1} ms",
        number(report, "/av/median_ms"),
        number(report, "/video/cadence_ms"),
        number(report, "/video/max_gap_ms"),
        number(report, "/audio/lost_ms"),
    );
    assert!(wrong.is_empty(), "{path}:\n  {}\n{report}", wrong.join("\n  "));
}
