//! Follows the wall clock and stores its steps in the state folder, so that ages stay right after a
//! restart.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::flow::{self, Steps, files};

/// How often the wall clock is checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Checks between two writes of the file if the clock was not set.
const CHECKS_PER_WRITE: u32 = 60;

/// Maximum size of the file, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Version of the file's format. Optional fields with a default need no new one.
const FORMAT_VERSION: u32 = 1;

/// Content of the file.
#[derive(Serialize, Deserialize)]
struct Stored {
    /// Files of old programs have none.
    #[serde(default = "first")]
    version: u32,
    #[serde(flatten)]
    steps: Steps,
}

fn first() -> u32 {
    1
}

/// Reads the content of the file.
///
/// # Errors
/// The reason, as text for the log.
fn read(json: &[u8]) -> Result<Steps, String> {
    let stored: Stored = serde_json::from_slice(json).map_err(|e| e.to_string())?;
    match stored.version {
        FORMAT_VERSION => Ok(stored.steps),
        other => {
            Err(format!("its format has version {other}, this program reads {FORMAT_VERSION}"))
        }
    }
}

/// The clock and the file where its steps are kept.
pub(super) struct Clock(PathBuf);

impl Clock {
    /// Restores the known steps and checks whether the clock was set since. Must run before
    /// anything that uses ages.
    pub(super) async fn restore(state: &Path) -> Self {
        let clock = Self(state.join("clock.json"));
        let path = clock.0.display();
        match files::read(&clock.0, FILE_BYTES_MAX).await {
            Ok(json) => match read(&json) {
                Ok(known) => flow::restore_steps(known),
                Err(error) => tracing::warn!(%path, %error, "not read: begun anew"),
            },
            // The file does not exist at the first start.
            Err(error) => tracing::debug!(%error, "nothing is known of the wall clock"),
        }
        clock.look();
        clock.keep().await;
        clock
    }

    /// Follows the clock until it is cancelled.
    pub(super) async fn follow(self, until: CancellationToken) {
        let mut tick = interval(CHECK_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looks = 1;
        loop {
            tokio::select! {
                () = until.cancelled() => break,
                _ = tick.tick() => {}
            }
            if self.look() || looks % CHECKS_PER_WRITE == 0 {
                self.keep().await;
            }
            looks += 1;
        }
        self.keep().await;
    }

    /// Returns true if the clock was set since the last check.
    fn look(&self) -> bool {
        let step = flow::follow_wall_clock();
        if let Some(step) = &step {
            let by_s = step.by_ms() / 1000;
            tracing::warn!(
                by_s,
                "the wall clock was set: for an hour no recording and no caption is deleted by its age"
            );
        }
        step.is_some()
    }

    async fn keep(&self) {
        let stored = Stored { version: FORMAT_VERSION, steps: flow::known_steps() };
        let json = serde_json::to_vec(&stored).unwrap_or_default();
        let write = move |path: &Path| {
            // A crash leaves the old or the new file, never a partial one.
            let fresh = path.with_extension("new");
            std::fs::write(&fresh, json).and_then(|()| std::fs::rename(&fresh, path))
        };
        let failed = match files::within(&self.0, files::OPEN_MAX, write).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::debug!(path = %self.0.display(), error = failed, "the clock's steps are not kept");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_first_version_are_read_with_and_without_their_number() {
        let steps = r#""last":{"boot":"b","since_boot_ms":1,"wall_ms":2},"steps":[]"#;
        let old = read(format!("{{{steps}}}").as_bytes()).expect("reads");
        assert_ne!(old, Steps::default());
        let stored = Stored { version: FORMAT_VERSION, steps: old.clone() };
        let json = serde_json::to_vec(&stored).expect("is written");
        assert_eq!(read(&json), Ok(old));
        let newer = read(format!("{{\"version\":2,{steps}}}").as_bytes()).expect_err("unknown");
        assert!(newer.contains("version 2"), "{newer}");
    }
}
