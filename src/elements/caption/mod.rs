//! `auralinkcaption`: captions in the video as in broadcasting: CEA-608 and CEA-708 in the SEI of
//! H.264 and H.265, inserted without decoding and without delay.
//!
//! Cues come by [`Caption::push`], or as text on request pads. [`crate::captions::Captioner`] does
//! the work.

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;

use crate::captions::{Mode, Service};
use crate::media::Cue;

#[cfg(test)]
mod decoder_tests;
mod imp;
mod properties;
#[cfg(test)]
mod tests;
mod text;

glib::wrapper! {
    /// The element.
    pub struct Caption(ObjectSubclass<imp::Caption>) @extends gst::Element, gst::Object;
}

impl Caption {
    /// Sends a committed cue, with times in running time of the element's pipeline, on every
    /// service of its language; returns their number. Before the element runs this is zero.
    pub fn push(&self, cue: &Cue) -> usize {
        self.imp().push(cue)
    }

    /// Sends a committed cue on one service, whatever its language.
    pub fn push_to(&self, service: Service, cue: &Cue) {
        self.imp().push_to(service, cue);
    }
}

/// How captions appear on screen, as a property.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "AuralinkCaptionMode")]
pub enum CaptionMode {
    /// Two rows that roll up.
    #[default]
    #[enum_value(name = "Two rows that roll up", nick = "roll-up-2")]
    RollUp2,
    /// Three rows that roll up.
    #[enum_value(name = "Three rows that roll up", nick = "roll-up-3")]
    RollUp3,
    /// Four rows that roll up.
    #[enum_value(name = "Four rows that roll up", nick = "roll-up-4")]
    RollUp4,
    /// A whole text at once.
    #[enum_value(name = "A whole text at once, for text that is known before", nick = "pop-on")]
    PopOn,
}

impl From<CaptionMode> for Mode {
    fn from(mode: CaptionMode) -> Mode {
        match mode {
            CaptionMode::RollUp2 => Mode::RollUp(2),
            CaptionMode::RollUp3 => Mode::RollUp(3),
            CaptionMode::RollUp4 => Mode::RollUp(4),
            CaptionMode::PopOn => Mode::PopOn,
        }
    }
}

/// What happens to captions of the source, as a property.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "AuralinkCaptionExisting")]
pub enum CaptionExisting {
    /// They stay, and ours yield.
    #[default]
    #[enum_value(name = "They stay, and ours give way", nick = "keep")]
    Keep,
    /// They are removed.
    #[enum_value(name = "They are taken out", nick = "replace")]
    Replace,
    /// They move according to `moves`.
    #[enum_value(name = "They move as `moves` says", nick = "move")]
    Move,
}

pub(super) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), "auralinkcaption", gst::Rank::NONE, Caption::static_type())
}
