//! Files named by an admin or sent by clients: those that block, are no media, or name other files.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::support::api::Api;
use crate::support::appliance::Appliance;
use crate::support::{eventually, s};

/// A pipe without a writer: opening it for reading blocks.
fn fifo(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    let made = Command::new("mkfifo").arg(&path).status();
    assert!(made.is_ok_and(|status| status.success()), "mkfifo {}", path.display());
    path
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sources_and_certificates_that_block_stop_neither_the_api_nor_a_restart() {
    let mut appliance = Appliance::start().await;
    let api = appliance.api.clone();
    let mut pipes = Vec::new();
    // More pipes than worker threads.
    for n in 0..8 {
        let pipe = fifo(&appliance.state(), &format!("pipe-{n}"));
        let source = json!({ "type": "file", "path": pipe });
        pipes.push(api.create(json!({ "name": format!("pipe-{n}"), "source": source })).await);
    }
    let ca = fifo(&appliance.state(), "ca.pem");
    let trunk =
        json!({ "id": "away", "type": "trunk", "url": "https://127.0.0.1:9/whip/x", "ca": ca });
    let spec = json!({ "name": "trunk", "source": { "type": "test" }, "outputs": [trunk] });
    let trunk = api.create(spec).await;
    for _ in 0..2 {
        for pipe in &pipes {
            let refused = |s: &serde_json::Value| {
                s["last_error"].as_str().is_some_and(|e| e.contains("not a regular file"))
            };
            pipe.wait("it is refused", s(30), refused).await;
        }
        let refused = |s: &serde_json::Value| {
            s["outputs"][0]["error"].as_str().is_some_and(|e| e.contains("not a regular file"))
        };
        trunk.wait("its `ca` is refused", s(30), refused).await;
        let took = appliance.stop().await;
        assert!(took < s(8), "SIGTERM took {took:?}\n{}", appliance.log_text());
        appliance.launch().await;
    }
    // The admin can correct the source.
    api.must_patch(&pipes[0].path(), &json!({ "source": { "type": "test" } })).await;
    pipes[0].wait_state("live", s(30)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_took_the_last_process_down_waits_for_the_admin() {
    let mut appliance = Appliance::start().await;
    let api = appliance.api.clone();
    let film = appliance.state().join("film.mp4");
    make_film(&film);
    let source = json!({ "type": "file", "path": film });
    let first = api.create(json!({ "name": "first", "source": source })).await;
    let second = api.create(json!({ "name": "second", "source": source })).await;
    let other = api.create(json!({ "name": "other", "source": { "type": "test" } })).await;
    first.wait_state("live", s(30)).await;
    appliance.kill();
    // State left by a process that hung on opening these, since the last boot of the machine.
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("Linux");
    let left = json!({ "boot": boot, "starting": ["first", "second", "gone"] });
    let marks = appliance.state().join("starting.json");
    std::fs::write(&marks, left.to_string()).expect("written");
    appliance.launch().await;
    other.wait_state("live", s(30)).await;
    for stream in [&first, &second] {
        let held = stream.snapshot().await;
        assert_eq!(held["state"], "idle", "{held}");
        let says = |field: &str, what: &str| held[field].as_str().is_some_and(|t| t.contains(what));
        assert!(says("last_error", "not started"), "{held}");
        assert!(says("last_error_hint", "/start"), "{held}");
    }
    // Another restart without use does not clear it.
    appliance.stop().await;
    appliance.launch().await;
    assert_eq!(first.snapshot().await["state"], "idle");
    api.must_post(&format!("{}/start", first.path()), &json!({})).await;
    first.wait_state("live", s(30)).await;
    api.must_patch(&second.path(), &json!({ "linger_s": 3 })).await;
    second.wait_state("live", s(30)).await;
    eventually("no start is under way", s(30), || async {
        if marks.exists() {
            Err(std::fs::read_to_string(&marks).unwrap_or_default())
        } else {
            Ok(())
        }
    })
    .await;
}

fn make_film(path: &Path) {
    let inputs = "-f lavfi -i testsrc=s=160x120:r=25 -f lavfi -i sine -t 2 -c:v libx264 -c:a aac";
    let made =
        Command::new("ffmpeg").args(["-v", "error"]).args(inputs.split(' ')).arg(path).status();
    assert!(made.is_ok_and(|status| status.success()), "ffmpeg");
}

async fn transcribe(api: &Api, name: &str, file: &[u8]) -> crate::support::api::Answer {
    let part = reqwest::multipart::Part::bytes(file.to_vec()).file_name(name.to_owned());
    let form = reqwest::multipart::Form::new().part("file", part);
    let request = api.raw(reqwest::Method::POST, "/v1/audio/transcriptions");
    let request = request.bearer_auth(crate::support::appliance::ADMIN).multipart(form);
    api.send(request).await.expect("an answer")
}

/// A port that records connections, to detect fetches of what a playlist names.
async fn bait() -> (u16, tokio::task::JoinHandle<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let visited = tokio::spawn(async move {
        let _ = listener.accept().await;
    });
    (port, visited)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn playlists_lead_neither_uploads_nor_sources_to_files_and_ports() {
    let appliance = Appliance::start().await;
    let (port, visited) = bait().await;
    let playlist = format!(
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n\
         http://127.0.0.1:{port}/a.ts\n#EXTINF:4,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n"
    );
    let manifest = format!(
        "<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\"><Period>\
         <BaseURL>http://127.0.0.1:{port}/</BaseURL></Period></MPD>"
    );
    // A tag before the playlist hides it from checks of the first bytes.
    let mut tagged = b"ID3\x04\0\0\0\0\0\x0a\0\0\0\0\0\0\0\0\0\0".to_vec();
    tagged.extend_from_slice(playlist.as_bytes());
    for (name, file, expect) in [
        ("list.m3u8", playlist.as_bytes(), "HLS playlist"),
        ("speech.wav", playlist.as_bytes(), "HLS playlist"),
        ("speech.mp3", manifest.as_bytes(), "no media file"),
        ("speech.mp3", &tagged, ""),
    ] {
        let answer = transcribe(&appliance.api, name, file).await;
        let body = answer.json();
        assert_eq!(answer.status, 422, "{name}: {body}");
        assert!(body["message"].as_str().is_some_and(|m| m.contains(expect)), "{name}: {body}");
    }
    for (n, (file, expect)) in
        [(playlist.as_bytes(), "HLS playlist"), (&tagged, "")].into_iter().enumerate()
    {
        let path = appliance.state().join(format!("film-{n}.mp4"));
        std::fs::write(&path, file).expect("written");
        let source = json!({ "type": "file", "path": path });
        let spec = json!({ "name": format!("list-{n}"), "source": source });
        let stream = appliance.api.create(spec).await;
        let refused = |s: &serde_json::Value| {
            s["last_error"].as_str().is_some_and(|e| e.contains(expect) && !e.is_empty())
        };
        stream.wait("it is refused", s(30), refused).await;
    }
    assert!(!visited.is_finished(), "an address of a playlist was visited");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn file_sources_lie_in_the_folders_of_the_configuration() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = format!("[sources]\nfile_folders = [\"{}\"]\n", folder.path().display());
    let appliance = Appliance::start_with(&config).await;
    let (inside, outside) = (folder.path().join("in.mp4"), appliance.state().join("out.mp4"));
    make_film(&inside);
    std::fs::copy(&inside, &outside).expect("copied");
    let link = folder.path().join("link.mp4");
    std::os::unix::fs::symlink(&outside, &link).expect("linked");
    let create = async |name: &str, path: &Path| {
        let source = json!({ "type": "file", "path": path });
        appliance.api.create(json!({ "name": name, "source": source })).await
    };
    create("inside", &inside).await.wait_state("live", s(30)).await;
    for (name, path) in [("outside", &outside), ("link", &link)] {
        let refused = |s: &serde_json::Value| {
            s["last_error_hint"].as_str().is_some_and(|hint| hint.contains("file_folders"))
        };
        create(name, path).await.wait("it is refused", s(30), refused).await;
    }
}
