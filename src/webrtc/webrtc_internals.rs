//! Configures and observes the elements that `webrtcbin` creates when it connects.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gst::prelude::*;
use gst_webrtc::WebRTCPeerConnectionState;
use tokio::sync::watch;

use crate::flow;

/// Interval of transport-wide congestion control feedback to a sender: its knowledge of the path is
/// that old, and each report takes about a hundred bytes on the way back.
const FEEDBACK_INTERVAL: gst::ClockTime = gst::ClockTime::from_mseconds(200);

/// Statistics of received packets.
#[derive(Default)]
pub(super) struct IceEvents {
    bytes: AtomicU64,
    /// Running time of the last packet, in ns.
    last: AtomicU64,
}

impl IceEvents {
    /// Bytes received so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Records the arrival of this many bytes.
    pub(super) fn touch(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.last.store(flow::now().nseconds(), Ordering::Relaxed);
    }

    /// Time since the last arrival.
    pub(super) fn age(&self) -> Duration {
        let last = self.last.load(Ordering::Relaxed);
        Duration::from_nanos(flow::now().nseconds().saturating_sub(last))
    }
}

/// Observes the elements that `webrtcbin` creates when it connects: counts incoming data, and
/// detects when DTLS is closed or broken, which ends the connection whatever the state of ICE.
pub(super) fn listen(
    bin: &gst::Element,
    heard: &Arc<IceEvents>,
    tell: &Arc<watch::Sender<WebRTCPeerConnectionState>>,
) {
    let Some(bin) = bin.downcast_ref::<gst::Bin>() else { return };
    keep_sender_times(bin);
    ask_again_for_video_only(bin);
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
            Some("rtpjitterbuffer") => pass_bursts(element),
            // By default it sends feedback whenever a video frame is complete: with audio alone
            // only after many seconds.
            Some("rtpsession") => {
                let session = element.property::<gst::glib::Object>("internal-session");
                if session.has_property("twcc-feedback-interval") {
                    session.set_property("twcc-feedback-interval", FEEDBACK_INTERVAL.nseconds());
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

/// Makes a jitter buffer pass what a stalled sender or path delivers late, whole and with its time.
fn pass_bursts(jitterbuffer: &gst::Element) {
    // By default the first packet is held for the whole `latency`, in case earlier ones arrive. A
    // stream's time begins with it, so all later packets would seem to come from the future, and
    // players that synchronise audio and video would wait for it.
    jitterbuffer.set_property("faststart-min-packets", 1u32);
    // By default a packet that does not come when it is expected counts as lost after `latency`,
    // and is dropped when it comes. Now only a later packet makes a gap.
    jitterbuffer.set_property("rtx-next-seqnum", false);
}

/// By default packets that come late, in a burst, get times near that of their arrival. A feed's
/// timeline keeps their places, and follows a clock that drifts.
fn keep_sender_times(webrtcbin: &gst::Bin) {
    for child in webrtcbin.children().iter().filter(|child| child.has_property("buffer-mode")) {
        child.set_property_from_str("buffer-mode", "synced");
    }
}

/// `webrtcbin` enables retransmission requests for all tracks of a bundle as soon as one of them
/// supports it. Senders of audio answer none, so each gap would be asked for in vain.
fn ask_again_for_video_only(bin: &gst::Bin) {
    bin.connect_pad_added(|_, pad| {
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        let media = caps.structure(0).and_then(|s| s.get::<&str>("media").ok());
        if let (Some("audio"), Some(jitterbuffer)) = (media, jitterbuffer(pad)) {
            jitterbuffer.set_property("do-retransmission", false);
        }
    });
}

/// Makes `webrtcbin` request what is lost before this pad, which carries video.
pub(crate) fn request_lost_packets(pad: &gst::Pad) {
    if let Some(jitterbuffer) = jitterbuffer(pad) {
        jitterbuffer.set_property("do-retransmission", true);
    }
}

/// The jitter buffer that feeds a pad of `webrtcbin`.
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
