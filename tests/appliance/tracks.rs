//! Which programme, video and audio a stream takes if there are several, by every protocol that can
//! carry several; those not taken are named.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::inputs::{H264, format_of, h264_with, notes, publish, transport};
use crate::support::appliance::{Appliance, free_udp};
use crate::support::client::Client;
use crate::support::media::once;
use crate::support::publish::Ffmpeg;
use crate::support::s;

/// Arguments for the programmes of [`two_programmes`].
const PROGRAMMES: &str = "-program title=one:program_num=1:st=0:st=1:st=2 \
                          -program title=two:program_num=2:st=3:st=4";

/// Programme 1: video of 320x180, AAC in English, MPEG audio in German. Programme 2: video of
/// 640x360, AAC in French.
fn two_programmes() -> PathBuf {
    let more = "-f lavfi -i sine=f=880:r=48000 -f lavfi -i testsrc=s=640x360:r=25 \
                -f lavfi -i sine=f=220:r=48000";
    let coding = format!(
        "-map 0 -map 1 -map 2 -map 3 -map 4 {H264} -c:a aac -c:a:1 mp2 -metadata:s:1 language=eng \
         -metadata:s:2 language=ger -metadata:s:4 language=fra {PROGRAMMES}"
    );
    transport("two-programmes.ts", more, &coding)
}

