//! Rows that roll up: word by word, the newest row at the bottom.

use std::time::Duration;

use cea608_types::tables::{Control, PreambleAddressCode, PreambleType};

use super::super::pages::ROW_COLUMNS;
use super::super::spelling::glyphs;
use super::super::tokens::{NEW_SPEAKER, Token};
use super::pen::{Line21Stats, Pen};

/// Time after the last word until the text disappears.
const CLEAR_AFTER: Duration = Duration::from_secs(4);

/// The lowest row, counted from 0.
const BASE_ROW_INDEX: u8 = 14;

/// Roll-up captions of one channel.
pub(super) struct RollUp {
    rows: u8,
    /// Columns in use in the lowest row; `None` while the screen is empty.
    column: Option<usize>,
    /// When the last word was sent, or its speech ended if that is later.
    spoken: Duration,
    /// Whether a word was sent since the last look at the clock.
    wrote: bool,
}

impl RollUp {
    pub(super) fn new(rows: u8) -> Self {
        Self { rows, column: None, spoken: Duration::ZERO, wrote: false }
    }

    fn mode(&self) -> Control {
        match self.rows {
            2 => Control::RollUp2,
            3 => Control::RollUp3,
            _ => Control::RollUp4,
        }
    }

    /// Whether [`Self::silence`] has to note the time of a word or erase the text.
    pub(super) fn is_due(&self, at: Duration) -> bool {
        self.column.is_some() && (self.wrote || at >= self.spoken + CLEAR_AFTER)
    }

    /// Writes a word.
    pub(super) fn word(
        &mut self,
        pen: &mut Pen,
        word: &Token,
        resumed: bool,
        stats: &mut Line21Stats,
    ) {
        let (glyphs, unspelled) = glyphs(&word.text, pen.channel);
        stats.unspelled += unspelled;
        if glyphs.is_empty() {
            return;
        }
        let turn = word.text == NEW_SPEAKER;
        stats.words += u64::from(!turn);
        let space = usize::from(word.spaced);
        match self.column {
            Some(column) if column + space + glyphs.len() <= ROW_COLUMNS && !turn => {
                if resumed {
                    // Repeating the same mode keeps text and cursor.
                    pen.control(self.mode());
                }
                if space > 0 && column > 0 {
                    pen.space();
                }
                self.column = Some(column + space);
            }
            _ => self.row(pen),
        }
        for part in glyphs.chunks(ROW_COLUMNS) {
            if self.column.is_none_or(|column| column + part.len() > ROW_COLUMNS) {
                self.row(pen);
            }
            part.iter().for_each(|glyph| pen.glyph(glyph));
            self.column = self.column.map(|column| column + part.len());
        }
        self.spoken = self.spoken.max(word.end);
        self.wrote = true;
    }

    /// Begins a row. Mode and address are repeated with each, for decoders that join.
    fn row(&mut self, pen: &mut Pen) {
        pen.control(self.mode());
        pen.control(Control::CarriageReturn);
        let address = PreambleAddressCode::new(BASE_ROW_INDEX, false, PreambleType::Indent0);
        pen.control(Control::PreambleAddress(address));
        self.column = Some(0);
    }

    /// Called when no word is due: after a silence the text disappears.
    pub(super) fn silence(&mut self, pen: &mut Pen, at: Duration) {
        if std::mem::take(&mut self.wrote) {
            self.spoken = self.spoken.max(at);
        } else if self.column.is_some() && at >= self.spoken + CLEAR_AFTER {
            pen.control(Control::EraseDisplayedMemory);
            self.column = None;
        }
    }

    /// Captions of the source were sent meanwhile: the next word starts anew.
    pub(super) fn forget(&mut self) {
        self.column = None;
    }
}
