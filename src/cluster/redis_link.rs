//! One connection to Redis, and what this appliance asks there.
//!
//! The key of an appliance holds its record and ends by itself some seconds after the last write. A set
//! lists those that may have one, so that no keys are searched.

use std::path::Path;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, RedisResult, TlsCertificates};

use super::record::{ApplianceId, RECORD_BYTES_MAX};
use crate::flow::files;
use crate::media::Secret;

/// Longest time to connect, and for each answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a record lives after it was written.
pub(super) const RECORD_KEPT: Duration = Duration::from_secs(8);

/// Most appliances of a cluster: each reads the records of all others.
pub(super) const MEMBERS_COUNT_MAX: usize = 256;

/// The set of the identities of all appliances.
const MEMBERS_KEY: &str = "auralink:appliances";

/// Maximum size of a certificate file, in bytes; a system's own has a quarter of it.
const CA_BYTES_MAX: u64 = 1 << 20;

/// What an exchange of records brought.
pub(super) struct Exchanged {
    /// What was stored for this appliance before.
    pub(super) before: Option<Vec<u8>>,
    /// What is stored for the others.
    pub(super) others: Vec<(ApplianceId, Vec<u8>)>,
    /// Whether there are more appliances than are read.
    pub(super) too_many: bool,
}

/// A connection to Redis.
pub(super) struct Link(MultiplexedConnection);

fn key(id: &ApplianceId) -> String {
    format!("auralink:appliance:{}", id.as_str())
}

/// Reads the address of a Redis; nothing is called yet. `ca` verifies it if it has TLS.
///
/// # Errors
/// Why it cannot be used, without the address, which may hold a password.
pub(super) async fn client(url: &Secret, ca: Option<&Path>) -> Result<Client, String> {
    let mut root_cert = None;
    if let Some(path) = ca {
        let read = files::read(path, CA_BYTES_MAX).await;
        root_cert = Some(read.map_err(|e| format!("`cluster.ca`: {}: {e}", path.display()))?);
    }
    let tls = TlsCertificates { client_tls: None, root_cert };
    let opened = match url.expose().starts_with("rediss:") {
        true => Client::build_with_tls(url.expose(), tls),
        false => Client::open(url.expose()),
    };
    opened.map_err(|e| format!("`cluster.redis`: {}", text(&e)))
}

impl Link {
    /// Connects.
    ///
    /// # Errors
    /// Why it does not, as text.
    pub(super) async fn open(client: &Client) -> Result<Self, String> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CALL_TIMEOUT))
            .set_response_timeout(Some(CALL_TIMEOUT));
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        // The limit of the library leaves out the greeting.
        match tokio::time::timeout(2 * CALL_TIMEOUT, connecting).await {
            Ok(connected) => connected.map(Self).map_err(|e| text(&e)),
            Err(_) => Err("no answer in time".into()),
        }
    }

    /// Writes the record of this appliance and reads those of the others.
    ///
    /// # Errors
    /// Why it cannot, as text.
    pub(super) async fn exchange(
        &mut self,
        id: &ApplianceId,
        record: &[u8],
    ) -> Result<Exchanged, String> {
        let asked = MEMBERS_COUNT_MAX + 1;
        let mut told = redis::pipe();
        told.cmd("SET").arg(key(id)).arg(record).arg("EX").arg(RECORD_KEPT.as_secs()).arg("GET");
        told.cmd("SADD").arg(MEMBERS_KEY).arg(id.as_str()).ignore();
        // A set of any length gives as many, each once.
        told.cmd("SRANDMEMBER").arg(MEMBERS_KEY).arg(asked);
        let answer: (Option<Vec<u8>>, Vec<Vec<u8>>) =
            told.query_async(&mut self.0).await.map_err(|e| text(&e))?;
        let (before, listed) = answer;
        let too_many = listed.len() >= asked;
        let others = listed.iter().filter_map(|listed| ApplianceId::read(listed));
        let others: Vec<ApplianceId> = others.filter(|other| other != id).collect();
        let others = self.read(others).await.map_err(|e| text(&e))?;
        Ok(Exchanged { before, others, too_many })
    }

    /// Reads records; those that have ended leave the set.
    async fn read(&mut self, ids: Vec<ApplianceId>) -> RedisResult<Vec<(ApplianceId, Vec<u8>)>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut read = redis::pipe();
        for id in &ids {
            // Never more than the largest record; nothing, if there is none.
            read.cmd("GETRANGE").arg(key(id)).arg(0).arg(RECORD_BYTES_MAX - 1);
        }
        // A key that holds something else is no reason to lose the others.
        let read: Vec<RedisResult<Vec<u8>>> = read.ignore_errors().query_async(&mut self.0).await?;
        let stored = ids.into_iter().zip(read.into_iter().map(Result::unwrap_or_default));
        let (ended, others): (Vec<_>, Vec<_>) = stored.partition(|(_, bytes)| bytes.is_empty());
        if !ended.is_empty() {
            let ended: Vec<&str> = ended.iter().map(|(id, _)| id.as_str()).collect();
            redis::cmd("SREM").arg(MEMBERS_KEY).arg(ended).exec_async(&mut self.0).await?;
        }
        Ok(others)
    }

    /// Removes the record of this appliance, as far as Redis answers.
    pub(super) async fn leave(&mut self, id: &ApplianceId) {
        let mut gone = redis::pipe();
        gone.cmd("DEL").arg(key(id)).ignore();
        gone.cmd("SREM").arg(MEMBERS_KEY).arg(id.as_str()).ignore();
        if let Err(error) = gone.exec_async(&mut self.0).await {
            tracing::debug!(why = text(&error), "the record of this appliance ends by itself");
        }
    }
}

/// An error as text without addresses.
fn text(error: &RedisError) -> String {
    match error.is_timeout() {
        true => "no answer in time".into(),
        false => error.to_string(),
    }
}
