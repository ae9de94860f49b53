//! Errors of the control plane, in the format of the API: `{code, message, hint}`.

use axum::http::StatusCode;
use serde::Serialize;

use crate::flow::{Refusal, RefusalKind};
use crate::runtime;

use super::store;

/// When to ask again for what a database that is away has, in seconds.
const STORE_AWAY_RETRY_S: u32 = 5;

/// Body of every response that is not a success. The codes are explained in `docs/errors.md`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Problem {
    /// Stable identifier for programs: `unknown_stream`.
    #[schema(example = "unknown_stream")]
    pub code: &'static str,
    /// What was wrong, as text.
    #[schema(example = "there is no stream `studio-1`")]
    pub message: String,
    /// What the client can do about it.
    #[schema(example = "GET /api/v1/streams lists the streams there are")]
    pub hint: String,
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $word:literal, $status:ident;)+) => {
        /// Every error code of the API. `docs/errors.md` has a section for each.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code { $($(#[doc = $doc])+ $name,)+ }

        impl Code {
            /// Every code.
            pub const ALL: &[Code] = &[$(Code::$name,)+];

            /// The value in the response.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $word,)+ }
            }

            /// The HTTP status of the response.
            pub fn status(self) -> StatusCode {
                match self { $(Code::$name => StatusCode::$status,)+ }
            }
        }
    };
}

codes! {
    /// The request cannot be parsed.
    BadRequest = "bad_request", BAD_REQUEST;
    /// A field has an invalid value; the message begins with its path.
    Invalid = "invalid", UNPROCESSABLE_ENTITY;
    /// The token is missing or wrong.
    Unauthorized = "unauthorized", UNAUTHORIZED;
    /// The caller is known but lacks the permission.
    Forbidden = "forbidden", FORBIDDEN;
    /// The `Host` of the request is not this appliance.
    UnknownHost = "unknown_host", MISDIRECTED_REQUEST;
    /// There is no resource at this path.
    NotFound = "not_found", NOT_FOUND;
    /// No stream of this name.
    UnknownStream = "unknown_stream", NOT_FOUND;
    /// The stream has no output of this id.
    UnknownOutput = "unknown_output", NOT_FOUND;
    /// No preset of this name.
    UnknownPreset = "unknown_preset", NOT_FOUND;
    /// No recording of this name.
    UnknownRecording = "unknown_recording", NOT_FOUND;
    /// No token of this id.
    UnknownToken = "unknown_token", NOT_FOUND;
    /// The recording is being written.
    RecordingOpen = "recording_open", CONFLICT;
    /// There is no picture yet.
    NoPicture = "no_picture", NOT_FOUND;
    /// The session has ended or never existed.
    UnknownSession = "unknown_session", NOT_FOUND;
    /// The path exists, but not with this method.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED;
    /// The name is taken.
    StreamExists = "stream_exists", CONFLICT;
    /// The output id is taken.
    OutputExists = "output_exists", CONFLICT;
    /// The stream belongs to the configuration file.
    ConfigOwned = "config_owned", CONFLICT;
    /// The stream comes from another appliance of the cluster.
    EdgeOwned = "edge_owned", CONFLICT;
    /// Another publisher uses the stream.
    StreamTaken = "stream_taken", CONFLICT;
    /// The stream is not live, so there is nothing to play.
    NotLive = "not_live", CONFLICT;
    /// The stream has no captions in that language.
    NoCaptions = "no_captions", CONFLICT;
    /// The archive search would take too long.
    SearchTooCostly = "search_too_costly", UNPROCESSABLE_ENTITY;
    /// No engine of this machine can do it.
    NoEngine = "no_engine", SERVICE_UNAVAILABLE;
    /// The file has no audio that can be decoded.
    UnsupportedAudio = "unsupported_sound", UNPROCESSABLE_ENTITY;
    /// The segment has left the live window.
    SegmentGone = "segment_gone", NOT_FOUND;
    /// The live stream delivers no media.
    StreamLate = "stream_late", SERVICE_UNAVAILABLE;
    /// The resource has changed since it was read (`If-Match`).
    PreconditionFailed = "precondition_failed", PRECONDITION_FAILED;
    /// The request must name the state of the resource it refers to (`If-Match`).
    PreconditionRequired = "precondition_required", PRECONDITION_REQUIRED;
    /// No codec suits both ends.
    UnsupportedCodecs = "unsupported_codecs", NOT_ACCEPTABLE;
    /// The body did not arrive in time.
    RequestTimeout = "request_timeout", REQUEST_TIMEOUT;
    /// The body is larger than allowed.
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE;
    /// The body has the wrong media type.
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE;
    /// The byte range is outside the file.
    RangeNotSatisfiable = "range_not_satisfiable", RANGE_NOT_SATISFIABLE;
    /// Too many failed tries from this address.
    TooManyRequests = "too_many_requests", TOO_MANY_REQUESTS;
    /// A limit of the appliance is reached.
    LimitReached = "limit_reached", SERVICE_UNAVAILABLE;
    /// The appliance is still starting its streams.
    Starting = "starting", SERVICE_UNAVAILABLE;
    /// The stream met an internal fault and restarts.
    StreamRestarting = "stream_restarting", SERVICE_UNAVAILABLE;
    /// The database server does not answer.
    StoreAway = "store_away", SERVICE_UNAVAILABLE;
    /// The database cannot be written.
    NotStored = "not_stored", SERVICE_UNAVAILABLE;
    /// The appliance is shutting down.
    ShuttingDown = "shutting_down", SERVICE_UNAVAILABLE;
    /// An internal fault; the log has the details.
    Internal = "internal", INTERNAL_SERVER_ERROR;
}

