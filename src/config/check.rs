//! Checks of a parsed configuration: settings that parse but cannot work.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

use super::{Config, Problem, Problems};
use crate::ingress::{rtmp, srt};
use crate::runtime::{self, Presets};

impl Config {
    /// Finds all settings that parse but cannot work. Checks files on disk that the settings name.
    ///
    /// # Errors
    /// All problems, each with its field and hint.
    pub fn check(&self) -> Result<(), Problems> {
        let mut problems = Vec::new();
        let mut add = |at: &str, message: String, hint: &str| {
            problems.push(Problem::new(at, message, hint));
        };
        if let Err(message) = self.log.check() {
            add("log.level", message, "use error, warn, info, debug or trace");
        }
        api(self, &mut add);
        for (field, value) in
            [("limits.streams", self.limits.streams), ("limits.viewers", self.limits.viewers)]
        {
            if value == 0 {
                add(field, "0 lets nobody in".into(), "use at least 1");
            }
        }
        rooms(self, &mut add);
        listeners(self, &mut add);
        streams(self, &mut add);
        Problems::unless_none(problems)
    }
}

/// Adds what is wrong with the addresses, keys and certificates of the API.
fn api(config: &Config, add: &mut impl FnMut(&str, String, &str)) {
    match (&config.api.tls_cert, &config.api.tls_key) {
        (None, None) => {}
        (Some(cert), Some(key)) => {
            for (field, path) in [("api.tls_cert", cert), ("api.tls_key", key)] {
                if let Err(e) = std::fs::File::open(path) {
                    let hint = "give the file to the user that runs auralink, or correct the path";
                    add(field, format!("cannot read {}: {e}", path.display()), hint);
                }
            }
        }
        _ => add(
            "api.tls_cert",
            "one of tls_cert and tls_key is missing".into(),
            "set both for HTTPS, or none for HTTP",
        ),
    }
    if let Err((field, message)) = config.api.public() {
        let hint = "correct it, or leave it out: addresses then follow what each client asks for";
        add(&format!("api.{field}"), message, hint);
    }
    for (field, message) in config.api.problems() {
        add(&format!("api.{field}"), message, "`auralink config` has the defaults");
    }
    if let Err(error) = config.api.jitsi() {
        let hint = "openssl rsa -in KEY -pubout makes a public key of a private one";
        add("api.jitsi_key", error.to_string(), hint);
    }
}

/// Adds the addresses that two listeners want.
fn listeners(config: &Config, add: &mut impl FnMut(&str, String, &str)) {
    for (i, (name, address, udp)) in config.listeners().into_iter().enumerate() {
        let same = |other: &&(&str, SocketAddr, bool)| other.1 == address && other.2 == udp;
        let others = config.listeners();
        if let Some((other, ..)) = others[..i].iter().find(same).filter(|_| address.port() != 0) {
            let message = format!("{other} and {name} both want {address}");
            add("listen", message, "give each its own port");
        }
    }
}

/// Adds what is wrong with the presets and the declared streams.
fn streams(config: &Config, add: &mut impl FnMut(&str, String, &str)) {
    let presets = Presets::load(config.presets.as_deref());
    if let Err(error) = &presets {
        add("presets", with_source(error), "`auralink check <file>` says what is wrong with it");
    }
    let mut names = BTreeSet::new();
    for (i, stream) in config.streams.iter().enumerate() {
        let at = format!("streams[{i}]");
        if !names.insert(&stream.name) {
            let message = format!("`{}` is declared twice", stream.name);
            add(&format!("{at}.name"), message, "give each stream its own name");
        }
        let valid = stream.validate().and_then(|()| stream.access.check_new(None));
        if let Err(runtime::Error::Invalid { field, message }) = valid {
            add(&format!("{at}.{field}"), message, "the commented `auralink config` has examples");
        }
        if let Ok(presets) = &presets
            && presets.get(&stream.preset).is_none()
        {
            let known = presets.names().collect::<Vec<_>>().join(", ");
            let message = format!("there is no preset `{}`", stream.preset);
            add(&format!("{at}.preset"), message, &format!("use one of: {known}"));
        }
    }
}

/// Adds the problems that each room finds in its own settings.
fn rooms(config: &Config, add: &mut impl FnMut(&str, String, &str)) {
    let hint = "`auralink config` prints every setting with its range";
    if let Err(error) = config.rtmp.validate() {
        match error {
            rtmp::Error::Config { field, message } => {
                add(&format!("rtmp.{field}"), message.to_owned(), hint);
            }
            other => add("rtmp", other.to_string(), hint),
        }
    }
    if let Err(error) = config.srt.check() {
        match error {
            srt::Error::Config { field, message } => add(&format!("srt.{field}"), message, hint),
            other => add("srt", other.to_string(), hint),
        }
    }
    for (field, message) in config.database.problems() {
        add(&format!("database.{field}"), message, hint);
    }
    for (field, message) in config.sources.problems() {
        add(&format!("sources.{field}"), message, hint);
    }
    for (field, message) in config.stt.problems() {
        add(&format!("stt.{field}"), message, hint);
    }
    for (field, message) in config.translate.problems() {
        add(&format!("translate.{field}"), message, hint);
    }
    for (field, message) in config.tts.problems() {
        add(&format!("tts.{field}"), message, hint);
    }
    for (field, message) in config.webrtc.problems() {
        add(&format!("webrtc.{field}"), message, hint);
    }
    for (field, message) in config.cluster.problems() {
        add(&format!("cluster.{field}"), message, hint);
    }
    for (field, message) in config.models.problems() {
        add(&format!("models.{field}"), message, hint);
    }
}

fn with_source(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

/// Checks whether files can be created in a folder, or the folder itself if it is missing. Asks the
/// system and changes nothing.
///
/// # Errors
/// The reason, as text.
pub fn writable(folder: &Path) -> Result<(), String> {
    use rustix::fs::{Access, access};
    let folder = std::path::absolute(folder).map_err(|e| e.to_string())?;
    let there = folder.ancestors().find(|p| p.exists()).unwrap_or(Path::new("/"));
    if !there.is_dir() {
        return Err(format!("{} is not a folder", there.display()));
    }
    access(there, Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|e| format!("cannot write into {}: {e}", there.display()))
}

#[cfg(test)]
mod tests {
    use crate::config::parse;

    #[test]
    fn all_problems_are_told_at_once_with_their_fields() {
        let text = "[log]\nlevel = \"auralink=loud\"\n[api]\ntls_cert = \"/none\"\n[limits]\nviewers = 0\n\
                    [[streams]]\nname = \"a\"\npreset = \"nosuch\"\n[[streams]]\nname = \"a\"\n";
        let problems = parse("f", text).expect("parses").check().expect_err("wrong").0;
        let fields: Vec<&str> = problems.iter().map(|p| p.at.as_str()).collect();
        assert_eq!(
            fields,
            ["log.level", "api.tls_cert", "limits.viewers", "streams[0].preset", "streams[1].name"]
        );
        assert!(problems.iter().all(|p| !p.hint.is_empty()));
        assert!(problems[3].hint.contains("passthrough"), "{}", problems[3]);
        assert!(parse("f", "").expect("parses").check().is_ok());
    }

    #[test]
    fn a_folder_is_writable_where_it_could_be_made() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let missing = folder.path().join("a/b");
        assert_eq!(super::writable(&missing), Ok(()));
        assert!(!missing.exists(), "asking changes nothing");
        std::fs::write(folder.path().join("file"), "").expect("writes");
        assert!(super::writable(&folder.path().join("file/x")).is_err());
    }
}
