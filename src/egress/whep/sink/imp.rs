//! The sink.
//!
//! SECTION:element-auralinkfanout
//!
//! Sends the RTP packets of a payloader to any number of WebRTC viewers: ICE, DTLS, SRTP,
//! retransmissions and key frame requests are here, encoding and payloading happen once. In the
//! appliance every stream ends in such elements, and the control API lets viewers in. Alone, with
//! `whep-port`, it lets them in itself, by WHEP at `/whep`, and shows a page that plays it at `/`.
//!
//! Video is H.264, VP8, VP9 or AV1, audio Opus; one track.
//!
//! ## Example
//!
//! Open `http://127.0.0.1:8889/` in a browser:
//!
//! ```text
//! gst-launch-1.0 videotestsrc is-live=true ! x264enc tune=zerolatency key-int-max=60 \
//!     ! rtph264pay aggregate-mode=zero-latency ! auralinkfanout whep-port=8889
//! ```
//!
//! Since: auralink-0.1.0

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, OnceLock};
use std::time::{Duration, Instant};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::prelude::*;
use tokio::sync::watch;

use super::door::{self, Door};
use super::starts::Starts;
use crate::media::{Codec, Format, IgnorePoison, Secret};
use crate::webrtc::sdp::Payload;
use auralink_sfu::{Packet, Source};

/// Codecs by their encoding names in RTP caps.
const CODECS: [(&str, Codec); 5] = [
    ("H264", Codec::H264),
    ("VP8", Codec::Vp8),
    ("VP9", Codec::Vp9),
    ("AV1", Codec::Av1),
    ("OPUS", Codec::Opus),
];

/// Implementation of [`super::FanOutSink`].
#[derive(glib::Properties)]
#[properties(wrapper_type = super::FanOutSink)]
pub struct FanOutSink {
    source: Source,
    /// The format of the track; `None` before it is known.
    format: watch::Sender<Option<Format>>,
    starts: Mutex<Starts>,
    /// Set before packets with which decoding can start, by those who know better.
    told: OnceLock<Arc<AtomicBool>>,
    door: Mutex<Option<Door>>,
    /// TCP port for viewers by WHEP; 0: none. Effective when the element starts.
    #[property(
        get,
        set,
        minimum = 0,
        maximum = 65_535,
        nick = "WHEP port",
        blurb = "TCP port for viewers by WHEP; 0: none"
    )]
    whep_port: Mutex<u32>,
    /// Address of that port.
    #[property(
        get,
        set,
        nick = "WHEP address",
        blurb = "IP address of whep-port",
        default = "127.0.0.1"
    )]
    whep_address: Mutex<String>,
    /// What viewers have to send as `Authorization: Bearer …`; empty: nothing.
    #[property(
        set,
        nick = "token",
        blurb = "what viewers send as bearer token; empty: anyone may watch"
    )]
    token: Mutex<String>,
}

impl Default for FanOutSink {
    fn default() -> Self {
        Self {
            source: Source::new(),
            format: watch::Sender::default(),
            starts: Mutex::default(),
            told: OnceLock::new(),
            door: Mutex::default(),
            whep_port: Mutex::default(),
            whep_address: Mutex::new("127.0.0.1".into()),
            token: Mutex::default(),
        }
    }
}

#[glib::object_subclass]
impl ObjectSubclass for FanOutSink {
    const NAME: &'static str = "AuralinkFanOut";
    type Type = super::FanOutSink;
    type ParentType = gst_base::BaseSink;
}

#[glib::derived_properties]
impl ObjectImpl for FanOutSink {
    fn constructed(&self) {
        self.parent_constructed();
        // Packets leave when they come: viewers have jitter buffers.
        self.obj().set_sync(false);
        self.obj().set_async(false);
    }
}

impl GstObjectImpl for FanOutSink {}

