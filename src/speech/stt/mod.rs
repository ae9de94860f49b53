//! Speech-to-text: from audio to cues.
//!
//! ```text
//! audio ─▶ ring ─▶ voice activity, gate ─▶ window ─▶ engine ─▶ guard ─▶ agreement ─▶ phrases ─▶ cues
//!          bounded                          ≤ 12 s    (child)   phantoms  what is final
//! ```
//!
//! A stream has a [`Transcriber`]: a thread that owns all of this. Engines are shared
//! ([`Engines`]); those that may abort run in child processes ([`crate::speech::engine`]). When the
//! engine of a stream fails or lags, the next in order of preference gets the audio since the last
//! committed word again, so that no word is lost or repeated.
//!
//! To add another provider (Deepgram, Speechmatics …), implement [`Engine`]; their GStreamer
//! elements need GStreamer 1.24 or later.
//!
//! Invariant: committed words never change and are never repeated; audio never waits.

mod agreement;
mod config;
mod engines;
mod guard;
mod lineup;
pub mod moonshine;
pub mod openai;
mod phrases;
mod pool;
mod recognizer;
pub mod sphinx;
mod tokens;
mod transcriber;
pub mod whisper;
mod wire;

pub use agreement::{Agreement, Decision, Pace};
pub use config::{Config, ENGINES, Vad};
pub use engines::{Choice, Engines, Models, Wanted};
pub use guard::{Evidence, believe, dbfs};
pub use phrases::{Phrases, join, spaced};
pub use pool::{Limits, PoolStats};
pub use recognizer::{Engine, Error, Hypothesis, Recognition, Session, Window};
pub use transcriber::{Event, Options, Stats, Status, Transcriber};
