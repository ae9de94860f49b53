//! A bad line between two network namespaces, for appliances that run inside: `link.py`.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use super::client::Client;
use super::needs::skip;
use super::s;

/// Location of an appliance.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The network namespace.
    pub(crate) namespace: String,
    /// Its address as seen from outside: for publishers, viewers and the API.
    pub(crate) outside: String,
    /// Its address on the line, as seen from the other end.
    pub(crate) on_line: String,
}

/// The line; dropping it removes it with its namespaces.
pub(crate) struct Line {
    client: Client,
    /// Both ends.
    pub(crate) ends: [Place; 2],
}

impl Line {
    /// Creates a line without limits. `None`, with a message, if the process lacks the rights.
    pub(crate) async fn lay() -> Option<Self> {
        // Devices of a removed line stay for a moment, so each has its own name.
        static LAID: AtomicU32 = AtomicU32::new(0);
        let number = LAID.fetch_add(1, Ordering::Relaxed);
        let name = format!("al{}{}", std::process::id(), char::from(b'a' + (number % 26) as u8));
        if !can_lay(&format!("{name}-probe")) {
            skip("root, network namespaces and TUN devices");
            return None;
        }
        let mut client = Client::python("link.py", &[&name]);
        let ready = tokio::time::timeout(s(20), client.next_event()).await.ok().flatten();
        let Some(ready) = ready.filter(|event| event["event"] == "ready") else {
            skip("a line between namespaces, which `link.py` cannot lay here");
            return None;
        };
        let text = |key: &str, index: usize| ready[key][index].as_str().unwrap_or("").to_owned();
        let end = |index| Place {
            namespace: text("namespaces", index),
            outside: text("outside", index),
            on_line: text("line", index),
        };
        Some(Self { client, ends: [end(0), end(1)] })
    }

    /// Sets from now on: bandwidth each way, packet loss, and the round trip.
    pub(crate) async fn set(&mut self, kbps: u32, loss: f64, round_trip_ms: u32) {
        let delay = f64::from(round_trip_ms) / 2.0;
        let wish = json!({ "kbps": kbps, "loss": loss, "delay_ms": delay, "queue_ms": 200 });
        self.client.tell(&wish.to_string()).await;
    }

    /// Traffic since the last report: `{seconds, a_to_b: {bytes, packets, lost, …}, …}`.
    pub(crate) async fn carried(&mut self) -> Value {
        self.client.tell(&json!({ "report": true }).to_string()).await;
        self.client.wait_for("carried", s(5)).await
    }
}

/// Whether programs can run in a network namespace of this name, and TUN devices can be created.
fn can_lay(probe: &str) -> bool {
    let ip = |args: &[&str]| {
        Command::new("ip").args(args).output().is_ok_and(|output| output.status.success())
    };
    let runs = ip(&["netns", "add", probe]) && ip(&["netns", "exec", probe, "true"]);
    let gone = ip(&["netns", "del", probe]);
    let tun = std::fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun");
    runs && gone && tun.is_ok()
}

impl Drop for Line {
    fn drop(&mut self) {
        // The client is killed, so it cannot clean up.
        for end in &self.ends {
            let _ = Command::new("ip").args(["netns", "del", &end.namespace]).status();
        }
    }
}
