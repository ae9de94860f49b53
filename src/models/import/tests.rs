//! Tests of imports, as from a USB stick.

use super::super::testing::{ModelFolder, STT, file, put, weights};
use super::*;

const PAIR: &str = "task = \"translate\"\nengine = \"ct2\"\nlanguages = [\"en\"]\ninto = [\"es\"]";

fn registry(model_folder: &ModelFolder) -> Registry {
    Registry::over(vec![model_folder.models()], Some(&model_folder.manifests()))
        .expect("manifests read")
}

fn ids(found: &[Recognised]) -> Vec<&str> {
    found.iter().map(|r| r.manifest.id.as_str()).collect()
}

fn own(id: &str) -> Own {
    let languages = Languages::Only(vec![crate::media::Language::english()]);
    Own {
        id: id.into(),
        task: Task::Stt,
        engine: Engine::Whisper,
        languages,
        into: None,
        licence: Some("MIT".into()),
        commercial: true,
    }
}

#[test]
fn a_model_is_recognised_by_its_hash_whatever_its_name() {
    let model_folder = ModelFolder::new();
    let bytes = weights(5000, 1);
    model_folder.describe("m", STT, &[file("ggml-m.bin", Some(&bytes), None)]);
    put(&model_folder.stick().join("deep/er/renamed"), &bytes);
    put(&model_folder.stick().join("holiday.jpg"), &weights(77, 2));
    let registry = registry(&model_folder);
    let mut read = 0;
    let found =
        recognise(&registry, &model_folder.stick(), |count| read += count).expect("recognised");
    assert_eq!((ids(&found), read), (vec!["m"], 5000));
    let installed = import(&registry, &found[0], None, false, |_| ()).expect("imports");
    assert_eq!(installed.paths, [model_folder.models().join("m/ggml-m.bin")]);
    installed.ready().expect("right");
    assert_eq!(std::fs::read(&installed.paths[0]).expect("reads"), bytes);
}

#[test]
fn files_that_models_share_do_not_make_a_model() {
    let model_folder = ModelFolder::new();
    let (one, two, shared) = (weights(5000, 1), weights(5000, 2), weights(100, 3));
    let files = |weights: &[u8]| {
        [file("model.bin", Some(weights), None), file("config.json", Some(&shared), None)]
    };
    model_folder.describe("one", PAIR, &files(&one));
    model_folder.describe("two", PAIR, &files(&two));
    put(&model_folder.stick().join("one/model.bin"), &one);
    put(&model_folder.stick().join("one/config.json"), &shared);
    let registry = registry(&model_folder);
    let found = recognise(&registry, &model_folder.stick(), |_| ()).expect("recognised");
    assert_eq!(ids(&found), ["one"]);
    import(&registry, &found[0], None, false, |_| ()).expect("imports");

    std::fs::remove_file(model_folder.stick().join("one/config.json")).expect("removes");
    let found = recognise(&registry, &model_folder.stick(), |_| ()).expect("recognised");
    assert_eq!(found[0].lacking(), ["config.json"]);
    let error = import(&registry, &found[0], None, false, |_| ()).expect_err("lacks a file");
    assert!(error.to_string().contains("config.json"), "{error}");
}

#[test]
fn the_right_name_with_other_bytes_is_refused() {
    let model_folder = ModelFolder::new();
    let (right, wrong) = (weights(5000, 1), weights(5000, 2));
    model_folder.describe("m", STT, &[file("ggml-m.bin", Some(&right), None)]);
    put(&model_folder.stick().join("ggml-m.bin"), &wrong);
    let registry = registry(&model_folder);
    let error = recognise(&registry, &model_folder.stick(), |_| ()).expect_err("wrong");
    assert!(matches!(error, Error::WrongHash { .. }), "{error}");
    assert!(!model_folder.models().join("m").exists());
}

#[test]
fn a_source_that_changes_while_it_is_copied_is_refused() {
    let model_folder = ModelFolder::new();
    let bytes = weights(5000, 1);
    model_folder.describe("m", STT, &[file("ggml-m.bin", Some(&bytes), None)]);
    put(&model_folder.stick().join("ggml-m.bin"), &bytes);
    let registry = registry(&model_folder);
    let found = recognise(&registry, &model_folder.stick(), |_| ()).expect("recognised");
    put(&model_folder.stick().join("ggml-m.bin"), &weights(5000, 2));
    let error = import(&registry, &found[0], None, false, |_| ()).expect_err("another file");
    assert!(matches!(error, Error::WrongHash { .. }), "{error}");
    assert!(!model_folder.models().join("m/ggml-m.bin").exists());
    assert!(!model_folder.models().join("m/ggml-m.bin.part").exists());
}

