//! The interface of a translation engine, and a check of what it returns.

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

/// One text as an engine receives it: one line, not empty, of bounded length.
#[derive(Clone, Debug)]
pub struct Job {
    /// The text.
    pub text: String,
    /// Language of the text.
    pub from: Language,
    /// Language of the translation.
    pub to: Language,
    /// The preceding text, if known.
    pub context: Option<String>,
    /// Ranges of the text, in bytes, each with its text in the translation: sorted, not
    /// overlapping.
    pub fixed: Vec<(Range<usize>, String)>,
}

/// The answer of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The translation.
    pub text: String,
    /// The model that made it.
    pub model: Option<String>,
}

/// An engine that translates.
pub trait Translator: Send + Sync {
    /// Whether it has a pair, as far as it knows without a request to a server.
    fn can(&self, from: &Language, to: &Language) -> bool;

    /// The pairs known to the engine.
    fn pairs(&self) -> Vec<Pair>;

    /// Learns the available pairs, for engines that must ask a server.
    fn refresh(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }

    /// Translates. Dropping the future cancels it.
    fn translate<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<Output, Error>>;
}

/// Why a text cannot be a translation of `original`, if so; applied to generative engines.
pub(super) fn suspicious(original: &str, translated: &str) -> Option<String> {
    let (before, after) = (original.chars().count(), translated.chars().count());
    if translated.trim().is_empty() {
        return Some("it is empty".to_owned());
    }
    // Short phrases may grow a lot; German takes 1.4 times the space of English.
    if after > 4 * before + 40 {
        return Some(format!("{after} characters for {before} are no translation"));
    }
    None
}
