//! Recording to fragmented MP4.

use serde::{Deserialize, Serialize};

/// How a stream is recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// A new file is begun after this many seconds; 0 never.
    pub split_s: u32,
    /// A new file is begun after this many MiB; 0 never.
    pub split_mib: u32,
    /// Files older than this many hours are deleted; 0 never.
    pub keep_hours: u32,
    /// Oldest files are deleted while the stream's recordings take more than this many MiB; 0 never.
    pub keep_mib: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { split_s: 3600, split_mib: 0, keep_hours: 0, keep_mib: 0 }
    }
}
