//! The thread of a writer, which writes a recording, and what it is given.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::Settings;
use super::sidecar::Begun;
use crate::flow::{Error, Node, Status};
use crate::media::StreamName;

/// Time limit for ending the last file.
pub(super) const FINISH_MAX: Duration = Duration::from_secs(4);

/// Where a writer writes, and to whom it reports.
#[derive(Clone)]
pub(super) struct Output {
    pub(super) folder: PathBuf,
    pub(super) settings: Settings,
    pub(super) status: Status,
    /// Receives an announcement of each new recording.
    pub(super) begins: mpsc::Sender<Begun>,
}

/// What a writer's thread will report.
pub(super) type Written = oneshot::Receiver<Result<(), Error>>;

/// Runs a writer on a thread of its own.
pub(super) fn on_a_thread(
    stream: &StreamName,
    write: impl FnOnce() -> Result<(), Error> + Send + 'static,
) -> Result<Written, Error> {
    let (tell, written) = oneshot::channel();
    std::thread::Builder::new()
        .name(format!("record-{stream}"))
        .spawn(move || {
            let _ = tell.send(write());
        })
        .map_err(|e| Error::build("the thread that writes", e))?;
    Ok(written)
}

/// Waits for a writer whose queue has ended.
pub(super) async fn ended_in_time(written: Written) -> Result<(), Error> {
    match tokio::time::timeout(FINISH_MAX, written).await {
        Ok(Ok(ended)) => ended,
        _ => Err(Error::build("the last recording", "it could not be ended in time")),
    }
}

/// Handles a writer that failed while the pipeline runs.
pub(super) async fn stopped(
    node: &Node,
    result: Result<Result<(), Error>, oneshot::error::RecvError>,
) -> Result<(), Error> {
    node.stop().await?;
    match result {
        Ok(Err(error)) => Err(error),
        Ok(Ok(())) => Err(Error::Ended),
        Err(_) => Err(Error::build("the thread that writes", "it panicked; the log has more")),
    }
}
