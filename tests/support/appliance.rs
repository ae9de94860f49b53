//! A real appliance: the `auralink` binary on free ports with a state folder of its own.

use std::fs::{self, File};
use std::net::{TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::api::{Api, Stream};
use super::fault::Conditions;
use super::fault::disk::SmallDisk;
use super::line::Place;
use super::usage::Usage;
use super::{eventually, s, signal};

/// The admin token of the tests.
pub(crate) const ADMIN: &str = "admin-token-of-the-tests-0123456789abcdef";

/// Time limit for a start; on a loaded machine mostly probing of the encoders.
const START_MAX: Duration = s(30);

/// Tests that may have an appliance at the same time: with one of them, half of two cores is idle.
const TURNS: u32 = 2;

/// Ports of one appliance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) http: u16,
    pub(crate) rtmp: u16,
    pub(crate) srt: u16,
}

/// A running appliance; it is killed when dropped, and shows the end of its log when the test
/// fails.
pub(crate) struct Appliance {
    process: Option<std::process::Child>,
    pub(crate) ports: Ports,
    pub(crate) api: Api,
    conditions: Conditions,
    /// File system of its state, if not the temporary folder's disk. Unmounted before the folder is
    /// deleted, so it comes first.
    disk: Option<SmallDisk>,
    /// Its configuration, log and state folder.
    home: TempDir,
    demo: bool,
    /// Its network namespace, if not that of the test.
    place: Option<Place>,
    /// Its test's place among those that run at once, regardless of `--test-threads`.
    _turn: Option<OwnedSemaphorePermit>,
}

impl Appliance {
    /// Starts an empty one and waits until it is ready.
    pub(crate) async fn start() -> Self {
        Self::start_with("").await
    }

    /// The same with additional configuration: `api.open = true`, then sections. `{here}` stands for the
    /// base URL of the appliance.
    pub(crate) async fn start_with(extra_config: &str) -> Self {
        Self::start_in(Some(turns(1).await), extra_config, false, None).await
    }

    /// The same for a test that measures time, which an appliance of another test would disturb:
    /// none runs beside this one.
    pub(crate) async fn start_alone(extra_config: &str) -> Self {
        Self::start_in(Some(turns(TURNS).await), extra_config, false, None).await
    }

    /// With the demo stream, whose captions need most of two cores; none runs beside it.
    pub(crate) async fn start_demo() -> Self {
        Self::start_in(Some(turns(TURNS).await), "", true, None).await
    }

    /// Starts an empty one under these conditions. `None`, with a message, if they are not
    /// available.
    pub(crate) async fn start_under(conditions: Conditions, extra_config: &str) -> Option<Self> {
        let mut appliance = Self::prepare(Some(turns(1).await), false, None);
        if let Some(mib) = conditions.state_disk_mib {
            appliance.disk = Some(SmallDisk::mount(&appliance.state(), mib)?);
        }
        appliance.conditions = conditions;
        appliance.write_config(extra_config);
        appliance.launch().await;
        Some(appliance)
    }

    /// Another one beside this one, for tests between two.
    pub(crate) async fn start_beside(&self, extra_config: &str) -> Self {
        Self::start_in(None, extra_config, false, None).await
    }

    /// One at an end of a line.
    pub(crate) async fn start_on(end: &Place) -> Self {
        Self::start_in(Some(turns(1).await), "", false, Some(end.clone())).await
    }

    /// Two appliances, one at each end of a line.
    pub(crate) async fn start_at(ends: &[Place; 2]) -> [Self; 2] {
        let at = |end: &Place| Some(end.clone());
        let first = Self::start_in(Some(turns(1).await), "", false, at(&ends[0])).await;
        [first, Self::start_in(None, "", false, at(&ends[1])).await]
    }

    async fn start_in(
        turn: Option<OwnedSemaphorePermit>,
        extra_config: &str,
        demo: bool,
        place: Option<Place>,
    ) -> Self {
        let mut appliance = Self::prepare(turn, demo, place);
        appliance.write_config(extra_config);
        appliance.launch().await;
        appliance
    }

    /// Ports and folders of one that is not started yet.
    fn prepare(turn: Option<OwnedSemaphorePermit>, demo: bool, place: Option<Place>) -> Self {
        let host = place.as_ref().map_or("127.0.0.1", |p| &p.outside);
        let ports = Ports { http: free_tcp(), rtmp: free_tcp(), srt: free_udp() };
        let home = tempfile::Builder::new()
            .prefix("auralink-test-")
            .tempdir()
            .expect("the temporary folder is writable");
        fs::create_dir(home.path().join("state")).expect("the temporary folder is writable");
        Self {
            process: None,
            ports,
            api: Api::new(format!("http://{host}:{}", ports.http), ADMIN),
            conditions: Conditions::default(),
            disk: None,
            home,
            demo,
            place,
            _turn: turn,
        }
    }

