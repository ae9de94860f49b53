//! `auralink aic encode`, `info` and `decode` on a sound.

use std::path::Path;
use std::process::Command;

const RATE_HZ: u32 = 16_000;

/// A second of a gliding voice in syllables, as 16 bits.
pub(crate) fn sound() -> Vec<i16> {
    let sample = |i: u32| {
        let t = i as f32 / RATE_HZ as f32;
        let turn = std::f32::consts::TAU * (120.0 * t + 10.0 * (3.0 * t).sin());
        let voice: f32 = (1_u8..12).map(f32::from).map(|h| (turn * h).sin() / h).sum();
        (voice * (6.0 * t).sin().abs() * 8_000.0) as i16
    };
    (0..RATE_HZ + 77).map(sample).collect()
}

pub(crate) fn wav(samples: &[i16]) -> Vec<u8> {
    let size = 2 * samples.len() as u32;
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((36 + size).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    bytes.extend(RATE_HZ.to_le_bytes());
    bytes.extend((2 * RATE_HZ).to_le_bytes());
    bytes.extend(b"\x02\0\x10\0data");
    bytes.extend(size.to_le_bytes());
    bytes.extend(samples.iter().flat_map(|s| s.to_le_bytes()));
    bytes
}

/// Runs `auralink aic` where there is no folder of models, and returns what it printed.
pub(crate) fn aic(arguments: &[&str], folder: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_auralink"))
        .current_dir(folder)
        .env_remove("AURALINK_AIC_WEIGHTS")
        .env_remove("AURALINK_MODELS")
        .arg("aic")
        .args(arguments)
        .output()
        .expect("starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_sound_becomes_a_file_and_a_sound_again() {
    let folder = tempfile::tempdir().expect("folder");
    let samples = sound();
    std::fs::write(folder.path().join("in.wav"), wav(&samples)).expect("writes");
    for more in [&["--stages", "33"][..], &["--frames", "3"], &["--constant"]] {
        aic(&[&["encode", "in.wav", "coded.aic"], more].concat(), folder.path());
        let said = aic(&["info", "coded.aic"], folder.path());
        assert!(said.contains(&format!("{} samples", samples.len())), "{said}");
        aic(&["decode", "coded.aic", "out.wav"], folder.path());
        let out = std::fs::read(folder.path().join("out.wav")).expect("is there");
        assert_eq!(out.len(), wav(&samples).len(), "as long as the original");
        let loud = |bytes: &[u8]| {
            let sample = |b: &[u8; 2]| f64::from(i16::from_le_bytes(*b)).powi(2);
            bytes[44..].as_chunks().0.iter().map(sample).sum::<f64>()
        };
        let share = loud(&out) / loud(&wav(&samples));
        assert!((0.25..4.0).contains(&share), "{more:?}: {share} of the power");
    }
}
