//! The registry of process nodes: one line for each kind.

use futures::FutureExt;
use futures::future::BoxFuture;

use super::node::{CaptionsContext, CaptionsNode, MediaContext, MediaNode, Services};
use super::{captions, decode, denoise, encode, speak, transcribe, transfer, translate};
use crate::flow::{CueFeed, Error, Feed, Inputs, Task};

/// The feeds of a node, as its stream has them now.
pub struct NodeFeeds {
    /// Its task.
    pub task: Task,
    /// Video or audio that it reads.
    pub inputs: Inputs,
    /// Caption feeds that it reads.
    pub captions: Vec<CueFeed>,
    /// The feed of video or audio that it fills.
    pub media_output: Option<Feed>,
    /// The feed of captions that it fills.
    pub captions_output: Option<CueFeed>,
    /// Engines and settings.
    pub services: Services,
}

impl NodeFeeds {
    fn media(self) -> Option<MediaContext> {
        let Self { task, inputs, captions, media_output, services, .. } = self;
        let input = inputs.video.or(inputs.audio)?;
        Some(MediaContext { task, input, output: media_output?.sole_writer(), captions, services })
    }

    fn captions(self) -> Option<CaptionsContext> {
        let Self { task, inputs, captions, captions_output, services, .. } = self;
        let (audio, output) = (inputs.audio, captions_output?);
        Some(CaptionsContext { task, audio, captions, output, services })
    }
}

macro_rules! nodes {
    (
        media { $($(#[doc = $media_doc:literal])+ $media:ident($media_kind:ty),)+ }
        captions { $($(#[doc = $captions_doc:literal])+ $captions:ident($captions_kind:ty),)+ }
    ) => {
        /// A process node with its settings.
        #[derive(Clone, Debug, PartialEq)]
        pub enum ProcessNode {
            $($(#[doc = $media_doc])+ $media($media_kind),)+
            $($(#[doc = $captions_doc])+ $captions($captions_kind),)+
        }

        impl ProcessNode {
            /// What it does, for the admin.
            pub fn describe(&self) -> String {
                match self {
                    $(Self::$media(node) => MediaNode::describe(node),)+
                    $(Self::$captions(node) => CaptionsNode::describe(node),)+
                }
            }

            /// Whether it fills a feed of captions.
            pub fn makes_captions(&self) -> bool {
                match self {
                    $(Self::$media(_) => false,)+
                    $(Self::$captions(_) => true,)+
                }
            }

            /// Its run. `None` as long as a feed that it needs is not there.
            pub fn start(self, feeds: NodeFeeds) -> Option<BoxFuture<'static, Result<(), Error>>> {
                Some(match self {
                    $(Self::$media(node) => MediaNode::run(node, feeds.media()?).boxed(),)+
                    $(Self::$captions(node) => CaptionsNode::run(node, feeds.captions()?).boxed(),)+
                })
            }
        }
    };
}

nodes! {
    media {
        /// Decodes compressed media to raw media.
        Decode(decode::Decode),
        /// Suppresses noise in raw audio.
        Denoise(denoise::Denoise),
        /// Encodes raw media.
        Encode(encode::Encode),
        /// Copies frames of raw video to another memory.
        Transfer(transfer::Transfer),
        /// Embeds captions in video.
        Embed(captions::Embed),
        /// Speaks captions over the original audio.
        Speak(speak::Settings),
    }
    captions {
        /// Audio to captions.
        Transcribe(transcribe::Settings),
        /// Captions to captions in another language.
        Translate(translate::Settings),
    }
}
