//! A throw-away Redis on a free port, with a password and without a disk.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use super::appliance::free_tcp;
use super::needs::skip;
use super::{eventually, s};

/// Its password.
pub(crate) const PASSWORD: &str = "password-of-the-redis-of-the-tests";

/// A Redis server; it is killed when dropped.
pub(crate) struct Redis {
    process: Option<Child>,
    port: u16,
}

impl Redis {
    /// One that is not started yet. `None`, noted, if this machine has none.
    pub(crate) fn prepare() -> Option<Self> {
        let version = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
        if !version.is_ok_and(|status| status.success()) {
            skip("redis-server");
            return None;
        }
        Some(Self { process: None, port: free_tcp() })
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        format!("redis://:{PASSWORD}@127.0.0.1:{}", self.port)
    }

    /// Starts it, empty, and waits until it answers.
    pub(crate) async fn launch(&mut self) {
        let port = self.port.to_string();
        let arguments = ["--bind", "127.0.0.1", "--port", &port, "--requirepass", PASSWORD];
        let started = Command::new("redis-server")
            .args(arguments)
            .args(["--save", "", "--appendonly", "no", "--dir", "/"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        self.process = Some(started.expect("it is installed"));
        let ping = || {
            let mut socket = TcpStream::connect(("127.0.0.1", self.port))?;
            socket.set_read_timeout(Some(s(1)))?;
            socket.write_all(format!("AUTH {PASSWORD}\r\n").as_bytes())?;
            let mut answer = [0; 5];
            socket.read_exact(&mut answer)?;
            Ok::<_, std::io::Error>(answer)
        };
        eventually("Redis answers", s(20), || async {
            match ping().map_err(|e| e.to_string())? {
                answer if answer == *b"+OK\r\n" => Ok(()),
                answer => Err(String::from_utf8_lossy(&answer).into_owned()),
            }
        })
        .await;
    }

    /// Kills it; what it had is lost.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}
