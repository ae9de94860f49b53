//! What an appliance tells the others through Redis: who it is, its load and its streams.
//!
//! A record carries an authentication code (HMAC-SHA256, RFC 2104) by the token of the cluster. So who can
//! write to Redis but does not have the token makes no appliance call an address, which would get the
//! token then. Nothing in a record is secret.

use aws_lc_rs::hmac;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use url::Url;

use super::ApplianceLoad;
use super::config::base_problem;
use crate::media::{Secret, StreamName};

/// The format of the records that this version writes and reads.
const FORMAT_VERSION: u32 = 1;

/// Largest record, in bytes: what [`STREAMS_COUNT_MAX`] streams with the longest names take.
pub(super) const RECORD_BYTES_MAX: usize = 64 << 10;

/// Most streams that a record names; an appliance with more is asked for any name.
const STREAMS_COUNT_MAX: usize = 512;

/// Most streams from origins that a record names.
const PULLED_COUNT_MAX: usize = 128;

/// Bytes of the authentication code in front of a record.
const CODE_BYTES: usize = 32;

/// What the code of a record is for, so that no other use of the token makes the same code.
const CODE_PURPOSE: &[u8] = b"auralink cluster record\n";

/// Bytes of the hash of an address that make an identity.
const ID_BYTES: usize = 8;

/// Identity of an appliance: 16 hexadecimal digits, from its address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
pub struct ApplianceId(String);

impl ApplianceId {
    /// The identity of the appliance at this address. Ways to write one address are the same.
    pub(super) fn of(base: &str) -> Self {
        let same = Url::parse(base).map_or_else(|_| base.to_owned(), String::from);
        let hash = Sha256::digest(same.as_bytes());
        Self(hash[..ID_BYTES].iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Reads one. `None` if it is none.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let is_digit = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
        let fits = bytes.len() == 2 * ID_BYTES && bytes.iter().all(is_digit);
        fits.then(|| Self(String::from_utf8_lossy(bytes).into_owned()))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A stream of an appliance's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ToldStream {
    /// Its name.
    #[schema(value_type = String)]
    pub name: StreamName,
    /// Whether its publisher is on air.
    pub live: bool,
}

/// What an appliance has to tell.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Its load.
    pub load: ApplianceLoad,
    /// The streams of its own, on air or not.
    pub streams: Vec<ToldStream>,
    /// The streams that it has from origins.
    pub pulled: Vec<StreamName>,
}

/// The record of one appliance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    format: u32,
    /// The address under which the others reach it.
    pub(super) url: String,
    /// When it came.
    pub(super) since: DateTime<Utc>,
    /// Its load.
    pub(super) load: ApplianceLoad,
    /// Streams of its own.
    pub(super) streams: Vec<ToldStream>,
    /// Whether `streams` names all of them.
    pub(super) names_all: bool,
    /// Streams that it has from origins; the first 128.
    #[serde(default)]
    pub(super) pulled: Vec<StreamName>,
    /// The address to which clients are sent. `None` if it takes none.
    #[serde(default)]
    pub(super) public: Option<String>,
}

impl Record {
    /// The record of the appliance at this address. Of too many streams those on air come first.
    pub(super) fn new(url: &str, since: DateTime<Utc>, told: Told) -> Self {
        let Told { load, mut streams, mut pulled } = told;
        pulled.truncate(PULLED_COUNT_MAX);
        let names_all = streams.len() <= STREAMS_COUNT_MAX;
        if !names_all {
            streams.sort_by_key(|stream| !stream.live);
            streams.truncate(STREAMS_COUNT_MAX);
        }
        let (url, public) = (url.to_owned(), None);
        Self { format: FORMAT_VERSION, url, since, load, streams, names_all, pulled, public }
    }

    /// The stream of this name, if it is told.
    pub(super) fn stream(&self, name: &StreamName) -> Option<&ToldStream> {
        self.streams.iter().find(|stream| stream.name == *name)
    }
}

/// Makes and checks the authentication codes of records.
pub(super) struct Seal(hmac::Key);

