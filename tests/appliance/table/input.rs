//! The inputs of the table and how they are sent.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::count::Counted;
use crate::support::api::Stream;
use crate::support::appliance::{Appliance, free_tcp};
use crate::support::client::Client;
use crate::support::media::once;
use crate::support::publish::Ffmpeg;
use crate::support::s;

/// Length of a clip, s: viewers need some seconds to join.
const CLIP_S: &str = "9";

/// Frame rate of clips, and of aiortc and Chromium, Hz.
const CLIP_FPS: f64 = 25.0;
const LIVE_FPS: f64 = 30.0;

/// Tolerance for tracks of different length in a clip, and for what ffmpeg, as an SRT player, makes
/// of the first frames of a Matroska file, which has no decoding times.
const FILE_SEAM_PICTURES: u64 = 6;
const FILE_SEAM_S: f64 = 0.25;

/// SRT latency for ffmpeg on a loaded machine, so that delays cause no loss: 0.8 s, in
/// microseconds.
pub(super) const SRT_LATENCY: &str = "latency=800000";

/// Buffers of a track that are enough from an endless source.
const ENOUGH: u64 = 240;

/// The same for a camera, whose clip must not end before: the next clip is another connection.
const RTSP_ENOUGH: u64 = 180;

/// Time limit for an endless source to deliver enough.
const ENOUGH_MAX: std::time::Duration = s(40);

/// Time limit for a publisher; much longer than its clip, for loaded machines.
const SEND_MAX: std::time::Duration = s(90);

/// How an input is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// ffmpeg publishes the clip by SRT, as MPEG-TS.
    Srt,
    /// The same with AAC in LATM.
    SrtLatm,
    /// ffmpeg publishes the clip by RTMP.
    Rtmp,
    /// PyAV publishes the clip by Enhanced RTMP.
    EnhancedRtmp,
    /// aiortc publishes in this codec.
    Aiortc,
    /// Chromium publishes in this codec.
    Chromium,
    /// The clip is pulled from an RTSP server.
    Rtsp,
    /// The clip is a file source.
    File,
}

/// One line of the table.
pub(super) struct Input {
    pub(super) name: &'static str,
    pub(super) way: Way,
    /// Encoders of ffmpeg, or the codec that is offered by WHIP.
    pub(super) video: Option<&'static str>,
    pub(super) audio: Option<&'static str>,
    /// Container of the clip.
    container: &'static str,
    /// Word in the stream's notes that permits a missing track.
    pub(super) told: Option<&'static str>,
}

const fn input(
    name: &'static str,
    way: Way,
    video: &'static str,
    audio: &'static str,
    container: &'static str,
) -> Input {
    let video = if video.is_empty() { None } else { Some(video) };
    let audio = if audio.is_empty() { None } else { Some(audio) };
    Input { name, way, video, audio, container, told: None }
}

const H264: &str = "libx264 -preset ultrafast -bf 2 -x264-params scenecut=0";
const H264_PLAIN: &str = "libx264 -preset ultrafast -profile:v baseline";
const HEVC: &str = "libx265 -preset ultrafast -x265-params log-level=error -tag:v hvc1";
const MPEG2: &str = "mpeg2video -b:v 500k -bf 2";
const VP8: &str = "libvpx -deadline realtime -cpu-used 8 -b:v 200k";
const VP9: &str = "libvpx-vp9 -deadline realtime -cpu-used 8 -b:v 200k";
const AV1: &str = "libsvtav1 -preset 12 -svtav1-params lookahead=0";
const OPUS: &str = "libopus";
const MP3: &str = "libmp3lame";

