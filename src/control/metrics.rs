//! Metrics. Stream figures are read at each Prometheus scrape; events are counted as they happen.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use prometheus::core::Collector;
use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder,
};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::archive::Totals;
use crate::cluster::ApplianceLoad;
use crate::runtime::{Event, NodeState, OutputSnapshot, StreamSnapshot, StreamState, Supervisor};
use crate::speech::{engine, recovery};
use crate::telemetry::names::{self, Name};
use crate::webrtc::Registry as Sessions;

/// Share of lost packets from which a viewer's path counts as bad: repairs begin to be late.
const LOSSY_RATIO: f64 = 0.05;

/// Counters of this process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    started: Instant,
    lasting: Registry,
    http: HistogramVec,
    refusals: IntCounterVec,
    node_errors: IntCounterVec,
    lagged: IntCounterVec,
    gpu_ready: bool,
}

impl Metrics {
    /// Registers all metrics. `gpu_ready` is fixed for the life of the process.
    ///
    /// # Errors
    /// If a name is used twice or is illegal, which tests rule out.
    pub fn new(gpu_ready: bool) -> Result<Self, prometheus::Error> {
        let lasting = Registry::new();
        let counter = |n: Name| IntCounterVec::new(Opts::new(n.name, n.help.trim()), n.labels);
        let http = names::HTTP_SECONDS;
        let http = HistogramVec::new(
            HistogramOpts::new(http.name, http.help.trim())
                .buckets(vec![0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0]),
            http.labels,
        )?;
        let inner = Inner {
            started: Instant::now(),
            http,
            refusals: counter(names::REFUSALS)?,
            node_errors: counter(names::NODE_ERRORS)?,
            lagged: counter(names::EVENTS_LAGGED)?,
            lasting,
            gpu_ready,
        };
        inner.lasting.register(Box::new(inner.http.clone()))?;
        for vec in [&inner.refusals, &inner.node_errors, &inner.lagged] {
            inner.lasting.register(Box::new(vec.clone()))?;
        }
        let process = prometheus::process_collector::ProcessCollector::for_self();
        inner.lasting.register(Box::new(process))?;
        Ok(Self(Arc::new(inner)))
    }

    /// Start time of this process.
    pub fn started(&self) -> Instant {
        self.0.started
    }

    /// Counts one answered request. `route` is the matched pattern, never the path itself.
    pub fn http(&self, method: &axum::http::Method, route: &str, status: u16, seconds: f64) {
        use axum::http::Method as M;
        // Clients can invent methods; a fixed list bounds the labels.
        let known = [M::GET, M::POST, M::PUT, M::PATCH, M::DELETE, M::HEAD, M::OPTIONS];
        let method = known.iter().find(|m| *m == method).map_or("other", M::as_str);
        let labels = [method, route, &status.to_string()];
        self.0.http.with_label_values(&labels).observe(seconds);
    }

