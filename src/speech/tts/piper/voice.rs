//! A voice's description, the `.onnx.json` beside its model: sample rate, espeak-ng's voice, the
//! noise of the model, and the number of each phoneme.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use unicode_normalization::UnicodeNormalization;

/// Largest description, in bytes; typical are 10 KB.
const DESCRIPTION_BYTES_MAX: u64 = 1024 * 1024;

/// Sample rates of voices.
const RATES_HZ: std::ops::RangeInclusive<u32> = 8_000..=48_000;

/// What is needed of the description. Its other fields are for training.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct VoiceConfig {
    audio: Audio,
    espeak: EspeakVoice,
    /// The noise and the pace of the model.
    #[serde(default)]
    pub(super) inference: Inference,
    #[serde(default = "espeak")]
    phoneme_type: String,
    /// Numbers of each phoneme; a phoneme is one code point.
    phoneme_id_map: BTreeMap<String, Vec<i64>>,
    /// Number of speakers; above 1 the model wants to know which.
    #[serde(default = "one")]
    pub(super) num_speakers: u32,
}

#[derive(Clone, Debug, Deserialize)]
struct Audio {
    sample_rate: u32,
}

#[derive(Clone, Debug, Deserialize)]
struct EspeakVoice {
    voice: String,
}

/// Noise and pace of a voice (Kim et al. 2021, arXiv:2106.06103).
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Inference {
    /// Variation of the sound.
    pub(super) noise_scale: f32,
    /// Length of the phonemes; 1 is the voice's own pace, 2 is half as fast.
    pub(super) length_scale: f32,
    /// Variation of the length of phonemes.
    pub(super) noise_w: f32,
}

impl Default for Inference {
    /// Piper's own defaults.
    fn default() -> Self {
        Self { noise_scale: 0.667, length_scale: 1.0, noise_w: 0.8 }
    }
}

fn espeak() -> String {
    "espeak".into()
}

fn one() -> u32 {
    1
}

/// The numbers of the phonemes of a sentence, and the phonemes that the voice does not know.
#[derive(Debug, PartialEq)]
pub(super) struct PhonemeIds {
    pub(super) ids: Vec<i64>,
    pub(super) unknown: BTreeSet<char>,
}

impl VoiceConfig {
    /// The description beside a model.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn beside(model: &Path) -> Result<Self, String> {
        let config: Self =
            serde_json::from_str(&read(model)?).map_err(|e| format!("the .json beside it: {e}"))?;
        config.check().map(|()| config)
    }

    /// The sample rate alone: Piper's program reads the rest itself.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn sample_rate_beside(model: &Path) -> Result<u32, String> {
        let json: serde_json::Value =
            serde_json::from_str(&read(model)?).map_err(|e| e.to_string())?;
        let rate = json.pointer("/audio/sample_rate").and_then(serde_json::Value::as_u64);
        rate.and_then(|rate| u32::try_from(rate).ok())
            .filter(|rate| RATES_HZ.contains(rate))
            .ok_or_else(|| "the .json beside it has no audio.sample_rate of 8000-48000".into())
    }

    fn check(&self) -> Result<(), String> {
        if !RATES_HZ.contains(&self.audio.sample_rate) {
            return Err("the .json beside it has no audio.sample_rate of 8000-48000".into());
        }
        if self.phoneme_type != "espeak" {
            let kind = self.phoneme_type.escape_debug();
            return Err(format!("its phonemes are of the type `{kind}`; only `espeak` is spoken"));
        }
        // It becomes an argument of a program.
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-+_".contains(&b);
        let voice = &self.espeak.voice;
        if voice.is_empty() || voice.starts_with('-') || !voice.bytes().all(plain) {
            return Err(format!("`{}` is no voice of espeak-ng", voice.escape_debug()));
        }
        let Inference { noise_scale, length_scale, noise_w } = self.inference;
        let noise = [noise_scale, noise_w].iter().all(|n| (0.0..=3.0).contains(n));
        if !noise || !(0.1..=10.0).contains(&length_scale) {
            return Err("its noise or pace is out of range".into());
        }
        match ["_", "^", "$"].iter().find(|mark| self.numbers(mark).is_empty()) {
            Some(mark) => Err(format!("its phonemes have no `{mark}`")),
            None => Ok(()),
        }
    }

    /// Samples a second.
    pub(super) fn rate_hz(&self) -> u32 {
        self.audio.sample_rate
    }

    /// The voice of espeak-ng that writes its phonemes.
    pub(super) fn espeak_voice(&self) -> &str {
        &self.espeak.voice
    }

    /// The input of the model: begin, each code point of the decomposed phonemes, end, with padding
    /// between, as Piper does it.
    pub(super) fn ids(&self, phonemes: &str) -> PhonemeIds {
        let pad = self.numbers("_");
        let mut ids = [self.numbers("^"), pad].concat();
        let mut unknown = BTreeSet::new();
        for phoneme in phonemes.nfd() {
            match self.numbers(phoneme.encode_utf8(&mut [0; 4])) {
                [] => {
                    unknown.insert(phoneme);
                }
                numbers => ids.extend(numbers.iter().chain(pad)),
            }
        }
        ids.extend(self.numbers("$"));
        PhonemeIds { ids, unknown }
    }

    fn numbers(&self, phoneme: &str) -> &[i64] {
        self.phoneme_id_map.get(phoneme).map_or(&[], Vec::as_slice)
    }
}

