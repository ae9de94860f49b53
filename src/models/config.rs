//! `[models]`.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The models folder of an installed appliance.
const SYSTEM: &str = "/var/lib/auralink/models";

/// The models folder of a development tree.
const LOCAL: &str = "models";

/// `[models]`: where model weights are stored.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Folders with models, searched before the default ones.
    pub folders: Vec<PathBuf>,
    /// Folder with the admin's manifests, `*.toml`; one with the id of a built-in manifest replaces
    /// it.
    pub manifests: Option<PathBuf>,
    /// Address that replaces `https://huggingface.co`: a mirror on the local network.
    pub mirror: Option<String>,
}

impl Config {
    /// The folders in search order: those of `$AURALINK_MODELS` (joined by `:`), those of the
    /// configuration, `/var/lib/auralink/models`, `./models`.
    pub fn search_order(&self) -> Vec<PathBuf> {
        let environment = std::env::var_os("AURALINK_MODELS");
        let named = environment.iter().flat_map(std::env::split_paths);
        let usual = [PathBuf::from(SYSTEM), PathBuf::from(LOCAL)];
        let mut order: Vec<PathBuf> = Vec::new();
        for folder in named.chain(self.folders.iter().cloned()).chain(usual) {
            if !folder.as_os_str().is_empty() && !order.contains(&folder) {
                order.push(folder);
            }
        }
        order
    }

    /// Settings that parse but cannot work: field and reason.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if let Some(mirror) = &self.mirror
            && !(mirror.starts_with("https://") || mirror.starts_with("http://"))
        {
            problems.push(("mirror", format!("`{mirror}` is not an http or https address")));
        }
        if let Some(folder) = &self.manifests
            && let Err(error) = super::manifest::read_folder(folder)
        {
            problems.push(("manifests", super::error::with_source(&error)));
        }
        problems
    }
}

/// Whether files can be created in a folder, or the folder itself if it does not exist.
pub(super) fn writable(folder: &Path) -> bool {
    use rustix::fs::{Access, access};
    let Ok(folder) = std::path::absolute(folder) else { return false };
    let there = folder.ancestors().find(|p| p.exists()).unwrap_or(Path::new("/"));
    there.is_dir() && access(there, Access::WRITE_OK | Access::EXEC_OK).is_ok()
}