    /// Counts events until `cancel`.
    pub async fn follow(&self, supervisor: &Supervisor, cancel: CancellationToken) {
        let mut events = supervisor.events();
        loop {
            let event = tokio::select! {
                () = cancel.cancelled() => return,
                event = events.recv() => event,
            };
            match event {
                Ok(event) => self.count(&event),
                Err(RecvError::Lagged(n)) => {
                    self.0.lagged.with_label_values::<&str>(&[]).inc_by(n);
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    fn count(&self, event: &Event) {
        match event {
            Event::Refused { protocol, .. } => {
                self.0.refusals.with_label_values(&[protocol.as_str()]).inc();
            }
            Event::NodeFailed { stream, .. } | Event::StreamFailed { stream, .. } => {
                self.0.node_errors.with_label_values(&[stream.as_str()]).inc();
            }
            Event::StreamRemoved { stream } => {
                let _ = self.0.node_errors.remove_label_values(&[stream.as_str()]);
            }
            Event::StreamCreated { .. }
            | Event::StateChanged { .. }
            | Event::StreamChanged { .. } => {}
        }
    }

    /// All metrics in the Prometheus text format.
    ///
    /// # Errors
    /// If a metric cannot be encoded, which tests rule out.
    pub fn render(
        &self,
        streams: &[StreamSnapshot],
        disk_free: Option<u64>,
        words: Totals,
        viewers: &Sessions,
        load: &ApplianceLoad,
    ) -> Result<String, prometheus::Error> {
        let scrape = Scrape::default();
        scrape.capacity(load)?;
        scrape.set(names::ARCHIVE_KEPT, &[], words.kept as f64)?;
        scrape.set(names::ARCHIVE_LOST, &[], words.lost as f64)?;
        scrape.engines()?;
        scrape.machine(self.0.started.elapsed().as_secs_f64(), disk_free, self.0.gpu_ready)?;
        for stream in streams {
            scrape.stream(stream)?;
        }
        scrape.viewers(viewers)?;
        let mut families = self.0.lasting.gather();
        families.extend(scrape.0.gather());
        families.sort_by(|a, b| a.name().cmp(b.name()));
        TextEncoder::new().encode_to_string(&families)
    }
}

/// The figures of one scrape. Built anew each time, so that removed streams leave nothing behind
/// and totals kept elsewhere need no incremental copy.
#[derive(Default)]
struct Scrape(Registry, std::cell::RefCell<std::collections::BTreeMap<&'static str, GaugeVec>>);

impl Scrape {
    fn set(&self, name: Name, labels: &[&str], value: f64) -> Result<(), prometheus::Error> {
        let mut vecs = self.1.borrow_mut();
        if !vecs.contains_key(name.name) {
            let vec = GaugeVec::new(Opts::new(name.name, name.help.trim()), name.labels)?;
            self.0.register(Box::new(Typed { vec: vec.clone() }))?;
            vecs.insert(name.name, vec);
        }
        if let Some(vec) = vecs.get(name.name) {
            vec.get_metric_with_label_values(labels)?.add(value);
        }
        Ok(())
    }

    /// What the appliance can take, and how much of it is taken.
    fn capacity(&self, load: &ApplianceLoad) -> Result<(), prometheus::Error> {
        self.set(names::STREAMS_MAX, &[], load.streams_max as f64)?;
        self.set(names::VIEWERS_MAX, &[], load.viewers_max as f64)?;
        self.set(names::CPUS, &[], load.cpus as f64)?;
        self.set(names::CPU_BUSY, &[], load.cpu_percent / 100.0)?;
        self.set(names::LOAD, &[], load.ratio())
    }

    fn machine(&self, uptime: f64, disk: Option<u64>, gpu: bool) -> Result<(), prometheus::Error> {
        self.set(names::BUILD_INFO, &[env!("CARGO_PKG_VERSION")], 1.0)?;
        self.set(names::UPTIME, &[], uptime)?;
        self.set(names::GPU_READY, &[], f64::from(u8::from(gpu)))?;
        disk.map_or(Ok(()), |free| self.set(names::DISK_FREE, &[], free as f64))
    }

    fn engines(&self) -> Result<(), prometheus::Error> {
        for used in engine::usage() {
            let labels = [used.engine.as_str(), used.model.as_str()];
            self.set(names::ENGINE_PROCESSES, &labels, used.processes as f64)?;
            self.set(names::ENGINE_STARTS, &labels, used.starts as f64)?;
            self.set(names::ENGINE_MEMORY, &labels, used.memory_bytes as f64)?;
            self.set(names::ENGINE_CPU, &labels, used.cpu.as_secs_f64())?;
        }
        for down in recovery::troubles() {
            self.set(names::ENGINE_DOWN, &[&down.engine, &down.model], 1.0)?;
        }
        Ok(())
    }

    /// Sums over the viewers by WebRTC of each stream. Single ones are only in the API.
    fn viewers(&self, sessions: &Sessions) -> Result<(), prometheus::Error> {
        self.set(names::VIEWERS_SENT, &[], sessions.sent_bytes() as f64)?;
        for viewer in sessions.viewers() {
            let Some(delivery) = viewer.delivery() else { continue };
            let labels = [viewer.stream.as_str(), viewer.protocol.as_str()];
            self.set(names::VIEWERS_KBPS, &labels, delivery.kbps)?;
            let suffers = delivery.loss.is_some_and(|loss| loss > LOSSY_RATIO);
            self.set(names::VIEWERS_LOSSY, &labels, f64::from(u8::from(suffers)))?;
        }
        Ok(())
    }

    fn stream(&self, s: &StreamSnapshot) -> Result<(), prometheus::Error> {
        let name = s.name.as_str();
        for state in StreamState::ALL {
            let value = f64::from(u8::from(s.state == state));
            self.set(names::STREAM_STATE, &[name, state.as_str()], value)?;
        }
        self.set(names::SOURCES, &[name], s.sources.len() as f64)?;
        if let Some(source) = s.sources.iter().find(|source| source.on_air) {
            let labels = [name, source.protocol.as_str()];
            self.set(names::SOURCE_BYTES, &labels, source.bytes as f64)?;
            self.set(names::SOURCE_KBPS, &labels, source.kbps)?;
            self.set(names::SOURCE_LOST, &labels, source.lost as f64)?;
        }
        for (protocol, count) in &s.viewers {
            self.set(names::VIEWERS, &[name, protocol.as_str()], f64::from(*count))?;
        }
        let nodes: BTreeSet<&str> = s.nodes.iter().map(|n| n.name.as_str()).collect();
        for feed in &s.feeds {
            let labels = [name, feed.name.as_str()];
            self.set(names::FEED_BUFFERS, &labels, feed.buffers as f64)?;
            self.set(names::FEED_BYTES, &labels, feed.bytes as f64)?;
            self.set(names::FEED_KBPS, &labels, feed.kbps)?;
            self.set(names::FEED_LATENCY, &labels, feed.latency_ms / 1000.0)?;
            for c in &feed.consumers {
                let node = bounded(&c.node, s, &nodes);
                self.set(names::NODE_IN, &[name, node], c.buffers as f64)?;
                for (reason, n) in [("slow", c.dropped_slow), ("waiting", c.dropped_waiting)] {
                    self.set(names::NODE_DROPPED, &[name, node, reason], n as f64)?;
                }
            }
            let writer = s.nodes.iter().find(|n| n.outputs.contains(&feed.name));
            if let Some(writer) = writer {
                let node = bounded(&writer.name, s, &nodes);
                self.set(names::NODE_OUT, &[name, node], feed.buffers as f64)?;
                let dropped = feed.dropped_switch as f64;
                self.set(names::NODE_DROPPED, &[name, node, "switch"], dropped)?;
            }
        }
        for feed in &s.cues {
            let labels = [name, feed.name.as_str()];
            self.set(names::CUES, &labels, feed.committed as f64)?;
            self.set(names::CUE_WORDS, &labels, feed.words as f64)?;
            self.set(names::CUE_DELAY, &labels, feed.delay_ms as f64 / 1000.0)?;
            self.set(names::CUES_DROPPED, &labels, feed.dropped_slow as f64)?;
        }
        for node in &s.nodes {
            let label = bounded(&node.name, s, &nodes);
            self.set(names::NODE_RESTARTS, &[name, label], f64::from(node.restarts))?;
            let running = f64::from(u8::from(node.state == NodeState::Running));
            self.set(names::NODE_RUNNING, &[name, label], running)?;
        }
        for output in s.outputs.iter().filter(|o| o.enabled) {
            let running = f64::from(u8::from(output.state == NodeState::Running));
            self.set(names::OUTPUT_RUNNING, &[name, &output.id, output.kind], running)?;
            if output.kind == "trunk" {
                self.trunk(name, output)?;
            }
        }
        Ok(())
    }

    /// The figures that a trunk reports. Missing ones are omitted.
    fn trunk(&self, stream: &str, output: &OutputSnapshot) -> Result<(), prometheus::Error> {
        let fact = |name| output.facts.get(name).and_then(serde_json::Value::as_f64);
        let by_codec = [
            (names::TRUNK_AUDIO_KBPS, "audio_kbps", 1.0),
            (names::TRUNK_AUDIO_OPUS_KBPS, "audio_in_opus_kbps", 1.0),
            (names::TRUNK_LOSS, "loss", 1.0),
            (names::TRUNK_MISSING, "missing", 1.0),
            (names::TRUNK_LATENCY, "latency_ms", 1000.0),
            (names::TRUNK_QUALITY, "quality", 1.0),
        ];
        let codec = output.facts.get("codec").and_then(serde_json::Value::as_str);
        if let Some(codec) = codec {
            for (name, key, unit) in by_codec {
                if let Some(value) = fact(key) {
                    self.set(name, &[stream, &output.id, codec], value / unit)?;
                }
            }
        }
        for (name, key, unit) in [
            (names::TRUNK_VIDEO_KBPS, "video_kbps", 1.0),
            (names::TRUNK_BANDWIDTH_KBPS, "bandwidth_kbps", 1.0),
            (names::TRUNK_RTT, "rtt_ms", 1000.0),
            (names::TRUNK_PREDICTED, "predicted_ratio", 1.0),
            (names::TRUNK_ACTUAL, "actual_ratio", 1.0),
            (names::TRUNK_ERROR, "prediction_error", 1.0),
        ] {
            if let Some(value) = fact(key) {
                self.set(name, &[stream, &output.id], value / unit)?;
            }
        }
        Ok(())
    }
}

/// The label of a node. The names of viewer nodes (`whep.17`) are unbounded, so all viewers of a
/// protocol share one label. The same holds for other nodes outside the plan.
fn bounded<'a>(node: &'a str, stream: &StreamSnapshot, nodes: &BTreeSet<&str>) -> &'a str {
    let head = node.split('.').next().unwrap_or(node);
    if stream.viewers.keys().any(|protocol| protocol.as_str() == head) || !nodes.contains(node) {
        head
    } else {
        node
    }
}

/// A gauge vector that is exported as a counter if its name ends in `_total`.
struct Typed {
    vec: GaugeVec,
}

impl Collector for Typed {
    fn desc(&self) -> Vec<&prometheus::core::Desc> {
        self.vec.desc()
    }

    fn collect(&self) -> Vec<prometheus::proto::MetricFamily> {
        let mut families = self.vec.collect();
        for family in &mut families {
            if !family.name().ends_with("_total") {
                continue;
            }
            family.set_field_type(prometheus::proto::MetricType::COUNTER);
            for metric in family.mut_metric() {
                let mut counter = prometheus::proto::Counter::default();
                counter.set_value(metric.get_gauge().get_value());
                metric.set_counter(counter);
            }
        }
        families
    }
}

#[cfg(test)]
mod tests;
