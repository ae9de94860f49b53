//! Who calls, and what a caller may do.

use serde::{Deserialize, Serialize};

/// A permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Read the state, and watch.
    View,
    /// Change streams, outputs and recordings; read the tokens of publishers.
    Operate,
    /// Make and delete tokens of the API.
    Administer,
    /// Ask as another appliance of the cluster: how a stream is played, and the load.
    Cluster,
}

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

/// An authenticated caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// Has sent the admin token, or signed in with it.
    Admin,
    /// Has sent a token of the API, or signed in with it.
    Token {
        /// Id of the token.
        id: String,
        /// Its role.
        role: Role,
    },
    /// Any client: the configuration sets `api.open = true`.
    Anybody,
    /// Another appliance, which has sent the token of the cluster.
    Appliance,
}

impl Scope {
    /// The word in the OpenAPI document.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Operate => "operate",
            Self::Administer => "administer",
            Self::Cluster => "cluster",
        }
    }
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

impl Principal {
    /// Whether the principal has this permission.
    pub fn may(&self, scope: Scope) -> bool {
        match self {
            Self::Admin | Self::Anybody => true,
            Self::Token { role, .. } => role.may(scope),
            Self::Appliance => scope == Scope::Cluster,
        }
    }

    /// The role that it has for the page; `None` for another appliance.
    pub fn role(&self) -> Option<Role> {
        match self {
            Self::Admin | Self::Anybody => Some(Role::Admin),
            Self::Token { role, .. } => Some(*role),
            Self::Appliance => None,
        }
    }
}
