//! The encoders of this machine: tried in a child process, because a driver may abort it.

use std::collections::BTreeMap;
use std::process::ExitCode;

use crate::process::encoder_probe;
use crate::process::encoders::Encoders;

/// Tries the encoders in a child process of the same program. Blocks for one or two seconds.
pub(super) fn probe_encoders() -> Encoders {
    let preferred = BTreeMap::new();
    match std::env::current_exe() {
        Ok(program) => Encoders::probe_apart(&preferred, || {
            let mut child = std::process::Command::new(&program);
            child.arg("try-encoders");
            child
        }),
        Err(error) => {
            tracing::warn!(%error, "encoders are tried in this process");
            Encoders::probe(&preferred)
        }
    }
}

/// `auralink try-encoders`: the child process. Prints the results as JSON.
pub(super) fn try_encoders(factories: &[String]) -> anyhow::Result<ExitCode> {
    crate::init()?;
    println!("{}", serde_json::to_string(&encoder_probe::here(factories))?);
    Ok(ExitCode::SUCCESS)
}
