//! How streams are doing, for the API, the page and the metrics.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::{RefusalSnapshot, Wanted};
use crate::media::{Format, Kind, Language};
use crate::process::{captions, denoise};

/// One stream now.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct StreamSnapshot {
    /// Its name.
    pub name: String,
    /// Its preset.
    pub preset: String,
    /// What viewers see.
    pub state: StreamState,
    /// Since when it is in that state.
    pub since: DateTime<Utc>,
    /// Publishers that are connected, the one on air first.
    pub sources: Vec<SourceSnapshot>,
    /// Viewers by protocol.
    pub viewers: BTreeMap<&'static str, u32>,
    /// Nodes of its graph, in the order media flows.
    pub nodes: Vec<NodeSnapshot>,
    /// Feeds between them.
    pub feeds: Vec<FeedSnapshot>,
    /// Outputs: those of the preset and those added.
    pub outputs: Vec<OutputSnapshot>,
    /// Noise suppression, when the graph has it.
    pub denoise: Option<denoise::Settings>,
    /// Captions, when the graph has them.
    pub captions: Option<captions::Settings>,
    /// Feeds of captions.
    pub cues: Vec<CueFeedSnapshot>,
    /// Callers that were refused lately, the newest first: at most ten publishers and ten
    /// players.
    pub refusals: Vec<RefusalSnapshot>,
    /// The last thing that went wrong; over with the next publisher, or when its node has run well
    /// for a minute.
    #[serde(flatten)]
    pub last_error: LastError,
}

impl StreamSnapshot {
    /// Of a stream that has failed and is not running.
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
            cues: Vec::new(),
            last_error,
        }
    }
}

/// What went wrong last, until it is over.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct LastError {
    /// In words.
    pub last_error: Option<String>,
    /// What to do about it.
    pub last_error_hint: Option<String>,
    /// When it happened.
    pub last_error_at: Option<DateTime<Utc>>,
}

/// What viewers of a stream see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum StreamState {
    /// Nothing: nobody publishes.
    Idle,
    /// The source.
    Live,
    /// The backup source.
    Backup,
    /// The slate: the source is gone and may come back.
    Slate,
    /// Nothing: the stream met a fault of the appliance and starts again after a pause.
    Failed,
}

impl StreamState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Idle, Self::Live, Self::Backup, Self::Slate, Self::Failed];

    /// The word of the API.
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
    pub protocol: &'static str,
    /// Address of the other end.
    pub peer: String,
    /// Since when it is connected.
    pub since: DateTime<Utc>,
    /// Bytes received.
    pub bytes: u64,
    /// Received lately, kbit/s.
    pub kbps: f64,
    /// Packets lost and not recovered.
    pub lost: u64,
    /// Round-trip time in ms, where the protocol measures one.
    pub rtt_ms: Option<f64>,
    /// Oddities, in words.
    pub notes: Vec<String>,
}

/// One node of the graph.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct NodeSnapshot {
    /// Name within the stream: `source`, `denoise`, `encode.audio.opus`, `record` …
    pub name: String,
    /// What it does, in words.
    pub what: String,
    /// Why the plan has it, in words.
    pub why: String,
    /// Its standing.
    pub state: NodeState,
    /// Feeds that it takes.
    pub inputs: Vec<String>,
    /// Feeds that it fills.
    pub outputs: Vec<String>,
    /// How often it was restarted.
    pub restarts: u32,
    /// What ended it the last time, until it has run well for a minute.
    #[serde(flatten)]
    pub last_error: LastError,
    /// Its own figures.
    #[schema(value_type = Object)]
    pub facts: BTreeMap<&'static str, serde_json::Value>,
}

/// Standing of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// In the plan, but nobody consumes it.
    Standby,
    /// Being built or connected.
    Starting,
    /// Media flows.
    Running,
    /// Failed; it is tried again after a pause.
    Waiting,
    /// Stopped by the admin.
    Stopped,
}

