//! Destination and format of logs.

use std::io::IsTerminal;

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

/// Section `[log]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `error`, `warn`, `info`, `debug`, `trace` or a filter: `info,auralink::ingress=debug`.
    pub level: String,
    /// Format of a line.
    pub format: Format,
}

impl Default for Config {
    fn default() -> Self {
        Self { level: "info".into(), format: Format::Text }
    }
}

/// Format of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Readable text.
    Text,
    /// One JSON object per line.
    Json,
}

impl Config {
    /// Checks the level.
    ///
    /// # Errors
    /// The reason, if it is neither a level nor a filter.
    pub fn check(&self) -> Result<(), String> {
        EnvFilter::try_new(&self.level).map(|_| ()).map_err(|e| e.to_string())
    }
}

/// Sends all tracing output to standard error from now on; `$RUST_LOG` overrides the level. A
/// second call changes nothing. Lines of sqlx and the HTTP libraries below `warn` are dropped
/// unless the filter names them.
pub fn init(config: &Config) {
    let quiet = "sqlx=warn,hyper=warn,rustls=warn,h2=warn";
    let wanted = std::env::var("RUST_LOG").unwrap_or_else(|_| config.level.clone());
    let filter = EnvFilter::try_new(format!("{quiet},{wanted}"))
        .unwrap_or_else(|_| EnvFilter::new(format!("{quiet},info")));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // Under systemd the journal adds timestamps.
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
