//! The OpenAPI document is one that clients can be generated from.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::super::document_json;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn document() -> Value {
    serde_json::from_str(&document_json()).expect("JSON")
}

/// Calls `visit` with every value of a document.
fn walk(value: &Value, visit: &mut impl FnMut(&Value)) {
    visit(value);
    match value {
        Value::Array(items) => items.iter().for_each(|item| walk(item, visit)),
        Value::Object(fields) => fields.values().for_each(|field| walk(field, visit)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let document = document();
    let (mut found, mut dangling) = (0, BTreeSet::new());
    walk(&document, &mut |value| {
        let Some(reference) = value.get("$ref").and_then(Value::as_str) else { return };
        found += 1;
        let target = reference.strip_prefix('#').and_then(|at| document.pointer(at));
        if target.is_none() {
            dangling.insert(reference.to_owned());
        }
    });
    assert!(found > 100, "only {found} references");
    assert!(dangling.is_empty(), "{dangling:?}");
}

#[test]
fn every_operation_has_a_name_of_its_own() {
    let document = document();
    let mut seen = BTreeSet::new();
    walk(&document["paths"], &mut |value| {
        if let Some(id) = value.get("operationId").and_then(Value::as_str) {
            assert!(seen.insert(id.to_owned()), "two operations are `{id}`");
        }
    });
    assert!(seen.len() > 40, "{seen:?}");
}

/// The names of the schemas that a source file declares: `#[schema(as = Name)]` or the type's own.
fn schemas_of(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if !(line.starts_with("#[derive(") && line.contains("ToSchema")) {
            continue;
        }
        let mut given = None;
        for line in lines.by_ref() {
            if let Some((_, rest)) = line.split_once("schema(as = ") {
                given = rest.split([')', ',']).next().map(str::to_owned);
            }
            let mut words = line.split_whitespace().skip_while(|w| !["struct", "enum"].contains(w));
            if let (Some(_), Some(name)) = (words.next(), words.next()) {
                let own = name.split(['<', '(', ';']).next().unwrap_or(name).to_owned();
                names.push(given.unwrap_or(own));
                break;
            }
        }
    }
    names
}

fn sources(folder: &Path, into: &mut Vec<std::path::PathBuf>) {
    for path in std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()) {
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

/// Schemas of one name silently become one, and every client then reads the others wrongly.
#[test]
fn no_two_types_share_the_name_of_a_schema() {
    let mut files = Vec::new();
    sources(&Path::new(ROOT).join("src"), &mut files);
    let mut owners: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("UTF-8 text");
        for name in schemas_of(&text) {
            owners.entry(name).or_default().push(file.display().to_string());
        }
    }
    let served = document();
    for name in served["components"]["schemas"].as_object().expect("schemas").keys() {
        assert!(owners.contains_key(name), "`{name}` was not found in the sources");
    }
    let shared: Vec<_> = owners.iter().filter(|(_, files)| files.len() > 1).collect();
    assert!(shared.is_empty(), "give each a name of its own by `schema(as = …)`: {shared:#?}");
}

/// Types made of the document by openapi-typescript, and a program that uses them.
#[test]
fn a_generated_client_compiles() {
    let clients = Path::new(ROOT).join("tests/clients");
    let program = |name: &str| clients.join("node_modules/.bin").join(name);
    if !program("openapi-typescript").exists() || !program("tsc").exists() {
        eprintln!("skipped: openapi-typescript is not installed (`.ci/setup test`)");
        return;
    }
    let folder = tempfile::tempdir().expect("temporary folder");
    let made = folder.path().join("api.d.ts");
    let run = |name: &str, arguments: &[&std::ffi::OsStr]| {
        let ended = Command::new(program(name)).args(arguments).output().expect("node is there");
        let said = [ended.stdout, ended.stderr].concat();
        assert!(ended.status.success(), "{name}: {}", String::from_utf8_lossy(&said));
    };
    let document = Path::new(ROOT).join("docs/openapi.json");
    // A field with a default may be left out.
    let optional = ["--default-non-nullable=false", "--output"].map(std::ffi::OsStr::new);
    run("openapi-typescript", &[document.as_os_str(), optional[0], optional[1], made.as_os_str()]);
    let client = folder.path().join("client.ts");
    std::fs::copy(clients.join("client.ts"), &client).expect("copied");
    let strict = ["--noEmit", "--strict", "--skipLibCheck", "false", "--target", "es2022"];
    let arguments: Vec<_> =
        strict.iter().map(std::ffi::OsStr::new).chain([client.as_os_str()]).collect();
    run("tsc", &arguments);
}
