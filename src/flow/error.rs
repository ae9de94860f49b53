//! Errors of nodes, and who has to act on them.

use std::time::Duration;

/// Who has to act on an error; decides between retry, refusal and alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Blame {
    /// The input: the publisher or the file.
    Input,
    /// The output: the target, the disk, the viewer.
    Destination,
    /// The appliance or its configuration.
    Us,
}

/// Why a node could not be built, started or kept running.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A GStreamer element is not installed.
    #[error("GStreamer element `{factory}` is missing; `auralink doctor` names its package")]
    MissingElement {
        /// Factory name, as `gst-inspect-1.0` knows it.
        factory: String,
    },
    /// A pipeline could not be built.
    #[error("cannot build {what}: {reason}")]
    Build {
        /// The part that failed.
        what: String,
        /// The reason.
        reason: String,
    },
    /// A state change took longer than [`super::node::STATE_CHANGE_MAX`].
    #[error("`{node}` froze: it did not become {waiting_for} within {after:?}")]
    Frozen {
        /// Name of the node.
        node: String,
        /// The state that it should have reached.
        waiting_for: &'static str,
        /// The time limit that has passed.
        after: Duration,
    },
    /// An element posted an error.
    #[error("`{element}`: {message}")]
    Element {
        /// Name of the element in its pipeline.
        element: String,
        /// Its error text, with the debug detail.
        message: String,
        /// Who should act.
        blame: Blame,
    },
    /// Media stopped arriving without an error.
    #[error("no media for {0:?}")]
    Stalled(Duration),
    /// The source or the pipeline has ended.
    #[error("ended")]
    Ended,
    /// Refused, with a hint.
    #[error("{message}")]
    Refused {
        /// What was wrong.
        message: String,
        /// What to do.
        hint: String,
        /// Who should act.
        blame: Blame,
    },
}

impl Error {
    /// Refuses an input or a request that cannot work.
    pub fn refused(blame: Blame, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Refused { message: message.into(), hint: hint.into(), blame }
    }

    /// A part that could not be built.
    pub fn build(what: impl Into<String>, reason: impl ToString) -> Self {
        Self::Build { what: what.into(), reason: reason.to_string() }
    }

    /// What to do about it.
    pub fn hint(&self) -> &str {
        match (self, self.blame()) {
            (Self::Refused { hint, .. }, _) => hint,
            (Self::MissingElement { .. }, _) => "install it; the appliance finds it when it starts",
            (_, Blame::Input) => "look whether the source still sends, and what it sends",
            (_, Blame::Destination) => {
                "check the address and its key, and whether the other end runs"
            }
            (_, Blame::Us) => "the log has more: `journalctl -u auralink -e`",
        }
    }

    /// Who should act on it.
    pub fn blame(&self) -> Blame {
        match self {
            Self::MissingElement { .. } | Self::Build { .. } | Self::Frozen { .. } => Blame::Us,
            Self::Element { blame, .. } | Self::Refused { blame, .. } => *blame,
            Self::Stalled(_) | Self::Ended => Blame::Input,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_says_what_to_do() {
        let check = |error: Error, expect: &str| {
            assert!(error.hint().contains(expect), "{error}: {}", error.hint());
        };
        check(Error::refused(Blame::Us, "the disk is full", "make room"), "make room");
        check(Error::MissingElement { factory: "x264enc".into() }, "install");
        check(Error::build("a part", "why"), "journalctl");
        check(Error::Stalled(Duration::from_secs(5)), "source");
        let (element, message) = ("sink".into(), "no route".into());
        check(Error::Element { element, message, blame: Blame::Destination }, "address");
    }
}
