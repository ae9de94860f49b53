//! The transcriber's thread.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::engine_session::{Change, EngineSession};
use super::ring::{Piece, Ring};
use super::spoken::SpokenLanguage;
use super::window::{AudioWindow, WindowEvent, length};
use super::{Event, Options, Stats, Status};
use crate::media::{Cue, Origin, Word};
use crate::speech::speakers::Turns;
use crate::speech::stt::agreement::{Agreement, Pace};
use crate::speech::stt::engines::Engines;
use crate::speech::stt::guard::{self, Evidence};
use crate::speech::stt::phrases::Phrases;
use crate::speech::stt::recognizer::{Error, Hypothesis, Window};
use crate::speech::vad::{SPEECH_RATE_HZ, SpeechSegment};

/// Speech needed for the first hypothesis of an utterance.
const FIRST_SPEECH_MIN: Duration = Duration::from_millis(500);

/// After a silence of this length the preceding text no longer helps the engine.
const PROMPT_FORGOTTEN: Duration = Duration::from_secs(2);

/// Longest preceding text in the prompt, in characters.
const PROMPT_CHARS_MAX: usize = 200;

/// An engine that lags this far behind for [`LAG_ALLOWED`] is given up if there is another.
const LAG_MAX: Duration = Duration::from_millis(2500);
/// Time for an engine to catch up, for example after a pause of the machine.
const LAG_ALLOWED: Duration = Duration::from_secs(4);

/// After this many late answers in a row another engine is tried.
const LATE_ANSWERS_MAX: u32 = 3;

/// How often the list of engines is renewed while there is none: a model may have been installed.
const ENGINES_CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// Silence that is kept after an utterance, for the next onset.
const SILENCE_KEPT: Duration = Duration::from_millis(200);

/// State of the thread.
pub(super) struct Worker {
    engines: Arc<Engines>,
    options: Options,
    ring: Arc<Ring>,
    stats: Arc<Stats>,
    events: Box<dyn FnMut(Event) + Send>,
    ears: EngineSession,
    audio: AudioWindow,
    agreement: Agreement,
    phrases: Phrases,
    /// Who speaks, if that is wanted.
    turns: Option<Turns>,
    status: Option<Status>,
    /// Audio that was taken from the ring and not processed yet.
    waiting: VecDeque<Piece>,
    /// The utterance has ended and is not transcribed yet.
    closing: Option<SpeechSegment>,
    /// Samples of the window that the engine has got; `None`: it needs all of them again.
    given: Option<usize>,
    /// Edge of the window at the last hypothesis.
    decoded_at: Duration,
    language: SpokenLanguage,
    prompt: String,
    late: u32,
    lagging: Option<Instant>,
    looked: Instant,
    /// Generation of the model files when the engines were chosen.
    generation: u64,
}

/// The pace before the first engine.
const PACE: Pace = Pace {
    step: Duration::from_secs(1),
    steps_per_window: u32::MAX,
    trim: Duration::from_millis(600),
    cut_after: Duration::from_secs(8),
    window_max: Duration::from_secs(12),
};

impl Worker {
    pub(super) fn new(
        engines: Arc<Engines>,
        options: Options,
        ring: Arc<Ring>,
        stats: Arc<Stats>,
        events: Box<dyn FnMut(Event) + Send>,
    ) -> Self {
        let generation = engines.generation();
        let ears = EngineSession::new(engines.choose(&options.wanted));
        let audio = AudioWindow::new(engines.detector());
        let language = SpokenLanguage::new(&options.wanted);
        let nobody = Arc::new(Origin { engine: String::new(), model: None });
        let spoken = language.of_engine(None);
        Self {
            engines,
            ring,
            stats,
            events,
            ears,
            audio,
            agreement: Agreement::new(PACE),
            phrases: Phrases::new(spoken, nobody, true, 1),
            turns: options.speakers.then(Turns::default),
            status: None,
            waiting: VecDeque::new(),
            closing: None,
            given: None,
            decoded_at: Duration::ZERO,
            language,
            prompt: String::new(),
            late: 0,
            lagging: None,
            looked: Instant::now(),
            generation,
            options,
        }
    }

