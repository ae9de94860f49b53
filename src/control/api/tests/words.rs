//! The caption archive, used as the page and scripts use it.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::egress::archive::CueSink;
use crate::egress::record::{self, Settings};
use crate::flow::{self, Feed, Inputs, Node, Task};
use crate::media::{Cue, Kind, Language, Origin, Stage, StreamName, Word};

fn name(text: &str) -> StreamName {
    text.parse().expect("a name")
}

/// A cue with its start in ms after the clock, one word every 200 ms.
fn cue(id: u64, language: &str, start_ms: u64, text: &str) -> Cue {
    let at = |ms: u64| Duration::from_millis(start_ms + ms);
    let word = |(n, text): (u64, &str)| Word {
        text: text.into(),
        start: at(n * 200),
        end: at(n * 200 + 150),
        confidence: 0.5,
    };
    let words: Arc<[Word]> = (0..).zip(text.split(' ')).map(word).collect();
    Cue {
        id,
        language: language.parse::<Language>().expect("a language"),
        stage: Stage::Committed,
        start: at(0),
        end: at(words.len() as u64 * 200),
        text: text.into(),
        words,
        ends_sentence: text.ends_with(['.', '?']),
        origin: Arc::new(Origin { engine: "test".into(), model: Some("m@1".into()) }),
        speaker: None,
    }
}

impl Fixture {
    /// Archives cues and waits until they are stored.
    async fn say(&self, stream: &str, cues: &[Cue]) {
        let before = self.archive.totals().kept;
        for cue in cues {
            self.archive.keep(&name(stream), cue, 0);
        }
        let kept = async {
            while self.archive.totals().kept < before + cues.len() as u64 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), kept).await.expect("they are kept");
    }

    async fn text(&self, path: &str) -> (String, String) {
        let request = Request::get(path).header(header::AUTHORIZATION, format!("Bearer {ADMIN}"));
        let request = request.body(Body::empty()).expect("a request");
        let (status, headers, body) = self.send(request).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        let kind = headers[header::CONTENT_TYPE].to_str().expect("text").to_owned();
        (kind, body.as_str().unwrap_or_default().to_owned())
    }

    async fn found(&self, path: &str) -> Vec<String> {
        let (status, page) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {page}");
        let text = |hit: &Value| hit["text"].as_str().unwrap_or_default().to_owned();
        page["hits"].as_array().expect("hits").iter().map(text).collect()
    }
}

const SPEECH: [(u64, &str); 4] = [
    (1000, "And so my fellow Americans,"),
    (2500, "ask not what your country can do for you."),
    (5000, "Ask what <you> can do for your country."),
    (20_000, "And now the weather."),
];

async fn spoken() -> Fixture {
    let api = Fixture::new().await;
    let cues: Vec<Cue> =
        (1..).zip(SPEECH).map(|(id, (at, text))| cue(id, "en", at, text)).collect();
    api.say("studio", &cues).await;
    api.say("studio", &[cue(2, "es", 2500, "no preguntes lo que tu país puede hacer.")]).await;
    api.say("other", &[cue(1, "en", 3000, "another country")]).await;
    api
}

#[tokio::test]
async fn words_of_a_deleted_stream_stay_or_go_as_its_settings_say() {
    let api = Fixture::new().await;
    for (stream, keep, left) in [("stays", true, 1), ("goes", false, 0)] {
        let captions = json!({ "language": "en", "keep_deleted": keep });
        let spec = json!({ "name": stream, "captions": captions });
        let (status, made) = api.ask(Method::POST, "/api/v1/streams", spec).await;
        assert_eq!(status, 201, "{made}");
        api.say(stream, &[cue(1, "en", 0, "Good evening.")]).await;
        let path = format!("/api/v1/streams/{stream}");
        let (status, said) = api.ask(Method::DELETE, &path, Value::Null).await;
        assert_eq!(status, 204, "{said}");
        let found = format!("/api/v1/archive/search?q=evening&stream={stream}");
        let (_, found) = api.get(&found).await;
        assert_eq!(found["hits"].as_array().map(Vec::len), Some(left), "{stream}: {found}");
    }
}

