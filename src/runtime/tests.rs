//! Streams with a real source, real nodes and real viewers, without a network.

use std::time::Duration;

use super::command::Command;
use super::*;
use crate::flow::{AccessRequest, Action, Gate, RefusalKind, SourceReport, Subscription};
use crate::media::{Accept, Accepts, Codec, Kind, Protocol, StreamName};
use crate::process::encoders::Encoders;

/// Time limit for every wait of a test, also on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn appliance() -> (Supervisor, tempfile::TempDir) {
    crate::init().expect("GStreamer starts");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = Options {
        recordings: folder.path().to_owned(),
        dvr: folder.path().join("dvr"),
        streams_max: 10,
        viewers_max: 3,
        presets: Presets::load(None).expect("built-in presets read"),
        segments: Default::default(),
        encode: Default::default(),
        webrtc: Default::default(),
        sources: Default::default(),
        origins: Default::default(),
    };
    (Supervisor::new(options, Encoders::probe(&Default::default()), Speech::default()), folder)
}

fn name(text: &str) -> StreamName {
    text.parse().expect("a stream name")
}

fn stream(text: &str) -> StreamSpec {
    let mut spec = StreamSpec::new(name(text));
    spec.access.publish_token = Some("publish".into());
    spec.access.play_token = Some("play".into());
    spec
}

fn test_stream(text: &str) -> StreamSpec {
    StreamSpec { source: SourceSpec::Test(Default::default()), ..stream(text) }
}

fn player(stream: &str, token: Option<String>) -> AccessRequest {
    AccessRequest {
        action: Action::Play,
        protocol: Protocol::Whep,
        stream: name(stream),
        credential: token.map(crate::media::Secret::new),
        peer: "test".into(),
    }
}

fn accepts(video: Codec, audio: Codec) -> Accepts {
    let video = Accept { reorders: false, ..Accept::any_of([video]) };
    Accepts::media(Some(video), Some(Accept::any_of([audio])))
}

/// Polls until `check` returns true.
async fn until<F: Future<Output = bool>>(what: &str, check: impl Fn() -> F) {
    let poll = async {
        while !check().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, poll).await.unwrap_or_else(|_| panic!("never: {what}"));
}

async fn until_state(appliance: &Supervisor, stream: &str, state: StreamState) {
    let stream = name(stream);
    until(state.as_str(), || async {
        appliance.snapshot(&stream).await.is_ok_and(|s| s.state == state)
    })
    .await;
}

async fn play(appliance: &Supervisor, stream: &str, accepts: Accepts) -> Subscription {
    let token = appliance.spec(&name(stream)).expect("exists").access.play_token;
    appliance.play(player(stream, token), accepts).await.expect("a subscription")
}

