//! Everything published is in the recording, every frame and every audio packet, for any GOP,
//! connection and publisher's clock.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout_at};

use crate::support::api::Stream;
use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::media::{Coding, once};
use crate::support::publish::Ffmpeg;
use crate::support::{eventually, s, stand_still};

/// What is still in transit when a publisher leaves may be missing, in seconds.
const TAIL_S: f64 = 1.0;

/// An access unit delimiter with its length, which is inserted before each frame.
const DELIMITER_BYTES: u64 = 6;

/// No further key frame after the first.
const ENDLESS: u32 = 99_999;

const SOURCE: &str = "-f lavfi -i testsrc2=s=320x180:r=25 -f lavfi -i sine=f=440:r=48000";
const CODING: &str = "-c:v libx264 -preset ultrafast -tune zerolatency -b:v 200k \
    -pix_fmt yuv420p -sc_threshold 0 -c:a aac -ac 2";

/// 16 s of video with a key frame every `gop` frames.
fn film(gop: u32) -> PathBuf {
    once(&format!("film-{gop}.mp4"), |file| {
        let line = format!("-v error -nostdin -y {SOURCE} -t 16 {CODING} -g {gop}");
        let mut command = Command::new("ffmpeg");
        let status = command.args(line.split_whitespace()).arg(file).status();
        assert!(status.expect("ffmpeg is installed: run `make setup` first").success());
    })
}

/// A packet of a file, in the file's order.
#[derive(Clone, Copy, Debug)]
struct Packet {
    is_video: bool,
    is_key: bool,
    at_s: f64,
    bytes: u64,
}

fn packets(file: &Path) -> Vec<Packet> {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-show_entries", "packet=codec_type,pts_time,size,flags"]);
    let output = command.args(["-of", "csv=p=0"]).arg(file).output().expect("ffprobe runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let packet = |line: &str| {
        let mut fields = line.split(',');
        Some(Packet {
            is_video: fields.next()? == "video",
            at_s: fields.next()?.parse().ok()?,
            bytes: fields.next()?.parse().ok()?,
            // Packets that players must discard are not sent.
            is_key: fields.next().filter(|flags| !flags.contains('D'))?.starts_with('K'),
        })
    };
    text.lines().filter_map(packet).collect()
}

/// Number of packets of a kind that were sent, without the tail, and how many of them are in the
/// recordings, in order. Packets are identified by size; key frames may have any size, because
/// parameter sets are added or removed on the way.
fn count(sent: &[Packet], recorded: &[Packet], is_video: bool) -> (usize, usize) {
    let kind = |packets: &[Packet]| -> Vec<Packet> {
        packets.iter().copied().filter(|p| p.is_video == is_video).collect()
    };
    let (sent, recorded) = (kind(sent), kind(recorded));
    let end = sent.iter().map(|p| p.at_s).fold(0.0, f64::max) - TAIL_S;
    let sent: Vec<Packet> = sent.into_iter().filter(|p| p.at_s < end).collect();
    let same = |a: &Packet, b: &Packet| match is_video && a.is_key {
        true => b.is_key,
        false => b.bytes == a.bytes + if is_video { DELIMITER_BYTES } else { 0 },
    };
    let mut rest = recorded.iter();
    let found = sent.iter().filter(|packet| {
        // A missing packet must not hide those that follow it.
        let steps = rest.clone().position(|other| same(packet, other));
        steps.inspect(|steps| _ = rest.nth(*steps)).is_some()
    });
    let found = found.count();
    (sent.len(), found)
}

/// Waits until the stream is idle, and returns everything recorded.
async fn recorded(appliance: &Appliance, stream: &Stream) -> Vec<Packet> {
    stream.wait_state("idle", s(40)).await;
    let folder = appliance.state().join("recordings").join(&stream.name);
    let finished = eventually("the recordings end", s(20), || async {
        let list = format!("/api/v1/recordings?stream={}", stream.name);
        let list = stream.api.must_get(&list).await;
        let items = list["items"].as_array().cloned().unwrap_or_default();
        match !items.is_empty() && items.iter().all(|i| i["state"] != "recording") {
            true => Ok(()),
            false => Err(list.to_string()),
        }
    });
    finished.await;
    let entries = std::fs::read_dir(folder).expect("there are recordings").flatten();
    let mut files: Vec<PathBuf> = entries.map(|e| e.path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "mp4"));
    files.sort();
    files.iter().flat_map(|file| packets(file)).collect()
}

