//! One port for many callers. Each is admitted or refused by its stream id before it is connected.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::{c_char, c_int, c_void};
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::address::{self, CAddress};
use super::socket::{check, last_code, set_bytes, set_int, text};
use super::sys::{self, Opt};
use super::{Error, Reject, Socket, Waiter};
use crate::media::{IgnorePoison, Secret};

/// Most callers that libsrt has connected and we have not accepted yet; further ones are refused.
const BACKLOG: c_int = 64;

/// Options of a listener for its callers.
#[derive(Clone, Copy, Debug)]
pub struct ListenerOptions {
    /// How long packets are held back so that lost ones can be retransmitted.
    pub latency: Duration,
    /// How long a caller may be silent before it counts as gone.
    pub peer_timeout: Duration,
    /// Oldest SRT version accepted from callers: major, minor, patch.
    pub peer_version_min: [u8; 3],
}

/// A caller during its handshake.
pub struct ConnectRequest {
    /// The caller's address.
    pub peer: SocketAddr,
    /// The caller's stream id; empty if it sent none.
    pub stream_id: String,
    id: sys::Id,
}

impl ConnectRequest {
    /// The number that its connection will have too; see [`Listener::accept`].
    pub fn number(&self) -> i32 {
        self.id
    }

    /// Admits it only if it encrypts with this passphrase; it may choose the key length.
    ///
    /// # Errors
    /// When the passphrase is not 10-79 bytes long.
    pub fn require(&self, passphrase: &Secret) -> Result<(), Error> {
        set_bytes(self.id, Opt::Passphrase, passphrase.expose().as_bytes())
    }
}

/// Admits or refuses a caller. Runs on libsrt's receiving thread, so it must return at once.
type AcceptFilter = dyn Fn(&ConnectRequest) -> Result<(), Reject> + Send + Sync;

/// The judges of all listeners. libsrt gets a key of this map instead of a pointer, so that a late
/// callback finds no entry instead of freed memory.
static JUDGES: Mutex<BTreeMap<usize, Arc<AcceptFilter>>> = Mutex::new(BTreeMap::new());

fn judges() -> MutexGuard<'static, BTreeMap<usize, Arc<AcceptFilter>>> {
    JUDGES.lock().ignore_poison()
}

/// A bound port. Dropping it closes the port; accepted connections stay open.
pub struct Listener {
    socket: Socket,
    waiter: Option<Waiter>,
}

impl Listener {
    /// Binds a UDP port; 0 takes any free one.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn bind(address: SocketAddr, options: ListenerOptions) -> Result<Self, Error> {
        let socket = Socket::new()?;
        socket.set_latency(options.latency)?;
        socket.set_peer_timeout(options.peer_timeout)?;
        let [major, minor, patch] = options.peer_version_min;
        let version = c_int::from_be_bytes([0, major, minor, patch]);
        set_int(socket.id(), Opt::MinVersion, version)?;
        if address.is_ipv6() {
            // `[::]` serves IPv4 as well; libsrt requires this option to be explicit.
            set_int(socket.id(), Opt::Ipv6Only, 0)?;
        }
        socket.never_block()?;
        let (c_address, length) = CAddress::new(address);
        // SAFETY: `c_address` is valid for the call, and libsrt copies it.
        check(unsafe { sys::srt_bind(socket.id(), c_address.as_ptr(), length) }, "bind")?;
        Ok(Self { socket, waiter: None })
    }

    /// The bound address.
    ///
    /// # Errors
    /// When the socket is closed.
    pub fn local_address(&self) -> Result<SocketAddr, Error> {
        self.socket.local_address()
    }

    /// Starts to accept callers that `judge` admits.
    ///
    /// # Errors
    /// When another socket listens on the port.
    pub fn listen(
        &mut self,
        judge: impl Fn(&ConnectRequest) -> Result<(), Reject> + Send + Sync + 'static,
    ) -> Result<(), Error> {
        let id = self.socket.id();
        let key = id as usize;
        judges().insert(key, Arc::new(judge));
        // SAFETY: the callback takes its opaque argument as a number, never as a pointer.
        let hooked = unsafe { sys::srt_listen_callback(id, on_connect, key as *mut c_void) };
        check(hooked, "watch callers")?;
        // SAFETY: no pointers.
        check(unsafe { sys::srt_listen(id, BACKLOG) }, "listen")?;
        self.waiter = Some(Waiter::new(&self.socket)?);
        Ok(())
    }

    /// Waits at most `timeout` for a connection. Its number is that of its earlier [`ConnectRequest`].
    ///
    /// # Errors
    /// When the listener fails.
    pub fn accept(&self, timeout: Duration) -> Result<Option<(i32, Socket)>, Error> {
        if !self.waiter.as_ref().is_some_and(|w| w.wait(timeout)) {
            return Ok(None);
        }
        let (mut peer, mut length) = CAddress::room();
        // SAFETY: `peer` has `length` bytes for libsrt to write.
        let id = unsafe { sys::srt_accept(self.socket.id(), peer.as_mut_ptr(), &raw mut length) };
        if id == sys::FAILED && last_code() == sys::E_WOULD_BLOCK_RECEIVE {
            return Ok(None);
        }
        let socket = Socket::owned(id, "accept")?;
        // It fails only for a caller that has left again; receiving detects that.
        let _ = socket.never_block();
        Ok(Some((id, socket)))
    }

    /// Whether an admitted caller has failed before it became a connection: its passphrase was
    /// wrong.
    pub fn has_failed(number: i32) -> bool {
        // SAFETY: no pointers; an unknown number has its own state.
        unsafe { sys::srt_getsockstate(number) >= sys::STATE_BROKEN }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.socket.close();
        judges().remove(&(self.socket.id() as usize));
    }
}

/// Called by libsrt for each caller, during the handshake.
extern "C" fn on_connect(
    opaque: *mut c_void,
    id: sys::Id,
    _handshake_version: c_int,
    peer: *const libc::sockaddr,
    stream_id: *const c_char,
) -> c_int {
    let judge = judges().get(&(opaque as usize)).cloned();
    // SAFETY: libsrt passes an address and a string that live during the call.
    let (peer, stream_id) = unsafe { (address::read(peer), text(stream_id)) };
    let verdict = match (judge, peer) {
        (Some(judge), Some(peer)) => {
            let connect_request = ConnectRequest { peer, stream_id, id };
            // A panic must not unwind into C.
            std::panic::catch_unwind(AssertUnwindSafe(|| judge(&connect_request)))
                .unwrap_or(Err(Reject::INTERNAL))
        }
        _ => Err(Reject::INTERNAL),
    };
    match verdict {
        Ok(()) => 0,
        Err(reject) => {
            // SAFETY: no pointers.
            unsafe { sys::srt_setrejectreason(id, reject.0) };
            sys::FAILED
        }
    }
}
