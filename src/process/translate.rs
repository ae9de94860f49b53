//! Captions in another language.

use crate::media::Language;

/// How captions are translated. A change starts the node again.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The language that is wanted.
    pub to: Language,
    /// Engines in the order of preference; empty: the best for each pair.
    pub engines: Vec<String>,
}
