//! The description of a model: `models/*.toml`.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Error;
use super::digest::Sha256Hex;
use super::task::{Engine, Task};
use crate::media::Language;

/// Largest manifest, in bytes.
const MANIFEST_BYTES_MAX: u64 = 64 << 10;

/// Longest id, in characters.
const ID_CHARS_MAX: usize = 64;

/// Languages of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Languages {
    /// All languages that the engine knows: `["*"]`.
    Any,
    /// Only these languages.
    Only(Vec<Language>),
}

impl Languages {
    /// Whether a language is included, regardless of region.
    pub fn has(&self, language: &Language) -> bool {
        match self {
            Self::Any => true,
            Self::Only(list) => list.iter().any(|l| l.same_language(language)),
        }
    }

    /// Whether exactly this tag is included, region included.
    fn has_exactly(&self, language: &Language) -> bool {
        matches!(self, Self::Only(list) if list.contains(language))
    }

    /// How well a language matches: 2 the exact tag, 1 the same language, 0 for `*`.
    pub(super) fn nearness(&self, language: &Language) -> u8 {
        match self {
            Self::Any => 0,
            Self::Only(_) if self.has_exactly(language) => 2,
            Self::Only(_) => 1,
        }
    }

    fn words(&self) -> Vec<String> {
        match self {
            Self::Any => vec!["*".into()],
            Self::Only(list) => list.iter().map(ToString::to_string).collect(),
        }
    }
}

impl fmt::Display for Languages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Only(list) if list.len() > 4 => f.pad(&format!("{} languages", list.len())),
            Self::Any => f.pad("any"),
            Self::Only(_) => f.pad(&self.words().join(" ")),
        }
    }
}

impl Serialize for Languages {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.words().serialize(s)
    }
}

impl<'de> Deserialize<'de> for Languages {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let words = Vec::<String>::deserialize(d)?;
        match words.as_slice() {
            [] => Err(serde::de::Error::custom("name a language, or \"*\" for all")),
            [star] if star == "*" => Ok(Self::Any),
            _ => {
                let list: Result<Vec<_>, _> = words.iter().map(|w| w.parse()).collect();
                list.map(Self::Only).map_err(serde::de::Error::custom)
            }
        }
    }
}

/// Terms of use of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Licence {
    /// SPDX identifier, or `LicenseRef-…` if SPDX has none.
    pub spdx: String,
    /// Whether it may be used commercially.
    pub commercial: bool,
    /// Where the licence is stated.
    pub source: Option<String>,
    /// What is doubtful about it; shown before the model is fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Memory of a loaded model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// On a processor, in MiB.
    pub cpu_mib: u64,
    /// On a GPU, in MiB of its memory; `None` if it does not run on one.
    pub gpu_mib: Option<u64>,
    /// Where the figures come from; states if they are estimates.
    pub source: String,
}

/// Speed of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Speed {
    /// The figure, with the machine it was measured on.
    pub says: String,
    /// Origin of the figure.
    pub source: String,
}

/// A place inside a package of the Python Package Index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Name and exact version: `moonshine-voice==0.0.48`.
    pub pypi: String,
    /// Path of the file inside: `moonshine_voice/assets/tiny-en/encoder_model.ort`.
    pub path: String,
    /// Size of the whole package in bytes, which is what has to be fetched.
    pub size: u64,
}

impl Package {
    fn check(&self) -> Result<(), String> {
        let (name, version) = self.pypi.split_once("==").unwrap_or_default();
        let plain = |text: &str| {
            let head = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
            head && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-+".contains(&b))
        };
        match plain(name) && plain(version) {
            true => Ok(()),
            false => Err(format!("`{}` is no package: write NAME==VERSION", self.pypi)),
        }
    }
}

/// One file of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Its name, without folder.
    pub name: String,
    /// Its size in bytes, if known.
    pub size: Option<u64>,
    /// Its hash, if known. A file without one is fetched only on request, and afterwards compared
    /// with its first download.
    pub sha256: Option<Sha256Hex>,
    /// Address to fetch it from.
    pub url: Option<String>,
    /// The package that contains it; it comes before the address, if there are both.
    pub package: Option<Package>,
    /// Where size and hash come from.
    pub source: Option<String>,
}

