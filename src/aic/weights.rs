//! Where the weights of AIC-A are, and which model they are.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use serde::Deserialize;

/// First four bytes of the SHA-256 of the weights.
pub type ModelId = [u8; 4];

/// The id of "no model": its sender supports embedded Opus only.
pub const NO_MODEL: ModelId = [0; 4];

/// Path of the weights in a folder of models; their card (`.json`) is beside them.
const NAME: &str = "aic-audio/aic-a2.safetensors";

/// The weights in the program, and their card.
const BUILT_IN: (&[u8], &str) = (
    include_bytes!("../../models/aic-audio/aic-a2.safetensors"),
    include_str!("../../models/aic-audio/aic-a2.json"),
);

/// Weights of AIC-A.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Weights {
    /// Those in the program.
    BuiltIn,
    /// A file, with its card beside it.
    File(PathBuf),
}

/// The bytes of weights, and the text of their card.
pub type Contents = (Cow<'static, [u8]>, Cow<'static, str>);

#[derive(Deserialize)]
struct Card {
    id: String,
}

impl Weights {
    /// Reads them.
    ///
    /// # Errors
    /// The path that cannot be read, and why.
    pub fn read(&self) -> Result<Contents, (PathBuf, io::Error)> {
        let path = match self {
            Self::BuiltIn => return Ok((BUILT_IN.0.into(), BUILT_IN.1.into())),
            Self::File(path) => path,
        };
        let card = card_path(path);
        let text = fs::read_to_string(&card).map_err(|error| (card, error))?;
        let bytes = fs::read(path).map_err(|error| (path.clone(), error))?;
        Ok((bytes.into(), text.into()))
    }

    /// The model id according to the card. When the engine loads the weights, it checks their whole
    /// hash.
    pub fn id(&self) -> Option<ModelId> {
        let card: Cow<str> = match self {
            Self::BuiltIn => BUILT_IN.1.into(),
            Self::File(path) => fs::read_to_string(card_path(path)).ok()?.into(),
        };
        let card: Card = serde_json::from_str(&card).ok()?;
        parse(&card.id)
    }
}

impl fmt::Display for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("built in"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// The card beside a file of weights.
pub fn card_path(weights: &Path) -> PathBuf {
    weights.with_extension("json")
}

/// The weights: `$AURALINK_AIC_WEIGHTS`; else the first of `$AURALINK_MODELS` (folders joined by
/// colons), `/var/lib/auralink/models` and `./models` that has them; else those in the program.
/// `None` if the variable names no file.
pub fn find() -> Option<Weights> {
    if let Some(named) = std::env::var_os("AURALINK_AIC_WEIGHTS").filter(|n| !n.is_empty()) {
        return Some(PathBuf::from(named)).filter(|p| p.is_file()).map(Weights::File);
    }
    let set = std::env::var_os("AURALINK_MODELS").unwrap_or_default();
    let folders = std::env::split_paths(&set)
        .filter(|f| !f.as_os_str().is_empty())
        .chain([PathBuf::from("/var/lib/auralink/models"), PathBuf::from("models")]);
    Some(installed(folders).map_or(Weights::BuiltIn, Weights::File))
}

/// The weights in the first folder that has them.
fn installed(folders: impl IntoIterator<Item = PathBuf>) -> Option<PathBuf> {
    folders.into_iter().map(|f| f.join(NAME)).find(|p| p.is_file())
}

/// Eight hexadecimal digits, as in caps and SDP.
pub fn parse(text: &str) -> Option<ModelId> {
    let digits = text.len() == 8 && text.bytes().all(|b| b.is_ascii_hexdigit());
    digits.then(|| u32::from_str_radix(text, 16).ok()).flatten().map(u32::to_be_bytes)
}

/// The id as eight hexadecimal digits.
pub fn text(id: ModelId) -> String {
    format!("{:08x}", u32::from_be_bytes(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_in_a_folder_of_models_come_before_those_in_the_program() {
        let root = tempfile::tempdir().expect("folder");
        let folders = || ["none", "models"].map(|name| root.path().join(name));
        assert_eq!(installed(folders()), None, "those in the program");
        let path = root.path().join("models").join(NAME);
        fs::create_dir_all(path.with_file_name("")).expect("created");
        fs::write(&path, "other weights").expect("written");
        assert_eq!(installed(folders()), Some(path.clone()));
        let weights = Weights::File(path.clone());
        assert_eq!(weights.id(), None, "there is no card");
        assert_eq!(weights.read().expect_err("there is no card").0, card_path(&path));
    }

    #[test]
    fn ids_are_eight_digits() {
        assert_eq!(parse("4fd1c0de"), Some([0x4f, 0xd1, 0xc0, 0xde]));
        assert_eq!(text([0x0f, 0xd1, 0xc0, 0xde]), "0fd1c0de");
        for wrong in ["", "4fd1c0d", "+fd1c0de", "4fd1c0de0", "xfd1c0de"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
