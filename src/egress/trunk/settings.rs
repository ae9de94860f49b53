//! Settings of a trunk.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::media::Codec;

/// Maximum time that audio may wait for its packet, in ms.
const DELAY_MAX_MS: u32 = 60;

/// Permitted bit rates of encoded video, in kbit/s.
const VIDEO_KBPS: std::ops::RangeInclusive<u32> = 50..=50_000;

/// Minimum of `max_kbps`: AIC-A at its lowest rate takes 9 kbit/s with headers.
const MAX_KBPS_MIN: u32 = 8;

/// A trunk: sends a stream to another appliance or to a WHIP server.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = TrunkSettings)]
pub struct Settings {
    /// The WHIP endpoint, `https://host[:port]/whip/stream` on another appliance. Only `GET …/spec`
    /// returns it in full; other responses have its scheme, host and port.
    #[schema(example = "https://b.example.net:8080/whip/studio")]
    pub url: String,
    /// Bearer token of the endpoint: the publish token of the stream there. Only `GET …/spec`
    /// returns it.
    #[serde(default)]
    pub token: Option<String>,
    /// How video is sent.
    #[serde(default)]
    #[schema(value_type = String, example = "pass")]
    pub video: Video,
    /// Maximum bit rate of encoded video, in kbit/s, 50-50000; by default it depends on the size.
    /// The rate is reduced if the path carries less.
    #[serde(default)]
    pub video_kbps: Option<u32>,
    /// Maximum bandwidth of the trunk, in kbit/s on the wire, at least 8. By default the capacity
    /// of the path.
    #[serde(default)]
    pub max_kbps: Option<u32>,
    /// Whether voice uses AIC-A if both ends have it: `true`, `false`, or a share of sessions such
    /// as `0.5`, to compare it with Opus in metrics.
    #[serde(default)]
    #[schema(value_type = serde_json::Value, example = true)]
    pub aic: Share,
    /// How long audio may wait for its packet, in ms, 20-60. Higher values save headers.
    #[serde(default = "default_delay_ms")]
    pub delay_ms: u32,
    /// Path of a PEM file with the certificates that must have signed the endpoint's, instead of
    /// the system's trusted ones.
    #[serde(default)]
    pub ca: Option<String>,
}

fn default_delay_ms() -> u32 {
    DELAY_MAX_MS
}

/// How video is sent on a trunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Video {
    /// Passed through if the other end accepts it, else encoded.
    #[default]
    Pass,
    /// Not sent.
    Off,
    /// Encoded for the trunk, at a bit rate that follows the path.
    Encode(Codec),
}

impl Video {
    /// Codecs for encoded video on a trunk.
    pub const ENCODED: [Codec; 4] = [Codec::H264, Codec::Vp8, Codec::Vp9, Codec::Av1];
}

impl fmt::Display for Video {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass => f.write_str("pass"),
            Self::Off => f.write_str("off"),
            Self::Encode(codec) => codec.fmt(f),
        }
    }
}

impl Serialize for Video {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Video {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let encoded = || text.parse().ok().filter(|c| Self::ENCODED.contains(c));
        match text.as_str() {
            "pass" => Ok(Self::Pass),
            "off" => Ok(Self::Off),
            _ => encoded().map(Self::Encode).ok_or_else(|| {
                de::Error::custom(format!("`{text}` is not one of pass off h264 vp8 vp9 av1"))
            }),
        }
    }
}

/// A share of sessions, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share(u16);

impl Default for Share {
    /// All sessions.
    fn default() -> Self {
        Self(1000)
    }
}

impl Share {
    /// Whether a session belongs to the share, by a random number in 0.0-1.0.
    pub fn has(self, chance: f64) -> bool {
        chance * 1000.0 < f64::from(self.0)
    }

