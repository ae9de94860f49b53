//! Address to call: `srt://host:port?streamid=…&passphrase=…&latency=…`.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::{Error, Socket};
use crate::flow::{self, Blame};
use crate::media::Secret;

/// Time limit for the listener's answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// libsrt's default; it suits links with a round-trip time up to about 30 ms.
const LATENCY_DEFAULT: Duration = Duration::from_millis(120);

/// Highest latency in ms; larger values are probably in microseconds.
const LATENCY_MAX_MS: u64 = 30_000;

/// A listener to call, with the options of its URL. Displays only host and port: the rest may hold
/// keys.
#[derive(Clone)]
pub struct Target {
    host: String,
    port: u16,
    stream_id: Secret,
    passphrase: Secret,
    key_length: u8,
    latency: Duration,
}

/// Errors in the URL of a target. They never repeat a value, which may be a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// The address is not `srt://host:port`.
    #[error("an SRT address looks like srt://host:port?streamid=…&passphrase=…&latency=120")]
    Form,
    /// An unknown option. Its name is not repeated: it may be the part of a passphrase after a `&`.
    #[error(
        "option {0} of the SRT address does not exist: use streamid, passphrase, pbkeylen, latency, \
         mode, and write a `&` within a value as %26"
    )]
    UnknownOption(usize),
    /// An option with an invalid value.
    #[error("`{option}` of the SRT address must be {must_be}")]
    Value {
        /// Name of the option.
        option: &'static str,
        /// The allowed values.
        must_be: &'static str,
    },
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        // Stream ids begin with `#!::`; users write the `#` unescaped, and URLs of this scheme have
        // no fragment.
        let url = url::Url::parse(&text.trim().replace('#', "%23"));
        let url = url.map_err(|_| TargetError::Form)?;
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = url.port().filter(|_| url.scheme() == "srt" && !host.is_empty());
        let mut target = Self {
            host,
            port: port.ok_or(TargetError::Form)?,
            stream_id: Secret::default(),
            passphrase: Secret::default(),
            key_length: 0,
            latency: LATENCY_DEFAULT,
        };
        let pairs = url.query().unwrap_or_default().split('&').filter(|p| !p.is_empty());
        for (index, pair) in pairs.enumerate() {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(value).decode_utf8().map_err(|_| TargetError::Form)?;
            target.set(key, &value, index + 1)?;
        }
        Ok(target)
    }
}

impl Target {
    /// Sets an option; `position` counts from 1.
    fn set(&mut self, key: &str, value: &str, position: usize) -> Result<(), TargetError> {
        let wrong = |option, must_be| Err(TargetError::Value { option, must_be });
        match key {
            "streamid" if value.len() > 512 => return wrong("streamid", "at most 512 bytes long"),
            "streamid" => self.stream_id = Secret::new(value),
            "passphrase" => self.set_passphrase(Secret::new(value))?,
            "pbkeylen" => match value {
                "0" | "16" | "24" | "32" => self.key_length = value.parse().unwrap_or(0),
                _ => return wrong("pbkeylen", "16, 24 or 32"),
            },
            "latency" => match value.parse() {
                Ok(ms) if ms <= LATENCY_MAX_MS => self.latency = Duration::from_millis(ms),
                _ => return wrong("latency", "milliseconds, at most 30000"),
            },
            "mode" if value == "caller" => {}
            "mode" => return wrong("mode", "`caller`: the other end has to listen"),
            // Options that other programs need; only these fixed values are supported here.
            "transtype" if value == "live" => {}
            "pkt_size" if value == "1316" => {}
            _ => return Err(TargetError::UnknownOption(position)),
        }
        Ok(())
    }

    /// Sets the passphrase; an empty one means none.
    ///
    /// # Errors
    /// When its length is not 10-79 bytes.
    pub fn set_passphrase(&mut self, passphrase: Secret) -> Result<(), TargetError> {
        if !matches!(passphrase.expose().len(), 0 | 10..=79) {
            return Err(TargetError::Value { option: "passphrase", must_be: "10-79 bytes long" });
        }
        self.passphrase = passphrase;
        Ok(())
    }

