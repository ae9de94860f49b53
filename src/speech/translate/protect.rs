//! Words that an engine must keep, replaced by invented names meanwhile.

use std::ops::Range;

/// Most protected words per text: two letters of ten give a hundred stand-ins.
const SLOTS_MAX: usize = 100;

/// A text with words replaced by stand-ins: unknown names, which rule-based and statistical engines
/// copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Protected {
    /// The text for the engine.
    pub(super) text: String,
    /// Stand-ins and the words in their place.
    slots: Vec<(String, String)>,
}

impl Protected {
    /// Replaces the ranges `fixed` of `text` (sorted, not overlapping); each comes with its final
    /// text.
    pub(super) fn new(text: &str, fixed: &[(Range<usize>, String)]) -> Self {
        let (mut out, mut slots, mut from) = (String::with_capacity(text.len()), Vec::new(), 0);
        for (at, stays) in fixed.iter().take(SLOTS_MAX) {
            let stand_in = stand_in(slots.len());
            out.push_str(&text[from..at.start]);
            out.push_str(&stand_in);
            slots.push((stand_in, stays.clone()));
            from = at.end;
        }
        out.push_str(&text[from..]);
        Self { text: out, slots }
    }

    /// The translation with the words restored; `None` if the engine has lost one.
    pub(super) fn restore(&self, translated: &str) -> Option<String> {
        let mut out = translated.to_owned();
        for (stand_in, stays) in &self.slots {
            // Engines change the case of names. Stand-ins are ASCII, so offsets stay the same.
            let at = out.to_ascii_lowercase().find(&stand_in.to_ascii_lowercase())?;
            out.replace_range(at..at + stand_in.len(), stays);
        }
        Some(out)
    }
}

/// `Zqabx`: two letters count; the others occur in no dictionary.
fn stand_in(n: usize) -> String {
    let letter = |n: usize| char::from(b"abdefghklm"[n % 10]);
    format!("Zq{}{}xv", letter(n / 10), letter(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_back_whatever_an_engine_does_to_their_case_and_order() {
        let fixed = [(0..4, "Anna".to_owned()), (9..12, "Board".to_owned())];
        let protected = Protected::new("anna met BBC.", &fixed);
        assert_eq!(protected.text, "Zqaaxv met Zqabxv.");
        let restored = protected.restore("A ZQABXV la conoció zqaaxv.");
        assert_eq!(restored.as_deref(), Some("A Board la conoció Anna."));
        assert_eq!(protected.restore("Zqaaxv alone"), None);
    }
}
