//! Starts the shards and opens sessions on them.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use str0m::config::DtlsCert;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::Delivery;
use super::command::Queues;
use super::connection::EVENTS_MAX;
use super::id::SessionId;
use super::session::Session;
use super::shard::{Inputs, Shard};
use super::socket::{self, Socket};
use super::{Connection, Error, LocalEnd, Terms, address, tcp};

/// Most commands that wait for a shard: some for each viewer of a crowd that comes at once.
const COMMANDS_MAX: usize = 4096;

/// Most frames that wait for a shard: a second of ten streams. A shard that is further behind loses
/// them.
const WAITING_FRAMES_MAX: usize = 1024;

/// How viewers reach the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// First and last UDP port to try; each shard takes the next free one.
    pub ports: (u16, u16),
    /// Local addresses to use; empty means all but loopback.
    pub addresses: Vec<IpAddr>,
    /// Number of shards, at least 1.
    pub shards: usize,
    /// Also takes viewers by TCP, on the same port numbers.
    pub tcp: bool,
}

/// Serves WebRTC viewers on a fixed number of threads and ports. Dropping it ends all sessions.
pub struct Engine {
    settings: Settings,
    certificate: DtlsCert,
    shards: Vec<Handle>,
    next: AtomicU64,
    stop: CancellationToken,
}

/// A running shard.
struct Handle {
    port: u16,
    queues: Queues,
}

impl Engine {
    /// Binds the ports and starts the threads.
    ///
    /// # Errors
    /// [`Error::Ports`] or [`Error::Start`].
    pub fn start(settings: Settings) -> Result<Self, Error> {
        let provider = str0m::crypto::from_feature_flags();
        let certificate = provider.dtls_provider.generate_certificate();
        let failed = || Error::Start(std::io::Error::other("no DTLS certificate can be made"));
        let certificate = certificate.ok_or_else(failed)?;
        let stop = CancellationToken::new();
        let mut shards: Vec<Handle> = Vec::new();
        for number in 0..settings.shards.max(1) {
            let (mut first, last) = settings.ports;
            if let Some(before) = shards.last().filter(|_| first != 0) {
                first = before.port.saturating_add(1);
            }
            let (socket, listener) = first_free(first, last, settings.tcp)?;
            let port = socket.local_addr().map_err(Error::Start)?.port();
            let queues = start(number, socket, listener, stop.clone())?;
            shards.push(Handle { port, queues });
        }
        Ok(Self { settings, certificate, shards, next: AtomicU64::new(1), stop })
    }

    /// The UDP ports in use.
    pub fn ports(&self) -> impl Iterator<Item = u16> {
        self.shards.iter().map(|shard| shard.port)
    }

    /// Opens a session for a viewer that has sent its description.
    ///
    /// # Errors
    /// What is wrong with the terms or with this machine.
    pub fn open(&self, terms: &Terms) -> Result<(Connection, LocalEnd), Error> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        // Round robin: each shard gets the same share of a crowd.
        let at = usize::try_from(number).unwrap_or(0) % self.shards.len();
        let Some(shard) = self.shards.get(at) else { return Err(Error::Busy) };
        let addresses = address::local(&self.settings.addresses)?;
        let addresses: Vec<SocketAddr> =
            addresses.into_iter().map(|ip| SocketAddr::new(ip, shard.port)).collect();
        let (session, local) = Session::new(
            terms,
            (&addresses, self.settings.tcp),
            &self.certificate,
            Instant::now(),
        )?;
        let (tell, events) = mpsc::channel(EVENTS_MAX);
        let (measure, delivery) = watch::channel(Delivery::default());
        let (id, commands) = (SessionId(number), shard.queues.commands.clone());
        let ufrag = local.credentials.ufrag.clone();
        let open = super::command::Command::Open(id, Box::new(session), ufrag, tell, measure);
        commands.try_send(open).map_err(|_| Error::Busy)?;
        let events = tokio::sync::Mutex::new(events);
        Ok((Connection { id, commands, events, delivery }, local))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The sockets of a shard, the second for TCP.
type Sockets = (std::net::UdpSocket, Option<std::net::TcpListener>);

/// The first port of a range that can be bound.
fn first_free(first: u16, last: u16, tcp: bool) -> Result<Sockets, Error> {
    let mut reason = std::io::ErrorKind::AddrInUse.into();
    for port in first..=last {
        match bind(port, tcp) {
            Ok(sockets) => return Ok(sockets),
            Err(error) => reason = error,
        }
    }
    Err(Error::Ports { first, last, reason })
}

fn bind(port: u16, tcp: bool) -> std::io::Result<Sockets> {
    let socket = socket::bind(port)?;
    let port = socket.local_addr()?.port();
    let listener = tcp.then(|| tcp::bind(port)).transpose()?;
    Ok((socket, listener))
}

/// Starts the thread of a shard.
fn start(
    number: usize,
    socket: std::net::UdpSocket,
    listener: Option<std::net::TcpListener>,
    stop: CancellationToken,
) -> Result<Queues, Error> {
    let (commands, commanded) = mpsc::channel(COMMANDS_MAX);
    let (texts, written) = mpsc::channel(COMMANDS_MAX);
    let (batches, sent) = mpsc::channel(WAITING_FRAMES_MAX);
    let queues = Queues { commands, texts, batches };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Error::Start)?;
    let socket = {
        let _inside = runtime.enter();
        Socket::new(socket).map_err(Error::Start)?
    };
    let shard = Shard::new(number, socket, queues.clone());
    let run = move || {
        let (tell, arrivals) = mpsc::channel(tcp::ARRIVED_DATAGRAMS_MAX);
        if let Some(listener) = listener {
            runtime.spawn(tcp::serve(listener, tell));
        }
        let inputs = Inputs { commands: commanded, texts: written, batches: sent, arrivals };
        runtime.block_on(shard.run(inputs, stop));
    };
    let thread = std::thread::Builder::new().name(format!("fan-out-{number}"));
    thread.spawn(run).map_err(Error::Start)?;
    Ok(queues)
}
