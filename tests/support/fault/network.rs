//! A misbehaving TCP connection: a proxy between two peers on this machine.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How bytes pass a [`Proxy`], both ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Immediately.
    Open,
    /// Not at all, and nothing is read, so the sender's buffers fill up.
    Stalled,
    /// Later: everything is read, and sent in one burst when the way changes, as after a gap of a
    /// mobile network.
    Held,
    /// At this many bytes per second.
    Slow(u32),
    /// Connections are reset, including new ones.
    Cut,
}

/// A TCP proxy in front of a port of this machine; it ends when dropped.
pub(crate) struct Proxy {
    port: u16,
    target: u16,
    way: watch::Sender<Way>,
    serving: JoinHandle<()>,
}

impl Proxy {
    /// Starts in front of this port, open.
    pub(crate) async fn before(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let (way, seen) = watch::channel(Way::Open);
        let serving = tokio::spawn(serve(listener, target, seen));
        Self { port, target, way, serving }
    }

    /// An address of the target, routed through the proxy.
    pub(crate) fn instead_of(&self, url: &str) -> String {
        let direct = format!(":{}", self.target);
        assert!(url.contains(&direct), "{url} is not at port {}", self.target);
        url.replacen(&direct, &format!(":{}", self.port), 1)
    }

    /// Sets how bytes pass from now on.
    pub(crate) fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.set(Way::Cut);
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, target: u16, way: watch::Receiver<Way>) {
    while let Ok((near, _)) = listener.accept().await {
        if *way.borrow() == Way::Cut {
            let _ = near.set_zero_linger();
            continue;
        }
        let Ok(far) = TcpStream::connect(("127.0.0.1", target)).await else { continue };
        let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
        tokio::spawn(carry(from_near, to_far, way.clone()));
        tokio::spawn(carry(from_far, to_near, way.clone()));
    }
}

/// Carries one direction of a connection until it ends.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut way: watch::Receiver<Way>) {
    let (mut held, mut chunk) = (Vec::new(), vec![0; 16 << 10]);
    loop {
        let now = *way.borrow_and_update();
        let passes = matches!(now, Way::Open | Way::Slow(_));
        if now == Way::Cut {
            let _ = to.as_ref().set_zero_linger();
            return;
        }
        if passes && !held.is_empty() && to.write_all(&std::mem::take(&mut held)).await.is_err() {
            return;
        }
        let read = tokio::select! {
            changed = way.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
            read = from.read(&mut chunk), if now != Way::Stalled => read,
        };
        let Ok(length @ 1..) = read else {
            let _ = to.shutdown().await;
            return;
        };
        if !passes {
            held.extend_from_slice(&chunk[..length]);
        } else if to.write_all(&chunk[..length]).await.is_err() {
            return;
        }
        if let Way::Slow(bytes_a_second) = now {
            let share = length as f64 / f64::from(bytes_a_second.max(1));
            tokio::time::sleep(Duration::from_secs_f64(share)).await;
        }
    }
}
