//! Translates captions into another language.

use std::sync::Arc;
use std::time::Duration;

use super::node::{CaptionsContext, CaptionsNode};
use super::sentences::Sentences;
use crate::flow::{self, CueFeed, Error, Task};
use crate::media::{Cue, Language, Origin};
use crate::speech::glossary::Glossary;
use crate::speech::translate::{Request, Translators};

/// Sentences older than this are skipped: a late caption is worse than none.
const LATE_MAX: Duration = Duration::from_secs(15);

/// Settings of translation. A change restarts the node.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The target language.
    pub to: Language,
    /// Engines in the order of preference; empty: the best for each pair.
    pub engines: Vec<String>,
    /// Terms that stay unchanged, and replacements.
    pub glossary: Arc<Glossary>,
}

/// Translates the sentences of `input` into `output` until cancelled, each from its own language. A
/// sentence already in the target language passes through. Reports `engine`, `from` (the language
/// of the last sentence), `took_ms`, `translated`, `late` (skipped
/// because the engine was behind), and `failed` with the last `error`.
///
/// # Errors
/// None: a sentence that no engine can translate is counted, and the next is tried.
pub async fn run(
    task: Task,
    input: CueFeed,
    output: CueFeed,
    translators: Arc<Translators>,
    settings: Settings,
) -> Result<(), Error> {
    let mut cues = input.subscribe();
    let mut sentences = Sentences::default();
    let cancel = task.cancel.clone();
    let mut work =
        Work { task, output, translators, settings, said: None, totals: Totals::default() };
    work.task.status.set_running();
    loop {
        let patience = sentences.patience(now());
        let done = tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            cue = cues.next() => match cue.is_committed() {
                true => sentences.push(cue, now()),
                false => continue,
            },
            () = tokio::time::sleep(patience.unwrap_or_default()), if patience.is_some() => {
                sentences.flush().into_iter().collect()
            }
        };
        for sentence in done {
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                () = work.translate(sentence) => {}
            }
        }
    }
}

fn now() -> Duration {
    Duration::from_nanos(flow::now().nseconds())
}

#[derive(Default)]
struct Totals {
    translated: u64,
    late: u64,
    failed: u64,
}

struct Work {
    task: Task,
    output: CueFeed,
    translators: Arc<Translators>,
    settings: Settings,
    /// The previous sentence, as context for the next in its language.
    said: Option<Cue>,
    totals: Totals,
}

impl Work {
    async fn translate(&mut self, sentence: Cue) {
        let to = self.settings.to.clone();
        if sentence.language.same_language(&to) {
            self.output.publish(sentence);
            return;
        }
        let context = self.context(&sentence.language);
        let status = &self.task.status;
        if now().saturating_sub(sentence.end) > LATE_MAX {
            self.totals.late += 1;
            status.set("late", self.totals.late);
            return;
        }
        let request = Request {
            text: sentence.text.clone(),
            from: sentence.language.clone(),
            to: to.clone(),
            engines: self.settings.engines.clone(),
            context,
            glossary: Arc::clone(&self.settings.glossary),
        };
        match self.translators.translate(&request).await {
            Ok(translation) => {
                self.totals.translated += 1;
                status.set("translated", self.totals.translated);
                status.set("engine", translation.engine);
                status.set("took_ms", translation.took.as_millis() as u64);
                let origin =
                    Origin { engine: translation.engine.to_owned(), model: translation.model };
                status.set("from", sentence.language.as_str());
                self.output.publish(Cue {
                    language: to,
                    text: translation.text,
                    words: Arc::default(),
                    ends_sentence: true,
                    origin: Arc::new(origin),
                    ..sentence.clone()
                });
            }
            Err(error) => {
                self.totals.failed += 1;
                status.set("failed", self.totals.failed);
                status.set("error", error.to_string());
            }
        }
        self.said = Some(sentence);
    }

    fn context(&mut self, language: &Language) -> Option<String> {
        self.said.take().filter(|said| said.language == *language).map(|said| said.text)
    }
}

impl CaptionsNode for Settings {
    fn describe(&self) -> String {
        format!("translation to {}", self.to.name())
    }

    async fn run(self, context: CaptionsContext) -> Result<(), Error> {
        let CaptionsContext { task, captions, output, services, .. } = context;
        let Some(captions) = captions.into_iter().next() else {
            return Err(Error::build(&task.name, "there are no captions in the spoken language"));
        };
        run(task, captions, output, services.translators, self).await
    }
}
