//! The answers of WHIP and WHEP, and a viewer that really receives.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use axum::middleware;
use axum::response::Response;
use futures::future::BoxFuture;
use gst::prelude::*;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::super::cross_origin::cross_origin;
use super::*;
use crate::flow::{
    Admission, CaptionFeeds, CueFeed, Feed, Inputs, Intake, Node, Qualities, Refusal, RefusalKind,
    SourceReport, Subscription, Tracks,
};
use crate::media::{Accepts, Kind, Timeline};

const OFFER: &str = include_str!("../../../../tests/data/chromium-recvonly.sdp");

/// One live stream, `live`, whose token is `open-sesame`.
struct OneStream {
    video: Feed,
    audio: Feed,
    captions: CaptionFeeds,
    /// Refusals that were reported after admission.
    told: Mutex<Vec<String>>,
}

impl OneStream {
    fn new() -> Arc<Self> {
        crate::init().expect("GStreamer starts");
        let video = Feed::new("video", Kind::Video);
        let (captions, told) = (CaptionFeeds::default(), Mutex::default());
        Arc::new(Self { video, audio: Feed::new("audio", Kind::Audio), captions, told })
    }
}

impl Gate for OneStream {
    fn admit(&self, access_request: &AccessRequest) -> Result<Admission, Refusal> {
        if access_request.stream.as_str() != "live" {
            return Err(Refusal::new(RefusalKind::UnknownStream, "there is no such stream", ""));
        }
        let allowed = access_request.credential.as_ref().is_some_and(|c| c.matches("open-sesame"));
        let refused = || Refusal::new(RefusalKind::Unauthorized, "no", "show the token");
        allowed.then(Admission::default).ok_or_else(refused)
    }

    fn publish(
        &self,
        access_request: AccessRequest,
        report: Arc<SourceReport>,
    ) -> BoxFuture<'static, Result<Intake, Refusal>> {
        let timeline = Arc::new(Mutex::new(Timeline::default()));
        let video = self.video.writer(Some(timeline.clone()));
        let audio = self.audio.writer(Some(timeline));
        video.activate();
        audio.activate();
        let intake = Intake {
            stream: access_request.stream,
            tracks: Tracks::new(video, audio, report, Default::default()),
            captions: Default::default(),
            cancel: CancellationToken::new(),
            on_drop: None,
        };
        Box::pin(async move { Ok(intake) })
    }

    fn play(
        &self,
        access_request: AccessRequest,
        _: Accepts,
    ) -> BoxFuture<'static, Result<Subscription, Refusal>> {
        let (video, captions) = (Some(self.video.clone()), self.captions.clone());
        let (keep, inputs) = watch::channel(Inputs { video, captions, ..Inputs::default() });
        let on_drop: Box<dyn FnOnce() + Send + Sync> = Box::new(move || drop(keep));
        let cancel = CancellationToken::new();
        let subscription = Subscription {
            stream: access_request.stream,
            inputs,
            qualities: Qualities::default(),
            cancel,
            on_drop: Some(on_drop),
        };
        Box::pin(async move { Ok(subscription) })
    }

    fn report_refusal(&self, access_request: &AccessRequest, refusal: &Refusal) {
        let told = format!("{}: {}", access_request.protocol, refusal.message);
        self.told.lock().expect("no test panics with it").push(told);
    }
}

fn request(method: &str, path: &str, kind: &str, body: &str) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::CONTENT_TYPE, kind)
        .body(Body::from(body.to_owned()))
        .expect("a request")
}

async fn text(response: Response) -> String {
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.expect("a body");
    String::from_utf8(bytes.to_vec()).expect("text")
}

