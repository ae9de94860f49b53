//! A connection over libsrt.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use super::address::CAddress;
use super::sys::{self, Opt};
use super::{Error, Reject};
use crate::media::Secret;

/// Largest payload of a live-mode packet: limited by an Ethernet frame.
pub(super) const PAYLOAD_BYTES_MAX: usize = 1456;

/// Payload of a live-mode packet with MPEG-TS: seven TS packets, the default of decoders and
/// libsrt.
pub(super) const TS_PAYLOAD_BYTES: usize = 7 * 188;

/// An SRT socket that never blocks once it is connected. Dropping it closes it.
///
/// All methods may be called from any thread at any time: libsrt looks the socket up by its number,
/// takes its own locks, and returns an error if it was closed.
#[derive(Debug)]
pub struct Socket(sys::Id);

/// libsrt's statistics of a connection since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stats {
    /// Bytes received, headers and retransmissions included.
    pub bytes_received: u64,
    /// Bytes sent, headers and retransmissions included.
    pub bytes_sent: u64,
    /// Incoming packets that were lost or came too late.
    pub packets_lost: u64,
    /// Outgoing packets dropped because they were too late.
    pub packets_dropped: u64,
    /// Packets retransmitted because the other end missed them.
    pub packets_resent: u64,
    /// Round-trip time.
    pub rtt: Duration,
}

impl Socket {
    /// A new socket, not connected.
    ///
    /// # Errors
    /// When libsrt has no resources left.
    pub fn new() -> Result<Self, Error> {
        start_library();
        // SAFETY: no arguments.
        Self::owned(unsafe { sys::srt_create_socket() }, "create a socket")
    }

    /// Takes ownership of a socket that a libsrt function returned.
    pub(super) fn owned(id: sys::Id, operation: &'static str) -> Result<Self, Error> {
        if id == sys::FAILED { Err(last_error(operation)) } else { Ok(Self(id)) }
    }

    /// libsrt's number of the socket.
    pub(super) fn id(&self) -> sys::Id {
        self.0
    }

    /// The local address.
    ///
    /// # Errors
    /// When the socket is not bound.
    pub fn local_address(&self) -> Result<SocketAddr, Error> {
        let (mut room, mut length) = CAddress::room();
        // SAFETY: `room` has `length` bytes for libsrt to write.
        let result = unsafe { sys::srt_getsockname(self.0, room.as_mut_ptr(), &raw mut length) };
        check(result, "read the local address")?;
        room.get().ok_or_else(|| last_error("read the local address"))
    }

    /// Sets the stream id that the listener sees.
    ///
    /// # Errors
    /// When it is longer than 512 bytes.
    pub fn set_stream_id(&self, id: &Secret) -> Result<(), Error> {
        set_bytes(self.0, Opt::StreamId, id.expose().as_bytes())
    }

    /// Sets the passphrase and the key length that it is stretched to: 16, 24 or 32 bytes.
    ///
    /// # Errors
    /// When the passphrase is not 10-79 bytes long.
    pub fn encrypt(&self, passphrase: &Secret, key_length: u8) -> Result<(), Error> {
        set_int(self.0, Opt::KeyLength, key_length.into())?;
        set_bytes(self.0, Opt::Passphrase, passphrase.expose().as_bytes())
    }

    /// Sets how long packets are held back for retransmission, in both directions.
    ///
    /// # Errors
    /// When the socket is connected already.
    pub fn set_latency(&self, latency: Duration) -> Result<(), Error> {
        let ms = c_int::try_from(latency.as_millis()).unwrap_or(c_int::MAX);
        set_int(self.0, Opt::ReceiveLatency, ms)?;
        set_int(self.0, Opt::PeerLatency, ms)
    }

    /// Sets how long the other end may be silent before it counts as gone.
    ///
    /// # Errors
    /// When the socket is connected already.
    pub fn set_peer_timeout(&self, timeout: Duration) -> Result<(), Error> {
        let ms = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
        set_int(self.0, Opt::PeerIdleTimeout, ms)
    }

    /// Connects to a listener. Blocks up to `timeout`: not for async threads.
    ///
    /// # Errors
    /// [`Error::Rejected`] with the reason of the other end, or a missing answer.
    pub fn connect(&self, peer: SocketAddr, timeout: Duration) -> Result<(), Error> {
        let ms = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
        set_int(self.0, Opt::ConnectTimeout, ms)?;
        let (address, length) = CAddress::new(peer);
        // SAFETY: `address` is valid for the call, and libsrt copies it.
        let result = unsafe { sys::srt_connect(self.0, address.as_ptr(), length) };
        if result == sys::FAILED {
            let error = last_error("connect");
            // SAFETY: no pointers.
            let code = unsafe { sys::srt_getlasterror(std::ptr::null_mut()) };
            // SAFETY: no pointers.
            let reason = unsafe { sys::srt_getrejectreason(self.0) };
            let told = code == sys::E_REJECTED && reason > 0;
            return Err(if told { Error::Rejected(Reject(reason)) } else { error });
        }
        self.never_block()
    }

