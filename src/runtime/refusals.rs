//! The last refusals of a stream, so that its owner sees why an encoder is not admitted.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::flow::{AccessRequest, Action, Refusal};
use crate::media::{IgnorePoison, Protocol};

/// Refusals kept per stream, for publishers and players separately: many refused players do not
/// displace the one refused encoder.
const KEPT_REFUSALS_MAX: usize = 10;

/// A caller that was refused, or that was admitted and then did not connect or sent nothing usable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RefusalSnapshot {
    /// When it last happened.
    pub at: DateTime<Utc>,
    /// Number of refusals with the same reason from the same address.
    pub count: u64,
    /// `publish` or `play`.
    pub action: &'static str,
    /// `srt`, `rtmp`, `whip` …
    #[schema(value_type = String)]
    pub protocol: Protocol,
    /// Address of the caller at the last refusal.
    pub peer: String,
    /// The reason, as text. Never contains what the caller presented.
    pub message: String,
    /// What the admin can do about it.
    pub hint: String,
}

/// The last refusals of one stream, newest first.
#[derive(Default)]
pub(super) struct Refusals(Mutex<VecDeque<RefusalSnapshot>>);

impl Refusals {
    /// Adds a refusal. Repeated tries of one caller share one entry.
    pub(super) fn add(&self, access_request: &AccessRequest, refusal: &Refusal, at: DateTime<Utc>) {
        let action = match access_request.action {
            Action::Publish => "publish",
            Action::Play => "play",
        };
        let mut entry = RefusalSnapshot {
            at,
            count: 1,
            action,
            protocol: access_request.protocol,
            peer: access_request.peer.clone(),
            message: refusal.message.clone(),
            hint: refusal.hint.clone(),
        };
        let same = |old: &RefusalSnapshot| {
            (old.action, old.protocol, &old.message)
                == (action, access_request.protocol, &refusal.message)
                && host_of(&old.peer) == host_of(&access_request.peer)
        };
        let mut kept = self.0.lock().ignore_poison();
        if let Some(old) = kept.iter().position(same).and_then(|index| kept.remove(index)) {
            entry.count = old.count.saturating_add(1);
        }
        kept.push_front(entry);
        let of_action = |kept: &VecDeque<RefusalSnapshot>| {
            let same = kept.iter().enumerate().filter(|(_, old)| old.action == action);
            same.map(|(index, _)| index).nth(KEPT_REFUSALS_MAX)
        };
        if let Some(oldest) = of_action(&kept) {
            kept.remove(oldest);
        }
    }

    /// The refusals, newest first.
    pub(super) fn list(&self) -> Vec<RefusalSnapshot> {
        self.0.lock().ignore_poison().iter().cloned().collect()
    }
}

/// The address of a peer without its port, because the port differs at each try. `None` if it is
/// not an address.
pub(super) fn host_of(peer: &str) -> Option<IpAddr> {
    let with_port = peer.parse::<SocketAddr>().map(|address| address.ip());
    with_port.or_else(|_| peer.parse()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::RefusalKind;

    fn access_request(peer: &str) -> AccessRequest {
        AccessRequest {
            action: Action::Publish,
            protocol: Protocol::Srt,
            stream: "a".parse().expect("a name"),
            credential: None,
            peer: peer.into(),
        }
    }

    #[test]
    fn tries_of_one_caller_are_one_entry() {
        let refusals = Refusals::default();
        let at = |s| DateTime::from_timestamp(s, 0).expect("a time");
        let wrong = Refusal::new(RefusalKind::Unauthorized, "a wrong token", "give the right one");
        let taken = Refusal::new(RefusalKind::Taken, "taken", "wait");
        refusals.add(&access_request("10.0.0.1:5000"), &wrong, at(1));
        refusals.add(&access_request("10.0.0.2:5000"), &wrong, at(2));
        refusals.add(&access_request("10.0.0.1:5001"), &taken, at(3));
        refusals.add(&access_request("10.0.0.1:5002"), &wrong, at(4));
        // Without a port, as for HLS players.
        refusals.add(&access_request("10.0.0.4"), &wrong, at(5));
        refusals.add(&access_request("10.0.0.3"), &wrong, at(6));
        refusals.add(&access_request("10.0.0.4"), &wrong, at(7));
        let shown: Vec<(String, u64, i64)> = refusals
            .list()
            .into_iter()
            .map(|r| (format!("{} {}", r.peer, r.message), r.count, r.at.timestamp()))
            .collect();
        let expect = [
            ("10.0.0.4 a wrong token", 2, 7),
            ("10.0.0.3 a wrong token", 1, 6),
            ("10.0.0.1:5002 a wrong token", 2, 4),
            ("10.0.0.1:5001 taken", 1, 3),
            ("10.0.0.2:5000 a wrong token", 1, 2),
        ];
        assert_eq!(shown, expect.map(|(text, count, at)| (text.to_owned(), count, at)));
    }

    #[test]
    fn the_list_is_bounded() {
        let refusals = Refusals::default();
        let wrong = Refusal::new(RefusalKind::Unauthorized, "a wrong token", "");
        for n in 0..200 {
            refusals.add(&access_request(&format!("10.0.0.{n}:1")), &wrong, Utc::now());
        }
        let player = AccessRequest { action: Action::Play, ..access_request("10.0.1.1:1") };
        refusals.add(&player, &wrong, Utc::now());
        let list = refusals.list();
        assert_eq!((list.len(), &*list[1].peer), (KEPT_REFUSALS_MAX + 1, "10.0.0.199:1"));
    }
}
