//! Captions as JSON messages, shared by the WHEP data channel, server-sent events and WebSockets.

mod backlog;
mod channel;
mod message;
mod reader;
#[cfg(test)]
mod tests;

pub(crate) use backlog::Backlog;
pub(crate) use channel::{TextChannel, serve};
pub use message::{CueMessage, Hello, HelloLanguage, Message, WordMessage};
pub use reader::{Reader, Selection};

/// Label of the data channel that a player opens.
pub(crate) const LABEL: &str = "captions";
