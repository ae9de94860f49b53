//! Reads MPEG-TS from a socket.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::{Socket, Waiter};
use crate::flow::{self, SourceReport, Tracks};
use crate::mpegts::{self, BATCH_BYTES_MAX, Connection, Limits, ReadEnd};

/// Interval at which a wait on the socket checks whether to stop.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// Interval at which remaining data is read after the other end hung up, until it is due.
const REMAINDER_POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Data received before the other end hung up is due within its latency plus this.
const REMAINDER_SLACK: Duration = Duration::from_millis(250);

/// Longest wait for such data: the other end has a say in the latency, and keeps its place
/// meanwhile.
const REMAINDER_WAIT_MAX: Duration = Duration::from_secs(5);

/// A socket and the wait for it. Unread data is bounded by libsrt's receive buffer.
struct SrtConnection {
    socket: Arc<Socket>,
    waiter: Waiter,
}

/// Demuxes MPEG-TS from a socket into tracks, until `cancel`.
///
/// # Errors
/// As for [`mpegts::demux`].
pub async fn receive(
    name: &str,
    socket: Arc<Socket>,
    tracks: &Tracks,
    limits: Limits,
    cancel: &CancellationToken,
) -> Result<(), flow::Error> {
    let waiter = Waiter::new(&socket).map_err(|e| flow::Error::build(name, e))?;
    let connection = Arc::new(SrtConnection { socket, waiter });
    mpegts::demux(name, connection, tracks, limits, cancel).await
}

impl Connection for SrtConnection {
    fn read(&self, silence: Duration, stop: &CancellationToken) -> Result<Vec<u8>, ReadEnd> {
        let since = Instant::now();
        let mut bytes = Vec::new();
        let mut hung_up: Option<Instant> = None;
        loop {
            if stop.is_cancelled() {
                return Err(ReadEnd::Stopped);
            }
            let ready = self.waiter.wait(POLL_INTERVAL);
            while ready && bytes.len() < BATCH_BYTES_MAX {
                match self.socket.receive(&mut bytes) {
                    Ok(true) => {}
                    Ok(false) => break,
                    // Bytes before the end are used first; the next call sees the end again.
                    Err(_) if !bytes.is_empty() => break,
                    // libsrt holds back what is not due yet, even after the connection has ended.
                    Err(e) => {
                        let hung_up = hung_up.get_or_insert_with(Instant::now);
                        let left_max =
                            (self.socket.latency() + REMAINDER_SLACK).min(REMAINDER_WAIT_MAX);
                        if !self.socket.holds_received() || hung_up.elapsed() > left_max {
                            return Err(ReadEnd::Closed(e.to_string()));
                        }
                        std::thread::sleep(REMAINDER_POLL_INTERVAL);
                        break;
                    }
                }
            }
            if !bytes.is_empty() {
                return Ok(bytes);
            }
            if since.elapsed() > silence {
                return Err(ReadEnd::Silent);
            }
        }
    }

    fn report(&self, report: &SourceReport) {
        let Some(stats) = self.socket.stats() else { return };
        report.lost.store(stats.packets_lost, Ordering::Relaxed);
        let rtt = u64::try_from(stats.rtt.as_micros()).unwrap_or(0);
        report.rtt_us.store(rtt, Ordering::Relaxed);
    }

    fn close(&self) {
        self.socket.close();
    }
}