impl ElementImpl for FanOutSink {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "WebRTC fan-out",
                "Sink/Network",
                "Sends RTP packets to any number of WebRTC viewers",
                "AuraLink",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let names = gst::List::new(CODECS.iter().map(|(name, _)| *name));
            let caps = gst::Caps::builder("application/x-rtp").field("encoding-name", names);
            let template = gst::PadTemplate::new(
                "sink",
                gst::PadDirection::Sink,
                gst::PadPresence::Always,
                &caps.build(),
            );
            vec![template.expect("the caps are valid")]
        });
        &TEMPLATES
    }
}

impl BaseSinkImpl for FanOutSink {
    fn start(&self) -> Result<(), gst::ErrorMessage> {
        let port = u16::try_from(*self.whep_port.lock().ignore_poison()).unwrap_or_default();
        if port == 0 {
            return Ok(());
        }
        let settings = door::Settings {
            address: self.whep_address.lock().ignore_poison().clone(),
            port,
            token: Secret::new(self.token.lock().ignore_poison().clone()),
        };
        let pad = self.obj().sink_pad().downgrade();
        let request_keyframe = move || {
            let event = gst_video::UpstreamForceKeyUnitEvent::builder().all_headers(true).build();
            // Encoders that cannot make one go on to the next that comes by itself.
            let _ = pad.upgrade().map(|pad| pad.push_event(event));
        };
        let door =
            Door::open(settings, self.source.clone(), self.format.subscribe(), request_keyframe);
        let door = door.map_err(|why| gst::error_msg!(gst::ResourceError::OpenRead, ["{why}"]))?;
        *self.door.lock().ignore_poison() = Some(door);
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        self.door.lock().ignore_poison().take();
        self.format.send_replace(None);
        Ok(())
    }

    fn set_caps(&self, caps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let format = caps.structure(0).and_then(format_of);
        let unknown = || gst::loggable_error!(gst::CAT_RUST, "no track for WebRTC: {caps}");
        self.format.send_replace(Some(format.ok_or_else(unknown)?));
        Ok(())
    }

    fn render(&self, buffer: &gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        self.push(std::iter::once(buffer.as_ref()));
        Ok(gst::FlowSuccess::Ok)
    }

    fn render_list(&self, list: &gst::BufferList) -> Result<gst::FlowSuccess, gst::FlowError> {
        self.push(list.iter());
        Ok(gst::FlowSuccess::Ok)
    }
}

impl FanOutSink {
    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    pub(super) fn told_starts(&self) -> Arc<AtomicBool> {
        Arc::clone(self.told.get_or_init(Arc::default))
    }

    fn push<'a>(&self, buffers: impl Iterator<Item = &'a gst::BufferRef>) {
        let Some(codec) = self.format.borrow().as_ref().map(|format| format.codec) else { return };
        let (now, running) = (Instant::now(), self.obj().current_running_time());
        let segment = self.obj().segment().downcast::<gst::ClockTime>().ok();
        let mut starts = self.starts.lock().ignore_poison();
        let packet = |buffer: &gst::BufferRef| {
            let map = buffer.map_readable().ok()?;
            let of = buffer.pts().and_then(|pts| segment.as_ref()?.to_running_time(pts));
            let age = running.zip(of).map_or(0, |(now, of)| now.saturating_sub(of).nseconds());
            let captured = now.checked_sub(Duration::from_nanos(age)).unwrap_or(now);
            let packet = Packet::parse(&map, captured, false)?;
            let is_start = match self.told.get() {
                Some(told) => told.swap(false, Ordering::Relaxed),
                None => starts.is_start(codec, packet.time(), packet.payload()),
            };
            Some(packet.with_start(is_start))
        };
        self.source.push(buffers.filter_map(packet).collect());
    }
}

/// The format of a track with these RTP caps.
fn format_of(caps: &gst::StructureRef) -> Option<Format> {
    let name = caps.get::<&str>("encoding-name").ok()?;
    let (_, codec) = CODECS.into_iter().find(|(known, _)| name.eq_ignore_ascii_case(known))?;
    let mut format = Format::new(codec);
    if let Ok(level) = caps.get::<&str>("profile-level-id") {
        let parameters = format!("profile-level-id={level}");
        let payload = Payload { parameters, ..Payload::default() };
        format.video.profile = payload.h264_profiles().first().copied();
    }
    Some(format)
}
