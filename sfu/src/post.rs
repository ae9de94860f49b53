//! Where datagrams leave a shard and come in: its UDP socket and the TCP connections.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc;

use super::error::Path;
use super::outbox::Outbox;
use super::socket::Socket;
use super::tcp::Arrival;

/// The socket and the connections of a shard.
pub(super) struct Post {
    socket: Socket,
    outbox: Outbox,
    /// Queues of the TCP connections of known viewers.
    connections: HashMap<SocketAddr, mpsc::Sender<Vec<u8>>>,
}

impl Post {
    /// A socket without connections.
    pub(super) fn new(socket: Socket) -> Self {
        let outbox = Outbox::new(socket.gso_segments());
        Self { socket, outbox, connections: HashMap::new() }
    }

    /// Waits until the socket has something.
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Receives what is there, at most one batch.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn receive(&mut self, each: impl FnMut(Path, &[u8])) -> io::Result<bool> {
        self.socket.receive(each)
    }

    /// A session knows the viewer of a TCP connection: datagrams for it are taken from now on.
    pub(super) fn connect(&mut self, arrival: &Arrival) {
        if !arrival.is_known.swap(true, Ordering::Relaxed) {
            self.connections.retain(|_, queue| !queue.is_closed());
            self.connections.insert(arrival.path.remote, arrival.reply.clone());
        }
    }

    /// Sends a datagram, with the next ones for the same viewer if they come before
    /// [`Self::flush`]. It is lost if its queue is full, as in the network.
    pub(super) fn send(&mut self, path: Path, datagram: &[u8]) {
        if path.is_tcp {
            if let Some(queue) = self.connections.get(&path.remote) {
                let _ = queue.try_send(datagram.to_vec());
            }
            return;
        }
        let Self { socket, outbox, .. } = self;
        outbox.push(path, datagram, |call| report(socket.send(&call)));
    }

    /// Sends what waits.
    pub(super) fn flush(&mut self) {
        let Self { socket, outbox, .. } = self;
        outbox.flush(|call| report(socket.send(&call)));
    }
}

/// A datagram that cannot be sent concerns one viewer, whose path fails: it notices by itself.
fn report(sent: io::Result<()>) {
    if let Err(error) = sent {
        tracing::debug!(%error, "a datagram for a WebRTC viewer is lost");
    }
}
