//! Tests of what is found in models folders.

use super::super::testing::{ModelFolder, STT, file, put, weights};
use super::*;

fn language(tag: &str) -> Language {
    tag.parse().expect("valid")
}

fn registry(model_folder: &ModelFolder) -> Registry {
    Registry::over(vec![model_folder.models()], Some(&model_folder.manifests()))
        .expect("manifests read")
}

/// Puts a model of one file in its own folder below the model folder.
fn stock(model_folder: &ModelFolder, id: &str, kind: &str, seed: u32) {
    let bytes = weights(1000, seed);
    model_folder.describe(id, kind, &[file("w.bin", Some(&bytes), None)]);
    put(&model_folder.models().join(id).join("w.bin"), &bytes);
}

fn ids(found: &[Installed]) -> Vec<&str> {
    found.iter().map(|i| i.manifest.id.as_str()).collect()
}

#[test]
fn nothing_is_installed_in_an_empty_folder() {
    let model_folder = ModelFolder::new();
    let registry = registry(&model_folder);
    assert!(registry.installed(Task::Stt, None, None).is_empty());
    let error = registry.get("whisper-base.en", Task::Stt).expect_err("not here").to_string();
    assert!(error.contains("auralink models pull whisper-base.en"), "{error}");
    let error = registry.get("whisper-base.en", Task::Tts).expect_err("other task").to_string();
    assert!(error.contains("stt") && error.contains("tts"), "{error}");
    assert!(matches!(registry.get("nosuch", Task::Stt), Err(Error::Unknown(_))));
}

#[test]
fn the_best_comes_first_and_other_languages_not_at_all() {
    let model_folder = ModelFolder::new();
    let stt = |languages: &str, rank: u8| {
        format!("task = \"stt\"\nengine = \"whisper\"\nlanguages = {languages}\nrank = {rank}")
    };
    stock(&model_folder, "any-good", &stt("[\"*\"]", 50), 1);
    stock(&model_folder, "en-good", &stt("[\"en\"]", 50), 2);
    stock(&model_folder, "en-best", &stt("[\"en\"]", 60), 3);
    stock(&model_folder, "de-best", &stt("[\"de\"]", 99), 4);
    let registry = registry(&model_folder);
    let check = |tag: &str, expect: &[&str]| {
        let found = registry.installed(Task::Stt, Some(Engine::Whisper), Some(&language(tag)));
        assert_eq!(ids(&found), expect, "{tag}");
    };
    check("en", &["en-best", "en-good", "any-good"]);
    check("en-GB", &["en-best", "en-good", "any-good"]);
    check("fr", &["any-good"]);
    assert!(registry.installed(Task::Vad, None, None).is_empty());
    assert_eq!(registry.installed(Task::Stt, None, None).len(), 4);
}

#[test]
fn a_voice_is_chosen_by_its_region_first() {
    let model_folder = ModelFolder::new();
    let tts = |languages: &str, rank: u8| {
        format!("task = \"tts\"\nengine = \"piper\"\nlanguages = {languages}\nrank = {rank}")
    };
    stock(&model_folder, "american", &tts("[\"en-US\"]", 60), 1);
    stock(&model_folder, "british", &tts("[\"en-GB\"]", 50), 2);
    let registry = registry(&model_folder);
    let check = |tag: &str, expect: &[&str]| {
        let found = registry.installed(Task::Tts, None, Some(&language(tag)));
        assert_eq!(ids(&found), expect, "{tag}");
    };
    check("en-GB", &["british", "american"]);
    check("en", &["american", "british"]);
}

#[test]
fn translations_are_found_by_both_ends() {
    let model_folder = ModelFolder::new();
    let pair = |from: &str, into: &str, rank: u8| {
        format!(
            "task = \"translate\"\nengine = \"ct2\"\nlanguages = [\"{from}\"]\ninto = [\"{into}\"]\n\
             rank = {rank}"
        )
    };
    stock(&model_folder, "en-es", &pair("en", "es", 60), 1);
    stock(&model_folder, "all", &pair("*", "*", 50), 2);
    let registry = registry(&model_folder);
    let check = |from: &str, into: &str, expect: &[&str]| {
        let found = registry.translators(&language(from), &language(into));
        assert_eq!(ids(&found), expect, "{from} {into}");
    };
    check("en", "es", &["en-es", "all"]);
    check("es", "en", &["all"]);
    check("en-US", "es-MX", &["en-es", "all"]);
}

