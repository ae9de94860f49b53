//! Tests of DeepFilterNet, with its package where it is installed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::deepfilternet::find;
use super::enhancer::Enhancer;
use super::frame::Frame;
use super::libdf::Network;
use super::tests::{FULL, OFF, best_lag, noise, voice};
use super::*;
use crate::media::Backoff;
use crate::needs;
use crate::speech::recovery::{Recovery, troubles};

/// Name of the weights and of the library.
const WEIGHTS: &str = "DeepFilterNet3_onnx.tar.gz";
const LIBRARY: &str = "libdeepfilter.so";

/// The folder of the installed model; `None`, noted, without one.
fn installed() -> Option<PathBuf> {
    let found = find(Some(&needs::model_folders()));
    if found.is_err() {
        needs::skip(format!("DeepFilterNet: `auralink models pull {DEEPFILTERNET}`"));
    }
    found.ok().map(|model| model.folder)
}

fn wanted(folder: &Path) -> Selection {
    let folders = Some(vec![folder.to_owned()]);
    Selection { engine: Engine::Dfn3, post_filter: false, folders, wait: true }
}

/// A denoiser that has followed this selection.
fn denoiser(channels: usize, selection: &Selection) -> (Denoiser, Selector) {
    let (mut denoiser, mut selector) = (Denoiser::new(channels, FULL), Selector::default());
    selector.follow(selection, &mut denoiser);
    (denoiser, selector)
}

/// Checks that RNNoise works and the selector says this.
fn check_off(folder: &Path, reason: &str) {
    let (mut denoiser, selector) = denoiser(1, &wanted(folder));
    let off = selector.off().expect("DeepFilterNet is off");
    assert!(off.contains(reason), "`{off}` does not say `{reason}`");
    let mut output = Vec::new();
    denoiser.push(&voice(4_800), &mut output);
    assert_eq!((denoiser.engine(), denoiser.latency()), ("rnnoise", Duration::from_millis(20)));
    assert_eq!(output.len(), 4_320);
}

#[test]
fn without_the_package_rnnoise_works_and_the_command_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    check_off(folder.path(), "auralink models pull deepfilternet3");
}

#[test]
fn files_that_are_not_what_they_claim_are_never_opened() {
    let folder = tempfile::tempdir().expect("a folder");
    // As large as the real ones, which is all that is checked before the hash.
    for (name, bytes) in [(WEIGHTS, 7_983_136), (LIBRARY, 17_219_304)] {
        std::fs::write(folder.path().join(name), vec![7_u8; bytes]).expect("writes");
    }
    check_off(folder.path(), "is not what it claims");
    std::fs::write(folder.path().join(WEIGHTS), "short").expect("writes");
    check_off(folder.path(), "is damaged");
    std::fs::remove_file(folder.path().join(LIBRARY)).expect("removes");
    check_off(folder.path(), "DeepFilterNet3_onnx.tar.gz has 5 bytes");
    std::fs::remove_file(folder.path().join(WEIGHTS)).expect("removes");
    check_off(folder.path(), "auralink models pull deepfilternet3");
}

#[test]
fn another_library_is_refused_in_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = folder.path().join(LIBRARY);
    std::fs::write(&text, "no library").expect("writes");
    let refused =
        |library: &Path| Network::new(library, Path::new(WEIGHTS)).err().expect("refused");
    assert!(refused(&text).contains("cannot open"), "{}", refused(&text));
    let other = refused(Path::new("libm.so.6"));
    assert!(other.contains("no df_create"), "{other}");
}

#[test]
fn its_output_lies_on_the_samples_of_the_original() {
    let Some(folder) = installed() else { return };
    let input = voice(RATE_HZ as usize);
    let clean = |strength| {
        let (mut denoiser, _) = denoiser(1, &wanted(&folder));
        denoiser.set_strength(strength);
        assert_eq!((denoiser.engine(), denoiser.latency()), ("dfn3", Duration::from_millis(40)));
        let mut output = Vec::new();
        denoiser.push(&input, &mut output);
        denoiser.drain(&mut output);
        assert_eq!(output.len(), input.len());
        output
    };
    assert_eq!(best_lag(&input, &clean(FULL), 1_600), 0);
    assert_eq!(clean(OFF), input, "off is exact");
}

