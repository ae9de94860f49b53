//! The registry of outputs: one line for each kind.

use serde::{Deserialize, Serialize};

use super::output::{OutputContext, StreamOutput};
use super::{push, record, trunk};
use crate::flow::Error;
use crate::media::{Accepts, InvalidSetting};

macro_rules! outputs {
    ($($(#[doc = $doc:literal])+ $name:ident($kind:ty) = $word:literal,)+) => {
        /// Kind of an output.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(tag = "type", rename_all = "lowercase")]
        pub enum OutputKind {
            $($(#[doc = $doc])+ $name($kind),)+
        }

        /// The word of each kind.
        #[cfg(test)]
        const WORDS: &[&str] = &[$($word),+];

        impl OutputKind {
            /// `record`, `push` or `trunk`: the `type` of the API.
            pub fn word(&self) -> &'static str {
                match self { $(Self::$name(_) => $word,)+ }
            }

            /// Where it goes, for display: without secrets.
            pub fn shown(&self) -> String {
                match self { $(Self::$name(output) => output.shown(),)+ }
            }

            /// The media that it accepts.
            pub fn accepts(&self) -> Accepts {
                match self { $(Self::$name(output) => StreamOutput::accepts(output),)+ }
            }

            /// Checks the settings without any effect.
            ///
            /// # Errors
            /// The first setting that cannot be used.
            pub fn check(&self) -> Result<(), InvalidSetting> {
                match self { $(Self::$name(output) => output.check(),)+ }
            }

            /// Whether opening it reads files that the admin names; such a read may hang.
            pub fn reads_files(&self) -> bool {
                match self { $(Self::$name(output) => output.reads_files(),)+ }
            }

            /// Delivers the inputs until the task is cancelled.
            ///
            /// # Errors
            /// Why it cannot go on; it is then started again.
            pub async fn run(self, context: OutputContext) -> Result<(), Error> {
                match self { $(Self::$name(output) => output.run(context).await,)+ }
            }
        }
    };
}

outputs! {
    /// Writes files.
    Record(record::Settings) = "record",
    /// Sends to a server.
    Push(push::PushOutput) = "push",
    /// Sends to another appliance or to a WHIP server.
    Trunk(trunk::Settings) = "trunk",
}

impl OutputKind {
    /// The settings, without the address and the token.
    pub fn settings(&self) -> serde_json::Value {
        let mut settings = serde_json::to_value(self).unwrap_or_default();
        if let Some(fields) = settings.as_object_mut() {
            fields.retain(|name, _| !["type", "url", "token"].contains(&name.as_str()));
        }
        settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_the_types_of_the_api() {
        for word in WORDS {
            let read = serde_json::from_value::<OutputKind>(serde_json::json!({ "type": word }));
            // Settings may be missing.
            let unknown = read.is_err_and(|error| error.to_string().contains("variant"));
            assert!(!unknown, "`{word}` is no type");
        }
    }
}
