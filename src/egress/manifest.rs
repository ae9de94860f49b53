//! A playlist or another manifest, as players and caches get it.

use std::time::Duration;

/// Lifetime of a manifest that lists what a player waited for, in target durations (rfc8216bis,
/// appendix B.1): a player that asks for the same gets enough to go on.
const AWAITED_TARGETS_COUNT: u32 = 6;

/// The text of a manifest and its lifetime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The text.
    pub text: String,
    /// How long caches may give it out.
    pub lifetime: Duration,
}

impl Manifest {
    /// The newest manifest: half a target duration later (rfc8216bis, appendix B.1) a player may
    /// miss something. `target_s` is in seconds.
    pub(super) fn newest(text: String, target_s: u32) -> Self {
        Self { text, lifetime: Duration::from_secs(u64::from(target_s)) / 2 }
    }

    /// The manifest that a player waited for, by numbers in its request.
    pub(super) fn awaited(text: String, target_s: u32) -> Self {
        Self { text, lifetime: Duration::from_secs(u64::from(target_s * AWAITED_TARGETS_COUNT)) }
    }
}
