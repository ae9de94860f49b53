//! What is deleted by age, and what stays after the clock was set.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::support::appliance::Appliance;
use crate::support::{eventually, s};

const HOUR: Duration = Duration::from_secs(3600);

/// Puts seven finished recordings into a folder, of this age.
fn recordings(folder: &Path, ago: Duration) -> Vec<PathBuf> {
    fs::create_dir_all(folder).expect("a folder");
    let make = |n: u32| {
        let path = folder.join(format!("2026-01-0{n}T12-00-00.000Z.mp4"));
        fs::write(&path, b"a recording").expect("written");
        let file = File::options().write(true).open(&path).expect("there");
        file.set_modified(SystemTime::now() - ago).expect("its time is set");
        path
    };
    (1..=7).map(make).collect()
}

fn there(files: &[PathBuf]) -> usize {
    files.iter().filter(|file| file.exists()).count()
}

/// State of a process that ran a second ago, when the wall clock was behind by this much.
fn clock_was_behind(state: &Path, by: Duration) {
    let read = |path: &str| fs::read_to_string(path).expect("Linux");
    let uptime = read("/proc/uptime");
    let uptime_s: f64 = uptime.split(' ').next().and_then(|t| t.parse().ok()).expect("seconds");
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970") - by;
    let last = json!({
        "boot": read("/proc/sys/kernel/random/boot_id"),
        "since_boot_ms": (uptime_s * 1000.0) as i64 - 1000,
        "wall_ms": wall.as_millis() as i64 - 1000,
    });
    let known = json!({ "last": last, "steps": [] });
    fs::write(state.join("clock.json"), known.to_string()).expect("written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_was_set_deletes_nothing_and_age_alone_takes_a_quarter_an_hour() {
    let mut appliance = Appliance::start().await;
    let output = json!({ "id": "kept", "type": "record", "keep_hours": 1, "keep_free_mib": 0 });
    let spec = json!({ "name": "old", "source": { "type": "test" }, "outputs": [output] });
    let stream = appliance.api.create(spec).await;
    stream.wait_state("live", s(30)).await;
    appliance.stop().await;
    let folder = appliance.state().join("recordings/old");
    let files = recordings(&folder, 5 * HOUR);

    clock_was_behind(&appliance.state(), 6 * HOUR);
    appliance.launch().await;
    let system = appliance.api.must_get("/api/v1/system").await;
    let step_s = system["clock"]["step_s"].as_f64().unwrap_or_default();
    assert!((step_s - 6.0 * 3600.0).abs() < 120.0, "{}", system["clock"]);
    assert_eq!(system["clock"]["deletes_by_age"], false, "{}", system["clock"]);
    assert!(appliance.log_text().contains("the wall clock was set"), "{}", appliance.log_text());
    let writes = |s: &serde_json::Value| s["outputs"][0]["facts"]["bytes"].as_u64() > Some(0);
    stream.wait("it is recorded", s(30), writes).await;
    assert_eq!(there(&files), 7, "a clock that was set deletes recordings");
    appliance.stop().await;

    // Without a clock step the files are five hours old; a quarter of them is deleted per hour.
    fs::remove_file(appliance.state().join("clock.json")).expect("removed");
    for entry in fs::read_dir(&folder).expect("there").flatten() {
        if !files.contains(&entry.path()) {
            fs::remove_file(entry.path()).expect("removed");
        }
    }
    appliance.launch().await;
    let over = |s: &serde_json::Value| s["outputs"][0]["facts"]["over_age"] == 5;
    stream.wait("five wait for their hour", s(30), over).await;
    eventually("two are gone", s(30), || async {
        let left = there(&files);
        if left == 5 { Ok(()) } else { Err(format!("{left} are left")) }
    })
    .await;
    assert!(!files[0].exists() && files[6].exists(), "the oldest go first");
}
