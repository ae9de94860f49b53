//! Shared types: names, codecs, formats, languages, cues, time and secrets.
//!
//! Invariant: depends on no other room and never touches GStreamer.

mod accept;
mod backoff;
mod codec;
mod cue;
mod language;
mod lock;
mod memory;
mod name;
mod offered;
mod pace;
mod protocol;
mod rung;
mod secret;
mod setting;
mod time;
mod track_choice;
mod url;

pub use accept::{Accept, Accepts, Captions, Dubs};
pub use backoff::Backoff;
pub use codec::{AudioDetail, Codec, Format, H264Profile, Kind, VideoDetail};
pub use cue::{Cue, Origin, Stage, Word};
pub use language::{Language, LanguageError};
pub use lock::IgnorePoison;
pub use memory::Memory;
pub use name::{NameError, StreamName};
pub use offered::{Offered, Picked};
pub use pace::Pace;
pub use protocol::Protocol;
pub use rung::{Ladder, Quality, Rung, SENT_LAYERS_MAX};
pub use secret::{
    Secret, fits_address, new_token, passphrase_length_problem, passphrase_problem, token_problem,
};
pub use setting::InvalidSetting;
pub use time::Timeline;
pub use track_choice::TrackChoice;
pub use url::{url_problem, url_without_secrets};
