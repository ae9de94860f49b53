//! Players of DASH in a browser.

use serde_json::{Value, json};

use crate::support::appliance::Appliance;
use crate::support::client::{Client, output};
use crate::support::s;

/// Pushes a caption in two languages again and again.
async fn talk(appliance: &Appliance) {
    for number in 1.. {
        for (language, text) in
            [("en", format!("Caption {number}.")), ("es", format!("Leyenda {number}."))]
        {
            let cue = json!({ "language": language, "text": text });
            appliance.api.must_post("/api/v1/streams/talk/captions/cues", &cue).await;
        }
        tokio::time::sleep(s(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn captions_appear_in_dash_js_and_in_shaka() {
    let appliance = Appliance::start().await;
    let captions = json!({ "language": "en", "translate": ["es"] });
    let spec = json!({ "name": "talk", "source": { "type": "test" }, "captions": captions });
    let stream = appliance.api.create(spec).await;
    stream
        .wait("captions are there", s(20), |s| s["cues"].as_array().is_some_and(|c| c.len() == 2))
        .await;
    let url = stream.hls().replace("/hls/", "/dash/").replace("index.m3u8", "manifest.mpd");
    let look = async {
        let mut reports = Vec::new();
        for player in ["dash.js", "shaka"] {
            let args = [&*url, "--captions", "es", "--seconds", "40"];
            let last = Client::dash(player, &args).last_event(s(90)).await;
            eprintln!("  {player}: {last}");
            reports.push((player, last));
        }
        // FFmpeg finds them beside the media.
        let args = ["-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0", &url];
        let (status, text) = output("ffprobe", &args, s(60)).await;
        assert!(status.success() && text.contains("h264") && text.contains("webvtt"), "{text}");
        reports
    };
    let reports: Vec<(&str, Value)> = tokio::select! {
        reports = look => reports,
        () = talk(&appliance) => unreachable!("it goes on for ever"),
    };
    for (player, report) in reports {
        assert_eq!(report["errors"], json!([]), "{player}: {report}");
        assert_eq!(report["offered"], json!(["en", "es"]), "{player}: {report}");
        let shown = report["captions"].as_array().expect("a list");
        let spanish =
            shown.iter().filter(|text| text.as_str().is_some_and(|t| t.contains("Leyenda")));
        assert!(spanish.count() >= 3, "{player}: {report}");
    }
}
