//! The snapshot and the thumbnail of a stream.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::Stream;
use super::outputs::worker_name;
use super::publisher::Publisher;
use crate::egress::SEGMENT_PROTOCOLS;
use crate::flow::{CueFeed, Feed};
use crate::graph;
use crate::runtime::worker::Worker;
use crate::runtime::{
    ConsumerSnapshot, CueFeedSnapshot, FeedSnapshot, LastError, NodeSnapshot, NodeState,
    OutputSnapshot, SourceSnapshot, StreamSnapshot,
};

impl Stream {
    pub(super) fn snapshot(&self) -> StreamSnapshot {
        let mut viewers = BTreeMap::new();
        for subscription in self.viewers.values() {
            *viewers.entry(subscription.protocol).or_insert(0) += 1;
        }
        if let Some(segment_store) = self.segment_store.as_ref().filter(|_| self.segments_wanted) {
            let count = |by| u32::try_from(segment_store.viewers_by(by)).unwrap_or(u32::MAX);
            viewers.extend(SEGMENT_PROTOCOLS.iter().map(|protocol| (*protocol, count(*protocol))));
        }
        let mut sources: Vec<_> = self.publishers.iter().map(|p| self.source(p)).collect();
        sources.sort_by_key(|s| !s.on_air);
        let fault = self.last_fault.as_ref().map(|(node, fault)| fault.of(node));
        let fault = self.shared.held.fault(&self.spec.name).or(fault);
        let entry = self.shared.entry(&self.spec.name);
        StreamSnapshot {
            name: self.spec.name.to_string(),
            preset: self.spec.preset.clone(),
            state: self.state,
            since: self.since,
            sources,
            viewers,
            nodes: self.nodes(),
            feeds: self.feeds.iter().map(|(name, feed)| self.feed_snapshot(name, feed)).collect(),
            outputs: self.output_snapshots(),
            denoise: self.denoise_settings(),
            captions: self.caption_settings(),
            ladder: self.ladder.borrow().rungs.clone(),
            refused_rungs: self.slow_rungs.refused(Instant::now()),
            cues: self.all_cues().iter().map(cue_snapshot).collect(),
            refusals: entry.map(|entry| entry.refusals.list()).unwrap_or_default(),
            last_error: fault.as_ref().into(),
        }
    }

    /// All caption feeds, including those that the publisher sends.
    pub(super) fn all_cues(&self) -> Vec<CueFeed> {
        let brought = self.caption_feeds.feeds().into_iter();
        let brought = brought.filter(|feed| !self.cues.contains_key(feed.name()));
        self.cues.values().cloned().chain(brought).collect()
    }

    fn source(&self, publisher: &Publisher) -> SourceSnapshot {
        let report = &publisher.tracks.report;
        let rtt_us = report.rtt_us.load(Relaxed);
        SourceSnapshot {
            slot: publisher.slot.as_str(),
            on_air: self.is_on_air(publisher),
            protocol: report.protocol,
            peer: report.peer.clone(),
            since: publisher.since,
            bytes: publisher.bytes(),
            kbps: publisher.kbps,
            lost: report.lost.load(Relaxed),
            rtt_ms: (rtt_us > 0).then(|| rtt_us as f64 / 1000.0),
            notes: report.notes(),
            layers: self.layer_snapshots(publisher),
        }
    }

    /// The source, the process nodes in plan order, then the consumers.
    fn nodes(&self) -> Vec<NodeSnapshot> {
        let mut nodes: Vec<NodeSnapshot> =
            self.publishers.iter().map(|p| self.publisher_node(p)).collect();
        let order = |name: &str| self.plan.nodes.iter().position(|n| n.name == name);
        let mut workers: Vec<_> = self.workers.iter().collect();
        workers.sort_by_key(|(name, w)| (w.job.is_egress(), order(name).unwrap_or(usize::MAX)));
        // A running pull is shown as a publisher.
        let shown = workers.into_iter().filter(|(_, w)| !w.job.is_pull() || !w.is_alive());
        nodes.extend(shown.map(|(name, worker)| worker_node(name, worker)));
        for subscription in self.viewers.values() {
            let route = self.plan.routes.get(&subscription.want).cloned().unwrap_or_default();
            nodes.push(NodeSnapshot {
                name: subscription.want.clone(),
                what: format!("{} viewer", subscription.protocol),
                why: "a viewer watches".into(),
                state: NodeState::Running,
                inputs: route.feeds().cloned().collect(),
                outputs: Vec::new(),
                restarts: 0,
                last_error: LastError {
                    last_error: route.problems.first().cloned(),
                    ..LastError::default()
                },
                facts: BTreeMap::new(),
            });
        }
        nodes
    }

