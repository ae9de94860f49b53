//! ICE over TCP (RFC 6544), for viewers in networks that block UDP: datagrams with their length in
//! front (RFC 4571), on the port number of the shard.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::error::Path;

/// Most connections of a shard.
const CONNECTIONS_MAX: usize = 1024;

/// Longest datagram from a viewer in bytes.
const DATAGRAM_BYTES_MAX: usize = 2048;

/// Most datagrams that wait to be sent on a connection: a second of 4 Mbit/s. Further ones are lost,
/// as in any full queue of the network.
const WAITING_DATAGRAMS_MAX: usize = 512;

/// Most datagrams of all connections that wait for the shard.
pub(super) const ARRIVED_DATAGRAMS_MAX: usize = 256;

/// How long a stranger may hold a connection.
const STRANGER_MAX: Duration = Duration::from_secs(10);

/// How long a viewer may be silent, as with UDP.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// A datagram from a TCP connection.
pub(super) struct Arrival {
    pub(super) path: Path,
    pub(super) datagram: Vec<u8>,
    /// Takes datagrams for the viewer.
    pub(super) reply: mpsc::Sender<Vec<u8>>,
    /// Set by the shard when a session knows the viewer.
    pub(super) is_known: Arc<AtomicBool>,
}

/// Binds a port for both IP versions.
///
/// # Errors
/// The system's.
pub(super) fn bind(port: u16) -> io::Result<std::net::TcpListener> {
    let both = std::net::TcpListener::bind((Ipv6Addr::UNSPECIFIED, port));
    let listener = both.or_else(|_| std::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Accepts connections for ever.
pub(super) async fn serve(listener: std::net::TcpListener, arrivals: mpsc::Sender<Arrival>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let open = Arc::new(AtomicUsize::new(0));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Usually no file descriptors are left: connections that end give some back.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        if open.load(Ordering::Relaxed) >= CONNECTIONS_MAX {
            continue;
        }
        open.fetch_add(1, Ordering::Relaxed);
        let (arrivals, open) = (arrivals.clone(), Arc::clone(&open));
        tokio::spawn(async move {
            if let Err(error) = connection(stream, arrivals).await {
                tracing::debug!(%error, "a TCP connection of a WebRTC viewer ends");
            }
            open.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

async fn connection(stream: TcpStream, arrivals: mpsc::Sender<Arrival>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let canonical = |at: SocketAddr| SocketAddr::new(at.ip().to_canonical(), at.port());
    let (local, remote) = (canonical(stream.local_addr()?), canonical(stream.peer_addr()?));
    let path = Path { local, remote, is_tcp: true };
    let (reading, writing) = stream.into_split();
    let (reply, replies) = mpsc::channel(WAITING_DATAGRAMS_MAX);
    tokio::select! {
        result = read(reading, path, reply, arrivals) => result,
        result = write(writing, replies) => result,
    }
}

async fn read(
    mut stream: OwnedReadHalf,
    path: Path,
    reply: mpsc::Sender<Vec<u8>>,
    arrivals: mpsc::Sender<Arrival>,
) -> io::Result<()> {
    let is_known = Arc::new(AtomicBool::new(false));
    let stranger = tokio::time::Instant::now() + STRANGER_MAX;
    loop {
        let limit = match is_known.load(Ordering::Relaxed) {
            true => tokio::time::Instant::now() + SILENCE_MAX,
            false => stranger,
        };
        let datagram = tokio::time::timeout_at(limit, frame(&mut stream)).await??;
        let (reply, is_known) = (reply.clone(), Arc::clone(&is_known));
        let arrival = Arrival { path, datagram, reply, is_known };
        arrivals.send(arrival).await.map_err(|_| io::ErrorKind::BrokenPipe)?;
    }
}

/// The next datagram.
async fn frame(stream: &mut OwnedReadHalf) -> io::Result<Vec<u8>> {
    let length = usize::from(stream.read_u16().await?);
    if length > DATAGRAM_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut datagram = vec![0; length];
    stream.read_exact(&mut datagram).await?;
    Ok(datagram)
}

async fn write(stream: OwnedWriteHalf, mut replies: mpsc::Receiver<Vec<u8>>) -> io::Result<()> {
    let mut stream = BufWriter::new(stream);
    while let Some(datagram) = replies.recv().await {
        let length = u16::try_from(datagram.len()).map_err(|_| io::ErrorKind::InvalidData)?;
        stream.write_u16(length).await?;
        stream.write_all(&datagram).await?;
        if replies.is_empty() {
            stream.flush().await?;
        }
    }
    Ok(())
}