fn frames(subscription: &Subscription, kind: Kind) -> u64 {
    let inputs = subscription.inputs.borrow();
    let feed = match kind {
        Kind::Video => inputs.video.as_ref(),
        Kind::Audio => inputs.audio.as_ref(),
    };
    feed.map_or(0, |f| f.stats().buffers.load(std::sync::atomic::Ordering::Relaxed))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_share_what_is_made_for_them_and_it_ends_with_the_last() {
    let (appliance, _folder) = appliance();
    appliance.create(test_stream("a")).expect("created");
    until_state(&appliance, "a", StreamState::Live).await;

    let as_it_is = play(&appliance, "a", accepts(Codec::H264, Codec::Opus)).await;
    let one = play(&appliance, "a", accepts(Codec::Vp8, Codec::Opus)).await;
    let two = play(&appliance, "a", accepts(Codec::Vp8, Codec::Opus)).await;
    let feed = |subscription: &Subscription| {
        subscription.inputs.borrow().video.as_ref().map(|f| f.name().to_owned())
    };
    assert_eq!(feed(&as_it_is).as_deref(), Some("video"));
    assert_eq!(feed(&one).as_deref(), Some("video.vp8"));
    assert_eq!(feed(&two), feed(&one));
    let before = frames(&one, Kind::Video);
    until("VP8 frames", || async { frames(&one, Kind::Video) > before + 10 }).await;

    let token = appliance.spec(&name("a")).expect("exists").access.play_token;
    let refused = appliance
        .play(player("a", token), accepts(Codec::H264, Codec::Opus))
        .await
        .err()
        .expect("the limit is three viewers");
    assert_eq!(refused.kind, RefusalKind::Busy);

    drop((one, two));
    until("the transcode ends", || async {
        let snapshot = appliance.snapshot(&name("a")).await.expect("exists");
        snapshot.nodes.iter().all(|n| !n.name.starts_with("encode"))
    })
    .await;
    assert_eq!(appliance.snapshot(&name("a")).await.expect("exists").viewers[&Protocol::Whep], 1);
    appliance.shutdown().await;
    assert!(as_it_is.cancel.is_cancelled());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_comes_in_without_the_token() {
    let (appliance, _folder) = appliance();
    appliance.create(stream("a")).expect("created");
    let kind =
        |access_request: AccessRequest| appliance.admit(&access_request).expect_err("refused").kind;
    assert_eq!(kind(player("a", None)), RefusalKind::Unauthorized);
    assert_eq!(kind(player("a", Some(String::new()))), RefusalKind::Unauthorized);
    let access = appliance.spec(&name("a")).expect("exists").access;
    assert_eq!(kind(player("a", access.publish_token.clone())), RefusalKind::Unauthorized);
    assert_eq!(kind(player("b", access.play_token.clone())), RefusalKind::UnknownStream);
    assert!(appliance.admit(&player("a", access.play_token)).is_ok());
    appliance.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_stay_through_the_slate_and_see_the_source_again() {
    let (appliance, _folder) = appliance();
    let mut spec = stream("a");
    spec.access.open_publish = true;
    appliance.create(spec).expect("created");
    let publish = async || {
        let access_request = AccessRequest { action: Action::Publish, ..player("a", None) };
        let report = SourceReport::new(Protocol::Test, "here").into();
        let intake = appliance.publish(access_request, report).await.expect("a place");
        let cancel = intake.cancel.clone();
        (
            tokio::spawn(
                crate::ingress::source::tests::run_alone(
                    &serde_json::json!({ "type": "test" }),
                    intake,
                    Default::default(),
                )
                .1,
            ),
            cancel,
        )
    };
    let (first, stop) = publish().await;
    until_state(&appliance, "a", StreamState::Live).await;
    let subscription = play(&appliance, "a", accepts(Codec::H264, Codec::Opus)).await;

    stop.cancel();
    first.await.expect("no panic").expect("ends when cancelled");
    until_state(&appliance, "a", StreamState::Slate).await;
    let before = (frames(&subscription, Kind::Video), frames(&subscription, Kind::Audio));
    until("slate frames and silence", || async {
        frames(&subscription, Kind::Video) > before.0 + 3
            && frames(&subscription, Kind::Audio) > before.1 + 10
    })
    .await;

    let (_second, _stop) = publish().await;
    until_state(&appliance, "a", StreamState::Live).await;
    let before = frames(&subscription, Kind::Video);
    until("the source again", || async { frames(&subscription, Kind::Video) > before + 30 }).await;
    assert!(!subscription.cancel.is_cancelled(), "the viewer was never sent away");
    let twice = AccessRequest { action: Action::Publish, ..player("a", None) };
    let refused = appliance.publish(twice, SourceReport::new(Protocol::Test, "there").into()).await;
    assert_eq!(refused.err().expect("taken").kind, RefusalKind::Taken);
    appliance.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_backup_takes_over_and_hands_back() {
    let (appliance, _folder) = appliance();
    let mut spec = stream("a");
    spec.access.open_publish = true;
    spec.backup = Some(SourceSpec::Stream(crate::ingress::relay::StreamSource::new(name("b"))));
    appliance.create(test_stream("b")).expect("created");
    appliance.create(spec).expect("created");
    until_state(&appliance, "a", StreamState::Backup).await;

    let access_request = AccessRequest { action: Action::Publish, ..player("a", None) };
    let report = SourceReport::new(Protocol::Test, "here").into();
    let intake = appliance.publish(access_request, report).await.expect("a place");
    let stop = intake.cancel.clone();
    tokio::spawn(
        crate::ingress::source::tests::run_alone(
            &serde_json::json!({ "type": "test" }),
            intake,
            Default::default(),
        )
        .1,
    );
    until_state(&appliance, "a", StreamState::Live).await;
    stop.cancel();
    until_state(&appliance, "a", StreamState::Backup).await;
    appliance.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sound_is_cleaned_for_everybody_once_the_admin_says_so() {
    let (appliance, _folder) = appliance();
    appliance.create(test_stream("a")).expect("created");
    until_state(&appliance, "a", StreamState::Live).await;
    let mut subscription = play(&appliance, "a", accepts(Codec::H264, Codec::Opus)).await;
    subscription.inputs.borrow_and_update();
    let cleaned = StreamSpec { denoise: Some(Default::default()), ..test_stream("a") };
    appliance.apply(appliance.check(cleaned).expect("valid"));
    subscription.inputs.changed().await.expect("the stream lives");
    let audio = subscription.inputs.borrow_and_update().audio.clone().expect("there is sound");
    assert_eq!(audio.name(), "audio.clean.opus");
    until("cleaned sound", || async { frames(&subscription, Kind::Audio) > 20 }).await;
    appliance.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_says_when_and_what_to_do_and_is_over_with_the_next_source() {
    let (appliance, folder) = appliance();
    let path = folder.path().join("no-such-file.mp4").display().to_string();
    let mut spec = test_stream("a");
    spec.source = SourceSpec::File(crate::ingress::file::FileSource::new(path));
    appliance.create(spec).expect("created");
    let error = async || appliance.snapshot(&name("a")).await.expect("exists").last_error;
    until("an error", || async { error().await.last_error.is_some() }).await;
    let failed = error().await;
    assert!(failed.last_error.is_some_and(|e| e.starts_with("source: ")));
    assert!(failed.last_error_at.is_some() && failed.last_error_hint.is_some());
    appliance.apply(appliance.check(test_stream("a")).expect("valid"));
    until_state(&appliance, "a", StreamState::Live).await;
    assert_eq!(error().await.last_error, None);
    appliance.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_panics_is_told_and_starts_again_as_it_is_wanted() {
    let (appliance, _folder) = appliance();
    let mut events = appliance.events();
    appliance.create(test_stream("a")).expect("created");
    appliance.create(test_stream("b")).expect("created");
    until_state(&appliance, "a", StreamState::Live).await;
    let subscription = play(&appliance, "a", accepts(Codec::H264, Codec::Opus)).await;
    appliance.shared().entry(&name("a")).expect("there").commands.send(Command::Panic).await.ok();
    let told = async {
        loop {
            if let Ok(Event::StreamFailed { stream, error }) = events.recv().await {
                return (stream, error);
            }
        }
    };
    let (failed, error) = tokio::time::timeout(PATIENCE, told).await.expect("it is told");
    assert!(failed == "a" && error.contains("a fault of the stream's own code"), "{error}");
    let shown = appliance.snapshots().await;
    assert_eq!(shown.len(), 2, "a failed stream is in the list");
    assert_eq!(shown[0].state, StreamState::Failed);
    assert_eq!(shown[0].last_error.last_error.as_ref(), Some(&error));
    assert!(subscription.cancel.is_cancelled(), "its viewers are sent away, and may come again");
    // A change made meanwhile is in force after the restart.
    let changed = StreamSpec { linger_s: 7, ..test_stream("a") };
    appliance.apply(appliance.check(changed).expect("valid"));
    until_state(&appliance, "a", StreamState::Live).await;
    let again = play(&appliance, "a", accepts(Codec::H264, Codec::Opus)).await;
    let before = frames(&again, Kind::Video);
    until("frames again", || async { frames(&again, Kind::Video) > before + 10 }).await;
    assert_eq!(appliance.spec(&name("a")).expect("exists").linger_s, 7);
    assert_eq!(appliance.shared().viewers.load(std::sync::atomic::Ordering::Relaxed), 1);
    appliance.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_stream_is_removed_while_it_rests() {
    let (appliance, _folder) = appliance();
    appliance.create(stream("a")).expect("created");
    for _ in 0..3 {
        // Each pause is longer than the previous one.
        let entry = appliance.shared().entry(&name("a")).expect("there");
        entry.commands.send(Command::Panic).await.ok();
        until_state(&appliance, "a", StreamState::Failed).await;
        if let Err(error) = appliance.kick(&name("a")).await {
            assert!(matches!(error, Error::Restarting(_)), "{error}");
        }
        until_state(&appliance, "a", StreamState::Idle).await;
    }
    let entry = appliance.shared().entry(&name("a")).expect("there");
    entry.commands.send(Command::Panic).await.ok();
    until_state(&appliance, "a", StreamState::Failed).await;
    tokio::time::timeout(PATIENCE, appliance.remove(&name("a")))
        .await
        .expect("at once")
        .expect("is");
    assert!(appliance.snapshots().await.is_empty());
}
