//! What a test needs and this machine may lack: test data, rights, programs. A test that cannot run
//! says so here. `make test` lists all of it at the end; with `AURALINK_REQUIRE=all` it fails.
//!
//! Shared by the unit tests of the library and the tests in `tests/`.

use std::io::Write;
use std::path::{Path, PathBuf};

/// Notes that this test cannot run without what is named: `skip("ffmpeg, from `make setup`")`.
///
/// # Panics
/// If `AURALINK_REQUIRE` is `all`: nothing may be left out then.
pub(crate) fn skip(needed: impl std::fmt::Display) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let line = format!("skipped: {test} needs {needed}\n");
    assert!(std::env::var("AURALINK_REQUIRE").as_deref() != Ok("all"), "{line}");
    eprint!("{line}");
    // libtest hides what a passing test prints, so `make test` collects it in this file.
    if let Some(path) = std::env::var_os("AURALINK_SKIPPED") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the list is writable");
    }
}

/// A file or folder of the test data, which are in `$AURALINK_TEST_DATA` or beside the project.
/// `None`, noted, if it is missing.
pub(crate) fn test_data(part: &str) -> Option<PathBuf> {
    let root = std::env::var_os("AURALINK_TEST_DATA").map(PathBuf::from);
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let path = root.unwrap_or_else(beside).join(part);
    if path.exists() {
        return Some(path);
    }
    skip(format!("the test data {}", path.display()));
    None
}

/// Where `make test` puts the models that tests need.
pub(crate) fn test_models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-models")
}

/// Folders in which tests look for models: those of `$AURALINK_MODELS`, and the one above.
pub(crate) fn model_folders() -> Vec<PathBuf> {
    let named = std::env::var_os("AURALINK_MODELS");
    named.iter().flat_map(std::env::split_paths).chain([test_models()]).collect()
}
