//! What can go wrong with models.

use std::path::PathBuf;

use super::manifest::Task;

/// A model that cannot be found, fetched, read or trusted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No manifest has this id.
    #[error("there is no model `{0}`; `auralink models list` shows all")]
    Unknown(String),
    /// The model is in the program, so there is no file for an engine.
    #[error("`{0}` is in the program: there is no file of it")]
    Included(String),
    /// The model is not on this machine.
    #[error("`{0}` is not installed; `auralink models pull {0}` fetches it")]
    Missing(String),
    /// A manifest is not one; the message has line and field.
    #[error("manifest {path} is wrong: {message}")]
    Manifest {
        /// The file.
        path: PathBuf,
        /// Line, field and reason.
        message: String,
    },
    /// A file or folder cannot be read or written.
    #[error("cannot {doing} {path}")]
    Io {
        /// `read`, `write`, `rename` …
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// No folder of the search order can be written.
    #[error("no models folder is writable ({0}); name one with --to or $AURALINK_MODELS")]
    Unwritable(String),
    /// Too little room on the disk.
    #[error("{folder} has {free_mib} MiB free; this needs {needed_mib} MiB")]
    DiskFull {
        /// The folder.
        folder: PathBuf,
        /// What it needs, with a margin.
        needed_mib: u64,
        /// What there is.
        free_mib: u64,
    },
    /// Another process fetches the same model.
    #[error("another process works on {0}; wait until it has ended")]
    Busy(PathBuf),
    /// A file has another hash than its manifest says.
    #[error("{path} is not what it claims: expected sha256 {expected}, got {got}")]
    WrongHash {
        /// The file.
        path: PathBuf,
        /// The hash of the manifest, or the one that was seen first.
        expected: String,
        /// The hash of the file.
        got: String,
    },
    /// A file has another size than its manifest says.
    #[error("{path} is not what it claims: expected {expected} bytes, got {got}")]
    WrongSize {
        /// The file.
        path: PathBuf,
        /// The size of the manifest.
        expected: u64,
        /// The size of the file.
        got: u64,
    },
    /// No hash of the file is known, so nobody can say whether it is right.
    #[error(
        "no hash is known for {file} of `{id}`; --trust-first-download takes what comes and keeps \
         to it from then on"
    )]
    Unpinned {
        /// The model.
        id: String,
        /// The file.
        file: String,
    },
    /// A manifest has no address for a file.
    #[error("`{id}` says not where {file} can be fetched; use `auralink models import`")]
    NoAddress {
        /// The model.
        id: String,
        /// The file.
        file: String,
    },
    /// The server refused.
    #[error("{url} answers {status}{hint}")]
    Refused {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What to do, with a separator before it; may be empty.
        hint: &'static str,
    },
    /// The server could not be reached, broke off or fell silent, again and again.
    #[error("cannot fetch {url} after {attempts} attempts: {reason}; what has come is kept")]
    Broken {
        /// What was asked for.
        url: String,
        /// How often.
        attempts: u32,
        /// The last reason.
        reason: String,
    },
    /// What was given to be imported is no known model.
    #[error("{0}")]
    NotRecognised(String),
    /// What was said of a model of one's own does not fit.
    #[error("--{field}: {message}")]
    Own {
        /// The flag.
        field: &'static str,
        /// Why.
        message: String,
    },
    /// The model does another job.
    #[error("`{id}` is for {is}, not for {wanted}")]
    OtherTask {
        /// The model.
        id: String,
        /// What it is for.
        is: Task,
        /// What it was asked for.
        wanted: Task,
    },
}

impl Error {
    /// For `map_err` on file operations.
    pub(super) fn io(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }
}

/// An error with its cause in one line.
pub(super) fn with_source(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}
