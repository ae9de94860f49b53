//! Where the weights of AIC-A are, and which model they are.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// First four bytes of the SHA-256 of the weights.
pub type ModelId = [u8; 4];

/// The id of "no model": its sender supports embedded Opus only.
pub const NO_MODEL: ModelId = [0; 4];

/// Path of the weights in a folder of models; their card (`.json`) is beside them.
const NAME: &str = "aic-audio/aic-a2.safetensors";

#[derive(Deserialize)]
struct Card {
    id: String,
}

/// The weights: `$AURALINK_AIC_WEIGHTS`; else the first of `$AURALINK_MODELS` (folders joined by
/// colons), `/var/lib/auralink/models` and `./models` that has them.
pub fn find() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("AURALINK_AIC_WEIGHTS").filter(|n| !n.is_empty()) {
        return Some(PathBuf::from(named)).filter(|p| p.is_file());
    }
    let set = std::env::var_os("AURALINK_MODELS").unwrap_or_default();
    let folders = std::env::split_paths(&set)
        .filter(|f| !f.as_os_str().is_empty())
        .chain([PathBuf::from("/var/lib/auralink/models"), PathBuf::from("models")]);
    folders.map(|f| f.join(NAME)).find(|p| p.is_file())
}

/// The model id according to the card beside the weights. When the engine loads them, it checks
/// their whole hash.
pub fn id(weights: &Path) -> Option<ModelId> {
    let card = std::fs::read(weights.with_extension("json")).ok()?;
    let card: Card = serde_json::from_slice(&card).ok()?;
    parse(&card.id)
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
    fn ids_are_eight_digits() {
        assert_eq!(parse("4fd1c0de"), Some([0x4f, 0xd1, 0xc0, 0xde]));
        assert_eq!(text([0x0f, 0xd1, 0xc0, 0xde]), "0fd1c0de");
        for wrong in ["", "4fd1c0d", "+fd1c0de", "4fd1c0de0", "xfd1c0de"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
