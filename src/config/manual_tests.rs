//! Tests that the manual matches the program.

use super::{Config, MANUAL, parse};

/// The manual with its settings enabled: `#key = value` (without a space) is a disabled setting, `#
/// text` is prose.
fn uncommented() -> String {
    let on = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => {
            rest.to_owned()
        }
        _ => line.to_owned(),
    };
    MANUAL.lines().map(|l| on(l) + "\n").collect()
}

/// The field names that serde accepts in a section, taken from its error message.
fn fields_at(section: &str) -> Vec<String> {
    let header = if section.is_empty() { String::new() } else { format!("[{section}]\n") };
    let complaint = parse("f", &format!("{header}not_a_field = 1\n")).expect_err("unknown key");
    let message = &complaint.0[0].message;
    if message.contains("there are no fields") {
        return Vec::new();
    }
    let (_, expected) = message.split_once("expected").expect("names what it expected");
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_manual_parses_to_exactly_the_defaults() {
    assert_eq!(parse("docs/auralink.toml", MANUAL).expect("parses"), Config::default());
}

#[test]
fn every_example_in_the_manual_parses() {
    parse("docs/auralink.toml with everything on", &uncommented()).expect("parses");
}

#[test]
fn the_manual_names_every_setting() {
    let table: toml::Table = toml::from_str(&uncommented()).expect("a table");
    let mut named = 0;
    for field in fields_at("") {
        let value = table.get(&field).unwrap_or_else(|| panic!("the manual lacks `{field}`"));
        named += 1;
        let Some(section) = value.as_table() else { continue };
        for key in fields_at(&field) {
            assert!(section.contains_key(&key), "the manual lacks `{field}.{key}`");
            named += 1;
        }
    }
    assert!(named > 15, "only {named} settings were found; is serde's message another one?");
}