    /// Makes receiving and sending return at once.
    pub(super) fn never_block(&self) -> Result<(), Error> {
        set_int(self.0, Opt::ReceiveSync, 0)?;
        set_int(self.0, Opt::SendSync, 0)
    }

    /// Appends the payload of the next packet to `into`; false if there is none yet.
    ///
    /// # Errors
    /// When the connection has ended.
    pub fn receive(&self, into: &mut Vec<u8>) -> Result<bool, Error> {
        let start = into.len();
        into.resize(start + PAYLOAD_BYTES_MAX, 0);
        let room = &mut into[start..];
        // SAFETY: `room` is valid for `PAYLOAD_BYTES_MAX` bytes; a null control block is allowed.
        let count = unsafe {
            sys::srt_recvmsg2(
                self.0,
                room.as_mut_ptr().cast::<c_char>(),
                PAYLOAD_BYTES_MAX as c_int,
                std::ptr::null_mut(),
            )
        };
        into.truncate(start + usize::try_from(count).unwrap_or(0));
        if count != sys::FAILED {
            return Ok(count > 0);
        }
        match last_code() {
            sys::E_WOULD_BLOCK_RECEIVE | sys::E_TIMEOUT => Ok(false),
            _ => Err(last_error("receive")),
        }
    }

    /// Queues one payload of at most 1316 bytes for sending; false if the send buffer is full and
    /// the payload is lost.
    ///
    /// # Errors
    /// When the connection has ended.
    pub fn send(&self, payload: &[u8]) -> Result<bool, Error> {
        let length = payload.len().min(TS_PAYLOAD_BYTES) as c_int;
        // SAFETY: `payload` is valid for `length` bytes; a null control block is allowed.
        let count = unsafe {
            sys::srt_sendmsg2(
                self.0,
                payload.as_ptr().cast::<c_char>(),
                length,
                std::ptr::null_mut(),
            )
        };
        if count != sys::FAILED {
            return Ok(true);
        }
        match last_code() {
            sys::E_WOULD_BLOCK_SEND | sys::E_TIMEOUT => Ok(false),
            _ => Err(last_error("send")),
        }
    }

    /// Whether the connection is open.
    pub fn is_connected(&self) -> bool {
        // SAFETY: no pointers.
        unsafe { sys::srt_getsockstate(self.0) == sys::STATE_CONNECTED }
    }

    /// SRT version of the other end, such as `1.5.1`.
    pub fn peer_version(&self) -> Option<String> {
        let version = get_int(self.0, Opt::PeerVersion).filter(|version| *version > 0)?;
        let [_, major, minor, patch] = version.to_be_bytes();
        Some(format!("{major}.{minor}.{patch}"))
    }

    /// Whether received data is held back because it is not due yet; also after the other end has
    /// hung up.
    pub fn holds_received(&self) -> bool {
        get_int(self.0, Opt::ReceiveData).is_some_and(|held| held > 0)
    }

    /// Whether data is not yet sent or not yet confirmed by the other end.
    pub fn holds_unsent(&self) -> bool {
        get_int(self.0, Opt::SendData).is_some_and(|held| held > 0)
    }

    /// How long this end holds received packets back.
    pub fn latency(&self) -> Duration {
        latency(self.0, Opt::ReceiveLatency)
    }

    /// How long the other end holds packets back.
    pub fn peer_latency(&self) -> Duration {
        latency(self.0, Opt::PeerLatency)
    }

    /// libsrt's statistics; `None` once the socket is closed.
    pub fn stats(&self) -> Option<Stats> {
        let mut raw = sys::TraceStats::default();
        // SAFETY: `raw` has the layout of libsrt 1.5, which a test checks.
        let result = unsafe { sys::srt_bstats(self.0, &raw mut raw, 0) };
        let count = |n: c_int| u64::try_from(n).unwrap_or(0);
        (result != sys::FAILED).then(|| Stats {
            bytes_received: raw.byte_recv_total,
            bytes_sent: raw.byte_sent_total,
            packets_lost: count(raw.rcv_drop_total),
            packets_dropped: count(raw.snd_drop_total),
            packets_resent: count(raw.retrans_total),
            rtt: Duration::from_secs_f64((raw.ms_rtt / 1e3).clamp(0.0, 60.0)),
        })
    }

    /// Ends the connection and wakes threads that wait on it. A second call does nothing.
    pub fn close(&self) {
        // SAFETY: no pointers; an unknown number returns an error that does not matter here.
        unsafe { sys::srt_close(self.0) };
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.close();
    }
}

