//! `espeak`: one espeak-ng process per phrase: small, available on every machine, robotic.

use std::process::{Command, Stdio};

use futures::future::BoxFuture;
use serde::Deserialize;

use super::engine::{OUTPUT_MAX_S, Pcm, Synthesiser, Utterance, Voice};
use super::{Error, process, wav};
use crate::media::Language;

/// espeak-ng speaks at 22050 Hz with 16 bits.
const OUTPUT_BYTES_MAX: usize = OUTPUT_MAX_S * 22_050 * 2 + 44;

/// Words per minute at rate 1 (espeak-ng's default).
const WORDS_PER_MINUTE: f32 = 175.0;

/// `[tts.espeak]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The program: a name on `$PATH`, or a path.
    pub program: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { program: "espeak-ng".into() }
    }
}

/// The program with its voices.
pub struct Espeak {
    program: String,
    voices: Vec<Language>,
}

impl Espeak {
    /// Asks the program for its voices; none if it is not installed.
    pub fn new(config: &Config) -> Self {
        let asked =
            Command::new(&config.program).arg("--voices").stdin(Stdio::null()).output().ok();
        let listed = asked.filter(|o| o.status.success());
        let listed = listed.map(|o| String::from_utf8_lossy(&o.stdout).into_owned());
        Self { program: config.program.clone(), voices: listed.map_or(Vec::new(), |l| voices(&l)) }
    }

    /// The argument of `-v`: the requested voice, or the nearest to the language.
    fn voice(&self, utterance: &Utterance) -> Result<String, Error> {
        let Some(wanted) = &utterance.voice else {
            let nearest = nearest(&self.voices, &utterance.language);
            let nearest = nearest.ok_or_else(|| Error::NoVoice(utterance.language.clone()))?;
            return Ok(nearest.as_str().to_lowercase());
        };
        // `en-us+f3`: a listed voice and a variant. A file system path matches neither.
        let (base, variant) = wanted.split_once('+').map_or((wanted.as_str(), ""), |v| v);
        let known = self.voices.iter().any(|v| v.as_str().eq_ignore_ascii_case(base));
        if known && variant.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Ok(wanted.to_lowercase().replace(&variant.to_lowercase(), variant));
        }
        let voice = wanted.chars().take(80).collect();
        Err(Error::UnknownVoice { engine: "espeak", voice })
    }
}

/// Languages in the second column of `espeak-ng --voices`.
fn voices(listed: &str) -> Vec<Language> {
    let language = |line: &str| line.split_whitespace().nth(1)?.parse().ok();
    let mut voices: Vec<Language> = listed.lines().skip(1).filter_map(language).collect();
    voices.sort();
    voices.dedup();
    voices
}

/// The voice of a language: itself, else the plain one, else any regional one (`en-us` for `en`,
/// because espeak-ng has no plain English).
fn nearest<'a>(voices: &'a [Language], wanted: &Language) -> Option<&'a Language> {
    // espeak-ng calls Norwegian `nb` and Mandarin `cmn`.
    let wanted = match wanted.primary() {
        "zh" => "cmn".parse().ok()?,
        "no" | "nn" => "nb".parse().ok()?,
        "sh" => "hr".parse().ok()?,
        _ => wanted.clone(),
    };
    let exact = |v: &&Language| v.as_str().eq_ignore_ascii_case(wanted.as_str());
    let plain = |v: &&Language| v.as_str() == wanted.primary();
    let preferred =
        |v: &&Language| ["en-us", "fr-fr"].contains(&v.as_str().to_lowercase().as_str());
    let same = || voices.iter().filter(|v| v.same_language(&wanted));
    same()
        .find(exact)
        .or_else(|| same().find(plain))
        .or_else(|| same().find(preferred))
        .or_else(|| same().next())
}

impl Synthesiser for Espeak {
    fn can(&self, language: &Language) -> bool {
        nearest(&self.voices, language).is_some()
    }

    fn voices(&self) -> Vec<Voice> {
        let voice = |language: &Language| Voice {
            language: language.clone(),
            engine: "espeak".into(),
            voice: Some(language.as_str().to_lowercase()),
        };
        self.voices.iter().map(voice).collect()
    }

    fn missing(&self) -> Option<String> {
        let why = || format!("`{}` lists no voices: sudo apt-get install espeak-ng", self.program);
        self.voices.is_empty().then(why)
    }

    fn speak<'a>(&'a self, utterance: &'a Utterance) -> BoxFuture<'a, Result<Pcm, Error>> {
        Box::pin(async move {
            let voice = self.voice(utterance)?;
            let speed = (WORDS_PER_MINUTE * utterance.rate).round();
            let pitch = (50.0 * utterance.pitch).round().min(99.0);
            // No `-m`: markup is read as text. `-z`: no pause after the phrase; we add our own.
            let options = ["-v", &voice, "-s", &speed.to_string(), "-p", &pitch.to_string()];
            let rest = ["-b", "1", "-z", "--stdin", "--stdout"];
            let arguments: Vec<String> =
                options.iter().chain(&rest).map(ToString::to_string).collect();
            let run = || {
                process::run("espeak", &self.program, &arguments, &utterance.text, OUTPUT_BYTES_MAX)
            };
            // Retries once: a killed process does not mean that the next one fails.
            let audio = match run().await {
                Err(Error::Died { .. }) => run().await?,
                other => other?,
            };
            wav::read(&audio).map_err(|reason| Error::Unsuitable { engine: "espeak", reason })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn voices_are_read_and_the_nearest_is_taken() {
        let listed = "Pty Language       Age/Gender VoiceName          File                 Other\n \
                      5  en-us           --/M      English_(America)  gmw/en-US            (en 3)\n \
                      5  en-029          --/M      English_(Caribb)   gmw/en-029           (en 10)\n \
                      5  es              --/M      Spanish_(Spain)    roa/es\n \
                      5  es-419          --/M      Spanish_(Latin)    roa/es-419           (es-mx 6)\n";
        let voices = voices(listed);
        let near = |tag: &str| {
            nearest(&voices, &tag.parse().expect("a tag")).map_or("-", Language::as_str)
        };
        assert_eq!(near("en"), "en-us");
        assert_eq!(near("es-MX"), "es");
        assert_eq!(near("es-419"), "es-419");
        assert_eq!(near("fr"), "-");
    }
}
