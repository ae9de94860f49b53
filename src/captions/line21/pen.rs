//! The output of one channel: its codes, their bytes, and its totals.

use std::collections::VecDeque;

use cea608_types::tables::{Channel, Code, Control, ControlCode, Field as Line};

use super::super::cc_data::{Field, NOTHING};
use super::super::spelling::Glyph;

/// Output of a channel's codes.
pub(super) struct Pen {
    pub(super) field: Field,
    pub(super) channel: Channel,
    pub(super) codes: VecDeque<Code>,
}

impl Pen {
    /// Writes a control code twice, as the standard requires, so that one loss is tolerated.
    pub(super) fn control(&mut self, control: Control) {
        let line = match self.field {
            Field::One => Line::ONE,
            Field::Two => Line::TWO,
        };
        let code = Code::Control(ControlCode::new(line, self.channel, control));
        self.codes.extend([code, code]);
    }

    /// Writes a character; an extended one overwrites its fallback.
    pub(super) fn glyph(&mut self, glyph: &Glyph) {
        self.codes.extend(glyph.fallback);
        self.codes.push_back(glyph.code);
    }

    pub(super) fn space(&mut self) {
        self.codes.push_back(Code::Space);
    }

    /// The next pair of bytes.
    pub(super) fn pair(&mut self) -> Option<[u8; 2]> {
        let mut pair = NOTHING;
        let first = self.codes.pop_front()?;
        if first.write_into(&mut pair) == 1
            && let Some(second) = self.codes.pop_front_if(|code| code.byte_len() == 1)
        {
            let mut other = NOTHING;
            second.write_into(&mut other);
            pair[1] = other[0];
        }
        Some(pair)
    }
}

/// Running totals of a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Line21Stats {
    /// Words that were sent.
    pub words: u64,
    /// Words that were dropped because they waited too long.
    pub late: u64,
    /// Characters that CEA-608 does not have and that have no substitute.
    pub unspelled: u64,
    /// Words that were dropped because the source has captions in this field.
    pub yielded: u64,
}