    /// Whether the share is zero.
    pub fn is_none(self) -> bool {
        self.0 == 0
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            0 => serializer.serialize_bool(false),
            1000 => serializer.serialize_bool(true),
            thousandths => serializer.serialize_f64(f64::from(thousandths) / 1000.0),
        }
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Switch(bool),
            Part(f64),
        }
        match Written::deserialize(deserializer) {
            Ok(Written::Switch(on)) => Ok(Self(if on { 1000 } else { 0 })),
            Ok(Written::Part(part)) if (0.0..=1.0).contains(&part) => {
                Ok(Self((part * 1000.0).round() as u16))
            }
            _ => Err(de::Error::custom("`aic` is true, false or a share of 0.0-1.0")),
        }
    }
}

impl Settings {
    /// A trunk to this endpoint with default settings.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            token: None,
            video: Video::default(),
            video_kbps: None,
            max_kbps: None,
            aic: Share::default(),
            delay_ms: default_delay_ms(),
            ca: None,
        }
    }

    /// The first invalid setting other than the URL, as `(field, reason)`.
    pub fn problem(&self) -> Option<(&'static str, String)> {
        let headers = self.token.as_deref().unwrap_or_default();
        if !headers.bytes().all(|b| b.is_ascii_graphic()) || headers.len() > 1024 {
            return Some(("token", "at most 1024 printable ASCII characters".into()));
        }
        if self.video_kbps.is_some_and(|kbps| !VIDEO_KBPS.contains(&kbps)) {
            let (min, max) = VIDEO_KBPS.into_inner();
            return Some(("video_kbps", format!("{min}-{max} kbit/s")));
        }
        if self.max_kbps.is_some_and(|kbps| kbps < MAX_KBPS_MIN) {
            return Some(("max_kbps", format!("at least {MAX_KBPS_MIN} kbit/s")));
        }
        if !(20..=DELAY_MAX_MS).contains(&self.delay_ms) {
            return Some(("delay_ms", format!("20-{DELAY_MAX_MS} ms")));
        }
        None
    }
}

impl fmt::Debug for Settings {
    /// Omits the URL, which may contain a key, and the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("trunk::Settings")
            .field("video", &self.video)
            .field("video_kbps", &self.video_kbps)
            .field("aic", &self.aic)
            .field("delay_ms", &self.delay_ms)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_written_alike() {
        let check = |json: &str, expect: &str| {
            let written = match serde_json::from_str::<Settings>(json) {
                Ok(settings) => settings.problem().map_or_else(
                    || format!("{} {}", settings.video, serde_json::json!(settings.aic)),
                    |(field, what)| format!("{field}: {what}"),
                ),
                Err(error) => error.to_string(),
            };
            assert!(written.starts_with(expect), "{json}: {written}");
        };
        check(r#"{"url":"https://b/whip/x"}"#, "pass true");
        check(r#"{"url":"u","video":"vp8","aic":0.25}"#, "vp8 0.25");
        check(r#"{"url":"u","video":"off","aic":false}"#, "off false");
        check(r#"{"url":"u","video":"aac"}"#, "`aac` is not one of pass off");
        check(r#"{"url":"u","aic":2}"#, "`aic` is true, false");
        check(r#"{"url":"u","aic":"yes"}"#, "`aic` is true, false");
        check(r#"{"url":"u","video_kbps":1}"#, "video_kbps: 50-50000");
        check(r#"{"url":"u","delay_ms":500}"#, "delay_ms: 20-60 ms");
        check(r#"{"url":"u","token":"a\nb"}"#, "token: at most");
    }

    #[test]
    fn nothing_secret_is_shown() {
        let mut settings = Settings::new("https://user:pass@host/whip/KEY");
        settings.token = Some("hunter2".into());
        let shown = format!("{settings:?}");
        assert!(!shown.contains("KEY") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn a_share_is_a_share() {
        let half: Share = serde_json::from_str("0.5").expect("a share");
        assert!(half.has(0.49) && !half.has(0.51));
        assert!(Share::default().has(0.999));
        let none: Share = serde_json::from_str("false").expect("a share");
        assert!(!none.has(0.0) && none.is_none());
    }
}
