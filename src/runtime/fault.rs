//! Faults of nodes: what failed, what to do about it, and when.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::LastError;
use crate::flow;

/// A node that has run without failure for this long has recovered.
pub(super) const RECOVERED_AFTER: Duration = Duration::from_secs(60);

/// One failure of a node or stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// The failure, as text for the admin.
    pub(super) message: String,
    /// What the admin can do about it.
    pub(super) hint: String,
    /// When it happened.
    pub(super) at: DateTime<Utc>,
}

impl Fault {
    /// A fault that happens now.
    pub(super) fn now(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into(), at: Utc::now() }
    }

    /// The same fault as the stream reports it: the message begins with the name of the node.
    pub(super) fn of(&self, node: &str) -> Self {
        Self { message: format!("{node}: {}", self.message), ..self.clone() }
    }

    /// Whether it is at least [`RECOVERED_AFTER`] old.
    pub(super) fn is_old(&self, now: DateTime<Utc>) -> bool {
        (now - self.at).to_std().is_ok_and(|age| age >= RECOVERED_AFTER)
    }
}

impl From<flow::Error> for Fault {
    fn from(error: flow::Error) -> Self {
        Self::now(error.to_string(), error.hint())
    }
}

impl From<Option<&Fault>> for LastError {
    fn from(fault: Option<&Fault>) -> Self {
        Self {
            last_error: fault.map(|f| f.message.clone()),
            last_error_hint: fault.map(|f| f.hint.clone()),
            last_error_at: fault.map(|f| f.at),
        }
    }
}
