//! Chooses the programme and tracks of a transport stream, with notes on the others.

use super::elementary::Elementary;
use super::psi::{Program, Tables};
use crate::media::{Offered, TrackChoice};

/// The chosen part of a transport stream, as far as its tables have arrived.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Number of the chosen programme.
    pub program: Option<u16>,
    /// PID of its clock references, once its table has arrived.
    pub(super) clock: Option<u16>,
    /// Its tracks; `None` until its table has arrived.
    pub(super) tracks: Option<Vec<Elementary>>,
    /// Notes on what is not taken, and why.
    pub notes: Vec<String>,
}

impl Taken {
    /// Follows the wish as far as the tables allow.
    pub fn choose(tables: &Tables, wish: &TrackChoice) -> Self {
        let numbers = tables.numbers();
        let Some(first) = numbers.first() else { return Self::default() };
        let number = wish.program.unwrap_or(*first);
        let mut taken = Self { program: Some(number), ..Self::default() };
        if !numbers.contains(&number) {
            let there: Vec<String> = numbers.iter().map(u16::to_string).collect();
            let there = there.join(", ");
            taken.notes.push(format!("programme {number} is not in what it sends, but {there}"));
            return taken;
        }
        if let Some(program) = tables.program(number) {
            taken.take_tracks(program, wish);
        }
        let others = numbers.iter().filter(|n| **n != number).filter_map(|n| tables.program(*n));
        taken.notes.extend(others.map(|other| {
            let tracks: Vec<String> = other.tracks.iter().map(Elementary::to_string).collect();
            let (other, tracks) = (other.number, tracks.join("; "));
            format!("programme {other} is ignored ({tracks}): programme {number} is taken")
        }));
        taken
    }

    fn take_tracks(&mut self, program: &Program, wish: &TrackChoice) {
        let all: Vec<Offered> = program.tracks.iter().map(Elementary::offered).collect();
        let picked = wish.pick(&all, &format!("programme {}", program.number));
        self.notes.extend(picked.notes);
        let others = all.iter().filter(|track| track.kind.is_none());
        let others = others.map(|t| format!("{} is ignored: no such media is taken", t.name));
        self.notes.extend(others);
        let taken = picked.taken.iter().filter_map(|n| program.tracks.get(*n)).cloned();
        (self.tracks, self.clock) = (Some(taken.collect()), Some(program.clock));
    }

    /// The name of the track of a demuxer's pad, `audio_0_00101` for PID 257. `None` if it is not
    /// to be taken.
    pub(super) fn of_pad(&self, name: &str) -> Option<String> {
        self.of_id(name, '_')
    }

    /// The same for the id of its stream, `…/00000101`.
    pub fn of_stream(&self, id: &str) -> Option<String> {
        self.of_id(id, '/')
    }

    fn of_id(&self, name: &str, separator: char) -> Option<String> {
        let pid = name.rsplit(separator).next().and_then(|pid| u16::from_str_radix(pid, 16).ok());
        match (&self.tracks, pid) {
            (Some(tracks), Some(pid)) => {
                tracks.iter().find(|t| t.pid == pid).map(Elementary::to_string)
            }
            _ => Some(format!("track `{name}`")),
        }
    }
}

#[cfg(test)]
mod tests;
