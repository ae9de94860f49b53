//! Settings of the recorder.

use serde::{Deserialize, Serialize};

use super::Format;

/// How a stream is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = RecordSettings)]
pub struct Settings {
    /// Container and codecs. The limits below hold for the stream's recordings of this format.
    pub format: Format,
    /// Seconds after which a new file begins; 0 never.
    pub split_s: u32,
    /// Size in MiB after which a new file begins; 0 never.
    pub split_mib: u32,
    /// Files older than this many hours are deleted; 0 never. Elapsed time counts, whatever the
    /// wall clock is set to; time while the machine was off counts for at most one hour. Nothing is
    /// deleted by age within an hour after a clock step. Within any hour at most a quarter of the
    /// files, plus as many as were made, are deleted by age.
    pub keep_hours: u32,
    /// Oldest files are deleted while the stream's recordings exceed this many MiB; 0 sets no
    /// limit.
    pub keep_mib: u32,
    /// Free disk space to keep, in MiB. With an age or size limit above, oldest files are deleted
    /// for it; otherwise recording stops.
    pub keep_free_mib: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            format: Format::Mp4,
            split_s: 3600,
            split_mib: 0,
            keep_hours: 0,
            keep_mib: 0,
            keep_free_mib: 256,
        }
    }
}
