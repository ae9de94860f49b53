//! The configuration file: composes each room's own settings.
//!
//! A value comes from the file, then from the environment, then from the command line; the later
//! wins. `docs/auralink.toml` is the manual: every setting with its default and its reason.
//!
//! Invariant: knows the rooms; no room knows it.

mod check;
mod diff;
mod load;
mod problem;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use check::writable;
pub use diff::{Diff, diff};
pub use load::{Flag, load, parse};
pub use problem::{Problem, Problems};

use crate::control::server;
use crate::egress::hls;
use crate::ingress::{file, rtmp, srt};
use crate::runtime::StreamSpec;
use crate::speech::{stt, translate, tts};
use crate::{models, telemetry, webrtc};

/// The manual: every setting with its default, commented.
pub const MANUAL: &str = include_str!("../../docs/auralink.toml");

/// Where an installed appliance has its configuration.
pub const INSTALLED: &str = "/etc/auralink/auralink.toml";

/// Everything that can be configured.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Folder of the database; see [`Config::state_dir`].
    pub state_dir: Option<PathBuf>,
    /// Folder of presets besides the built-in ones.
    pub presets: Option<PathBuf>,
    /// Whether a demo stream is shown.
    pub demo: bool,
    /// `[log]`.
    pub log: telemetry::Config,
    /// `[api]`.
    pub api: server::Config,
    /// `[rtmp]`.
    pub rtmp: rtmp::Config,
    /// `[srt]`.
    pub srt: srt::Config,
    /// `[webrtc]`.
    pub webrtc: webrtc::Config,
    /// `[sources]`.
    pub sources: file::Config,
    /// `[hls]`.
    pub hls: hls::Settings,
    /// `[recordings]`.
    pub recordings: Recordings,
    /// `[stt]`.
    pub stt: stt::Config,
    /// `[translate]`.
    pub translate: translate::Config,
    /// `[tts]`.
    pub tts: tts::Config,
    /// `[models]`.
    pub models: models::Config,
    /// `[limits]`.
    pub limits: Limits,
    /// `[[streams]]`: streams that the file owns.
    pub streams: Vec<StreamSpec>,
}

/// `[recordings]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recordings {
    /// Where recordings go; `recordings` in the state folder when left out.
    pub folder: Option<PathBuf>,
}

/// `[limits]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Most streams at once.
    pub streams: usize,
    /// Most viewers of all streams at once.
    pub viewers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { streams: 64, viewers: 500 }
    }
}

impl Config {
    /// Where the database is: `state_dir`, or what systemd gives (`$STATE_DIRECTORY`), or
    /// `/var/lib/auralink` for a program installed under `/usr` or `/opt`, or `./state`.
    pub fn state_dir(&self) -> PathBuf {
        let systemd = || std::env::var_os("STATE_DIRECTORY").map(PathBuf::from);
        let installed = || {
            let program = std::env::current_exe().ok()?;
            let system = program.starts_with("/usr") || program.starts_with("/opt");
            system.then(|| PathBuf::from("/var/lib/auralink"))
        };
        let chosen = self.state_dir.clone().or_else(systemd).or_else(installed);
        chosen.unwrap_or_else(|| PathBuf::from("state"))
    }

    /// Where recordings go.
    pub fn recordings(&self) -> PathBuf {
        self.recordings.folder.clone().unwrap_or_else(|| self.state_dir().join("recordings"))
    }

    /// Every port that is listened on: what for, where, and whether it is UDP.
    pub fn listeners(&self) -> Vec<(&'static str, SocketAddr, bool)> {
        let mut all = vec![("API", self.api.listen, false)];
        if self.rtmp.enabled {
            all.push(("RTMP", self.rtmp.listen, false));
            all.extend(self.rtmp.tls_listen.map(|at| ("RTMPS", at, false)));
        }
        if self.srt.enabled {
            all.push(("SRT", self.srt.listen, true));
        }
        all
    }

    /// Everything that parses but cannot work, at once. Looks at the disk for files that are named.
    ///
    /// # Errors
    /// All problems, each with its field and what to do.
    pub fn check(&self) -> Result<(), Problems> {
        check::check(self)
    }
}

/// The file to read: the one that is named, else `$AURALINK_CONFIG`, else the installed one if
/// there is one, else none.
pub fn find(named: Option<&Path>) -> Option<PathBuf> {
    let environment = || std::env::var_os("AURALINK_CONFIG").map(PathBuf::from);
    let installed = || Some(PathBuf::from(INSTALLED)).filter(|p| p.exists());
    named.map(Path::to_owned).or_else(environment).or_else(installed)
}

#[cfg(test)]
mod manual_tests;
