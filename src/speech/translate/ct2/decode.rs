//! The child: one model, one text at a time.

use std::collections::HashSet;
use std::path::Path;

use ct2rs::sys::{Config, TranslationOptions, Translator};
use sentencepiece::SentencePieceProcessor;

use super::tokens::{END, Family};
use super::wire::{Answer, Question};
use crate::media::Language;
use crate::speech::engine;

/// Hypotheses in parallel. The models' authors use four to six, which takes twice the time for half
/// a point.
const BEAM_HYPOTHESES: usize = 2;

/// Most pieces of a text, as in training. The rest is cut off.
const PIECES_MAX: usize = 510;

/// Most pieces of a translation per piece of the text, besides [`SPARE_PIECES`]: limits a rambling
/// model.
const GROWTH_FACTOR: usize = 3;
/// Pieces that a translation of any text may have: short texts grow by more.
const SPARE_PIECES: usize = 16;

struct Loaded {
    translator: Translator,
    family: Family,
    split: SentencePieceProcessor,
    join: SentencePieceProcessor,
    /// The vocabulary's words for languages; others are never requested.
    languages: HashSet<String>,
    /// Whether CTranslate2 itself appends the end token.
    ends: bool,
}

/// Serves requests until the parent is gone.
///
/// # Errors
/// If the pipes break.
pub fn serve(folder: &Path, threads: usize) -> std::io::Result<()> {
    let mut loaded = None;
    engine::serve(|question, _| {
        if loaded.is_none() {
            let at = |reason| format!("cannot load the model {}: {reason}", folder.display());
            loaded = Some(load(folder, threads).map_err(at)?);
        }
        let Some(model) = &loaded else { return Err("no model".to_owned()) };
        match question {
            Question::Load => Ok(Answer::default()),
            Question::Translate { text, from, to } => {
                let text = model.translate(&text, &from, &to)?;
                Ok(Answer { text })
            }
        }
    })
}

fn load(folder: &Path, threads: usize) -> Result<Loaded, String> {
    let (family, [split, join]) =
        Family::of(folder).ok_or("it has none of the SentencePiece files that are known")?;
    let pieces = |name: &str| {
        SentencePieceProcessor::open(folder.join(name)).map_err(|e| format!("{name}: {e}"))
    };
    let (split, join) = (pieces(split)?, pieces(join)?);
    let config = Config { num_threads_per_replica: threads, ..Config::default() };
    let translator = Translator::new(folder, &config).map_err(|e| e.to_string())?;
    Ok(Loaded { translator, family, split, join, languages: languages(folder), ends: ends(folder) })
}

/// Words of the vocabulary such as `>>por<<` and `<2pt>`.
fn languages(folder: &Path) -> HashSet<String> {
    let names = ["shared_vocabulary.json", "source_vocabulary.json"];
    let text = names.iter().find_map(|name| std::fs::read_to_string(folder.join(name)).ok());
    let words: Vec<String> =
        text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let of_language = |w: &String| w.starts_with(">>") || w.starts_with("<2");
    words.into_iter().filter(of_language).collect()
}

fn ends(folder: &Path) -> bool {
    let text = std::fs::read_to_string(folder.join("config.json")).unwrap_or_default();
    let config: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    config["add_source_eos"].as_bool().unwrap_or(false)
}

impl Loaded {
    fn translate(&self, text: &str, from: &str, to: &str) -> Result<String, String> {
        let language = |tag: &str| tag.parse::<Language>().map_err(|e| e.to_string());
        let (from, to) = (language(from)?, language(to)?);
        let knows = |token: &str| self.languages.contains(token);
        let before = self.family.before_text(&from, &to, knows);
        let (mut source, text) = match before {
            // MADLAD was trained with it as part of the text, after the piece that begins a word.
            Some(before) if self.family == Family::Madlad => {
                (Vec::new(), format!("{before} {text}"))
            }
            before => (before.into_iter().collect::<Vec<_>>(), text.to_owned()),
        };
        let pieces = self.split.encode(&text).map_err(|e| e.to_string())?;
        let count = pieces.len();
        source.extend(pieces.into_iter().take(PIECES_MAX).map(|p| p.piece));
        if !self.ends {
            source.push(END.to_owned());
        }
        let options = TranslationOptions {
            beam_size: BEAM_HYPOTHESES,
            max_decoding_length: GROWTH_FACTOR * count.min(PIECES_MAX) + SPARE_PIECES,
            ..TranslationOptions::default()
        };
        let prefix: Vec<String> = self.family.before_translation(&to).into_iter().collect();
        let results = if prefix.is_empty() {
            self.translator.translate_batch(&[source], &options, None)
        } else {
            let prefixes = [prefix.clone()];
            self.translator.translate_batch_with_target_prefix(&[source], &prefixes, &options, None)
        };
        let result = results.map_err(|e| e.to_string())?.into_iter().next();
        let best = result.and_then(|r| r.hypotheses.into_iter().next()).unwrap_or_default();
        let special = |piece: &String| prefix.contains(piece) || piece == END;
        let words: Vec<String> = best.into_iter().filter(|p| !special(p)).collect();
        self.join.decode_pieces(&words).map_err(|e| e.to_string())
    }
}