#[tokio::test]
async fn refusals_say_what_is_wrong() {
    let layer = middleware::from_fn_with_state(false, cross_origin);
    let stream = OneStream::new();
    let app = router(WebRtc::new(stream.clone(), Config::default()).expect("a port is free"))
        .layer(layer);
    let check = async |request: Request<Body>, status: u16, code: &str| {
        let response = app.clone().oneshot(request).await.expect("infallible");
        assert_eq!(response.status().as_u16(), status, "{code}");
        assert_eq!(response.headers()["access-control-allow-origin"], "*");
        let said = text(response).await;
        assert!(said.contains(code), "`{said}` is not `{code}`");
    };
    let sdp = "application/sdp";
    let live = "/whep/live?token=open-sesame";
    check(request("POST", "/whep/live", sdp, OFFER), 401, "unauthorized").await;
    check(request("POST", "/whip/other?token=open-sesame", sdp, OFFER), 404, "unknown_stream")
        .await;
    check(request("POST", "/whep/a%20b", sdp, OFFER), 404, "unknown_stream").await;
    check(request("POST", live, "text/plain", OFFER), 415, "unsupported_media_type").await;
    check(request("POST", live, sdp, "v=1"), 400, "bad_request").await;
    check(request("POST", live, sdp, &"v".repeat(70_000)), 413, "body_too_large").await;
    let deaf = OFFER.replace("a=recvonly", "a=inactive");
    check(request("POST", live, sdp, &deaf), 406, "unsupported_codecs").await;
    let mute = "/whip/live?token=open-sesame";
    check(request("POST", mute, sdp, OFFER), 406, "unsupported_codecs").await;
    let sound = format!("{live}&audio=loud");
    check(request("POST", &sound, sdp, OFFER), 422, "BCP 47").await;
    check(request("DELETE", "/whep/live/0", sdp, ""), 404, "unknown_session").await;
    let options = app.clone().oneshot(request("OPTIONS", live, sdp, "")).await.expect("infallible");
    assert_eq!(options.status(), StatusCode::NO_CONTENT);
    assert_eq!(options.headers()["accept-post"], sdp);
    // The gate does not report its own refusals again.
    let told = stream.told.lock().expect("no test panics with it").join("\n");
    let expect = [
        "whep: the body must be application/sdp",
        "whep: the SDP cannot be used: it does not begin with v=0",
        "whep: the body is larger than this address takes",
        "whep: the offer asks for no video or audio that can be sent",
        "whip: the SDP cannot be used: it has no audio or video that can be used",
        "whep: `audio`: `loud` is not a language",
    ];
    let lines = told.lines().zip(expect);
    assert!(
        lines.clone().count() == expect.len() && told.lines().count() == expect.len(),
        "{told}"
    );
    lines.for_each(|(line, expect)| assert!(line.contains(expect), "{told}"));
}

/// A player made of `webrtcbin`: its offer, and the number of frames that it has decoded.
struct Player {
    node: Node,
    bin: gst::Element,
    frames: watch::Receiver<u64>,
}

impl Player {
    fn new() -> Self {
        let node = Node::parse("player", "webrtcbin name=rtc bundle-policy=max-bundle");
        let node = node.expect("WebRTC is installed");
        let bin = node.element("rtc").expect("named");
        let caps = "application/x-rtp,media=video,encoding-name=VP8,payload=96,clock-rate=90000";
        let caps: gst::Caps = caps.parse().expect("valid");
        let direction = gst_webrtc::WebRTCRTPTransceiverDirection::Recvonly;
        bin.emit_by_name::<gst_webrtc::WebRTCRTPTransceiver>(
            "add-transceiver",
            &[&direction, &caps],
        );
        let (count, frames) = watch::channel(0);
        let pipeline = node.pipeline().downgrade();
        let count = Arc::new(count);
        bin.connect_pad_added(move |_, pad| {
            let Some(pipeline) = pipeline.upgrade() else { return };
            let decoder = "rtpvp8depay ! vp8dec ! fakesink name=out sync=false async=false";
            let decoder = gst::parse::bin_from_description(decoder, true).expect("installed");
            let count = Arc::clone(&count);
            let out = decoder.by_name("out").and_then(|o| o.static_pad("sink")).expect("a sink");
            out.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
                count.send_modify(|n| *n += 1);
                gst::PadProbeReturn::Ok
            });
            pipeline.add(&decoder).expect("it is new");
            decoder.sync_state_with_parent().expect("it starts");
            pad.link(&decoder.static_pad("sink").expect("ghosted")).expect("it links");
        });
        Self { node, bin, frames }
    }

    async fn ask(&self, ask: impl FnOnce(gst::Promise)) -> Option<gst::Structure> {
        let (promise, reply) = gst::Promise::new_future();
        ask(promise);
        reply.await.expect("a reply").map(|r| r.to_owned())
    }

    async fn describe(&self, signal: &str, description: gst_webrtc::WebRTCSessionDescription) {
        let bin = &self.bin;
        let ask = |promise| bin.emit_by_name::<()>(signal, &[&description, &promise]);
        assert!(self.ask(ask).await.is_none_or(|r| !r.has_field("error")), "{signal}");
    }

    async fn offer(&self) -> String {
        self.node.start().await.expect("it starts");
        let none = None::<gst::Structure>;
        let ask = |promise| self.bin.emit_by_name::<()>("create-offer", &[&none, &promise]);
        let reply = self.ask(ask).await.expect("an offer");
        self.describe("set-local-description", reply.get("offer").expect("an offer")).await;
        let description: gst_webrtc::WebRTCSessionDescription =
            self.bin.property("local-description");
        description.sdp().as_text().expect("text")
    }

    async fn take(&self, answer: &str) {
        let message = gst_sdp::SDPMessage::parse_buffer(answer.as_bytes()).expect("SDP");
        let kind = gst_webrtc::WebRTCSDPType::Answer;
        let description = gst_webrtc::WebRTCSessionDescription::new(kind, message);
        self.describe("set-remote-description", description).await;
    }
}

