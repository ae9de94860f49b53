//! The functions and the struct of libsrt 1.5 (`srt.h`) that we use, declared by hand.
//!
//! Linked against the GnuTLS flavour, which GStreamer's `srt` plugin loads too: two libsrts in one
//! process would have separate sockets.

use std::ffi::{c_char, c_int, c_void};

/// An SRT socket, `SRTSOCKET`.
pub(super) type Id = c_int;

/// `SRT_INVALID_SOCK` and `SRT_ERROR`.
pub(super) const FAILED: c_int = -1;

/// `SRT_SOCKOPT`: the options set or read here.
#[derive(Clone, Copy, Debug)]
#[repr(i32)]
pub(super) enum Opt {
    SendSync = 1,
    ReceiveSync = 2,
    SendData = 19,
    ReceiveData = 20,
    Passphrase = 26,
    KeyLength = 27,
    PeerVersion = 35,
    ConnectTimeout = 36,
    ReceiveLatency = 43,
    PeerLatency = 44,
    MinVersion = 45,
    StreamId = 46,
    Ipv6Only = 54,
    PeerIdleTimeout = 55,
}

/// `SRTS_CONNECTED` of `SRT_SOCKSTATUS`.
pub(super) const STATE_CONNECTED: c_int = 5;
/// `SRTS_BROKEN`; from this value on the connection has ended.
pub(super) const STATE_BROKEN: c_int = 6;

/// `SRT_EPOLL_IN`.
pub(super) const EPOLL_IN: c_int = 1;
/// `SRT_EPOLL_ERR`.
pub(super) const EPOLL_ERR: c_int = 8;

/// `SRT_ECONNREJ`: the other end refused; [`srt_getrejectreason`] returns the reason.
pub(super) const E_REJECTED: c_int = 1002;
/// `SRT_EASYNCSND`: the send buffer is full.
pub(super) const E_WOULD_BLOCK_SEND: c_int = 6001;
/// `SRT_EASYNCRCV`: nothing to receive.
pub(super) const E_WOULD_BLOCK_RECEIVE: c_int = 6002;
/// `SRT_ETIMEOUT`.
pub(super) const E_TIMEOUT: c_int = 6003;

/// `SRT_EPOLL_EVENT`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct EpollEvent {
    pub(super) socket: Id,
    pub(super) events: c_int,
}

/// `srt_listen_callback_fn`.
pub(super) type ListenCallback = extern "C" fn(
    opaque: *mut c_void,
    socket: Id,
    handshake_version: c_int,
    peer: *const libc::sockaddr,
    stream_id: *const c_char,
) -> c_int;

/// `SRT_LOG_HANDLER_FN`.
pub(super) type LogHandler = extern "C" fn(
    opaque: *mut c_void,
    level: c_int,
    file: *const c_char,
    line: c_int,
    area: *const c_char,
    message: *const c_char,
);

#[link(name = "srt-gnutls")]
#[allow(unsafe_code)]
unsafe extern "C" {
    pub(super) fn srt_startup() -> c_int;
    pub(super) fn srt_setloghandler(opaque: *mut c_void, handler: LogHandler);
    pub(super) fn srt_setloglevel(level: c_int);
    pub(super) fn srt_create_socket() -> Id;
    pub(super) fn srt_bind(socket: Id, name: *const libc::sockaddr, length: c_int) -> c_int;
    pub(super) fn srt_listen(socket: Id, backlog: c_int) -> c_int;
    pub(super) fn srt_accept(socket: Id, peer: *mut libc::sockaddr, length: *mut c_int) -> Id;
    pub(super) fn srt_listen_callback(
        socket: Id,
        callback: ListenCallback,
        opaque: *mut c_void,
    ) -> c_int;
    pub(super) fn srt_connect(socket: Id, name: *const libc::sockaddr, length: c_int) -> c_int;
    pub(super) fn srt_close(socket: Id) -> c_int;
    pub(super) fn srt_getsockname(
        socket: Id,
        name: *mut libc::sockaddr,
        length: *mut c_int,
    ) -> c_int;
    pub(super) fn srt_getsockflag(
        socket: Id,
        option: c_int,
        value: *mut c_void,
        length: *mut c_int,
    ) -> c_int;
    pub(super) fn srt_setsockflag(
        socket: Id,
        option: c_int,
        value: *const c_void,
        length: c_int,
    ) -> c_int;
    pub(super) fn srt_sendmsg2(
        socket: Id,
        bytes: *const c_char,
        length: c_int,
        control: *mut c_void,
    ) -> c_int;
    pub(super) fn srt_recvmsg2(
        socket: Id,
        bytes: *mut c_char,
        length: c_int,
        control: *mut c_void,
    ) -> c_int;
    pub(super) fn srt_getlasterror(errno: *mut c_int) -> c_int;
    pub(super) fn srt_getlasterror_str() -> *const c_char;
    pub(super) fn srt_bstats(socket: Id, stats: *mut TraceStats, clear: c_int) -> c_int;
    pub(super) fn srt_getsockstate(socket: Id) -> c_int;
    pub(super) fn srt_epoll_create() -> c_int;
    pub(super) fn srt_epoll_add_usock(epoll: c_int, socket: Id, events: *const c_int) -> c_int;
    pub(super) fn srt_epoll_uwait(
        epoll: c_int,
        events: *mut EpollEvent,
        size: c_int,
        timeout_ms: i64,
    ) -> c_int;
    pub(super) fn srt_epoll_release(epoll: c_int) -> c_int;
    pub(super) fn srt_getrejectreason(socket: Id) -> c_int;
    pub(super) fn srt_setrejectreason(socket: Id, reason: c_int) -> c_int;
}

