//! Publishers and players that are sent to the better appliance.

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION};
use serde_json::{Value, json};

use crate::support::api::Stream;
use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::redis::Redis;
use crate::support::{eventually, s};

const TOKEN: &str = "a-token-of-the-cluster-0123456789";

/// An appliance that serves so many viewers.
fn config(redis: &Redis, viewers: usize) -> String {
    let url = redis.url();
    format!(
        "[cluster]\ntoken = \"{TOKEN}\"\nredis = \"{url}\"\nurl = \"{{here}}\"\nredirect = true\n\
         idle_s = 60\n[limits]\nviewers = {viewers}\n"
    )
}

/// The stream as another appliance has it.
fn at(appliance: &Appliance, stream: &Stream) -> Stream {
    Stream { api: appliance.api.clone(), name: stream.name.clone() }
}

/// Where a client is sent that asks at this address, if it is; else the status.
async fn asked(url: &str, token: &str) -> Result<String, u16> {
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let http = http.no_proxy().build().expect("a client");
    let request = http.post(url).header(CONTENT_TYPE, "application/sdp").body("v=0\r\n");
    let answer = request.header(AUTHORIZATION, format!("Bearer {token}")).send().await;
    let answer = answer.expect("an answer");
    match (answer.status().as_u16(), answer.headers().get(LOCATION)) {
        (307, Some(location)) => Ok(location.to_str().expect("it is an address").to_owned()),
        (status, _) => Err(status),
    }
}

/// Waits until clients that ask at one appliance are sent to another one.
async fn sends(url: &str, token: &str, to: &Appliance) -> String {
    eventually(&format!("{url} sends to {}", to.api.url("")), s(30), || async {
        let location = asked(url, token).await.map_err(|status| status.to_string())?;
        if location.starts_with(&to.api.url("")) { Ok(location) } else { Err(location) }
    })
    .await
}

async fn whep_viewers(stream: &Stream) -> u64 {
    stream.snapshot().await["viewers"]["whep"].as_u64().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_are_sent_once_to_where_there_is_a_place() {
    let Some(mut redis) = Redis::prepare() else { return };
    redis.launch().await;
    let full = Appliance::start_with(&config(&redis, 2)).await;
    let roomy = full.start_beside(&config(&redis, 50)).await;
    let here = full.api.create(json!({ "name": "studio" })).await;
    let there = at(&roomy, &here);
    let (publish, play) = (here.publish_token(), here.play_token());

    // One that lacks the stream sends the publisher to where it was created, and there it is on air.
    let location = sends(&there.whip(), &publish, &full).await;
    assert!(location.contains("redirect=no") && !location.contains(&publish), "{location}");
    let mut publisher = Client::browser("whip", &[&there.whip(), "--token", &publish]);
    publisher.wait_for("publishing", s(40)).await;
    here.wait_state("live", s(20)).await;
    let mut viewers = Vec::new();
    assert_eq!(here.snapshot().await["sources"].as_array().map(Vec::len), Some(1));

    // An edge and a viewer take both places: the next ones play at the edge. Their token is not in the
    // address, and they cannot bring it in a header.
    // These two stay where they ask, however busy the machine is.
    for url in [&there, &here].map(|stream| format!("{}?redirect=no", stream.whep())) {
        let mut viewer = Client::python("whep.py", &[&url, "--token", &play]);
        viewer.wait_for("playing", s(40)).await;
        viewers.push(viewer);
    }
    let location = sends(&here.whep(), &play, &roomy).await;
    assert!(location.contains("pass=") && !location.contains(&play), "{location}");
    let mut second = Client::python("whep.py", &[&here.whep(), "--token", &play]);
    second.wait_for("playing", s(40)).await;
    let mut third = Client::browser("whep", &[&here.whep(), "--token", &play]);
    third.wait_for("playing", s(40)).await;
    assert_eq!((whep_viewers(&here).await, whep_viewers(&there).await), (1, 3));

    // Nobody is sent twice, a stranger not at all, and a pass opens one stream.
    assert_eq!(asked(&location, "").await, Err(400), "it is let in, and its offer is none");
    assert_eq!(asked(&format!("{}?redirect=no", here.whep()), &play).await, Err(400));
    assert_eq!(asked(&here.whep(), "wrong-token").await, Err(401));
    let pass = location.split_once("pass=").map(|(_, pass)| pass).expect("it has a pass");
    let other = roomy.api.create(json!({ "name": "other" })).await;
    assert_eq!(asked(&format!("{}?redirect=no&pass={pass}", other.whep()), "").await, Err(401));
    let log = [&full, &roomy].map(|appliance| appliance.log_text()).concat();
    for secret in [TOKEN, pass, &play, &publish] {
        assert!(!log.contains(secret), "a secret is in a log");
    }

    let metrics = full.api.get("/metrics").await.expect("an answer").text;
    assert!(metrics.contains("auralink_load_ratio 1"), "its viewers are its load: {metrics}");
    // The session is ended where it is, by the address that the answer named.
    let report: Value = third.last_event(s(30)).await;
    assert_eq!(report["errors"], json!([]), "{report}");
    second.last_event(s(30)).await;
    eventually("those two have left", s(20), || async {
        match whep_viewers(&there).await {
            1 => Ok(()),
            left => Err(left.to_string()),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_player_is_sent_from_the_idle_stream_to_where_its_publisher_went() {
    let Some(mut redis) = Redis::prepare() else { return };
    redis.launch().await;
    let idle = Appliance::start_with(&config(&redis, 50)).await;
    let busy = idle.start_beside(&config(&redis, 50)).await;
    let here = idle.api.create(json!({ "name": "studio" })).await;
    let there = busy.api.create(json!({ "name": "studio" })).await;
    assert_eq!(asked(&here.whep(), &here.play_token()).await, Err(400), "nobody has it on air");
    let publisher = Client::python("whip.py", &[&there.whip(), "--token", &there.publish_token()]);
    there.wait_state("live", s(30)).await;
    sends(&here.whep(), &here.play_token(), &busy).await;
    let args = [&here.whep(), "--token", &here.play_token()];
    let mut viewer = Client::python("whep.py", &args.map(|arg: &str| arg));
    viewer.wait_for("playing", s(30)).await;
    assert_eq!((whep_viewers(&here).await, whep_viewers(&there).await), (0, 1));
    viewer.finish().await;
    publisher.kill().await;
}
