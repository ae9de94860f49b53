//! What a translation engine is.

use std::ops::Range;

use futures::future::BoxFuture;
use serde::Serialize;

use super::Error;
use crate::media::Language;

/// One pair that this machine can translate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Pair {
    /// Language of the text.
    #[schema(value_type = String, example = "en")]
    pub from: Language,
    /// Language of the translation.
    #[schema(value_type = String, example = "fr")]
    pub to: Language,
    /// The engine: `basic`, `libretranslate`, `openai` or `ct2`.
    pub engine: String,
    /// Languages between the two, where the engine has no direct way.
    #[schema(value_type = Vec<String>)]
    pub via: Vec<Language>,
}

/// One text to translate, as engines get it: one line, not empty, of bounded length.
#[derive(Clone, Debug)]
pub struct Job {
    /// The text.
    pub text: String,
    /// Its language.
    pub from: Language,
    /// The language that is wanted.
    pub to: Language,
    /// What was said before, where it is known.
    pub context: Option<String>,
    /// Places in the text, in bytes, with what stands there afterwards: sorted, not overlapping.
    pub fixed: Vec<(Range<usize>, String)>,
}

/// What an engine makes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The translation.
    pub text: String,
    /// The model that made it.
    pub model: Option<String>,
}

/// An engine that translates.
pub trait Translator: Send + Sync {
    /// Whether it has a pair, as far as it knows without asking anybody.
    fn can(&self, from: &Language, to: &Language) -> bool;

    /// The pairs that it knows of.
    fn pairs(&self) -> Vec<Pair>;

    /// Learns which pairs there are, where somebody must be asked.
    fn refresh(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }

    /// Translates. Dropping the future gives up.
    fn translate<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<Output, Error>>;
}
