//! `flite`: one process of Flite per phrase: English only, quick, easier to understand than espeak-ng.

use std::path::Path;
use std::process::{Command, Stdio};

use futures::future::BoxFuture;
use serde::Deserialize;
use tempfile::NamedTempFile;
use tokio::task::spawn_blocking;
use unicode_normalization::UnicodeNormalization;

use super::engine::{OUTPUT_MAX_S, Pcm, Synthesiser, Utterance, Voice};
use super::{Error, process, wav};
use crate::media::Language;
use crate::speech::EngineError;

/// Largest WAV file of a phrase, in bytes: flite speaks at 16 kHz with 16 bits.
const OUTPUT_BYTES_MAX: u64 = OUTPUT_MAX_S as u64 * 16_000 * 2 + 44;

/// What the program may write to standard output, in bytes; nothing is expected.
const CHATTER_BYTES_MAX: usize = 64 << 10;

/// `[tts.flite]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The program: a name on `$PATH`, or a path.
    pub program: String,
    /// The voice for texts that name none.
    pub voice: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { program: "flite".into(), voice: "slt".into() }
    }
}

/// The program with its voices.
pub(super) struct Flite {
    config: Config,
    voices: Vec<String>,
}

impl Flite {
    /// Asks the program for its voices; none if it is not installed.
    pub(super) fn new(config: &Config) -> Self {
        let asked = Command::new(&config.program).arg("-lv").stdin(Stdio::null()).output().ok();
        let listed = asked.map(|output| voices(&String::from_utf8_lossy(&output.stdout)));
        Self { config: config.clone(), voices: listed.unwrap_or_default() }
    }

    fn voice<'a>(&'a self, utterance: &'a Utterance) -> Result<&'a str, Error> {
        let wanted = utterance.voice.as_ref().unwrap_or(&self.config.voice);
        let voice = wanted.chars().take(80).collect();
        let known = self.voices.iter().find(|known| *known == wanted);
        known.map(String::as_str).ok_or(Error::UnknownVoice { engine: "flite", voice })
    }

    async fn ask(&self, utterance: &Utterance) -> Result<Pcm, Error> {
        let voice = self.voice(utterance)?;
        let program = &self.config.program;
        let failed = |source| EngineError::Start { program: program.clone(), source };
        // It goes back in the file to write the length, so it cannot write to a pipe.
        let file = spawn_blocking(NamedTempFile::new).await.map_err(std::io::Error::other);
        let file = file.and_then(|made| made).map_err(failed)?;
        let arguments = [
            "--setf".to_owned(),
            format!("duration_stretch={:.3}", 1.0 / utterance.rate),
            "-voice".to_owned(),
            voice.to_owned(),
            "-f".to_owned(),
            "/dev/stdin".to_owned(),
            "-o".to_owned(),
            file.path().display().to_string(),
        ];
        let text = ascii(&utterance.text);
        process::run("flite", program, &arguments, &text, CHATTER_BYTES_MAX).await?;
        let audio = spawn_blocking(move || read(file.path())).await.map_err(std::io::Error::other);
        let audio = audio.and_then(|read| read).map_err(failed)?;
        wav::read(&audio).map_err(|reason| Error::Unsuitable { engine: "flite", reason })
    }
}

/// The names after the colon: `Voices available: kal awb_time kal16 awb rms slt`. A voice that only
/// tells the time is left out.
fn voices(listed: &str) -> Vec<String> {
    let (_, names) = listed.split_once(':').unwrap_or_default();
    let names = names.split_whitespace().filter(|name| !name.ends_with("_time"));
    names.map(str::to_owned).collect()
}

/// Letters without accents: flite reads bytes.
fn ascii(text: &str) -> String {
    let plain = |c: char| match c {
        '\u{2018}' | '\u{2019}' => '\'',
        '\u{201c}' | '\u{201d}' => '"',
        '–' | '—' => ',',
        c => c,
    };
    text.chars().map(plain).nfd().filter(char::is_ascii).collect()
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let size = std::fs::metadata(path)?.len();
    match size > OUTPUT_BYTES_MAX {
        true => Err(std::io::Error::other(format!("{size} bytes of sound"))),
        false => std::fs::read(path),
    }
}

impl Synthesiser for Flite {
    fn can(&self, language: &Language) -> bool {
        !self.voices.is_empty() && language.primary() == "en"
    }

    fn voices(&self) -> Vec<Voice> {
        let voice = |voice: &String| Voice {
            language: Language::english(),
            engine: "flite".into(),
            voice: Some(voice.clone()),
        };
        self.voices.iter().map(voice).collect()
    }

    fn missing(&self) -> Option<String> {
        let why =
            || format!("`{}` lists no voices: sudo apt-get install flite", self.config.program);
        self.voices.is_empty().then(why)
    }

    fn speak<'a>(&'a self, utterance: &'a Utterance) -> BoxFuture<'a, Result<Pcm, Error>> {
        Box::pin(self.ask(utterance))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn voices_are_read_and_letters_become_ascii() {
        assert_eq!(voices("Voices available: kal awb_time rms slt \n"), ["kal", "rms", "slt"]);
        assert!(voices("command not found").is_empty() && voices("").is_empty());
        assert_eq!(ascii("Café — it\u{2019}s “naïve” 你"), "Cafe , it's \"naive\" ");
    }
}
