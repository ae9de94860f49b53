//! Protocols by which media enters and leaves.

use std::fmt;

use serde::{Serialize, Serializer};

macro_rules! protocols {
    ($($(#[doc = $doc:literal])+ $name:ident = $word:literal,)+) => {
        /// How a publisher, viewer or source is connected. The words are those of the API, the
        /// metrics and the log.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Protocol { $($(#[doc = $doc])+ $name,)+ }

        impl Protocol {
            /// Every protocol.
            pub const ALL: &[Protocol] = &[$(Protocol::$name,)+];

            /// The word in the API: `srt`, `whep` …
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }
        }
    };
}

protocols! {
    /// SRT (draft-sharabayko-srt).
    Srt = "srt",
    /// RTMP and RTMPS.
    Rtmp = "rtmp",
    /// Publishing by WebRTC (RFC 9725).
    Whip = "whip",
    /// Playing by WebRTC (draft-ietf-wish-whep).
    Whep = "whep",
    /// HLS (RFC 8216).
    Hls = "hls",
    /// MPEG-DASH (ISO/IEC 23009-1).
    Dash = "dash",
    /// Captions by server-sent events or WebSocket.
    Captions = "captions",
    /// The voice alone by AIC-A, over a WebSocket.
    Voice = "voice",
    /// RIST (VSF TR-06-1, TR-06-2).
    Rist = "rist",
    /// A pull by RTSP (RFC 7826).
    Rtsp = "rtsp",
    /// A file on this machine.
    File = "file",
    /// The test pattern.
    Test = "test",
    /// The demo.
    Demo = "demo",
    /// A source that is another stream of this appliance.
    Stream = "stream",
    /// The viewer that such a source is for the other stream.
    Relay = "relay",
}

impl Protocol {
    /// Whether its media may have several programmes, or several tracks of a kind.
    pub fn has_tracks(self) -> bool {
        matches!(self, Self::Srt | Self::Rist | Self::Rtsp | Self::File)
    }

    /// Whether its media comes as it is captured, by RTP, so that nothing of it can be early.
    pub fn sends_live(self) -> bool {
        matches!(self, Self::Whip | Self::Rtsp)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Protocol {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
