//! `[cluster]`: the appliances that share streams.

use std::path::PathBuf;

use serde::Deserialize;

use crate::media::{Secret, token_problem, url_problem};

/// Shortest token of a cluster, in characters: it opens every stream.
const TOKEN_CHARS_MIN: usize = 24;

/// Most origins: each lookup asks all of them.
const ORIGINS_COUNT_MAX: usize = 16;

/// `[cluster]`: the appliances that share streams.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The secret that the appliances of a cluster share: edges show it to their origins.
    pub token: Secret,
    /// Base URLs of the appliances that have the streams which this one lacks, the best one first.
    pub origins: Vec<String>,
    /// File with the certificates (PEM) that the origins are verified with, instead of those of the
    /// system.
    pub ca: Option<PathBuf>,
    /// Most streams that come from origins at once.
    pub streams_max: usize,
    /// A stream of an origin without viewers is given up after this time, in seconds.
    pub idle_s: u32,
    /// How long its viewers stay on the slate without the origin, in seconds.
    pub linger_s: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            token: Secret::default(),
            origins: Vec::new(),
            ca: None,
            streams_max: 32,
            idle_s: 10,
            linger_s: 300,
        }
    }
}

impl Config {
    /// Settings that cannot work: field and reason.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut add = |field: &str, message: String| found.push((field.to_owned(), message));
        let token = self.token.expose();
        if self.token.is_empty() {
            if !self.origins.is_empty() {
                add("token", "origins want the token of the cluster: set the same there".into());
            }
        } else if token.len() < TOKEN_CHARS_MIN {
            let message = "at least 24 characters, such as those of `openssl rand -hex 32`";
            add("token", message.into());
        } else if let Some(problem) = token_problem(token) {
            add("token", problem);
        }
        if self.origins.len() > ORIGINS_COUNT_MAX {
            add("origins", format!("at most {ORIGINS_COUNT_MAX}"));
        }
        for (index, origin) in self.origins.iter().enumerate() {
            let twice = || "it is there twice".to_owned();
            let problem =
                base_problem(origin).or_else(|| self.origins[..index].contains(origin).then(twice));
            if let Some(problem) = problem {
                add(&format!("origins[{index}]"), problem);
            }
        }
        if self.streams_max == 0 {
            add("streams_max", "at least 1".into());
        }
        for (field, seconds) in [("idle_s", self.idle_s), ("linger_s", self.linger_s)] {
            if !(1..=86_400).contains(&seconds) {
                add(field, "1-86400 seconds".into());
            }
        }
        found
    }
}

/// What is wrong with the base URL of an origin.
fn base_problem(text: &str) -> Option<String> {
    let bare = |url: url::Url| {
        url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
    };
    url_problem(text, &["https", "http"]).or_else(|| {
        let fits = url::Url::parse(text).is_ok_and(bare);
        (!fits).then(|| "write it as https://host:port, without anything behind".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_named() {
        let token = "a-token-of-the-cluster-0123456789";
        let check = |token: &str, origins: &[&str], expect: &[&str]| {
            let origins = origins.iter().map(|o| (*o).to_owned()).collect();
            let config = Config { token: Secret::new(token), origins, ..Config::default() };
            let found = config.problems();
            let fields: Vec<&str> = found.iter().map(|(field, _)| field.as_str()).collect();
            assert_eq!(fields, expect, "{found:?}");
        };
        check("", &[], &[]);
        check(token, &["http://a:8080", "https://[::1]:8443/"], &[]);
        check("", &["http://a"], &["token"]);
        check("short", &[], &["token"]);
        check(
            token,
            &["ftp://a", "http://a/x", "http://u@a", "http://a?b"],
            &["origins[0]", "origins[1]", "origins[2]", "origins[3]"],
        );
        check(token, &["http://a", "http://a"], &["origins[1]"]);
        let zero = Config { streams_max: 0, idle_s: 0, linger_s: 100_000, ..Config::default() };
        assert_eq!(zero.problems().len(), 3);
    }
}
