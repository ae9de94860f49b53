//! Changes that were acknowledged before the appliance was killed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::Method;
use serde_json::json;

use crate::support::api::Stream;
use crate::support::appliance::{Appliance, free_tcp};
use crate::support::postgres::{PASSWORD, Postgres};
use crate::support::{eventually, s};

/// Acknowledged changes between two kills.
const ROUND_CHANGES: u64 = 250;

/// Changes a stream again and again until the appliance is gone: `linger_s` counts them.
async fn keep_changing(stream: Stream, acknowledged: Arc<AtomicU64>) {
    loop {
        let next = acknowledged.load(Ordering::Acquire) + 1;
        let change = json!({ "linger_s": next });
        match stream.api.request(Method::PATCH, &stream.path(), Some(&change)).await {
            Ok(answer) if answer.status == 200 => acknowledged.store(next, Ordering::Release),
            Ok(answer) => panic!("{}: {}", answer.status, answer.text),
            Err(_) => return,
        }
    }
}

/// Kills the appliance in the middle of changes, four times: 1000 of them are acknowledged.
async fn lose_nothing(mut appliance: Appliance) {
    let stream = appliance.api.create(json!({ "name": "kept", "linger_s": 0 })).await;
    let acknowledged = Arc::new(AtomicU64::new(0));
    for round in 1..=4 {
        let writer = Stream { api: stream.api.clone(), name: stream.name.clone() };
        let writer = tokio::spawn(keep_changing(writer, acknowledged.clone()));
        eventually("changes are acknowledged", s(60), || async {
            match acknowledged.load(Ordering::Acquire) {
                enough if enough >= round * ROUND_CHANGES => Ok(()),
                count => Err(count.to_string()),
            }
        })
        .await;
        appliance.kill();
        writer.await.expect("no change was refused");
        appliance.launch().await;
        let spec = appliance.api.must_get(&format!("{}/spec", stream.path())).await;
        let (kept, last) = (spec["linger_s"].as_u64(), acknowledged.load(Ordering::Acquire));
        // The one under way may have been stored before it could be acknowledged.
        assert!(kept == Some(last) || kept == Some(last + 1), "{kept:?} after {last}");
        acknowledged.store(kept.unwrap_or(last), Ordering::Release);
        eprintln!("  killed after {last} acknowledged changes: {kept:?} is there");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_the_appliance_lose_no_acknowledged_change_in_sqlite() {
    lose_nothing(Appliance::start().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_the_appliance_lose_no_acknowledged_change_in_postgres() {
    let Some(cluster) = Postgres::start_on(free_tcp()) else { return };
    let url = cluster.database("auralink");
    let config = format!("[database]\nurl = \"{url}\"\npassword = \"{PASSWORD}\"\n");
    lose_nothing(Appliance::start_with(&config).await).await;
}
