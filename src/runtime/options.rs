//! Limits, folders and settings that all streams share.

use std::path::PathBuf;
use std::sync::Arc;

use super::Presets;
use crate::cluster::Origins;
use crate::egress::segments;
use crate::process::encode;
use crate::{ingress, webrtc};

/// Limits, folders and settings of the runtime.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where recordings go: one folder per stream.
    pub recordings: PathBuf,
    /// Where DVR windows go: one folder per stream.
    pub dvr: PathBuf,
    /// Maximum number of streams.
    pub streams_max: usize,
    /// Maximum number of viewers of all streams together.
    pub viewers_max: usize,
    /// The presets that streams can name.
    pub presets: Presets,
    /// How streams are segmented.
    pub segments: segments::Settings,
    /// How transcodes are encoded.
    pub encode: encode::Settings,
    /// How trunks reach the remote end.
    pub webrtc: webrtc::Config,
    /// Restrictions on file sources.
    pub sources: ingress::file::Config,
    /// The appliances that have the streams which this one lacks.
    pub origins: Arc<Origins>,
}
