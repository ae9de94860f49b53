//! Where logs go and what they look like.

use std::io::IsTerminal;

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

/// `[log]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,auralink::ingress=debug`.
    pub level: String,
    /// How a line looks.
    pub format: Format,
}

impl Default for Config {
    fn default() -> Self {
        Self { level: "info".into(), format: Format::Text }
    }
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// What is wrong with the level, in words.
    ///
    /// # Errors
    /// When it is neither a level nor a filter.
    pub fn check(&self) -> Result<(), String> {
        EnvFilter::try_new(&self.level).map(|_| ()).map_err(|e| e.to_string())
    }
}

/// Sends everything that is traced from now on to standard error; `$RUST_LOG` wins over the level.
/// A second call changes nothing. sqlx's and the HTTP libraries' own chatter stays out below
/// `warn`, unless the filter names them.
pub fn init(config: &Config) {
    let quiet = "sqlx=warn,hyper=warn,rustls=warn,h2=warn";
    let wanted = std::env::var("RUST_LOG").unwrap_or_else(|_| config.level.clone());
    let filter = EnvFilter::try_new(format!("{quiet},{wanted}"))
        .unwrap_or_else(|_| EnvFilter::new(format!("{quiet},info")));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // Under systemd the journal stamps each line itself.
    let _ = match (config.format, std::env::var_os("JOURNAL_STREAM").is_some()) {
        (Format::Json, _) => builder.json().flatten_event(true).try_init(),
        (Format::Text, true) => builder.without_time().try_init(),
        (Format::Text, false) => builder.try_init(),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_checked() {
        let check = |level: &str| Config { level: level.into(), ..Config::default() }.check();
        assert!(check("info").is_ok());
        assert!(check("info,auralink::ingress=debug").is_ok());
        assert!(check("auralink=loud").is_err());
    }
}
