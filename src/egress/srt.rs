//! SRT: pushes MPEG-TS to a listener.

use tokio::sync::watch;

use crate::flow::{self, Blame, Inputs, Join, Task};
use crate::media::Accepts;
use crate::srt::{self, SendOutcome, Shape, Target, TargetError};

/// The media that an SRT push accepts.
pub fn accepts() -> Accepts {
    srt::accepts()
}

/// Checks the URL of a push, for configuration and API.
///
/// # Errors
/// What is wrong with the URL.
pub fn check(url: &str) -> Result<(), TargetError> {
    url.parse::<Target>().map(|_| ())
}

/// Calls the listener at `url` (`srt://host:port?streamid=…&passphrase=…&latency=ms`) and sends it
/// the inputs until the task is cancelled.
///
/// # Errors
/// With blame on the destination: it is unreachable, refuses, disconnects or is too slow. With
/// blame on the input: there is nothing to send.
pub async fn run(task: Task, inputs: Inputs, url: &str) -> Result<(), flow::Error> {
    let target: Target = url.parse().map_err(|e: TargetError| {
        flow::Error::refused(Blame::Us, e.to_string(), "correct the address of the output")
    })?;
    task.status.set("target", target.to_string());
    let (_keep, inputs) = watch::channel(inputs);
    loop {
        // Connects only once there is media to send.
        let ready = inputs.borrow().clone();
        let socket = tokio::select! {
            () = task.cancel.cancelled() => return Ok(()),
            socket = async {
                Shape::settle(&ready).await?;
                target.connect(Blame::Destination).await
            } => socket?,
        };
        let name = &task.name;
        let sent =
            srt::send(name, socket, inputs.clone(), Join::Backlog, &task.cancel, &task.status)
                .await?;
        if sent == SendOutcome::Cancelled {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests;
