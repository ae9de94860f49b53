//! Output of `auralink models`: tables for people, JSON for programs.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::models::{Installed, Manifest, Registry, State, Task};

/// Formats bytes for people.
fn size(bytes: Option<u64>) -> String {
    match bytes {
        None => "?".into(),
        Some(bytes) if bytes >= 1 << 30 => format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
        Some(bytes) if bytes >= 1 << 20 => format!("{} MiB", bytes >> 20),
        Some(bytes) => format!("{} KiB", bytes.div_ceil(1 << 10)),
    }
}

/// Writes to standard output. Errors are ignored: a reader such as `head` may close it early.
fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn print(value: &Value) {
    say(&format!("{value:#}\n"));
}

/// Lists every model, or only the installed ones.
pub(super) fn list(
    registry: &Registry,
    here: bool,
    task: Option<Task>,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let wanted = |m: &Arc<Manifest>| task.is_none_or(|task| task == m.task);
    let mut rows: Vec<(Arc<Manifest>, State)> = registry
        .manifests()
        .into_iter()
        .filter(wanted)
        .map(|m| (m.clone(), registry.state(&m)))
        .filter(|(_, state)| !here || !matches!(state, State::Missing))
        .collect();
    rows.sort_by_key(|(m, _)| (m.task, m.size().unwrap_or(u64::MAX)));
    if json {
        print(&rows.iter().map(|(m, state)| row_json(m, state)).collect());
        return Ok(ExitCode::SUCCESS);
    }
    let heads = ["model", "task", "languages", "size", "memory", "licence"];
    let [id, task, languages, bytes, memory, licence] = heads;
    let mut table =
        format!("{id:<29} {task:<9} {languages:<13} {bytes:>9}  {memory:>9}  {licence:<22} here\n");
    for (manifest, state) in &rows {
        table += &row(manifest, state);
    }
    let folders: Vec<_> = registry.folders().iter().map(|f| f.display().to_string()).collect();
    let folders = folders.join(", ");
    table += &format!(
        "\nLooked for in {folders}.\n`auralink models pull MODEL` fetches one; (nc): not for \
         commercial use.\n"
    );
    say(&table);
    Ok(ExitCode::SUCCESS)
}

fn row(manifest: &Manifest, state: &State) -> String {
    let (id, task, bytes) = (&manifest.id, manifest.task, size(manifest.size()));
    let languages = match &manifest.into {
        Some(into) if manifest.languages.to_string().len() < 3 => {
            format!("{} → {into}", manifest.languages)
        }
        _ => manifest.languages.to_string(),
    };
    let memory = manifest.memory.as_ref().map(|m| m.cpu_mib << 20);
    let memory = memory.map_or_else(|| "?".into(), |bytes| size(Some(bytes)));
    let mark = if manifest.licence.commercial { "" } else { " (nc)" };
    // Names of custom licences would break the table layout.
    let licence = manifest.licence.spdx.trim_start_matches("LicenseRef-");
    let licence = format!("{licence}{mark}");
    let here = match state {
        State::Missing => "-".to_owned(),
        State::Partial { folder, bytes } => {
            format!("{} of it in {}", size(Some(*bytes)), folder.display())
        }
        State::Damaged { folder, why } => format!("DAMAGED in {}: {why}", folder.display()),
        State::Installed(installed) => installed.folder.display().to_string(),
        State::Included => "in the program".to_owned(),
    };
    format!("{id:<29} {task:<9} {languages:<13} {bytes:>9}  {memory:>9}  {licence:<22} {here}\n")
}

fn row_json(manifest: &Manifest, state: &State) -> Value {
    let mut row = json!({
        "manifest": manifest,
        "size": manifest.size(),
        "state": "missing",
    });
    match state {
        State::Missing => {}
        State::Included => row["state"] = "included".into(),
        State::Partial { folder, bytes } => {
            row["state"] = "partial".into();
            row["folder"] = folder.display().to_string().into();
            row["bytes"] = (*bytes).into();
        }
        State::Damaged { folder, why } => {
            row["state"] = "damaged".into();
            row["folder"] = folder.display().to_string().into();
            row["why"] = why.as_str().into();
        }
        State::Installed(installed) => {
            row["state"] = "installed".into();
            row["folder"] = installed.folder.display().to_string().into();
            row["hash_prefix"] = installed.hash_prefix.as_str().into();
        }
    }
    row
}

/// Shows newly installed models.
pub(super) fn arrived(models: &[Installed], json: bool) -> anyhow::Result<ExitCode> {
    if json {
        let state = |i: &Installed| row_json(&i.manifest, &State::Installed(i.clone()));
        print(&models.iter().map(state).collect());
    } else {
        let line = |i: &Installed| format!("{} is in {}\n", i.manifest.id, i.folder.display());
        say(&models.iter().map(line).collect::<String>());
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows the results of a verification.
pub(super) fn verdicts(
    verdicts: &[(Arc<Manifest>, Result<(), String>)],
    json: bool,
) -> anyhow::Result<ExitCode> {
    if json {
        let verdict = |(m, verdict): &(Arc<Manifest>, Result<(), String>)| json!({ "id": m.id, "ok": verdict.is_ok(), "why": verdict.as_ref().err() });
        print(&verdicts.iter().map(verdict).collect());
    } else {
        let line = |(manifest, verdict): &(Arc<Manifest>, Result<(), String>)| match verdict {
            Ok(()) => format!("ok    {}\n", manifest.id),
            Err(why) => format!("BAD   {}: {why}\n", manifest.id),
        };
        match verdicts {
            [] => say("No model is installed.\n"),
            some => say(&some.iter().map(line).collect::<String>()),
        }
    }
    let bad = verdicts.iter().any(|(_, verdict)| verdict.is_err());
    Ok(if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Shows the deleted models.
pub(super) fn removed(
    removed: &[(String, Vec<PathBuf>, u64)],
    json: bool,
) -> anyhow::Result<ExitCode> {
    if json {
        let row = |(id, folders, bytes): &(String, Vec<PathBuf>, u64)| {
            let folders: Vec<_> = folders.iter().map(|f| f.display().to_string()).collect();
            json!({ "id": id, "folders": folders, "bytes": bytes })
        };
        print(&removed.iter().map(row).collect());
    } else {
        let mut text = String::new();
        for (id, folders, bytes) in removed {
            // Writing to a String never fails.
            for folder in folders {
                let _ = writeln!(text, "{id} is gone from {}", folder.display());
            }
            let _ = writeln!(text, "{id}: {} freed", size(Some(*bytes)));
        }
        say(&text);
    }
    Ok(ExitCode::SUCCESS)
}