    /// Starts the process again after [`Self::kill`] or [`Self::stop`], on the same state.
    pub(crate) async fn launch(&mut self) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .expect("the state folder is writable");
        let program = env!("CARGO_BIN_EXE_auralink");
        let mut command = match &self.place {
            None => self.conditions.command(program),
            // `ip` executes the program in its own process: the process id is the appliance's.
            Some(place) => {
                let mut inside = Command::new("ip");
                inside.args(["netns", "exec", &place.namespace, program]);
                inside
            }
        };
        let child = command
            .args(["run", if self.demo { "--demo" } else { "--no-demo" }, "--config"])
            .arg(self.config())
            .env("AURALINK_ADMIN_TOKEN", ADMIN)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        self.process = Some(child);
        let api = self.api.clone();
        eventually("the appliance is ready", START_MAX, || async {
            if let Some(ended) = self.ended() {
                panic!("the appliance ended while starting: {ended}\n{}", self.log_tail());
            }
            match api.get("/readyz").await {
                Ok(answer) if answer.status == 200 => Ok(()),
                Ok(answer) => Err(format!("{} {}", answer.status, answer.text)),
                Err(error) => Err(error),
            }
        })
        .await;
    }

    fn ended(&self) -> Option<String> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).ok();
        let state = stat.as_deref().and_then(|s| s.rsplit_once(") "))?.1.chars().next();
        matches!(state, Some('Z' | 'X')).then(|| "its process is gone".to_owned())
    }

    /// Rewrites the configuration with other extra lines; call [`Self::reload`] to apply them.
    pub(crate) fn write_config(&self, extra: &str) {
        let Ports { http, rtmp, srt } = self.ports;
        let state = self.state();
        let state = state.display();
        let extra = extra.replace("{here}", &self.api.url(""));
        let listen = if self.place.is_some() { "0.0.0.0" } else { "127.0.0.1" };
        let text = format!(
            "state_dir = \"{state}\"\n\
             api.listen = \"{listen}:{http}\"\n\
             rtmp.listen = \"{listen}:{rtmp}\"\n\
             srt.listen = \"{listen}:{srt}\"\n\
             {extra}\n"
        );
        fs::write(self.config(), text).expect("the state folder is writable");
    }

    /// Sends SIGHUP.
    pub(crate) fn reload(&self) {
        signal(self.pid(), "-HUP");
    }

    /// Sends SIGTERM and waits for a successful exit; returns how long it took.
    pub(crate) async fn stop(&mut self) -> Duration {
        let start = Instant::now();
        signal(self.pid(), "-TERM");
        let mut process = self.process.take().expect("it runs");
        let waited = tokio::task::spawn_blocking(move || process.wait());
        let status = tokio::time::timeout(s(20), waited).await;
        let ended_well = matches!(&status, Ok(Ok(Ok(status))) if status.success());
        assert!(ended_well, "it ended with {status:?}\n{}", self.log_tail());
        start.elapsed()
    }

    /// Sends SIGKILL, as a power cut would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Its address as seen from the test.
    fn host(&self) -> &str {
        self.place.as_ref().map_or("127.0.0.1", |place| &place.outside)
    }

    /// Address for publishing a stream by RTMP.
    pub(crate) fn rtmp(&self, stream: &Stream) -> String {
        let (port, token) = (self.ports.rtmp, stream.publish_token());
        format!("rtmp://{}:{port}/live/{}?token={token}", self.host(), stream.name)
    }

    /// Address for publishing a stream by SRT.
    pub(crate) fn srt(&self, stream: &Stream) -> String {
        let (port, token) = (self.ports.srt, stream.publish_token());
        format!("srt://{}:{port}?streamid=publish:{}:{token}", self.host(), stream.name)
    }

    /// Address for playing a stream by SRT.
    pub(crate) fn srt_play(&self, stream: &Stream) -> String {
        let (port, token) = (self.ports.srt, stream.play_token());
        format!("srt://{}:{port}?streamid=read:{}:{token}", self.host(), stream.name)
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.as_ref().map_or(0, std::process::Child::id)
    }

    /// Its current use of resources.
    pub(crate) fn usage(&self) -> Usage {
        Usage::of(self.pid()).unwrap_or_else(|| panic!("it is gone\n{}", self.log_tail()))
    }

    /// Its state folder.
    pub(crate) fn state(&self) -> PathBuf {
        self.home.path().join("state")
    }

    /// The disk of [`Conditions::state_disk_mib`].
    pub(crate) fn disk(&self) -> &SmallDisk {
        self.disk.as_ref().expect("it was started with a disk of its own")
    }

    fn config(&self) -> PathBuf {
        self.home.path().join("auralink.toml")
    }

    fn log(&self) -> PathBuf {
        self.home.path().join("appliance.log")
    }

    /// Its log so far.
    pub(crate) fn log_text(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    fn log_tail(&self) -> String {
        let text = self.log_text();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }
}

impl Drop for Appliance {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- end of the appliance's log\n{}\n---", self.log_tail());
        }
    }
}

/// Waits for so many of the turns.
async fn turns(count: u32) -> OwnedSemaphorePermit {
    static FREE: LazyLock<Arc<Semaphore>> =
        LazyLock::new(|| Arc::new(Semaphore::new(TURNS as usize)));
    FREE.clone().acquire_many_owned(count).await.expect("it is never closed")
}

/// A TCP port that is free now. Another process could take it first, but not on a test machine.
pub(crate) fn free_tcp() -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    socket.local_addr().expect("it is bound").port()
}

/// The same for UDP.
pub(crate) fn free_udp() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.local_addr().expect("it is bound").port()
}