    pub(super) fn run(mut self) {
        loop {
            self.poll_engines();
            let hungry = self.hungry();
            let taken = self.ring.take(hungry);
            if taken.closed {
                return;
            }
            for piece in taken.pieces {
                if let Some(turns) = &mut self.turns {
                    turns.hear(piece.at, &piece.samples);
                }
                self.waiting.push_back(piece);
            }
            self.hear();
            self.watch_lag();
            let off = matches!(self.status, Some(Status::Off { .. }));
            if taken.ended || (off && self.ring.is_ended()) {
                self.finish(off);
                return;
            }
        }
    }

    fn emit(&mut self, event: Event) {
        if !self.ring.is_closed() {
            (self.events)(event);
        }
    }

    /// Whether to take more audio: an utterance that waits for an engine delays what follows, and
    /// the ring is bounded.
    fn hungry(&mut self) -> bool {
        let window = self.audio.edge().saturating_sub(self.audio.from());
        let full = window >= PACE.window_max && self.ears.current().is_none();
        self.closing.is_none() && self.waiting.is_empty() && !(full && self.audio.is_open())
    }

    fn finish(&mut self, off: bool) {
        if !off {
            self.closing = self.closing.or_else(|| self.audio.close());
            let begun = Instant::now();
            // The engine may just have died: gives the next one a chance.
            while self.closing.is_some() && begun.elapsed() < Duration::from_secs(20) {
                self.decode();
                if self.closing.is_some() {
                    self.poll_engines();
                    if self.ring.take(false).closed {
                        return;
                    }
                }
            }
            if let Some(cue) = self.phrases.end(Duration::from_secs(1)) {
                self.emit(Event::Committed(cue));
            }
        }
        self.emit(Event::Ended);
    }

    /// Processes the audio taken; stops if an utterance waits for an engine.
    fn hear(&mut self) {
        if self.closing.is_some() {
            self.decode();
        }
        while self.closing.is_none()
            && let Some(piece) = self.waiting.pop_front()
        {
            let before = self.audio.edge();
            let heard = self.audio.hear(piece);
            let new = self.audio.edge().saturating_sub(before);
            self.stats.hear((new.as_secs_f64() * SPEECH_RATE_HZ as f64) as usize);
            let Some((heard, rest)) = heard else { continue };
            if let Some(rest) = rest {
                self.waiting.push_front(rest);
            }
            match heard {
                WindowEvent::Opened => {
                    self.language.begin_utterance();
                    self.given = None;
                    self.decoded_at = self.audio.from();
                    let silence =
                        self.audio.from().saturating_sub(self.agreement.committed_until());
                    if silence > PROMPT_FORGOTTEN {
                        self.prompt.clear();
                    }
                }
                WindowEvent::Closed(spoken) | WindowEvent::Jumped(Some(spoken)) => {
                    self.closing = Some(spoken);
                    self.decode();
                }
                WindowEvent::Jumped(None) => self.agreement.interrupt(),
            }
        }
        let new = self.audio.edge().saturating_sub(self.decoded_at);
        let window = self.audio.edge().saturating_sub(self.audio.from());
        let step = self.ears.current().map(|(engine, _)| engine.pace().step_of(window));
        if self.closing.is_none()
            && self.audio.is_open()
            && step.is_some_and(|step| new >= step)
            && self.audio.spoken().speech >= FIRST_SPEECH_MIN
        {
            self.decode();
        }
        if !self.audio.is_open() && self.closing.is_none() && self.phrases.pending().is_empty() {
            self.emit(Event::HeardUntil(self.audio.edge()));
        }
    }

