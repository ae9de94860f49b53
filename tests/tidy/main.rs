//! House rules that the compiler does not check: which room may use which, that no files import
//! each other, the length of files, names of constants, forbidden text, and that every preset and
//! unit file is valid.

mod constants;
mod imports;
#[path = "../support/needs.rs"]
#[allow(dead_code, reason = "the tests beside it use the rest")]
mod needs;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Each room with the rooms that it may use. Others are forbidden; `telemetry` may be used by all,
/// and a room may always use itself.
const ROOMS: &[(&str, &[&str])] = &[
    ("media", &[]),
    ("telemetry", &["media"]),
    ("gpu", &["media"]),
    ("models", &["media"]),
    ("captions", &["media"]),
    ("onnx", &["media", "gpu"]),
    ("speech", &["media", "models", "gpu", "onnx"]),
    // `speech::vad` tells speech from music.
    ("aic", &["media", "speech"]),
    ("elements", &["media", "speech", "captions", "aic"]),
    ("flow", &["media"]),
    ("cluster", &["media", "flow"]),
    ("mpegts", &["media", "flow"]),
    ("srt", &["media", "flow", "mpegts"]),
    ("webrtc", &["media", "flow", "aic"]),
    ("graph", &["media"]),
    ("process", &["media", "flow", "elements", "graph", "speech", "captions"]),
    ("ingress", &["media", "flow", "webrtc", "srt", "mpegts", "aic", "cluster"]),
    ("egress", &["media", "flow", "webrtc", "srt", "captions", "aic"]),
    (
        "runtime",
        &[
            "media", "flow", "graph", "process", "ingress", "egress", "webrtc", "srt", "speech",
            "models", "captions", "cluster",
        ],
    ),
    (
        "control",
        &[
            "media", "flow", "graph", "process", "ingress", "egress", "webrtc", "srt", "runtime",
            "gpu", "speech", "models", "captions", "aic", "cluster",
        ],
    ),
    (
        "config",
        &[
            "media", "flow", "graph", "process", "ingress", "egress", "webrtc", "srt", "runtime",
            "control", "gpu", "elements", "speech", "models", "onnx", "cluster",
        ],
    ),
    // The command line connects all rooms.
    (
        "cli",
        &[
            "media", "flow", "graph", "process", "ingress", "egress", "webrtc", "srt", "runtime",
            "control", "config", "gpu", "elements", "speech", "models", "captions", "aic", "onnx",
            "cluster",
        ],
    ),
];

/// Longest file, in lines.
const LINES_MAX: usize = 500;

/// Where `unsafe` is allowed, and why.
const UNSAFE: &[(&str, &str)] = &[
    ("codec/src/kernel.rs", "instructions are chosen at run time"),
    ("codec/src/torch/device.rs", "libtorch's CUDA half is opened at run time"),
    ("codec/wasm/src/lib.rs", "the names of exports; no code there is unsafe"),
    ("src/gpu/mod.rs", "the NVIDIA driver is asked"),
    ("src/ingress/rist/library.rs", "librist is opened at run time"),
    ("src/speech/denoise/libdf.rs", "DeepFilterNet's library is opened at run time"),
    ("src/speech/stt/sphinx/sys.rs", "PocketSphinx is opened at run time"),
    ("src/srt/address.rs", "socket addresses as libsrt takes them"),
    ("src/srt/listener.rs", "libsrt"),
    ("src/srt/socket.rs", "libsrt"),
    ("src/srt/sys.rs", "libsrt"),
    ("src/telemetry/exit.rs", "the process ends without the destructors of C libraries"),
    ("src/telemetry/malloc.rs", "the allocator of the C library is set up"),
    ("src/webrtc/nice.rs", "functions of libnice that its bindings lack"),
];

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

/// The Rust sources of the program and of its crates.
fn crates() -> impl Iterator<Item = (String, String)> {
    ["codec", "sfu", "src"].into_iter().flat_map(|folder| files(folder, &[".rs"]))
}

#[test]
fn rooms_use_only_what_lies_before_them() {
    let allowed: BTreeMap<_, _> = ROOMS.iter().copied().collect();
    let room = |file: &str| file.split(['/', '.']).next().unwrap_or_default().to_owned();
    let mut wrong = Vec::new();
    for (file, uses) in imports::of(&root().join("src")) {
        let Some(may_use) = allowed.get(&*room(&file)) else {
            if !["lib.rs", "main.rs"].contains(&&*file) {
                wrong.push(format!("{file}: its room is not in the list of tests/tidy/main.rs"));
            }
            continue;
        };
        for used in uses.keys().map(|used| room(used)) {
            let free = used == room(&file) || used == "telemetry" || used == "lib";
            if !free && !may_use.contains(&&*used) {
                wrong.push(format!("{file} may not use `{used}`"));
            }
        }
    }
    wrong.dedup();
    assert!(wrong.is_empty(), "media flows one way:\n{}", wrong.join("\n"));
}

