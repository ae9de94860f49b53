//! A viewer's connection, from the side of its task.

use tokio::sync::{mpsc, watch};

use super::Delivery;
use super::command::{Begin, Command, ConnectionEvent};
use super::id::SessionId;
use super::{Channel, Credentials, Error, Source};

/// Most events that wait to be read: one of each kind, and the data channels.
pub(super) const EVENTS_MAX: usize = 16;

/// A viewer's connection. Dropping it ends the session with a goodbye.
pub struct Connection {
    pub(super) id: SessionId,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) events: tokio::sync::Mutex<mpsc::Receiver<ConnectionEvent>>,
    pub(super) delivery: watch::Receiver<Delivery>,
}

/// What has happened to a [`Connection`].
pub enum Change {
    /// Media can flow.
    Connected,
    /// The viewer has opened a data channel.
    Opened(Channel),
    /// The session has ended, for this reason.
    Ended(String),
}

impl Connection {
    /// Waits for the next change. Safe to cancel.
    pub async fn changed(&self) -> Change {
        match self.events.lock().await.recv().await {
            Some(ConnectionEvent::Connected) => Change::Connected,
            Some(ConnectionEvent::Opened(channel)) => Change::Opened(channel),
            Some(ConnectionEvent::Ended(why)) => Change::Ended(why.to_string()),
            None => Change::Ended("its thread has ended".into()),
        }
    }

    /// The track with this index plays a source from now on.
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub fn play(&self, track: usize, source: &Source, begin: Begin) -> Result<(), Error> {
        self.command(Command::Play(self.id, track, source.clone(), begin))
    }

    /// What the best quality needs, in kbit/s: the estimate of the line looks for that much.
    pub fn desire(&self, kbps: u32) {
        // A shard that is too busy is asked again with the next change.
        let _ = self.command(Command::Desire(self.id, kbps));
    }

    /// Begins a new ICE generation with the viewer's new credentials; returns ours. Media stays on
    /// the old path until the viewer has chosen a new one.
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub fn restart(&self, remote: Credentials) -> Result<Credentials, Error> {
        let own = str0m::IceCreds::new();
        let own = Credentials { ufrag: own.ufrag, password: own.pass };
        self.command(Command::Restart(self.id, own.clone(), remote))?;
        Ok(own)
    }

    /// What reaches the viewer; renewed every second.
    pub fn delivery(&self) -> Delivery {
        *self.delivery.borrow()
    }

    /// Ends the session with a goodbye to the viewer, and waits until it is sent.
    pub async fn close(&self) {
        // With a full queue the goodbye is left out.
        if self.command(Command::Close(self.id)).is_ok() {
            while !matches!(self.changed().await, Change::Ended(_)) {}
        }
    }

    fn command(&self, command: Command) -> Result<(), Error> {
        self.commands.try_send(command).map_err(|_| Error::Busy)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // A shard that is too busy to hear of it notices at the session's next timer.
        let _ = self.commands.try_send(Command::Close(self.id));
    }
}
