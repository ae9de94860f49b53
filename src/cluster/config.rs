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
    /// Address of the Redis in which the appliances of the cluster find each other; it may hold a
    /// password.
    pub redis: Secret,
    /// Base URL under which the other appliances reach this one.
    pub url: Option<String>,
    /// Whether publishers and players by WebRTC are sent to appliances that are clearly less loaded.
    pub redirect: bool,
    /// Base URL under which publishers and players reach this appliance, if it is not `url`.
    pub public_url: Option<String>,
    /// File with the certificates (PEM) that the other appliances and Redis are verified with, instead
    /// of those of the system.
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
            redis: Secret::default(),
            url: None,
            redirect: false,
            public_url: None,
            ca: None,
            streams_max: 32,
            idle_s: 10,
            linger_s: 300,
        }
    }
}

impl Config {
    /// Base URL to which the other appliances send clients. `None` unless this one takes part.
    pub(super) fn public(&self) -> Option<&String> {
        self.public_url.as_ref().or(self.url.as_ref()).filter(|_| self.redirect)
    }

    /// Settings that cannot work: field and reason.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut add = |field: &str, message: String| found.push((field.to_owned(), message));
        let token = self.token.expose();
        if self.token.is_empty() {
            if !self.origins.is_empty() {
                add("token", "origins want the token of the cluster: set the same there".into());
            } else if !self.redis.is_empty() {
                let message =
                    "`redis` wants the token of the cluster: set the same at all appliances";
                add("token", message.into());
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
        if let Some(problem) = redis_problem(&self.redis) {
            add("redis", problem);
        }
        match &self.url {
            Some(url) => {
                if let Some(problem) = base_problem(url) {
                    add("url", problem);
                }
            }
            None if self.redis.is_empty() => {}
            None => {
                let message = "`redis` tells the others this appliance's address: set it, as \
                               https://host:port";
                add("url", message.into());
            }
        }
        if self.redirect && self.redis.is_empty() {
            add("redirect", "it wants `redis`, which tells the load of the others".into());
        }
        if let Some(problem) = self.public_url.as_deref().and_then(base_problem) {
            add("public_url", problem);
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

/// What is wrong with the address of Redis, in a text that does not repeat it.
fn redis_problem(redis: &Secret) -> Option<String> {
    if redis.is_empty() {
        return None;
    }
    url_problem(redis.expose(), &["redis", "rediss"]).or_else(|| {
        let fits = redis::parse_redis_url(redis.expose()).is_some_and(|url| {
            let database = url.path().trim_start_matches('/');
            database.is_empty() || database.parse::<u16>().is_ok()
        });
        let message = "write it as redis://user:password@host:port/database, or rediss:// with TLS";
        (!fits).then(|| message.into())
    })
}

/// What is wrong with the base URL of an appliance.
pub(super) fn base_problem(text: &str) -> Option<String> {
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
        let with_redis = |token: &str, redis: &str, url: Option<&str>, expect: &[&str]| {
            let (token, redis) = (Secret::new(token), Secret::new(redis));
            let config = Config { token, redis, url: url.map(str::to_owned), ..Config::default() };
            let found = config.problems();
            let fields: Vec<&str> = found.iter().map(|(field, _)| field.as_str()).collect();
            assert_eq!(fields, expect, "{found:?}");
            assert!(!format!("{found:?}").contains("hunter2"), "{found:?}");
        };
        let here = Some("http://a:8080");
        with_redis(token, "redis://a", here, &[]);
        with_redis(token, "rediss://auralink:hunter2@a:6379/2", here, &[]);
        with_redis(token, "", here, &[]);
        with_redis("", "redis://a", here, &["token"]);
        with_redis(token, "redis://a", None, &["url"]);
        with_redis(token, "redis://:hunter2@a", Some("http://a/x"), &["url"]);
        for wrong in ["a:6379", "http://:hunter2@a", "redis://:hunter2@a/hunter2", "redis://"] {
            with_redis(token, wrong, here, &["redis"]);
        }
        let alone = Config { redirect: true, public_url: Some("a".into()), ..Config::default() };
        let fields: Vec<String> = alone.problems().into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["redirect", "public_url"]);
        let zero = Config { streams_max: 0, idle_s: 0, linger_s: 100_000, ..Config::default() };
        assert_eq!(zero.problems().len(), 3);
    }
}
