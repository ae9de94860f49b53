//! The UDP socket of a shard.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::error::Path;
use super::outbox::Call;

/// Kernel buffer for datagrams from viewers, in bytes: some thousands of small ones.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

/// Kernel buffer for datagrams to viewers, in bytes: a frame for some hundred viewers.
const SEND_BUFFER_BYTES: usize = 8 << 20;

/// Longest datagram; GRO joins several up to this size.
const DATAGRAM_BYTES_MAX: usize = 64 << 10;

/// A bound socket for IPv4 and, where the machine has it, IPv6.
pub(super) struct Socket {
    io: UdpSocket,
    state: UdpSocketState,
    port: u16,
    is_v6: bool,
    buffers: Vec<Vec<u8>>,
}

/// Binds a port for both IP versions.
///
/// # Errors
/// The system's.
pub(super) fn bind(port: u16) -> io::Result<std::net::UdpSocket> {
    let both = std::net::UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port));
    both.or_else(|_| std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)))
}

impl Socket {
    /// Takes a bound socket into the running tokio runtime.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let io = UdpSocket::from_std(socket)?;
        let state = UdpSocketState::new(UdpSockRef::from(&io))?;
        // The kernel gives what its limits allow.
        let _ = state.set_recv_buffer_size(UdpSockRef::from(&io), RECEIVE_BUFFER_BYTES);
        let _ = state.set_send_buffer_size(UdpSockRef::from(&io), SEND_BUFFER_BYTES);
        let buffers = vec![vec![0; DATAGRAM_BYTES_MAX]; BATCH_SIZE];
        Ok(Self { io, state, port: address.port(), is_v6: address.is_ipv6(), buffers })
    }

    /// Datagrams of one size that the kernel takes in one call.
    pub(super) fn gso_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    /// Waits until something can be received.
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.io.readable().await
    }

    /// Receives what is there, at most one batch; false if nothing was.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn receive(&mut self, mut each: impl FnMut(Path, &[u8])) -> io::Result<bool> {
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        let mut slices: Vec<io::IoSliceMut<'_>> =
            self.buffers.iter_mut().map(|b| io::IoSliceMut::new(b)).collect();
        let (io, state) = (&self.io, &self.state);
        let received = io.try_io(Interest::READABLE, || {
            state.recv(UdpSockRef::from(io), &mut slices, &mut metas)
        });
        let count = match received {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        };
        for (meta, buffer) in metas.iter().zip(&self.buffers).take(count) {
            let Some(local) = meta.dst_ip.map(|ip| ip.to_canonical()) else { continue };
            let remote = SocketAddr::new(meta.addr.ip().to_canonical(), meta.addr.port());
            let path = Path { local: SocketAddr::new(local, self.port), remote, is_tcp: false };
            let bytes = buffer.get(..meta.len).unwrap_or_default();
            bytes.chunks(meta.stride.max(1)).for_each(|datagram| each(path, datagram));
        }
        Ok(true)
    }

    /// Sends; datagrams are lost if the kernel has no room, as in any full queue of the network.
    ///
    /// # Errors
    /// The system's, for this viewer only.
    pub(super) fn send(&self, call: &Call<'_>) -> io::Result<()> {
        let remote = call.path.remote;
        let mapped = match remote.ip() {
            IpAddr::V4(ip) if self.is_v6 => IpAddr::V6(ip.to_ipv6_mapped()),
            ip => ip,
        };
        let transmit = Transmit {
            destination: SocketAddr::new(mapped, remote.port()),
            ecn: None,
            contents: call.bytes,
            segment_size: call.size,
            src_ip: Some(call.path.local.ip()),
        };
        let (io, state) = (&self.io, &self.state);
        io.try_io(Interest::WRITABLE, || state.try_send(UdpSockRef::from(io), &transmit))
    }
}