pub(super) const INPUTS: &[Input] = &[
    input("srt h264+aac", Way::Srt, H264, "aac", "mkv"),
    input("srt hevc+ac3", Way::Srt, HEVC, "ac3", "mkv"),
    input("srt mpeg2+mp2", Way::Srt, MPEG2, "mp2", "mkv"),
    input("srt h264+opus", Way::Srt, H264, OPUS, "mkv"),
    input("srt h264+mp3", Way::Srt, H264_PLAIN, MP3, "mkv"),
    input("srt h264+eac3", Way::Srt, H264, "eac3", "mkv"),
    input("srt h264+latm", Way::SrtLatm, H264, "aac", "mkv"),
    input("srt aac", Way::Srt, "", "aac", "mkv"),
    input("srt h264", Way::Srt, H264, "", "mkv"),
    input("rtmp h264+aac", Way::Rtmp, H264, "aac", "mp4"),
    input("rtmp h264+mp3", Way::Rtmp, H264_PLAIN, MP3, "mkv"),
    input("rtmp hevc+aac", Way::EnhancedRtmp, HEVC, "aac", "mp4"),
    input("rtmp av1+opus", Way::EnhancedRtmp, AV1, OPUS, "mkv"),
    input("rtmp vp9+opus", Way::EnhancedRtmp, VP9, OPUS, "mkv"),
    input("whip vp8+opus", Way::Aiortc, "vp8", "opus", ""),
    input("whip h264+opus", Way::Aiortc, "h264", "opus", ""),
    input("whip vp9+opus", Way::Chromium, "vp9", "opus", ""),
    input("whip av1+opus", Way::Chromium, "av1", "opus", ""),
    input("rtsp h264+aac", Way::Rtsp, H264_PLAIN, "aac", "mp4"),
    input("mp4 h264+aac", Way::File, H264, "aac", "mp4"),
    input("mkv hevc+opus", Way::File, HEVC, OPUS, "mkv"),
    input("webm vp8+opus", Way::File, VP8, OPUS, "webm"),
    input("webm vp9+opus", Way::File, VP9, OPUS, "webm"),
    input("mkv av1+opus", Way::File, AV1, OPUS, "mkv"),
    input("ts mpeg2+ac3", Way::File, MPEG2, "ac3", "ts"),
    input("flv h264+aac", Way::File, H264, "aac", "flv"),
    input("mp3", Way::File, "", MP3, "mp3"),
    input("wav", Way::File, "", "pcm_s16le", "wav"),
];

impl Input {
    /// Frame rate, Hz.
    pub(super) fn fps(&self) -> f64 {
        if self.container.is_empty() { LIVE_FPS } else { CLIP_FPS }
    }

    /// Audio alone, which repeats until it is stopped.
    pub(super) fn is_endless_sound(&self) -> bool {
        self.way == Way::File && self.video.is_none()
    }

    /// Whether the complete clip is sent.
    pub(super) fn is_whole_clip(&self) -> bool {
        self.way != Way::Rtsp
    }

    /// Gaps that are permitted because the input already has them. Where a file loops, its longer
    /// track decides. A client that encodes while others decode on the same cores starves, and so
    /// does the encoder behind it: viewers must get some of its video and audio, and the recording
    /// must have every frame that arrived.
    pub(super) fn seams(&self) -> Counted {
        match self.way {
            Way::Aiortc | Way::Chromium => Counted::holes(u64::MAX, f64::INFINITY),
            Way::File => Counted::holes(FILE_SEAM_PICTURES, FILE_SEAM_S),
            _ => Counted::default(),
        }
    }

    /// The clip, made if it does not exist; `None` if the client generates its media.
    pub(super) fn clip(&self) -> Option<PathBuf> {
        if self.container.is_empty() {
            return None;
        }
        let word =
            |text: Option<&str>| text.unwrap_or("none").split(' ').next().unwrap_or("").to_owned();
        let kind = if self.video == Some(H264_PLAIN) { "plain-" } else { "" };
        let (video, audio) = (word(self.video), word(self.audio));
        let name = format!("table-{kind}{video}-{audio}.{}", self.container);
        Some(once(&name, |unfinished| self.make(unfinished)))
    }

