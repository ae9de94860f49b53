//! What has gone wrong with a node, what to do about it, and when.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::LastError;
use crate::flow;

/// Whoever has run well for this long since has got over it.
pub(super) const OVER_AFTER: Duration = Duration::from_secs(60);

/// One thing that went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// In words.
    pub(super) message: String,
    /// What to do about it.
    pub(super) hint: String,
    /// When it happened.
    pub(super) at: DateTime<Utc>,
}

impl Fault {
    /// It has just happened.
    pub(super) fn now(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into(), at: Utc::now() }
    }

    /// The same as the stream tells it, with the name of the node in front.
    pub(super) fn of(&self, node: &str) -> Self {
        Self { message: format!("{node}: {}", self.message), ..self.clone() }
    }

    /// Whether it is so old that it may be over.
    pub(super) fn is_old(&self, now: DateTime<Utc>) -> bool {
        (now - self.at).to_std().is_ok_and(|age| age >= OVER_AFTER)
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
