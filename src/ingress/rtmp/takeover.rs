//! Readmission of a publisher that returns before its dead session was noticed.
//!
//! After a broken link the server has a silent connection, and the returning encoder finds its name
//! taken by its own session. So a publisher with the same credential from the same address
//! displaces a session that has fallen silent. A session that still sends is not dead; then the
//! gate decides.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::media::{IgnorePoison, Secret, StreamName};

/// A live encoder sends about forty audio packets a second: a session silent for this long is dead.
const SILENCE_MAX: Duration = Duration::from_secs(1);

/// A displaced session leaves at once; this limits the wait for it.
const LEAVE_MAX: Duration = Duration::from_secs(2);

/// The publishers of this server. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Publishers(Arc<Mutex<Vec<Arc<Entry>>>>);

struct Entry {
    stream: StreamName,
    credential: Option<Secret>,
    ip: IpAddr,
    /// Bytes received so far. The session is silent while this does not change.
    heard: AtomicU64,
    leave: CancellationToken,
    left: CancellationToken,
}

/// The entry of one publisher; dropping it releases its place in the stream.
pub(super) struct Standing {
    publishers: Publishers,
    entry: Arc<Entry>,
}

impl Standing {
    /// Counts received bytes.
    pub(super) fn heard(&self, count: usize) {
        self.entry.heard.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Cancelled when the same publisher has returned on another connection.
    pub(super) fn displaced(&self) -> &CancellationToken {
        &self.entry.leave
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.publishers.lock().retain(|e| !Arc::ptr_eq(e, &self.entry));
        self.entry.left.cancel();
    }
}

impl Publishers {
    /// Adds an admitted publisher.
    pub(super) fn enter(
        &self,
        stream: StreamName,
        credential: Option<Secret>,
        ip: IpAddr,
    ) -> Standing {
        let entry = Arc::new(Entry {
            stream,
            credential,
            ip,
            heard: AtomicU64::new(0),
            leave: CancellationToken::new(),
            left: CancellationToken::new(),
        });
        self.lock().push(entry.clone());
        Standing { publishers: self.clone(), entry }
    }

    /// Ends a silent session of the same publisher. If there is a session, takes a second to check
    /// for silence and up to [`LEAVE_MAX`] for it to end; otherwise returns at once.
    pub(super) async fn displace(
        &self,
        stream: &StreamName,
        credential: Option<&Secret>,
        ip: IpAddr,
    ) {
        let same = |e: &&Arc<Entry>| {
            let credential_same = match (&e.credential, credential) {
                (Some(old), Some(new)) => old.matches_any_pasted(new),
                (None, None) => true,
                _ => false,
            };
            e.stream == *stream && e.ip == ip && credential_same
        };
        let old = self.lock().iter().find(same).cloned();
        let Some(old) = old else { return };
        let heard = old.heard.load(Ordering::Relaxed);
        tokio::select! {
            () = old.left.cancelled() => return,
            () = tokio::time::sleep(SILENCE_MAX) => {}
        }
        if old.heard.load(Ordering::Relaxed) == heard {
            tracing::info!(%stream, peer = %ip, "the publisher is back: its silent session ends");
            old.leave.cancel();
            let _ = tokio::time::timeout(LEAVE_MAX, old.left.cancelled()).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Entry>>> {
        self.0.lock().ignore_poison()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const ELSEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

    /// Whether a session of `studio` with the token `a` is displaced by a publisher with these
    /// properties.
    async fn displaces(token: Option<&str>, ip: IpAddr, talks: bool) -> bool {
        let publishers = Publishers::default();
        let stream: StreamName = "studio".parse().expect("a name");
        let old = Arc::new(publishers.enter(stream.clone(), Some(Secret::new("a")), HERE));
        let told = old.displaced().clone();
        let talk = tokio::spawn(async move {
            let mut beat = tokio::time::interval(Duration::from_millis(20));
            while !old.displaced().is_cancelled() {
                beat.tick().await;
                old.heard(usize::from(talks));
            }
        });
        let token = token.map(Secret::new);
        publishers.displace(&stream, token.as_ref(), ip).await;
        talk.abort();
        told.is_cancelled()
    }

    #[tokio::test]
    async fn only_the_same_publisher_displaces_and_only_a_silent_session() {
        let (same, alive, other_token, no_token, other_address) = tokio::join!(
            displaces(Some("a"), HERE, false),
            displaces(Some("a"), HERE, true),
            displaces(Some("b"), HERE, false),
            displaces(None, HERE, false),
            displaces(Some("a"), ELSEWHERE, false),
        );
        assert!(same);
        assert!(!(alive || other_token || no_token || other_address));
    }
}
