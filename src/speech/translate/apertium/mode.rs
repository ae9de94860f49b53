//! Apertium's mode files: the available pairs and the programs of each.

use std::path::Path;

use super::super::Error;
use crate::media::Language;

/// One installed direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mode {
    /// Name of the mode: `eng-spa`.
    pub(super) name: String,
    pub(super) from: Language,
    pub(super) to: Language,
}

/// One program of a pipeline, with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stage {
    pub(super) program: String,
    pub(super) arguments: Vec<String>,
}

/// Newer Apertium pairs name languages by ISO 639-3; BCP 47 requires the shortest code.
const SHORTEST: [(&str, &str); 36] = [
    ("afr", "af"),
    ("ara", "ar"),
    ("arg", "an"),
    ("bel", "be"),
    ("bre", "br"),
    ("bul", "bg"),
    ("cat", "ca"),
    ("ces", "cs"),
    ("cym", "cy"),
    ("dan", "da"),
    ("deu", "de"),
    ("eng", "en"),
    ("epo", "eo"),
    ("eus", "eu"),
    ("fra", "fr"),
    ("glg", "gl"),
    ("hbs", "sh"),
    ("hin", "hi"),
    ("ind", "id"),
    ("isl", "is"),
    ("ita", "it"),
    ("mkd", "mk"),
    ("mlt", "mt"),
    ("nld", "nl"),
    ("nno", "nn"),
    ("nob", "nb"),
    ("oci", "oc"),
    ("pol", "pl"),
    ("por", "pt"),
    ("ron", "ro"),
    ("rus", "ru"),
    ("slv", "sl"),
    ("spa", "es"),
    ("swe", "sv"),
    ("ukr", "uk"),
    ("urd", "ur"),
];

/// The languages of `hbs`: one dictionary for Bosnian, Croatian and Serbian.
const SERBO_CROATIAN: [(&str, &str); 3] = [("HR", "hr"), ("BS", "bs"), ("SR", "sr")];

/// The directions in a file name such as `spa-eng_US`; none for experimental ones.
pub(super) fn directions(name: &str) -> Vec<Mode> {
    let Some((from, to)) = name.split_once('-').filter(|(_, to)| !to.contains('-')) else {
        return Vec::new();
    };
    let (Some(sources), Some(targets)) = (languages(from, true), languages(to, false)) else {
        return Vec::new();
    };
    let mode = |from: &Language, to: &Language| Mode {
        name: name.to_owned(),
        from: from.clone(),
        to: to.clone(),
    };
    sources.iter().flat_map(|from| targets.iter().map(|to| mode(from, to))).collect()
}

/// Languages of one side: `eng`, `pt_BR`, `hbs_HR`. A plain `hbs` as source stands for all three.
fn languages(code: &str, source: bool) -> Option<Vec<Language>> {
    let (base, variant) = code.split_once('_').map_or((code, None), |(b, v)| (b, Some(v)));
    let short = SHORTEST.iter().find(|(long, _)| *long == base).map_or(base, |(_, short)| short);
    let tags = match (short, variant) {
        ("sh", None) if source => {
            let three = SERBO_CROATIAN.iter().map(|(_, tag)| (*tag).to_owned());
            std::iter::once("sh".to_owned()).chain(three).collect()
        }
        ("sh", Some(variant)) => {
            let (_, tag) = SERBO_CROATIAN.iter().find(|(v, _)| *v == variant)?;
            vec![(*tag).to_owned()]
        }
        (short, None) => vec![short.to_owned()],
        (short, Some("valencia")) => vec![format!("{short}-valencia")],
        (short, Some("aran")) => vec![format!("{short}-aranes")],
        (short, Some(v)) if v.len() == 2 && v.bytes().all(|b| b.is_ascii_uppercase()) => {
            vec![format!("{short}-{v}")]
        }
        _ => return None,
    };
    tags.iter().map(|tag| tag.parse().ok()).collect()
}

/// The directions in a folder of mode files, sorted by name; none if it cannot be read.
pub(super) fn discover(folder: &Path) -> Vec<Mode> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let name = |entry: std::fs::DirEntry| {
        Some(entry.file_name().to_str()?.strip_suffix(".mode")?.to_owned())
    };
    let mut names: Vec<String> = entries.flatten().filter_map(name).collect();
    names.sort();
    names.iter().flat_map(|name| directions(name)).collect()
}

/// The programs of a mode file, set to flush at NUL and to leave unknown words unmarked.
///
/// # Errors
/// [`Error::Mode`].
pub(super) fn read(folder: &Path, name: &str) -> Result<Vec<Stage>, Error> {
    let wrong = |reason: String| Error::Mode { mode: name.to_owned(), reason };
    let text = std::fs::read_to_string(folder.join(format!("{name}.mode")))
        .map_err(|e| wrong(e.to_string()))?;
    parse(&text).map_err(|reason| wrong(reason.to_owned()))
}

/// A mode file is a line of shell: programs with arguments in single quotes, joined by `|`. `$1` is
/// the generator's option; `$2` is an option of the tagger and is left out.
pub(super) fn parse(text: &str) -> Result<Vec<Stage>, &'static str> {
    let mut stages = Vec::new();
    let (mut words, mut word, mut quoted) = (Vec::new(), None::<String>, false);
    for c in text.trim().chars().chain(['|']) {
        match c {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '|' if !quoted => {
                words.extend(word.take());
                stages.push(stage(std::mem::take(&mut words))?);
            }
            c if c.is_whitespace() && !quoted => words.extend(word.take()),
            '"' | '`' | ';' | '&' | '>' | '<' | '\\' if !quoted => return Err("it is no pipeline"),
            c => word.get_or_insert_default().push(c),
        }
    }
    if quoted { Err("a quote is not closed") } else { Ok(stages) }
}

fn stage(words: Vec<String>) -> Result<Stage, &'static str> {
    let mut words = words.into_iter().filter(|w| w != "$2");
    let program = words.next().ok_or("a program is missing")?;
    let mut arguments = vec!["-z".to_owned()];
    arguments.extend(words.map(|w| if w == "$1" { "-n".to_owned() } else { w }));
    Ok(Stage { program, arguments })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_languages() {
        let check = |name: &str, expect: &str| {
            let found = directions(name);
            let found: Vec<String> = found.iter().map(|m| format!("{}>{}", m.from, m.to)).collect();
            assert_eq!(found.join(" "), expect, "{name}");
        };
        check("eng-spa", "en>es");
        check("es-pt_BR", "es>pt-BR");
        check("oc_aran-es", "oc-aranes>es");
        check("eng-cat_valencia", "en>ca-valencia");
        check("eng-hbs_HR", "en>hr");
        check("hbs-eng", "sh>en hr>en bs>en sr>en");
        for experimental in
            ["eco-es-fr", "spa-ast-old", "eng-cat_iec2017", "eng-cat_valencia_uni", "Cyrl-Latn", ""]
        {
            check(experimental, "");
        }
    }

    #[test]
    fn pipelines_are_read_without_a_shell() {
        let stages = parse("lt-proc '/a b/x.bin' | apertium-tagger -g $2 'y' | lt-proc $1 'z'\n");
        let shown: Vec<String> = stages
            .expect("parses")
            .iter()
            .map(|s| format!("{}({})", s.program, s.arguments.join(",")))
            .collect();
        let expect = ["lt-proc(-z,/a b/x.bin)", "apertium-tagger(-z,-g,y)", "lt-proc(-z,-n,z)"];
        assert_eq!(shown, expect);
        for bad in ["", "a | | b", "a 'b", "a; b", "a > b", "a \"$(b)\""] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
