//! `auralink plan`: what a preset puts between a source and its consumers.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};

use super::encoders::probe_encoders;
use crate::egress;
use crate::graph::{self, PlanConsumer, PlanInput};
use crate::media::{Accept, Accepts, Codec, Format, H264Profile, Kind, Protocol};
use crate::process::{captions, transfer};
use crate::runtime::{Preset, Presets};
use crate::webrtc::sdp::VIDEO_CODECS;

/// Prints the plan of a preset for a source.
pub(super) fn print(
    preset: &str,
    source: &str,
    b_frames: bool,
    dot: bool,
) -> anyhow::Result<ExitCode> {
    let preset = find(preset)?;
    let ask = ask(&preset, &formats(source, b_frames)?, encoders()?, transfer::is_installed());
    let plan = graph::plan(&ask);
    let text = if dot { graph::dot(&ask, &plan) } else { graph::text(&ask, &plan) };
    println!("{}", text.trim_end());
    let unserved = plan.routes.values().any(|route| !route.problems.is_empty());
    Ok(if unserved { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// A preset by file or by the name of a built-in one.
pub(super) fn find(preset: &str) -> anyhow::Result<Preset> {
    let path = Path::new(preset);
    if path.exists() {
        return Ok(Preset::clone(&Presets::load_file(path)?));
    }
    let presets = Presets::load(None)?;
    presets.get(preset).cloned().with_context(|| {
        let known = presets.names().collect::<Vec<_>>().join(", ");
        format!("there is no file and no built-in preset `{preset}`; built in: {known}")
    })
}

/// The encoders that work on this machine, as the running appliance would choose.
pub(super) fn encoders() -> anyhow::Result<BTreeMap<Codec, String>> {
    crate::init().context("GStreamer does not start")?;
    let probed = probe_encoders();
    let best = |codec| probed.best(codec).map(|encoder| (codec, encoder.factory));
    Ok(Codec::ALL.into_iter().filter_map(best).collect())
}

/// Reads `h264+aac`.
pub(super) fn formats(source: &str, b_frames: bool) -> anyhow::Result<Vec<Format>> {
    let mut formats: Vec<Format> = Vec::new();
    for word in source.split('+') {
        let codec: Codec = word.trim().parse().map_err(anyhow::Error::msg)?;
        if formats.iter().any(|f| f.kind() == codec.kind()) {
            bail!("`{source}` has more than one {} codec", codec.kind());
        }
        let mut format = Format::new(codec);
        format.video.reorders = b_frames && matches!(codec, Codec::H264 | Codec::H265);
        if codec == Codec::H264 {
            let profile =
                if b_frames { H264Profile::High } else { H264Profile::ConstrainedBaseline };
            format.video.profile = Some(profile);
        }
        formats.push(format);
    }
    Ok(formats)
}

/// All consumers that a preset could have: its outputs and one viewer of each protocol.
pub(super) fn ask(
    preset: &Preset,
    formats: &[Format],
    encoders: BTreeMap<Codec, String>,
    cuda: bool,
) -> PlanInput {
    let of = |kind: Kind| formats.iter().find(|f| f.kind() == kind).cloned();
    let want = |id: String, accepts| PlanConsumer { id, accepts };
    let viewers = Protocol::ALL.iter().filter(|protocol| preset.play.allows(**protocol));
    let viewers = viewers.filter_map(|protocol| {
        let accepts = match protocol {
            Protocol::Whep => browser(),
            Protocol::Hls => egress::segments::accepts(),
            Protocol::Srt => egress::srt::accepts(),
            _ => return None,
        };
        Some(want(protocol.to_string(), accepts))
    });
    let outputs = preset.outputs.iter().filter(|output| output.enabled);
    PlanInput {
        video: of(Kind::Video),
        layers: Vec::new(),
        audio: of(Kind::Audio),
        denoise: preset.denoise.is_some(),
        words: preset.captions.as_ref().and_then(captions::Settings::words),
        wants: viewers
            .chain(outputs.map(|o| want(format!("output.{}", o.id), o.kind.accepts())))
            .collect(),
        encoders,
        cuda,
    }
}

/// What Chromium accepts by WHEP; for a real viewer its offer decides.
fn browser() -> Accepts {
    let video = Accept {
        reorders: false,
        recovery_points: false,
        h264_profiles: vec![
            H264Profile::ConstrainedBaseline,
            H264Profile::Baseline,
            H264Profile::Main,
            H264Profile::High,
        ],
        ..Accept::any_of(VIDEO_CODECS)
    };
    Accepts::media(Some(video), Some(Accept::any_of([Codec::Opus])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_read_and_mistakes_named() {
        let check = |text: &str| formats(text, true).map(|f| f.len());
        assert_eq!(check("h264+aac").expect("two"), 2);
        assert_eq!(check("opus").expect("one"), 1);
        assert!(check("h264+vp8").expect_err("two videos").to_string().contains("more than one"));
        assert!(check("h266").expect_err("unknown").to_string().contains("h266"));
        assert!(check("").is_err());
    }

    #[test]
    fn every_built_in_preset_has_a_plan_for_common_sources() {
        let names = [Codec::H264, Codec::Vp8, Codec::Opus, Codec::Aac];
        let encoders: BTreeMap<Codec, String> =
            names.into_iter().map(|codec| (codec, format!("{codec}enc"))).collect();
        let presets = Presets::load(None).expect("built-in presets");
        for name in presets.names() {
            for source in ["h264+aac", "vp8+opus", "h265+mp2", "av1+opus", "rawvideo+rawaudio"] {
                let formats = formats(source, true).expect("codecs");
                let preset = presets.get(name).expect("named");
                let plan = graph::plan(&ask(preset, &formats, encoders.clone(), false));
                for (id, route) in &plan.routes {
                    assert!(route.problems.is_empty(), "{name} {source} {id}: {route:?}");
                }
            }
        }
    }
}