/// The `a=ice-ufrag:` line of a description.
fn local_ufrag(description: &str) -> String {
    let line = description.lines().find(|l| l.starts_with("a=ice-ufrag:"));
    line.expect("credentials").to_owned()
}

/// Test video for the stream.
async fn test_video(stream: &OneStream) -> Node {
    let pattern = "videotestsrc is-live=true ! video/x-raw,width=320,height=180,framerate=30/1 \
        ! vp8enc deadline=1 cpu-used=8 keyframe-max-dist=300 ! appsink name=video";
    let source = Node::parse("source", pattern).expect("installed");
    source.output("video", &stream.video.sole_writer()).expect("an appsink");
    source.start().await.expect("it starts");
    source
}

/// The data channel of a player, and the messages on it.
struct Captions {
    channel: gst_webrtc::WebRTCDataChannel,
    messages: tokio::sync::mpsc::UnboundedReceiver<serde_json::Value>,
}

impl Captions {
    fn open(player: &Player, label: &str) -> Self {
        player.bin.set_state(gst::State::Ready).expect("data channels need a running webrtcbin");
        let none = None::<gst::Structure>;
        let channel = player
            .bin
            .emit_by_name::<gst_webrtc::WebRTCDataChannel>("create-data-channel", &[&label, &none]);
        let (tell, messages) = tokio::sync::mpsc::unbounded_channel();
        channel.connect_on_message_string(move |_, text| {
            let json = serde_json::from_str(text.unwrap_or_default()).expect("JSON");
            let _ = tell.send(json);
        });
        Self { channel, messages }
    }

    async fn next(&mut self) -> serde_json::Value {
        let next = tokio::time::timeout(Duration::from_secs(20), self.messages.recv());
        next.await.expect("a message in time").expect("the channel is open")
    }

