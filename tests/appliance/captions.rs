//! Captions as displayed in a browser.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::appliance::{ADMIN, Appliance};
use crate::support::client::Client;
use crate::support::s;

/// Pushes the same captions repeatedly while `watch` runs.
async fn while_captioned(appliance: &Appliance, watch: impl Future<Output = Value>) -> Value {
    let push = async {
        for number in 1.. {
            for (language, text) in
                [("en", format!("This is caption {number}.")), ("es", "Buenas noches.".into())]
            {
                let cue = json!({ "language": language, "text": text });
                appliance.api.must_post("/api/v1/streams/talk/captions/cues", &cue).await;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    tokio::select! {
        report = watch => report,
        () = push => unreachable!("it goes on for ever"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_shows_captions_that_came_on_its_data_channel() {
    let appliance = Appliance::start().await;
    let captions = json!({ "language": "en", "translate": ["es"] });
    let spec = json!({ "name": "talk", "source": { "type": "test" }, "captions": captions });
    let stream = appliance.api.create(spec).await;
    stream.wait_state("live", s(20)).await;
    stream
        .wait("captions are there", s(20), |s| s["cues"].as_array().is_some_and(|c| c.len() == 2))
        .await;

    let play = stream.play_token();
    let args = [&stream.whep(), "--token", &play, "--captions", "all", "--seconds", "3"];
    let viewer = Client::browser("whep", &args).report(s(60));
    let report = while_captioned(&appliance, viewer).await;
    assert_eq!(report["languages"], json!(["en", "es"]), "{report}");
    let cues = report["cues"].as_array().expect("a list");
    assert!(
        cues.iter().any(|c| c["language"] == "es" && c["text"] == "Buenas noches."),
        "{report}"
    );
    assert!(report["frames"].as_u64() > Some(10), "pictures come too: {report}");

    let shot = std::env::var("AURALINK_SHOT").unwrap_or_default();
    let mut args = vec![
        appliance.api.url("/"),
        "--token".into(),
        ADMIN.into(),
        "--stream".into(),
        "talk".into(),
        "--captions".into(),
        "This is caption".into(),
    ];
    if !shot.is_empty() {
        args.extend(["--shot".into(), shot]);
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let report = while_captioned(&appliance, Client::browser("page", &args).report(s(60))).await;
    assert!(report["overlay"].as_str().is_some_and(|t| t.contains("This is caption")), "{report}");
    assert_eq!(report["languages"], json!(["off", "original", "es"]), "{report}");
    assert_eq!(report["errors"], json!([]), "the console is quiet: {report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_over_the_picture_only_ever_come_at_the_end() {
    let appliance = Appliance::start().await;
    let report = Client::browser("overlay", &[&appliance.api.url("/")]).report(s(60)).await;
    let first = ["(one)", "(one) (two) (three)", "(one) (two) (three) (four)"];
    for (step, expect) in first.iter().enumerate() {
        assert_eq!(report["first"][step], *expect, "{report}");
    }
    assert_eq!(report["first"][3], "one two three four", "committed: {report}");
    assert_eq!(report["first"][4], "one two three four (five)", "{report}");
    assert_eq!((&report["moved"], &report["lines"]), (&json!(0), &json!(2)), "{report}");
    let last = report["last"].as_str().expect("text");
    assert!(last.ends_with("twenty-five twenty-six") && !last.contains("one two"), "{report}");
}
