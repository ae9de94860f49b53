//! Idle connections and floods of them do not affect others.

use std::net::SocketAddr;

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::{eventually, s};

/// A connection to the HTTP port from one of the addresses of the loopback network.
async fn connect(appliance: &Appliance, from: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    let from: SocketAddr = format!("{from}:0").parse().expect("an address");
    socket.bind(from).expect("the loopback network is all ours");
    let to = SocketAddr::from(([127, 0, 0, 1], appliance.ports.http));
    socket.connect(to).await.expect("the port is open")
}

/// Whether the other end has closed a connection, possibly after sending data.
fn is_closed(socket: &TcpStream) -> bool {
    let mut rest = [0; 4096];
    loop {
        match socket.try_read(&mut rest) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
        }
    }
}

/// Waits until this many of the connections are closed.
async fn wait_closed(sockets: &[TcpStream], what: &str, enough: impl Fn(usize) -> bool) {
    eventually(what, s(60), || async {
        let closed = sockets.iter().filter(|socket| is_closed(socket)).count();
        if enough(closed) { Ok(()) } else { Err(format!("{closed} of {}", sockets.len())) }
    })
    .await;
}

/// Points at which a client may stop sending.
const STOPS: [&[u8]; 4] = [
    b"",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /api/v1/session HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
      Content-Length: 100\r\n\r\n{\"to",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_of_one_address_leave_room_for_others_and_are_closed() {
    let config = "api.idle_timeout_s = 5\napi.connections_per_ip_max = 100\n";
    let appliance = Appliance::start_with(config).await;
    let spec = json!({ "name": "healthy", "source": { "type": "test" } });
    let stream = appliance.api.create(spec).await;
    stream.wait_state("live", s(30)).await;
    let mut idle = Vec::new();
    for n in 0..400 {
        let mut socket = connect(&appliance, "127.0.0.9").await;
        // A refused connection may be closed already.
        let _ = socket.write_all(STOPS[n % STOPS.len()]).await;
        idle.push(socket);
    }
    // Another address is served meanwhile, on any path.
    for path in ["/api/v1/streams/healthy", "/healthz"] {
        let answer = appliance.api.get(path).await.expect("an answer");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    }
    wait_closed(&idle, "those beyond the limit are refused", |closed| closed >= 300).await;
    wait_closed(&idle, "the others are closed in time", |closed| closed == 400).await;
    drop(idle);
    // The address has its connections available again.
    let mut again = connect(&appliance, "127.0.0.9").await;
    again.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("open");
    again.readable().await.expect("an answer");
    assert!(!is_closed(&again), "it is let in");
    assert!(appliance.log_text().contains("connections_per_ip_max"), "{}", appliance.log_text());
    stream.wait_state("live", s(10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_drips_is_refused_and_an_answer_that_nobody_reads_is_dropped() {
    let appliance = Appliance::start_with("api.idle_timeout_s = 3\n").await;
    let address = ("127.0.0.1", appliance.ports.http);
    let mut slow = TcpStream::connect(address).await.expect("open");
    slow.write_all(STOPS[3]).await.expect("open");
    let mut answer = String::new();
    let read = tokio::io::AsyncReadExt::read_to_string(&mut slow, &mut answer);
    tokio::time::timeout(s(60), read).await.expect("in time").expect("text");
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("\"code\":\"request_timeout\""), "{answer}");

    // Requests far more than any buffer holds, and reads nothing.
    let before = appliance.usage().fds;
    let mut deaf = TcpStream::connect(address).await.expect("open");
    let request = b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n";
    deaf.write_all(&request.repeat(1000)).await.expect("open");
    deaf.readable().await.expect("an answer begins");
    eventually("it is disconnected", s(60), || async {
        let now = appliance.usage().fds;
        if now <= before { Ok(()) } else { Err(format!("{now} files are open, before {before}")) }
    })
    .await;
}

/// The limits of open files of a process, soft and hard.
fn file_limits(pid: u32) -> (u64, u64) {
    let text = std::fs::read_to_string(format!("/proc/{pid}/limits")).expect("it runs");
    let line = text.lines().find(|line| line.starts_with("Max open files")).expect("a limit");
    let mut numbers = line.split_whitespace().skip(3).map(|n| n.parse().unwrap_or(u64::MAX));
    (numbers.next().expect("soft"), numbers.next().expect("hard"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_of_open_files_is_raised() {
    let appliance = Appliance::start().await;
    let (soft, hard) = file_limits(appliance.pid());
    assert!(soft >= hard.min(65_536), "soft {soft}, hard {hard}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recordings_go_on_where_connections_take_all_files() {
    let appliance = Appliance::start_with("api.idle_timeout_s = 600\n").await;
    let record = json!({ "id": "film", "type": "record", "split_s": 1 });
    let spec = json!({ "name": "film", "source": { "type": "test" }, "outputs": [record] });
    let stream = appliance.api.create(spec).await;
    stream.wait_state("live", s(30)).await;
    let folder = appliance.state().join("recordings/film");
    let films = || {
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        entries.filter(|e| e.path().extension().is_some_and(|e| e == "mp4")).count()
    };
    let more_than = async |count: usize, what: &str| {
        eventually(what, s(60), || async {
            let now = films();
            if now > count { Ok(now) } else { Err(format!("{now} recordings")) }
        })
        .await
    };
    more_than(1, "a second file is begun").await;
    // A quarter is reserved; of the rest, twenty are free for connections.
    let limit = (appliance.usage().fds + 20) * 4 / 3;
    let (_, hard) = file_limits(appliance.pid());
    let (pid, limits) = (appliance.pid().to_string(), format!("--nofile={limit}:{hard}"));
    let set = std::process::Command::new("prlimit").args(["--pid", &pid, &limits]).status();
    assert!(set.is_ok_and(|status| status.success()), "util-linux is everywhere");
    let mut crowd = Vec::new();
    for n in 0..limit {
        crowd.push(connect(&appliance, &format!("127.0.1.{}", n % 200 + 1)).await);
    }
    wait_closed(&crowd, "most are refused", |closed| closed as u64 > limit - 40).await;
    let log = appliance.log_text();
    assert!(log.contains("file descriptors run out"), "{log}");
    let before = films();
    more_than(before + 2, "recording goes on").await;
    drop(crowd);
    eventually("it is reached again", s(30), || async {
        appliance.api.get("/healthz").await.map(|_| ())
    })
    .await;
    let snapshot = stream.snapshot().await;
    let nodes = snapshot["nodes"].as_array().cloned().unwrap_or_default();
    let recorder = nodes.iter().find(|node| node["name"] == "output.film").cloned();
    assert_eq!(recorder.unwrap_or_default()["restarts"], 0, "{snapshot}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_with_one_token_leaves_webrtc_to_publishers_and_other_streams() {
    let config = "[webrtc]\nsessions_max = 3\npublishers_reserved = 1\nviewers_per_token_max = 1\n";
    let appliance = Appliance::start_with(config).await;
    let crowded = appliance.api.create(json!({ "name": "crowded", "source": { "type": "test" } }));
    let crowded = crowded.await;
    let other =
        appliance.api.create(json!({ "name": "other", "source": { "type": "test" } })).await;
    let published = appliance.api.create(json!({ "name": "published" })).await;
    for stream in [&crowded, &other] {
        stream.wait_state("live", s(30)).await;
    }
    let token = crowded.play_token();
    let mut first = Client::python("whep.py", &[&crowded.whep(), "--token", &token]);
    first.wait_until("progress", s(60), |e| e["frames"].as_u64() > Some(0)).await;
    let mut second = Client::python("whep.py", &[&crowded.whep(), "--token", &token]);
    let refusal = second.next_event().await.expect("it says something");
    assert_eq!((&refusal["event"], &refusal["status"]), (&json!("refused"), &json!(503)));

    let token = other.play_token();
    let mut viewer = Client::python("whep.py", &[&other.whep(), "--token", &token]);
    viewer.wait_until("progress", s(60), |e| e["frames"].as_u64() > Some(0)).await;
    let token = published.publish_token();
    let _publisher = Client::python("whip.py", &[&published.whip(), "--token", &token]);
    published.wait_state("live", s(60)).await;
}