#[tokio::test]
async fn a_search_finds_words_with_their_time_and_pages_through_them() {
    let api = spoken().await;
    let (_, page) = api.get("/api/v1/archive/search?q=country&limit=2").await;
    assert_eq!(page["hits"].as_array().map(Vec::len), Some(2), "{page}");
    assert_eq!(page["hits"][0]["stream"], "other");
    assert_eq!(page["hits"][1]["text"], SPEECH[2].1);
    let marked = "Ask what &lt;you&gt; can do for your <mark>country</mark>.";
    assert_eq!(page["hits"][1]["snippet"], marked);
    let ms = |field: &str| {
        let text = page["hits"][1][field].as_str().expect("a time");
        chrono::DateTime::parse_from_rfc3339(text).expect("RFC 3339").timestamp_millis()
    };
    assert_eq!(ms("at") - ms("start"), 7 * 200, "the eighth word");
    let next = page["next"].as_i64().expect("another page");
    let rest = format!("/api/v1/archive/search?q=country&limit=2&cursor={next}");
    let (_, page) = api.get(&rest).await;
    assert_eq!(
        (page["hits"][0]["text"].as_str(), &page["next"]),
        (Some(SPEECH[1].1), &Value::Null)
    );

    let check = async |query: &str, expect: &[&str]| {
        assert_eq!(api.found(&format!("/api/v1/archive/search?{query}")).await, expect, "{query}");
    };
    check("q=%22ask%20not%22", &[SPEECH[1].1]).await;
    check("q=pais&language=es", &["no preguntes lo que tu país puede hacer."]).await;
    check("q=country&stream=other", &["another country"]).await;
    check("q=weath*", &[SPEECH[3].1]).await;
    check("q=nothing%20like%20this", &[]).await;
    check("stream=other", &["another country"]).await;
    let (_, page) = api.get("/api/v1/archive/search?q=weather").await;
    let at = page["hits"][0]["start"].as_str().expect("a time").to_owned();
    check(&format!("stream=studio&language=en&from={at}"), &[SPEECH[3].1]).await;
    check(&format!("q=country&stream=studio&to={at}&limit=1"), &[SPEECH[2].1]).await;
}

#[tokio::test]
async fn whatever_is_typed_is_answered() {
    let api = spoken().await;
    let (ok, invalid, bad) = (None, Some(Code::Invalid), Some(Code::BadRequest));
    let check = async |query: &str, expect: Option<Code>| {
        let path = format!("/api/v1/archive/search?{query}");
        match expect {
            None => assert_eq!(api.get(&path).await.0, 200, "{query}"),
            Some(code) => api.refused(Method::GET, &path, Value::Null, code).await,
        }
    };
    check("q=%22", invalid).await;
    check("q=***", invalid).await;
    check("q='%3B%20DROP%20TABLE%20cue%3B%20--", ok).await;
    check("q=a%20OR%20b%20NOT%20(NEAR(x%20y))%20text:z%20%5Ec%20%22d", ok).await;
    check(&format!("q={}", "a".repeat(1000)), invalid).await;
    check("q=%00%01", invalid).await;
    check("stream=..%2F..", invalid).await;
    check("language=english", invalid).await;
    check("from=yesterday", invalid).await;
    check("from=-99999999999999999&to=9223372036854775807", ok).await;
    check("cursor=x", bad).await;
    check("limit=-1", bad).await;
    check("limit=0", ok).await;
    check("limit=999999", ok).await;
    assert_eq!(api.found("/api/v1/archive/search?q=country").await.len(), 3, "nothing is gone");
    let request = Request::get("/api/v1/archive/search?q=country").body(Body::empty());
    let (status, ..) = api.send(request.expect("a request")).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "what was said is not for everybody");
}

#[tokio::test]
async fn a_transcript_comes_in_every_form() {
    let api = spoken().await;
    let path = "/api/v1/streams/studio/transcript";
    let (status, all) = api.get(path).await;
    assert_eq!((status, all["cues"].as_array().map(Vec::len)), (200, Some(5)), "{all}");
    assert_eq!(
        all["cues"][0]["words"][1],
        json!({
            "text": "so", "start_s": 0.2, "end_s": 0.35, "confidence": 0.5
        })
    );
    let (kind, vtt) = api.text(&format!("{path}?language=en&format=vtt")).await;
    assert!(kind.starts_with("text/vtt") && vtt.starts_with("WEBVTT\n\n"), "{vtt}");
    assert!(vtt.contains("00:00:00.000 --> 00:00:01.000\nAnd so my fellow Americans,"), "{vtt}");
    assert!(vtt.contains("00:00:04.000 --> ") && vtt.contains("what &lt;you&gt; can"), "{vtt}");
    let (kind, srt) = api.text(&format!("{path}?language=en&format=srt")).await;
    assert!(kind.starts_with("application/x-subrip"), "{kind}");
    assert!(srt.starts_with("1\n00:00:00,000 --> 00:00:01,000\n"), "{srt}");
    let (_, txt) = api.text(&format!("{path}?language=en&format=txt")).await;
    let expect = format!("{} {}\n{}\n\n{}\n", SPEECH[0].1, SPEECH[1].1, SPEECH[2].1, SPEECH[3].1);
    assert_eq!(txt, expect);
    // A start time within the transcript becomes the start of the file.
    let start = all["cues"][1]["start"].as_str().expect("a time");
    let (_, vtt) = api.text(&format!("{path}?language=en&format=vtt&from={start}")).await;
    assert!(!vtt.contains("fellow") && vtt.contains("00:00:00.000 --> 00:00:01.750\nask"), "{vtt}");

    api.refused(Method::GET, &format!("{path}?format=vtt"), Value::Null, Code::Invalid).await;
    api.refused(Method::GET, &format!("{path}?format=doc"), Value::Null, Code::BadRequest).await;
    let nobody = "/api/v1/streams/nobody/transcript";
    api.refused(Method::GET, nobody, Value::Null, Code::UnknownStream).await;
}