    /// Calls the listener.
    ///
    /// # Errors
    /// If it does not answer or refuses; `blame` is the side of the appliance that it is on.
    pub async fn connect(&self, blame: Blame) -> Result<Arc<Socket>, flow::Error> {
        let target = self.clone();
        let connected = tokio::task::spawn_blocking(move || target.connect_blocking()).await;
        let connected = connected.map_err(|e| flow::Error::build(self.to_string(), e))?;
        connected.map(Arc::new).map_err(|e| {
            let hint = match &e {
                Error::Rejected(_) => "check streamid and passphrase of the address",
                _ => "check that something listens there and that UDP passes the firewalls",
            };
            flow::Error::refused(blame, format!("{self}: {e}"), hint)
        })
    }

    fn connect_blocking(&self) -> Result<Socket, Error> {
        let failed = |message: String| Error::Resolve { host: self.host.clone(), message };
        let addresses: Vec<SocketAddr> = (self.host.as_str(), self.port)
            .to_socket_addrs()
            .map_err(|e| failed(e.to_string()))?
            .take(4)
            .collect();
        let mut last = failed("it is unknown".into());
        for address in addresses {
            match self.connect_to(address) {
                Ok(socket) => return Ok(socket),
                Err(e) => last = e,
            }
        }
        Err(last)
    }

    fn connect_to(&self, address: SocketAddr) -> Result<Socket, Error> {
        let socket = Socket::new()?;
        socket.set_latency(self.latency)?;
        if !self.stream_id.is_empty() {
            socket.set_stream_id(&self.stream_id)?;
        }
        if !self.passphrase.is_empty() {
            socket.encrypt(&self.passphrase, self.key_length)?;
        }
        socket.connect(address, CONNECT_TIMEOUT)?;
        Ok(socket)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "srt://[{}]:{}", self.host, self.port),
            false => write!(f, "srt://{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_secrets_are_not_shown() {
        let target: Target = "srt://ingest.example:9000?streamid=#!::r=live/x,m=publish,s=k%26ey\
                              &passphrase=0123456789+a&pbkeylen=32&latency=400&mode=caller"
            .parse()
            .expect("valid");
        assert_eq!(target.stream_id.expose(), "#!::r=live/x,m=publish,s=k&ey");
        assert_eq!(target.passphrase.expose(), "0123456789+a");
        assert_eq!((target.key_length, target.latency.as_millis()), (32, 400));
        let shown = "srt://ingest.example:9000";
        assert_eq!(format!("{target} {target:?}"), format!("{shown} {shown}"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let check = |text: &str, expect: &str| {
            let error = text.parse::<Target>().expect_err(text).to_string();
            assert!(error.contains(expect), "{text}: {error}");
        };
        check("http://a:1", "looks like srt://");
        check("srt://a", "looks like srt://");
        check("srt://:9000", "looks like srt://");
        check("srt://a:1?mode=listener", "the other end has to listen");
        check("srt://a:1?latency=120000", "milliseconds");
        check("srt://a:1?passphrase=short", "10-79");
        check("srt://a:1?pbkeylen=31", "16, 24 or 32");
        check("srt://a:1?stream_id=x", "option 1 of the SRT address does not exist");
        let halved = "srt://a:1?passphrase=0123456789&hunter2=x".parse::<Target>();
        let said = halved.expect_err("an option `hunter2`").to_string();
        assert!(said.contains("option 2 of") && !said.contains("hunter2"), "{said}");
        assert!("srt://[::1]:9000".parse::<Target>().is_ok());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_survived(text: String) {
            let _ = text.parse::<Target>();
            let _ = format!("srt://h:1?{text}").parse::<Target>();
        }
    }
}
