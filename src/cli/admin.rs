//! The admin token: its origin, and a new one to replace a lost one.

use std::process::ExitCode;

use anyhow::Context;

use super::arguments::RunArguments;
use crate::config::Config;
use crate::control::auth::{Auth, Hosts};
use crate::control::store::{ADMIN_TOKEN_SHA256, SettingTable, Store};

/// Minimum length of the token in `$AURALINK_ADMIN_TOKEN`, in characters.
const ADMIN_TOKEN_BYTES_MIN: usize = 32;

/// Sets up authentication with the admin token from the environment, else the stored hash, else a
/// new token, which is printed only this once.
pub(super) async fn authenticate(
    config: &Config,
    settings: &dyn SettingTable,
) -> anyhow::Result<Auth> {
    let open = config.api.open;
    if open {
        tracing::warn!("api.open is true: anybody who reaches the port may change everything");
    }
    // The admin has configured the public address, so its host is an accepted name too.
    let public = config.api.public_url.as_ref().and_then(|url| url::Url::parse(url).ok());
    let public = public.and_then(|url| url.host_str().map(str::to_owned));
    let names = config.api.allowed_hosts.iter().cloned().chain(public);
    let hosts = Hosts::new(names);
    let made = |digest: &str| {
        Auth::new(digest, &config.cluster.token, open, hosts.clone())
            .context("the stored token hash is damaged")
    };
    if let Ok(token) = std::env::var("AURALINK_ADMIN_TOKEN") {
        anyhow::ensure!(
            token.len() >= ADMIN_TOKEN_BYTES_MIN,
            "$AURALINK_ADMIN_TOKEN is too short: use at least {ADMIN_TOKEN_BYTES_MIN} random \
             characters, such as those of `openssl rand -hex 32`"
        );
        return made(&Auth::digest(&token));
    }
    if let Some(digest) = settings.get(ADMIN_TOKEN_SHA256).await? {
        return made(&digest).context("`auralink token --new` makes another");
    }
    let token = crate::media::new_token();
    let digest = Auth::digest(&token);
    settings.set(ADMIN_TOKEN_SHA256, &digest).await?;
    // Standard output, not the log: logs are collected, kept and read by many people.
    println!("\n  The admin token, shown this once:\n\n      {token}\n");
    made(&digest)
}

/// `auralink token --new`.
pub(super) fn new_token(arguments: &RunArguments) -> anyhow::Result<ExitCode> {
    let config = arguments.load()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let token = crate::media::new_token();
    runtime.block_on(async {
        let store = Store::open(&config.database, &config.state_dir()).await?;
        store.settings.set(ADMIN_TOKEN_SHA256, &Auth::digest(&token)).await?;
        store.close().await;
        anyhow::Ok(())
    })?;
    println!("{token}");
    eprintln!("A running appliance takes it up when it is restarted.");
    Ok(ExitCode::SUCCESS)
}
