//! The folders in which file sources may lie.

use std::path::{Path, PathBuf};

/// `[sources]`: restrictions on file sources.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Folders in which files may lie, after resolving links; subfolders are included.
    pub file_folders: Vec<PathBuf>,
}

impl Default for Config {
    /// No restriction: users who may create streams may play any media file that the appliance can
    /// read.
    fn default() -> Self {
        Self { file_folders: vec!["/".into()] }
    }
}

impl Config {
    /// Settings that cannot work, as `(field, reason)`.
    pub fn problems(&self) -> Vec<(String, String)> {
        let wrong = |(n, folder): (usize, &PathBuf)| {
            let field = format!("file_folders[{n}]");
            (!folder.is_absolute()).then(|| (field, "a folder is named from `/` on".to_owned()))
        };
        self.file_folders.iter().enumerate().filter_map(wrong).collect()
    }

    /// Whether a file may be a source; `path` contains no links. Blocks, because the folders may be
    /// links.
    pub(super) fn allows(&self, path: &Path) -> bool {
        let lies_in = |folder: &PathBuf| folder.canonicalize().is_ok_and(|f| path.starts_with(f));
        self.file_folders.iter().any(lies_in)
    }
}
