//! A pass carries the token of a client to the appliance that it is sent to.
//!
//! Clients drop `Authorization` when they follow an answer to another host (Fetch standard, "HTTP-redirect
//! fetch"; RFC 9110, section 15.4), and a token in an address would stay in logs and histories. A pass is
//! that token, encrypted with a key from the token of the cluster, for one stream, one action and a minute.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};

use super::Wish;
use crate::media::{Secret, StreamName};

/// How long a pass is good for: a client follows at once, and clocks may differ by half of it.
const PASS_LIFETIME: TimeDelta = TimeDelta::seconds(60);

/// Longest token that a pass carries, in bytes; those of streams are shorter.
const TOKEN_BYTES_MAX: usize = 512;

/// Bytes of the time at the beginning of what is encrypted.
const TIME_BYTES: usize = 8;

/// Longest pass, in characters: base64 of nonce, time, token and tag.
const PASS_CHARS_MAX: usize = (NONCE_LEN + TIME_BYTES + TOKEN_BYTES_MAX + 16).div_ceil(3) * 4;

/// What the key is for, so that no other use of the token of the cluster has the same one.
const KEY_PURPOSE: &[u8] = b"auralink cluster pass\n";

/// Makes and reads passes.
pub(super) struct PassKey(Option<RandomizedNonceKey>);

impl PassKey {
    pub(super) fn new(token: &Secret) -> Self {
        let hash = hmac::Key::new(hmac::HMAC_SHA256, token.expose().as_bytes());
        let key = hmac::sign(&hash, KEY_PURPOSE);
        // 32 bytes, as wanted.
        Self(RandomizedNonceKey::new(&AES_256_GCM, key.as_ref()).ok())
    }

    /// A pass with this token. `None` if there is too much to carry.
    pub(super) fn write(
        &self,
        wish: Wish,
        stream: &StreamName,
        token: &Secret,
        now: DateTime<Utc>,
    ) -> Option<String> {
        let token = token.expose().as_bytes();
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let until = (now + PASS_LIFETIME).timestamp().to_be_bytes();
        let mut bytes = [until.as_slice(), token].concat();
        let key = self.0.as_ref()?;
        let nonce = key.seal_in_place_append_tag(purpose(wish, stream), &mut bytes).ok()?;
        Some(BASE64_URL_SAFE_NO_PAD.encode([nonce.as_ref().as_slice(), &bytes].concat()))
    }

    /// The token of a pass. `None` if it is not one of this cluster for this, or too old.
    pub(super) fn read(
        &self,
        wish: Wish,
        stream: &StreamName,
        pass: &str,
        now: DateTime<Utc>,
    ) -> Option<Secret> {
        if pass.len() > PASS_CHARS_MAX {
            return None;
        }
        let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(pass).ok()?;
        let (nonce, sealed) = bytes.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let opened = self.0.as_ref()?.open_in_place(nonce, purpose(wish, stream), sealed).ok()?;
        let (until, token) = opened.split_first_chunk::<TIME_BYTES>()?;
        let left = i64::from_be_bytes(*until).checked_sub(now.timestamp())?;
        // Nor is it from a clock that is far ahead.
        let is_good = (0..=2 * PASS_LIFETIME.num_seconds()).contains(&left);
        let token = std::str::from_utf8(token).ok()?;
        is_good.then(|| Secret::new(token))
    }
}

/// What a pass is good for. It is not encrypted, but the pass opens with the same only.
fn purpose(wish: Wish, stream: &StreamName) -> Aad<Vec<u8>> {
    let wish = match wish {
        Wish::Publish => "publish",
        Wish::Play => "play",
    };
    Aad::from(format!("{wish}\n{stream}").into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_opens_one_stream_for_a_minute_and_shows_no_token() {
        let key = |token| PassKey::new(&Secret::new(token));
        let (here, there, now) = (key("one"), key("one"), Utc::now());
        let (studio, other): (StreamName, StreamName) =
            ("studio".parse().expect("a name"), "other".parse().expect("a name"));
        let token = Secret::new("hunter2-hunter2");
        let pass = here.write(Wish::Play, &studio, &token, now).expect("it fits");
        assert!(!pass.contains("hunter2") && pass.len() <= PASS_CHARS_MAX, "{pass}");
        assert_ne!(Some(&pass), here.write(Wish::Play, &studio, &token, now).as_ref());
        let after = |seconds| now + TimeDelta::seconds(seconds);
        let read = |key: &PassKey, wish, stream, pass: &str, at| {
            key.read(wish, stream, pass, at).map(|token| token.expose().to_owned())
        };
        let expect = Some(token.expose().to_owned());
        assert_eq!(read(&there, Wish::Play, &studio, &pass, now), expect);
        assert_eq!(read(&there, Wish::Play, &studio, &pass, after(59)), expect);
        assert_eq!(read(&there, Wish::Play, &studio, &pass, after(-59)), expect);
        assert_eq!(read(&there, Wish::Play, &studio, &pass, after(62)), None);
        assert_eq!(read(&there, Wish::Play, &studio, &pass, after(-62)), None);
        assert_eq!(read(&there, Wish::Publish, &studio, &pass, now), None);
        assert_eq!(read(&there, Wish::Play, &other, &pass, now), None);
        assert_eq!(read(&key("two"), Wish::Play, &studio, &pass, now), None);
        for wrong in ["", "AAAA", "not base64!", &pass[1..], &"A".repeat(PASS_CHARS_MAX + 1)] {
            assert_eq!(read(&there, Wish::Play, &studio, wrong, now), None, "{wrong}");
        }
        let longest = Secret::new("x".repeat(TOKEN_BYTES_MAX));
        let pass = here.write(Wish::Play, &studio, &longest, now).expect("it fits");
        assert!(there.read(Wish::Play, &studio, &pass, now).is_some());
        let longer = Secret::new("x".repeat(TOKEN_BYTES_MAX + 1));
        assert!(here.write(Wish::Play, &studio, &longer, now).is_none());
    }
}