/// `SRT_TRACEBSTATS` of libsrt 1.5.0 and later, with its names in snake case. All fields are
/// declared, because libsrt fills all of them.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TraceStats {
    pub(super) ms_time_stamp: i64,
    pub(super) sent_total: i64,
    pub(super) recv_total: i64,
    pub(super) snd_loss_total: c_int,
    pub(super) rcv_loss_total: c_int,
    pub(super) retrans_total: c_int,
    pub(super) ack_and_nak_totals: [c_int; 4],
    pub(super) us_snd_duration_total: i64,
    pub(super) snd_drop_total: c_int,
    pub(super) rcv_drop_total: c_int,
    pub(super) rcv_undecrypt_total: c_int,
    pub(super) byte_sent_total: u64,
    pub(super) byte_recv_total: u64,
    /// Lost, retransmitted, dropped on sending, dropped on receiving, not decrypted.
    pub(super) byte_totals: [u64; 5],
    /// From here to `us_pkt_snd_period`: the same since the last reset.
    pub(super) local_packets: [i64; 2],
    pub(super) local_losses: [c_int; 8],
    pub(super) local_rates: [f64; 2],
    pub(super) local_us_snd_duration: i64,
    pub(super) local_reorder_distance: c_int,
    pub(super) local_belated_time: f64,
    pub(super) local_belated: i64,
    pub(super) local_drops: [c_int; 3],
    pub(super) local_bytes: [u64; 7],
    pub(super) us_pkt_snd_period: f64,
    pub(super) flow_window: c_int,
    pub(super) congestion_window: c_int,
    pub(super) flight_size: c_int,
    pub(super) ms_rtt: f64,
    pub(super) mbps_bandwidth: f64,
    pub(super) byte_avail_snd_buf: c_int,
    pub(super) byte_avail_rcv_buf: c_int,
    pub(super) mbps_max_bw: f64,
    pub(super) byte_mss: c_int,
    /// Packets, bytes and milliseconds in the send buffer, and its delay.
    pub(super) snd_buf: [c_int; 4],
    /// The same for the receive buffer.
    pub(super) rcv_buf: [c_int; 4],
    pub(super) filter: [c_int; 8],
    pub(super) reorder_tolerance: c_int,
    /// Packets sent and received, bytes sent and received; total, then since the last reset.
    pub(super) unique: [u64; 8],
}

#[cfg(test)]
mod tests {
    use std::mem::{offset_of, size_of};

    use super::TraceStats;

    /// Offsets that a C compiler produces for `srt.h` 1.5.1 on a 64-bit machine.
    #[test]
    fn statistics_are_laid_out_as_in_c() {
        assert_eq!(offset_of!(TraceStats, rcv_drop_total), 68);
        assert_eq!(offset_of!(TraceStats, byte_recv_total), 88);
        assert_eq!(offset_of!(TraceStats, ms_rtt), 328);
        assert_eq!(offset_of!(TraceStats, snd_buf), 364);
        assert_eq!(offset_of!(TraceStats, unique), 432);
        assert_eq!(size_of::<TraceStats>(), 496);
    }
}
