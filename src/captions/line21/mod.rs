//! CEA-608: live captions in line 21 (ANSI/CTA-608-E, 47 CFR 15.119).
//!
//! Words become byte pairs as soon as they are committed: [`RollUp`](roll_up::RollUp) writes them
//! at the end of the lowest row, [`PopOn`](pop_on::PopOn) loads a text and displays it at once. The
//! two channels of a field share its 60 bytes a second: a channel keeps the field for one row of
//! text, then the other gets it.

use std::collections::VecDeque;
use std::time::Duration;

use cea608_types::tables::{Channel, Code};

use super::cc_data::{Field, NOTHING};
use super::mapping::{Mode, Service};
use super::pages::{LOAD_AHEAD, ROW_COLUMNS};
use super::words::Words;
use crate::media::Cue;

mod pen;
mod pop_on;
mod roll_up;

pub use pen::Line21Stats;
use pen::Pen;

/// Columns after which the other channel of the field gets its turn.
const TURN_COLUMNS: usize = ROW_COLUMNS;

/// How a channel displays its words.
enum Screen {
    RollUp(roll_up::RollUp),
    PopOn(pop_on::PopOn),
}

/// One of CC1 to CC4.
struct Captions {
    service: Service,
    words: Words,
    pen: Pen,
    screen: Screen,
    stats: Line21Stats,
    /// Columns since it got the field.
    turn: usize,
}

impl Captions {
    /// Whether it has something to send at this time.
    fn is_due(&self, at: Duration) -> bool {
        match &self.screen {
            Screen::RollUp(screen) => self.words.is_due(at) || screen.is_due(at),
            Screen::PopOn(screen) => {
                let next = self.words.is_due(at + LOAD_AHEAD) && screen.pages.is_free();
                next || screen.pages.is_due(at)
            }
        }
    }

    /// Writes the next piece. `resumed`: another channel had the field meanwhile.
    fn write(&mut self, at: Duration, resumed: bool) {
        let before = self.pen.codes.len();
        match &mut self.screen {
            Screen::RollUp(screen) => match self.words.next(at) {
                Some((word, _)) => screen.word(&mut self.pen, &word, resumed, &mut self.stats),
                None => screen.silence(&mut self.pen, at),
            },
            Screen::PopOn(screen) => {
                if screen.pages.is_free() {
                    let phrase = self.words.next_phrase(at + LOAD_AHEAD);
                    screen.take(&self.pen, phrase, &mut self.stats);
                }
                screen.step(&mut self.pen, at);
            }
        }
        self.turn += self.pen.codes.len().saturating_sub(before);
    }
}

/// The CEA-608 channels of a programme.
#[derive(Default)]
pub struct Line21 {
    channels: Vec<Captions>,
    /// The channel that has each field.
    turns: [Option<usize>; 2],
    last: [[u8; 2]; 2],
}

impl Line21 {
    /// A writer for the CEA-608 channels among these.
    pub fn new(services: impl IntoIterator<Item = Service>, mode: Mode) -> Self {
        let channel = |service: Service| {
            let Service::Cc(number) = service else { return None };
            let channel = if number % 2 == 1 { Channel::ONE } else { Channel::TWO };
            Some(Captions {
                service,
                words: Words::default(),
                pen: Pen { field: service.field()?, channel, codes: VecDeque::new() },
                screen: match mode {
                    Mode::RollUp(rows) => Screen::RollUp(roll_up::RollUp::new(rows)),
                    Mode::PopOn => Screen::PopOn(pop_on::PopOn::default()),
                },
                stats: Line21Stats::default(),
                turn: 0,
            })
        };
        let channels = services.into_iter().filter_map(channel).collect();
        Self { channels, turns: [None; 2], last: [NOTHING; 2] }
    }

    /// Adds a committed cue to a channel. Partial cues are never sent, because text cannot be taken
    /// back.
    pub fn push(&mut self, service: Service, cue: &Cue) {
        for captions in self.channels.iter_mut().filter(|c| c.service == service) {
            captions.words.push(cue);
        }
    }

    /// The byte pair that a field sends at this time, if any. Called 29.97 times a second, in the
    /// order of presentation.
    pub fn pair(&mut self, field: Field, at: Duration) -> Option<[u8; 2]> {
        let index = field.index();
        let current = self.turns[index];
        let busy = current.filter(|n| !self.channels[*n].pen.codes.is_empty());
        let chosen = busy.or_else(|| self.choose(field, current, at))?;
        let captions = &mut self.channels[chosen];
        // A word that ends with half a pair is joined by the next one, if there is one.
        if captions.pen.codes.len() < 2 && captions.is_due(at) {
            let resumed = current.is_some_and(|n| n != chosen);
            if current != Some(chosen) {
                captions.turn = 0;
            }
            captions.write(at, resumed);
        }
        self.turns[index] = Some(chosen);
        let pair = self.repeated(index, chosen);
        self.last[index] = pair.unwrap_or(NOTHING);
        pair
    }

    /// The next pair of a channel. The same special character twice in a row would be taken for a
    /// repetition, so an empty pair is sent in between.
    fn repeated(&mut self, index: usize, chosen: usize) -> Option<[u8; 2]> {
        let pen = &mut self.channels[chosen].pen;
        let Some(Code::Control(next)) = pen.codes.front() else { return pen.pair() };
        let mut bytes = NOTHING;
        Code::Control(*next).write_into(&mut bytes);
        let is_character = Code::Control(*next).char().is_some();
        if is_character && self.last[index] == bytes { None } else { pen.pair() }
    }

    /// The channel that may write now.
    fn choose(&self, field: Field, current: Option<usize>, at: Duration) -> Option<usize> {
        let mine = |n: &usize| self.channels[*n].service.field() == Some(field);
        let due = |n: &usize| mine(n) && self.channels[*n].is_due(at);
        let stays = current.filter(|n| due(n) && self.channels[*n].turn < TURN_COLUMNS);
        let others = (0..self.channels.len()).filter(|n| Some(*n) != current).find(due);
        stays.or(others).or(current.filter(due))
    }

    /// Drops what is due in a field that the source uses.
    pub fn give_way(&mut self, field: Field, at: Duration) {
        for captions in self.channels.iter_mut().filter(|c| c.service.field() == Some(field)) {
            captions.stats.yielded += captions.words.drop_due(at);
            captions.pen.codes.clear();
            match &mut captions.screen {
                Screen::RollUp(screen) => screen.forget(),
                Screen::PopOn(screen) => *screen = pop_on::PopOn::default(),
            }
        }
    }

    /// Running totals of each channel.
    pub fn stats(&self) -> impl Iterator<Item = (Service, Line21Stats)> + '_ {
        self.channels.iter().map(|c| (c.service, Line21Stats { late: c.words.late(), ..c.stats }))
    }
}

#[cfg(test)]
mod tests;
