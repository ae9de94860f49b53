//! Translation by CTranslate2: the real library in its own process, with tiny models of random
//! weights. Their output is meaningless, so it is compared with the output of CTranslate2's own
//! Python package.

#![cfg(feature = "ct2")]

#[path = "support/needs.rs"]
#[allow(dead_code, reason = "the tests beside it use the rest")]
mod needs;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use auralink::models::Registry;
use auralink::speech::glossary::Glossary;
use auralink::speech::translate::{Config, Error, Request, Translators};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// The tiny models, each with a manifest in its own folder, and their expected output.
struct ModelFolder {
    folder: TempDir,
    expected: Value,
}

impl ModelFolder {
    /// `None`, with a message, if Python or its packages are missing.
    fn make() -> Option<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = std::env::var_os("AURALINK_TEST_PYTHON")
            .map_or_else(|| root.join(".venv/bin/python"), PathBuf::from);
        let there =
            Command::new(&python).args(["-c", "import ctranslate2, sentencepiece"]).output();
        if !there.is_ok_and(|o| o.status.success()) {
            needs::skip("ctranslate2 and sentencepiece in .venv, from `make setup`");
            return None;
        }
        let folder = tempfile::tempdir().expect("temporary folder");
        let made = Command::new(&python)
            .arg(root.join("tests/clients/tiny_ct2.py"))
            .arg(folder.path())
            .output()
            .expect("Python starts");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let text = std::fs::read_to_string(folder.path().join("expected.json")).expect("reads");
        let model_folder = Self { folder, expected: serde_json::from_str(&text).expect("JSON") };
        for model in ["opus", "m2m", "madlad"] {
            model_folder.describe(model);
        }
        Some(model_folder)
    }

    fn model(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the manifest of a model for its current files.
    fn describe(&self, name: &str) {
        let languages =
            if name == "opus" { ("[\"en\"]", "[\"es\"]") } else { ("[\"*\"]", "[\"*\"]") };
        let mut manifest = format!(
            "id = \"{name}\"\ntitle = \"tiny\"\ntask = \"translate\"\nengine = \"ct2\"\n\
             languages = {}\ninto = {}\nlicence = {{ spdx = \"CC0-1.0\", commercial = true }}\n",
            languages.0, languages.1
        );
        let mut files: Vec<PathBuf> = std::fs::read_dir(self.model(name))
            .expect("a folder")
            .map(|e| e.expect("an entry").path())
            .filter(|p| !p.to_string_lossy().contains(".stamp"))
            .collect();
        files.sort_by_key(|p| (!p.ends_with("model.bin"), p.clone()));
        for file in files {
            let bytes = std::fs::read(&file).expect("reads");
            let hash: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
            let name = file.file_name().expect("a name").to_string_lossy().into_owned();
            let size = bytes.len();
            manifest +=
                &format!("[[files]]\nname = \"{name}\"\nsize = {size}\nsha256 = \"{hash}\"\n");
        }
        let folder = self.folder.path().join(format!("manifests-{name}"));
        std::fs::create_dir_all(&folder).expect("makes a folder");
        std::fs::write(folder.join(format!("{name}.toml")), manifest).expect("writes");
    }

    /// Translators with this model only.
    fn translators(&self, name: &str, config: &str) -> Translators {
        let manifests = self.folder.path().join(format!("manifests-{name}"));
        let folders = vec![self.folder.path().to_owned()];
        let models = Registry::over(folders, Some(&manifests)).expect("a registry");
        let config: Config = toml::from_str(config).expect("a configuration");
        Translators::new(&config, Some(&models), Arc::new(|_| {})).expect("sets up")
    }

    fn sentences(&self) -> Vec<String> {
        self.strings("sentences")
    }

    fn strings(&self, key: &str) -> Vec<String> {
        let list = self.expected[key].as_array().expect("a list");
        list.iter().map(|s| s.as_str().expect("text").to_owned()).collect()
    }
}

const CT2: &str = "engines = [\"ct2\"]\ntimeout_ms = 60000\nct2.threads = 1";

fn request(text: &str) -> Request {
    Request {
        text: text.into(),
        from: "en".parse().expect("a language"),
        to: "es".parse().expect("a language"),
        engines: Vec::new(),
        context: None,
        glossary: Arc::new(Glossary::default()),
    }
}

fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Resident memory of a process in KiB.
fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).expect("it has memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn process(translators: &Translators) -> u32 {
    let running = translators.ct2().expect("it is built in").processes();
    let [(_, process)] = running.as_slice() else { panic!("one model: {running:?}") };
    *process
}

