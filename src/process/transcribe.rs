//! Captions of what is said in a feed of raw sound.

use super::captions::Spoken;

/// How words are heard. A change starts the node again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// The language that is spoken.
    pub language: Spoken,
    /// Engines in the order of preference; empty: the best of this machine.
    pub engines: Vec<String>,
    /// Model of the first engine that has models.
    pub model: Option<String>,
}
