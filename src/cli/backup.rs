//! `auralink backup` and `auralink restore`: all tables of the store in a file, from and to any database.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use super::arguments::RunArguments;
use crate::control::store::{CopiedTable, CopyError, Store};

/// Where the database is named.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// Configuration file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of the database, if it is one of SQLite.
    #[arg(long, value_name = "FOLDER")]
    state: Option<PathBuf>,
}

/// `auralink backup`.
pub(super) fn back_up(at: Place, file: &Path) -> anyhow::Result<ExitCode> {
    let tables = with_store(at, async |store| store.back_up(file).await)?;
    println!("{} has:", file.display());
    print(&tables);
    Ok(ExitCode::SUCCESS)
}

/// `auralink restore`.
pub(super) fn restore(at: Place, file: &Path, replace: bool) -> anyhow::Result<ExitCode> {
    let tables = with_store(at, async |store| store.restore(file, replace).await)?;
    println!("The database has:");
    print(&tables);
    Ok(ExitCode::SUCCESS)
}

/// Opens the store of the configuration for a copy.
fn with_store(
    at: Place,
    copy: impl AsyncFnOnce(&Store) -> Result<Vec<CopiedTable>, CopyError>,
) -> anyhow::Result<Vec<CopiedTable>> {
    let arguments = RunArguments { config: at.config, state: at.state, ..RunArguments::default() };
    let config = arguments.load()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let store = Store::open(&config.database, &config.state_dir()).await?;
        let copied = copy(&store).await;
        store.close().await;
        copied.context("nothing is copied")
    })
}

fn print(tables: &[CopiedTable]) {
    for CopiedTable { name, rows, sha256 } in tables {
        println!("  {name:<14} {rows:>9} rows  sha256 {sha256}");
    }
    println!("Rows and checksums are those of the source.");
}