#[tokio::test(flavor = "multi_thread")]
async fn each_family_says_what_ctranslate2_itself_says() {
    let Some(model_folder) = ModelFolder::make() else { return };
    for model in ["opus", "m2m", "madlad"] {
        let translators = model_folder.translators(model, CT2);
        for (sentence, expect) in model_folder.sentences().iter().zip(model_folder.strings(model)) {
            let done = translators.translate(&request(sentence)).await.expect("translates");
            assert_eq!(done.text, squeezed(&expect), "{model}");
            assert!(done.model.expect("its name").starts_with(&format!("{model}@")));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pairs_are_listed_and_other_pairs_refused() {
    let Some(model_folder) = ModelFolder::make() else { return };
    let opus = model_folder.translators("opus", CT2);
    let pairs: Vec<String> =
        opus.pairs().iter().map(|p| format!("{}>{} {}", p.from, p.to, p.engine)).collect();
    assert_eq!(pairs, ["en>es ct2"]);
    let french = Request { to: "fr".parse().expect("a language"), ..request("Hello") };
    let none = opus.translate(&french).await.expect_err("no such pair");
    assert!(matches!(none, Error::NoRoute { .. }), "{none}");
    let many = model_folder.translators("m2m", CT2).pairs().len();
    assert!((40..100).contains(&many), "{many} pairs: those with English only");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_share_one_process_and_a_killed_one_is_replaced() {
    let Some(model_folder) = ModelFolder::make() else { return };
    let translators = Arc::new(model_folder.translators("opus", CT2));
    let (sentence, expect) =
        (&model_folder.sentences()[0], squeezed(&model_folder.strings("opus")[0]));
    let asked: Vec<_> = (0..8)
        .map(|_| {
            let (translators, request) = (translators.clone(), request(sentence));
            tokio::spawn(async move { translators.translate(&request).await.expect("translates") })
        })
        .collect();
    for one in asked {
        assert_eq!(one.await.expect("no panic").text, expect);
    }
    let first = process(&translators);
    for _ in 0..3 {
        let before = process(&translators);
        let killed = Command::new("kill").args(["-9", &before.to_string()]).status();
        assert!(killed.expect("kill starts").success());
        let done = translators.translate(&request(sentence)).await.expect("another process");
        assert_eq!(done.text, expect);
        assert_ne!(process(&translators), before);
    }
    assert_ne!(process(&translators), first);
    assert!(translators.states()[0].up);
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_stays_flat_and_an_idle_model_leaves_it() {
    let Some(model_folder) = ModelFolder::make() else { return };
    let translators = model_folder.translators("opus", &format!("{CT2}\nct2.idle_s = 1"));
    let sentence = &model_folder.sentences()[1];
    let mut memory = Vec::new();
    for n in 1..=300 {
        translators.translate(&request(sentence)).await.expect("translates");
        if n % 100 == 0 {
            memory.push(resident(process(&translators)));
        }
    }
    eprintln!("resident after 100, 200, 300 sentences: {memory:?} KiB");
    assert!(memory[2] < memory[0] + 2048, "{memory:?}");
    let ct2 = translators.ct2().expect("it is built in");
    let process = process(&translators);
    let limit = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !ct2.processes().is_empty() {
        assert!(std::time::Instant::now() < limit, "it stays");
        tokio::task::yield_now().await;
    }
    assert!(!Path::new(&format!("/proc/{process}")).exists(), "the process is gone");
    translators.translate(&request(sentence)).await.expect("it is loaded again");
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_models_are_named_and_the_next_engine_translates() {
    let Some(model_folder) = ModelFolder::make() else { return };
    let weights = model_folder.model("opus").join("model.bin");
    let whole = std::fs::read(&weights).expect("reads");
    let fails = async |expect: &str, again: &str| {
        let translators = model_folder.translators("opus", CT2);
        for expect in [expect, again] {
            let error = translators.translate(&request("Hello.")).await.expect_err("it is damaged");
            assert!(error.to_string().contains(expect), "{error}\n  instead of {expect}");
        }
        assert!(translators.ct2().expect("built in").processes().is_empty());
        let chain = model_folder.translators("opus", "timeout_ms = 60000");
        if chain.basic().is_some_and(|b| !b.is_empty()) {
            let done = chain.translate(&request("Hello.")).await.expect("basic translates");
            assert_eq!((done.text.as_str(), done.engine), ("Hola.", "basic"));
        }
    };
    // The same size but other bytes: the hash differs from the manifest.
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 0xff;
    std::fs::write(&weights, &flipped).expect("writes");
    // From then on it counts as damaged and is not offered.
    fails("sha256", "no engine of this machine").await;
    // Garbage that its manifest describes correctly: the library refuses it.
    std::fs::write(&weights, vec![7; 5000]).expect("writes");
    model_folder.describe("opus");
    fails("cannot load the model", "cannot load the model").await;
    // Half of a model.
    std::fs::write(&weights, &whole[..whole.len() / 2]).expect("writes");
    model_folder.describe("opus");
    fails("cannot load the model", "cannot load the model").await;
}
