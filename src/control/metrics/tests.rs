use std::collections::BTreeMap;

use super::*;
use crate::media::Kind;
use crate::runtime::{ConsumerSnapshot, FeedSnapshot, NodeSnapshot};

fn stream(viewers: u32) -> StreamSnapshot {
    let consumer =
        |node: String| ConsumerSnapshot { node, buffers: 10, dropped_slow: 2, dropped_waiting: 1 };
    let feed = FeedSnapshot {
        name: "video".into(),
        kind: Kind::Video,
        format: None,
        format_text: String::new(),
        buffers: 100,
        bytes: 5000,
        kbps: 40.0,
        rate: 30.0,
        latency_ms: 12.5,
        dropped_switch: 3,
        consumers: (0..viewers).map(|n| consumer(format!("whep.{n}"))).collect(),
    };
    let source = NodeSnapshot {
        name: "source".into(),
        what: String::new(),
        why: String::new(),
        state: NodeState::Running,
        inputs: vec![],
        outputs: vec!["video".into()],
        restarts: 4,
        last_error: Default::default(),
        facts: BTreeMap::new(),
    };
    StreamSnapshot {
        name: "studio-1".into(),
        preset: "passthrough".into(),
        state: StreamState::Live,
        since: chrono::Utc::now(),
        sources: vec![],
        viewers: BTreeMap::from([(crate::media::Protocol::Whep, viewers)]),
        nodes: vec![source],
        feeds: vec![feed],
        outputs: vec![],
        denoise: None,
        captions: None,
        ladder: Vec::new(),
        refused_rungs: Vec::new(),
        cues: Vec::new(),
        refusals: Vec::new(),
        last_error: Default::default(),
    }
}

fn load() -> ApplianceLoad {
    let (cpus, cpu_percent) = (8, 25.0);
    let (streams_max, viewers, viewers_max) = (64, 250, 500);
    ApplianceLoad { streams_max, viewers, viewers_max, cpus, cpu_percent, ..Default::default() }
}

#[test]
fn totals_are_counters_and_figures_are_gauges() {
    let metrics = Metrics::new(false).expect("names are legal");
    metrics.http(&axum::http::Method::GET, "/healthz", 200, 0.002);
    let (words, sessions) = (Totals { kept: 9, lost: 1 }, Sessions::new(&Default::default()));
    let text = metrics.render(&[stream(2)], Some(77), words, &sessions, &load()).expect("renders");
    for line in [
        "# TYPE auralink_feed_bytes_total counter",
        "auralink_archive_cues_total 9",
        "auralink_archive_lost_cues_total 1",
        "auralink_feed_bytes_total{feed=\"video\",stream=\"studio-1\"} 5000",
        "# TYPE auralink_feed_kbps gauge",
        "auralink_feed_latency_seconds{feed=\"video\",stream=\"studio-1\"} 0.0125",
        "auralink_stream_state{state=\"live\",stream=\"studio-1\"} 1",
        "auralink_stream_state{state=\"idle\",stream=\"studio-1\"} 0",
        "auralink_node_in_buffers_total{node=\"whep\",stream=\"studio-1\"} 20",
        "auralink_node_out_buffers_total{node=\"source\",stream=\"studio-1\"} 100",
        "auralink_node_dropped_buffers_total{node=\"source\",reason=\"switch\",stream=\"studio-1\"} 3",
        "auralink_node_dropped_buffers_total{node=\"whep\",reason=\"slow\",stream=\"studio-1\"} 4",
        "auralink_node_restarts_total{node=\"source\",stream=\"studio-1\"} 4",
        "auralink_recordings_disk_free_bytes 77",
        "auralink_viewers_sent_bytes_total 0",
        "auralink_viewers_max 500",
        "auralink_cpus 8",
        "auralink_cpu_busy_ratio 0.25",
        "auralink_load_ratio 0.5",
        "auralink_http_request_seconds_count{method=\"GET\",route=\"/healthz\",status=\"200\"} 1",
    ] {
        assert!(text.contains(line), "lacks `{line}`:\n{text}");
    }
    assert!(text.contains("process_resident_memory_bytes"));
}

#[test]
fn viewers_methods_and_removed_streams_leave_no_series_behind() {
    let metrics = Metrics::new(false).expect("names are legal");
    let sessions = Sessions::new(&Default::default());
    let lines = |streams: &[StreamSnapshot]| {
        let text = metrics.render(streams, None, Totals::default(), &sessions, &load());
        text.expect("renders").lines().count()
    };
    let empty = lines(&[]);
    assert_eq!(lines(&[stream(1)]), lines(&[stream(1000)]));
    assert_eq!(lines(&[]), empty, "a stream that is gone is gone");
    let odd = axum::http::Method::from_bytes(b"BREW").expect("a method");
    metrics.http(&odd, "none", 405, 0.1);
    let one = lines(&[]);
    for n in 0..100 {
        let odd = axum::http::Method::from_bytes(format!("BREW{n}").as_bytes());
        metrics.http(&odd.expect("a method"), "none", 405, 0.1);
    }
    assert_eq!(lines(&[]), one);
}
