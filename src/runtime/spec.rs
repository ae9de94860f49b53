//! What the admin wants of a stream, as written in the API, the configuration and the store.

use serde::{Deserialize, Serialize};

use super::Error;
use crate::egress::OutputKind;
use crate::egress::segments::{DVR_MAX_S, DVR_MIN_S};
use crate::ingress::SourceSpec;
use crate::ingress::relay::StreamSource;
use crate::media::{Rung, StreamName, TrackChoice, passphrase_length_problem};
use crate::process::{captions, denoise};

/// The wanted state of a stream.
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
    /// Replaces the source while it is gone. The source takes over again when it returns.
    #[serde(default)]
    pub backup: Option<SourceSpec>,
    /// Which program and tracks are taken from a source that has several.
    #[serde(default)]
    pub tracks: TrackChoice,
    /// What happens to a second publisher with this name.
    #[serde(default)]
    pub on_conflict: Conflict,
    /// How long viewers stay connected without a publisher, in seconds.
    #[serde(default = "default_linger_s")]
    pub linger_s: u32,
    /// Noise suppression; replaces the preset's settings.
    #[serde(default)]
    pub denoise: Option<denoise::Settings>,
    /// Captions, translations and voices; replaces the preset's settings.
    #[serde(default)]
    pub captions: Option<captions::Settings>,
    /// Qualities below the source that viewers may choose, each encoded while one does; replaces the
    /// preset's ladder.
    #[serde(default)]
    pub ladder: Option<Vec<Rung>>,
    /// How far back viewers by HLS and DASH may go, in seconds, 10-21600; 0 is the live window alone.
    /// Segments are then always made, and kept on disk for that time.
    #[serde(default)]
    pub dvr_s: u32,
    /// Outputs in addition to those of the preset.
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
    /// A stream with default values.
    pub fn new(name: StreamName) -> Self {
        Self {
            name,
            preset: default_preset(),
            source: SourceSpec::default(),
            backup: None,
            tracks: TrackChoice::default(),
            on_conflict: Conflict::default(),
            linger_s: default_linger_s(),
            denoise: None,
            captions: None,
            ladder: None,
            dvr_s: 0,
            outputs: Vec::new(),
            access: Access::default(),
        }
    }
}

/// What happens to a second publisher.
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
    /// Whether it runs. A stopped output stays in the list.
    #[serde(default = "enabled")]
    pub enabled: bool,
    /// Kind of the output and its settings.
    #[serde(flatten)]
    pub kind: OutputKind,
}

fn enabled() -> bool {
    true
}

/// Who may publish and play a stream. Missing tokens are generated when the stream is created. A
/// `PUT` without a token keeps it; a `PATCH` with `null` generates a new one. Any other field that
/// a `PUT` omits, or that is `null` in a `PATCH`, is removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Access {
    /// Stream key or bearer token of publishers.
    pub publish_token: Option<String>,
    /// Token of viewers.
    pub play_token: Option<String>,
    /// Passphrase that SRT publishers and players must use, 10-79 characters.
    pub srt_passphrase: Option<String>,
    /// Publishing needs no token. Must be set explicitly.
    pub open_publish: bool,
    /// Playing needs no token.
    pub open_play: bool,
}

impl StreamSpec {
    /// Checks the spec on its own, without its preset.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the path of the first wrong field.
    pub fn validate(&self) -> Result<(), Error> {
        validate_source("source", &self.source)?;
        if let Some(backup) = &self.backup {
            validate_source("backup", backup)?;
        }
        let itself = SourceSpec::Stream(StreamSource::new(self.name.clone()));
        if self.source == itself || self.backup.as_ref() == Some(&itself) {
            return Err(invalid("source", "a stream cannot be its own source"));
        }
        if let Some((field, what)) = self.tracks.problem() {
            return Err(invalid(&format!("tracks.{field}"), what));
        }
        if self.linger_s > LINGER_MAX_S {
            return Err(invalid("linger_s", format!("at most {LINGER_MAX_S} seconds")));
        }
        if let Some(settings) = &self.denoise {
            validate_denoise(settings)?;
        }
        if let Some(settings) = &self.captions {
            let invalid = |(field, message)| Error::Invalid { field, message };
            settings.validate("captions.").map_err(invalid)?;
        }
        let wrong = self.ladder.as_deref().and_then(Rung::problem);
        if let Some((index, field, problem)) = wrong {
            return Err(invalid(&format!("ladder[{index}].{field}"), problem));
        }
        if self.dvr_s != 0 && !(DVR_MIN_S..=DVR_MAX_S).contains(&self.dvr_s) {
            let message = format!(
                "0 for no DVR window, or {DVR_MIN_S}-{DVR_MAX_S} seconds, which is six hours"
            );
            return Err(invalid("dvr_s", message));
        }
        if self.outputs.len() > OUTPUTS_MAX {
            return Err(invalid("outputs", format!("at most {OUTPUTS_MAX}")));
        }
        for (index, output) in self.outputs.iter().enumerate() {
            output
                .kind
                .check()
                .map_err(|e| invalid(&format!("outputs[{index}].{}", e.field), e.message))?;
            if self.outputs[..index].iter().any(|other| other.id == output.id) {
                let message = format!("`{}` is there twice", output.id);
                return Err(invalid(&format!("outputs[{index}].id"), message));
            }
        }
        match &self.access.srt_passphrase {
            Some(passphrase) => validate_passphrase("access.srt_passphrase", passphrase),
            None => Ok(()),
        }
    }
}