/// Description of a model, and its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Name of the model and of its folder: 1-64 of `a-z A-Z 0-9 . _ -`.
    pub id: String,
    /// Short description for lists.
    pub title: String,
    /// The task of the model.
    pub task: Task,
    /// The engine that runs it.
    pub engine: Engine,
    /// Languages that it hears or speaks; for a translation those that it translates from.
    pub languages: Languages,
    /// For a translation: languages that it translates into.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub into: Option<Languages>,
    /// Preference among several models: higher is better, 0-100.
    #[serde(default)]
    pub rank: u8,
    /// Its terms of use.
    pub licence: Licence,
    /// Its memory, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// Its speed, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed: Option<Speed>,
    /// Whether `make run` and `auralink models pull --default` fetch it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub default: bool,
    /// Models without which it does not run; pulled with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// Its files, the weights first.
    pub files: Vec<File>,
}

impl Manifest {
    /// Parses a manifest.
    ///
    /// # Errors
    /// What is wrong, under the name `path`.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let wrong = |message: String| Error::Manifest { path: path.to_owned(), message };
        let manifest: Self = toml::from_str(text).map_err(|e| wrong(e.to_string()))?;
        manifest.check().map_err(wrong)?;
        Ok(manifest)
    }

    /// Checks everything except the files.
    pub(super) fn check_head(&self) -> Result<(), String> {
        if !is_id(&self.id) {
            return Err(format!("`{}` is not an id: use 1-64 of a-z A-Z 0-9 . _ -", self.id));
        }
        if self.rank > 100 {
            return Err(format!("rank {} is above 100", self.rank));
        }
        if (self.task == Task::Translate) != self.into.is_some() {
            return Err("a translation, and nothing else, has `into`".into());
        }
        let fits = match self.engine {
            Engine::Whisper | Engine::Moonshine => Task::Stt,
            Engine::Silero => Task::Vad,
            Engine::Ct2 => Task::Translate,
            Engine::Piper => Task::Tts,
            Engine::Deepfilternet => Task::Denoise,
            Engine::Onnxruntime => Task::Runtime,
        };
        if fits != self.task {
            return Err(format!("{} does {fits}, not {}", self.engine, self.task));
        }
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        self.check_head()?;
        if self.files.is_empty() {
            return Err("it has no files".into());
        }
        let mut names = BTreeSet::new();
        for file in &self.files {
            // The name becomes part of a path, and these other names are reserved.
            if !is_id(&file.name) || file.name.ends_with(".part") || file.name == OWN {
                return Err(format!("`{}` cannot be the name of a file", file.name));
            }
            if !names.insert(&file.name) {
                return Err(format!("`{}` is there twice", file.name));
            }
            if let Some(url) = &file.url
                && !(url.starts_with("https://") || url.starts_with("http://"))
            {
                return Err(format!("`{url}` is not an http or https address"));
            }
            if let Some(package) = &file.package {
                package.check()?;
            }
        }
        Ok(())
    }

    /// Total bytes of all files; `None` if one is unknown.
    pub fn size(&self) -> Option<u64> {
        self.files.iter().map(|f| f.size).sum()
    }

    /// Whether it translates from one language into the other.
    pub fn translates(&self, from: &Language, into: &Language) -> bool {
        self.languages.has(from) && self.into.as_ref().is_some_and(|l| l.has(into))
    }
}

/// Name of the manifest beside an admin's own model.
pub(super) const OWN: &str = "manifest.toml";

/// Whether a text is valid as id of a model, and so as name of a folder.
pub(super) fn is_id(text: &str) -> bool {
    let head = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    let body = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    head && body && text.len() <= ID_CHARS_MAX
}

/// Reads one manifest file.
pub(super) fn read(path: &Path) -> Result<Manifest, Error> {
    let size = std::fs::metadata(path).map_err(Error::io("read", path))?.len();
    if size > MANIFEST_BYTES_MAX {
        let message = format!("it has {size} bytes; a manifest has at most {MANIFEST_BYTES_MAX}");
        return Err(Error::Manifest { path: path.to_owned(), message });
    }
    Manifest::parse(path, &std::fs::read_to_string(path).map_err(Error::io("read", path))?)
}

