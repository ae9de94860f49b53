//! The state of streams, for the API, the page and the metrics.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::{RefusalSnapshot, Wanted};
use crate::media::{Format, Kind, Language, Protocol, Rung};
use crate::process::{captions, denoise};

/// The state of one stream at one moment.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct StreamSnapshot {
    /// Name of the stream.
    pub name: String,
    /// Name of its preset.
    pub preset: String,
    /// What viewers see.
    pub state: StreamState,
    /// When it entered that state.
    pub since: DateTime<Utc>,
    /// Connected publishers, the one on air first.
    pub sources: Vec<SourceSnapshot>,
    /// Number of viewers per protocol.
    #[schema(value_type = BTreeMap<String, u32>)]
    pub viewers: BTreeMap<Protocol, u32>,
    /// Nodes of its graph, in the order media flows.
    pub nodes: Vec<NodeSnapshot>,
    /// Feeds between the nodes.
    pub feeds: Vec<FeedSnapshot>,
    /// Outputs of the preset and of the stream.
    pub outputs: Vec<OutputSnapshot>,
    /// Noise suppression; `null` if the graph has none.
    pub denoise: Option<denoise::Settings>,
    /// Captions; `null` if the graph has none.
    pub captions: Option<captions::Settings>,
    /// Qualities below the source that viewers can choose, the largest first, with their bit rates;
    /// those of the ladder that the source has and this machine can encode.
    pub ladder: Vec<Rung>,
    /// Qualities of the ladder that are not offered for now, because this machine did not encode them in
    /// real time.
    pub refused_rungs: Vec<RefusedRung>,
    /// Caption feeds.
    pub cues: Vec<CueFeedSnapshot>,
    /// Callers that were refused recently, newest first: at most ten publishers and ten players.
    pub refusals: Vec<RefusalSnapshot>,
    /// The last failure. Cleared by the next publisher, or when its node has run well for a minute.
    #[serde(flatten)]
    pub last_error: LastError,
}

impl StreamSnapshot {
    /// The snapshot of a stream that has failed and is not running.
    pub(super) fn failed(wanted: &Wanted, since: DateTime<Utc>, last_error: LastError) -> Self {
        Self {
            name: wanted.spec.name.to_string(),
            preset: wanted.spec.preset.clone(),
            state: StreamState::Failed,
            since,
            sources: Vec::new(),
            refusals: Vec::new(),
            viewers: BTreeMap::new(),
            nodes: Vec::new(),
            feeds: Vec::new(),
            outputs: Vec::new(),
            denoise: wanted.denoise(),
            captions: wanted.captions(),
            ladder: Vec::new(),
            refused_rungs: Vec::new(),
            cues: Vec::new(),
            last_error,
        }
    }
}

/// A rung that is not offered for now.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct RefusedRung {
    /// The shorter side of its picture in pixels.
    pub height: u32,
    /// Frames that this machine encoded for each frame of the source, 0-1, when it was last tried.
    pub real_time_ratio: f64,
    /// Seconds until it is offered again.
    pub retry_s: u64,
}

/// The last failure, until it is cleared.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct LastError {
    /// The failure, as text.
    pub last_error: Option<String>,
    /// What the admin can do about it.
    pub last_error_hint: Option<String>,
    /// When it happened.
    pub last_error_at: Option<DateTime<Utc>>,
}

/// What viewers of a stream see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum StreamState {
    /// Nothing: there is no publisher.
    Idle,
    /// The source.
    Live,
    /// The backup source.
    Backup,
    /// The slate: the source is gone and may come back.
    Slate,
    /// Nothing: the stream met an internal fault and restarts after a pause.
    Failed,
}

impl StreamState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Idle, Self::Live, Self::Backup, Self::Slate, Self::Failed];

    /// The value in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Live => "live",
            Self::Backup => "backup",
            Self::Slate => "slate",
            Self::Failed => "failed",
        }
    }
}

/// One connected publisher.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SourceSnapshot {
    /// `source` or `backup`.
    pub slot: &'static str,
    /// Whether it is on air.
    pub on_air: bool,
    /// `srt`, `rtmp`, `whip` …
    #[schema(value_type = String)]
    pub protocol: Protocol,
    /// Address of the remote end.
    pub peer: String,
    /// When it connected.
    pub since: DateTime<Utc>,
    /// Bytes received.
    pub bytes: u64,
    /// Bit rate over the last second, kbit/s.
    pub kbps: f64,
    /// Packets lost and not recovered.
    pub lost: u64,
    /// Round-trip time in ms; `null` if the protocol measures none.
    pub rtt_ms: Option<f64>,
    /// Remarks about the source, as text.
    pub notes: Vec<String>,
    /// The layers of its video, if it sends several (simulcast), the largest first.
    pub layers: Vec<LayerSnapshot>,
}

/// One layer of a publisher's video.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct LayerSnapshot {
    /// Its identifier (`rid`, RFC 8851).
    pub rid: String,
    /// Width of its picture in pixels; 0 before it is known.
    pub width: u32,
    /// Height of its picture in pixels; 0 before it is known.
    pub height: u32,
    /// Bit rate over the last second, kbit/s.
    pub kbps: f64,
    /// Whether it comes: publishers stop layers that their line does not carry.
    pub comes: bool,
    /// Whether it is the stream's video while its publisher is on air.
    pub is_main: bool,
}

