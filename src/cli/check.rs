//! `auralink check`: validates a configuration file or a preset, and prints what would run.

use std::path::Path;
use std::process::ExitCode;

use crate::config::{self, Config};
use crate::graph;
use crate::process::transfer;
use crate::runtime::Presets;

use super::arguments::environment;
use super::plan;

/// Checks a file, a built-in preset, or the configuration that `run` would use.
pub(super) fn check(target: Option<&str>) -> anyhow::Result<ExitCode> {
    let Some(target) = target else { return check_config(config::find(None).as_deref()) };
    let path = Path::new(target);
    if !path.exists() || is_preset(path) {
        return check_preset(target);
    }
    check_config(Some(path))
}

/// Whether the file is a preset: only presets have a title.
fn is_preset(path: &Path) -> bool {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    toml::from_str::<toml::Table>(&text).is_ok_and(|table| table.contains_key("title"))
}

fn check_preset(target: &str) -> anyhow::Result<ExitCode> {
    let preset = plan::find(target)?;
    println!("{}: {}\n", preset.title, preset.description);
    let encoders = plan::encoders()?;
    let mut code = ExitCode::SUCCESS;
    for (source, b_frames) in [("h264+aac", true), ("vp8+opus", false)] {
        let formats = plan::formats(source, b_frames)?;
        let ask = plan::ask(&preset, &formats, encoders.clone(), transfer::is_installed());
        let plan = graph::plan(&ask);
        println!("from {source}:\n{}\n", graph::text(&ask, &plan).trim_end());
        if plan.routes.values().any(|route| !route.problems.is_empty()) {
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

fn check_config(path: Option<&Path>) -> anyhow::Result<ExitCode> {
    let name = path.map_or_else(|| "defaults (no file)".to_owned(), |p| p.display().to_string());
    let checked = config::load(path, environment(), &[]).and_then(|c| c.check().map(|()| c));
    let config = match checked {
        Ok(config) => config,
        Err(problems) => {
            eprintln!("{name} has {} problem(s):\n{problems}", problems.0.len());
            return Ok(ExitCode::FAILURE);
        }
    };
    println!("{name} is good.\n");
    print_resolved(&config);
    Ok(ExitCode::SUCCESS)
}

fn print_resolved(config: &Config) {
    let scheme = if config.api.tls_cert.is_some() { "https" } else { "http" };
    let open = if config.api.open { ", OPEN TO ANYBODY" } else { "" };
    println!("API and page  {scheme}://{}{open}", config.api.listen);
    println!("state         {}", config.state_dir().display());
    if !config.database.url.is_empty() {
        println!("database      {}", config.database.address());
    }
    println!("recordings    {}", config.recordings().display());
    println!("limits        {} streams, {} viewers", config.limits.streams, config.limits.viewers);
    if let Ok(presets) = Presets::load(config.presets.as_deref()) {
        println!("presets       {}", presets.names().collect::<Vec<_>>().join(", "));
    }
    for stream in &config.streams {
        println!("stream        {} (preset {})", stream.name, stream.preset);
    }
}