impl Seal {
    pub(super) fn new(token: &Secret) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, token.expose().as_bytes()))
    }

    /// A record as it is stored.
    pub(super) fn write(&self, record: &Record) -> Vec<u8> {
        // It has nothing that cannot be written.
        let json = serde_json::to_vec(record).unwrap_or_default();
        let code = hmac::sign(&self.0, &[CODE_PURPOSE, &json].concat());
        [code.as_ref(), &json].concat()
    }

    /// Reads what is stored for an appliance.
    ///
    /// # Errors
    /// Why it is ignored, as text.
    pub(super) fn read(&self, id: &ApplianceId, bytes: &[u8]) -> Result<Record, String> {
        let (code, json) = bytes.split_at_checked(CODE_BYTES).ok_or("it is no record")?;
        hmac::verify(&self.0, &[CODE_PURPOSE, json].concat(), code)
            .map_err(|_| "it is not by this cluster: is `cluster.token` the same there?")?;
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let unreadable = |e: serde_json::Error| format!("it cannot be read: {e}");
        let Version { format } = serde_json::from_slice(json).map_err(unreadable)?;
        if format != FORMAT_VERSION {
            return Err(format!("it has format {format}, and this version reads {FORMAT_VERSION}"));
        }
        let record: Record = serde_json::from_slice(json).map_err(unreadable)?;
        let mut addresses = std::iter::once(&record.url).chain(&record.public);
        if let Some(problem) = addresses.find_map(|url| base_problem(url)) {
            return Err(format!("its address cannot be used: {problem}"));
        }
        match ApplianceId::of(&record.url) == *id {
            true => Ok(record),
            false => Err("it is the record of another appliance".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(count: usize) -> Told {
        let stream = |number: usize| ToldStream {
            name: format!("{number:0>64}").parse().expect("a name"),
            live: number + 1 == count,
        };
        let pulled = (0..count).map(|number| stream(number).name).collect();
        Told { streams: (0..count).map(stream).collect(), pulled, ..Told::default() }
    }

    #[test]
    fn a_record_is_read_by_who_has_the_token_and_by_nobody_else() {
        let (url, seal) = ("http://a:8080", Seal::new(&Secret::new("one")));
        let record = Record::new(url, Utc::now(), told(2));
        let (id, written) = (ApplianceId::of(url), seal.write(&record));
        assert_eq!(seal.read(&id, &written).as_ref(), Ok(&record));
        let read = |id: &ApplianceId, bytes: &[u8], expect: &str| {
            let problem = seal.read(id, bytes).expect_err("it is ignored");
            assert!(problem.contains(expect), "{problem}");
        };
        let other = Seal::new(&Secret::new("two")).write(&record);
        read(&id, &other, "cluster.token");
        read(&id, b"", "no record");
        let mut changed = written.clone();
        *changed.last_mut().expect("it has bytes") = b' ';
        read(&id, &changed, "cluster.token");
        read(&ApplianceId::of("http://b:8080"), &written, "another appliance");
        read(&id, &seal.write(&Record { format: 2, ..record.clone() }), "format 2");
        let wrong = Record { public: Some("javascript:alert(1)".into()), ..record.clone() };
        read(&id, &seal.write(&wrong), "address");
        let nowhere = Record { url: "file:///etc/passwd".into(), ..record };
        read(&ApplianceId::of(&nowhere.url), &seal.write(&nowhere), "address");
    }

    #[test]
    fn the_largest_record_fits_and_says_that_it_does_not_name_all() {
        let public = Some(format!("http://{}", "a".repeat(250)));
        let record = Record::new("http://a", Utc::now(), told(STREAMS_COUNT_MAX + 1));
        let record = Record { public, ..record };
        assert!(!record.names_all && record.streams[0].live);
        let written = Seal::new(&Secret::new("one")).write(&record);
        assert!(written.len() < RECORD_BYTES_MAX, "{}", written.len());
        assert!(Record::new("http://a", Utc::now(), told(STREAMS_COUNT_MAX)).names_all);
    }

    #[test]
    fn one_address_is_one_appliance_however_it_is_written() {
        let id = ApplianceId::of("https://a:443/");
        assert_eq!(id, ApplianceId::of("https://A"));
        assert_ne!(id, ApplianceId::of("http://a"));
        assert_eq!(ApplianceId::read(id.as_str().as_bytes()), Some(id));
        assert_eq!(ApplianceId::read(b"../../etc/passwd"), None);
    }
}
