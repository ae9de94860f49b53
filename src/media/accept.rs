//! Formats that a consumer accepts.

use serde::{Deserialize, Serialize};

use super::{Codec, Format, H264Profile, Kind, Language, Memory, Rung};

/// What a consumer accepts of one kind of media, best first. Other formats are decoded and encoded
/// for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accept {
    /// Codecs, in the order of preference for encoding. A source in any listed codec passes through
    /// unchanged.
    pub codecs: Vec<Codec>,
    /// Whether frames may be reordered (B-frames).
    pub reorders: bool,
    /// Whether decoding may begin at recovery points: without an IDR picture browsers show nothing.
    #[serde(default)]
    pub recovery_points: bool,
    /// H.264 profiles that may pass through; empty means all.
    #[serde(default)]
    pub h264_profiles: Vec<H264Profile>,
    /// Where raw frames may lie, best first. Frames that lie elsewhere are copied to the first.
    #[serde(default = "system_memory")]
    pub memories: Vec<Memory>,
    /// The rung of the ladder that is wanted: larger pictures are encoded anew.
    #[serde(default)]
    pub rung: Option<Rung>,
    /// Whether a layer of the publisher may be that rung. Key frames of layers are not aligned: players
    /// could not change between segments of them.
    #[serde(default)]
    pub layers: bool,
}

fn system_memory() -> Vec<Memory> {
    vec![Memory::System]
}

impl Accept {
    /// Accepts these codecs in any form, raw frames in system memory.
    pub fn any_of(codecs: impl Into<Vec<Codec>>) -> Self {
        Self {
            codecs: codecs.into(),
            reorders: true,
            recovery_points: true,
            h264_profiles: Vec::new(),
            memories: system_memory(),
            rung: None,
            layers: false,
        }
    }

    /// Why a format cannot pass through; `None` if it can.
    pub fn objection(&self, format: &Format) -> Option<String> {
        if !self.codecs.contains(&format.codec) {
            return Some(format!("{} is not accepted", format.codec));
        }
        if format.codec.is_raw() && !self.memories.contains(&format.memory) {
            return Some(format!("{} in {} is not accepted", format.codec, format.memory));
        }
        if let Some(rung) = self.rung.filter(|rung| rung.is_below(&format.video)) {
            return Some(format!("{rung} is wanted"));
        }
        if format.video.reorders && !self.reorders {
            return Some(format!("{} with B-frames is not accepted", format.codec));
        }
        if format.video.recovery_points && !self.recovery_points {
            return Some(format!("{} without IDR pictures is not accepted", format.codec));
        }
        let profile = format.video.profile.filter(|_| !self.h264_profiles.is_empty());
        match profile {
            Some(p) if !self.h264_profiles.contains(&p) => {
                Some(format!("H.264 profile {p:?} is not accepted"))
            }
            _ => None,
        }
    }
}

/// What a consumer accepts of each kind; `None` if it does not use that kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepts {
    /// Video.
    pub video: Option<Accept>,
    /// Audio.
    pub audio: Option<Accept>,
    /// Captions.
    #[serde(default)]
    pub captions: Captions,
    /// Audio in other languages.
    #[serde(default)]
    pub dubs: Dubs,
}

/// How a consumer accepts captions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Captions {
    /// As text beside the media.
    pub text: bool,
    /// Embedded in video (CEA-608/708 in the SEI of H.264 and H.265).
    pub embedded: bool,
}

/// Which languages a consumer wants the audio in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dubs {
    /// The original.
    #[default]
    None,
    /// One language instead of the original, if the stream has it.
    One(Language),
    /// The original and all other languages.
    All,
}

impl Accepts {
    /// Accepts these kinds of media, no captions, and the original audio.
    pub fn media(video: Option<Accept>, audio: Option<Accept>) -> Self {
        Self { video, audio, captions: Captions::default(), dubs: Dubs::None }
    }

    /// The same, with captions accepted this way.
    pub fn with_captions(mut self, captions: Captions) -> Self {
        self.captions = captions;
        self
    }

    /// The same, with audio in these languages.
    pub fn with_dubs(mut self, dubs: Dubs) -> Self {
        self.dubs = dubs;
        self
    }

    /// What is accepted of one kind.
    pub fn of(&self, kind: Kind) -> Option<&Accept> {
        match kind {
            Kind::Video => self.video.as_ref(),
            Kind::Audio => self.audio.as_ref(),
        }
    }
}
