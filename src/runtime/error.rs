//! Why a request of the admin fails.

use crate::media::InvalidSetting;

/// Why a request of the admin fails.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No stream of this name.
    #[error("there is no stream `{0}`")]
    UnknownStream(String),
    /// No output of this id.
    #[error("stream `{0}` has no output `{1}`")]
    UnknownOutput(String, String),
    /// The stream name is taken.
    #[error("there is already a stream `{0}`")]
    StreamExists(String),
    /// The output id is taken.
    #[error("stream `{0}` already has an output `{1}`")]
    OutputExists(String, String),
    /// A field of the spec has an invalid value.
    #[error("`{field}`: {message}")]
    Invalid {
        /// Path of the field: `outputs[1].url`.
        field: String,
        /// The reason, as text.
        message: String,
    },
    /// A limit of the appliance is reached.
    #[error("the limit of {0} is reached")]
    Limit(&'static str),
    /// The stream's task has panicked and restarts.
    #[error("stream `{0}` has failed and starts again")]
    Restarting(String),
    /// The appliance is shutting down.
    #[error("the appliance is shutting down")]
    ShuttingDown,
}

impl From<InvalidSetting> for Error {
    fn from(invalid: InvalidSetting) -> Self {
        Self::Invalid { field: invalid.field.into(), message: invalid.message }
    }
}
