//! TCP connections of the HTTP server: admission and time limits.

use std::future::{Ready, ready};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum_server::accept::Accept;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::flow::{ConnectionPermit, Connections};

/// Admits connections up to the limits.
#[derive(Clone)]
pub(super) struct Admission {
    pub(super) connections: Connections,
    /// A client that does not read its data for this long is disconnected.
    pub(super) stalled_max: Duration,
}

impl Admission {
    fn admit(&self, stream: TcpStream) -> io::Result<Admitted> {
        let place = self.connections.enter(stream.peer_addr()?.ip()).map_err(io::Error::other)?;
        // Playlists and parts are small, and the client waits for them.
        stream.set_nodelay(true)?;
        // Counts from the first unacknowledged byte, also while the window is closed (RFC 5482).
        let stalled_ms = u32::try_from(self.stalled_max.as_millis()).unwrap_or(u32::MAX);
        rustix::net::sockopt::set_tcp_user_timeout(&stream, stalled_ms)?;
        Ok(Admitted { stream, _place: place })
    }
}

impl<S> Accept<TcpStream, S> for Admission {
    type Stream = Admitted;
    type Service = S;
    type Future = Ready<io::Result<(Admitted, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        ready(self.admit(stream).map(|stream| (stream, service)))
    }
}

/// A connection with its place, which it keeps until it closes, also as a WebSocket.
pub(super) struct Admitted {
    stream: TcpStream,
    _place: ConnectionPermit,
}

impl AsyncRead for Admitted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Admitted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
