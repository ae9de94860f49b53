//! SRT: one listener for publishers and players, and a caller for pulls.
//!
//! All callers use the same UDP port and name their request in the stream id; see [`streamid`].
//! ```text
//! ffmpeg -re -i in.mp4 -c copy -f mpegts 'srt://box:8890?streamid=publish:studio-1:TOKEN'
//! ffplay 'srt://box:8890?streamid=read:studio-1:TOKEN'
//! ```

mod config;
mod error;
#[cfg(test)]
mod fuzz;
mod play;
mod publish;
pub mod pull;
mod server;
pub mod streamid;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::flow::Gate;

pub use config::Config;
pub use error::Error;
pub use server::Server;

/// Listens until `cancel`. Returns `Ok` at once if SRT is disabled. Use [`Server`] to learn the
/// bound port.
///
/// # Errors
/// An invalid configuration, a port in use, or a failed listener.
pub async fn serve(
    config: Config,
    gate: Arc<dyn Gate>,
    cancel: CancellationToken,
) -> Result<(), Error> {
    if !config.enabled {
        return Ok(());
    }
    Server::bind(config)?.run(gate, cancel).await
}

#[cfg(test)]
mod tests;
