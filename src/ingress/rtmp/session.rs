//! The RTMP commands before and around media (Adobe RTMP 1.0, section 7.2). Sans-IO: messages in,
//! events and bytes out.

use bytes::Bytes;

use super::amf::{self, Value};
use super::chunk::{self, Message};
use super::key::{APP, USAGE};
use super::tag;
use crate::media::Kind;

/// Bytes that a peer may send before it needs an acknowledgement.
const WINDOW_BYTES: u32 = 2_500_000;

/// Maximum number of message streams per connection; encoders create one.
const STREAMS_MAX: u32 = 8;

/// Maximum size of commands that are parsed, in bytes.
const COMMAND_BYTES_MAX: usize = 64 << 10;

/// A request or data of the client.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Event {
    /// The client asks to publish with this stream key. The answer is [`Session::accept`] or
    /// [`Session::refuse`].
    Publish {
        /// The key as entered by the publisher, token included.
        key: String,
    },
    /// A piece of audio or video.
    Media {
        /// Audio or video.
        kind: Kind,
        /// Decode time in milliseconds, wrapping at 2^32.
        timestamp: u32,
        /// Body of an FLV tag.
        payload: Bytes,
    },
    /// A message of a type that RTMP does not define.
    Unknown {
        /// The message type.
        kind: u8,
    },
    /// The client has stopped publishing.
    Unpublish,
    /// The client was refused with a message and must be disconnected.
    Refused(String),
}

/// Why a session cannot continue.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// A command that cannot be parsed.
    #[error("a command that cannot be read: {0}")]
    Command(#[from] amf::Error),
    /// A request to publish before `connect`.
    #[error("`{0}` before `connect`")]
    Order(String),
    /// More message streams than an encoder needs.
    #[error("over {STREAMS_MAX} message streams on one connection")]
    TooManyStreams,
}

/// The reason of a refusal, as a status code that encoders know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denial {
    /// The stream cannot be published now: unknown or taken.
    BadName,
    /// The credential is wrong or missing.
    Denied,
    /// Anything else.
    Rejected,
}

/// State of the session with one client.
#[derive(Default)]
pub(super) struct Session {
    connected: bool,
    streams: u32,
    /// The message stream that is published, once the client asked to publish.
    publishing: Option<u32>,
    received: u64,
    acknowledged: u64,
    window: Option<u32>,
    out: Vec<u8>,
}

impl Session {
    /// Pending bytes for the client; may be empty.
    pub(super) fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// Counts received bytes, which are acknowledged at intervals.
    pub(super) fn received(&mut self, count: usize) {
        self.received += count as u64;
        let window = self.window.unwrap_or(WINDOW_BYTES).max(1 << 16);
        if self.received - self.acknowledged >= u64::from(window) / 2 {
            self.acknowledged = self.received;
            // The counter wraps, as defined by RTMP.
            let low = (self.received & 0xffff_ffff) as u32;
            self.control(chunk::ACKNOWLEDGEMENT_MESSAGE_TYPE, &low.to_be_bytes());
        }
    }

