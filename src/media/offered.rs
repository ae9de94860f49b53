//! Chooses among the tracks that a source offers.

use super::{Kind, TrackChoice};

/// A track that a source offers, as described by the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// Its short name: `PID 257`.
    pub label: String,
    /// Its full description: `PID 257 (0x101), AAC, language deu`.
    pub name: String,
    /// `None` if it is neither video nor audio that can be taken.
    pub kind: Option<Kind>,
    /// Its PID, if the source is MPEG-TS.
    pub pid: Option<u16>,
    /// Its language, as a code of ISO 639.
    pub language: Option<String>,
}

/// The chosen tracks of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picked {
    /// Indices into the list of tracks, at most one of each kind.
    pub taken: Vec<usize>,
    /// Notes on unfulfilled wishes and on video and audio that is not taken, with the reasons.
    pub notes: Vec<String>,
}

impl TrackChoice {
    /// Applies the choice to the tracks of one programme or file; `place` names it in notes.
    pub fn pick(&self, all: &[Offered], place: &str) -> Picked {
        let of = |kind: Kind| (0..all.len()).filter(move |n| all[*n].kind == Some(kind));
        let by_pid = |kind: Kind, pid: u16| of(kind).find(|n| all[*n].pid == Some(pid));
        let video = match self.video_pid {
            Some(pid) => by_pid(Kind::Video, pid),
            None => of(Kind::Video).next(),
        };
        let spoken = |n: &usize| {
            let code = all[*n].language.as_deref().unwrap_or_default();
            self.audio_language.as_ref().is_some_and(|language| language.is_coded_as(code))
        };
        let audio = match self.audio_pid {
            Some(pid) => by_pid(Kind::Audio, pid),
            None => of(Kind::Audio).find(spoken).or_else(|| of(Kind::Audio).next()),
        };
        let mut notes = Vec::new();
        for (found, kind, pid) in
            [(video, Kind::Video, self.video_pid), (audio, Kind::Audio, self.audio_pid)]
        {
            if let (None, Some(pid)) = (found, pid) {
                notes.push(format!("there is no {kind} with PID {pid} in {place}"));
            }
        }
        if let (Some(language), None, Some(audio)) = (&self.audio_language, self.audio_pid, audio)
            && !spoken(&audio)
        {
            notes.push(format!("there is no sound in `{language}`: {} is taken", all[audio].name));
        }
        let taken: Vec<usize> = [video, audio].into_iter().flatten().collect();
        for (n, other) in all.iter().enumerate().filter(|(n, _)| !taken.contains(n)) {
            let Some(kind) = other.kind else { continue };
            let why = match taken.iter().find(|n| all[**n].kind == Some(kind)) {
                Some(chosen) => format!("the {kind} track is {}", all[*chosen].label),
                None => format!("another {kind} track is asked for"),
            };
            notes.push(format!("{} is ignored: {why}", all[n].name));
        }
        Picked { taken, notes }
    }

    /// The choice without MPEG-TS numbers, for a source that is not MPEG-TS, with a note for each
    /// unused number.
    pub fn without_numbers(&self) -> (Self, Vec<String>) {
        let numbers = [
            ("program", self.program),
            ("video_pid", self.video_pid),
            ("audio_pid", self.audio_pid),
        ];
        let set = numbers.into_iter().filter(|(_, number)| number.is_some());
        let note = |field| format!("`tracks.{field}` is not used: this source is no MPEG-TS");
        let rest = Self { audio_language: self.audio_language.clone(), ..Self::default() };
        (rest, set.map(|(field, _)| note(field)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// H.264, audio in English and in German, a subtitle.
    fn film() -> Vec<Offered> {
        let track = |n: usize, kind, language: Option<&str>| Offered {
            label: format!("track {n}"),
            name: format!("track {n}, language {}", language.unwrap_or("unknown")),
            kind,
            pid: None,
            language: language.map(Into::into),
        };
        vec![
            track(1, Some(Kind::Video), None),
            track(2, Some(Kind::Audio), Some("en")),
            track(3, Some(Kind::Audio), Some("de")),
            track(4, None, Some("de")),
        ]
    }

    fn check(wish: &str, taken: &[usize], notes: &[&str]) {
        let wish: TrackChoice = serde_json::from_str(wish).expect("a wish");
        let found = wish.pick(&film(), "the film");
        let notes = notes.iter().map(|n| (*n).to_owned()).collect();
        assert_eq!(found, Picked { taken: taken.to_vec(), notes }, "{wish:?}");
    }

    #[test]
    fn a_language_is_taken_and_the_others_are_named() {
        let english = "track 2, language en is ignored: the audio track is track 3";
        let german = "track 3, language de is ignored: the audio track is track 2";
        check("{}", &[0, 1], &[german]);
        check(r#"{"audio_language":"deu"}"#, &[0, 2], &[english]);
        let french = "there is no sound in `fr`: track 2, language en is taken";
        check(r#"{"audio_language":"fr"}"#, &[0, 1], &[french, german]);
        check(
            r#"{"audio_pid":257}"#,
            &[0],
            &[
                "there is no audio with PID 257 in the film",
                "track 2, language en is ignored: another audio track is asked for",
                "track 3, language de is ignored: another audio track is asked for",
            ],
        );
    }

    #[test]
    fn numbers_that_say_nothing_are_named() {
        let wish = r#"{"program":2,"audio_pid":257,"audio_language":"de"}"#;
        let wish: TrackChoice = serde_json::from_str(wish).expect("a wish");
        let (rest, notes) = wish.without_numbers();
        let expect = TrackChoice { audio_language: wish.audio_language, ..TrackChoice::default() };
        assert_eq!(rest, expect);
        let because = "is not used: this source is no MPEG-TS";
        let fields = ["program", "audio_pid"].map(|f| format!("`tracks.{f}` {because}"));
        assert_eq!(notes, fields);
    }
}