/// Reads every `*.toml` of a folder.
pub(super) fn read_folder(folder: &Path) -> Result<Vec<Manifest>, Error> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let path = entry.map_err(Error::io("read", folder))?.path();
        if path.extension().is_some_and(|e| e == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::built_in::BUILT_IN;
    use super::*;

    const GOOD: &str = r#"
        id = "x-1"
        title = "X"
        task = "stt"
        engine = "whisper"
        languages = ["en", "pt-BR"]
        licence = { spdx = "MIT", commercial = true }
        [[files]]
        name = "x.bin"
        url = "https://example.org/x.bin"
    "#;

    #[test]
    fn every_built_in_manifest_reads_and_says_where_it_comes_from() {
        let mut hashless = Vec::new();
        for (stem, text) in BUILT_IN {
            let manifest = Manifest::parse(Path::new(stem), text).expect("reads");
            assert_eq!(manifest.id, stem, "the file is named like the model");
            assert!(manifest.memory.is_some(), "{stem} says what it takes");
            assert!(manifest.licence.source.is_some(), "{stem} says who licences it");
            for file in &manifest.files {
                let comes_from = file.url.is_some() || file.package.is_some();
                assert!(file.source.is_some() && comes_from, "{stem}: {}", file.name);
                if file.sha256.is_none() {
                    hashless.push(format!("{stem}/{}", file.name));
                }
            }
        }
        assert_eq!(hashless, ["m2m100-418m/config.json", "m2m100-418m/shared_vocabulary.json"]);
    }

    #[test]
    fn the_list_in_the_program_is_the_folder() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
        let mut stems: Vec<String> = read_folder(&folder)
            .expect("every manifest of the folder reads")
            .into_iter()
            .map(|m| m.id)
            .collect();
        stems.sort();
        assert_eq!(stems, BUILT_IN.map(|(stem, _)| stem));
    }

    #[test]
    fn wrong_manifests_are_refused_with_a_reason() {
        assert!(Manifest::parse(Path::new("x"), GOOD).is_ok());
        let check = |from: &str, to: &str, reason: &str| {
            assert!(GOOD.contains(from), "{from}");
            let wrong = Manifest::parse(Path::new("x.toml"), &GOOD.replace(from, to));
            let message = wrong.expect_err(to).to_string();
            assert!(message.contains("x.toml") && message.contains(reason), "{to}: {message}");
        };
        check("\"x-1\"", "\"../x\"", "not an id");
        check("\"x.bin\"", "\"../../etc/passwd\"", "name of a file");
        check("\"x.bin\"", "\".hidden\"", "name of a file");
        check("\"x.bin\"", "\"manifest.toml\"", "name of a file");
        check("\"x.bin\"", "\"x.bin\"\nsha256 = \"abc\"", "sha256");
        check("\"stt\"", "\"sing\"", "sing");
        check("\"stt\"", "\"translate\"", "into");
        check("\"stt\"", "\"tts\"", "whisper does stt");
        check("[\"en\", \"pt-BR\"]", "[]", "name a language");
        check("[\"en\", \"pt-BR\"]", "[\"english\"]", "not a language");
        check("https://", "ftp://", "http");
        let package = r#"package = { pypi = "--index x", path = "x.bin", size = 1 }"#;
        check(r#"url = "https://example.org/x.bin""#, package, "NAME==VERSION");
        check("title", "titel", "titel");
    }

    #[test]
    fn languages_are_matched_by_region_first() {
        let manifest = Manifest::parse(Path::new("x"), GOOD).expect("reads");
        let language = |tag: &str| tag.parse::<Language>().expect("valid");
        let check = |tag: &str, has: bool, nearness: u8| {
            assert_eq!(manifest.languages.has(&language(tag)), has, "{tag}");
            if has {
                assert_eq!(manifest.languages.nearness(&language(tag)), nearness, "{tag}");
            }
        };
        check("en", true, 2);
        check("en-GB", true, 1);
        check("pt", true, 1);
        check("pt-BR", true, 2);
        check("de", false, 0);
        assert!(Languages::Any.has(&language("de")));
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in "[ -~\n]{0,400}") {
            let _ = Manifest::parse(Path::new("x"), &text);
        }

        #[test]
        fn an_id_is_always_one_plain_path_component(text in ".{0,80}") {
            if is_id(&text) {
                let path = Path::new("/models").join(&text);
                prop_assert_eq!(path.components().count(), 3);
                prop_assert!(path.starts_with("/models") && !text.starts_with('.'));
            }
        }
    }

    #[test]
    fn fuzz_manifest() {
        let seeds = [
            include_bytes!("../../models/whisper-tiny.toml").as_slice(),
            include_bytes!("../../models/opus-mt-en-es.toml"),
        ];
        crate::fuzz::run_with("manifest", &seeds, |bytes| {
            let _ = Manifest::parse(Path::new("a.toml"), &String::from_utf8_lossy(bytes));
        });
    }
}