/// Maximum linger: one day.
const LINGER_MAX_S: u32 = 86_400;

/// Maximum number of outputs of one stream.
pub(super) const OUTPUTS_MAX: usize = 64;

fn invalid(field: &str, message: impl Into<String>) -> Error {
    Error::Invalid { field: field.to_owned(), message: message.into() }
}

fn validate_passphrase(field: &str, passphrase: &str) -> Result<(), Error> {
    passphrase_length_problem(passphrase).map_or(Ok(()), |problem| Err(invalid(field, problem)))
}

fn validate_denoise(settings: &denoise::Settings) -> Result<(), Error> {
    if !(0.0..=1.0).contains(&settings.mix) {
        return Err(invalid("denoise.mix", "0.0-1.0"));
    }
    if !(0.0..=100.0).contains(&settings.max_attenuation_db) {
        return Err(invalid("denoise.max_attenuation_db", "0-100 dB"));
    }
    Ok(())
}

fn validate_source(field: &str, source: &SourceSpec) -> Result<(), Error> {
    source.check().map_err(|e| invalid(&format!("{field}.{}", e.field), e.message))
}

impl StreamSpec {
    /// Whether the stream comes from an origin of the cluster.
    pub fn is_from_origin(&self) -> bool {
        matches!(self.source, SourceSpec::Origin(_))
    }

    /// Whether its start opens files named by the admin; such a read may hang.
    pub fn reads_files(&self) -> bool {
        let sources = [Some(&self.source), self.backup.as_ref()];
        sources.into_iter().flatten().any(SourceSpec::reads_files)
            || self.outputs.iter().any(|output| output.enabled && output.kind.reads_files())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::push::PushOutput;
    use crate::egress::trunk;

    fn check(json: &str, expect: &str) {
        let spec: StreamSpec = serde_json::from_str(json).expect("reads");
        let outcome = spec.validate().map_or_else(|e| e.to_string(), |()| "ok".into());
        assert_eq!(outcome, expect);
    }

    #[test]
    fn wrong_fields_are_named_by_their_path() {
        check(r#"{"name":"a"}"#, "ok");
        check(
            r#"{"name":"a","source":{"type":"rtsp","url":"http://x/"}}"#,
            "`source.url`: it has to begin with rtsp:// or rtsps://",
        );
        check(
            r#"{"name":"a","outputs":[{"id":"x","type":"push","url":"rtmp://h/a/k"},
                {"id":"x","type":"push","url":"srt://h:1"}]}"#,
            "`outputs[1].id`: `x` is there twice",
        );
        check(
            r#"{"name":"a","access":{"srt_passphrase":"short"}}"#,
            "`access.srt_passphrase`: an SRT passphrase has 10-79 characters",
        );
        check(
            r#"{"name":"a","source":{"type":"stream","name":"a"}}"#,
            "`source`: a stream cannot be its own source",
        );
        check(r#"{"name":"a","tracks":{"program":0}}"#, "`tracks.program`: 1-65535");
        check(r#"{"name":"a","denoise":{"mix":2.0}}"#, "`denoise.mix`: 0.0-1.0");
        for (seconds, expect) in [(0, "ok"), (10, "ok"), (21_600, "ok"), (9, "no"), (21_601, "no")]
        {
            let expect = match expect {
                "no" => "`dvr_s`: 0 for no DVR window, or 10-21600 seconds, which is six hours",
                ok => ok,
            };
            check(&format!(r#"{{"name":"a","dvr_s":{seconds}}}"#), expect);
        }
    }

    #[test]
    fn keys_in_urls_are_not_shown() {
        let push = OutputKind::Push(PushOutput::new("rtmp://u:p@host:1936/live/KEY?x=KEY"));
        assert_eq!(push.shown(), "rtmp://host:1936");
        assert_eq!(push.settings(), serde_json::json!({}));
        let mut settings = trunk::Settings::new("https://u:p@host/whip/KEY");
        settings.token = Some("KEY".into());
        let trunk = OutputKind::Trunk(settings).settings();
        let names: Vec<&String> = trunk.as_object().expect("fields").keys().collect();
        assert_eq!(names, ["aic", "ca", "delay_ms", "max_kbps", "video", "video_kbps"]);
    }

    #[test]
    fn fuzz_stream_spec() {
        crate::fuzz::run("stream-spec", |bytes| {
            let Ok(spec) = serde_json::from_slice::<StreamSpec>(bytes) else { return };
            if spec.validate().is_ok() {
                let again = serde_json::to_vec(&spec).expect("it is written");
                assert_eq!(serde_json::from_slice::<StreamSpec>(&again).ok(), Some(spec));
            }
        });
    }
}
