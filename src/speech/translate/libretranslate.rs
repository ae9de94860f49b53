//! `libretranslate`: any server with LibreTranslate's HTTP interface
//! (<https://docs.libretranslate.com/guides/api_usage/>).

use std::sync::Mutex;
use std::time::Duration;

use futures::future::BoxFuture;
use serde::Deserialize;
use serde_json::json;

use super::engine::{Job, Output, Pair, Translator, suspicious};
use super::protect::Protected;
use super::{Error, routes};
use crate::media::{IgnorePoison, Language, Secret};
use crate::speech::http::{Auth, Client};

/// Largest answer, in bytes. The list of languages has about 50 rows of 50 targets each.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// `[translate.libretranslate]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Address of the server: `http://10.0.0.7:5000`.
    pub url: String,
    /// The server's key, if it needs one.
    #[serde(default)]
    pub key: Secret,
}

/// A language and its targets.
type Targets = (Language, Vec<Language>);

/// A client of one server.
pub struct LibreTranslate {
    client: Client,
    key: Secret,
    /// Source and targets, in the server's own codes; `None` until the server has answered.
    languages: Mutex<Option<Vec<Targets>>>,
}

#[derive(Deserialize)]
struct Row {
    code: String,
    #[serde(default)]
    targets: Vec<String>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "translatedText")]
    translated: String,
}

impl LibreTranslate {
    /// A client; sends no request yet.
    ///
    /// # Errors
    /// An address that cannot be used.
    pub fn new(config: &Config, timeout: Duration) -> Result<Self, Error> {
        let client = Client::new(&config.url, &config.key, Auth::Body, timeout)?;
        Ok(Self { client, key: config.key.clone(), languages: Mutex::default() })
    }

    /// The server's codes for a pair; the plain codes until it has answered.
    fn codes(&self, from: &Language, to: &Language) -> Option<(String, String)> {
        let languages = self.languages.lock().ignore_poison();
        let Some(languages) = languages.as_ref() else {
            return Some((from.primary().to_owned(), to.primary().to_owned()));
        };
        let from = routes::nearest(languages.iter().map(|(l, _)| l), from)?;
        let (_, targets) = languages.iter().find(|(l, _)| l == from)?;
        let to = routes::nearest(targets.iter(), to)?;
        Some((from.to_string(), to.to_string()))
    }

    fn is_known(&self) -> bool {
        self.languages.lock().ignore_poison().is_some()
    }

    async fn ask(&self, text: &str, from: &str, to: &str) -> Result<String, Error> {
        let mut body = json!({"q": text, "source": from, "target": to, "format": "text"});
        if !self.key.is_empty() {
            body["api_key"] = self.key.expose().into();
        }
        let request = self.client.post("/translate").json(&body);
        let answer: Answer = self.client.json(request, ANSWER_BYTES_MAX).await?;
        let text = answer.translated.split_whitespace().collect::<Vec<_>>().join(" ");
        match suspicious(body["q"].as_str().unwrap_or_default(), &text) {
            Some(reason) => Err(Error::Unsuitable { engine: "libretranslate", reason }),
            None => Ok(text),
        }
    }
}

impl Translator for LibreTranslate {
    fn can(&self, from: &Language, to: &Language) -> bool {
        self.codes(from, to).is_some()
    }

    fn pairs(&self) -> Vec<Pair> {
        let languages = self.languages.lock().ignore_poison();
        let pair = |from: &Language, to: &Language| Pair {
            from: from.clone(),
            to: to.clone(),
            engine: "libretranslate".into(),
            via: Vec::new(),
        };
        let all = languages.iter().flatten();
        all.flat_map(|(from, targets)| {
            targets.iter().filter(move |to| *to != from).map(move |to| pair(from, to))
        })
        .collect()
    }

    fn refresh(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            let rows: Vec<Row> =
                self.client.json(self.client.get("/languages"), ANSWER_BYTES_MAX).await?;
            let codes: Vec<String> = rows.iter().map(|r| r.code.clone()).collect();
            // Servers before 1.3 send no `targets`: they translate every language into every other.
            let read = |row: &Row| {
                let targets = if row.targets.is_empty() { &codes } else { &row.targets };
                let targets = targets.iter().filter_map(|t| t.parse().ok()).collect();
                Some((row.code.parse().ok()?, targets))
            };
            let languages = rows.iter().filter_map(read).collect();
            *self.languages.lock().ignore_poison() = Some(languages);
            Ok(())
        })
    }

    fn translate<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<Output, Error>> {
        Box::pin(async move {
            if !self.is_known() {
                self.refresh().await?;
            }
            let no_route = || Error::NoRoute { from: job.from.clone(), to: job.to.clone() };
            let (from, to) = self.codes(&job.from, &job.to).ok_or_else(no_route)?;
            let protected = Protected::new(&job.text, &job.fixed);
            let translated = self.ask(&protected.text, &from, &to).await?;
            let text = match protected.restore(&translated) {
                Some(text) => text,
                None => self.ask(&job.text, &from, &to).await?,
            };
            Ok(Output { text, model: None })
        })
    }
}
