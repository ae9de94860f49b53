//! The house rules that a compiler does not hold: which room may use which, how long a file may
//! be, what may not be written, and that every preset and every unit file is valid.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Each room with the rooms that it may use. What is not in the list may not be used; `telemetry`
/// may be used by all, and a room may always use itself.
const ROOMS: &[(&str, &[&str])] = &[
    ("media", &[]),
    ("telemetry", &["media"]),
    ("gpu", &["media"]),
    ("models", &["media"]),
    ("captions", &["media"]),
    ("speech", &["media", "models", "gpu"]),
    // `speech::engine` runs the engine as a child.
    ("aic", &["media", "models", "gpu", "speech"]),
    ("elements", &["media", "speech", "captions", "aic"]),
    ("flow", &["media", "elements"]),
    ("srt", &["media", "flow"]),
    ("webrtc", &["media", "flow", "aic"]),
    ("graph", &["media"]),
    ("process", &["media", "flow", "elements", "graph", "speech", "captions"]),
    ("ingress", &["media", "flow", "webrtc", "srt"]),
    ("egress", &["media", "flow", "webrtc", "srt", "captions", "aic"]),
    (
        "runtime",
        &[
            "media", "flow", "graph", "process", "ingress", "egress", "webrtc", "srt", "speech",
            "models", "captions",
        ],
    ),
    (
        "control",
        &[
            "media", "flow", "graph", "process", "ingress", "egress", "webrtc", "srt", "runtime",
            "gpu", "speech", "models", "captions", "aic",
        ],
    ),
    (
        "config",
        &[
            "media", "flow", "graph", "process", "ingress", "egress", "webrtc", "srt", "runtime",
            "control", "gpu", "elements", "speech", "models",
        ],
    ),
    // The command line puts everything together.
    (
        "cli",
        &[
            "media", "flow", "graph", "process", "ingress", "egress", "webrtc", "srt", "runtime",
            "control", "config", "gpu", "elements", "speech", "models", "captions", "aic",
        ],
    ),
];

/// Longest file, in lines.
const LINES_MAX: usize = 500;

/// Files that may be longer, each with the reason.
const LONGER: &[(&str, usize, &str)] =
    &[("src/flow/feed.rs", 600, "one lock and everything that happens under it, in one view")];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Files below `folder` with one of these endings, by path relative to the root.
fn files(folder: &str, endings: &[&str]) -> Vec<(String, String)> {
    fn walk(folder: &Path, endings: &[&str], into: &mut Vec<PathBuf>) {
        let Ok(entries) = fs::read_dir(folder) else { return };
        for path in entries.flatten().map(|e| e.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                if !["target", "node_modules", ".git", ".venv", ".venv-torch", "state"]
                    .contains(&&*name)
                {
                    walk(&path, endings, into);
                }
            } else if endings.iter().any(|e| name.ends_with(e)) {
                into.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(folder), endings, &mut found);
    found.sort();
    let relative = |p: &Path| p.strip_prefix(root()).unwrap_or(p).display().to_string();
    found.iter().map(|p| (relative(p), fs::read_to_string(p).expect("UTF-8 text"))).collect()
}

/// Code without its `#[cfg(test)] mod tests`, which may use what it likes.
fn without_tests(text: &str) -> &str {
    text.find("#[cfg(test)]\nmod ").map_or(text, |at| &text[..at])
}

/// The rooms named after `crate::` in a piece of code, groups (`crate::{a, b::c}`) included.
fn rooms_used(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let line_start = code[..at].rfind('\n').map_or(0, |n| n + 1);
        if code[line_start..at].trim_start().starts_with("//") {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        let names: Vec<&str> = match rest.strip_prefix('{') {
            Some(group) => group.split('}').next().unwrap_or("").split(',').collect(),
            None => vec![rest],
        };
        for name in names {
            let name = name.trim_start();
            let end = name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len());
            found.push(name[..end].to_owned());
        }
    }
    found
}

#[test]
fn rooms_use_only_what_lies_before_them() {
    let allowed: BTreeMap<_, _> = ROOMS.iter().copied().collect();
    let mut wrong = Vec::new();
    for (path, text) in files("src", &[".rs"]) {
        let room = path["src/".len()..].split(['/', '.']).next().unwrap_or_default().to_owned();
        if room == "main" || room == "lib" || path.ends_with("tests.rs") {
            continue;
        }
        let Some(may_use) = allowed.get(room.as_str()) else {
            wrong.push(format!("{path}: room `{room}` is not in the list of tests/tidy.rs"));
            continue;
        };
        for used in rooms_used(without_tests(&text)) {
            let is_room = allowed.contains_key(used.as_str());
            if is_room && used != room && used != "telemetry" && !may_use.contains(&used.as_str()) {
                wrong.push(format!("{path}: `{room}` may not use `{used}`"));
            }
        }
    }
    wrong.dedup();
    assert!(wrong.is_empty(), "media flows one way:\n{}", wrong.join("\n"));
}

