//! Downloads from a server that misbehaves.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::testing::{Manner, ModelFolder, STT, Server, file, put, sha256, weights};
use super::*;

/// A model folder with one model of one file on a server, and the reported progress.
struct Scene {
    model_folder: ModelFolder,
    server: Server,
    bytes: Vec<u8>,
}

impl Scene {
    async fn new(manners: &[Manner]) -> Self {
        let (model_folder, bytes) = (ModelFolder::new(), weights(300_000, 1));
        let server = Server::start(&bytes, manners).await;
        let url = format!("{}/w.bin", server.url);
        model_folder.describe("m", STT, &[file("w.bin", Some(&bytes), Some(&url))]);
        Self { model_folder, server, bytes }
    }

    fn registry(&self) -> Registry {
        let manifests = self.model_folder.manifests();
        Registry::over(vec![self.model_folder.models()], Some(&manifests)).expect("manifests read")
    }

    async fn pull(&self) -> (Result<Installed, Error>, Vec<String>) {
        self.pull_with(options()).await
    }

    async fn pull_with(&self, options: PullOptions) -> (Result<Installed, Error>, Vec<String>) {
        let registry = self.registry();
        let manifest = registry.find("m").expect("described");
        let mut heard = Vec::new();
        let outcome = pull(&registry, &manifest, &options, &mut |progress| {
            heard.push(format!("{progress:?}"));
        })
        .await;
        (outcome, heard)
    }

    fn target(&self) -> PathBuf {
        self.model_folder.models().join("m/w.bin")
    }

    fn part(&self) -> PathBuf {
        part::part_path(&self.target())
    }

    #[track_caller]
    fn is_whole(&self, outcome: Result<Installed, Error>) {
        let installed = outcome.expect("it comes in the end");
        assert_eq!(std::fs::read(&installed.paths[0]).expect("reads"), self.bytes);
        assert_eq!(installed.hash_prefix, sha256(&self.bytes)[..8]);
        assert!(!self.part().exists(), "nothing half is left");
        installed.ready().expect("it is what it claims");
    }
}

fn options() -> PullOptions {
    PullOptions {
        attempts: 3,
        pause: Duration::from_millis(10),
        stall: Duration::from_millis(300),
        ..PullOptions::default()
    }
}

#[tokio::test]
async fn a_model_comes_in_one_go_and_is_not_fetched_again() {
    let scene = Scene::new(&[]).await;
    let (outcome, heard) = scene.pull().await;
    scene.is_whole(outcome);
    assert!(heard.contains(&"Bytes(300000)".to_owned()), "{heard:?}");
    let (outcome, _) = scene.pull().await;
    scene.is_whole(outcome);
    assert_eq!(scene.server.asked().len(), 1);
}

#[tokio::test]
async fn a_broken_connection_goes_on_where_it_broke() {
    let scene = Scene::new(&[Manner::Cut(100_000), Manner::Cut(50_000)]).await;
    let (outcome, heard) = scene.pull().await;
    scene.is_whole(outcome);
    let asked = scene.server.asked();
    assert_eq!(asked[0], None);
    assert_eq!(asked[1].as_deref(), Some("bytes=100000-"));
    assert_eq!(asked[2].as_deref(), Some("bytes=150000-"));
    assert_eq!(heard.iter().filter(|h| h.starts_with("Again")).count(), 2, "{heard:?}");
}

#[tokio::test]
async fn what_an_earlier_run_has_left_is_used() {
    let scene = Scene::new(&[]).await;
    put(&scene.part(), &scene.bytes[..123_456]);
    let (outcome, heard) = scene.pull().await;
    scene.is_whole(outcome);
    assert_eq!(scene.server.asked(), [Some("bytes=123456-".to_owned())]);
    assert!(heard[0].contains("kept: 123456"), "{heard:?}");
}

#[tokio::test]
async fn a_leftover_that_is_wrong_or_too_long_is_thrown_away() {
    let scene = Scene::new(&[]).await;
    put(&scene.part(), &weights(1000, 9));
    let (outcome, _) = scene.pull().await;
    scene.is_whole(outcome);
    assert_eq!(scene.server.asked(), [Some("bytes=1000-".to_owned()), None]);

    let scene = Scene::new(&[]).await;
    put(&scene.part(), &weights(400_000, 9));
    let (outcome, _) = scene.pull().await;
    scene.is_whole(outcome);
    assert_eq!(scene.server.asked(), [None]);
}

#[tokio::test]
async fn a_server_without_ranges_sends_it_whole_again() {
    let scene = Scene::new(&[Manner::Cut(1000), Manner::NoRange]).await;
    let (outcome, _) = scene.pull().await;
    scene.is_whole(outcome);
    assert_eq!(scene.server.asked().len(), 2);
}

#[tokio::test]
async fn wrong_bytes_are_refused_with_both_hashes_and_deleted() {
    let scene = Scene::new(&[Manner::Wrong]).await;
    let (outcome, _) = scene.pull().await;
    let error = outcome.expect_err("the hash is wrong").to_string();
    let inverted: Vec<u8> = scene.bytes.iter().map(|b| !b).collect();
    assert!(error.contains(&sha256(&scene.bytes)), "{error}");
    assert!(error.contains(&sha256(&inverted)), "{error}");
    assert!(!scene.target().exists() && !scene.part().exists());
    let (outcome, _) = scene.pull().await;
    scene.is_whole(outcome);
}

#[tokio::test]
async fn a_server_that_sends_too_much_is_stopped() {
    let scene = Scene::new(&[Manner::Endless]).await;
    let (outcome, _) = scene.pull().await;
    let error = outcome.expect_err("too long");
    assert!(matches!(error, Error::WrongSize { expected: 300_000, .. }), "{error}");
    assert!(!scene.target().exists() && !scene.part().exists());
}

