//! Texts that appear at once: pages of rows, loaded while hidden, then displayed. Shared by CEA-608
//! pop-on captions and hidden windows of CEA-708.

use std::collections::VecDeque;
use std::time::Duration;

use super::tokens::{NEW_SPEAKER, Token};

/// A text is loaded this long before it is displayed, if known by then: two full rows of CEA-608
/// take a second.
pub(super) const LOAD_AHEAD: Duration = Duration::from_millis(1500);

/// Columns of a row.
pub(super) const ROW_COLUMNS: usize = 32;

/// Rows of a page.
pub(super) const PAGE_ROWS: usize = 2;

/// Shortest time that a late or short text is displayed.
const SHOWN_MIN: Duration = Duration::from_millis(1500);

/// A text with its times.
struct Page<G> {
    rows: Vec<Vec<G>>,
    start: Duration,
    end: Duration,
}

/// The next action.
pub(super) enum Step<G> {
    /// Load these rows while hidden.
    Load(Vec<Vec<G>>),
    /// Display what is loaded.
    Show,
    /// Erase what is displayed.
    Erase,
}

/// Pages of one service; `G` is the content of one column.
pub(super) struct Pages<G> {
    pages: VecDeque<Page<G>>,
    /// Times of the loaded text.
    loaded: Option<(Duration, Duration)>,
    /// When the displayed text is erased.
    shown_until: Option<Duration>,
    /// The displayed text stays at least until then.
    stays_until: Duration,
}

impl<G> Default for Pages<G> {
    fn default() -> Self {
        Self {
            pages: VecDeque::new(),
            loaded: None,
            shown_until: None,
            stays_until: Duration::ZERO,
        }
    }
}

impl<G: Clone> Pages<G> {
    /// Whether no text waits to be loaded or displayed, so that the next phrase may come.
    pub(super) fn is_free(&self) -> bool {
        self.loaded.is_none() && self.pages.is_empty()
    }

    /// Whether there is a step at this time.
    pub(super) fn is_due(&self, at: Duration) -> bool {
        self.shows(at) || self.loads() || self.erases(at)
    }

    fn shows(&self, at: Duration) -> bool {
        self.loaded.is_some_and(|(start, _)| at >= start.max(self.stays_until))
    }

    fn loads(&self) -> bool {
        self.loaded.is_none() && !self.pages.is_empty()
    }

    fn erases(&self, at: Duration) -> bool {
        self.shown_until.is_some_and(|until| at >= until)
    }

    /// Puts a word on a page.
    pub(super) fn place(&mut self, glyphs: &[G], blank: &G, word: &Token) {
        let fresh = || Page { rows: vec![glyphs.to_vec()], start: word.start, end: word.end };
        let space = usize::from(word.spaced);
        let turn = word.text == NEW_SPEAKER;
        let Some(page) = self.pages.back_mut() else { return self.pages.push_back(fresh()) };
        let count = page.rows.len();
        match page.rows.last_mut() {
            Some(row) if row.len() + space + glyphs.len() <= ROW_COLUMNS && !turn => {
                row.extend(std::iter::repeat_n(blank.clone(), space));
                row.extend_from_slice(glyphs);
            }
            _ if count < PAGE_ROWS => page.rows.push(glyphs.to_vec()),
            _ => return self.pages.push_back(fresh()),
        }
        page.end = word.end;
    }

    /// Returns the next action and records it as done.
    pub(super) fn step(&mut self, at: Duration) -> Option<Step<G>> {
        if self.shows(at) {
            let (_, end) = self.loaded.take()?;
            self.stays_until = at + SHOWN_MIN;
            self.shown_until = Some(end.max(self.stays_until));
            return Some(Step::Show);
        }
        if self.erases(at) {
            self.shown_until = None;
            return Some(Step::Erase);
        }
        if !self.loads() {
            return None;
        }
        let page = self.pages.pop_front()?;
        self.loaded = Some((page.start, page.end));
        Some(Step::Load(page.rows))
    }
}
