//! Removes words that were not spoken.
//!
//! Engines that were trained on subtitles invent text over silence, music and applause: loops of
//! the same words, thanks for watching, the name of a subtitler. What is almost certainly wrong is
//! dropped here, before it is committed.
//!
//! Invariant: pure.

use crate::media::{Language, Word};

/// Below this mean confidence a hypothesis is dropped. More drops accents and bad lines, less lets
/// inventions pass.
pub(super) const CONFIDENCE_RATIO_MIN: f32 = 0.4;

/// Below this share of speech an utterance is not decoded: it is mostly noise, in which engines
/// invent words.
pub(super) const SPEECH_RATIO_MIN: f32 = 0.35;

/// Below this level, in dB under full scale, a listed phantom phrase is taken for a phantom.
const QUIET_DBFS: f32 = -45.0;

/// Longest repeated group of words that is detected.
const GROUP_WORDS_MAX: usize = 8;

/// Properties of an utterance for judging its words.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence {
    /// Level in dB under full scale.
    pub dbfs: f32,
    /// Share of speech, 0-1.
    pub speech: f32,
}

/// Removes from a hypothesis what was not spoken.
pub fn believe(mut words: Vec<Word>, language: &Language, evidence: Evidence) -> Vec<Word> {
    words.retain(|w| w.text.chars().any(char::is_alphanumeric) && !is_remark(&w.text));
    cut_loops(&mut words);
    let mean = words.iter().map(|w| w.confidence).sum::<f32>() / words.len().max(1) as f32;
    if mean < CONFIDENCE_RATIO_MIN || evidence.speech < SPEECH_RATIO_MIN {
        return Vec::new();
    }
    let doubtful = evidence.dbfs < QUIET_DBFS || evidence.speech < 0.6 || mean < 0.6;
    if doubtful && is_phantom(&words, language) {
        return Vec::new();
    }
    words
}

/// Level in dB under full scale; -120 for silence.
pub fn dbfs(samples: &[f32]) -> f32 {
    let sum: f64 = samples.iter().map(|s| f64::from(*s).powi(2)).sum();
    let power = sum / samples.len().max(1) as f64;
    (10.0 * power.max(1e-12).log10()) as f32
}

/// `[Music]`, `(applause)`, `♪`: annotations, not words.
fn is_remark(text: &str) -> bool {
    let text = text.trim();
    (text.starts_with('[') && text.ends_with(']'))
        || (text.starts_with('(') && text.ends_with(')'))
        || text.contains('♪')
        || (text.starts_with('*') && text.ends_with('*'))
}

