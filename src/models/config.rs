//! `[models]`.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Where an installed appliance keeps its models.
const SYSTEM: &str = "/var/lib/auralink/models";

/// Where a developer keeps them.
const LOCAL: &str = "models";

/// `[models]`: where model weights live.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Folders with models, searched before the usual ones.
    pub folders: Vec<PathBuf>,
    /// Folder with manifests of one's own, `*.toml`; one with the id of a built-in one replaces it.
    pub manifests: Option<PathBuf>,
    /// Address that takes the place of `https://huggingface.co`: a mirror on one's own network.
    pub mirror: Option<String>,
}

impl Config {
    /// The folders in the order in which they are searched: those of `$AURALINK_MODELS` (joined by
    /// `:`), those of the configuration, `/var/lib/auralink/models`, `./models`.
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

    /// What parses but cannot work: field and reason.
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

/// Whether files can be made in a folder, or the folder itself where it is missing.
pub(super) fn writable(folder: &Path) -> bool {
    use rustix::fs::{Access, access};
    let Ok(folder) = std::path::absolute(folder) else { return false };
    let there = folder.ancestors().find(|p| p.exists()).unwrap_or(Path::new("/"));
    there.is_dir() && access(there, Access::WRITE_OK | Access::EXEC_OK).is_ok()
}
