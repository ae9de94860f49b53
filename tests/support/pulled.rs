//! The models that `auralink models pull --default` fetches, for tests that need real weights.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use super::needs;

/// Folders with the default models, fetched once for all tests; `None`, noted, if they cannot be
/// fetched.
pub(crate) fn default_models() -> Option<&'static [PathBuf]> {
    static FETCHED: OnceLock<Result<Vec<PathBuf>, String>> = OnceLock::new();
    match FETCHED.get_or_init(fetch) {
        Ok(folders) => Some(folders),
        Err(why) => {
            needs::skip(format!(
                "the default models, and `auralink models pull --default` says: {why}"
            ));
            None
        }
    }
}

fn fetch() -> Result<Vec<PathBuf>, String> {
    let folders = needs::model_folders();
    let searched = std::env::join_paths(&folders).expect("paths without a colon");
    let pulled = Command::new(env!("CARGO_BIN_EXE_auralink"))
        .args(["models", "pull", "--default", "--to"])
        .arg(needs::test_models())
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .env("AURALINK_MODELS", searched)
        .env_remove("AURALINK_CONFIG")
        .output()
        .expect("the program starts");
    if pulled.status.success() {
        return Ok(folders);
    }
    let said = String::from_utf8_lossy(&pulled.stderr).into_owned();
    Err(said.lines().last().unwrap_or("nothing").to_owned())
}
