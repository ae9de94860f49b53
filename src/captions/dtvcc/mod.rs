//! CEA-708: services of digital captions (ANSI/CTA-708-E).
//!
//! A service writes into a window at the bottom of the picture: rows that roll up, or two windows,
//! one loaded while the other is displayed. Text is in G0, G1 (Latin-1) and G2 if they have the
//! character, else in 16-bit code points (P16).

use std::collections::VecDeque;
use std::time::Duration;

use cea708_types::Service as Block;
use cea708_types::tables::Code;

use super::mapping::{Mode, Service};
use super::pages::LOAD_AHEAD;
use super::spelling::substitute;
use super::tokens::NEW_SPEAKER;
use super::words::Words;
use crate::media::Cue;

mod screen;

use screen::Screen;

/// Most bytes of codes in one service block.
const BLOCK_BYTES_MAX: usize = 31;

/// Running totals of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DtvccStats {
    /// Words that were sent.
    pub words: u64,
    /// Words that were dropped because they waited too long.
    pub late: u64,
    /// Characters beyond 16 bits, which CEA-708 cannot carry.
    pub unspelled: u64,
    /// Words that were dropped because the source has services.
    pub yielded: u64,
}

/// One service.
struct Captions {
    service: Service,
    number: u8,
    words: Words,
    codes: VecDeque<Code>,
    screen: Screen,
    stats: DtvccStats,
}

impl Captions {
    /// Encodes what is due until a block is full.
    fn fill(&mut self, at: Duration) {
        while self.codes.iter().map(Code::byte_len).sum::<usize>() < BLOCK_BYTES_MAX {
            let before = self.codes.len();
            match &mut self.screen {
                Screen::RollUp(screen) => match self.words.next(at) {
                    Some((word, _)) => {
                        let codes = spell(&word.text, &mut self.stats);
                        screen.word(&mut self.codes, &codes, &word, at);
                    }
                    None => screen.silence(&mut self.codes, at),
                },
                Screen::PopOn(screen) => {
                    if screen.is_free() {
                        for word in self.words.next_phrase(at + LOAD_AHEAD) {
                            let codes = spell(&word.text, &mut self.stats);
                            screen.take(&codes, &word);
                        }
                    }
                    screen.step(&mut self.codes, at);
                }
            }
            if self.codes.len() == before && !self.words.is_due(at) {
                return;
            }
        }
    }

    /// A service block with its header, of at most `room` bytes; whole codes only.
    fn block(&mut self, room: usize) -> Option<Block> {
        let mut block = Block::new(self.number);
        let mut left = room.saturating_sub(1).min(BLOCK_BYTES_MAX);
        while let Some(code) = self.codes.pop_front_if(|code| code.byte_len() <= left) {
            left -= code.byte_len();
            // Always fits, because `left` never exceeds the size of a block.
            block.push_code(&code).ok()?;
        }
        (!block.is_empty()).then_some(block)
    }
}

/// Encodes a word.
fn spell(text: &str, stats: &mut DtvccStats) -> Vec<Code> {
    let mut codes = Vec::with_capacity(text.len());
    for c in text.chars() {
        let wide = || u16::try_from(u32::from(c)).ok().map(Code::P16);
        if let Some(code) = Code::from_char(c) {
            codes.push(code);
        } else if substitute(c) == Some("") && !('\u{300}'..='\u{36f}').contains(&c) {
            // Directional marks and joiners are dropped: decoders do not use them.
        } else if let Some(code) = wide() {
            codes.push(code);
        } else {
            stats.unspelled += 1;
        }
    }
    stats.words += u64::from(!codes.is_empty() && text != NEW_SPEAKER);
    codes
}

/// The CEA-708 services of a programme.
#[derive(Default)]
pub struct Dtvcc {
    services: Vec<Captions>,
    /// The service that is first in the next packet.
    turn: usize,
}

impl Dtvcc {
    /// A writer for the CEA-708 services among these.
    pub fn new(services: impl IntoIterator<Item = Service>, mode: Mode) -> Self {
        let captions = |service| {
            let Service::Digital(number) = service else { return None };
            Some(Captions {
                service,
                number,
                words: Words::default(),
                codes: VecDeque::new(),
                screen: Screen::new(mode),
                stats: DtvccStats::default(),
            })
        };
        Self { services: services.into_iter().filter_map(captions).collect(), turn: 0 }
    }

    /// Adds a committed cue to a service. Partial cues are never sent, because text cannot be taken
    /// back.
    pub fn push(&mut self, service: Service, cue: &Cue) {
        for captions in self.services.iter_mut().filter(|c| c.service == service) {
            captions.words.push(cue);
        }
    }

    /// Service blocks for one packet, at most `room` bytes. Called once per frame, in the order of
    /// presentation; a service without room is first the next time.
    pub fn blocks(&mut self, at: Duration, room: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let count = self.services.len();
        for n in 0..count {
            let captions = &mut self.services[(self.turn + n) % count];
            captions.fill(at);
            if let Some(block) = captions.block(room - bytes.len()) {
                // Writing into a vector cannot fail.
                let _ = block.write(&mut bytes);
            }
        }
        self.turn = (self.turn + 1) % count.max(1);
        bytes
    }

    /// Drops what is due, because the source has services.
    pub fn give_way(&mut self, at: Duration) {
        for captions in &mut self.services {
            captions.stats.yielded += captions.words.drop_due(at);
            captions.codes.clear();
            captions.screen.forget();
        }
    }

    /// Running totals of each service.
    pub fn stats(&self) -> impl Iterator<Item = (Service, DtvccStats)> + '_ {
        self.services.iter().map(|c| (c.service, DtvccStats { late: c.words.late(), ..c.stats }))
    }
}

#[cfg(test)]
mod tests;