/// One node of the graph.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct NodeSnapshot {
    /// Name within the stream: `source`, `denoise`, `encode.audio.opus`, `record` …
    pub name: String,
    /// What it does, as text.
    pub what: String,
    /// Why the plan includes it, as text.
    pub why: String,
    /// State of the node.
    pub state: NodeState,
    /// Feeds that it reads.
    pub inputs: Vec<String>,
    /// Feeds that it fills.
    pub outputs: Vec<String>,
    /// Number of restarts after a failure.
    pub restarts: u32,
    /// The failure that ended its last run, until it has run well for a minute.
    #[serde(flatten)]
    pub last_error: LastError,
    /// Figures specific to the kind of node.
    #[schema(value_type = Object)]
    pub facts: BTreeMap<&'static str, serde_json::Value>,
}

/// State of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// In the plan, but without a consumer.
    Standby,
    /// It is being built or is connecting.
    Starting,
    /// Media flows.
    Running,
    /// Failed; it restarts after a pause.
    Waiting,
    /// Stopped by the admin.
    Stopped,
}

/// One media feed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FeedSnapshot {
    /// `video`, `audio.clean.opus` …
    pub name: String,
    /// Video or audio.
    #[schema(value_type = String)]
    pub kind: Kind,
    /// Format of the media; `null` while unknown.
    #[schema(value_type = Object)]
    pub format: Option<Format>,
    /// The format as text: `h264 1280x720 30 fps High`.
    pub format_text: String,
    /// Number of buffers that passed.
    pub buffers: u64,
    /// Bytes in those buffers.
    pub bytes: u64,
    /// Bit rate over the last second, kbit/s.
    pub kbps: f64,
    /// Buffers per second, over the last second.
    pub rate: f64,
    /// Age of the newest buffer when it passed, in ms.
    pub latency_ms: f64,
    /// Buffers dropped at a change of source.
    pub dropped_switch: u64,
    /// Nodes that read it.
    pub consumers: Vec<ConsumerSnapshot>,
}

/// One caption feed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CueFeedSnapshot {
    /// `captions.en`, `captions.es` …
    pub name: String,
    /// Language of the captions; `und` until it is detected.
    #[schema(value_type = String)]
    pub language: Language,
    /// Number of committed cues.
    pub committed: u64,
    /// Words in the committed cues.
    pub words: u64,
    /// Number of partial cues.
    pub partial: u64,
    /// Delay of the newest committed cue after the speech, in ms.
    pub delay_ms: u64,
    /// Cues dropped because a reader was too slow.
    pub dropped_slow: u64,
    /// Number of readers now.
    pub readers: usize,
    /// Text of the newest committed cue.
    pub last: Option<String>,
}

/// One consumer of a feed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ConsumerSnapshot {
    /// Name of the consuming node.
    pub node: String,
    /// Number of buffers that it took.
    pub buffers: u64,
    /// Buffers dropped because it was too slow.
    pub dropped_slow: u64,
    /// Buffers skipped while it waited for a key frame.
    pub dropped_waiting: u64,
}

/// One output.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct OutputSnapshot {
    /// Id of the output.
    pub id: String,
    /// `record`, `push` or `trunk`.
    pub kind: &'static str,
    /// Target, without keys.
    pub target: String,
    /// Settings, without the address and the token.
    #[schema(value_type = Object)]
    pub settings: serde_json::Value,
    /// State of the output.
    pub state: NodeState,
    /// Whether it comes from the preset.
    pub from_preset: bool,
    /// Whether the admin has enabled it.
    pub enabled: bool,
    /// The failure, as text.
    pub error: Option<String>,
    /// What the admin can do about it.
    pub error_hint: Option<String>,
    /// When it happened.
    pub error_at: Option<DateTime<Utc>>,
    /// Seconds until the next try.
    pub retry_in_s: Option<f64>,
    /// Number of restarts after a failure.
    pub restarts: u32,
    /// Figures specific to the kind of output; for a trunk see `docs/trunk.md`.
    #[schema(value_type = Object)]
    pub facts: BTreeMap<&'static str, serde_json::Value>,
}

/// A change, sent as a server-sent event.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A stream was created.
    StreamCreated {
        /// Name of the stream.
        stream: String,
    },
    /// A stream was removed.
    StreamRemoved {
        /// Name of the stream.
        stream: String,
    },
    /// What viewers see has changed.
    StateChanged {
        /// Name of the stream.
        stream: String,
        /// The new state.
        state: StreamState,
    },
    /// The graph, an output or the source has changed: read the stream again.
    StreamChanged {
        /// Name of the stream.
        stream: String,
    },
    /// A caller was refused.
    Refused {
        /// Name of the requested stream.
        stream: String,
        /// Protocol of the caller.
        #[schema(value_type = String)]
        protocol: Protocol,
        /// Address of the caller.
        peer: String,
        /// The reason, as text.
        message: String,
    },
    /// A stream met an internal fault. Its publisher and viewers were disconnected, and it restarts
    /// after a pause.
    StreamFailed {
        /// Name of the stream.
        stream: String,
        /// The fault, as text.
        error: String,
    },
    /// A node failed; it restarts after a pause.
    NodeFailed {
        /// Name of the stream.
        stream: String,
        /// Name of the node.
        node: String,
        /// The failure, as text.
        error: String,
        /// What the admin can do about it.
        hint: String,
    },
}
