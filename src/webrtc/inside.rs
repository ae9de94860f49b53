//! The elements that `webrtcbin` makes when it connects, and what we set and hear there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gst::prelude::*;
use gst_webrtc::WebRTCPeerConnectionState;
use tokio::sync::watch;

use crate::flow;

/// How often a sender is told when each packet came (transport-wide congestion control): what it knows
/// of the path is as old as that, and on the way back each time takes about a hundred bytes.
const FEEDBACK: gst::ClockTime = gst::ClockTime::from_mseconds(200);

/// What has come from the peer.
#[derive(Default)]
pub(super) struct Heard {
    bytes: AtomicU64,
    /// Running time of the last packet, nanoseconds.
    last: AtomicU64,
}

impl Heard {
    /// How many have come.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Notes that so many bytes have come.
    pub(super) fn touch(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.last.store(flow::now().nseconds(), Ordering::Relaxed);
    }

    /// How long ago the last have come.
    pub(super) fn age(&self) -> Duration {
        let last = self.last.load(Ordering::Relaxed);
        Duration::from_nanos(flow::now().nseconds().saturating_sub(last))
    }
}

/// Listens to the elements that `webrtcbin` makes when it connects: counts what comes in, and hears
/// when the peer closes DTLS or breaks it, which is the end whatever ICE finds.
pub(super) fn listen(
    bin: &gst::Element,
    heard: &Arc<Heard>,
    tell: &Arc<watch::Sender<WebRTCPeerConnectionState>>,
) {
    let Some(bin) = bin.downcast_ref::<gst::Bin>() else { return };
    ask_again_for_pictures_only(bin);
    let (heard, tell) = (Arc::clone(heard), Arc::clone(tell));
    bin.connect_deep_element_added(move |_, _, element| {
        let factory = element.factory().map(|f| f.name());
        match factory.as_deref() {
            Some("nicesrc") => {
                let Some(pad) = element.static_pad("src") else { return };
                let heard = Arc::clone(&heard);
                pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
                    heard.touch(info.buffer().map_or(0, |b| b.size()));
                    gst::PadProbeReturn::Ok
                });
            }
            // By default the first packet is held for the whole of `latency`, in case that earlier
            // ones come. A stream's time begins with it: all that follows would seem to come from
            // the future, and players that keep sound and picture together would wait for it.
            Some("rtpjitterbuffer") => element.set_property("faststart-min-packets", 1u32),
            // By itself it tells the sender what came whenever a picture is whole: of sound alone, after
            // many seconds.
            Some("rtpsession") => {
                let session = element.property::<gst::glib::Object>("internal-session");
                if session.has_property("twcc-feedback-interval") {
                    session.set_property("twcc-feedback-interval", FEEDBACK.nseconds());
                }
            }
            Some("dtlssrtpenc") => {
                let tell = Arc::clone(&tell);
                element.connect_notify(Some("connection-state"), move |element, _| {
                    let state = element.property_value("connection-state");
                    let state = gst::glib::EnumValue::from_value(&state);
                    if state.is_some_and(|(_, state)| ["closed", "failed"].contains(&state.nick()))
                    {
                        tell.send_replace(WebRTCPeerConnectionState::Closed);
                    }
                });
            }
            _ => {}
        }
    });
}

/// `webrtcbin` lets all tracks of a bundle ask for lost packets again as soon as one of them may. A
/// jitter buffer that asks takes what is not there in time for lost, and drops it when it comes:
/// sound in bursts would have holes that nobody made.
fn ask_again_for_pictures_only(bin: &gst::Bin) {
    bin.connect_pad_added(|_, pad| {
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        let media = caps.structure(0).and_then(|s| s.get::<&str>("media").ok());
        if let (Some("audio"), Some(jitterbuffer)) = (media, jitterbuffer(pad)) {
            jitterbuffer.set_property("do-retransmission", false);
        }
    });
}

/// The jitter buffer that a pad of `webrtcbin` gets its packets from.
fn jitterbuffer(pad: &gst::Pad) -> Option<gst::Element> {
    let mut pad = pad.clone();
    loop {
        while let Some(ghost) = pad.downcast_ref::<gst::GhostPad>() {
            pad = ghost.target()?;
        }
        let element = pad.parent_element()?;
        if element.factory().is_some_and(|f| f.name() == "rtpjitterbuffer") {
            return Some(element);
        }
        pad = element.static_pad("sink")?.peer()?;
    }
}
