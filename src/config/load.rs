//! Loads a configuration from file, environment and command line.

use std::ops::Range;
use std::path::Path;

use serde::Deserialize;
use toml::{Table, Value};

use super::{Config, Problem, Problems};

/// Maximum size of a configuration file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Maximum number of mistakes that are reported for one file.
const MISTAKES_MAX: usize = 20;

/// A value from the command line: path of the field and text.
#[derive(Clone, Debug)]
pub struct Flag {
    /// `api.listen`.
    pub field: &'static str,
    /// The value as text.
    pub value: String,
}

/// Reads the file (`None` means defaults) and applies the environment, then the flags.
///
/// `AURALINK_API__LISTEN=0.0.0.0:80` sets `api.listen`; two underscores separate section and key.
/// `AURALINK_STATE` is short for `AURALINK_STATE_DIR`.
///
/// # Errors
/// All mistakes, each with its line or variable.
pub fn load(
    path: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
    flags: &[Flag],
) -> Result<Config, Problems> {
    let (name, text) = match path {
        Some(path) => (path.display().to_string(), read(path)?),
        None => ("defaults".to_owned(), String::new()),
    };
    parse(&name, &text)?;
    // The text has already parsed as `Config`, so it is a valid table.
    let mut table: Table = toml::from_str(&text).unwrap_or_default();
    let mut problems = Vec::new();
    for (variable, value) in environment {
        let Some(field) = field_of(&variable) else { continue };
        if let Err(message) = overlay(&mut table, &field, &value) {
            problems.push(Problem::new(format!("${variable}"), message, "correct or unset it"));
        }
    }
    for flag in flags {
        let field: Vec<String> = flag.field.split('.').map(str::to_owned).collect();
        if let Err(message) = overlay(&mut table, &field, &flag.value) {
            problems.push(Problem::new(format!("--{}", flag.field), message, "correct the flag"));
        }
    }
    Problems::unless_none(problems)?;
    Config::deserialize(table)
        .map_err(|e| Problems(vec![Problem::new(name, e.message(), String::new())]))
}

fn read(path: &Path) -> Result<String, Problems> {
    let failed = |e: std::io::Error| {
        let hint = "name another file with --config; `auralink config` prints a commented one";
        Problems(vec![Problem::new(path.display().to_string(), format!("cannot read: {e}"), hint)])
    };
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > FILE_BYTES_MAX {
        return Err(failed(std::io::Error::other(format!("{size} bytes are too many"))));
    }
    std::fs::read_to_string(path).map_err(failed)
}

/// Parses a configuration file. Unknown keys are mistakes.
///
/// # Errors
/// Every mistake with its line. To find more than one, the line of each mistake is blanked and the
/// text parsed again, so a syntax error ends the search.
pub fn parse(name: &str, text: &str) -> Result<Config, Problems> {
    let mut rest = text.to_owned();
    let mut problems = Vec::new();
    loop {
        let error = match toml::from_str::<Config>(&rest) {
            Ok(config) if problems.is_empty() => return Ok(config),
            Ok(_) => return Err(Problems(problems)),
            Err(error) => error,
        };
        let syntax = toml::from_str::<Table>(&rest).is_err();
        if syntax && !problems.is_empty() {
            return Err(Problems(problems));
        }
        let span = error.span().unwrap_or(0..0);
        let line = rest[..span.start.min(rest.len())].matches('\n').count() + 1;
        let hint = "`auralink config` prints every setting with its meaning";
        problems.push(Problem::new(format!("{name}:{line}"), error.message().trim(), hint));
        let blanked = blank(&rest, span);
        if syntax || blanked == rest || problems.len() >= MISTAKES_MAX {
            return Err(Problems(problems));
        }
        rest = blanked;
    }
}

/// Blanks the lines of a span without changing their number. For the header of a table, its body is
/// blanked too.
fn blank(text: &str, span: Range<usize>) -> String {
    let from = text[..span.start.min(text.len())].rfind('\n').map_or(0, |i| i + 1);
    let header = text[from..].trim_start().starts_with('[');
    let mut offset = 0;
    let mut within = true;
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let after_first = offset > from;
        let ends = if header { line.trim_start().starts_with('[') } else { offset >= span.end };
        within &= !(after_first && ends);
        if offset >= from && within {
            out.push_str(if line.ends_with('\n') { "\n" } else { "" });
        } else {
            out.push_str(line);
        }
        offset += line.len();
    }
    out
}

