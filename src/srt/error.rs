//! Errors of libsrt, and reasons for refusing a connection.

use std::fmt;

/// An operation on a socket that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// libsrt returned an error.
    #[error("cannot {operation}: {message}")]
    Library {
        /// The operation that failed: `bind`, `connect` …
        operation: &'static str,
        /// libsrt's message.
        message: String,
    },
    /// The other end refused the connection.
    #[error("refused by the other end: {0}")]
    Rejected(Reject),
    /// A host name that resolves to no address.
    #[error("`{host}` has no address: {message}")]
    Resolve {
        /// The host name.
        host: String,
        /// The resolver's message.
        message: String,
    },
}

/// Why a connection is refused: libsrt's own reasons below 1000, the codes of the SRT access
/// control guidelines from 1000 on, and application-defined codes from 2000 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reject(pub i32);

impl Reject {
    /// The stream id cannot be parsed.
    pub const BAD_REQUEST: Self = Self(1400);
    /// No credential or a wrong one.
    pub const UNAUTHORIZED: Self = Self(1401);
    /// The server is at its limit.
    pub const OVERLOAD: Self = Self(1402);
    /// The stream does not exist.
    pub const NOT_FOUND: Self = Self(1404);
    /// The stream id requests an unsupported mode.
    pub const BAD_MODE: Self = Self(1405);
    /// The request cannot be served in this form.
    pub const UNACCEPTABLE: Self = Self(1406);
    /// Another publisher has the stream.
    pub const CONFLICT: Self = Self(1409);
    /// An internal error on this end.
    pub const INTERNAL: Self = Self(1500);

    /// Our text for a code, if it is clearer than libsrt's.
    fn words(self) -> Option<&'static str> {
        Some(match self.0 {
            2 => "the connection was refused without a reason",
            8 => "its SRT version is too old or too new for the other end",
            10 => "wrong passphrase",
            11 => "one end encrypts and the other does not: set the passphrase on both",
            16 => "no answer in time",
            1400 => "it does not understand the streamid",
            1401 => "no credential or a wrong one",
            1402 => "it is at its limit",
            1403 => "access is forbidden",
            1404 => "it has no such stream",
            1405 => "the mode of the streamid is not supported",
            1406 => "what the streamid asks for cannot be given",
            1409 => "another publisher has that name",
            1415 => "the media type is not supported",
            1423 => "the stream is locked",
            1500 => "internal error of the other end",
            1501 => "not implemented there",
            1502 | 1503 => "the service behind it is down",
            _ => return None,
        })
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.words() {
            Some(words) => write!(f, "{words} (SRT reason {})", self.0),
            None => write!(f, "SRT reason {}", self.0),
        }
    }
}
