//! All metric names, each defined once.
//!
//! Labels are bounded: `stream` by `[limits] streams`, `node`, `feed` and `output` by a stream's
//! plan, `protocol`, `reason`, `state`, `method`, `route` and `status` by our own lists. A label
//! never contains a value that a client chooses.

macro_rules! names {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal, [$($label:literal),*];)+) => {
        $($(#[doc = $doc])+ pub const $name: Name = Name {
            name: $text, help: concat!($($doc),+), labels: &[$($label),*],
        };)+

        /// All of them.
        pub const ALL: &[Name] = &[$($name),+];
    };
}

/// A metric: its name, its help text and its labels.
#[derive(Clone, Copy, Debug)]
pub struct Name {
    /// As Prometheus knows it.
    pub name: &'static str,
    /// One sentence for people.
    pub help: &'static str,
    /// Names of its labels.
    pub labels: &'static [&'static str],
}

names! {
    /// Always 1; the label is the version.
    BUILD_INFO = "auralink_build_info", ["version"];
    /// Seconds since the appliance started.
    UPTIME = "auralink_uptime_seconds", [];
    /// 1 for the state that the stream is in: idle, live, backup or slate.
    STREAM_STATE = "auralink_stream_state", ["stream", "state"];
    /// Most streams at once.
    STREAMS_MAX = "auralink_streams_max", [];
    /// Most viewers of all streams at once.
    VIEWERS_MAX = "auralink_viewers_max", [];
    /// Processors that the appliance may use.
    CPUS = "auralink_cpus", [];
    /// Share of all processors of the machine that is busy, 0-1.
    CPU_BUSY = "auralink_cpu_busy_ratio", [];
    /// How much of what the appliance can take is taken, 0-1: of its viewers or its processors, whichever is more.
    LOAD = "auralink_load_ratio", [];
    /// Publishers that are connected.
    SOURCES = "auralink_stream_sources", ["stream"];
    /// Bytes received from the publisher that is on air.
    SOURCE_BYTES = "auralink_source_received_bytes_total", ["stream", "protocol"];
    /// Bit rate of the publisher that is on air, in kbit/s.
    SOURCE_KBPS = "auralink_source_kbps", ["stream", "protocol"];
    /// Packets lost and not recovered of the publisher that is on air.
    SOURCE_LOST = "auralink_source_lost_packets_total", ["stream", "protocol"];
    /// Viewers that are connected.
    VIEWERS = "auralink_viewers", ["stream", "protocol"];
    /// Bit rate to all viewers by WebRTC that share packets, in kbit/s.
    VIEWERS_KBPS = "auralink_viewers_kbps", ["stream", "protocol"];
    /// Viewers by WebRTC whose path lately lost more than 5 % of the packets.
    VIEWERS_LOSSY = "auralink_viewers_lossy", ["stream", "protocol"];
    /// Bytes sent to viewers by WebRTC that share packets.
    VIEWERS_SENT = "auralink_viewers_sent_bytes_total", [];
    /// Buffers that went through the feed.
    FEED_BUFFERS = "auralink_feed_buffers_total", ["stream", "feed"];
    /// Bytes that went through the feed.
    FEED_BYTES = "auralink_feed_bytes_total", ["stream", "feed"];
    /// Bit rate of the feed, in kbit/s.
    FEED_KBPS = "auralink_feed_kbps", ["stream", "feed"];
    /// Age of the newest buffer of the feed when it arrived, in seconds.
    FEED_LATENCY = "auralink_feed_latency_seconds", ["stream", "feed"];
    /// Buffers that a node took from its feeds.
    NODE_IN = "auralink_node_in_buffers_total", ["stream", "node"];
    /// Buffers that a node put on its feeds.
    NODE_OUT = "auralink_node_out_buffers_total", ["stream", "node"];
    /// Buffers dropped, by reason: slow, waiting (for a key frame) or switch (of source).
    NODE_DROPPED = "auralink_node_dropped_buffers_total", ["stream", "node", "reason"];
    /// Processes of a model that run, with its engine (moonshine, whisper, piper, …).
    ENGINE_PROCESSES = "auralink_engine_processes", ["engine", "model"];
    /// Processes of a model that were started; more than the first is a restart.
    ENGINE_STARTS = "auralink_engine_starts_total", ["engine", "model"];
    /// Resident memory of a model's processes, in bytes.
    ENGINE_MEMORY = "auralink_engine_memory_bytes", ["engine", "model"];
    /// Processor time that a model's processes have used, in seconds.
    ENGINE_CPU = "auralink_engine_cpu_seconds_total", ["engine", "model"];
    /// 1 while an engine has failed and is started again after a pause; absent while it works.
    ENGINE_DOWN = "auralink_engine_down", ["engine", "model"];
    /// Committed cues of a feed of captions.
    CUES = "auralink_caption_cues_total", ["stream", "feed"];
    /// Words of the committed cues.
    CUE_WORDS = "auralink_caption_words_total", ["stream", "feed"];
    /// How long after the voice the newest committed cue came, in seconds.
    CUE_DELAY = "auralink_caption_delay_seconds", ["stream", "feed"];
    /// Cues that readers were too slow for.
    CUES_DROPPED = "auralink_caption_dropped_cues_total", ["stream", "feed"];
    /// Cues that were kept for search.
    ARCHIVE_KEPT = "auralink_archive_cues_total", [];
    /// Cues that should have been kept and were not: the database was too slow or failed.
    ARCHIVE_LOST = "auralink_archive_lost_cues_total", [];
    /// How often a node was restarted after an error.
    NODE_RESTARTS = "auralink_node_restarts_total", ["stream", "node"];
    /// 1 while the node runs, 0 while it does not.
    NODE_RUNNING = "auralink_node_running", ["stream", "node"];
    /// 1 while the output runs, 0 while it is on and does not; absent while it is off.
    OUTPUT_RUNNING = "auralink_output_running", ["stream", "output", "kind"];
    /// Sound of a trunk on the wire with its headers, in kbit/s, by the codec in use.
    TRUNK_AUDIO_KBPS = "auralink_trunk_audio_kbps", ["stream", "output", "codec"];
    /// What the same sound would be in Opus of 20 kbit/s, with its headers, in kbit/s.
    TRUNK_AUDIO_OPUS_KBPS = "auralink_trunk_audio_in_opus_kbps", ["stream", "output", "codec"];
    /// Pictures of a trunk on the wire, in kbit/s.
    TRUNK_VIDEO_KBPS = "auralink_trunk_video_kbps", ["stream", "output"];
    /// What the path of a trunk carries, by congestion control, in kbit/s.
    TRUNK_BANDWIDTH_KBPS = "auralink_trunk_bandwidth_kbps", ["stream", "output"];
    /// Share of packets of sound lost lately, by the codec in use.
    TRUNK_LOSS = "auralink_trunk_loss_ratio", ["stream", "output", "codec"];
    /// Share of sound that was missing lately and made up at the other end, by the codec in use.
    TRUNK_MISSING = "auralink_trunk_missing_ratio", ["stream", "output", "codec"];
    /// Round-trip time of a trunk, in seconds.
    TRUNK_RTT = "auralink_trunk_round_trip_seconds", ["stream", "output"];
    /// How much later sound is heard at the other end, estimated, in seconds, by the codec in use.
    TRUNK_LATENCY = "auralink_trunk_latency_seconds", ["stream", "output", "codec"];
    /// How the sound of a trunk is likely to be judged, 1.0-4.5, by the codec in use.
    TRUNK_QUALITY = "auralink_trunk_quality_score", ["stream", "output", "codec"];
    /// Share of Opus's bandwidth that AIC-A was predicted to take.
    TRUNK_PREDICTED = "auralink_trunk_predicted_ratio", ["stream", "output"];
    /// Share of Opus's bandwidth that AIC-A has taken.
    TRUNK_ACTUAL = "auralink_trunk_actual_ratio", ["stream", "output"];
    /// Mean relative error of the predictions.
    TRUNK_ERROR = "auralink_trunk_prediction_error_ratio", ["stream", "output"];
    /// Errors of nodes, by stream.
    NODE_ERRORS = "auralink_node_errors_total", ["stream"];
    /// Publishers and viewers that were refused.
    REFUSALS = "auralink_refusals_total", ["protocol"];
    /// Events that metrics missed because they came too fast.
    EVENTS_LAGGED = "auralink_events_lagged_total", [];
    /// Time from request to response headers, in seconds.
    HTTP_SECONDS = "auralink_http_request_seconds", ["method", "route", "status"];
    /// Bytes that recordings may still take on their disk.
    DISK_FREE = "auralink_recordings_disk_free_bytes", [];
    /// 1 when a GPU can be used.
    GPU_READY = "auralink_gpu_ready", [];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rules_of_prometheus() {
        for name in ALL {
            let same = ALL.iter().filter(|n| n.name == name.name).count();
            assert_eq!(same, 1, "{} is defined twice", name.name);
            assert!(name.name.starts_with("auralink_"), "{}", name.name);
            let legal = |c: char| c.is_ascii_lowercase() || c == '_';
            assert!(
                name.name.chars().all(legal) && name.labels.iter().all(|l| l.chars().all(legal))
            );
            assert!(name.help.trim().ends_with('.'), "{}: `{}`", name.name, name.help);
        }
    }
}
