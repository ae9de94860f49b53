//! Types of a plan and of its input.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::media::{Accept, Accepts, Codec, Format, Kind, Language, Memory, Rung};

/// The complete input of a plan.
#[derive(Clone, Debug, Default)]
pub struct PlanInput {
    /// Format of the stream's video, if it has any.
    pub video: Option<Format>,
    /// Layers of the video below that.
    pub layers: Vec<PlanLayer>,
    /// Format of the stream's audio, if it has any.
    pub audio: Option<Format>,
    /// Whether audio passes noise suppression.
    pub denoise: bool,
    /// What is made of the stream's speech; `None` if nothing is.
    pub words: Option<Words>,
    /// The consumers.
    pub wants: Vec<PlanConsumer>,
    /// The encoder for each codec that this machine can encode.
    pub encoders: BTreeMap<Codec, String>,
    /// Whether this machine can copy frames to and from CUDA memory.
    pub cuda: bool,
}

impl PlanInput {
    /// The layer that is the wanted rung, if the consumer accepts its format.
    pub(super) fn layer(&self, accept: &Accept) -> Option<&PlanLayer> {
        let rung = accept.rung.filter(|_| accept.layers)?;
        let layer = self.layers.iter().find(|layer| layer.rung.height == rung.height)?;
        let in_its_size = Accept { rung: None, ..accept.clone() };
        in_its_size.objection(&layer.format).is_none().then_some(layer)
    }
}

/// What is made of a stream's speech.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// The spoken language; `None` if it is detected.
    pub language: Option<Language>,
    /// Captions are only pushed from outside, also to a stream without audio.
    pub pushed: bool,
    /// Languages of translated captions.
    pub translate: Vec<Language>,
    /// Languages of dubbed audio, for consumers that want it; each has captions.
    pub dub: Vec<Language>,
    /// Languages of captions embedded in video that can carry them; `None` is the original.
    pub embed: Vec<Option<Language>>,
}

impl Words {
    /// The feed of captions in the spoken language.
    pub fn original(&self) -> String {
        self.language.as_ref().map_or_else(|| "captions.auto".into(), captions_feed)
    }

    /// The target languages of translation: the spoken language needs none.
    pub(super) fn translations(&self) -> impl Iterator<Item = &Language> {
        self.translate.iter().filter(|to| self.language.as_ref() != Some(to))
    }

    /// All feeds of captions, the original first.
    pub(super) fn feeds(&self) -> Vec<String> {
        let translated = self.translations().map(captions_feed);
        std::iter::once(self.original()).chain(translated).collect()
    }

    /// The feed of captions in a language; the original if there is no translation.
    pub(super) fn feed(&self, language: Option<&Language>) -> String {
        let translated = self.translations().find(|l| Some(*l) == language);
        translated.map_or_else(|| self.original(), captions_feed)
    }
}

pub(super) fn captions_feed(language: &Language) -> String {
    format!("captions.{language}")
}

/// A consumer in the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanConsumer {
    /// Its name: `record`, `push.youtube`, `whep.3` …
    pub id: String,
    /// What it accepts.
    pub accepts: Accepts,
}

/// A layer of the publisher's video: one of the sizes in which it sends its picture.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanLayer {
    /// Its feed.
    pub feed: String,
    /// The rung that it is.
    pub rung: Rung,
    /// Its format.
    pub format: Format,
}

/// What a process node does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum Op {
    /// Decodes compressed media.
    Decode,
    /// Suppresses noise in raw audio.
    Denoise,
    /// Encodes raw media.
    Encode {
        /// Target codec.
        codec: Codec,
        /// GStreamer element of the encoder.
        encoder: String,
        /// The rung of the ladder; `None` keeps the size.
        #[serde(skip_serializing_if = "Option::is_none")]
        rung: Option<Rung>,
    },
    /// Copies frames of raw video to another memory.
    Transfer {
        /// Where they lie then.
        to: Memory,
    },
    /// Transcribes audio to captions; without audio it stands in for pushed captions.
    Transcribe,
    /// Translates captions.
    Translate {
        /// Target language.
        to: Language,
    },
    /// Speaks captions over the original audio.
    Speak {
        /// Language of the voice.
        language: Language,
    },
    /// Embeds captions in video.
    Embed,
}

/// The kind of feed that a node fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeOutput {
    /// A feed of video or audio.
    Media(Kind),
    /// A feed of cues.
    Captions,
}

/// A process node between feeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlanNode {
    /// Unique within the stream: `decode.audio`, `denoise`, `encode.video.h264`.
    pub name: String,
    /// Its operation.
    pub op: Op,
    /// The feeds that it consumes, media first.
    pub inputs: Vec<String>,
    /// The feed that it fills.
    pub output: String,
    /// Why it exists: the consumer and its objection.
    pub why: String,
}

/// The feeds of a consumer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Route {
    /// Feed of video.
    pub video: Option<String>,
    /// Feed of audio.
    pub audio: Option<String>,
    /// Feeds of captions, the original language first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub captions: Vec<String>,
    /// Feeds of audio in other languages.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dubs: Vec<(Language, String)>,
    /// What the consumer could take and does not get, with the reasons.
    pub problems: Vec<String>,
}

impl Route {
    /// Whether it has no feed at all.
    pub fn is_empty(&self) -> bool {
        self.feeds().next().is_none()
    }

    /// Whether both have the same feeds of video and audio. Captions may change without a restart
    /// of the consumer.
    pub fn same_media(&self, other: &Route) -> bool {
        (&self.video, &self.audio, &self.dubs) == (&other.video, &other.audio, &other.dubs)
    }

    /// All feeds of the route.
    pub fn feeds(&self) -> impl Iterator<Item = &String> {
        let media = [&self.video, &self.audio].into_iter().flatten();
        media.chain(&self.captions).chain(self.dubs.iter().map(|(_, feed)| feed))
    }

    /// The feed of a kind.
    pub fn of(&self, kind: Kind) -> Option<&String> {
        match kind {
            Kind::Video => self.video.as_ref(),
            Kind::Audio => self.audio.as_ref(),
        }
    }
}

/// Process nodes in the order in which media flows, and the feeds of every consumer.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Plan {
    /// Process nodes.
    pub nodes: Vec<PlanNode>,
    /// Feeds of each consumer, by its id.
    pub routes: BTreeMap<String, Route>,
}

impl Op {
    /// The kind of feed that a node with this operation fills, if its first input is of kind
    /// `input`.
    pub fn fills(&self, input: Kind) -> NodeOutput {
        match self {
            Self::Transcribe | Self::Translate { .. } => NodeOutput::Captions,
            Self::Speak { .. } => NodeOutput::Media(Kind::Audio),
            Self::Decode
            | Self::Denoise
            | Self::Encode { .. }
            | Self::Transfer { .. }
            | Self::Embed => NodeOutput::Media(input),
        }
    }
}
