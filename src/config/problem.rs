//! The problems of a configuration.

use std::fmt;

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Its place: `auralink.toml:12`, `$AURALINK_API__LISTEN`, `streams[1].preset`.
    pub at: String,
    /// The problem, as text.
    pub message: String,
    /// What the admin can do about it; may be empty.
    pub hint: String,
}

impl Problem {
    /// A problem with its place and hint.
    pub fn new(at: impl Into<String>, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { at: at.into(), message: message.into(), hint: hint.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.message)?;
        if !self.hint.is_empty() {
            write!(f, "\n    → {}", self.hint)?;
        }
        Ok(())
    }
}

/// All problems; never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// Returns `Ok` if there are no problems.
    pub(super) fn unless_none(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self(problems)) }
    }
}