fn letters(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Keeps one of a repeated group of words: from four occurrences of one word, three of several
/// words. Fewer occur in real speech.
fn cut_loops(words: &mut Vec<Word>) {
    let texts: Vec<String> = words.iter().map(|w| letters(&w.text)).collect();
    for start in 0..texts.len() {
        for group in 1..=GROUP_WORDS_MAX.min(texts.len() - start) {
            let pattern = &texts[start..start + group];
            let times = texts[start..].chunks(group).take_while(|c| *c == pattern).count();
            let allowed = if group == 1 { 4 } else { 3 };
            if times >= allowed {
                words.truncate(start + group);
                return;
            }
        }
    }
}

/// Whisper's phantoms over silence and music, by language, letters only. Collected from user
/// reports. Each is a whole utterance, so that the same words within a sentence stay.
const PHANTOMS: &[(&str, &[&str])] = &[
    (
        "en",
        &[
            "thankyou",
            "thanks",
            "thankyouverymuch",
            "thanksforwatching",
            "thankyouforwatching",
            "thankyousomuchforwatching",
            "pleasesubscribe",
            "pleasesubscribetomychannel",
            "likeandsubscribe",
            "seeyounexttime",
            "seeyouinthenextvideo",
            "subtitlesbytheamaraorgcommunity",
            "you",
            "bye",
            "byebye",
            "oh",
            "so",
            "hmm",
            "mm",
            "uh",
        ],
    ),
    (
        "de",
        &[
            "untertitelderamaraorgcommunity",
            "untertitelimauftragdeszdffürfunk2017",
            "untertitelungdeszdf2020",
            "vielendank",
            "vielendankfürszuschauen",
            "bisbald",
            "tschüss",
        ],
    ),
    (
        "es",
        &[
            "gracias",
            "graciasporverelvideo",
            "subtítulosporlacomunidaddeamaraorg",
            "subtítulosrealizadosporlacomunidaddeamaraorg",
            "suscríbete",
        ],
    ),
    (
        "fr",
        &[
            "merci",
            "mercidavoirregardécettevidéo",
            "soustitrageradiocanada",
            "soustitresréalisésparalacommunautédamaraorg",
            "soustitresréalisésparlacommunautédamaraorg",
        ],
    ),
    ("it", &["grazie", "grazieperlavisione", "sottotitolicreatidallacomunitàamaraorg"]),
    ("pt", &["obrigado", "legendaspelacomunidadeamaraorg", "inscrevasenocanal"]),
    ("nl", &["bedanktvoorhetkijken", "ondertiteldoordeamaraorggemeenschap", "dankuwel"]),
    ("pl", &["dziękuję", "napisystworzoneprzezspołecznośćamaraorg", "dziękujęzaoglądanie"]),
    ("ru", &["спасибозапросмотр", "субтитрысделалdimatorzok", "продолжениеследует"]),
    (
        "ja",
        &["ご視聴ありがとうございました", "ありがとうございました", "チャンネル登録お願いします"],
    ),
    ("zh", &["谢谢观看", "請不吝點贊訂閱轉發打賞支持明鏡與點點欄目", "字幕由amaraorg社区提供"]),
    ("ko", &["시청해주셔서감사합니다", "감사합니다", "구독과좋아요부탁드립니다"]),
];

fn is_phantom(words: &[Word], language: &Language) -> bool {
    let said: String = words.iter().map(|w| letters(&w.text)).collect();
    let of = |(tag, _): &&(&str, &[&str])| *tag == language.primary();
    PHANTOMS.iter().find(of).is_some_and(|(_, list)| list.contains(&said.as_str()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LOUD: Evidence = Evidence { dbfs: -20.0, speech: 0.9 };
    const QUIET: Evidence = Evidence { dbfs: -60.0, speech: 0.9 };

    fn check(heard: &str, confidence: f32, evidence: Evidence, expect: &str) {
        let word = |text: &str| Word {
            text: text.into(),
            start: Duration::ZERO,
            end: Duration::ZERO,
            confidence,
        };
        let words = heard.split_whitespace().map(word).collect();
        let kept = believe(words, &Language::english(), evidence);
        let kept: Vec<_> = kept.iter().map(|w| w.text.as_str()).collect();
        assert_eq!(kept.join(" "), expect);
    }

    #[test]
    fn loops_are_cut_to_one() {
        check("no no no", 0.9, LOUD, "no no no");
        check("well no no no no no", 0.9, LOUD, "well no");
        check("I am here. I am here, I am here. I am", 0.9, LOUD, "I am here.");
        check("again and again and on", 0.9, LOUD, "again and again and on");
    }

    #[test]
    fn phantoms_are_dropped_where_there_is_no_voice() {
        check("Thanks for watching!", 0.9, QUIET, "");
        check("Thanks for watching!", 0.9, LOUD, "Thanks for watching!");
        check("Thank you.", 0.5, LOUD, "");
        check("He said thank you.", 0.9, QUIET, "He said thank you.");
    }

    #[test]
    fn remarks_are_no_words() {
        check("[Music] ♪ (applause) -- hello", 0.9, LOUD, "hello");
    }

    #[test]
    fn what_the_engine_doubts_is_dropped() {
        check("some words", 0.3, LOUD, "");
        check("some words", 0.9, Evidence { dbfs: -20.0, speech: 0.2 }, "");
    }

    #[test]
    fn levels_are_in_decibels() {
        assert!((dbfs(&[0.1; 100]) + 20.0).abs() < 0.01);
        assert!((dbfs(&[]) + 120.0).abs() < 0.01);
    }
}