#[test]
fn the_arrow_itself_has_no_circle() {
    for (at, (room, uses)) in ROOMS.iter().enumerate() {
        for used in *uses {
            let before = ROOMS[..at].iter().any(|(earlier, _)| earlier == used);
            assert!(before, "`{room}` uses `{used}`, which comes after it");
        }
    }
}

#[test]
fn files_stay_readable() {
    let mut long = Vec::new();
    for folder in ["src", "tests", "benches", "web"] {
        for (path, text) in files(folder, &[".rs", ".py", ".mjs", ".js", ".html", ".css"]) {
            let allowed =
                LONGER.iter().find(|(p, _, _)| *p == path).map_or(LINES_MAX, |(_, max, _)| *max);
            let lines = text.lines().count();
            if lines > allowed {
                long.push(format!("{path}: {lines} lines, allowed {allowed}"));
            }
        }
    }
    assert!(long.is_empty(), "split them, or give a reason in LONGER:\n{}", long.join("\n"));
}

#[test]
fn nothing_is_left_undone_or_bound_to_one_machine() {
    // Assembled here so that this file does not find itself.
    let forbidden = [
        ["todo", "!("].concat(),
        ["unimplement", "ed!("].concat(),
        ["/wo", "rk/"].concat(),
        ["/ho", "me/"].concat(),
        ["FIX", "ME"].concat(),
        ["X", "XX:"].concat(),
    ];
    let mut found = Vec::new();
    let endings = [".rs", ".toml", ".md", ".py", ".mjs", ".js", ".html", ".sql", ".service"];
    for (path, text) in files("", &endings) {
        for (number, line) in text.lines().enumerate() {
            for word in forbidden.iter().filter(|w| line.contains(w.as_str())) {
                found.push(format!("{path}:{}: `{word}`", number + 1));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_preset_plans_cleanly() {
    let presets = files("pipelines", &[".toml"]);
    assert!(presets.len() >= 4, "pipelines/ has lost its presets");
    for (path, text) in presets {
        assert!(text.starts_with('#'), "{path}: a preset begins with what it is for");
        let checked = Command::new(env!("CARGO_BIN_EXE_auralink"))
            .arg("check")
            .arg(root().join(&path))
            .output()
            .expect("the binary starts");
        let said = String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success(), "{path}: {said}");
        assert!(!checked.stdout.is_empty(), "{path}: `auralink check` prints the plan");
    }
}

#[test]
fn the_readme_names_every_room() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md is there");
    let entries = fs::read_dir(root().join("src")).expect("src is there");
    for entry in entries.flatten().filter(|e| e.path().is_dir()) {
        let room = entry.file_name().to_string_lossy().into_owned();
        assert!(readme.contains(&room), "README.md does not name the room `{room}`");
    }
}

#[test]
fn systemd_accepts_the_units() {
    let units = files("systemd", &[".service", ".socket", ".timer"]);
    assert!(!units.is_empty(), "systemd/ has lost its units");
    for (path, _) in units {
        let verified =
            Command::new("systemd-analyze").arg("verify").arg(root().join(&path)).output();
        let Ok(verified) = verified else {
            eprintln!("skipped: systemd-analyze is not installed, {path} is not verified");
            continue;
        };
        let said = String::from_utf8_lossy(&verified.stderr);
        // The binary lies in /usr/bin only on machines where the package is installed.
        let bad: Vec<_> = said
            .lines()
            .filter(|l| l.contains(".service") && !l.contains("is not executable"))
            .collect();
        assert!(bad.is_empty(), "{path}: {}", bad.join("\n"));
    }
}

#[test]
fn an_element_that_a_plan_names_is_the_one_that_its_node_uses() {
    let pictures = files("src/graph", &["picture.rs"]);
    let [(_, picture)] = &pictures[..] else { panic!("one file, not {}", pictures.len()) };
    let nodes = files("src/process", &[".rs"]);
    let elements: Vec<&str> = picture
        .match_indices("(auralink")
        .filter_map(|(at, _)| picture[at + 1..].split(')').next())
        .collect();
    assert!(!elements.is_empty(), "labels name elements in parentheses");
    for element in elements {
        let used = nodes.iter().any(|(_, text)| text.contains(&format!("{element} ")));
        assert!(used, "a plan names `{element}`, which no node of src/process uses");
    }
}
