//! The appliance with its tables in PostgreSQL.

use serde_json::{Value, json};

use crate::support::api::{Api, Stream};
use crate::support::appliance::{Appliance, free_tcp};
use crate::support::client::{Client, output};
use crate::support::postgres::{PASSWORD, Postgres};
use crate::support::{eventually, s};

/// The linger time of a stream: a setting that is easy to see.
async fn linger_of(stream: &Stream) -> Value {
    stream.api.must_get(&format!("{}/spec", stream.path())).await["linger_s"].clone()
}

/// A path is refused because the database is away: code and hint.
async fn is_away(api: &Api, path: &str, code: &str) {
    let answer = api.get(path).await.expect("an answer");
    let said = answer.json();
    assert_eq!((answer.status, &said["code"]), (503, &json!(code)), "{path}: {}", answer.text);
    let hint = said["hint"].as_str().unwrap_or_default();
    assert!(hint.contains("database server") && hint.contains("by itself"), "{path}: {hint}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_outlive_the_appliance_and_play_on_without_the_database() {
    let Some(cluster) = Postgres::start_on(free_tcp()) else { return };
    let secret = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(secret.path(), PASSWORD).expect("written");
    let (url, file) = (cluster.database("auralink"), secret.path().display());
    let config = format!("[database]\nurl = \"{url}\"\npassword_file = \"{file}\"\n");
    let mut appliance = Appliance::start_with(&config).await;
    let api = appliance.api.clone();
    let spec = json!({ "name": "studio", "source": { "type": "test" }, "linger_s": 10 });
    let stream = api.create(spec).await;
    stream.wait_state("live", s(20)).await;

    appliance.kill();
    appliance.launch().await;
    assert_eq!(linger_of(&stream).await, 10, "it is as it was acknowledged");
    stream.wait_state("live", s(20)).await;
    assert!(!appliance.state().join("auralink.db").exists(), "nothing is in SQLite");
    let token = stream.play_token();
    let mut viewer = Client::python("whep.py", &[&stream.whep(), "--token", &token]);
    viewer.wait_until("progress", s(40), |e| e["frames"].as_u64() > Some(30)).await;

    cluster.stop();
    let (status, said) = api.patch(&stream.path(), &json!({ "linger_s": 11 })).await;
    assert_eq!((status, &said["code"]), (503, &json!("not_stored")), "{said}");
    let message = said["message"].as_str().unwrap_or_default();
    assert!(message.contains("does not answer") && message.contains("not made"), "{said}");
    assert_eq!(linger_of(&stream).await, 10, "a refused change is in force");
    is_away(&api, "/readyz", "not_stored").await;
    is_away(&api, "/api/v1/archive/search?q=word", "store_away").await;
    let seen = viewer.wait_for("progress", s(20)).await["frames"].as_u64().unwrap_or(0);
    viewer.wait_until("progress", s(40), |e| e["frames"].as_u64() > Some(seen + 60)).await;

    cluster.launch();
    eventually("it is ready again", s(30), || async {
        let ready = api.get("/readyz").await?;
        if ready.status == 200 { Ok(()) } else { Err(ready.text) }
    })
    .await;
    api.must_patch(&stream.path(), &json!({ "linger_s": 12 })).await;
    api.must_get("/api/v1/archive/search?q=word").await;
    let snapshot = stream.snapshot().await;
    for node in snapshot["nodes"].as_array().into_iter().flatten() {
        assert_eq!(node["restarts"], 0, "a node was restarted: {node}");
    }
    assert_eq!(viewer.finish().await["state"], "connected");
    appliance.kill();
    appliance.launch().await;
    assert_eq!(linger_of(&stream).await, 12);
    assert!(!appliance.log_text().contains(PASSWORD), "the password is in the log");
}

/// Runs a command of the program. Returns whether it succeeded, and what it said.
async fn command(args: &[&str]) -> (bool, String) {
    let (status, text) = output(env!("CARGO_BIN_EXE_auralink"), args, s(60)).await;
    (status.success(), text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_running_appliance_moves_it_to_postgres() {
    let Some(cluster) = Postgres::start_on(free_tcp()) else { return };
    let appliance = Appliance::start().await;
    let stream = appliance.api.create(json!({ "name": "moved", "linger_s": 17 })).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (file, config) = (path("backup.db"), path("auralink.toml"));
    let state = appliance.state().display().to_string();
    let (made, said) = command(&["backup", &file, "--state", &state]).await;
    assert!(made, "{said}");
    appliance.api.must_patch(&stream.path(), &json!({ "linger_s": 18 })).await;

    let url = cluster.database("auralink");
    let database = format!("[database]\nurl = \"{url}\"\npassword = \"{PASSWORD}\"\n");
    std::fs::write(&config, &database).expect("written");
    let (restored, said) = command(&["restore", &file, "--config", &config]).await;
    assert!(restored && said.contains("stream"), "{said}");
    let (again, said) = command(&["restore", &file, "--config", &config]).await;
    assert!(!again && said.contains("--replace"), "{said}");

    let other = appliance.start_beside(&database).await;
    let moved = Stream { api: other.api.clone(), name: stream.name.clone() };
    assert_eq!(linger_of(&moved).await, 17, "it is as it was at the backup");
    assert_eq!(moved.play_token(), stream.play_token());
}
