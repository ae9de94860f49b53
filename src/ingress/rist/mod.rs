//! RIST (VSF TR-06-1 and TR-06-2): receives a transport stream, as a listener or as a caller.

mod library;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use self::library::{Profile, Receiver};
use super::source::{PulledSource, SourceContext};
use crate::flow::{Blame, Error, SourceReport};
use crate::media::{
    IgnorePoison, InvalidSetting, Protocol, passphrase_length_problem, url_problem,
    url_without_secrets,
};
use crate::mpegts::{self, BATCH_BYTES_MAX, Connection, Limits, ReadEnd};

/// Longest wait for a packet before a check whether to stop.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Whether librist is installed.
pub fn is_installed() -> bool {
    library::is_there()
}

/// A sender calls this appliance, or is called by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RistSource {
    /// `rist://@0.0.0.0:5000` waits for a sender on this port; `rist://host:5000` calls one.
    /// Options of librist may follow, such as `?buffer=1000` (milliseconds).
    #[schema(example = "rist://@0.0.0.0:5000")]
    url: String,
    /// Passphrase of 10-79 characters if the sender encrypts (main profile, AES-256).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    passphrase: Option<String>,
    /// The profile that the sender uses.
    #[serde(default)]
    profile: RistProfile,
}

/// Profiles of RIST.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RistProfile {
    /// TR-06-1: two neighbouring UDP ports, the first one even; no encryption.
    Simple,
    /// TR-06-2: one UDP port, encryption.
    #[default]
    Main,
}

impl RistSource {
    /// Whether it waits for a sender; else it calls one.
    fn listens(&self) -> bool {
        self.url.contains("://@")
    }

    /// The address for librist, which takes the passphrase in it.
    fn address(&self) -> String {
        let separator = if self.url.contains('?') { '&' } else { '?' };
        match &self.passphrase {
            Some(secret) => {
                let secret: String =
                    url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
                format!("{}{separator}secret={secret}&aes-type=256", self.url)
            }
            None => self.url.clone(),
        }
    }
}

impl PulledSource for RistSource {
    const PROTOCOL: Protocol = Protocol::Rist;

    fn shown(&self) -> String {
        url_without_secrets(&self.url)
    }

    fn check(&self) -> Result<(), InvalidSetting> {
        InvalidSetting::check("url", url_problem(&self.url, &["rist"]))?;
        let simple = self.profile == RistProfile::Simple;
        let useless = || "the simple profile has no encryption: use `main`".to_owned();
        let problem = self.passphrase.as_deref().and_then(|passphrase| {
            if simple { Some(useless()) } else { passphrase_length_problem(passphrase) }
        });
        InvalidSetting::check("passphrase", problem)
    }

    async fn run(self, context: SourceContext) -> Result<(), Error> {
        let intake = context.intake;
        let profile = match self.profile {
            RistProfile::Simple => Profile::Simple,
            RistProfile::Main => Profile::Main,
        };
        let address = self.address();
        // It resolves names.
        let started = tokio::task::spawn_blocking(move || Receiver::start(&address, profile));
        let started = tokio::select! {
            started = started => started.unwrap_or_else(|e| Err(e.to_string())),
            () = intake.cancel.cancelled() => return Ok(()),
        };
        let receiver = started.map_err(|message| {
            let hint = "correct the address of the source, or free its port";
            Error::refused(Blame::Us, message, hint)
        })?;
        let limits = Limits::default();
        // A listener waits for its sender without limit; a caller that hears nothing tries again.
        let patience = (!self.listens()).then_some(limits.silence);
        let connection = Arc::new(RistConnection::new(receiver));
        let first = tokio::task::spawn_blocking({
            let (connection, stop) = (Arc::clone(&connection), intake.cancel.clone());
            move || connection.wait(patience, &stop)
        });
        match first.await.unwrap_or(Err(ReadEnd::Stopped)) {
            Ok(()) => {}
            Err(ReadEnd::Stopped) => return Ok(()),
            Err(ReadEnd::Silent) => return Err(Error::Stalled(limits.silence)),
            Err(ReadEnd::Closed(message)) => {
                return Err(Error::refused(Blame::Us, message, "it is opened again"));
            }
        }
        tracing::info!(stream = %intake.stream, source = self.shown(), "RIST source connected");
        mpegts::demux("rist", connection, &intake.tracks, limits, &intake.cancel).await
    }
}

/// A receiver and what it has received before the demuxer reads. Unread data is bounded by
/// librist's queue of 1024 packets.
struct RistConnection {
    receiver: Receiver,
    first: Mutex<Vec<u8>>,
}

impl RistConnection {
    fn new(receiver: Receiver) -> Self {
        Self { receiver, first: Mutex::default() }
    }

    /// Waits for the first packet, which the next read returns.
    fn wait(&self, patience: Option<Duration>, stop: &CancellationToken) -> Result<(), ReadEnd> {
        let bytes = self.receive(patience, stop)?;
        *self.first.lock().ignore_poison() = bytes;
        Ok(())
    }

    /// Waits for at least one packet; without `patience` for as long as it takes.
    fn receive(
        &self,
        patience: Option<Duration>,
        stop: &CancellationToken,
    ) -> Result<Vec<u8>, ReadEnd> {
        let since = Instant::now();
        let mut bytes = Vec::new();
        loop {
            if stop.is_cancelled() {
                return Err(ReadEnd::Stopped);
            }
            let wait = if bytes.is_empty() { POLL_INTERVAL } else { Duration::ZERO };
            let more = self.receiver.read(&mut bytes, wait).map_err(ReadEnd::Closed)?;
            if !bytes.is_empty() && (!more || bytes.len() >= BATCH_BYTES_MAX) {
                return Ok(bytes);
            }
            if patience.is_some_and(|patience| since.elapsed() > patience) {
                return Err(ReadEnd::Silent);
            }
        }
    }
}

impl Connection for RistConnection {
    fn read(&self, silence: Duration, stop: &CancellationToken) -> Result<Vec<u8>, ReadEnd> {
        let first = std::mem::take(&mut *self.first.lock().ignore_poison());
        if first.is_empty() { self.receive(Some(silence), stop) } else { Ok(first) }
    }

    fn report(&self, report: &SourceReport) {
        let stats = self.receiver.stats();
        report.lost.store(stats.lost.load(Ordering::Relaxed), Ordering::Relaxed);
        report.rtt_us.store(stats.rtt_ms.load(Ordering::Relaxed) * 1000, Ordering::Relaxed);
    }

    /// librist has no way to hang up a receiver before it is destroyed; a read returns within
    /// [`POLL_INTERVAL`].
    fn close(&self) {}
}
