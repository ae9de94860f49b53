//! Text from pads: buffers of UTF-8 with timestamps become cues.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use crate::media::{Cue, IgnorePoison, Language, Origin, Stage};

/// Text is admitted at most this long before its picture.
const AHEAD_MAX: Duration = Duration::from_secs(5);

/// Duration per character of a text that has none: about reading speed.
const SHOWN_PER_CHARACTER: Duration = Duration::from_millis(60);

/// A cue for text from another source.
pub(super) fn cue(
    id: u64,
    text: &str,
    language: &Language,
    start: Duration,
    span: Option<Duration>,
) -> Cue {
    let reading = || SHOWN_PER_CHARACTER * text.chars().count().min(200) as u32;
    Cue {
        id,
        language: language.clone(),
        stage: Stage::Committed,
        start,
        end: start + span.unwrap_or_else(reading),
        text: text.to_owned(),
        words: Arc::default(),
        ends_sentence: true,
        origin: Arc::new(Origin { engine: "text".into(), model: None }),
        speaker: None,
    }
}

#[derive(Default)]
struct Place {
    /// Running time of the newest picture.
    picture: Duration,
    /// Everything is admitted: no further picture will come, or nothing may block.
    open: bool,
}

/// Holds text until the video is near it.
#[derive(Default)]
pub(super) struct Gate {
    place: Mutex<Place>,
    moved: Condvar,
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, Place> {
        self.place.lock().ignore_poison()
    }

    /// A picture has arrived, at this running time.
    pub(super) fn advance(&self, picture: Duration) {
        self.lock().picture = picture;
        self.moved.notify_all();
    }

    /// Admits everything until it is closed again: at the end of the video, while flushing, and
    /// when the element stops.
    pub(super) fn set_open(&self, open: bool) {
        self.lock().open = open;
        self.moved.notify_all();
    }

    /// Blocks until text of this time is admitted.
    pub(super) fn wait(&self, start: Duration) {
        let far = |place: &mut Place| !place.open && start > place.picture + AHEAD_MAX;
        let guard = self.lock();
        drop(self.moved.wait_while(guard, far).ignore_poison());
    }
}
