//! Forced alignment: when each word of a known text is spoken.
//!
//! PocketSphinx hears the audio with a grammar that allows the text and nothing else, so its search
//! only decides where words begin and end. Words that its dictionary lacks get rough phones from
//! their letters: their neighbours, which it knows, hold them in place.

use super::decode::{settings, spoken};
use super::sys::{Decoder, Segment};

/// Most words that may be added to the dictionary: about 1 MB.
const ADDED_WORDS_MAX: usize = 10_000;

const FILES: &[(&str, &str)] = &[("-hmm", "en-us"), ("-dict", "cmudict-en-us.dict")];

/// There is one path to search, so none is given up early, and all audio is at hand, so its
/// normalisation needs no past.
const SETTINGS: &[(&str, &str)] = &[
    ("-remove_silence", "no"),
    ("-cmn", "batch"),
    ("-beam", "1e-150"),
    ("-pbeam", "1e-150"),
    ("-wbeam", "1e-150"),
    ("-logfn", "/dev/null"),
];

/// Phones of letters, longest first, in the set of CMU's dictionary.
const LETTER_PHONES: &[(&str, &str)] = &[
    ("sch", "SH"),
    ("ch", "CH"),
    ("ck", "K"),
    ("ee", "IY"),
    ("ea", "IY"),
    ("ng", "NG"),
    ("oo", "UW"),
    ("ou", "AW"),
    ("ph", "F"),
    ("qu", "K W"),
    ("sh", "SH"),
    ("th", "TH"),
    ("a", "AE"),
    ("b", "B"),
    ("c", "K"),
    ("d", "D"),
    ("e", "EH"),
    ("f", "F"),
    ("g", "G"),
    ("h", "HH"),
    ("i", "IH"),
    ("j", "JH"),
    ("k", "K"),
    ("l", "L"),
    ("m", "M"),
    ("n", "N"),
    ("o", "AA"),
    ("p", "P"),
    ("q", "K"),
    ("r", "R"),
    ("s", "S"),
    ("t", "T"),
    ("u", "AH"),
    ("v", "V"),
    ("w", "W"),
    ("x", "K S"),
    ("y", "IY"),
    ("z", "Z"),
    ("0", "Z IH R OW"),
    ("1", "W AH N"),
    ("2", "T UW"),
    ("3", "TH R IY"),
    ("4", "F AO R"),
    ("5", "F AY V"),
    ("6", "S IH K S"),
    ("7", "S EH V AH N"),
    ("8", "EY T"),
    ("9", "N AY N"),
];

/// An aligner, used by one thread at a time.
pub struct Aligner {
    decoder: Decoder,
    added: usize,
}

impl Aligner {
    /// An aligner with Debian's English model; `None` if it is not installed.
    pub fn find() -> Option<Self> {
        let model = super::installed_model()?;
        let settings = settings(model, FILES, SETTINGS);
        Decoder::new(&settings).ok().map(|decoder| Self { decoder, added: 0 })
    }

    /// Start and end of each word in ms from the first sample; a word without letters has no length.
    ///
    /// `None`: the audio and the text do not fit, or a word cannot be pronounced.
    pub fn align(&mut self, words: &[&str], samples: &[i16]) -> Option<Vec<(u32, u32)>> {
        let parts: Vec<Vec<String>> = words.iter().map(|word| spoken_parts(word)).collect();
        for part in parts.iter().flatten() {
            self.learn(part)?;
        }
        let text: Vec<&str> = parts.iter().flatten().map(String::as_str).collect();
        if text.is_empty() {
            return None;
        }
        let grammar = format!("#JSGF V1.0; grammar text; public <text> = {};", text.join(" "));
        self.decoder.set_grammar(&grammar).ok()?;
        self.decoder.start().ok()?;
        let heard = self.decoder.process(samples, true);
        self.decoder.end().ok()?;
        heard.ok()?;
        place(&parts, &self.decoder.segments(false))
    }

    /// Makes sure that the dictionary has a part of a word.
    fn learn(&mut self, part: &str) -> Option<()> {
        if self.decoder.knows(part) {
            return Some(());
        }
        if self.added >= ADDED_WORDS_MAX {
            return None;
        }
        self.added += 1;
        self.decoder.add_word(part, &rough_phones(part)?).ok()
    }
}

/// What is spoken of a word, as the dictionary writes it: `well-known,` has two parts.
fn spoken_parts(word: &str) -> Vec<String> {
    let lower = word.to_lowercase().replace('\u{2019}', "'");
    let parts = lower.split(|c: char| !c.is_ascii_alphanumeric() && c != '\'');
    let plain = |part: &str| match part {
        // Keywords of JSGF; the other spelling is a word.
        "grammar" | "import" | "public" => format!("{part}_"),
        _ => part.to_owned(),
    };
    parts.map(|part| part.trim_matches('\'')).filter(|p| !p.is_empty()).map(plain).collect()
}

/// Phones of a word by its letters; `None` if it has none.
fn rough_phones(word: &str) -> Option<String> {
    let (mut phones, mut rest) = (Vec::new(), word);
    while let Some(first) = rest.chars().next() {
        let known = LETTER_PHONES.iter().find(|(letters, _)| rest.starts_with(letters));
        phones.extend(known.map(|(_, phones)| *phones));
        rest = &rest[known.map_or(first.len_utf8(), |(letters, _)| letters.len())..];
    }
    (!phones.is_empty()).then(|| phones.join(" "))
}

/// Gives each word the time from its first to its last part.
fn place(words: &[Vec<String>], heard: &[Segment]) -> Option<Vec<(u32, u32)>> {
    let mut heard = spoken(heard);
    let mut until = 0;
    let mut times = Vec::with_capacity(words.len());
    for parts in words {
        let mut start = None;
        for part in parts {
            let (_, first, last, _) = heard.next().filter(|(text, ..)| text == part)?;
            start = start.or(Some(first));
            until = last;
        }
        times.push((start.unwrap_or(until), until));
    }
    heard.next().is_none().then_some(times)
}
