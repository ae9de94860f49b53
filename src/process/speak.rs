//! Captions as sound, over the original.

use super::captions::Voice;
use crate::media::Language;

/// How captions are spoken. A change starts the node again.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The language that is spoken.
    pub language: Language,
    /// By which voice.
    pub voice: Voice,
    /// By how much the original is lowered under the voice, in dB.
    pub duck_db: f32,
}