/// An API error. Created where the reason is known, converted to a [`Problem`] at the edge.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    code: Code,
    message: String,
    hint: String,
    retry_after_s: Option<u32>,
}

impl Error {
    /// An error with its cause and advice.
    pub fn new(code: Code, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: hint.into(), retry_after_s: None }
    }

    /// An internal fault: logged with its causes, sent to the client without them.
    pub fn internal(doing: &'static str, error: &dyn std::error::Error) -> Self {
        let hint = "the log has the details: `journalctl -u auralink -e`";
        Self::new(Code::Internal, format!("{doing} failed"), hint).logged(error)
    }

    /// The error of a read from the store that fails. 503 if it is only not there for the moment.
    pub fn reading(doing: &'static str, error: &store::Error) -> Self {
        match error {
            store::Error::Away { .. } => {
                let message = format!("{doing} failed: the database does not answer");
                let away = Self::new(Code::StoreAway, message, error.hint());
                away.retry_after(STORE_AWAY_RETRY_S).logged(error)
            }
            error => Self::internal(doing, error),
        }
    }

    /// Logs the underlying error with its causes, which the client does not get.
    #[must_use]
    pub fn logged(self, error: &dyn std::error::Error) -> Self {
        let mut causes = error.to_string();
        let mut next = error.source();
        while let Some(cause) = next {
            causes = format!("{causes}: {cause}");
            next = cause.source();
        }
        tracing::error!(error = %causes, "the API failed: {}", self.message);
        self
    }

    /// Sets the `Retry-After` header.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// The response body.
    pub fn problem(&self) -> Problem {
        let (message, hint) = (self.message.clone(), self.hint.clone());
        Problem { code: self.code.as_str(), message, hint }
    }

    /// The error code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// Value of the `Retry-After` header, in seconds.
    pub(super) fn retry_after_s(&self) -> Option<u32> {
        self.retry_after_s
    }
}

impl From<runtime::Error> for Error {
    fn from(error: runtime::Error) -> Self {
        use runtime::Error as E;
        let (code, hint) = match &error {
            E::UnknownStream(_) => {
                (Code::UnknownStream, "GET /api/v1/streams lists the streams there are")
            }
            E::UnknownOutput(..) => {
                (Code::UnknownOutput, "GET /api/v1/streams/{name} lists the outputs there are")
            }
            E::StreamExists(_) => {
                (Code::StreamExists, "choose another name, or PUT to change the stream")
            }
            E::OutputExists(..) => {
                (Code::OutputExists, "choose another id, or delete the output first")
            }
            E::Invalid { .. } => {
                (Code::Invalid, "correct the field; /api/v1/openapi.json describes it")
            }
            E::Limit(_) => (Code::LimitReached, "remove what is not needed, or raise [limits]"),
            E::Restarting(_) => {
                (Code::StreamRestarting, "try again in some seconds; GET /api/v1/streams says why")
            }
            E::ShuttingDown => (Code::ShuttingDown, "try again in a few seconds"),
        };
        Self::new(code, error.to_string(), hint)
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let (code, retry) = match refusal.kind {
            RefusalKind::Unauthorized => (Code::Unauthorized, None),
            RefusalKind::UnknownStream => (Code::UnknownStream, None),
            RefusalKind::Taken => (Code::StreamTaken, Some(5)),
            RefusalKind::NotLive => (Code::NotLive, Some(2)),
            RefusalKind::Unsupported => (Code::UnsupportedCodecs, None),
            RefusalKind::Busy => (Code::LimitReached, Some(10)),
        };
        Self { code, message: refusal.message, hint: refusal.hint, retry_after_s: retry }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_documented_and_unique() {
        let page = include_str!("../../docs/errors.md");
        for code in Code::ALL {
            let heading = format!("### `{}` ({})", code.as_str(), code.status().as_u16());
            assert!(page.contains(&heading), "docs/errors.md lacks the heading `{heading}`");
            let same = Code::ALL.iter().filter(|c| c.as_str() == code.as_str()).count();
            assert_eq!(same, 1, "{code:?}");
        }
        let headings = page.lines().filter(|l| l.starts_with("### ")).count();
        assert_eq!(headings, Code::ALL.len(), "docs/errors.md documents a code that is gone");
    }
}
