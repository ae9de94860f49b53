//! Clients as separate processes: aiortc, Chromium, Firefox, pion, FFmpeg, the measuring tool.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::line::Place;
use super::needs::skip;
use super::root;

/// Debian's own Python, which has bindings for GStreamer.
const SYSTEM_PYTHON: &str = "/usr/bin/python3";

/// Debian's Firefox.
const FIREFOX: &str = "/usr/bin/firefox-esr";

/// A running client that reports events as lines of JSON. It is killed when dropped.
pub(crate) struct Client {
    name: String,
    child: Child,
    /// Closing it makes the client report and end.
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Client {
    /// One of the Python clients: `whep.py`, `whip.py`, `measure.py`.
    pub(crate) fn python(script: &str, args: &[&str]) -> Self {
        let mut command = Command::new(root().join(".venv/bin/python"));
        command.arg(root().join("tests/clients").join(script)).args(args);
        Self::start(script, command)
    }

    /// The same at one end of a line.
    pub(crate) fn python_at(place: &Place, script: &str, args: &[&str]) -> Self {
        let mut command = within(Some(place), root().join(".venv/bin/python"));
        command.arg(root().join("tests/clients").join(script)).args(args);
        Self::start(script, command)
    }

    /// The RTSP camera with a test pattern, on a free port; `None`, noted, if Debian's
    /// Python has no GStreamer.
    pub(crate) fn camera() -> Option<Self> {
        let probe = "import gi; gi.require_version('GstRtspServer', '1.0')";
        let there = std::process::Command::new(SYSTEM_PYTHON).args(["-c", probe]).output();
        if there.is_ok_and(|probe| probe.status.success()) {
            return Some(Self::system_python("rtsp.py", &[]));
        }
        skip("python3-gi and gir1.2-gst-rtsp-server-1.0, from `make setup`");
        None
    }

    /// A Python client that needs Debian's own Python: `rtsp.py`.
    pub(crate) fn system_python(script: &str, args: &[&str]) -> Self {
        let mut command = Command::new(SYSTEM_PYTHON);
        command.arg(root().join("tests/clients").join(script)).args(args);
        Self::start(script, command)
    }

    /// Chromium with a player of DASH: `dash.js` or `shaka`.
    pub(crate) fn dash(player: &str, args: &[&str]) -> Self {
        let mut command = Command::new("node");
        command.arg(root().join("tests/clients/dash.mjs")).args(["--player", player]).args(args);
        Self::start(player, command)
    }

    /// Chromium: `whep`, `whip` or `hls`.
    pub(crate) fn browser(mode: &str, args: &[&str]) -> Self {
        let mut command = Command::new("node");
        command.arg(root().join("tests/clients/browser.mjs")).arg(mode).args(args);
        Self::start(&format!("browser {mode}"), command)
    }

    /// The same at one end of a line.
    pub(crate) fn browser_at(place: &Place, mode: &str, args: &[&str]) -> Self {
        let mut command = within(Some(place), "node");
        command.arg(root().join("tests/clients/browser.mjs")).arg(mode).args(args);
        Self::start(&format!("browser {mode}"), command)
    }

    /// Firefox: `whep` or `page`; `None`, noted, if it is not installed.
    pub(crate) fn firefox(place: Option<&Place>, mode: &str, args: &[&str]) -> Option<Self> {
        if !Path::new(FIREFOX).exists() {
            skip("firefox-esr, from `make setup`");
            return None;
        }
        let mut command = within(place, "node");
        command.arg(root().join("tests/clients/browser.mjs")).args([mode, "--firefox"]).args(args);
        Some(Self::start(&format!("firefox {mode}"), command))
    }

    /// pion; `None`, noted, if it is not built.
    pub(crate) fn pion(args: &[&str]) -> Option<Self> {
        let program = root().join("tests/clients/pion/pion");
        if !program.exists() {
            skip("tests/clients/pion/pion, which `make setup` builds with Go");
            return None;
        }
        let mut command = Command::new(program);
        command.args(args);
        Some(Self::start("pion", command))
    }

    fn start(name: &str, mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command
            .spawn()
            .unwrap_or_else(|e| panic!("{name} does not start ({e}): run `make setup` first"));
        let stdout = child.stdout.take().expect("stdout is piped");
        let stdin = child.stdin.take();
        Self { name: name.into(), child, stdin, lines: BufReader::new(stdout).lines() }
    }

    /// Waits for an event and returns it. Any `refused` or `failed` before it fails the test.
    pub(crate) async fn wait_for(&mut self, event: &str, max: Duration) -> Value {
        self.wait_until(event, max, |_| true).await
    }

    /// Waits for an event that fulfils a condition.
    pub(crate) async fn wait_until(
        &mut self,
        event: &str,
        max: Duration,
        mut condition: impl FnMut(&Value) -> bool,
    ) -> Value {
        let name = self.name.clone();
        let mut last = Value::Null;
        let waited = tokio::time::timeout(max, async {
            loop {
                let Some(found) = self.next_event().await else {
                    panic!("{name} ended without `{event}`; its last words: {last}");
                };
                if found["event"] == event && condition(&found) {
                    return found;
                }
                let bad = found["event"] == "refused" || found["event"] == "failed";
                assert!(!bad, "{name} waited for `{event}`: {found}");
                last = found;
            }
        });
        match waited.await {
            Ok(found) => found,
            Err(_) => panic!("{name}: no fitting `{event}` within {max:?}; its last words: {last}"),
        }
    }

    /// The next event; `None` at the end.
    pub(crate) async fn next_event(&mut self) -> Option<Value> {
        loop {
            let line = self.lines.next_line().await.expect("clients write UTF-8")?;
            match serde_json::from_str(&line) {
                Ok(event) => return Some(event),
                Err(_) => eprintln!("{}: {line}", self.name),
            }
        }
    }

    /// Writes a line to the client.
    pub(crate) async fn tell(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("it has not been told to end");
        stdin.write_all(format!("{line}\n").as_bytes()).await.expect("it reads");
    }

    /// Ends the client and returns its report.
    pub(crate) async fn finish(mut self) -> Value {
        drop(self.stdin.take());
        self.wait_for("report", Duration::from_secs(20)).await
    }

    /// Ends the client and returns its last event, whatever it is.
    pub(crate) async fn last_event(mut self, max: Duration) -> Value {
        drop(self.stdin.take());
        let mut last = Value::Null;
        let end = async {
            while let Some(event) = self.next_event().await {
                last = event;
            }
        };
        let _ = tokio::time::timeout(max, end).await;
        last
    }

    /// Waits for the report of a client that ends on its own.
    pub(crate) async fn report(mut self, max: Duration) -> Value {
        self.wait_for("report", max).await
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Kills it without warning, like a crash or a pulled cable.
    pub(crate) async fn kill(mut self) {
        let _ = self.child.kill().await;
    }
}

/// A program in the network of a place, or in that of the test.
fn within(place: Option<&Place>, program: impl AsRef<OsStr>) -> Command {
    let Some(place) = place else { return Command::new(program) };
    // `ip` executes the program in its own process.
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &place.namespace]).arg(program);
    command
}

/// Measures a file or URL with `measure.py`.
pub(crate) async fn measure(url: &str, seconds: u32, skip_s: u32) -> Value {
    let (seconds, skip) = (seconds.to_string(), skip_s.to_string());
    let client = Client::python("measure.py", &[url, "--seconds", &seconds, "--skip", &skip]);
    client.report(Duration::from_secs(60)).await
}

/// Runs a command line to its end; returns its exit status and output.
pub(crate) async fn output(program: &str, args: &[&str], max: Duration) -> (ExitStatus, String) {
    let run = Command::new(program).args(args).stdin(Stdio::null()).kill_on_drop(true).output();
    let done = tokio::time::timeout(max, run)
        .await
        .unwrap_or_else(|_| panic!("{program} {args:?} did not end within {max:?}"))
        .unwrap_or_else(|e| panic!("{program} does not start ({e}): run `make setup` first"));
    let mut text = String::from_utf8_lossy(&done.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&done.stderr));
    (done.status, text)
}
