use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use gst::prelude::*;

use super::*;
use crate::control::machine::Machine;

/// Words in the code that are also names of elements but have another meaning there.
const OTHER_WORDS: [&str; 6] = ["level", "mirror", "pitch", "speed", "stereo", "volume"];

/// Elements that another element creates internally.
const INSIDE: [(&str, &str); 7] = [
    ("rtpbin", "webrtcbin"),
    ("dtlsenc", "dtlssrtpenc"),
    ("dtlsdec", "dtlssrtpdec"),
    ("srtpenc", "dtlssrtpenc"),
    ("srtpdec", "dtlssrtpdec"),
    ("nicesrc", "webrtcbin"),
    ("nicesink", "webrtcbin"),
];

/// The text of every source file but tests and the table itself, without comments.
fn code(folder: &Path, into: &mut Vec<String>) {
    for path in std::fs::read_dir(folder).expect("readable").flatten().map(|e| e.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            code(&path, into);
        } else if name.ends_with(".rs") && !name.contains("test") && name != "elements.rs" {
            let text = std::fs::read_to_string(&path).expect("UTF-8");
            let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
            let lines = text[..end].lines().filter(|line| !line.trim_start().starts_with("//"));
            into.push(lines.collect::<Vec<_>>().join("\n"));
        }
    }
}

/// The string literals of a piece of code, with their line continuations undone.
fn literals(code: &str) -> Vec<String> {
    let (mut found, mut open, mut chars) = (Vec::new(), None::<String>, code.chars().peekable());
    while let Some(c) = chars.next() {
        match (&mut open, c) {
            (None, '\'') if chars.peek() == Some(&'"') => {
                chars.next();
            }
            (None, '"') => open = Some(String::new()),
            (None, _) => {}
            (Some(_), '"') => found.extend(open.take()),
            (Some(_), '\\') if chars.next_if_eq(&'\n').is_some() => {
                while chars.next_if(|c| c.is_whitespace()).is_some() {}
            }
            (Some(text), '\\') => text.extend(chars.next()),
            (Some(text), c) => text.push(c),
        }
    }
    found
}

/// The words of a launch line, or of a call that makes an element, in the position of a name: at
/// the start and after each `!`.
fn names(literal: &str) -> impl Iterator<Item = &str> {
    literal.split('!').filter_map(|part| {
        let part = part.trim_start();
        let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let (name, rest) = part.split_at(end.unwrap_or(part.len()));
        (rest.is_empty() || rest.starts_with([' ', '{'])).then_some(name)
    })
}

/// Every element that the code names, with the plugin that it comes from.
fn named() -> BTreeMap<String, String> {
    crate::init().expect("GStreamer starts");
    let mut files = Vec::new();
    code(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let mut found = BTreeMap::new();
    for literal in files.iter().flat_map(|text| literals(text)) {
        for name in names(&literal).filter(|name| !OTHER_WORDS.contains(name)) {
            let Some(factory) = gst::ElementFactory::find(name) else { continue };
            let plugin = factory.plugin().map(|plugin| plugin.plugin_name().to_string());
            found.insert(name.to_owned(), plugin.unwrap_or_default());
        }
    }
    found
}

#[test]
fn the_table_has_every_element_that_the_code_names() {
    let tried: BTreeSet<String> =
        Machine::for_tests().probed().iter().map(|p| p.factory.clone()).collect();
    let listed = |name: &str| ELEMENTS.iter().any(|(element, ..)| *element == name);
    // GStreamer's core, elements built into the program, and those that exist only with a GPU, of
    // which `Gpus` reports.
    let always = ["", "auralink", "coreelements", "nvcodec", "rsrtp", "staticelements"];
    let missing: Vec<_> = named()
        .into_iter()
        .filter(|(name, plugin)| !listed(name) && !always.contains(&plugin.as_str()))
        .filter(|(name, _)| !tried.contains(name))
        .collect();
    assert!(missing.is_empty(), "`doctor` does not look for {missing:?}");
}

#[test]
fn the_table_has_no_element_that_nothing_uses() {
    let named = named();
    let is_used = |element: &str| {
        let maker = INSIDE.iter().find(|(inner, _)| *inner == element).map(|(_, maker)| *maker);
        // A name that is not installed here cannot be distinguished from other words.
        let unknown = gst::ElementFactory::find(element).is_none();
        unknown || named.contains_key(maker.unwrap_or(element))
    };
    let unused = ELEMENTS.iter().map(|(element, ..)| *element).filter(|e| !is_used(e));
    assert_eq!(unused.collect::<Vec<_>>(), [""; 0], "nothing uses these");
}

#[test]
fn an_alternative_is_missed_only_without_the_other_one() {
    let missed = |there: &[&str]| {
        let missing = absent(|name| there.contains(&name));
        missing.into_iter().map(|m| m.element).collect::<BTreeSet<_>>()
    };
    assert!(missed(&[]).contains("avdec_vp8"));
    assert!(!missed(&["vp8dec"]).contains("avdec_vp8"));
    assert!(!missed(&["avdec_vp8"]).contains("avdec_vp8"));
    assert!(missed(&["avdec_vp8"]).contains("vp8dec"));
}

#[test]
fn names_are_read_from_launch_lines_and_literals() {
    let check = |code: &str, expect: &[&str]| {
        let literals = literals(code);
        let found: Vec<&str> = literals.iter().flat_map(|l| names(l)).collect();
        assert_eq!(found, expect, "{code}");
    };
    check(r#"f("appsrc name={x} ! h264parse ! a/b")"#, &["appsrc", "h264parse"]);
    check("\"one p=1 \\\n   ! two\"", &["one", "two"]);
    check(r#"make("tee") + '"'"#, &["tee"]);
}
