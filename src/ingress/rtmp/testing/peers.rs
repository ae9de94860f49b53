//! Third-party programs as peers.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

/// ffmpeg with these arguments; killed when dropped.
pub(crate) fn ffmpeg(arguments: &[&str]) -> Child {
    Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "info", "-nostdin", "-nostats"])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("ffmpeg is installed")
}

/// ffmpeg that publishes H.264 with B-frames and AAC in real time.
pub(crate) fn publisher(url: &str) -> Child {
    ffmpeg(&[
        "-re",
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=320x180:rate=30",
        "-f",
        "lavfi",
        "-i",
        "sine=frequency=440:sample_rate=48000",
        "-c:v",
        "libx264",
        "-preset",
        "veryfast",
        "-bf",
        "2",
        "-g",
        "30",
        "-pix_fmt",
        "yuv420p",
        "-c:a",
        "aac",
        "-ac",
        "2",
        "-f",
        "flv",
        url,
    ])
}

/// The output of a program until it ends, and whether it succeeded.
pub(crate) async fn outcome(mut child: Child) -> (bool, String) {
    let mut said = String::new();
    let mut errors = child.stderr.take().expect("piped");
    let end = async {
        errors.read_to_string(&mut said).await.expect("readable");
        child.wait().await.expect("ends").success()
    };
    let good = tokio::time::timeout(Duration::from_secs(20), end).await;
    (good.expect("it ends by itself"), said)
}

/// Sends a signal to a program.
pub(crate) fn signal(child: &Child, name: &str) {
    let pid = child.id().expect("it runs").to_string();
    let sent = std::process::Command::new("kill").args(["-s", name, &pid]).status();
    assert!(sent.expect("kill is installed").success());
}

/// A self-signed certificate for `localhost` and its key, made by openssl.
pub(crate) fn certificate(folder: &Path) -> (PathBuf, PathBuf) {
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .stderr(Stdio::null())
        .status();
    assert!(made.expect("openssl is installed").success());
    (cert, key)
}
