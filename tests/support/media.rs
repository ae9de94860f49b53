//! Test media, made once by FFmpeg: a white flash and a 1 kHz beep of 100 ms each second, in sync.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use super::root;

/// Length of each file, in seconds. Publishers loop it; most tests end before it does.
const LENGTH_S: &str = "120";

const PICTURE: &str = "testsrc2=s=640x360:r=30,lutyuv=y=val*0.5,\
    drawbox=c=white:t=fill:enable='lt(mod(t,1),0.099)'";
const SOUND: &str = "sine=f=1000:r=48000:samples_per_frame=480,\
    volume='if(lt(mod(t,1),0.0999),4,0)':eval=frame";

/// Codecs of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// H.264 High with two B-frames in a row and AAC: what OBS and FFmpeg send by default.
    H264BFrames,
    /// H.264 constrained baseline and Opus, in Matroska: passes to WebRTC unchanged.
    H264Baseline,
    /// H.265 and AAC.
    H265,
    /// VP8 and Opus, in WebM.
    Vp8,
}

impl Coding {
    fn file(self) -> &'static str {
        match self {
            Self::H264BFrames => "h264-bframes.mp4",
            Self::H264Baseline => "h264-baseline.mkv",
            Self::H265 => "h265.mp4",
            Self::Vp8 => "vp8.webm",
        }
    }

    fn arguments(self) -> &'static str {
        match self {
            Self::H264BFrames => {
                "-c:v libx264 -preset veryfast -profile:v high -bf 2 -b:v 800k -g 60 \
                 -c:a aac -b:a 96k -ac 2"
            }
            Self::H264Baseline => {
                "-c:v libx264 -preset veryfast -profile:v baseline -bf 0 -b:v 800k -g 60 \
                 -c:a libopus -b:a 96k -ac 2"
            }
            Self::H265 => {
                "-c:v libx265 -preset ultrafast -x265-params log-level=error -b:v 600k -g 60 \
                 -tag:v hvc1 -c:a aac -b:a 96k -ac 2"
            }
            Self::Vp8 => {
                "-c:v libvpx -deadline realtime -cpu-used 8 -b:v 800k -g 60 \
                 -c:a libopus -b:a 96k -ac 2"
            }
        }
    }
}

/// The file of this coding, made if it does not exist.
pub(crate) fn media(coding: Coding) -> PathBuf {
    once(coding.file(), |unfinished| make(coding, unfinished))
}

/// The file of this name among the test media; `make` writes it if it does not exist.
pub(crate) fn once(name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    // One at a time: tests on other threads may need the same file.
    static MAKING: Mutex<()> = Mutex::new(());
    let _turn = MAKING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let folder = target_folder().join("test-media");
    let file = folder.join(name);
    if !file.exists() {
        fs::create_dir_all(&folder).expect("target/ is writable");
        let unfinished = folder.join(format!("unfinished-{name}"));
        make(&unfinished);
        fs::rename(&unfinished, &file).expect("the file was written");
    }
    file
}

fn make(coding: Coding, file: &Path) {
    let mut command = Command::new("ffmpeg");
    command.args("-v error -nostdin -y -f lavfi -i".split(' ')).arg(PICTURE);
    command.args(["-f", "lavfi", "-i", SOUND, "-t", LENGTH_S]);
    command.args(coding.arguments().split_whitespace()).arg(file);
    let status = command.status().expect("ffmpeg is installed: run `make setup` first");
    assert!(status.success(), "ffmpeg cannot make {coding:?}");
}

/// Cargo's target folder, which contains the binary under test in a subfolder.
pub(crate) fn target_folder() -> PathBuf {
    let binary = Path::new(env!("CARGO_BIN_EXE_auralink"));
    binary.ancestors().nth(2).map_or_else(|| root().join("target"), Path::to_path_buf)
}
