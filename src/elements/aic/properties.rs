//! The encoder's properties. Both of its elements have them; each class needs its own, because a
//! ParamSpec belongs to one class.

use std::time::Duration;

use gst::glib;
use gst::prelude::*;

use crate::aic::engine_timeout::EngineTimeout;
use crate::aic::fallback::OPUS_FRAMES_MAX;
use crate::aic::packet::{FRAMES_MAX, RATE_STAGES, REDUNDANT_FRAMES_MAX};
use crate::aic::send::{CodecPolicy, Settings};

fn number(
    name: &str,
    (nick, blurb): (&str, &str),
    range: std::ops::RangeInclusive<u32>,
    default: u32,
) -> glib::ParamSpec {
    glib::ParamSpecUInt::builder(name)
        .nick(nick)
        .blurb(blurb)
        .minimum(*range.start())
        .maximum(*range.end())
        .default_value(default)
        .mutable_playing()
        .build()
}

/// The longest wait for the engine, for encoder and decoder.
pub(super) fn deadline() -> glib::ParamSpec {
    let text = ("Deadline", "Longest wait for the engine per frame of 20 ms, in milliseconds");
    number("deadline", text, 1..=1_000, 40)
}

/// Whether to wait without this limit.
pub(super) fn wait() -> glib::ParamSpec {
    glib::ParamSpecBoolean::builder("wait")
        .nick("Wait")
        .blurb("Wait for the engine as long as it takes, at the start and for each frame, as files can")
        .default_value(false)
        .mutable_playing()
        .build()
}

/// The statistics, for encoder and decoder.
pub(super) fn stats() -> glib::ParamSpec {
    glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
        .nick("Statistics")
        .blurb("Counters since the start")
        .read_only()
        .build()
}

pub(super) fn encoder() -> Vec<glib::ParamSpec> {
    let (frames, redundant) = (FRAMES_MAX as u32, REDUNDANT_FRAMES_MAX as u32);
    let text = |name, nick, blurb| glib::ParamSpecString::builder(name).nick(nick).blurb(blurb);
    vec![
        text("codec", "Codec", "aic, opus, or auto: AIC-A for speech and Opus for everything else")
            .default_value(Some("auto"))
            .mutable_playing()
            .build(),
        number(
            "stages",
            ("Stages", "Most quantiser stages of each frame: 14, 18, 33 and 46 are possible"),
            RATE_STAGES[0] as u32..=RATE_STAGES[3] as u32,
            18,
        ),
        number("frames-per-packet", ("Frames", "Frames of 20 ms in a packet"), 1..=frames, 1),
        number(
            "redundancy",
            ("Redundancy", "Earlier frames repeated in each packet"),
            0..=redundant,
            0,
        ),
        glib::ParamSpecBoolean::builder("constant-size")
            .nick("Constant size")
            .blurb("Packets of one size, so that sizes do not tell what is said (RFC 6562)")
            .default_value(false)
            .mutable_playing()
            .build(),
        number(
            "opus-bitrate",
            ("Opus bitrate", "Of embedded Opus, bit/s"),
            6_000..=510_000,
            24_000,
        ),
        number(
            "opus-frames",
            ("Opus frames", "Frames of 20 ms in a packet of embedded Opus"),
            1..=OPUS_FRAMES_MAX as u32,
            1,
        ),
        number("opus-loss", ("Opus loss", "Loss that Opus prepares for, in percent"), 0..=100, 0),
        glib::ParamSpecBoolean::builder("dtx")
            .nick("DTX")
            .blurb("Send only a description of the background while nobody speaks")
            .default_value(false)
            .mutable_playing()
            .build(),
        deadline(),
        wait(),
        text("codec-in-use", "Codec in use", "aic, opus, or nothing yet").read_only().build(),
        stats(),
    ]
}

/// Sets a writable property of the encoder; returns whether it exists and fits.
pub(super) fn set(settings: &mut Settings, name: &str, value: &glib::Value) -> bool {
    let count = || value.get::<u32>().map(|n| n as usize).ok();
    let flag = || value.get::<bool>().ok();
    let put = |to: &mut usize, from: Option<usize>| from.map(|n| *to = n).is_some();
    match name {
        "codec" => match value.get::<Option<String>>().ok().flatten().as_deref() {
            Some("aic") => settings.wish = CodecPolicy::Aic,
            Some("opus") => settings.wish = CodecPolicy::Opus,
            Some("auto") | None => settings.wish = CodecPolicy::Auto,
            Some(_) => return false,
        },
        "stages" => return put(&mut settings.stages, count()),
        "frames-per-packet" => return put(&mut settings.frames, count()),
        "redundancy" => return put(&mut settings.redundant, count()),
        "constant-size" => return flag().map(|f| settings.constant = f).is_some(),
        "opus-bitrate" => return value.get().map(|n| settings.opus_bitrate = n).is_ok(),
        "opus-frames" => return put(&mut settings.opus_frames, count()),
        "opus-loss" => return value.get().map(|n| settings.opus_loss = n).is_ok(),
        "dtx" => return flag().map(|f| settings.dtx = f).is_some(),
        name => return set_engine_timeout(&mut settings.engine_timeout, name, value),
    }
    true
}

/// Sets a property about waiting for the engine, for encoder and decoder; returns whether it exists
/// and fits.
pub(super) fn set_engine_timeout(
    engine_timeout: &mut EngineTimeout,
    name: &str,
    value: &glib::Value,
) -> bool {
    match name {
        "wait" => value.get().map(|wait| engine_timeout.wait = wait).is_ok(),
        "deadline" => {
            let time = value.get::<u32>().map(|ms| Duration::from_millis(ms.into()));
            time.map(|time| engine_timeout.deadline = time).is_ok()
        }
        _ => false,
    }
}

/// Reads a property that is a setting.
pub(super) fn get(settings: &Settings, name: &str) -> Option<glib::Value> {
    Some(match name {
        "codec" => match settings.wish {
            CodecPolicy::Auto => "auto",
            CodecPolicy::Aic => "aic",
            CodecPolicy::Opus => "opus",
        }
        .to_value(),
        "stages" => (settings.stages as u32).to_value(),
        "frames-per-packet" => (settings.frames as u32).to_value(),
        "redundancy" => (settings.redundant as u32).to_value(),
        "constant-size" => settings.constant.to_value(),
        "opus-bitrate" => settings.opus_bitrate.to_value(),
        "opus-frames" => (settings.opus_frames as u32).to_value(),
        "opus-loss" => settings.opus_loss.to_value(),
        "dtx" => settings.dtx.to_value(),
        name => return get_engine_timeout(&settings.engine_timeout, name),
    })
}

/// Reads a property about waiting for the engine.
pub(super) fn get_engine_timeout(
    engine_timeout: &EngineTimeout,
    name: &str,
) -> Option<glib::Value> {
    Some(match name {
        "wait" => engine_timeout.wait.to_value(),
        "deadline" => (engine_timeout.deadline.as_millis() as u32).to_value(),
        _ => return None,
    })
}