#[test]
fn switching_between_the_engines_and_off_does_not_click() {
    let Some(folder) = installed() else { return };
    let input: Vec<f32> = (0..3 * RATE_HZ)
        .map(|n| 0.25 * (std::f32::consts::TAU * 220.0 * n as f32 / RATE_HZ as f32).sin())
        .collect();
    let step =
        |samples: &[f32]| samples.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0_f32, f32::max);
    let (mut denoiser, mut selector) = denoiser(1, &wanted(&folder));
    let (mut output, mut engines) = (Vec::new(), Vec::new());
    for (index, part) in input.chunks(24_000).enumerate() {
        let engine = if index % 3 == 1 { Engine::Rnnoise } else { Engine::Dfn3 };
        selector.follow(&Selection { engine, ..wanted(&folder) }, &mut denoiser);
        denoiser.set_strength(if index % 3 == 2 { OFF } else { FULL });
        denoiser.push(part, &mut output);
        engines.push(denoiser.engine());
    }
    assert_eq!(engines, ["dfn3", "rnnoise", "rnnoise", "dfn3", "rnnoise", "rnnoise"]);
    denoiser.drain(&mut output);
    assert_eq!(output.len(), input.len());
    assert!(step(&output) < step(&input) * 1.5, "{} against {}", step(&output), step(&input));
}

#[test]
fn its_channels_do_not_mix() {
    let Some(folder) = installed() else { return };
    let (mut denoiser, _) = denoiser(2, &wanted(&folder));
    let input: Vec<f32> = voice(RATE_HZ as usize).iter().flat_map(|x| [*x, 0.0]).collect();
    let mut output = Vec::new();
    denoiser.push(&input, &mut output);
    let peak =
        |channel| output.iter().skip(channel).step_by(2).fold(0.0_f32, |most, x| most.max(x.abs()));
    let peaks = (peak(0), peak(1));
    assert!(peaks.0 > 0.1 && peaks.1 < 1e-6, "{peaks:?}");
}

#[test]
fn absurd_samples_do_not_break_it() {
    let Some(folder) = installed() else { return };
    let (mut denoiser, mut selector) = denoiser(1, &wanted(&folder));
    let mut output = Vec::new();
    denoiser.push(&[f32::NAN, f32::INFINITY, f32::MAX, -f32::MAX].repeat(2_400), &mut output);
    denoiser.push(&voice(RATE_HZ as usize), &mut output);
    selector.follow(&wanted(&folder), &mut denoiser);
    assert_eq!((denoiser.engine(), selector.off()), ("dfn3", None));
    assert!(output.iter().all(|x| x.is_finite()));
}

#[test]
fn noise_is_lowered_and_the_post_filter_changes_something() {
    let Some(folder) = installed() else { return };
    let speech = voice(RATE_HZ as usize);
    let input: Vec<f32> =
        speech.iter().zip(noise(speech.len(), 0.02)).map(|(v, n)| v + n).collect();
    let clean = |post_filter| {
        let (mut denoiser, _) = denoiser(1, &Selection { post_filter, ..wanted(&folder) });
        let mut output = Vec::new();
        denoiser.push(&input, &mut output);
        output
    };
    let (plain, filtered) = (clean(false), clean(true));
    let difference = plain.iter().zip(&filtered).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(difference > 1e-4, "{difference}");
}

/// A network whose state has become useless.
struct Broken;

impl Enhancer for Broken {
    fn clean(&mut self, _: &Frame, cleaned: &mut Frame) {
        cleaned.fill(f32::NAN);
    }

    fn set_post_filter(&mut self, _: bool) {}
}

#[test]
fn a_network_that_breaks_is_in_trouble_until_it_is_loaded_again() {
    let Some(folder) = installed() else { return };
    let (mut denoiser, mut selector) = denoiser(1, &wanted(&folder));
    let pause = Duration::from_millis(50);
    let pauses = Backoff::new(pause, pause, Duration::MAX);
    selector.recovery = Recovery::new("dfn3", "that-breaks", pauses);
    let in_trouble = || troubles().iter().any(|trouble| trouble.model == "that-breaks");
    denoiser.attach_enhancers(vec![Box::new(Broken)], false);
    selector.follow(&wanted(&folder), &mut denoiser);
    let mut output = Vec::new();
    denoiser.push(&voice(9_600), &mut output);
    selector.follow(&wanted(&folder), &mut denoiser);
    assert!(selector.off().is_some_and(|why| why.contains("not finite")), "{:?}", selector.off());
    assert!(in_trouble() && !denoiser.has_enhancers());
    std::thread::sleep(pause);
    selector.follow(&wanted(&folder), &mut denoiser);
    denoiser.push(&voice(48_000), &mut output);
    assert_eq!((denoiser.engine(), selector.off(), in_trouble()), ("dfn3", None, false));
    assert!(output.iter().all(|x| x.is_finite()));
}