/// Waits until a socket can receive or accept.
pub struct Waiter(c_int);

impl Waiter {
    /// A waiter for one socket.
    ///
    /// # Errors
    /// When the socket is closed or the system has no more file descriptors.
    pub fn new(socket: &Socket) -> Result<Self, Error> {
        // SAFETY: no arguments.
        let epoll = check(unsafe { sys::srt_epoll_create() }, "create an epoll")?;
        let waiter = Self(epoll);
        let events = sys::EPOLL_IN | sys::EPOLL_ERR;
        // SAFETY: `events` is valid for the call.
        let added = unsafe { sys::srt_epoll_add_usock(epoll, socket.id(), &raw const events) };
        check(added, "wait for a socket")?;
        Ok(waiter)
    }

    /// Waits at most `timeout`; true if the socket is ready or has ended.
    pub fn wait(&self, timeout: Duration) -> bool {
        let ms = i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX);
        let mut event = sys::EpollEvent::default();
        // SAFETY: there is room for one event, and 1 is passed as the size.
        let count = unsafe { sys::srt_epoll_uwait(self.0, &raw mut event, 1, ms) };
        // An error means that the socket was closed during the wait: it has ended.
        count != 0
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        // SAFETY: we own the epoll and release it once.
        unsafe { sys::srt_epoll_release(self.0) };
    }
}

fn latency(id: sys::Id, option: Opt) -> Duration {
    let ms = get_int(id, option).and_then(|ms| u64::try_from(ms).ok());
    Duration::from_millis(ms.unwrap_or(0))
}

/// An integer option of a socket; `None` once the socket is closed.
fn get_int(id: sys::Id, option: Opt) -> Option<c_int> {
    let mut number: c_int = 0;
    let mut length = size_of::<c_int>() as c_int;
    let value = (&raw mut number).cast::<c_void>();
    // SAFETY: `value` points to `length` bytes for libsrt to write.
    let result = unsafe { sys::srt_getsockflag(id, option as c_int, value, &raw mut length) };
    (result != sys::FAILED).then_some(number)
}

pub(super) fn set_int(id: sys::Id, option: Opt, value: c_int) -> Result<(), Error> {
    set_bytes(id, option, &value.to_ne_bytes())
}

pub(super) fn set_bytes(id: sys::Id, option: Opt, value: &[u8]) -> Result<(), Error> {
    let length = c_int::try_from(value.len()).unwrap_or(c_int::MAX);
    // SAFETY: `value` is valid for `length` bytes, and libsrt copies them.
    let result = unsafe {
        sys::srt_setsockflag(id, option as c_int, value.as_ptr().cast::<c_void>(), length)
    };
    check(result, "set a socket option").map(|_| ()).map_err(|e| match e {
        Error::Library { operation, message } => {
            Error::Library { operation, message: format!("{option:?}: {message}") }
        }
        other => other,
    })
}

pub(super) fn check(result: c_int, operation: &'static str) -> Result<c_int, Error> {
    if result == sys::FAILED { Err(last_error(operation)) } else { Ok(result) }
}

pub(super) fn last_code() -> c_int {
    // SAFETY: a null pointer means that `errno` is not requested.
    unsafe { sys::srt_getlasterror(std::ptr::null_mut()) }
}

fn last_error(operation: &'static str) -> Error {
    // SAFETY: libsrt returns a thread-local string that lives until its next call.
    let message = unsafe { text(sys::srt_getlasterror_str()) };
    Error::Library { operation, message }
}

/// Copies a C string; invalid UTF-8 is replaced.
///
/// # Safety
/// `pointer` is null or points to a string that ends with a zero byte.
pub(super) unsafe fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: not null, and the caller guarantees the rest.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().trim_end().to_owned()
}

/// Starts libsrt once. It is never stopped: GStreamer's plugin may use it too.
fn start_library() {
    static STARTED: OnceLock<()> = OnceLock::new();
    STARTED.get_or_init(|| {
        const WARNING: c_int = 4;
        // SAFETY: the handler is a static function that needs no opaque pointer.
        unsafe {
            sys::srt_startup();
            sys::srt_setloglevel(WARNING);
            sys::srt_setloghandler(std::ptr::null_mut(), on_log);
        }
    });
}

/// libsrt's warnings concern single packets and handshakes; relevant failures are returned as
/// errors.
extern "C" fn on_log(
    _: *mut c_void,
    _: c_int,
    _: *const c_char,
    _: c_int,
    area: *const c_char,
    message: *const c_char,
) {
    // SAFETY: libsrt passes strings that live during the call.
    let (area, message) = unsafe { (text(area), text(message)) };
    let _ = std::panic::catch_unwind(|| tracing::debug!(target: "libsrt", area, "{message}"));
}