#[test]
fn files_without_a_hash_are_taken_from_beside_the_weights_when_they_are_trusted() {
    let model_folder = ModelFolder::new();
    let bytes = weights(5000, 1);
    model_folder.describe(
        "m",
        PAIR,
        &[file("model.bin", Some(&bytes), None), file("config.json", None, None)],
    );
    put(&model_folder.stick().join("a/config.json"), b"of another model");
    put(&model_folder.stick().join("b/model.bin"), &bytes);
    put(&model_folder.stick().join("b/config.json"), b"{}");
    let registry = registry(&model_folder);
    let found = recognise(&registry, &model_folder.stick(), |_| ()).expect("recognised");
    let error = import(&registry, &found[0], None, false, |_| ()).expect_err("not trusted");
    assert!(matches!(error, Error::Unpinned { .. }), "{error}");
    let installed = import(&registry, &found[0], None, true, |_| ()).expect("trusted");
    assert_eq!(std::fs::read(&installed.paths[1]).expect("reads"), b"{}");
    installed.verify(|_| ()).expect("kept to");
}

#[test]
fn a_model_of_ones_own_gets_a_manifest_and_is_found_from_then_on() {
    let model_folder = ModelFolder::new();
    let bytes = weights(5000, 1);
    put(&model_folder.stick().join("ggml-mine.bin"), &bytes);
    let registry = registry(&model_folder);
    let place = model_folder.stick().join("ggml-mine.bin");
    let installed = import_own(&registry, &place, own("mine"), None, |_| ()).expect("imports");
    assert_eq!(installed.hash_prefix, &super::super::testing::sha256(&bytes)[..8]);
    let again = self::registry(&model_folder).get("mine", Task::Stt).expect("found");
    again.ready().expect("right");
    put(&again.paths[0], &weights(5000, 2));
    again.ready().expect_err("the manifest holds it to its hash");

    let taken = import_own(&registry, &place, own("mine"), None, |_| ()).expect_err("taken");
    assert!(taken.to_string().contains("another id"), "{taken}");
    let built_in = import_own(&registry, &place, own("whisper-tiny"), None, |_| ());
    built_in.expect_err("the id of a known model");
    registry.remove("mine").expect("removes");
    assert!(registry.find("mine").is_none() && !model_folder.models().join("mine").exists());
}

#[test]
fn what_does_not_fit_is_said_before_anything_is_copied() {
    let model_folder = ModelFolder::new();
    put(&model_folder.stick().join("w.bin"), &weights(10, 1));
    let registry = registry(&model_folder);
    let place = model_folder.stick();
    let check = |own: Own, expect: &str| {
        let error = import_own(&registry, &place, own, None, |_| ()).expect_err(expect);
        assert!(error.to_string().contains(expect), "{error}");
        assert_eq!(std::fs::read_dir(model_folder.models()).expect("reads").count(), 0);
    };
    check(own("../evil"), "not an id");
    check(Own { engine: Engine::Piper, ..own("x") }, "piper does tts");
    check(Own { task: Task::Translate, engine: Engine::Ct2, ..own("x") }, "into");
    let error = recognise(&registry, &place, |_| ()).expect_err("unknown").to_string();
    assert!(error.contains("--as"), "{error}");
    recognise(&registry, &place.join("none"), |_| ()).expect_err("not there");
}

#[test]
fn the_published_silero_model_is_recognised() {
    let Some(place) = crate::needs::test_data("models/silero-vad") else { return };
    let model_folder = ModelFolder::new();
    let registry = registry(&model_folder);
    let found = recognise(&registry, &place, |_| ()).expect("recognised");
    assert_eq!(ids(&found), ["silero-v6.2.0"]);
    let installed = import(&registry, &found[0], None, false, |_| ()).expect("imports");
    assert_eq!(installed.label(), "v6.2.0@2aa269b7");
}