    /// Handles one message.
    ///
    /// # Errors
    /// [`Error`]; the client must then be disconnected.
    pub(super) fn handle(
        &mut self,
        message: Message,
        events: &mut Vec<Event>,
    ) -> Result<(), Error> {
        let Message { kind, stream, timestamp, payload } = message;
        match kind {
            chunk::AUDIO_MESSAGE_TYPE => self.media(Kind::Audio, timestamp, payload, events),
            chunk::VIDEO_MESSAGE_TYPE => self.media(Kind::Video, timestamp, payload, events),
            chunk::AGGREGATE_MESSAGE_TYPE if self.publishing.is_some() => {
                for (kind, timestamp, payload) in tag::split_aggregate(timestamp, payload) {
                    match kind {
                        chunk::AUDIO_MESSAGE_TYPE => {
                            self.media(Kind::Audio, timestamp, payload, events)
                        }
                        chunk::VIDEO_MESSAGE_TYPE => {
                            self.media(Kind::Video, timestamp, payload, events)
                        }
                        _ => {}
                    }
                }
            }
            chunk::WINDOW_SIZE_MESSAGE_TYPE => {
                self.window = payload.first_chunk().map(|b| u32::from_be_bytes(*b));
            }
            chunk::USER_CONTROL_MESSAGE_TYPE => self.user_control(&payload),
            chunk::COMMAND_MESSAGE_TYPE | chunk::COMMAND_AMF3_MESSAGE_TYPE
                if payload.len() <= COMMAND_BYTES_MAX =>
            {
                let amf3 = usize::from(kind == chunk::COMMAND_AMF3_MESSAGE_TYPE);
                let values = amf::decode(payload.get(amf3..).unwrap_or_default())?;
                self.command(stream, &values, events)?;
            }
            // The media itself has all the information of the metadata.
            _ if chunk::is_known(kind) => {}
            _ if self.publishing.is_some() && tag::is_mpegts(&payload) => {
                let message = "what comes is MPEG-TS, and RTMP carries FLV: publish with \
                               `-f flv`, or send MPEG-TS by SRT";
                self.refuse(Denial::Rejected, message, events);
            }
            _ if self.publishing.is_some() => events.push(Event::Unknown { kind }),
            _ => {}
        }
        Ok(())
    }

    fn media(&self, kind: Kind, timestamp: u32, payload: Bytes, events: &mut Vec<Event>) {
        if self.publishing.is_some() {
            events.push(Event::Media { kind, timestamp, payload });
        }
    }

    /// Answers a ping. Other control messages are for players.
    fn user_control(&mut self, payload: &[u8]) {
        if let Some(&[0, 6, a, b, c, d]) = payload.get(..6) {
            self.control(chunk::USER_CONTROL_MESSAGE_TYPE, &[0, 7, a, b, c, d]);
        }
    }

    fn command(
        &mut self,
        stream: u32,
        values: &[Value],
        events: &mut Vec<Event>,
    ) -> Result<(), Error> {
        let name = values.first().and_then(Value::as_str).unwrap_or_default();
        let transaction = values.get(1).and_then(Value::as_number).unwrap_or(0.0);
        let text = |index: usize| values.get(index).and_then(Value::as_str).unwrap_or_default();
        match name {
            "connect" => self.connect(transaction, values.get(2), events),
            "createStream" | "publish" | "play" | "play2" if !self.connected => {
                return Err(Error::Order(name.to_owned()));
            }
            "createStream" => {
                self.streams += 1;
                if self.streams > STREAMS_MAX {
                    return Err(Error::TooManyStreams);
                }
                let id = Value::Number(self.streams.into());
                self.answer("_result", transaction, Value::Null, id);
            }
            "releaseStream" | "FCPublish" => {
                self.answer("_result", transaction, Value::Null, Value::Null);
            }
            "publish" if self.publishing.is_some() => {
                self.refuse(Denial::Rejected, "this connection is publishing already", events);
            }
            "publish" => {
                self.publishing = Some(stream);
                events.push(Event::Publish { key: text(3).to_owned() });
            }
            "play" | "play2" => {
                let message = "nothing is played from this port: watch by WHEP, HLS or SRT";
                self.status(stream, "error", "NetStream.Play.Failed", message);
                events.push(Event::Refused(message.to_owned()));
            }
            "deleteStream" | "closeStream" | "FCUnpublish" if self.publishing.is_some() => {
                events.push(Event::Unpublish);
            }
            _ => {}
        }
        Ok(())
    }

