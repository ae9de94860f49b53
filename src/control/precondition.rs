//! The state of a stream that a change is based on: entity tags and preconditions, RFC 9110 §8.8.3
//! and §13.1. The headers `ETag` and `If-Match` carry them.

use sha2::{Digest, Sha256};

use super::problem::{Code, Error};
use crate::runtime::StreamSpec;

/// Bytes of the hash in a tag: long enough to rule out collisions between states of one stream.
const TAG_BYTES: usize = 12;

/// The tag of the wanted state of a stream, in quotes. The running state does not affect it.
pub(super) fn entity_tag(spec: &StreamSpec) -> String {
    // Specs are read from JSON, so they always serialise.
    let json = serde_json::to_vec(spec).unwrap_or_default();
    let hash = Sha256::digest(json);
    let digits: String = hash.iter().take(TAG_BYTES).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{digits}\"")
}

/// The states from which a change may be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// Any state.
    Any,
    /// Those with one of these tags, in quotes.
    Tags(Vec<String>),
}

impl Precondition {
    /// Checks whether a change may be made from this state.
    ///
    /// # Errors
    /// `precondition_failed`.
    pub fn check(&self, spec: &StreamSpec) -> Result<(), Error> {
        match self {
            Self::Tags(tags) if !tags.contains(&entity_tag(spec)) => Err(Error::new(
                Code::PreconditionFailed,
                format!("stream `{}` has changed since it was read", spec.name),
                "read it again and send its ETag as If-Match, or leave If-Match out",
            )),
            _ => Ok(()),
        }
    }
}
