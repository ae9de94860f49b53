//! The settings of the RTMP server.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Error;

/// Settings of the RTMP server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether RTMP is listened for at all.
    pub enabled: bool,
    /// Address and port of RTMP in clear. The stream key crosses the network unencrypted.
    pub listen: SocketAddr,
    /// Address and port of RTMPS; not listened for when left out. Port 443 or 1936 by custom.
    pub tls_listen: Option<SocketAddr>,
    /// Certificate chain of RTMPS: a PEM file.
    pub tls_cert: Option<PathBuf>,
    /// Private key of RTMPS: a PEM file.
    pub tls_key: Option<PathBuf>,
    /// Most connections at once, publishers and strangers together.
    pub connections_max: usize,
    /// Most connections at once from one address.
    pub connections_per_ip_max: usize,
    /// A publisher that sends no media for so many seconds is disconnected, 2-300. The same
    /// publisher that comes back sooner is let in at once.
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
    /// Whether the settings fit together; the files are not looked at.
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

    /// Certificate and key, when RTMPS is on.
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
