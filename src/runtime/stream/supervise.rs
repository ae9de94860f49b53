//! Restarts a stream whose task panicked, and reports the panic.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use futures::FutureExt;
use tokio::sync::{mpsc, oneshot, watch};

use super::{Stream, until};
use crate::runtime::command::{COMMANDS_MAX, Command};
use crate::runtime::fault::Fault;
use crate::runtime::shared::{Shared, StreamEntry};
use crate::runtime::worker::RESTARTS;
use crate::runtime::{Event, StreamSnapshot, StreamState, Wanted};

/// Starts a stream; it runs until a stop command.
pub(in crate::runtime) fn spawn(shared: Arc<Shared>, wanted: Wanted) -> StreamEntry {
    let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
    let (wanted, thumbnail) = (watch::Sender::new(wanted), watch::Sender::new(None));
    let state = watch::Sender::new(StreamState::Idle);
    let entry = StreamEntry { wanted, commands, thumbnail, state, refusals: Arc::default() };
    tokio::spawn(supervise(shared, entry.clone(), inbox));
    entry
}

async fn supervise(shared: Arc<Shared>, entry: StreamEntry, mut commands: mpsc::Receiver<Command>) {
    let mut backoff = RESTARTS;
    loop {
        let started = Instant::now();
        let stream = Stream::new(Arc::clone(&shared), &entry, started);
        // The stream shares only locks and counters, which recover from a panic.
        let run = AssertUnwindSafe(stream.run(&mut commands)).catch_unwind();
        let Err(panic) = run.await else { return };
        let hint = "it starts again by itself; tell the makers what you did, the log has the place";
        let fault = Fault::now(format!("the stream panicked: {}", message(&*panic)), hint);
        let name = entry.spec().name.to_string();
        let pause = backoff.pause_with_jitter(started.elapsed(), rand::random());
        tracing::error!(stream = name, error = fault.message, ?pause, "stream failed");
        let error = fault.message.clone();
        // An error means that there is no listener.
        let _ = shared.events.send(Event::StreamFailed { stream: name, error });
        shared.failed.fetch_add(1, Ordering::Relaxed);
        let stopped = rest(&entry, &fault, Instant::now() + pause, &mut commands).await;
        shared.failed.fetch_sub(1, Ordering::Relaxed);
        if let Some(stopped) = stopped {
            let _ = stopped.send(());
            return;
        }
    }
}

/// Answers for the stream until `end`. Dropping a command that it cannot answer notifies the
/// caller. Returns early with the sender of the reply when the stream must stop.
async fn rest(
    entry: &StreamEntry,
    fault: &Fault,
    end: Instant,
    commands: &mut mpsc::Receiver<Command>,
) -> Option<oneshot::Sender<()>> {
    let since = fault.at;
    loop {
        let command = tokio::select! {
            () = until(Some(end)) => return None,
            command = commands.recv() => command?,
        };
        match command {
            Command::Stop(done) => return Some(done),
            Command::Snapshot(reply) => {
                let wanted = entry.wanted.borrow().clone();
                let snapshot = StreamSnapshot::failed(&wanted, since, Some(fault).into());
                let _ = reply.send(StreamSnapshot { refusals: entry.refusals.list(), ..snapshot });
            }
            _ => {}
        }
    }
}

/// The message of a panic.
fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
