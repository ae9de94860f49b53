//! Tests that clients can be generated from the OpenAPI document.

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

/// The doors: what needs no permission is named here, everything else says which one it needs.
#[test]
fn every_operation_says_which_permission_it_needs() {
    let document = document();
    let paths = document["paths"].as_object().expect("paths");
    let operations = paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().into_iter().flatten();
        methods.filter(|(_, of)| of["operationId"].is_string()).map(move |of| (path, of))
    });
    let mut open = BTreeSet::new();
    for (path, (method, of)) in operations {
        match of[super::super::route_table::REQUIRED_SCOPE].as_str() {
            Some("view" | "operate" | "administer" | "cluster") => {}
            Some(other) => panic!("{method} {path} needs `{other}`, which is no permission"),
            None => {
                open.insert(path.as_str());
            }
        }
    }
    assert_eq!(open, BTreeSet::from(["/api/v1/session", "/healthz", "/metrics", "/readyz"]));
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
    let mut in_derive = false;
    while let Some(line) = lines.next() {
        // A long list of traits goes over several lines.
        in_derive |= line.trim_start().starts_with("#[derive(");
        let is_schema = in_derive && line.contains("ToSchema");
        in_derive &= !line.contains(")]");
        if !is_schema {
            continue;
        }
        in_derive = false;
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

/// Schemas with the same name silently become one, and clients would then misread the others.
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

/// Compiles a program that uses types generated by openapi-typescript.
#[test]
fn a_generated_client_compiles() {
    let clients = Path::new(ROOT).join("tests/clients");
    let program = |name: &str| clients.join("node_modules/.bin").join(name);
    if !program("openapi-typescript").exists() || !program("tsc").exists() {
        crate::needs::skip("openapi-typescript, from `make setup`");
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
    // Fields with a default may be omitted.
    let optional = ["--default-non-nullable=false", "--output"].map(std::ffi::OsStr::new);
    run("openapi-typescript", &[document.as_os_str(), optional[0], optional[1], made.as_os_str()]);
    let client = folder.path().join("client.ts");
    std::fs::copy(clients.join("client.ts"), &client).expect("copied");
    let strict = ["--noEmit", "--strict", "--skipLibCheck", "false", "--target", "es2022"];
    let arguments: Vec<_> =
        strict.iter().map(std::ffi::OsStr::new).chain([client.as_os_str()]).collect();
    run("tsc", &arguments);
}