#[tokio::test]
async fn what_is_deleted_is_gone_and_other_streams_stay() {
    let api = spoken().await;
    let path = "/api/v1/streams/studio/transcript";
    let (_, page) = api.get("/api/v1/archive/search?q=weather").await;
    let at = page["hits"][0]["start"].as_str().expect("a time").to_owned();
    let (status, gone) = api.ask(Method::DELETE, &format!("{path}?before={at}"), Value::Null).await;
    assert_eq!((status, gone), (200, json!({ "deleted": 4 })));
    assert_eq!(api.found("/api/v1/archive/search?stream=studio").await, [SPEECH[3].1]);
    let (_, gone) = api.ask(Method::DELETE, path, Value::Null).await;
    assert_eq!(gone, json!({ "deleted": 1 }));
    assert_eq!(api.found("/api/v1/archive/search").await, ["another country"]);
}

/// A real recording with a cue in it: the hit has the place in the recording.
#[tokio::test(flavor = "multi_thread")]
async fn a_hit_says_where_in_the_recording_it_is() {
    let api = Fixture::new().await;
    let pattern = "videotestsrc is-live=true ! video/x-raw,width=320,height=180,framerate=30/1 \
         ! x264enc key-int-max=30 speed-preset=ultrafast ! h264parse config-interval=-1 \
         ! video/x-h264,stream-format=byte-stream,alignment=au ! appsink name=video";
    let pattern = Node::parse("pattern", pattern).expect("elements are installed");
    let feed = Feed::new("video", Kind::Video);
    pattern.output("video", &feed.sole_writer()).expect("an appsink");
    pattern.start().await.expect("starts");
    let (task, inputs) =
        (Task::new("record"), Inputs { video: Some(feed), audio: None, ..Inputs::default() });
    let settings = Settings { keep_free_mib: 0, ..Settings::default() };
    let folder = api.folder.path().join("recordings");
    let recorder = record::run(task.clone(), name("studio"), inputs, settings, folder);
    let recorder = tokio::spawn(recorder);
    let recording = async {
        loop {
            let (_, page) = api.get("/api/v1/recordings?stream=studio").await;
            if page["items"][0]["duration_s"].as_f64().is_some_and(|d| d > 2.0) {
                return page["items"][0].clone();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let max = Duration::from_secs(30);
    let recording = tokio::time::timeout(max, recording).await.expect("it is recorded");
    let started = recording["started"].as_str().expect("a time");
    let started = chrono::DateTime::parse_from_rfc3339(started).expect("RFC 3339");
    let zero = i64::try_from(flow::wall_clock(gst::ClockTime::ZERO).as_millis()).expect("fits");
    let begins = u64::try_from(started.timestamp_millis() - zero).expect("after the start");
    api.say("studio", &[cue(1, "en", begins + 1000, "hello world")]).await;
    api.say("studio", &[cue(2, "en", begins + 3_600_000, "hello later world")]).await;
    let (_, page) = api.get("/api/v1/archive/search?q=world").await;
    assert_eq!(page["hits"][0]["recording"], Value::Null, "an hour later nothing is recorded");
    let place = &page["hits"][1]["recording"];
    assert_eq!(place["id"], recording["id"], "{page}");
    assert_eq!(place["offset_s"], 1.2, "the second word");
    let file = place["file"].as_str().expect("an address");
    let (status, ..) = api
        .send(
            Request::get(file)
                .header(header::AUTHORIZATION, format!("Bearer {ADMIN}"))
                .header(header::RANGE, "bytes=0-99")
                .body(Body::empty())
                .expect("a request"),
        )
        .await;
    assert_eq!(status, StatusCode::PARTIAL_CONTENT);
    task.cancel.cancel();
    recorder.await.expect("ends").expect("ends well");
}
