//! Bad input: bytes that no encoder sends, and encoders that misbehave.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rand::{RngCore, SeedableRng, rngs::StdRng};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UdpSocket};
use tokio::process::{Child, Command};

use super::client::output;
use super::media::{Coding, media};
use super::s;

/// Random bytes, reproducible.
pub(crate) fn garbage(length: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; length];
    StdRng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}

/// Sends bytes to a TCP port; the peer may close early.
pub(crate) async fn throw_tcp(port: u16, bytes: &[u8]) {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await.expect("the port is open");
    let _ = socket.write_all(bytes).await;
}

/// Sends datagrams to a UDP port.
pub(crate) async fn throw_udp(port: u16, datagrams: impl IntoIterator<Item = Vec<u8>>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    for datagram in datagrams {
        let _ = socket.send_to(&datagram, ("127.0.0.1", port)).await;
    }
}

/// Some seconds of MPEG-TS with these timestamps at the start.
pub(crate) async fn transport_stream(folder: PathBuf, seconds: u32, first_s: u32) -> Vec<u8> {
    let path = folder.join(format!("part-{seconds}-{first_s}.ts"));
    let source = media(Coding::H264BFrames);
    let (source, path_text) = (source.display().to_string(), path.display().to_string());
    let (seconds, first) = (seconds.to_string(), first_s.to_string());
    let args = [
        "-v",
        "error",
        "-y",
        "-i",
        &source,
        "-t",
        &seconds,
        "-c",
        "copy",
        "-muxdelay",
        "0",
        "-output_ts_offset",
        &first,
        "-f",
        "mpegts",
        &path_text,
    ];
    let (status, said) = output("ffmpeg", &args, s(30)).await;
    assert!(status.success(), "{said}");
    std::fs::read(path).expect("ffmpeg has written it")
}

/// An SRT caller that sends any bytes; it ends when dropped.
pub(crate) struct SrtPipe {
    child: Child,
}

impl SrtPipe {
    pub(crate) fn open(url: &str) -> Self {
        let child = Command::new("srt-live-transmit")
            .args(["-q", "-chunk:1316", "file://con", url])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("srt-tools are installed: run `make setup` first");
        Self { child }
    }

    /// Sends bytes evenly over a period; returns false if the other end has disconnected.
    pub(crate) async fn send(&mut self, bytes: &[u8], over: Duration) -> bool {
        let Some(stdin) = self.child.stdin.as_mut() else { return false };
        let chunks = bytes.chunks(1316);
        let step = over / u32::try_from(chunks.len().max(1)).unwrap_or(u32::MAX);
        let mut ticker = tokio::time::interval(step.max(Duration::from_micros(10)));
        for chunk in chunks {
            ticker.tick().await;
            if stdin.write_all(chunk).await.is_err() {
                return false;
            }
        }
        true
    }
}
