//! Where this program's file is.

use std::path::{Path, PathBuf};

/// The program's name.
const NAME: &str = "auralink";

/// The program that runs engines: `$AURALINK_ENGINE`; else the running program if it is ours; else
/// one beside or above it, as in a test below `target/debug`; else the one on `$PATH`. `None` if
/// there is none.
pub fn program() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("AURALINK_ENGINE").filter(|n| !n.is_empty()) {
        return Some(PathBuf::from(named));
    }
    let running = std::env::current_exe().ok();
    running.as_deref().and_then(near).or_else(on_path)
}

fn near(running: &Path) -> Option<PathBuf> {
    if running.file_stem().is_some_and(|n| n == NAME) && running.is_file() {
        return Some(running.to_owned());
    }
    // target/debug/deps/test-0123456789abcdef → target/debug/auralink
    let folders = running.ancestors().skip(1).take(2);
    folders.map(|f| f.join(NAME)).find(|p| p.is_file())
}

fn on_path() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|f| f.join(NAME)).find(|p| p.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_found_above_a_test() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let deps = folder.path().join("deps");
        std::fs::create_dir(&deps).expect("makes a folder");
        let test = deps.join("stt-0123");
        assert_eq!(near(&test), None);
        let wanted = folder.path().join(NAME);
        std::fs::write(&wanted, "").expect("writes");
        assert_eq!(near(&test), Some(wanted.clone()));
        assert_eq!(near(&wanted), Some(wanted));
    }
}
