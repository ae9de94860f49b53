//! Flags of `run` and the environment, and the configuration that they lead to.

use std::path::PathBuf;

use clap::Args;

use crate::config::{self, Config, Flag, Problems};

/// Flags of `run`; each overrides the environment and the file.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct RunArguments {
    /// Configuration file.
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Folder of the database.
    #[arg(long, value_name = "FOLDER")]
    pub(super) state: Option<PathBuf>,
    /// Address and port of API, page, WHIP, WHEP, HLS and DASH.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(super) listen: Option<String>,
    /// Show the demo stream.
    #[arg(long, overrides_with = "no_demo")]
    pub(super) demo: bool,
    /// Do not run the demo stream.
    #[arg(long, overrides_with = "demo")]
    pub(super) no_demo: bool,
}

impl RunArguments {
    /// The settings that the flags override.
    pub(super) fn flags(&self) -> Vec<Flag> {
        let mut flags = Vec::new();
        let mut add = |field, value: Option<String>| {
            flags.extend(value.map(|value| Flag { field, value }));
        };
        add("state_dir", self.state.as_ref().map(|p| p.display().to_string()));
        add("api.listen", self.listen.clone());
        add("demo", (self.demo || self.no_demo).then(|| self.demo.to_string()));
        flags
    }

    /// The checked configuration with environment and flags applied.
    pub(super) fn load(&self) -> Result<Config, Problems> {
        let file = config::find(self.config.as_deref());
        let config = config::load(file.as_deref(), environment(), &self.flags())?;
        config.check()?;
        Ok(config)
    }
}

/// Environment variables that are valid UTF-8.
pub(super) fn environment() -> Vec<(String, String)> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text).collect()
}
