//! Windows: rows that roll up, or texts that appear at once.

use std::collections::VecDeque;
use std::time::Duration;

use cea708_types::tables::{
    Anchor, Code, Color, DefineWindowArgs, EdgeType, FontStyle, Opacity, PenSize,
    SetPenAttributesArgs, SetPenColorArgs, SetPenLocationArgs, TextOffset, TextTag, WindowBits,
};

use super::super::mapping::Mode;
use super::super::pages::{PAGE_ROWS, Pages, ROW_COLUMNS, Step};
use super::super::tokens::{NEW_SPEAKER, Token};

/// Time after the last word until the text disappears.
const CLEAR_AFTER: Duration = Duration::from_secs(4);

/// After this time the window is defined again with the next row, for decoders that join.
const DEFINE_AGAIN: Duration = Duration::from_secs(3);

/// Position of a window: its lower edge at the centre of the picture's width, inside the safe area,
/// on the grid of 75 by 210 cells of a 16:9 picture.
const ANCHOR: (u8, u8) = (70, 105);

/// How a service displays its words.
pub(super) enum Screen {
    RollUp(RollUp),
    PopOn(PopOn),
}

impl Screen {
    pub(super) fn new(mode: Mode) -> Self {
        match mode {
            Mode::RollUp(rows) => {
                Screen::RollUp(RollUp { rows, column: None, spoken: Duration::ZERO, defined: None })
            }
            Mode::PopOn => Screen::PopOn(PopOn { pages: Pages::default(), loading: 0 }),
        }
    }

    /// Captions of the source were sent meanwhile: the next word starts a new window.
    pub(super) fn forget(&mut self) {
        match self {
            Screen::RollUp(screen) => screen.column = None,
            Screen::PopOn(screen) => screen.pages = Pages::default(),
        }
    }
}

/// Defines a window with this number of rows, its place and its pen. An unchanged definition keeps
/// its text.
fn define(codes: &mut VecDeque<Code>, window_id: u8, rows: u8, visible: bool) {
    codes.push_back(Code::DefineWindow(DefineWindowArgs::new(
        window_id,
        0,
        Anchor::BottomMiddle,
        false,
        ANCHOR.0,
        ANCHOR.1,
        rows - 1,
        ROW_COLUMNS as u8 - 1,
        true,
        true,
        visible,
        1,
        1,
    )));
    codes.push_back(Code::SetPenAttributes(SetPenAttributesArgs::new(
        PenSize::Standard,
        FontStyle::Default,
        TextTag::Dialog,
        TextOffset::Normal,
        false,
        false,
        EdgeType::None,
    )));
    codes.push_back(Code::SetPenColor(SetPenColorArgs::new(
        Color::WHITE,
        Opacity::Solid,
        Color::BLACK,
        Opacity::Solid,
        Color::BLACK,
    )));
}

/// Rows that roll up.
pub(super) struct RollUp {
    rows: u8,
    /// Columns in use in the lowest row; `None` while there is no window.
    column: Option<usize>,
    /// When the last word was sent, or its speech ended if that is later.
    spoken: Duration,
    /// When the window was last defined.
    defined: Option<Duration>,
}

impl RollUp {
    pub(super) fn word(
        &mut self,
        out: &mut VecDeque<Code>,
        codes: &[Code],
        word: &Token,
        at: Duration,
    ) {
        if codes.is_empty() {
            return;
        }
        let space = usize::from(word.spaced);
        let turn = word.text == NEW_SPEAKER;
        match self.column {
            Some(column) if column + space + codes.len() <= ROW_COLUMNS && !turn => {
                if space > 0 && column > 0 {
                    out.push_back(Code::Space);
                }
                self.column = Some(column + space);
            }
            _ => self.row(out, at),
        }
        for part in codes.chunks(ROW_COLUMNS) {
            if self.column.is_none_or(|column| column + part.len() > ROW_COLUMNS) {
                self.row(out, at);
            }
            out.extend(part.iter().cloned());
            self.column = self.column.map(|column| column + part.len());
        }
        // Decoders may wait for the end of a text before they display it.
        out.push_back(Code::ETX);
        self.spoken = self.spoken.max(word.end).max(at);
    }

    /// Begins a row: in a new window, the first one at the bottom.
    fn row(&mut self, out: &mut VecDeque<Code>, at: Duration) {
        let is_new = self.column.is_none();
        if !is_new {
            out.push_back(Code::CR);
        }
        if is_new || self.defined.is_none_or(|defined| at >= defined + DEFINE_AGAIN) {
            self.defined = Some(at);
            define(out, 0, self.rows, true);
            out.push_back(Code::SetPenLocation(SetPenLocationArgs {
                row: self.rows - 1,
                column: 0,
            }));
        }
        self.column = Some(0);
    }

    /// Called when no word is due: after a silence the window disappears.
    pub(super) fn silence(&mut self, out: &mut VecDeque<Code>, at: Duration) {
        if self.column.is_some() && at >= self.spoken + CLEAR_AFTER {
            out.push_back(Code::DeleteWindows(WindowBits::ZERO));
            self.column = None;
        }
    }
}

/// Two alternating windows: one is loaded while hidden, the other is displayed.
pub(super) struct PopOn {
    pages: Pages<Code>,
    /// The window to load next, 0 or 1.
    loading: u8,
}

impl PopOn {
    pub(super) fn is_free(&self) -> bool {
        self.pages.is_free()
    }

    pub(super) fn take(&mut self, codes: &[Code], word: &Token) {
        for part in codes.chunks(ROW_COLUMNS) {
            self.pages.place(part, &Code::Space, word);
        }
    }

    /// Loads, displays or erases what is due.
    pub(super) fn step(&mut self, out: &mut VecDeque<Code>, at: Duration) {
        let window = WindowBits::from_window_id(self.loading);
        let other = WindowBits::from_window_id(1 - self.loading);
        match self.pages.step(at) {
            Some(Step::Load(rows)) => {
                define(out, self.loading, PAGE_ROWS as u8, false);
                let skipped = PAGE_ROWS.saturating_sub(rows.len()) as u8;
                for (row, n) in rows.into_iter().zip(skipped..) {
                    out.push_back(Code::SetPenLocation(SetPenLocationArgs { row: n, column: 0 }));
                    out.extend(row);
                }
                out.push_back(Code::ETX);
            }
            Some(Step::Show) => {
                // In one packet, so that the state in between is not visible.
                out.push_back(Code::DeleteWindows(other));
                out.push_back(Code::DisplayWindows(window));
                self.loading = 1 - self.loading;
            }
            Some(Step::Erase) => out.push_back(Code::DeleteWindows(other)),
            None => {}
        }
    }
}