/// What each selection takes of [`two_programmes`], and one of the notes.
fn wishes() -> [(Value, &'static str, &'static str, &'static str); 5] {
    let english = "PID 257 (0x101), AAC, language eng";
    [
        (json!({}), "320x180", "aac", "PID 258 (0x102), MPEG audio, language ger is ignored"),
        (json!({}), "320x180", "aac", "programme 2 is ignored (PID 259 (0x103), H.264"),
        (json!({ "program": 2 }), "640x360", "aac", "programme 1 is ignored"),
        (json!({ "audio_language": "deu" }), "320x180", "mp2", english),
        (json!({ "audio_pid": 258 }), "320x180", "mp2", "the audio track is PID 258"),
    ]
}

/// Waits until a stream with this selection and source has these tracks, and this note.
async fn takes(
    appliance: &Appliance,
    (wish, source): (&Value, &Value),
    (video, audio, note): (&str, &str, &str),
    send: impl FnOnce(&str) -> Option<Ffmpeg>,
) {
    let spec = json!({ "name": "chosen", "linger_s": 1, "tracks": wish, "source": source });
    let stream = appliance.api.create(spec).await;
    let _publisher = send(&appliance.srt(&stream));
    let known = |s: &Value| {
        let found = [format_of(s, "video"), format_of(s, "audio")];
        found[0].contains(video) && found[1].contains(audio) && notes(s).contains(note)
    };
    stream.wait(&format!("{source} {wish}: {video}, {audio}, {note}"), s(30), known).await;
    appliance.api.must_delete(&stream.path()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programme_and_track_are_chosen_and_the_others_named() {
    let appliance = Appliance::start().await;
    let (file, source) = (two_programmes(), json!({ "type": "publish" }));
    for (wish, video, audio, note) in wishes() {
        let send = |url: &str| Some(publish(&file, PROGRAMMES, url));
        takes(&appliance, (&wish, &source), (video, audio, note), send).await;
    }
    let stream =
        appliance.api.create(json!({ "name": "absent", "tracks": { "program": 7 } })).await;
    let _publisher = publish(&file, PROGRAMMES, &appliance.srt(&stream));
    let said = |s: &Value| notes(s).contains("programme 7 is not in what it sends, but 1, 2");
    let snapshot = stream.wait("its absence", s(30), said).await;
    assert_eq!(snapshot["state"], "idle", "nothing else goes on air: {snapshot}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transport_stream_that_is_pulled_or_a_file_is_chosen_from_in_the_same_way() {
    let appliance = Appliance::start().await;
    let file = two_programmes();
    let source = json!({ "type": "file", "path": file });
    for (wish, video, audio, note) in wishes() {
        takes(&appliance, (&wish, &source), (video, audio, note), |_| None).await;
    }
    let spec = json!({ "name": "absent", "tracks": { "program": 7 }, "source": source });
    let stream = appliance.api.create(spec).await;
    let expect = "programme 7 is not in what it sends, but 1, 2";
    let told = |s: &Value| s["last_error"].as_str().is_some_and(|e| e.contains(expect));
    stream.wait(expect, s(30), told).await;

    let at = format!("srt://127.0.0.1:{}", free_udp());
    let _listener = publish(&file, PROGRAMMES, &format!("{at}?mode=listener"));
    let source = json!({ "type": "srt", "url": at });
    let (wish, english) = (json!({ "audio_language": "deu" }), "language eng is ignored");
    takes(&appliance, (&wish, &source), ("320x180", "mp2", english), |_| None).await;
}

/// Length of [`film`], in seconds: it loops within the test.
const FILM_S: u32 = 4;

/// H.264, AAC in English, Opus in German.
fn film(name: &str) -> PathBuf {
    let make = |file: &Path| {
        let mut command = Command::new("ffmpeg");
        command.args("-v error -nostdin -y -f lavfi -i testsrc2=s=320x180:r=25".split(' '));
        command.args("-f lavfi -i sine=f=440:r=48000 -f lavfi -i sine=f=880:r=48000".split(' '));
        command.args(["-t", &FILM_S.to_string()]).args("-map 0 -map 1 -map 2".split(' '));
        command.args(H264.split_whitespace()).args("-c:a aac -c:a:1 libopus".split(' '));
        command.args("-metadata:s:1 language=eng -metadata:s:2 language=ger".split(' ')).arg(file);
        let made = command.status().expect("ffmpeg is installed: run `make setup` first");
        assert!(made.success(), "ffmpeg cannot make {name}");
    };
    once(name, make)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sound_of_a_film_is_chosen_by_language_in_every_round() {
    let appliance = Appliance::start().await;
    for name in ["two-languages.mkv", "two-languages.mp4"] {
        let source = json!({ "type": "file", "path": film(name) });
        for (wish, audio, note) in [
            (json!({}), "aac", "track 3 (audio/x-opus), language de is ignored"),
            (
                json!({ "audio_language": "ger" }),
                "opus",
                "language en is ignored: the audio track is track 3",
            ),
            (json!({ "audio_language": "fr" }), "aac", "there is no sound in `fr`"),
            (json!({ "audio_pid": 257 }), "aac", "`tracks.audio_pid` is not used"),
        ] {
            takes(&appliance, (&wish, &source), ("320x180", audio, note), |_| None).await;
        }
    }
    let source = json!({ "type": "file", "path": film("two-languages.mkv") });
    let spec = json!({ "name": "film", "tracks": { "audio_language": "deu" }, "source": source });
    let stream = appliance.api.create(spec).await;
    // One packet per 20 ms.
    let two_rounds = u64::from(2 * FILM_S * 50);
    let played = |s: &Value| {
        let feeds = s["feeds"].as_array().cloned().unwrap_or_default();
        let sound = feeds.iter().find(|f| f["name"] == "audio").cloned().unwrap_or_default();
        sound["buffers"].as_u64() > Some(two_rounds)
    };
    let snapshot = stream.wait("the third round", s(40), played).await;
    assert!(format_of(&snapshot, "audio").contains("opus"), "{snapshot}");
    let notes = snapshot["sources"][0]["notes"].as_array().map(Vec::len);
    assert_eq!(notes, Some(1), "each round says the same: {snapshot}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sound_of_an_rtsp_server_is_chosen_by_language() {
    let Some(mut server) = Client::camera() else { return };
    let url = server.wait_for("serving", s(20)).await["languages"].clone();
    let appliance = Appliance::start().await;
    let source = json!({ "type": "rtsp", "url": url });
    for (wish, audio, note) in [
        (json!({}), "aac", "RTP audio OPUS, payload type 98, language de is ignored"),
        (json!({ "audio_language": "deu" }), "opus", "language en is ignored: the audio track is"),
        (json!({ "program": 2 }), "aac", "`tracks.program` is not used"),
    ] {
        takes(&appliance, (&wish, &source), ("320x180", audio, note), |_| None).await;
    }
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wish_that_says_nothing_to_a_publisher_is_named() {
    let appliance = Appliance::start().await;
    let spec = json!({ "name": "studio", "tracks": { "audio_language": "de" } });
    let stream = appliance.api.create(spec).await;
    let _publisher = publish(&h264_with("aac.ts", "-c:a aac"), "", &appliance.rtmp(&stream));
    let named = |s: &Value| notes(s).contains("`tracks` is not used: `rtmp` has one track");
    stream.wait("the note", s(30), named).await;
}
