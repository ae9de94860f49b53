//! The configuration file: composes the settings of the rooms.
//!
//! A value comes from the file, the environment or the command line; the later source wins.
//! `docs/auralink.toml` is the manual: every setting with its default and its reason.
//!
//! Invariant: this module knows the rooms; no room knows it.

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

use crate::control::{server, store};
use crate::egress::segments;
use crate::ingress::{file, rtmp, srt};
use crate::runtime::StreamSpec;
use crate::speech::{stt, translate, tts};
use crate::{cluster, models, onnx, telemetry, webrtc};

/// The manual: every setting with its default, commented out.
pub const MANUAL: &str = include_str!("../../docs/auralink.toml");

/// Path of the configuration on an installed appliance.
pub const INSTALLED: &str = "/etc/auralink/auralink.toml";

/// All settings.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Folder of the database; see [`Config::state_dir`].
    pub state_dir: Option<PathBuf>,
    /// Folder of additional presets.
    pub presets: Option<PathBuf>,
    /// Whether to run a demo stream.
    pub demo: bool,
    /// `[log]`: logging.
    pub log: telemetry::Config,
    /// `[database]`: where streams, settings and captions are stored.
    pub database: store::Config,
    /// `[api]`: the HTTP server.
    pub api: server::Config,
    /// `[rtmp]`: the RTMP server.
    pub rtmp: rtmp::Config,
    /// `[srt]`: the SRT listener.
    pub srt: srt::Config,
    /// `[webrtc]`: WebRTC connections.
    pub webrtc: webrtc::Config,
    /// `[cluster]`: the appliances that share streams.
    pub cluster: cluster::Config,
    /// `[sources]`: restrictions on file sources.
    pub sources: file::Config,
    /// `[hls]`: segmentation for HLS and DASH.
    pub hls: segments::Settings,
    /// `[recordings]`: location of the recordings.
    pub recordings: Recordings,
    /// `[stt]`: speech-to-text.
    pub stt: stt::Config,
    /// `[translate]`: translation.
    pub translate: translate::Config,
    /// `[tts]`: text-to-speech.
    pub tts: tts::Config,
    /// `[onnx]`: models of ONNX Runtime.
    pub onnx: onnx::Config,
    /// `[models]`: storage of models.
    pub models: models::Config,
    /// `[limits]`: limits of the appliance.
    pub limits: Limits,
    /// `[[streams]]`: streams owned by the file.
    pub streams: Vec<StreamSpec>,
}

/// `[recordings]`: location of the recordings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recordings {
    /// Folder of the recordings; by default `recordings` in the state folder.
    pub folder: Option<PathBuf>,
}

/// `[limits]`: limits of the appliance.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Maximum number of streams.
    pub streams: usize,
    /// Maximum number of viewers of all streams together.
    pub viewers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { streams: 64, viewers: 500 }
    }
}

impl Config {
    /// Folder of the database: `state_dir`, else the one that systemd sets (`$STATE_DIRECTORY`),
    /// else `/var/lib/auralink` for a program under `/usr` or `/opt`, else `./state`.
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

    /// Folder of the recordings.
    pub fn recordings(&self) -> PathBuf {
        self.recordings.folder.clone().unwrap_or_else(|| self.state_dir().join("recordings"))
    }

    /// Folder of the DVR windows.
    pub fn dvr(&self) -> PathBuf {
        self.state_dir().join("dvr")
    }

    /// Every listening port: purpose, address, and whether it is UDP.
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
}

/// The configuration file to read: the given one, else `$AURALINK_CONFIG`, else the installed one
/// if it exists, else none.
pub fn find(named: Option<&Path>) -> Option<PathBuf> {
    let environment = || std::env::var_os("AURALINK_CONFIG").map(PathBuf::from);
    let installed = || Some(PathBuf::from(INSTALLED)).filter(|p| p.exists());
    named.map(Path::to_owned).or_else(environment).or_else(installed)
}

#[cfg(test)]
mod manual_tests;
