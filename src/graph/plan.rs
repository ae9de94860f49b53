//! What a plan is made of, and what it is made from.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::media::{Accepts, Codec, Format, Kind, Language};

/// Everything a plan depends on.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// The stream's pictures, when it has any.
    pub video: Option<Format>,
    /// The stream's sound, when it has any.
    pub audio: Option<Format>,
    /// Whether sound passes noise suppression.
    pub denoise: bool,
    /// What is made of the words that are said, when anything is.
    pub words: Option<Words>,
    /// Who consumes.
    pub wants: Vec<Want>,
    /// The encoder to use for each codec that this machine can encode.
    pub encoders: BTreeMap<Codec, String>,
}

/// What is made of the words of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// The language that is spoken; `None` when it is to be detected.
    pub language: Option<Language>,
    /// Nobody listens: captions are pushed from outside, also where there is no sound.
    pub pushed: bool,
    /// Captions in these languages too.
    pub translate: Vec<Language>,
    /// Sound in these languages too, for who wants it; each has captions.
    pub dub: Vec<Language>,
    /// Captions in these languages go into pictures that can carry them; `None` is the original.
    pub embed: Vec<Option<Language>>,
}

impl Words {
    /// The feed of captions in the language that is spoken.
    pub fn original(&self) -> String {
        self.language.as_ref().map_or_else(|| "captions.auto".into(), captions_feed)
    }

    /// The languages that are translated to: the spoken one needs no translation.
    pub(super) fn translations(&self) -> impl Iterator<Item = &Language> {
        self.translate.iter().filter(|to| self.language.as_ref() != Some(to))
    }

    /// Every feed of captions, the original first.
    pub(super) fn feeds(&self) -> Vec<String> {
        let translated = self.translations().map(captions_feed);
        std::iter::once(self.original()).chain(translated).collect()
    }

    /// The feed of captions in a language; the original where there is no translation.
    pub(super) fn feed(&self, language: Option<&Language>) -> String {
        let translated = self.translations().find(|l| Some(*l) == language);
        translated.map_or_else(|| self.original(), captions_feed)
    }
}

pub(super) fn captions_feed(language: &Language) -> String {
    format!("captions.{language}")
}

/// One consumer, as the plan sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    /// Its name: `record`, `push.youtube`, `whep.3` …
    pub id: String,
    /// What it can take.
    pub accepts: Accepts,
}

/// What a process node does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum Op {
    /// Compressed to raw.
    Decode,
    /// Noise suppression of raw sound.
    Denoise,
    /// Raw to compressed.
    Encode {
        /// Into this codec.
        codec: Codec,
        /// By this GStreamer element.
        encoder: String,
    },
    /// Sound to captions; without sound the place of those that are pushed.
    Transcribe,
    /// Captions to captions in this language.
    Translate {
        /// The language.
        to: Language,
    },
    /// Captions to sound, over the original.
    Speak {
        /// The language.
        language: Language,
    },
    /// Captions into pictures.
    Embed,
}

/// What kind of feed a node fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fills {
    /// A feed of pictures or sound.
    Media(Kind),
    /// A feed of cues.
    Captions,
}

/// One process node between feeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlanNode {
    /// Unique within the stream: `decode.audio`, `denoise`, `encode.video.h264`.
    pub name: String,
    /// What it does.
    pub op: Op,
    /// The feeds that it takes, its media first.
    pub inputs: Vec<String>,
    /// The feed that it fills.
    pub output: String,
    /// Why it is there: the consumer and its objection.
    pub why: String,
}

/// Which feeds a consumer gets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Route {
    /// Feed of pictures.
    pub video: Option<String>,
    /// Feed of sound.
    pub audio: Option<String>,
    /// Feeds of captions, the original language first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub captions: Vec<String>,
    /// Feeds of sound in other languages.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dubs: Vec<(Language, String)>,
    /// What the consumer could take and does not get, and why.
    pub problems: Vec<String>,
}

impl Route {
    /// Whether there is nothing to see, to hear or to read.
    pub fn is_empty(&self) -> bool {
        self.feeds().next().is_none()
    }

    /// Whether both have the same feeds of pictures and sound. Captions come and go beside them
    /// without anybody starting again.
    pub fn same_media(&self, other: &Route) -> bool {
        (&self.video, &self.audio, &self.dubs) == (&other.video, &other.audio, &other.dubs)
    }

    /// Every feed in it.
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

/// Process nodes in the order media flows, and the feeds of every consumer.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Plan {
    /// Process nodes.
    pub nodes: Vec<PlanNode>,
    /// Feeds of each consumer, by its id.
    pub routes: BTreeMap<String, Route>,
}

impl Op {
    /// What a node that does this fills, when its first input is of this kind.
    pub fn fills(&self, input: Kind) -> Fills {
        match self {
            Self::Transcribe | Self::Translate { .. } => Fills::Captions,
            Self::Speak { .. } => Fills::Media(Kind::Audio),
            Self::Decode | Self::Denoise | Self::Encode { .. } | Self::Embed => Fills::Media(input),
        }
    }
}