#[tokio::test]
async fn a_file_of_another_size_is_refused_before_it_comes() {
    let scene = Scene::new(&[]).await;
    let other = weights(100, 2);
    let url = format!("{}/w.bin", scene.server.url);
    scene.model_folder.describe("m", STT, &[file("w.bin", Some(&other), Some(&url))]);
    let (outcome, heard) = scene.pull().await;
    let error = outcome.expect_err("another size");
    assert!(matches!(error, Error::WrongSize { expected: 100, got: 300_000, .. }), "{error}");
    assert!(!heard.iter().any(|h| h.starts_with("Bytes")), "{heard:?}");
}

#[tokio::test]
async fn refusals_are_final_and_failures_are_tried_again() {
    let scene = Scene::new(&[Manner::Status(404)]).await;
    let (outcome, _) = scene.pull().await;
    let error = outcome.expect_err("not found").to_string();
    assert!(error.contains("404") && error.contains("import"), "{error}");
    assert_eq!(scene.server.asked().len(), 1);

    let scene = Scene::new(&[Manner::Status(500), Manner::Status(429)]).await;
    let (outcome, _) = scene.pull().await;
    scene.is_whole(outcome);

    let scene = Scene::new(&[Manner::Status(503); 3]).await;
    let (outcome, _) = scene.pull().await;
    let error = outcome.expect_err("it has had its chances").to_string();
    assert!(error.contains("3 attempts") && error.contains("503"), "{error}");
}

#[tokio::test]
async fn a_silent_server_is_given_up_and_what_came_is_kept() {
    let scene = Scene::new(&[Manner::Silent(70_000), Manner::Silent(0), Manner::Silent(0)]).await;
    let start = Instant::now();
    let (outcome, _) = scene.pull().await;
    let error = outcome.expect_err("silence").to_string();
    assert!(error.contains("silent") && error.contains("kept"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(20));
    assert_eq!(std::fs::metadata(scene.part()).expect("kept").len(), 70_000);
    let (outcome, _) = scene.pull().await;
    scene.is_whole(outcome);
    assert_eq!(scene.server.asked().last(), Some(&Some("bytes=70000-".to_owned())));
}

#[tokio::test]
async fn without_a_hash_the_first_download_has_to_be_trusted_and_is_kept_to() {
    let scene = Scene::new(&[Manner::Cut(1000)]).await;
    let url = format!("{}/w.bin", scene.server.url);
    scene.model_folder.describe("m", STT, &[file("w.bin", None, Some(&url))]);
    let (outcome, _) = scene.pull().await;
    let error = outcome.expect_err("nobody knows the hash").to_string();
    assert!(error.contains("--trust-first-download"), "{error}");
    assert_eq!(scene.server.asked().len(), 0);

    let trusting = PullOptions { trust_first_download: true, ..options() };
    let (outcome, _) = scene.pull_with(trusting).await;
    scene.is_whole(outcome);
    put(&scene.target(), &weights(300_000, 5));
    let manifest = scene.registry().find("m").expect("described");
    let State::Installed(changed) = scene.registry().state(&manifest) else { panic!("there") };
    let error = changed.ready().expect_err("it is another one").to_string();
    assert!(error.contains(&sha256(&scene.bytes)), "{error}");
}

#[tokio::test]
async fn a_damaged_file_is_fetched_again() {
    let scene = Scene::new(&[]).await;
    put(&scene.target(), &weights(300_000, 5));
    let (outcome, _) = scene.pull().await;
    scene.is_whole(outcome);
}

#[tokio::test]
async fn a_mirror_takes_the_place_of_the_hub() {
    let scene = Scene::new(&[]).await;
    let url = "https://huggingface.co/owner/weights/resolve/main/w.bin";
    scene.model_folder.describe("m", STT, &[file("w.bin", Some(&scene.bytes), Some(url))]);
    let mut registry = scene.registry();
    registry.mirror = Some(Arc::from(format!("{}/", scene.server.url)));
    let manifest = registry.find("m").expect("described");
    let outcome = pull(&registry, &manifest, &options(), &mut |_| ()).await;
    scene.is_whole(outcome);
}

#[tokio::test]
async fn folders_that_cannot_be_written_and_disks_that_are_too_small_are_named() {
    let scene = Scene::new(&[]).await;
    // A file in place of the folder: even root cannot write there.
    put(&scene.model_folder.models().join("m"), b"in the way");
    let (outcome, _) = scene.pull().await;
    let error = outcome.expect_err("in the way").to_string();
    assert!(error.contains("/models/m"), "{error}");
    std::fs::remove_file(scene.model_folder.models().join("m")).expect("removes");

    let url = format!("{}/w.bin", scene.server.url);
    let huge = format!("[[files]]\nname = \"w.bin\"\nsize = {}\nurl = \"{url}\"\n", 1_u64 << 62);
    let huge = format!("{huge}sha256 = \"{}\"\n", sha256(b"none"));
    scene.model_folder.describe("m", STT, &[huge]);
    let (outcome, _) = scene.pull().await;
    assert!(matches!(outcome, Err(Error::DiskFull { .. })));
    assert_eq!(scene.server.asked().len(), 0, "it is known before anything is asked for");
}

#[test]
fn content_ranges_are_read() {
    let check = |text: &str, expect: Option<u64>| {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_RANGE, text.parse().expect("a value"));
        assert_eq!(begins(&headers), expect, "{text}");
    };
    check("bytes 100-199/200", Some(100));
    check("bytes 0-1/*", Some(0));
    check("bytes */200", None);
    check("lines 1-2/3", None);
    check("bytes 99999999999999999999-1/2", None);
    assert_eq!(begins(&HeaderMap::new()), None);
}