    fn publisher_node(&self, publisher: &Publisher) -> NodeSnapshot {
        let report = &publisher.tracks.report;
        let worker = self.workers.get(publisher.slot.as_str());
        let on_air = self.is_on_air(publisher);
        let programme = ["video", "audio"].map(String::from).to_vec();
        let layers = publisher.tracks.layers.all().into_iter();
        let layers = layers.map(|layer| layer.writer.feed().name().to_owned());
        let mut facts = report.status.facts();
        facts.insert("kbps", publisher.kbps.round().into());
        NodeSnapshot {
            name: publisher.slot.as_str().into(),
            what: format!("{} from {}", report.protocol, report.peer),
            why: "the stream's source".into(),
            state: if on_air { NodeState::Running } else { NodeState::Starting },
            inputs: Vec::new(),
            outputs: if on_air {
                programme.into_iter().chain(layers).collect()
            } else {
                Vec::new()
            },
            restarts: worker.map_or(0, |w| w.restarts),
            last_error: worker.and_then(|w| w.fault.as_ref()).into(),
            facts,
        }
    }

    fn feed_snapshot(&self, name: &str, feed: &Feed) -> FeedSnapshot {
        let stats = feed.stats();
        let format = feed.format().borrow().clone();
        let (kbps, rate) = self.rates.rates.get(name).copied().unwrap_or_default();
        let consumers = feed.links().into_iter().map(|(node, link)| ConsumerSnapshot {
            node,
            buffers: link.buffers.load(Relaxed),
            dropped_slow: link.dropped_slow.load(Relaxed),
            dropped_waiting: link.dropped_waiting.load(Relaxed),
        });
        FeedSnapshot {
            name: name.to_owned(),
            kind: feed.kind(),
            format_text: format.as_ref().map(ToString::to_string).unwrap_or_default(),
            format,
            buffers: stats.buffers.load(Relaxed),
            bytes: stats.bytes.load(Relaxed),
            kbps,
            rate,
            latency_ms: stats.age_us.load(Relaxed) as f64 / 1000.0,
            dropped_switch: stats.dropped_switch.load(Relaxed),
            consumers: consumers.collect(),
        }
    }

    fn output_snapshots(&self) -> Vec<OutputSnapshot> {
        let now = Instant::now();
        let snapshot = |output: crate::runtime::OutputSpec| {
            let worker = self.workers.get(&worker_name(&output.id));
            let state = worker.map_or(NodeState::Standby, Worker::state);
            let running = state == NodeState::Running;
            let fault = worker.filter(|_| !running).and_then(|w| w.fault.as_ref());
            OutputSnapshot {
                id: output.id.to_string(),
                kind: output.kind.word(),
                target: output.kind.shown(),
                settings: output.kind.settings(),
                state: if output.enabled { state } else { NodeState::Stopped },
                from_preset: self.preset.has_output(&output.id),
                enabled: output.enabled,
                error: fault.map(|f| f.message.clone()),
                error_hint: fault.map(|f| f.hint.clone()),
                error_at: fault.map(|f| f.at),
                retry_in_s: worker.and_then(|w| w.retry_in(now)).map(|d| d.as_secs_f64()),
                restarts: worker.map_or(0, |w| w.restarts),
                facts: worker.and_then(Worker::task).map(|t| t.status.facts()).unwrap_or_default(),
            }
        };
        self.outputs().into_iter().map(snapshot).collect()
    }

    pub(super) fn dot(&self) -> String {
        graph::dot(&self.ask(), &self.plan)
    }
}

fn cue_snapshot(feed: &CueFeed) -> CueFeedSnapshot {
    let stats = feed.stats();
    CueFeedSnapshot {
        name: feed.name().to_owned(),
        language: feed.language().clone(),
        committed: stats.committed.load(Relaxed),
        words: stats.words.load(Relaxed),
        partial: stats.partial.load(Relaxed),
        delay_ms: stats.delay_ms.load(Relaxed),
        dropped_slow: stats.dropped_slow.load(Relaxed),
        readers: feed.readers(),
        last: feed.recent().pop().map(|cue| cue.text),
    }
}

fn worker_node(name: &str, worker: &Worker) -> NodeSnapshot {
    NodeSnapshot {
        name: name.to_owned(),
        what: worker.job.what(),
        why: worker.why.clone(),
        state: worker.state(),
        inputs: worker.route.feeds().cloned().collect(),
        outputs: worker.outputs.clone(),
        restarts: worker.restarts,
        last_error: worker.fault.as_ref().into(),
        facts: worker.task().map(|t| t.status.facts()).unwrap_or_default(),
    }
}
