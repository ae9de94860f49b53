//! Where a stream is defined, and what may be changed of it there.

use serde::Serialize;

use crate::control::problem::{Code, Error};
use crate::media::StreamName;

/// Where a stream is defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    /// In the API; stored in the database.
    Api,
    /// In the configuration file. Changes by the API last until the next start.
    Config,
    /// In the appliance itself: the demo.
    Demo,
    /// At another appliance of the cluster, from which it comes. Nothing of it can be changed here.
    Edge,
}

/// The part of a stream that a change affects. Streams that the API does not own allow fewer parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Any part: only streams of the API.
    Whole,
    /// The set of outputs: not for streams of the configuration file.
    Outputs,
    /// Whether an output is on, noise suppression, captions: all streams but those of an origin. If the
    /// API does not own the stream, the change lasts until the next start.
    Settings,
}

impl Part {
    /// Whether this part may be changed of a stream with this owner.
    pub(super) fn is_open_to(self, owner: Option<Owner>) -> bool {
        match self {
            Self::Whole => !matches!(owner, Some(Owner::Config | Owner::Demo | Owner::Edge)),
            Self::Outputs => !matches!(owner, Some(Owner::Config | Owner::Edge)),
            Self::Settings => owner != Some(Owner::Edge),
        }
    }
}

/// The error for a change of a stream that the API does not own.
pub(super) fn not_ours(name: &StreamName, owner: Option<Owner>) -> Error {
    match owner {
        Some(Owner::Edge) => Error::new(
            Code::EdgeOwned,
            format!("stream `{name}` comes from another appliance of the cluster"),
            "change it there: GET /api/v1/cluster tells where it comes from",
        ),
        _ => config_owned(name),
    }
}

fn config_owned(name: &StreamName) -> Error {
    Error::new(
        Code::ConfigOwned,
        format!("stream `{name}` is not the API's to change for good"),
        "it is declared in the configuration file (or is the demo): edit [[streams]] there and \
         reload with `systemctl reload auralink`",
    )
}