/// Fails unless everything sent is in the recordings.
fn expect_all(label: &str, sent: &[Packet], recorded: &[Packet]) {
    let (pictures, seen) = count(sent, recorded, true);
    let (sounds, heard) = count(sent, recorded, false);
    eprintln!("  {label:<34} pictures {seen}/{pictures}  packets of sound {heard}/{sounds}");
    assert!(pictures > 100 && sounds > 100, "{label}: nothing was sent");
    assert_eq!((seen, heard), (pictures, sounds), "{label}: some are missing");
}

/// Longest step between two packets of a kind in a recording, in seconds.
fn longest_step(recorded: &[Packet], is_video: bool) -> f64 {
    let kind = recorded.iter().filter(|packet| packet.is_video == is_video);
    let mut times: Vec<f64> = kind.map(|packet| packet.at_s).collect();
    times.sort_by(f64::total_cmp);
    times.windows(2).map(|w| w[1] - w[0]).fold(0.0, f64::max)
}

/// Sends a video once, in real time.
fn send_once(file: &Path, url: &str) -> Ffmpeg {
    let format = if url.starts_with("rtmp") { "flv" } else { "mpegts" };
    Ffmpeg::with(&format!("-re -i {} -c copy -f {format} {url}", file.display()))
}

async fn stream(appliance: &Appliance, name: &str, linger_s: u32) -> Stream {
    let spec = json!({ "name": name, "preset": "record", "linger_s": linger_s });
    appliance.api.create(spec).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_only_key_frame_is_frame_0_of_the_recording() {
    let appliance = Appliance::start_alone("").await;
    let film = film(ENDLESS);
    for (label, by_rtmp) in [("one key frame, RTMP", true), ("one key frame, SRT", false)] {
        let stream = stream(&appliance, if by_rtmp { "by-rtmp" } else { "by-srt" }, 0).await;
        let url = if by_rtmp { appliance.rtmp(&stream) } else { appliance.srt(&stream) };
        let mut publisher = send_once(&film, &url);
        assert!(publisher.end(s(60)).await.is_some(), "{label}: ffmpeg does not end");
        let recorded = recorded(&appliance, &stream).await;
        expect_all(label, &packets(&film), &recorded);
        let first = recorded.iter().find(|p| p.is_video).map(|p| p.at_s);
        assert!(first.is_some_and(|at| at < 0.3), "{label}: the first picture is at {first:?} s");
    }
}

/// Forwards a connection to `target`, but delays what arrives between `from` and `from + hold`
/// after the first byte, as a stalled network does.
async fn stalling_proxy(target: String, from: Duration, hold: Duration) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    tokio::spawn(async move {
        let (client, _) = listener.accept().await.expect("a publisher");
        let server = TcpStream::connect(target).await.expect("the appliance listens");
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
        let stall = Instant::now() + from;
        let (mut held, mut stalled, mut buffer) = (Vec::new(), false, vec![0; 65_536]);
        loop {
            let until = if stalled { stall + s(3600) } else { stall + hold };
            match timeout_at(until, from_client.read(&mut buffer)).await {
                Ok(Ok(0) | Err(_)) => break,
                Ok(Ok(count)) => held.extend_from_slice(&buffer[..count]),
                Err(_) => stalled = true,
            }
            let now = Instant::now();
            let holds_back = !stalled && now >= stall && now < stall + hold;
            if !holds_back && to_server.write_all(&std::mem::take(&mut held)).await.is_err() {
                break;
            }
        }
        // Dropping the halves closes both connections.
        let _ = to_server.write_all(&held).await;
    });
    port
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_stands_still_makes_a_late_burst_and_no_hole() {
    let appliance = Appliance::start_alone("").await;
    // The slate is sent during the longer one.
    for (name, gop, hold) in
        [("short", 50, Duration::from_millis(2500)), ("long", 50, s(7)), ("endless", ENDLESS, s(7))]
    {
        let stream = stream(&appliance, name, 3).await;
        let url = appliance.rtmp(&stream);
        let target = url.strip_prefix("rtmp://").and_then(|rest| rest.split('/').next());
        let target = target.expect("an address").to_owned();
        let port = stalling_proxy(target.clone(), s(5), hold).await;
        let url = url.replacen(&target, &format!("127.0.0.1:{port}"), 1);
        let mut publisher = send_once(&film(gop), &url);
        assert!(publisher.end(s(60)).await.is_some(), "{name}: ffmpeg does not end");
        let recorded = recorded(&appliance, &stream).await;
        let label = format!("stall of {} ms, {name}", hold.as_millis());
        expect_all(&label, &packets(&film(gop)), &recorded);
        if name == "short" {
            let step = longest_step(&recorded, true);
            assert!(step < 0.1, "{label}: a step of {step} s between two pictures");
        }
    }
}

/// Lets a publisher stand still twice, longer than a jitter buffer waits, and fails unless the
/// recording of `stream`, which `leave` ends, has neither a hole nor media in the wrong place.
async fn stands_still(appliance: &Appliance, stream: &Stream, pid: u32, leave: impl AsyncFnOnce()) {
    for pictures in [60, 180] {
        let came = |snapshot: &Value| {
            let mut feeds = snapshot["feeds"].as_array().into_iter().flatten();
            let video = feeds.find(|feed| feed["name"] == "video");
            video.and_then(|feed| feed["buffers"].as_u64()) > Some(pictures)
        };
        stream.wait("enough pictures", s(40), came).await;
        stand_still(pid, Duration::from_millis(700)).await;
    }
    leave().await;
    let recorded = recorded(appliance, stream).await;
    assert!(recorded.len() > 400, "{} packets are recorded", recorded.len());
    for (kind, is_video) in [("video", true), ("audio", false)] {
        let step = longest_step(&recorded, is_video);
        assert!(step < 0.1, "{}: a step of {step} s in {kind}", stream.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_camera_that_stands_still_makes_a_late_burst_and_no_hole() {
    let Some(mut camera) = Client::camera() else { return };
    let url = camera.wait_for("serving", s(20)).await["url"].clone();
    let appliance = Appliance::start_alone("").await;
    let stream = stream(&appliance, "camera", 0).await;
    let source = json!({ "source": { "type": "rtsp", "url": url } });
    stream.api.must_patch(&stream.path(), &source).await;
    let publish = json!({ "source": { "type": "publish" } });
    let leave = async || {
        stream.api.must_patch(&stream.path(), &publish).await;
    };
    stands_still(&appliance, &stream, camera.pid(), leave).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_appliance_that_stands_still_makes_a_late_burst_and_no_hole_at_the_next() {
    let mut near = Appliance::start_alone("").await;
    let far = near.start_beside("").await;
    let stream = stream(&far, "far", 0).await;
    let (url, token) = (stream.whip(), stream.publish_token());
    let trunk = json!({ "id": "far", "type": "trunk", "url": url, "token": token });
    let source = near.api.create(json!({ "name": "near", "outputs": [trunk] })).await;
    let _publisher = Ffmpeg::send(Coding::H264Baseline, &near.srt(&source));
    let pid = near.pid();
    stands_still(&far, &stream, pid, async || near.kill()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_five_percent_fast_loses_nothing() {
    let appliance = Appliance::start_alone("").await;
    let stream = stream(&appliance, "fast", 0).await;
    let sent = appliance.state().join("sent.mp4");
    let line = format!(
        "-re {SOURCE} -t 42 -vf setpts=1.05*PTS -af asetpts=1.05*PTS -fps_mode passthrough {CODING} \
         -g 50 -map 0:v -map 1:a -flags +global_header -f tee [f=flv]{}|[f=mp4]{}",
        appliance.rtmp(&stream),
        sent.display(),
    );
    let mut publisher = Ffmpeg::with(&line);
    assert!(publisher.end(s(90)).await.is_some(), "ffmpeg does not end");
    let recorded = recorded(&appliance, &stream).await;
    expect_all("clock 5 % fast", &packets(&sent), &recorded);
}