/// The path of the field that a variable sets. `None` for other variables.
fn field_of(variable: &str) -> Option<Vec<String>> {
    let rest = variable.strip_prefix("AURALINK_")?;
    let field: Vec<String> = rest.split("__").map(str::to_ascii_lowercase).collect();
    match field.as_slice() {
        [one] if one == "state" => Some(vec!["state_dir".into()]),
        // Other single words are used by tests and tools.
        [one] => ["state_dir", "presets", "demo"].contains(&one.as_str()).then_some(field),
        _ => Some(field),
    }
}

/// Sets one field of the table. The text is parsed as a TOML value if that fits the field, else
/// used as a string, so that `8080`, `true` and `0.0.0.0:80` need no quotes.
fn overlay(table: &mut Table, field: &[String], text: &str) -> Result<(), String> {
    let value =
        toml::from_str::<Table>(&format!("v = {text}")).ok().and_then(|mut t| t.remove("v"));
    let mut error = String::new();
    for value in value.into_iter().chain([Value::String(text.to_owned())]) {
        let mut changed = table.clone();
        set(&mut changed, field, value)?;
        match Config::deserialize(changed.clone()) {
            Ok(_) => {
                *table = changed;
                return Ok(());
            }
            Err(e) => error = e.message().trim().to_owned(),
        }
    }
    Err(error)
}

fn set(table: &mut Table, field: &[String], value: Value) -> Result<(), String> {
    match field {
        [] => Ok(()),
        [key] => {
            table.insert(key.clone(), value);
            Ok(())
        }
        [section, rest @ ..] => {
            let inner = table.entry(section.clone()).or_insert_with(|| Value::Table(Table::new()));
            let inner = inner.as_table_mut();
            set(inner.ok_or_else(|| format!("`{section}` has no fields"))?, rest, value)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(text: &str) -> Vec<String> {
        let problems = parse("f", text).expect_err("has mistakes").0;
        problems.into_iter().map(|p| format!("{} {}", p.at, p.message)).collect()
    }

    #[test]
    fn every_unknown_key_is_told_with_its_line() {
        let text = "dmeo = true\n[api]\nopen = true\nlitsen = \"x\"\n[nonsense]\na = 1\nb = 2\n\
                    [limits]\nstreams = \"many\"\n";
        let found = mistakes(text);
        let lines: Vec<&str> = found.iter().map(|m| m.split(' ').next().unwrap_or("")).collect();
        let mut sorted = lines.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, ["f:1", "f:4", "f:5", "f:9"], "{found:#?}");
        assert!(found.iter().any(|m| m.contains("litsen") && m.contains("listen")), "{found:#?}");
    }

    #[test]
    fn syntax_is_told_with_its_line() {
        let found = mistakes("demo = true\n[api\nopen = 1\n");
        assert!(found.len() == 1 && found[0].starts_with("f:2 "), "{found:#?}");
    }

    #[test]
    fn later_sources_win_and_need_no_quotes() {
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        let text = "[api]\nlisten = \"127.0.0.1:1\"\nopen = false\n[limits]\nstreams = 3\n";
        std::fs::write(file.path(), text).expect("write");
        let variable = |n: &str, v: &str| (n.to_owned(), v.to_owned());
        let environment = [
            variable("AURALINK_API__LISTEN", "127.0.0.1:2"),
            variable("AURALINK_API__OPEN", "true"),
            variable("AURALINK_STATE", "123"),
            variable("AURALINK_TEST_DATA", "/else"),
            variable("HOME", "/root"),
        ];
        let flags = [Flag { field: "api.listen", value: "127.0.0.1:3".into() }];
        let config = load(Some(file.path()), environment, &flags).expect("loads");
        assert_eq!(config.api.listen, "127.0.0.1:3".parse().expect("address"));
        assert!(config.api.open);
        assert_eq!(config.limits.streams, 3);
        assert_eq!(config.state_dir(), Path::new("123"));
    }

    #[test]
    fn a_wrong_variable_is_named() {
        let environment = [("AURALINK_API__LITSEN".to_owned(), "x".to_owned())];
        let problems = load(None, environment, &[]).expect_err("unknown").0;
        assert_eq!(problems[0].at, "$AURALINK_API__LITSEN");
        assert!(problems[0].message.contains("listen"), "{}", problems[0]);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_survived(text in "[\\[\\]a-z=\"\n .é{},0-9]{0,200}") {
            let _ = parse("f", &text);
        }
    }

    /// Any input is parsed or reported as mistakes with their lines.
    #[test]
    fn fuzz_config() {
        let manual = include_bytes!("../../docs/auralink.toml");
        crate::fuzz::run_with("config", &[manual], |bytes| {
            let _ = parse("auralink.toml", &String::from_utf8_lossy(bytes));
        });
    }
}