/// The name of a voice: `en_US-joe-medium` for `…/en_US-joe-medium.onnx`.
pub(super) fn voice_name(model: &Path) -> String {
    model.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn read(model: &Path) -> Result<String, String> {
    if !model.is_file() {
        return Err("there is no such file".into());
    }
    let beside = PathBuf::from(format!("{}.json", model.display()));
    let size = std::fs::metadata(&beside).map_err(|e| format!("{}: {e}", beside.display()))?.len();
    if size > DESCRIPTION_BYTES_MAX {
        return Err("the .json beside it is too large".into());
    }
    std::fs::read_to_string(&beside).map_err(|e| e.to_string())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Description of a voice that knows a few phonemes.
    pub(in super::super) const DESCRIPTION: &str = r#"{
        "audio": {"sample_rate": 22050, "quality": "medium"}, "espeak": {"voice": "en-us"},
        "inference": {"noise_scale": 0.667, "length_scale": 1, "noise_w": 0.8},
        "phoneme_type": "espeak", "num_symbols": 256, "num_speakers": 1,
        "phoneme_id_map": {"_": [0], "^": [1], "$": [2], " ": [3], ".": [10], "h": [20], "a": [14],
                           "ɪ": [74], "ˈ": [120], "c": [16], "̧": [140]}
    }"#;

    fn voice(change: (&str, &str)) -> Result<VoiceConfig, String> {
        let folder = tempfile::tempdir().expect("temporary folder");
        let model = folder.path().join("x.onnx");
        std::fs::write(&model, "").expect("writes");
        assert!(DESCRIPTION.contains(change.0), "{}", change.0);
        let text = DESCRIPTION.replace(change.0, change.1);
        std::fs::write(folder.path().join("x.onnx.json"), text).expect("writes");
        VoiceConfig::beside(&model)
    }

    #[test]
    fn phonemes_become_numbers_with_padding_between() {
        let voice = voice(("", "")).expect("reads");
        assert_eq!((voice.rate_hz(), voice.espeak_voice()), (22_050, "en-us"));
        let PhonemeIds { ids, unknown } = voice.ids("hˈaɪ.");
        assert_eq!(ids, [1, 0, 20, 0, 120, 0, 14, 0, 74, 0, 10, 0, 2]);
        assert!(unknown.is_empty());
        // A composed letter is two code points; what the voice does not know is left out.
        let PhonemeIds { ids, unknown } = voice.ids("çʘʘ a");
        assert_eq!(ids, [1, 0, 16, 0, 140, 0, 3, 0, 14, 0, 2]);
        assert_eq!(unknown, BTreeSet::from(['ʘ']));
    }

    #[test]
    fn descriptions_that_cannot_work_are_named() {
        let check = |from: &str, to: &str, reason: &str| {
            let error = voice((from, to)).expect_err(to);
            assert!(error.contains(reason), "{to}: {error}");
        };
        check("22050", "4000", "sample_rate");
        check("\"phoneme_type\": \"espeak\"", "\"phoneme_type\": \"pinyin\"", "pinyin");
        check("en-us", "-f/etc/passwd", "no voice of espeak-ng");
        check("en-us", "../x", "no voice of espeak-ng");
        check("0.667", "90.0", "out of range");
        check("\"^\": [1],", "", "no `^`");
        check("\"^\": [1],", "\"^\": 1,", "the .json beside it");
        assert!(VoiceConfig::beside(Path::new("/none.onnx")).is_err());
    }

    #[test]
    fn fuzz_piper_voice() {
        crate::fuzz::run_with("piper-voice", &[DESCRIPTION.as_bytes()], |bytes| {
            if let Ok(config) = serde_json::from_slice::<VoiceConfig>(bytes)
                && config.check().is_ok()
            {
                assert!(config.ids("hˈaɪ, ç.").ids.len() >= 3);
            }
        });
    }
}