    fn connect(&mut self, transaction: f64, object: Option<&Value>, events: &mut Vec<Event>) {
        let app = object.and_then(|o| o.get("app")).and_then(Value::as_str).unwrap_or_default();
        let app = app.split('?').next().unwrap_or_default().trim_matches('/');
        self.control(chunk::WINDOW_SIZE_MESSAGE_TYPE, &WINDOW_BYTES.to_be_bytes());
        let [a, b, c, d] = WINDOW_BYTES.to_be_bytes();
        // 2: the limit is dynamic.
        self.control(chunk::PEER_BANDWIDTH_MESSAGE_TYPE, &[a, b, c, d, 2]);
        let size = u32::try_from(chunk::SENT_CHUNK_BYTES).unwrap_or(u32::MAX);
        self.control(chunk::SET_CHUNK_SIZE_MESSAGE_TYPE, &size.to_be_bytes());
        if app != APP {
            // The application name is not repeated: it may be a stream key.
            let message = format!("there is no such application; {USAGE}");
            let info = status("error", "NetConnection.Connect.InvalidApp", &message);
            self.answer("_error", transaction, Value::Null, info);
            events.push(Event::Refused(message));
            return;
        }
        self.connected = true;
        let server = Value::object([
            ("fmsVer", Value::text("FMS/3,0,1,123")),
            ("capabilities", Value::Number(31.0)),
        ]);
        let code = "NetConnection.Connect.Success";
        let mut info = status("status", code, "Connection succeeded.");
        if let Value::Object(fields) = &mut info {
            let codecs = ["avc1", "hvc1", "av01", "vp09", "vp08", "mp4a", "Opus", ".mp3"];
            fields.push(("objectEncoding".to_owned(), Value::Number(0.0)));
            // Enhanced RTMP: the codecs that may be published.
            fields.push(("fourCcList".to_owned(), Value::Array(codecs.map(Value::text).into())));
        }
        self.answer("_result", transaction, server, info);
    }

    /// Notifies the client that it is publishing.
    pub(super) fn accept(&mut self) {
        let stream = self.publishing.unwrap_or(0);
        let id = stream.to_be_bytes();
        self.control(chunk::USER_CONTROL_MESSAGE_TYPE, &[0, 0, id[0], id[1], id[2], id[3]]);
        self.status(stream, "status", "NetStream.Publish.Start", "You are live.");
    }

    /// Notifies the client why it may not, or no longer, publish.
    pub(super) fn refuse(&mut self, why: Denial, message: &str, events: &mut Vec<Event>) {
        let code = match why {
            Denial::BadName => "NetStream.Publish.BadName",
            Denial::Denied => "NetStream.Publish.Denied",
            Denial::Rejected => "NetStream.Publish.Rejected",
        };
        self.status(self.publishing.unwrap_or(0), "error", code, message);
        events.push(Event::Refused(message.to_owned()));
    }

    /// Confirms the end of the publication.
    pub(super) fn farewell(&mut self) {
        let stream = self.publishing.unwrap_or(0);
        self.status(stream, "status", "NetStream.Unpublish.Success", "Bye.");
    }

    fn status(&mut self, stream: u32, level: &str, code: &str, message: &str) {
        let info = status(level, code, message);
        let values = [Value::text("onStatus"), Value::Number(0.0), Value::Null, info];
        self.send(5, chunk::COMMAND_MESSAGE_TYPE, stream, amf::encode(&values));
    }

    fn answer(&mut self, name: &str, transaction: f64, object: Value, info: Value) {
        let values = [Value::text(name), Value::Number(transaction), object, info];
        self.send(3, chunk::COMMAND_MESSAGE_TYPE, 0, amf::encode(&values));
    }

    fn control(&mut self, kind: u8, payload: &[u8]) {
        self.send(2, kind, 0, payload.to_vec());
    }

    fn send(&mut self, chunk_stream: u8, kind: u8, stream: u32, payload: Vec<u8>) {
        let message = Message { kind, stream, timestamp: 0, payload: payload.into() };
        // Only messages after `connect` exceed the initial chunk size.
        chunk::encode(&message, chunk_stream, chunk::SENT_CHUNK_BYTES, &mut self.out);
    }
}

fn status(level: &str, code: &str, message: &str) -> Value {
    Value::object([
        ("level", Value::text(level)),
        ("code", Value::text(code)),
        ("description", Value::text(message)),
    ])
}

#[cfg(test)]
mod tests;
