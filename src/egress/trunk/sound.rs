//! The branch of sound: as it is, by Opus at a rate that follows the path, or by AIC-A.

use gst::prelude::*;

use super::branch::{self, Branch};
use super::meter::Meter;
use super::pace;
use crate::aic::controller::Choice;
use crate::flow::Error;
use crate::webrtc::sdp::Agreed;
use crate::webrtc::{Peer, Track};

/// Name of AIC-A in session descriptions.
pub(super) const AIC: &str = "AIC-A";

/// Sound on its way out.
pub(super) struct Sound {
    /// What is agreed on and built.
    pub(super) form: Form,
    /// The encoder, where there is one.
    encoder: Option<gst::Element>,
    /// What has gone out.
    pub(super) meter: Meter,
    applied: Option<Choice>,
}

/// How sound goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Opus as the stream has it.
    Passed,
    /// Opus at a rate of ours.
    Opus,
    /// AIC-A, with Opus inside where it must be.
    Aic,
}

impl Form {
    fn branch(self) -> &'static str {
        match self {
            Self::Passed => "rtpopuspay name=pay",
            Self::Opus => {
                "audioconvert ! audioresample \
                 ! opusenc name=encoder frame-size=20 inband-fec=true audio-type=voice \
                 packet-loss-percentage=5 bitrate=32000 ! rtpopuspay name=pay"
            }
            Self::Aic => {
                "audioconvert ! audioresample ! auralinkaicenc name=encoder deadline=80 \
                 ! rtpaicpay name=pay"
            }
        }
    }
}

impl Sound {
    /// Builds the branch for what was agreed on; `raw` says that the feed is not coded yet.
    ///
    /// # Errors
    /// When an element is missing.
    pub(super) fn add(
        peer: &Peer,
        agreed: &Agreed,
        track: &Track,
        raw: bool,
    ) -> Result<Self, Error> {
        let aic = agreed.payload.name.eq_ignore_ascii_case(AIC);
        let form = match (aic, raw) {
            (true, _) => Form::Aic,
            (false, true) => Form::Opus,
            (false, false) => Form::Passed,
        };
        let description = format!("clocksync name=pace ! {}", form.branch());
        let Branch { bin, payloader } = branch::add(peer, agreed, track, &description)?;
        if let Some(clocksync) = bin.by_name("pace") {
            pace::attach(&clocksync);
        }
        let meter = Meter::default();
        if let Some(pad) = payloader.static_pad("src") {
            meter.attach(&pad, aic);
        }
        Ok(Self { form, encoder: bin.by_name("encoder"), meter, applied: None })
    }

    /// Sends like this from now on; true when that is something else than before.
    pub(super) fn apply(&mut self, choice: Choice, loss: f64) -> bool {
        if self.applied == Some(choice) {
            return false;
        }
        self.applied = Some(choice);
        let Some(encoder) = &self.encoder else { return true };
        match self.form {
            Form::Passed => {}
            Form::Opus => {
                if let Choice::Opus { bitrate } = choice {
                    encoder.set_property("bitrate", i32::try_from(bitrate).unwrap_or(32_000));
                }
                let percent = (loss * 100.0).ceil().clamp(0.0, 30.0) as i32;
                encoder.set_property("packet-loss-percentage", percent.max(5));
            }
            Form::Aic => set_aic(encoder, choice),
        }
        true
    }
}

/// Live properties of the encoder. Which of its frames are a voice, it decides itself.
fn set_aic(encoder: &gst::Element, choice: Choice) {
    match choice {
        Choice::Aic { stages, frames, redundant, redundant_stages } => {
            for (name, value) in [
                ("stages", stages),
                ("frames-per-packet", frames),
                ("redundancy", redundant),
                // Without redundancy the element does not look at it, but takes no zero.
                ("redundant-stages", redundant_stages.max(1)),
            ] {
                encoder.set_property_from_str(name, &value.to_string());
            }
            encoder.set_property_from_str("codec", "auto");
        }
        Choice::Opus { bitrate } => {
            encoder.set_property_from_str("opus-bitrate", &bitrate.to_string());
            encoder.set_property_from_str("codec", "opus");
        }
    }
}