/// Two files that need each other are one file in two pieces: what both need lies below them.
#[test]
fn no_files_import_each_other() {
    let imports = imports::of(&root().join("src"));
    let circles = imports::circles(&imports);
    let mut arrows = Vec::new();
    for (number, circle) in circles.iter().enumerate() {
        for file in circle {
            for (used, names) in imports[file].iter().filter(|(used, _)| circle.contains(used)) {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                arrows.push(format!("{}. {file} -> {used} ({})", number + 1, names.join(", ")));
            }
        }
    }
    assert!(circles.is_empty(), "circles of imports:\n{}", arrows.join("\n"));
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

/// The last column of the glossary: words that another word has replaced.
fn replaced_words() -> Vec<String> {
    let glossary = fs::read_to_string(root().join("docs/glossary.md")).expect("the glossary");
    let last = |row: &str| row.trim_end_matches('|').rsplit('|').next().map(str::to_owned);
    let rows = glossary.lines().filter(|line| line.starts_with("| ")).filter_map(last);
    rows.flat_map(|cell| {
        let words = cell.split('`').skip(1).step_by(2);
        words.map(str::to_owned).collect::<Vec<_>>()
    })
    .collect()
}

#[test]
fn one_thing_has_one_word() {
    let replaced = replaced_words();
    assert!(replaced.len() > 5, "docs/glossary.md has lost its last column");
    let mut found = Vec::new();
    for folder in ["src", "tests", "benches", "docs", "web"] {
        for (path, text) in files(folder, &[".rs", ".md", ".js", ".html"]) {
            if path == "docs/glossary.md" {
                continue;
            }
            for (number, line) in text.lines().enumerate() {
                let words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
                let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
                let spaced = format!(" {} ", words.join(" "));
                for word in replaced.iter().filter(|w| spaced.contains(&format!(" {w} "))) {
                    found.push(format!("{path}:{}: `{word}`", number + 1));
                }
            }
        }
    }
    assert!(found.is_empty(), "docs/glossary.md has another word:\n{}", found.join("\n"));
}

#[test]
fn constants_say_their_unit() {
    let mut vague = Vec::new();
    for (path, text) in files("sfu/src", &[".rs"]).into_iter().chain(files("src", &[".rs"])) {
        if constants::is_test_file(&path) {
            continue;
        }
        vague.extend(constants::vague(&text).iter().map(|name| format!("{path}: `{name}`")));
    }
    let rule = "a number has at least two words and ends in its unit (the list is in \
                tests/tidy/constants.rs), a time has at least two words";
    assert!(vague.is_empty(), "{rule}:\n{}", vague.join("\n"));
}

#[test]
fn files_stay_readable() {
    let mut long = Vec::new();
    for folder in ["src", "codec", "sfu", "tests", "benches", "web"] {
        for (path, text) in files(folder, &[".rs", ".py", ".mjs", ".js", ".html", ".css"]) {
            let lines = text.lines().count();
            if lines > LINES_MAX {
                long.push(format!("{path}: {lines} lines, allowed {LINES_MAX}"));
            }
        }
    }
    assert!(long.is_empty(), "split them:\n{}", long.join("\n"));
}

#[test]
fn nothing_is_left_undone_or_bound_to_one_machine() {
    // Assembled here so that this file does not match itself.
    let forbidden = [
        ["todo", "!("].concat(),
        ["unimplement", "ed!("].concat(),
        ["/wo", "rk/"].concat(),
        ["/ho", "me/"].concat(),
        ["FIX", "ME"].concat(),
        ["X", "XX:"].concat(),
        // What a merge leaves.
        ["<<<<", "<<< "].concat(),
        [">>>>", ">>> "].concat(),
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
fn the_readme_names_every_room_and_each_says_what_always_holds() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md is there");
    for (room, _) in ROOMS {
        assert!(readme.contains(&format!("`{room}/`")), "README.md does not name `{room}/`");
        let path = root().join("src").join(room).join("mod.rs");
        let text = fs::read_to_string(path).expect("a room has a mod.rs");
        let head = text.lines().take_while(|line| line.starts_with("//!"));
        let says = head.filter(|line| line.starts_with("//! Invariant: ")).count();
        assert_eq!(says, 1, "src/{room}/mod.rs opens with one `Invariant:` line");
    }
}

#[test]
fn unsafe_code_stays_where_it_is_known() {
    let mut found: Vec<String> = Vec::new();
    for (path, text) in crates() {
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        // The attribute that allows it; without one the compiler refuses it.
        if code.clone().any(|l| l.contains("allow(unsafe_code") || l.contains("expect(unsafe_code"))
        {
            found.push(path);
        }
    }
    let known: Vec<&str> = UNSAFE.iter().map(|(path, _)| *path).collect();
    assert_eq!(found, known, "give a reason in UNSAFE, or take out what is gone");
}

/// Licence and conduct, which visitors of a repository expect.
#[test]
fn the_papers_are_there() {
    let text = |name: &str| fs::read_to_string(root().join(name)).expect(name);
    let licence = text("LICENSE");
    assert!(licence.contains("Apache License") && licence.contains("Version 2.0, January 2004"));
    assert!(text("Cargo.toml").contains("license = \"Apache-2.0\""));
    let version = env!("CARGO_PKG_VERSION");
    assert!(text("CHANGELOG.md").contains(&format!("## {version}")), "CHANGELOG.md: no {version}");
    for name in ["CONTRIBUTING.md", "SECURITY.md"] {
        assert!(text("README.md").contains(name), "README.md does not lead to {name}");
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
            needs::skip(format!("systemd-analyze, to verify {path}"));
            continue;
        };
        let said = String::from_utf8_lossy(&verified.stderr);
        // The binary is in /usr/bin only on machines with the package.
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
