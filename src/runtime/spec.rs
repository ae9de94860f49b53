//! What the admin asks of a stream: as written in the API, the configuration and the store.

use serde::{Deserialize, Serialize};

use crate::egress::record;
use crate::media::StreamName;
use crate::process::denoise;

/// A stream as it is wanted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamSpec {
    /// 1-64 of `A-Z a-z 0-9 . _ -`.
    #[schema(value_type = String, example = "studio-1")]
    pub name: StreamName,
    /// Name of a preset in `pipelines/`.
    #[serde(default = "default_preset")]
    #[schema(example = "passthrough")]
    pub preset: String,
    /// Where media comes from.
    #[serde(default)]
    pub source: SourceSpec,
    /// What takes over while the source is gone, and hands back.
    #[serde(default)]
    pub backup: Option<SourceSpec>,
    /// What a second publisher on this name meets.
    #[serde(default)]
    pub on_conflict: Conflict,
    /// How long viewers are kept, in seconds, while nothing is published.
    #[serde(default = "default_linger_s")]
    pub linger_s: u32,
    /// Noise suppression instead of what the preset says.
    #[serde(default)]
    pub denoise: Option<denoise::Settings>,
    /// Outputs besides those of the preset.
    #[serde(default)]
    pub outputs: Vec<OutputSpec>,
    /// Who may publish and play.
    #[serde(default)]
    pub access: Access,
}

fn default_preset() -> String {
    "passthrough".into()
}

fn default_linger_s() -> u32 {
    30
}

impl StreamSpec {
    /// A stream with everything at its default.
    pub fn new(name: StreamName) -> Self {
        Self {
            name,
            preset: default_preset(),
            source: SourceSpec::default(),
            backup: None,
            on_conflict: Conflict::default(),
            linger_s: default_linger_s(),
            denoise: None,
            outputs: Vec::new(),
            access: Access::default(),
        }
    }
}

/// Where a stream's media comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum SourceSpec {
    /// Somebody publishes it by SRT, RTMP or WHIP.
    #[default]
    Publish,
    /// Pulled from an SRT listener.
    Srt {
        /// `srt://host:port`, with `?streamid=…` where the other end wants one.
        url: String,
        /// Passphrase of 10-79 characters when the other end encrypts.
        #[serde(default)]
        passphrase: Option<String>,
    },
    /// Pulled from an RTSP server, such as a camera.
    Rtsp {
        /// `rtsp://[user:password@]host[:port]/path`.
        url: String,
    },
    /// A media file, played as live without end.
    File {
        /// Path on the appliance.
        path: String,
    },
    /// Test pattern with a flash and a beep each second.
    Test,
    /// Another stream of this appliance.
    Stream {
        /// Its name.
        #[schema(value_type = String)]
        name: StreamName,
    },
}

/// What a second publisher on a taken name meets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Conflict {
    /// It is refused.
    #[default]
    Reject,
    /// It takes over and the first one is disconnected.
    Replace,
}

/// One output of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OutputSpec {
    /// Unique within the stream: 1-64 of `A-Z a-z 0-9 . _ -`.
    #[schema(value_type = String, example = "youtube")]
    pub id: StreamName,
    /// A stopped output stays in the list.
    #[serde(default = "enabled")]
    pub enabled: bool,
    /// What it does.
    #[serde(flatten)]
    pub kind: OutputKind,
}

fn enabled() -> bool {
    true
}

/// What an output does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum OutputKind {
    /// Writes files.
    Record(record::Settings),
    /// Sends to a server.
    Push {
        /// `srt://…`, `rtmp://…` or `rtmps://…`; keys and passphrases in it are never shown again.
        url: String,
    },
}

/// Who may publish and play a stream. Tokens that are left out are made when the stream is
/// created.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Access {
    /// Stream key and bearer token of publishers.
    pub publish_token: Option<String>,
    /// Token of viewers.
    pub play_token: Option<String>,
    /// Passphrase that SRT publishers and players must encrypt with, 10-79 characters.
    pub srt_passphrase: Option<String>,
    /// Anybody may publish. Say so in so many words or not at all.
    pub open_publish: bool,
    /// Anybody may play.
    pub open_play: bool,
}