    async fn next_text(&mut self) -> String {
        loop {
            let message = self.next().await;
            if message["type"] == "cue" {
                return message["text"].as_str().expect("text").to_owned();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_reads_captions_on_its_data_channel() {
    use crate::media::{Cue, Origin, Stage};
    let stream = OneStream::new();
    let source = test_video(&stream).await;
    let feed = |tag: &str| CueFeed::new(format!("captions.{tag}"), tag.parse().expect("a tag"));
    let (english, spanish) = (feed("en"), feed("es"));
    stream.captions.set(vec![english.clone()]);
    let say = |feed: &CueFeed, text: &str| {
        let end = Duration::from_nanos(flow::now().nseconds());
        feed.append(Cue {
            id: 0,
            language: feed.language().clone(),
            stage: Stage::Committed,
            start: end.saturating_sub(Duration::from_secs(1)),
            end,
            text: text.into(),
            words: Arc::default(),
            ends_sentence: true,
            origin: Arc::new(Origin { engine: "test".into(), model: None }),
            speaker: None,
        });
    };
    let webrtc = WebRtc::new(stream.clone(), Config::default()).expect("a port is free");
    let registry = webrtc.registry().clone();
    let app = router(webrtc);
    let mut player = Player::new();
    let mut captions = Captions::open(&player, "captions");
    let offer = player.offer().await;
    assert!(offer.contains("webrtc-datachannel"), "{offer}");
    let post = request("POST", "/whep/live?token=open-sesame", "application/sdp", &offer);
    let response = app.clone().oneshot(post).await.expect("infallible");
    assert_eq!(response.status(), StatusCode::CREATED);
    player.take(&text(response).await).await;

    let hello = captions.next().await;
    assert_eq!((&hello["type"], &hello["languages"][0]["tag"]), (&"hello".into(), &"en".into()));
    say(&english, "Good evening.");
    let cue = captions.next().await;
    assert_eq!(cue["text"], "Good evening.", "{cue}");
    assert!(cue["id"].is_u64(), "{cue}");
    assert!(cue["age_ms"].as_i64().is_some_and(|age| (0..2000).contains(&age)), "{cue}");
    stream.captions.set(vec![english.clone(), spanish.clone()]);
    assert_eq!(captions.next().await["languages"][1]["name"], "español");

    let only = "{\"type\":\"select\",\"languages\":[\"es\"]}";
    captions.channel.send_string_full(Some(only)).expect("it is open");
    // The selection is asynchronous: cues sent meanwhile may still arrive.
    let only_spanish = async {
        for round in 0.. {
            say(&english, "Good night.");
            let last = format!("Buenas noches {round}.");
            say(&spanish, &last);
            let mut english_came = false;
            loop {
                let text = captions.next_text().await;
                english_came |= text == "Good night.";
                if text == last {
                    break;
                }
            }
            if round > 0 && !english_came {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), only_spanish).await.expect("it is heard");
    let seen = player.frames.wait_for(|n| *n >= 10);
    let seen = tokio::time::timeout(Duration::from_secs(30), seen).await.is_ok_and(|n| n.is_ok());
    assert!(seen, "pictures come beside the captions");
    assert!(registry.shut_down(Duration::from_secs(10)).await, "the session ends");
    assert_eq!((english.readers(), spanish.readers()), (0, 0), "nobody reads any more");
    player.node.stop().await.expect("it stops");
    source.stop().await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_that_opens_channels_without_end_is_sent_away() {
    let stream = OneStream::new();
    let source = test_video(&stream).await;
    let webrtc = WebRtc::new(stream.clone(), Config::default()).expect("a port is free");
    let registry = webrtc.registry().clone();
    let app = router(webrtc);
    let player = Player::new();
    let channels: Vec<Captions> = (0..12).map(|_| Captions::open(&player, "captions")).collect();
    let offer = player.offer().await;
    let post = request("POST", "/whep/live?token=open-sesame", "application/sdp", &offer);
    let response = app.oneshot(post).await.expect("infallible");
    player.take(&text(response).await).await;
    let gone = async {
        while registry.count() > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("the session ends");
    drop(channels);
    player.node.stop().await.expect("it stops");
    source.stop().await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_sees_pictures_trickles_and_leaves() {
    let stream = OneStream::new();
    let source = test_video(&stream).await;
    let webrtc = WebRtc::new(stream.clone(), Config::default()).expect("a port is free");
    let registry = webrtc.registry().clone();
    let app = router(webrtc);

    let mut player = Player::new();
    let offer = player.offer().await;
    let post = request("POST", "/whep/live?token=open-sesame", "application/sdp", &offer);
    let response = app.clone().oneshot(post).await.expect("infallible");
    assert_eq!(response.status(), StatusCode::CREATED);
    let head = response.headers().clone();
    let location = head[header::LOCATION].to_str().expect("text").to_owned();
    let answer = text(response).await;
    player.take(&answer).await;
    let enough = player.frames.wait_for(|n| *n >= 10);
    // The borrow ends here; otherwise the counting probe would wait for it forever.
    let seen = tokio::time::timeout(Duration::from_secs(30), enough).await.is_ok_and(|n| n.is_ok());
    assert!(seen, "no pictures arrived");

    let fragment = "a=candidate:1 1 udp 5 192.0.2.1 6 typ host\r\n";
    let trickle = |tag: Option<&str>, body: &str| {
        let kind = "application/trickle-ice-sdpfrag";
        let mut request = request("PATCH", &location, kind, body);
        if let Some(tag) = tag.and_then(|t| HeaderValue::from_str(t).ok()) {
            request.headers_mut().insert(header::IF_MATCH, tag);
        }
        let app = app.clone();
        async move { app.oneshot(request).await.expect("infallible") }
    };
    let etag = head[header::ETAG].to_str().expect("text");
    assert_eq!(trickle(Some(etag), fragment).await.status(), 204);
    assert_eq!(trickle(Some("\"old\""), fragment).await.status(), 412);
    assert_eq!(trickle(None, fragment).await.status(), 428);

    // An ICE restart whose new path never works: the old one continues.
    let new = "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n";
    assert_eq!(trickle(Some(etag), new).await.status(), 422, "a restart is asked for with `*`");
    let restarted = trickle(Some("*"), new).await;
    assert_eq!(restarted.status(), StatusCode::OK);
    let second = restarted.headers()[header::ETAG].to_str().expect("text").to_owned();
    assert_ne!(second, etag);
    let said = text(restarted).await;
    for part in ["a=ice-ufrag:", "a=ice-pwd:", "a=mid:", "a=candidate:", "a=end-of-candidates"] {
        assert!(said.contains(part), "no `{part}` in\n{said}");
    }
    assert!(!said.contains(&local_ufrag(&answer)), "new credentials:\n{said}");
    assert_eq!(trickle(Some(etag), fragment).await.status(), 412, "an ETag of the past");
    assert_eq!(trickle(Some(&second), fragment).await.status(), 204);
    let so_far = *player.frames.borrow_and_update();
    let more = player.frames.wait_for(|n| *n >= so_far + 10);
    let seen = tokio::time::timeout(Duration::from_secs(10), more).await.is_ok_and(|n| n.is_ok());
    assert!(seen, "the restart stopped the pictures");

    assert_eq!(stream.video.links().len(), 1);
    let gone = app.clone().oneshot(request("DELETE", &location, "", "")).await.expect("infallible");
    assert_eq!(gone.status(), StatusCode::OK);
    assert!(registry.shut_down(Duration::from_secs(10)).await, "the session ends");
    assert_eq!((registry.count(), stream.video.links().len()), (0, 0), "nothing is left behind");
    player.node.stop().await.expect("it stops");
    source.stop().await.expect("it stops");
}