    /// Sends the window to the engine, if there is one.
    fn decode(&mut self) {
        let last = self.closing.is_some();
        let spoken = self.closing.unwrap_or_else(|| self.audio.spoken());
        if !believable(spoken, last) {
            if last {
                Stats::count(&self.stats.refused);
                self.conclude();
            }
            return;
        }
        let edge = self.audio.edge();
        let language = self.language.asked(spoken.speech, last, edge);
        let prompt = self.full_prompt();
        let Some((_, session)) = self.ears.current() else { return };
        let samples = self.audio.samples();
        let window = Window {
            samples,
            fresh: self.given.map_or(samples.len(), |given| samples.len().saturating_sub(given)),
            last,
            language: language.as_ref(),
            prompt: &prompt,
            deadline: Duration::from_secs(4),
        };
        let begun = Instant::now();
        let answer = session.hear(&window);
        self.stats.busy(begun.elapsed());
        self.decoded_at = edge;
        match answer {
            Ok(hypothesis) => {
                Stats::count(&self.stats.decoded);
                self.late = 0;
                self.given = Some(self.audio.samples().len());
                self.take_words(hypothesis, spoken, last);
            }
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&mut self, error: &Error) {
        self.given = None;
        if matches!(error, Error::Late { .. }) {
            Stats::count(&self.stats.late);
            self.late += 1;
            if self.late < LATE_ANSWERS_MAX || !self.ears.has_next() {
                return;
            }
        }
        self.give_up(&error.to_string());
    }

    /// The current engine is unusable: the next one gets the window again.
    fn give_up(&mut self, why: &str) {
        tracing::warn!(why, "a speech-to-text engine is given up for now");
        Stats::count(&self.stats.failures);
        self.late = 0;
        self.lagging = None;
        self.given = None;
        self.ears.fail(why);
        self.agreement.interrupt();
        self.poll_engines();
    }

    fn take_words(&mut self, hypothesis: Hypothesis, spoken: SpeechSegment, last: bool) {
        let (from, edge) = (self.audio.from(), self.audio.edge());
        self.follow_language(&hypothesis, spoken.speech, edge);
        let evidence =
            Evidence { dbfs: guard::dbfs(self.audio.samples()), speech: ratio(spoken, last) };
        let window = edge.saturating_sub(from);
        let word = |w: crate::speech::stt::Recognition| Word {
            start: from + w.start.min(window),
            end: from + w.end.min(window),
            text: w.text,
            confidence: w.confidence,
        };
        let words = hypothesis.words.into_iter().map(word).collect();
        let words = guard::believe(words, self.phrases.language(), evidence);
        let decision = self.agreement.update(words, from, edge, last);
        let added = decision.committed.len() as u64;
        self.stats.words.fetch_add(added, std::sync::atomic::Ordering::Relaxed);
        for word in decision.committed {
            let before = self.attribute(&word);
            for cue in before.into_iter().chain(self.phrases.add([word])) {
                self.remember(&cue.text);
                self.emit(Event::Committed(cue));
            }
        }
        if last {
            self.conclude();
            return;
        }
        if let Some(partial) = self.phrases.partial(&decision.partial) {
            self.emit(Event::Partial(partial));
        }
        if let Some(cut) = decision.cut {
            self.audio.cut(cut);
            self.given = None;
        }
    }

    /// Finds the speaker of the next word; returns the pending words if another has spoken them.
    fn attribute(&mut self, word: &Word) -> Option<Cue> {
        let middle = word.start + word.end.saturating_sub(word.start) / 2;
        let speaker = self.turns.as_mut()?.speaker(middle)?;
        self.phrases.set_speaker(Some(format!("Speaker {speaker}").into()))
    }

    /// The utterance has ended: pending words become a cue and the window is cleared.
    fn conclude(&mut self) {
        self.closing = None;
        self.given = None;
        let edge = self.audio.edge();
        let pause = edge.saturating_sub(self.agreement.committed_until());
        if let Some(cue) = self.phrases.end(pause) {
            self.remember(&cue.text);
            self.emit(Event::Committed(cue));
        }
        self.agreement.interrupt();
        self.audio.cut(edge.saturating_sub(SILENCE_KEPT));
        self.decoded_at = edge;
        self.emit(Event::HeardUntil(edge));
    }

    fn remember(&mut self, text: &str) {
        if !self.prompt.is_empty() {
            self.prompt.push(' ');
        }
        self.prompt.push_str(text);
        let letters = self.prompt.chars().count();
        if letters > PROMPT_CHARS_MAX {
            let kept: String = self.prompt.chars().skip(letters - PROMPT_CHARS_MAX).collect();
            self.prompt = kept.split_once(' ').map_or(kept.clone(), |(_, rest)| rest.to_owned());
        }
    }

    fn full_prompt(&self) -> String {
        let terms = self.options.terms.join(", ");
        match (terms.is_empty(), self.prompt.is_empty()) {
            (true, _) => self.prompt.clone(),
            (false, true) => format!("{terms}."),
            (false, false) => format!("{terms}. {}", self.prompt),
        }
    }

    /// Follows the language of an engine that hears several.
    fn follow_language(&mut self, hypothesis: &Hypothesis, speech: Duration, edge: Duration) {
        if self.ears.current().is_none_or(|(engine, _)| engine.only_language().is_some()) {
            return;
        }
        if let Some(guess) = self.language.hear(hypothesis, speech, edge) {
            self.agreement.interrupt();
            // Text in another language misleads the engine.
            self.prompt.clear();
            self.retitle();
            self.emit(Event::Language(guess.language, guess.probability));
        }
    }

    /// Sets language and engine of the following cues.
    fn retitle(&mut self) {
        let Some((engine, _)) = self.ears.current() else { return };
        let (origin, punctuates) = (engine.origin(), engine.punctuates());
        let language = self.language.of_engine(engine.only_language());
        if let Some(cue) = self.phrases.change(language, origin, punctuates) {
            self.emit(Event::Committed(cue));
        }
    }

    fn poll_engines(&mut self) {
        let pause = !self.audio.is_open() && self.closing.is_none();
        let again = self.ears.is_empty() && self.looked.elapsed() > ENGINES_CHECK_INTERVAL;
        let generation = self.engines.generation();
        // A model was added or removed: changes at a pause, so that no word is lost.
        if again || (pause && generation != self.generation) {
            (self.looked, self.generation) = (Instant::now(), generation);
            self.ears.choose(self.engines.choose(&self.options.wanted));
        }
        for change in self.ears.poll(pause) {
            match change {
                Change::Failed { engine, why } => {
                    Stats::count(&self.stats.failures);
                    let engine = self.ears.engine(engine).name();
                    tracing::warn!(engine, why, "a speech-to-text engine does not start");
                }
                Change::Current { from, to, why } => {
                    let pace = self.ears.engine(to).pace();
                    let to = self.ears.engine(to).name().to_owned();
                    self.agreement.set_pace(pace);
                    self.given = None;
                    self.retitle();
                    if from.is_some() {
                        Stats::count(&self.stats.switches);
                    }
                    self.emit(Event::Switched { from, to, why });
                }
            }
        }
        let origin = self.ears.current().map(|(engine, _)| engine.origin());
        let status = match origin {
            Some(origin) => {
                Status::Listening { engine: origin.engine.clone(), model: origin.model.clone() }
            }
            None if self.ears.is_starting() => Status::Starting,
            None => Status::Off { why: self.ears.why_not() },
        };
        if self.status.as_ref() != Some(&status) {
            self.status = Some(status.clone());
            self.emit(Event::State(status));
        }
    }

    /// Gives up an engine that is slower than the audio, if there is another.
    fn watch_lag(&mut self) {
        let waiting: usize = self.waiting.iter().map(|p| p.samples.len()).sum();
        let lag = self.ring.waiting() + length(waiting);
        let ms = lag.as_millis() as u64;
        self.stats.lag_ms.store(ms, std::sync::atomic::Ordering::Relaxed);
        if self.options.wait || lag < LAG_MAX {
            self.lagging = None;
            return;
        }
        let since = *self.lagging.get_or_insert_with(Instant::now);
        if since.elapsed() > LAG_ALLOWED && self.ears.has_next() && self.ears.current().is_some() {
            self.give_up("it is slower than the sound");
        }
    }
}

/// Share of speech in an utterance; one that has ended includes the silence that ended it.
fn ratio(spoken: SpeechSegment, last: bool) -> f32 {
    let hangover = if last { Duration::from_millis(300) } else { Duration::ZERO };
    spoken.ratio(hangover)
}

/// Whether the utterance is worth transcribing.
fn believable(spoken: SpeechSegment, last: bool) -> bool {
    spoken.is_speech() && ratio(spoken, last) >= guard::SPEECH_RATIO_MIN
}
