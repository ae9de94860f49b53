//! Roles: which permissions the holder of a token has.

use serde::{Deserialize, Serialize};

use super::Scope;

/// What the holder of a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads the state, and watches.
    Viewer,
    /// Changes streams, outputs and recordings too, and reads the tokens of publishers.
    Operator,
    /// Makes and deletes tokens of the API too.
    Admin,
}

impl Role {
    /// Every role, the least first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// The word in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// Reads the word of the API.
    pub fn read(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }

    /// Whether the role has this permission. Only appliances ask as such.
    pub fn may(self, scope: Scope) -> bool {
        match scope {
            Scope::View => true,
            Scope::Operate => self != Self::Viewer,
            Scope::Administer => self == Self::Admin,
            Scope::Cluster => false,
        }
    }
}
