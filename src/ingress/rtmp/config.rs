//! The settings of the RTMP server.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Error;

/// Settings of the RTMP server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the server listens for RTMP.
    pub enabled: bool,
    /// Address and port of unencrypted RTMP. The stream key crosses the network unencrypted.
    pub listen: SocketAddr,
    /// Address and port of RTMPS; off if missing. By convention port 443 or 1936.
    pub tls_listen: Option<SocketAddr>,
    /// Certificate chain of RTMPS: a PEM file.
    pub tls_cert: Option<PathBuf>,
    /// Private key of RTMPS: a PEM file.
    pub tls_key: Option<PathBuf>,
    /// Maximum number of connections, including those that are not admitted yet.
    pub connections_max: usize,
    /// Maximum number of connections from one address.
    pub connections_per_ip_max: usize,
    /// Seconds without media after which a publisher is disconnected, 2-300. The same publisher is
    /// readmitted at once if it returns earlier.
    pub idle_timeout_s: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            listen: SocketAddr::from(([0, 0, 0, 0], 1935)),
            tls_listen: None,
            tls_cert: None,
            tls_key: None,
            connections_max: 256,
            connections_per_ip_max: 64,
            idle_timeout_s: 10,
        }
    }
}

impl Config {
    /// Checks that the settings fit together, without reading the files.
    ///
    /// # Errors
    /// [`Error::Config`], with the field.
    pub fn validate(&self) -> Result<(), Error> {
        if !(2..=300).contains(&self.idle_timeout_s) {
            return Err(Error::Config { field: "idle_timeout_s", message: "must be 2-300" });
        }
        if self.connections_max == 0 || self.connections_per_ip_max == 0 {
            let message = "0 lets nobody in: say `enabled = false` instead";
            return Err(Error::Config { field: "connections_max", message });
        }
        self.tls_files().map(|_| ())
    }

    /// Certificate and key. `None` if RTMPS is off.
    pub(super) fn tls_files(&self) -> Result<Option<(&Path, &Path)>, Error> {
        if self.tls_listen.is_none() {
            return Ok(None);
        }
        match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => Ok(Some((cert, key))),
            (None, _) => Err(Error::Config {
                field: "tls_cert",
                message: "`tls_listen` needs a certificate (PEM file)",
            }),
            (_, None) => Err(Error::Config {
                field: "tls_key",
                message: "`tls_listen` needs the key of the certificate (PEM file)",
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_contradicts_itself_is_named() {
        let check = |text: &str, field: Option<&str>| {
            let config: Config = toml::from_str(text).expect(text);
            let error = config.validate().err().map(|e| e.to_string());
            assert_eq!(error.is_some(), field.is_some(), "{error:?}");
            if let (Some(error), Some(field)) = (error, field) {
                assert!(error.contains(&format!("`ingress.rtmp.{field}`")), "{error}");
            }
        };
        check("", None);
        check("idle_timeout_s = 0", Some("idle_timeout_s"));
        check("connections_max = 0", Some("connections_max"));
        check("tls_listen = '0.0.0.0:1936'", Some("tls_cert"));
        check("tls_listen = '0.0.0.0:1936'\ntls_cert = 'a.pem'", Some("tls_key"));
        assert!(toml::from_str::<Config>("port = 1").is_err(), "unknown fields are refused");
    }
}