/// One feed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FeedSnapshot {
    /// `video`, `audio.clean.opus` …
    pub name: String,
    /// Video or audio.
    #[schema(value_type = String)]
    pub kind: Kind,
    /// What flows.
    #[schema(value_type = Object)]
    pub format: Option<Format>,
    /// The same in words: `h264 1280x720 30 fps High`.
    pub format_text: String,
    /// Buffers that went through.
    pub buffers: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Lately, kbit/s.
    pub kbps: f64,
    /// Lately, buffers a second.
    pub rate: f64,
    /// How old the newest buffer was when it went through, in ms.
    pub latency_ms: f64,
    /// Dropped around a change of source.
    pub dropped_switch: u64,
    /// Who takes it.
    pub consumers: Vec<ConsumerSnapshot>,
}

/// One feed of captions.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CueFeedSnapshot {
    /// `captions.en`, `captions.es` …
    pub name: String,
    /// Its language, `und` while it is being detected.
    #[schema(value_type = String)]
    pub language: Language,
    /// Committed cues.
    pub committed: u64,
    /// Their words.
    pub words: u64,
    /// Partial cues.
    pub partial: u64,
    /// How long after the voice the newest committed cue came, in ms.
    pub delay_ms: u64,
    /// Cues that readers were too slow for.
    pub dropped_slow: u64,
    /// Readers now.
    pub readers: usize,
    /// The newest committed text.
    pub last: Option<String>,
}

/// One consumer of a feed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ConsumerSnapshot {
    /// Name of the consuming node.
    pub node: String,
    /// Buffers that it took.
    pub buffers: u64,
    /// Lost because it was behind.
    pub dropped_slow: u64,
    /// Skipped while it waited for a key frame.
    pub dropped_waiting: u64,
}

/// One output.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct OutputSnapshot {
    /// Its id.
    pub id: String,
    /// `record`, `push` or `trunk`.
    pub kind: &'static str,
    /// Where it goes, without keys.
    pub target: String,
    /// What was asked of it, without its address and its token.
    #[schema(value_type = Object)]
    pub settings: serde_json::Value,
    /// Its standing.
    pub state: NodeState,
    /// Whether it comes from the preset.
    pub from_preset: bool,
    /// Whether the admin has it on.
    pub enabled: bool,
    /// What is wrong, in words.
    pub error: Option<String>,
    /// What to do about it.
    pub error_hint: Option<String>,
    /// When it happened.
    pub error_at: Option<DateTime<Utc>>,
    /// Seconds until the next try.
    pub retry_in_s: Option<f64>,
    /// How often it was restarted.
    pub restarts: u32,
    /// Its own figures; of a trunk, what `docs/trunk.md` lists.
    #[schema(value_type = Object)]
    pub facts: BTreeMap<&'static str, serde_json::Value>,
}

/// Something that changed, for server-sent events.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A stream was created.
    StreamCreated {
        /// Its name.
        stream: String,
    },
    /// A stream was removed.
    StreamRemoved {
        /// Its name.
        stream: String,
    },
    /// What viewers see has changed.
    StateChanged {
        /// The stream.
        stream: String,
        /// Its new state.
        state: StreamState,
    },
    /// The graph, an output or the source has changed: read the stream again.
    StreamChanged {
        /// The stream.
        stream: String,
    },
    /// Somebody was refused.
    Refused {
        /// The stream that was asked for.
        stream: String,
        /// Protocol.
        protocol: &'static str,
        /// Address of who asked.
        peer: String,
        /// Why, in words.
        message: String,
    },
    /// A stream met a fault of the appliance: its publisher and viewers were disconnected, and it
    /// starts again after a pause.
    StreamFailed {
        /// The stream.
        stream: String,
        /// Why, in words.
        error: String,
    },
    /// A node failed; it is tried again.
    NodeFailed {
        /// The stream.
        stream: String,
        /// The node.
        node: String,
        /// Why, in words.
        error: String,
        /// What to do about it.
        hint: String,
    },
}
