//! Which programme and tracks of a transport stream are taken, and what is said of the others.

use super::elementary::Elementary;
use super::psi::{Program, Tables};
use crate::media::{Kind, TrackChoice};

/// What is taken of a transport stream, as far as its tables have come.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// Number of the programme.
    pub(super) program: Option<u16>,
    /// PID of its clock references, once its table has come.
    pub(super) clock: Option<u16>,
    /// Its tracks; `None` while its table has not come.
    pub(super) tracks: Option<Vec<Elementary>>,
    /// What is not taken, and why.
    pub(super) notes: Vec<String>,
}

impl Taken {
    /// Follows the wish as far as the tables allow.
    pub(super) fn choose(tables: &Tables, wish: &TrackChoice) -> Self {
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
        let all = &program.tracks;
        let of = |kind: Kind| all.iter().filter(move |t| t.kind == Some(kind));
        let by_pid = |kind: Kind, pid: u16| of(kind).find(|t| t.pid == pid);
        let video = match wish.video_pid {
            Some(pid) => by_pid(Kind::Video, pid),
            None => of(Kind::Video).next(),
        };
        let spoken = |t: &&Elementary| {
            let code = t.language.as_deref().unwrap_or_default();
            wish.audio_language.as_ref().is_some_and(|language| language.is_coded_as(code))
        };
        let audio = match wish.audio_pid {
            Some(pid) => by_pid(Kind::Audio, pid),
            None => of(Kind::Audio).find(spoken).or_else(|| of(Kind::Audio).next()),
        };
        let number = program.number;
        for (found, kind, pid) in
            [(video, Kind::Video, wish.video_pid), (audio, Kind::Audio, wish.audio_pid)]
        {
            if let (None, Some(pid)) = (found, pid) {
                let text = format!("there is no {kind} with PID {pid} in programme {number}");
                self.notes.push(text);
            }
        }
        if let (Some(language), None, Some(audio)) = (&wish.audio_language, wish.audio_pid, audio)
            && !spoken(&audio)
        {
            self.notes.push(format!("there is no sound in `{language}`: {audio} is taken"));
        }
        let taken: Vec<Elementary> = [video, audio].into_iter().flatten().cloned().collect();
        for other in all.iter().filter(|t| !taken.contains(t)) {
            let why = match other.kind {
                None => "no such media is taken".to_owned(),
                Some(kind) => match taken.iter().find(|t| t.kind == Some(kind)) {
                    Some(chosen) => format!("the {kind} track is PID {}", chosen.pid),
                    None => format!("another {kind} track is asked for"),
                },
            };
            self.notes.push(format!("{other} is ignored: {why}"));
        }
        (self.tracks, self.clock) = (Some(taken), Some(program.clock));
    }

    /// What is known of the track of a demuxer's pad, `audio_0_00101` for PID 257. `None` when it
    /// is not to be taken.
    pub(super) fn of_pad(&self, name: &str) -> Option<String> {
        let pid = name.rsplit('_').next().and_then(|pid| u16::from_str_radix(pid, 16).ok());
        match (&self.tracks, pid) {
            (Some(tracks), Some(pid)) => {
                tracks.iter().find(|t| t.pid == pid).map(Elementary::to_string)
            }
            _ => Some(format!("track `{name}`")),
        }
    }
}

#[cfg(test)]
#[path = "program_tests.rs"]
mod tests;
