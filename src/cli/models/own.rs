//! Arguments of `auralink models import` for a model without a manifest.

use anyhow::Context;
use clap::Args;

use crate::models::{Engine, Languages, Own, Task};

/// Description of a custom model.
#[derive(Debug, Args)]
pub(super) struct OwnArguments {
    /// Import a custom model, which has no manifest, under this id.
    #[arg(long = "as", value_name = "ID", requires_all = ["own_task", "engine", "language"])]
    id: Option<String>,
    /// What it does: stt, vad, translate or tts.
    #[arg(long = "task", id = "own_task", value_name = "TASK", requires = "id")]
    task: Option<Task>,
    /// What runs it: whisper, silero, ct2 or piper.
    #[arg(long, requires = "id")]
    engine: Option<Engine>,
    /// Languages that it transcribes, speaks or translates from, joined by commas; * for all.
    #[arg(long, value_name = "LANGUAGES", requires = "id")]
    language: Option<String>,
    /// Languages that it translates into.
    #[arg(long, value_name = "LANGUAGES", requires = "id")]
    into: Option<String>,
    /// Its SPDX licence identifier.
    #[arg(long, value_name = "SPDX", requires = "id")]
    licence: Option<String>,
    /// It may be used commercially.
    #[arg(long, requires = "id")]
    commercial: bool,
}

impl OwnArguments {
    /// The description of the custom model, if one was given.
    pub(super) fn own(self) -> anyhow::Result<Option<Own>> {
        let (Some(id), Some(task), Some(engine), Some(language)) =
            (self.id, self.task, self.engine, self.language)
        else {
            return Ok(None);
        };
        Ok(Some(Own {
            id,
            task,
            engine,
            languages: languages(&language).context("--language")?,
            into: self.into.as_deref().map(languages).transpose().context("--into")?,
            licence: self.licence,
            commercial: self.commercial,
        }))
    }
}

fn languages(text: &str) -> anyhow::Result<Languages> {
    if text == "*" {
        return Ok(Languages::Any);
    }
    let tags: Result<Vec<_>, _> = text.split(',').map(|tag| tag.trim().parse()).collect();
    Ok(Languages::Only(tags?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_joined_by_commas() {
        let check = |text: &str, expect: Option<&str>| {
            assert_eq!(languages(text).ok().map(|l| l.to_string()).as_deref(), expect, "{text}");
        };
        check("en", Some("en"));
        check("en, pt-BR", Some("en pt-BR"));
        check("*", Some("any"));
        check("english", None);
        check("", None);
    }
}
