//! Phonemes of a text, by the program `espeak-ng`: the IPA that Piper voices were trained on.
//!
//! The program drops punctuation, which a voice needs for its pauses and its melody. So each clause
//! is a paragraph of the input, and an empty phoneme string between two of them leaves an empty
//! line in the output. The program and not its library: the library is under the GPL and would
//! become a part of this program.

use crate::speech::tts::sentences::clauses;
use crate::speech::tts::{Error, process};

/// Longest output for one sentence, in bytes.
const OUTPUT_BYTES_MAX: usize = 64 << 10;

/// A paragraph of a phoneme that has no sign: an empty line in the output.
const BOUNDARY: &str = "\n\n[[_:]]\n\n";

/// Phonemes of a sentence, with its punctuation.
///
/// # Errors
/// The program is missing or ends with an error, such as one for a voice that it does not have.
pub(super) async fn phonemes(program: &str, voice: &str, text: &str) -> Result<String, Error> {
    let clauses = clauses(text);
    let words: Vec<&str> = clauses.iter().map(|clause| clause.words).collect();
    let arguments = ["-q", "--ipa", "-v", voice, "-b", "1", "--stdin"].map(str::to_owned);
    let input = words.join(BOUNDARY);
    let output = process::run("piper", program, &arguments, &input, OUTPUT_BYTES_MAX).await?;
    let marks: Vec<Option<char>> = clauses.iter().map(|clause| clause.mark).collect();
    Ok(punctuated(&String::from_utf8_lossy(&output), &marks))
}

/// Puts the marks of the clauses back. Several lines of one clause, which espeak-ng makes after
/// `Mr.`, are one.
fn punctuated(output: &str, marks: &[Option<char>]) -> String {
    let mut parts = vec![Vec::new()];
    for line in output.lines().map(str::trim) {
        match line.is_empty() {
            true => parts.push(Vec::new()),
            false => parts.last_mut().into_iter().for_each(|part| part.push(line)),
        }
    }
    let mut parts: Vec<String> = parts.iter().map(|lines| lines.join(" ")).collect();
    // A clause that espeak-ng cannot read is an empty line too: which one is unknown.
    let same = parts.len() == marks.len();
    if !same {
        parts.retain(|part| !part.is_empty());
    }
    let last = parts.len().saturating_sub(1);
    let mut all = String::new();
    for (n, part) in parts.iter().enumerate() {
        all.push_str(&without_switches(part));
        let known = if same { marks[n] } else { marks.last().copied().flatten() };
        all.extend(known.filter(|_| same || n == last));
        if n < last {
            all.push(' ');
        }
    }
    all
}

/// Without espeak-ng's notes of another language: `(en)wˈɔːz(fr)`.
fn without_switches(line: &str) -> String {
    let mut kept = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('(') {
        kept.push_str(before);
        rest = after.split_once(')').map_or("", |(_, after)| after);
    }
    kept + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn punctuation_comes_back_to_its_clause() {
        let check = |output: &str, marks: &str, expect: &str| {
            let marks: Vec<_> = marks.chars().map(|c| Some(c).filter(|c| *c != '-')).collect();
            assert_eq!(punctuated(output, &marks), expect, "{output}");
        };
        check("həlˈoʊ\n\nwˈɜːld\n", ",.", "həlˈoʊ, wˈɜːld.");
        check(" mˈɪstɚ\nsmˈɪθ\n\njˈɛs\n", "?-", "mˈɪstɚ smˈɪθ? jˈɛs");
        // A clause was not read: only the last mark is sure.
        check("a\n\n\n\nb\n", ",,!", "a b!");
        check("a\n\nb\n", ",;!", "a b!");
        check("stˈaʁ (en)wˈɔːz(fr) avˌɛk\n", ".", "stˈaʁ wˈɔːz avˌɛk.");
        check("", ".", ".");
    }

    #[tokio::test]
    async fn espeak_writes_phonemes() {
        let text = "Hello, Mr. Smith. Are you 3.5 or [ [4]?";
        match phonemes("espeak-ng", "en-us", text).await {
            Ok(found) => {
                assert!(found.starts_with("həlˈoʊ, mˈɪstɚ smˈɪθ. "), "{found}");
                assert!(found.ends_with("fˈoːɹ?"), "{found}");
            }
            Err(_) => return crate::needs::skip("espeak-ng"),
        }
        let unknown = phonemes("espeak-ng", "xx-none", text).await;
        assert!(matches!(unknown, Err(Error::Died { .. })), "{unknown:?}");
        assert!(phonemes("no-such-program", "en-us", text).await.is_err());
    }
}