#[test]
fn damaged_and_half_models_are_told_apart_and_not_used() {
    let model_folder = ModelFolder::new();
    stock(&model_folder, "m", STT, 1);
    let (registry, bytes) = (registry(&model_folder), weights(1000, 1));
    let manifest = registry.find("m").expect("described");
    let path = model_folder.models().join("m/w.bin");
    let state = || registry.state(&manifest);

    let State::Installed(whole) = state() else { panic!("{:?}", state()) };
    assert_eq!(whole.label(), format!("m@{}", whole.hash_prefix));
    whole.ready().expect("right");

    put(&path, &bytes[..999]);
    assert!(matches!(state(), State::Damaged { .. }), "{:?}", state());
    assert!(registry.get("m", Task::Stt).expect_err("damaged").to_string().contains("999"));

    // The size is the same: only the hash differs, and only once it is computed.
    let mut flipped = bytes.clone();
    flipped[500] ^= 1;
    put(&path, &flipped);
    let State::Installed(changed) = state() else { panic!("{:?}", state()) };
    let error = changed.ready().expect_err("one bit is wrong");
    assert!(matches!(error, Error::WrongHash { .. }), "{error}");
    assert!(matches!(state(), State::Damaged { .. }), "what was found is remembered");
    assert!(registry.installed(Task::Stt, None, None).is_empty());
    let anew = super::Registry::over(vec![model_folder.models()], Some(&model_folder.manifests()));
    let state_anew = anew.expect("reads").state(&manifest);
    assert!(matches!(state_anew, State::Damaged { .. }), "also by the next process");

    std::fs::rename(&path, part_path(&path)).expect("renames");
    assert!(matches!(state(), State::Partial { bytes: 1000, .. }), "{:?}", state());
    std::fs::remove_file(part_path(&path)).expect("removes");
    assert!(matches!(state(), State::Missing), "{:?}", state());
}

#[test]
fn a_stamp_spares_the_second_reading() {
    let model_folder = ModelFolder::new();
    stock(&model_folder, "m", STT, 1);
    let first = registry(&model_folder).get("m", Task::Stt).expect("there");
    first.ready().expect("right");
    let mut read = 0;
    let second = registry(&model_folder).get("m", Task::Stt).expect("there");
    second.check(false, &mut |bytes| read += bytes).expect("right");
    assert_eq!(read, 0, "believed");
    second.verify(|bytes| read += bytes).expect("right");
    assert_eq!(read, 1000, "read all the same");
}

#[test]
fn files_of_other_programs_are_found_where_they_lie() {
    let model_folder = ModelFolder::new();
    let bytes = weights(1000, 1);
    model_folder.describe("m", STT, &[file("ggml-m.bin", Some(&bytes), None)]);
    put(&model_folder.models().join("ggml-m.bin"), &bytes);
    let registry = registry(&model_folder);
    let found = registry.get("m", Task::Stt).expect("found without a folder");
    assert_eq!(found.folder, model_folder.models());
    found.ready().expect("right");
    let (folders, freed) = registry.remove("m").expect("removes");
    assert_eq!(folders, [model_folder.models()]);
    assert!(freed >= 1000 && model_folder.models().exists());
    assert_eq!(std::fs::read_dir(model_folder.models()).expect("reads").count(), 0);
}

#[test]
fn the_first_folder_wins_and_the_first_writable_one_takes() {
    let (first, second) = (ModelFolder::new(), ModelFolder::new());
    stock(&first, "m", STT, 1);
    put(&second.models().join("m/w.bin"), &weights(1000, 1));
    let folders = vec![second.models(), first.models()];
    let manifests = first.manifests();
    let registry = Registry::over(folders, Some(&manifests)).expect("reads");
    assert_eq!(registry.get("m", Task::Stt).expect("there").folder, second.models().join("m"));
    // Damaged in the first folder, complete in the second: the second is used.
    put(&second.models().join("m/w.bin"), b"short");
    assert_eq!(registry.get("m", Task::Stt).expect("there").folder, first.models().join("m"));

    // Below a file even root cannot write.
    put(&first.stick().join("file"), b"");
    let never = first.stick().join("file/models");
    let registry = Registry::over(vec![never.clone(), first.models()], None).expect("reads");
    assert_eq!(registry.target(None).expect("one is writable"), first.models());
    let registry = Registry::over(vec![never], None).expect("reads");
    assert!(registry.target(None).expect_err("none").to_string().contains("file/models"));
}

#[test]
fn a_wrong_manifest_stops_the_admins_folder_and_nothing_else() {
    let model_folder = ModelFolder::new();
    stock(&model_folder, "m", STT, 1);
    put(&model_folder.models().join("bad/manifest.toml"), b"id = 3");
    let registry = registry(&model_folder);
    assert_eq!(registry.problems().len(), 1);
    assert_eq!(registry.installed(Task::Stt, None, None).len(), 1);
    put(&model_folder.manifests().join("bad.toml"), b"id = 3");
    let error = Registry::over(vec![model_folder.models()], Some(&model_folder.manifests()))
        .expect_err("wrong");
    assert!(error.to_string().contains("bad.toml"), "{error}");
}
