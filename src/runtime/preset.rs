//! Presets: `pipelines/*.toml`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::OutputSpec;
use crate::media::{Protocol, Rung};
use crate::process::{captions, denoise};

/// Largest preset file, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// What a stream does with its source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// Short title for lists.
    pub title: String,
    /// What it is for, in one or two sentences.
    pub description: String,
    /// Noise suppression; without this table the audio is unchanged.
    pub denoise: Option<denoise::Settings>,
    /// Captions, translations and voices; without this table nothing transcribes the audio.
    pub captions: Option<captions::Settings>,
    /// Qualities below the source that viewers may choose; each is encoded while one does.
    #[serde(default)]
    pub ladder: Vec<Rung>,
    /// Protocols that viewers may use.
    #[serde(default)]
    pub play: Play,
    /// Outputs that run while the stream is on air.
    #[serde(default)]
    pub outputs: Vec<OutputSpec>,
}

/// Protocols that viewers may use. All are on unless a preset turns them off. Nothing runs before a
/// viewer connects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Play {
    /// WebRTC (WHEP), and the voice alone by AIC-A.
    pub whep: bool,
    /// HLS, and DASH with the same segments.
    pub hls: bool,
    /// SRT.
    pub srt: bool,
}

impl Default for Play {
    fn default() -> Self {
        Self { whep: true, hls: true, srt: true }
    }
}

impl Play {
    /// Whether viewers may play by a protocol. Never by those that only carry media in.
    pub fn allows(&self, protocol: Protocol) -> bool {
        match protocol {
            // The voice is what WHEP has too, for thin lines.
            Protocol::Whep | Protocol::Voice => self.whep,
            Protocol::Hls | Protocol::Dash => self.hls,
            Protocol::Srt => self.srt,
            _ => false,
        }
    }
}

/// A preset that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PresetError {
    /// The file cannot be read.
    #[error("cannot read preset {path}")]
    Read {
        /// Path of the file or folder.
        path: PathBuf,
        /// The I/O error.
        #[source]
        source: std::io::Error,
    },
    /// The file is not a preset; the message has line and field.
    #[error("preset {path} is wrong: {message}")]
    Parse {
        /// Path of the file.
        path: PathBuf,
        /// Line, field and reason.
        message: String,
    },
}

/// The presets that come with the appliance: file stem and text.
const BUILT_IN: [(&str, &str); 9] = [
    ("passthrough", include_str!("../../pipelines/passthrough.toml")),
    ("clean-audio", include_str!("../../pipelines/clean-audio.toml")),
    ("abr", include_str!("../../pipelines/abr.toml")),
    ("captions", include_str!("../../pipelines/captions.toml")),
    ("captions-translated", include_str!("../../pipelines/captions-translated.toml")),
    ("dub", include_str!("../../pipelines/dub.toml")),
    ("record", include_str!("../../pipelines/record.toml")),
    ("restream", include_str!("../../pipelines/restream.toml")),
    ("trunk", include_str!("../../pipelines/trunk.toml")),
];

/// All presets by name, with their text as written.
#[derive(Clone, Debug)]
pub struct Presets(BTreeMap<String, (Preset, String)>);

impl Presets {
    /// The built-in presets and those in `folder`. A file in the folder replaces a built-in preset
    /// of the same name.
    ///
    /// # Errors
    /// The first preset that cannot be read or parsed.
    pub fn load(folder: Option<&Path>) -> Result<Self, PresetError> {
        let mut presets = Self(BTreeMap::new());
        for (name, text) in BUILT_IN {
            presets.add(name, Path::new(name), text.to_owned())?;
        }
        let Some(folder) = folder else { return Ok(presets) };
        let failed = |source| PresetError::Read { path: folder.to_owned(), source };
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let Some(stem) = path.file_stem().and_then(|s| s.to_str()) else { continue };
            if path.extension().is_some_and(|e| e == "toml") {
                presets.add(stem, &path, read(&path)?)?;
            }
        }
        Ok(presets)
    }

    /// Reads one preset file.
    ///
    /// # Errors
    /// If the file cannot be read or parsed.
    pub fn load_file(path: &Path) -> Result<Preset, PresetError> {
        parse(path, &read(path)?)
    }

    fn add(&mut self, name: &str, path: &Path, text: String) -> Result<(), PresetError> {
        let preset = parse(path, &text)?;
        self.0.insert(name.to_owned(), (preset, text));
        Ok(())
    }

    /// A preset by its name.
    pub fn get(&self, name: &str) -> Option<&Preset> {
        self.0.get(name).map(|(preset, _)| preset)
    }

    /// The text of a preset as written, comments included.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|(_, text)| text.as_str())
    }

    /// Names of all presets.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

fn read(path: &Path) -> Result<String, PresetError> {
    let failed = |source| PresetError::Read { path: path.to_owned(), source };
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > FILE_BYTES_MAX {
        let message = format!("it has {size} bytes; a preset has at most {FILE_BYTES_MAX}");
        return Err(PresetError::Parse { path: path.to_owned(), message });
    }
    std::fs::read_to_string(path).map_err(failed)
}

fn parse(path: &Path, text: &str) -> Result<Preset, PresetError> {
    let wrong = |message| PresetError::Parse { path: path.to_owned(), message };
    let preset: Preset = toml::from_str(text).map_err(|e| wrong(e.to_string()))?;
    match Rung::problem(&preset.ladder) {
        Some((index, field, problem)) => Err(wrong(format!("ladder[{index}].{field}: {problem}"))),
        None => Ok(preset),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_preset_reads() {
        let presets = Presets::load(None).expect("built-in presets read");
        assert_eq!(presets.names().count(), BUILT_IN.len());
        assert!(presets.get("clean-audio").expect("there").denoise.is_some());
        assert_eq!(presets.get("record").expect("there").outputs.len(), 1);
    }

    #[test]
    fn a_wrong_preset_is_named_with_its_line() {
        let error = parse(Path::new("x.toml"), "title = \"x\"\ndescription = \"y\"\nplya = 1\n");
        let message = error.expect_err("unknown key").to_string();
        assert!(message.contains("x.toml") && message.contains("line 3"), "{message}");
        let text = "title = \"x\"\ndescription = \"y\"\n[[ladder]]\nheight = 1\n";
        let message = parse(Path::new("x.toml"), text).expect_err("too small").to_string();
        assert!(message.contains("ladder[0].height: an even number"), "{message}");
    }

    #[test]
    fn fuzz_preset() {
        let built_in = BUILT_IN.map(|(_, text)| text.as_bytes());
        crate::fuzz::run_with("preset", &built_in, |bytes| {
            let _ = parse(Path::new("a.toml"), &String::from_utf8_lossy(bytes));
        });
    }
}
