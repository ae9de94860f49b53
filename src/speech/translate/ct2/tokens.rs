//! How each family of models is given the source and target language.

use std::path::Path;

use crate::media::Language;

/// End of a sentence, in all three families.
pub(super) const END: &str = "</s>";

/// A family of models, recognised by its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// OPUS-MT (Marian): one pair, two vocabularies of pieces. Models of several targets take the
    /// target in front of the text, `>>por<<`.
    Opus,
    /// M2M-100: the source in front of the text, `__en__`, the target in front of the translation.
    M2m,
    /// MADLAD-400 (T5): the target in front of the text, `<2es>`.
    Madlad,
}

impl Family {
    /// The family of the model in a folder, with the files that split text into pieces and join
    /// them.
    pub(super) fn of(folder: &Path) -> Option<(Self, [&'static str; 2])> {
        const FILES: [(Family, [&str; 2]); 3] = [
            (Family::Opus, ["source.spm", "target.spm"]),
            (Family::M2m, ["sentencepiece.bpe.model", "sentencepiece.bpe.model"]),
            (Family::Madlad, ["sentencepiece.model", "sentencepiece.model"]),
        ];
        FILES.into_iter().find(|(_, files)| files.iter().all(|f| folder.join(f).is_file()))
    }

    /// The token in front of the text, if the model knows one for the language.
    pub(super) fn before_text(
        self,
        from: &Language,
        to: &Language,
        knows: impl Fn(&str) -> bool,
    ) -> Option<String> {
        match self {
            Self::Opus => targets(to).into_iter().find(|t| knows(t)),
            Self::M2m => Some(format!("__{}__", m2m(from))),
            Self::Madlad => tags(to).map(|tag| format!("<2{tag}>")).find(|t| knows(t)),
        }
    }

    /// The token that the translation begins with; it is not part of the translation.
    pub(super) fn before_translation(self, to: &Language) -> Option<String> {
        (self == Self::M2m).then(|| format!("__{}__", m2m(to)))
    }
}

/// M2M-100 has its own codes for two languages.
fn m2m(language: &Language) -> &str {
    match language.primary() {
        "nb" | "nn" => "no",
        "fil" => "tl",
        other => other,
    }
}

/// The tag as MADLAD writes it (`pt_BR`), then without region.
fn tags(to: &Language) -> impl Iterator<Item = String> {
    [to.as_str().replace('-', "_"), to.primary().to_owned()].into_iter()
}

/// Possible names of a target in OPUS-MT, the most specific first.
fn targets(to: &Language) -> Vec<String> {
    let traditional = ["Hant", "TW", "HK"].iter().any(|part| to.as_str().contains(part));
    let (long, script) = match to.primary() {
        "zh" => ("cmn", if traditional { "Hant" } else { "Hans" }),
        "ar" => ("ara", "Arab"),
        "ca" => ("cat", "Latn"),
        "cs" => ("ces", "Latn"),
        "da" => ("dan", "Latn"),
        "de" => ("deu", "Latn"),
        "en" => ("eng", "Latn"),
        "es" => ("spa", "Latn"),
        "fi" => ("fin", "Latn"),
        "fr" => ("fra", "Latn"),
        "gl" => ("glg", "Latn"),
        "it" => ("ita", "Latn"),
        "nb" | "no" => ("nob", "Latn"),
        "nl" => ("nld", "Latn"),
        "pl" => ("pol", "Latn"),
        "pt" => ("por", "Latn"),
        "ro" => ("ron", "Latn"),
        "ru" => ("rus", "Cyrl"),
        "sv" => ("swe", "Latn"),
        "uk" => ("ukr", "Cyrl"),
        other => (other, "Latn"),
    };
    let exact = to.as_str().replace('-', "_");
    let names = [exact.as_str(), &format!("{long}_{script}"), long, to.primary()];
    names.iter().map(|name| format!(">>{name}<<")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lang(tag: &str) -> Language {
        tag.parse().expect("a language")
    }

    #[test]
    fn each_family_names_languages_in_its_own_way() {
        let check = |family: Family, to: &str, known: &[&str], expect: Option<&str>| {
            let knows = |token: &str| known.contains(&token);
            let found = family.before_text(&lang("en-GB"), &lang(to), knows);
            assert_eq!(found.as_deref(), expect, "{family:?} {to}");
        };
        check(Family::Opus, "es", &["▁a"], None);
        check(Family::Opus, "zh", &[">>cmn_Hans<<", ">>cmn_Hant<<"], Some(">>cmn_Hans<<"));
        check(Family::Opus, "zh-TW", &[">>cmn_Hans<<", ">>cmn_Hant<<"], Some(">>cmn_Hant<<"));
        check(Family::Opus, "pt-BR", &[">>por<<", ">>pt_BR<<"], Some(">>pt_BR<<"));
        check(Family::Opus, "pt", &[">>por<<", ">>pt_BR<<"], Some(">>por<<"));
        check(Family::M2m, "es", &[], Some("__en__"));
        check(Family::Madlad, "es-MX", &["<2es>"], Some("<2es>"));
        check(Family::Madlad, "xx", &["<2es>"], None);
        assert_eq!(Family::M2m.before_translation(&lang("nb")).as_deref(), Some("__no__"));
        assert_eq!(Family::Opus.before_translation(&lang("es")), None);
    }

    #[test]
    fn files_tell_the_families_apart() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let put = |name: &str| std::fs::write(folder.path().join(name), "").expect("writes");
        assert_eq!(Family::of(folder.path()), None);
        put("source.spm");
        assert_eq!(Family::of(folder.path()), None);
        put("sentencepiece.model");
        assert_eq!(Family::of(folder.path()).map(|f| f.0), Some(Family::Madlad));
        put("target.spm");
        assert_eq!(Family::of(folder.path()).map(|f| f.0), Some(Family::Opus));
    }
}
