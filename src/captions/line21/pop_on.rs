//! Texts that appear at once.

use std::time::Duration;

use cea608_types::tables::{Code, Control, PreambleAddressCode, PreambleType};

use super::super::pages::{PAGE_ROWS, Pages, ROW_COLUMNS, Step};
use super::super::spelling::{Glyph, glyphs};
use super::super::tokens::{NEW_SPEAKER, Token};
use super::pen::{Line21Stats, Pen};

/// The upper of the two rows, counted from 0.
const FIRST_ROW_INDEX: u8 = 13;

/// Pop-on captions of one channel.
#[derive(Default)]
pub(super) struct PopOn {
    pub(super) pages: Pages<Glyph>,
}

impl PopOn {
    /// Takes a phrase, to be loaded page by page.
    pub(super) fn take(&mut self, pen: &Pen, phrase: Vec<Token>, stats: &mut Line21Stats) {
        let blank = Glyph { fallback: None, code: Code::Space };
        for word in phrase {
            let (glyphs, unspelled) = glyphs(&word.text, pen.channel);
            stats.unspelled += unspelled;
            stats.words += u64::from(!glyphs.is_empty() && word.text != NEW_SPEAKER);
            for part in glyphs.chunks(ROW_COLUMNS) {
                self.pages.place(part, &blank, &word);
            }
        }
    }

    /// Loads, displays or erases what is due.
    pub(super) fn step(&mut self, pen: &mut Pen, at: Duration) {
        match self.pages.step(at) {
            Some(Step::Load(rows)) => load(pen, &rows),
            Some(Step::Show) => pen.control(Control::EndOfCaption),
            Some(Step::Erase) => pen.control(Control::EraseDisplayedMemory),
            None => {}
        }
    }
}

fn load(pen: &mut Pen, rows: &[Vec<Glyph>]) {
    pen.control(Control::ResumeCaptionLoading);
    pen.control(Control::EraseNonDisplayedMemory);
    let first = FIRST_ROW_INDEX + (PAGE_ROWS - rows.len().min(PAGE_ROWS)) as u8;
    for (row, n) in rows.iter().zip(0..) {
        let address = PreambleAddressCode::new(first + n, false, PreambleType::Indent0);
        pen.control(Control::PreambleAddress(address));
        row.iter().for_each(|glyph| pen.glyph(glyph));
    }
}
