//! The audio branch: Opus at a bit rate that follows the path, or AIC-A.

use gst::prelude::*;
use gst_rtp::prelude::*;

use super::branch::{self, Branch};
use super::ladder::Decision;
use super::pace;
use super::packet_counter::PacketCounter;
use crate::aic::controller::{Choice, opus_loss_percent};
use crate::flow::Error;
use crate::webrtc::sdp::Agreed;
use crate::webrtc::{Peer, Track, aic};

/// Outgoing audio.
pub(super) struct AudioBranch {
    /// The negotiated form.
    pub(super) form: Form,
    encoder: gst::Element,
    /// Counter of what was sent.
    pub(super) packet_counter: PacketCounter,
    /// The applied choices for voice and for other audio, and the loss, in percent, that Opus is
    /// prepared for.
    applied: Option<((Choice, Choice), u32)>,
}

/// The form of outgoing audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Opus.
    Opus,
    /// AIC-A, with Opus inside where necessary.
    Aic,
}

impl Form {
    fn branch(self) -> &'static str {
        match self {
            Self::Opus => {
                "audio/x-raw,channels=(int)[1,2] \
                 ! opusenc name=encoder frame-size=20 inband-fec=true packet-loss-percentage=5 \
                 bitrate=32000 ! rtpopuspay name=pay"
            }
            Self::Aic => "auralinkaicenc name=encoder deadline=80 ! rtpaicpay name=pay",
        }
    }
}

impl AudioBranch {
    /// Builds the negotiated branch.
    ///
    /// # Errors
    /// If an element is missing.
    pub(super) fn add(peer: &Peer, agreed: &Agreed, track: &Track) -> Result<Self, Error> {
        let is_aic = agreed.payload.name.eq_ignore_ascii_case(aic::NAME);
        let form = if is_aic { Form::Aic } else { Form::Opus };
        let description =
            format!("clocksync name=pace ! audioconvert ! audioresample ! {}", form.branch());
        let Branch { bin, payloader } = branch::add(peer, agreed, track, &description)?;
        let part = |name| bin.by_name(name).ok_or_else(|| Error::build("sound", name));
        pace::attach(&part("pace")?);
        if let Some(id) = agreed.hints.filter(|_| is_aic) {
            add_hints(&payloader, id);
        }
        let packet_counter = PacketCounter::default();
        if let Some(pad) = payloader.static_pad("src") {
            packet_counter.attach(&pad, is_aic);
        }
        Ok(Self { form, encoder: part("encoder")?, packet_counter, applied: None })
    }

    /// Applies a decision. Returns true if the choice has changed.
    pub(super) fn apply(&mut self, decision: &Decision, loss: f64) -> bool {
        let (choices, loss) = ((decision.voice, decision.other), opus_loss_percent(loss));
        let before = self.applied.replace((choices, loss));
        if before == Some((choices, loss)) {
            return false;
        }
        match self.form {
            Form::Opus => self.set_opus(decision.voice, loss),
            Form::Aic => self.set_aic(decision, loss),
        }
        before.is_none_or(|(before, _)| before != choices)
    }

    fn set_opus(&self, choice: Choice, loss: u32) {
        if let Choice::Opus { bitrate, frames } = choice {
            self.set("bitrate", bitrate);
            self.set("frame-size", 20 * frames as u32);
        }
        self.set("packet-loss-percentage", loss);
    }

    /// The encoder itself decides which frames are voice.
    fn set_aic(&self, decision: &Decision, loss: u32) {
        let codec = match decision.voice {
            Choice::Aic { stages, frames, redundant } => {
                self.set("stages", stages as u32);
                self.set("frames-per-packet", frames as u32);
                self.set("redundancy", redundant as u32);
                "auto"
            }
            Choice::Opus { .. } => "opus",
        };
        if let Choice::Opus { bitrate, frames } = decision.opus() {
            self.set("opus-bitrate", bitrate);
            self.set("opus-frames", frames as u32);
        }
        self.set("opus-loss", loss);
        self.encoder.set_property_from_str("codec", codec);
    }

    /// Sets a property from text, because its type differs between elements.
    fn set(&self, name: &str, value: u32) {
        self.encoder.set_property_from_str(name, &value.to_string());
    }
}

/// Adds content hints to every fifth packet (docs/aic-rtp.md section 7).
fn add_hints(payloader: &gst::Element, id: u8) {
    if let Some(hints) = gst_rtp::RTPHeaderExtension::create_from_uri(crate::aic::hints::URI) {
        hints.set_id(id.into());
        payloader.emit_by_name::<()>("add-extension", &[&hints]);
    }
}