    fn make(&self, file: &Path) {
        let mut command = Command::new("ffmpeg");
        command.args("-v error -nostdin -y".split(' '));
        let picture = format!("testsrc2=s=320x180:r={CLIP_FPS}");
        let sources = [
            (self.video, picture.as_str(), "-pix_fmt yuv420p -g 25 -c:v"),
            (self.audio, "sine=f=440:r=48000", "-ac 2 -b:a 96k -c:a"),
        ];
        for (_, source, _) in sources.iter().filter(|(codec, _, _)| codec.is_some()) {
            command.args(["-f", "lavfi", "-i", source]);
        }
        for (codec, _, options) in sources {
            let Some(codec) = codec else { continue };
            command.args(options.split(' ')).args(codec.split(' '));
        }
        let status = command.args(["-t", CLIP_S]).arg(file).status();
        assert!(status.is_ok_and(|s| s.success()), "ffmpeg cannot make {}", file.display());
    }

    /// Sends the complete clip, or enough of an endless one.
    pub(super) async fn send(&self, appliance: &Appliance, stream: &Stream, clip: Option<&Path>) {
        let clip = clip.map(|clip| clip.display().to_string()).unwrap_or_default();
        let token = stream.publish_token();
        match self.way {
            Way::Srt | Way::SrtLatm => {
                let latm = if self.way == Way::SrtLatm { " -mpegts_flags latm" } else { "" };
                // Without `linger` ffmpeg disconnects before libsrt has sent everything.
                let url = format!("{}&linger=3&{SRT_LATENCY}", appliance.srt(stream));
                ffmpeg(&clip, &format!("mpegts{latm}"), &url).await;
            }
            Way::Rtmp => ffmpeg(&clip, "flv", &appliance.rtmp(stream)).await,
            Way::EnhancedRtmp => {
                let client = Client::python("remux.py", &[&clip, &appliance.rtmp(stream)]);
                client.last_event(SEND_MAX).await;
            }
            Way::Aiortc => {
                let codec = self.video.unwrap_or_default();
                let args =
                    [&stream.whip(), "--token", &token, "--codec", codec, "--seconds", CLIP_S];
                Client::python("whip.py", &args).last_event(SEND_MAX).await;
            }
            Way::Chromium => {
                let codec = self.video.unwrap_or_default();
                let args = [&stream.whip(), "--token", &token, "--codec", codec];
                let camera = Client::browser("whip", &args);
                self.wait_for_enough(stream).await;
                camera.finish().await;
            }
            Way::Rtsp => {
                let port = free_tcp().to_string();
                let mut server = Client::system_python("rtsp.py", &[&port, &clip]);
                server.wait_for("serving", s(20)).await;
                let url = format!("rtsp://127.0.0.1:{port}/camera");
                self.pull(stream, json!({ "type": "rtsp", "url": url })).await;
            }
            Way::File => self.pull(stream, json!({ "type": "file", "path": clip })).await,
        }
    }

    /// Lets the stream pull a source until it has delivered enough.
    async fn pull(&self, stream: &Stream, source: Value) {
        stream.api.must_patch(&stream.path(), &json!({ "source": source })).await;
        self.wait_for_enough(stream).await;
        let publish = json!({ "source": { "type": "publish" } });
        stream.api.must_patch(&stream.path(), &publish).await;
    }

    /// A track that never arrives shows in the table.
    async fn wait_for_enough(&self, stream: &Stream) {
        let feed = if self.video.is_some() { "video" } else { "audio" };
        let enough = if self.way == Way::Rtsp { RTSP_ENOUGH } else { ENOUGH };
        let has_come = async {
            loop {
                let snapshot = stream.snapshot().await;
                let feeds = snapshot["feeds"].as_array().into_iter().flatten();
                let mut given = feeds.filter(|f| f["name"] == feed);
                if given.any(|f| f["buffers"].as_u64() > Some(enough)) {
                    return;
                }
                tokio::time::sleep(super::ASKED_EVERY).await;
            }
        };
        let _ = tokio::time::timeout(ENOUGH_MAX, has_come).await;
    }
}

async fn ffmpeg(clip: &str, format: &str, url: &str) {
    let mut publisher = Ffmpeg::with(&format!("-re -i {clip} -c copy -f {format} {url}"));
    publisher.end(SEND_MAX).await;
}
