//! `[database]`: where the tables are.

use std::path::PathBuf;

use serde::Deserialize;

use crate::media::{Secret, url_problem, url_without_secrets};

/// Parameters that an address may have: those that need no second look at what they do to the
/// queries.
const PARAMETERS: [&str; 9] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "port",
    "application_name",
    "statement-cache-capacity",
    "options[search_path]",
];

/// Fewest and most connections to PostgreSQL: half of them change, half of them search.
const ALLOWED_CONNECTIONS: std::ops::RangeInclusive<u32> = 2..=200;

/// `[database]`: where the tables are.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address of a PostgreSQL database, which may hold a password. Empty: SQLite in the state
    /// folder.
    pub url: Secret,
    /// The password, if not in the address.
    pub password: Secret,
    /// File with the password, if it is in neither of them.
    pub password_file: Option<PathBuf>,
    /// Maximum number of connections.
    pub connections_max: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: Secret::default(),
            password: Secret::default(),
            password_file: None,
            connections_max: 8,
        }
    }
}

impl Config {
    /// Settings that cannot work: field and reason. Reads the file of the password.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut add = |field: &str, message: String| found.push((field.to_owned(), message));
        let named =
            [!self.password.is_empty(), self.password_file.is_some(), self.holds_password()];
        if named.iter().filter(|named| **named).count() > 1 {
            add(
                "password",
                "the password is named twice: once in `url`, `password` or `password_file`".into(),
            );
        }
        if self.url.is_empty() {
            if !self.password.is_empty() || self.password_file.is_some() {
                add("url", "a password wants an address: postgres://user@host/database".into());
            }
        } else if let Some(problem) = self.address_problem() {
            add("url", problem);
        }
        if let Err(problem) = self.read_password() {
            add("password_file", problem);
        }
        if !ALLOWED_CONNECTIONS.contains(&self.connections_max) {
            let (least, most) = ALLOWED_CONNECTIONS.into_inner();
            add("connections_max", format!("{least}-{most}"));
        }
        found
    }

    /// The password of `password` or its file. `None` if neither is set.
    ///
    /// # Errors
    /// What is wrong with the file, as text.
    pub(super) fn read_password(&self) -> Result<Option<Secret>, String> {
        let Some(path) = &self.password_file else {
            return Ok(Some(self.password.clone()).filter(|password| !password.is_empty()));
        };
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        match text.trim_end_matches(['\r', '\n']) {
            "" => Err(format!("{} is empty", path.display())),
            password => Ok(Some(Secret::new(password))),
        }
    }

    /// Address of the PostgreSQL database for display, without what could be secret.
    pub fn address(&self) -> String {
        url_without_secrets(self.url.expose())
    }

    fn holds_password(&self) -> bool {
        url::Url::parse(self.url.expose()).is_ok_and(|url| url.password().is_some())
    }

    /// What is wrong with the address, in a text that does not repeat it.
    fn address_problem(&self) -> Option<String> {
        let address = self.url.expose();
        if let Some(problem) = url_problem(address, &["postgres", "postgresql"]) {
            return Some(problem);
        }
        let url = url::Url::parse(address).ok()?;
        if url.username().is_empty() {
            return Some("it names no user: postgres://user@host/database".into());
        }
        if url.path().trim_matches('/').is_empty() {
            return Some("it names no database: postgres://user@host/database".into());
        }
        let unknown = url.query_pairs().find(|(name, _)| !PARAMETERS.contains(&&**name));
        let name = unknown.map(|(name, _)| name.into_owned());
        name.map(|name| format!("`{name}` is none of its parameters: {}", PARAMETERS.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let config: Config = toml::from_str(text).expect("parses");
        config
            .problems()
            .into_iter()
            .map(|(field, problem)| format!("{field}: {problem}"))
            .collect()
    }

    #[test]
    fn what_cannot_work_is_told_without_the_address() {
        let check = |text: &str, expect: &[&str]| {
            let found = problems(text);
            assert_eq!(found.len(), expect.len(), "{text}: {found:?}");
            for (said, expect) in found.iter().zip(expect) {
                assert!(said.contains(expect) && !said.contains("hunter2"), "{text}: {said}");
            }
        };
        check("", &[]);
        check("url = \"postgres://a:hunter2@db.lan/auralink?sslmode=verify-full\"", &[]);
        check(
            "url = \"postgres://a@db.lan/auralink?host=/run/postgresql\"\npassword = \"hunter2\"",
            &[],
        );
        check("url = \"mysql://a:hunter2@db.lan/auralink\"", &["postgres://"]);
        check("url = \"postgres://db.lan/auralink\"", &["no user"]);
        check("url = \"postgres://a:hunter2@db.lan\"", &["no database"]);
        check("url = \"postgres://a@db.lan/x?sslpassword=hunter2\"", &["`sslpassword`"]);
        check("password = \"hunter2\"", &["url: a password"]);
        check("url = \"postgres://a:hunter2@db.lan/x\"\npassword = \"hunter2\"", &["twice"]);
        check("url = \"postgres://a@h/x\"\npassword_file = \"/none\"", &["cannot read /none"]);
        check("connections_max = 1", &["2-200"]);
    }

    #[test]
    fn a_password_file_ends_with_a_line() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "hunter2 \n").expect("written");
        let password_file = Some(file.path().to_owned());
        let config = Config { password_file, ..Config::default() };
        assert_eq!(config.read_password(), Ok(Some(Secret::new("hunter2 "))));
        std::fs::write(file.path(), "\n").expect("written");
        assert!(config.read_password().is_err());
    }
}
