//! Tokens signed by another service: JSON Web Tokens with RS256 (RFC 7519, RFC 7515), as Jigasi
//! sends them. Only the public key is stored here.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use tokio_rustls::rustls::pki_types::SubjectPublicKeyInfoDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

/// Maximum length of a token, in bytes.
const TOKEN_BYTES_MAX: usize = 8 << 10;

/// Tolerated clock difference between the two machines, in seconds.
const SKEW_S: i64 = 60;

/// Why a key cannot be used or a token is rejected.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The key file cannot be used.
    #[error("{path}: {reason}")]
    Key {
        /// Path of the key file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// The token does not consist of three parts of JSON.
    #[error("it is no JSON Web Token")]
    NoToken,
    /// Only RS256 is accepted: other algorithms are verified differently or not at all.
    #[error("it is signed with `{0}` instead of RS256")]
    Algorithm(String),
    /// Our key does not verify the signature.
    #[error("its signature is not that of the configured key")]
    Signature,
    /// The token has expired or is not valid yet.
    #[error("it is not valid now: see its `exp` and `nbf`, and both clocks")]
    Time,
    /// The token is for another audience.
    #[error("it is not for `{0}`, see its `aud`")]
    Audience(String),
}

/// Verifies the tokens of one issuer. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Verifier {
    key: Arc<ParsedPublicKey>,
    audience: Arc<str>,
}

#[derive(Deserialize)]
struct Head {
    alg: String,
}

#[derive(Deserialize)]
struct Claims {
    exp: i64,
    #[serde(default)]
    nbf: i64,
    #[serde(default)]
    aud: Audience,
}

#[derive(Deserialize, Default)]
#[serde(untagged)]
enum Audience {
    #[default]
    None,
    One(String),
    Many(Vec<String>),
}

impl Verifier {
    /// Reads a public key (PEM, `BEGIN PUBLIC KEY`, RSA of 2048 bits or more). Tokens must be for
    /// `audience`; an empty one accepts any.
    ///
    /// # Errors
    /// If the file cannot be read or contains no such key.
    pub fn read(path: &Path, audience: &str) -> Result<Self, Error> {
        let wrong = |reason: String| Error::Key { path: path.to_owned(), reason };
        let der = SubjectPublicKeyInfoDer::from_pem_file(path).map_err(|e| wrong(e.to_string()))?;
        let key = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der.as_ref())
            .map_err(|e| wrong(format!("it is no RSA key of 2048 to 8192 bits ({e})")))?;
        Ok(Self { key: Arc::new(key), audience: audience.into() })
    }

    /// Verifies a token at a time in seconds since 1970. It must have an expiry.
    ///
    /// # Errors
    /// What is wrong with it, never its content.
    pub fn check(&self, token: &str, now_s: i64) -> Result<(), Error> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Error::NoToken);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Error::NoToken)?;
        let (head, claims) = signed.split_once('.').ok_or(Error::NoToken)?;
        let head: Head = part(head)?;
        if head.alg != "RS256" {
            return Err(Error::Algorithm(head.alg.chars().take(16).collect()));
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Error::NoToken)?;
        let verified = self.key.verify_sig(signed.as_bytes(), &signature);
        verified.map_err(|_| Error::Signature)?;
        let claims: Claims = part(claims)?;
        if claims.exp.saturating_add(SKEW_S) < now_s || claims.nbf.saturating_sub(SKEW_S) > now_s {
            return Err(Error::Time);
        }
        let meant = self.audience.is_empty()
            || match &claims.aud {
                Audience::None => false,
                Audience::One(one) => **one == *self.audience,
                Audience::Many(all) => all.iter().any(|one| **one == *self.audience),
            };
        if meant { Ok(()) } else { Err(Error::Audience(self.audience.to_string())) }
    }
}

fn part<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Error> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| Error::NoToken)?;
    serde_json::from_slice(&bytes).map_err(|_| Error::NoToken)
}

/// A key pair, its public key in a file, and tokens signed with it.
#[cfg(test)]
pub(crate) mod testing {
    use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};

    use super::*;

    pub(crate) fn pair() -> KeyPair {
        KeyPair::generate(KeySize::Rsa2048).expect("a key pair")
    }

    pub(crate) fn public(pair: &KeyPair) -> tempfile::NamedTempFile {
        let der: PublicKeyX509Der<'_> = pair.public_key().as_der().expect("DER");
        let text = base64::engine::general_purpose::STANDARD.encode(der.as_ref());
        let lines: Vec<&str> =
            text.as_bytes().chunks(64).map(|l| std::str::from_utf8(l).expect("ASCII")).collect();
        let file = tempfile::NamedTempFile::new().expect("a file");
        let pem =
            format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"));
        std::fs::write(file.path(), pem).expect("writes");
        file
    }

    pub(crate) fn token(pair: &KeyPair, head: &str, claims: &str) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(head), URL_SAFE_NO_PAD.encode(claims));
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .expect("signs");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = r#"{"alg":"RS256","kid":"jigasi","typ":"JWT"}"#;

    #[test]
    fn only_whole_tokens_of_the_key_and_for_us_are_taken() {
        let (ours, other) = (testing::pair(), testing::pair());
        let file = testing::public(&ours);
        let verifier = Verifier::read(file.path(), "jitsi").expect("a key");
        let good = r#"{"iss":"jigasi","aud":"jitsi","exp":2000,"nbf":900}"#;
        let check = |token: &str, expect: &str| {
            let said = verifier.check(token, 1000).map_or_else(|e| e.to_string(), |()| "ok".into());
            assert!(said.contains(expect), "{said}\n  instead of {expect}");
        };
        let signed = |claims: &str| testing::token(&ours, HEAD, claims);
        check(&signed(good), "ok");
        check(&signed(r#"{"aud":["x","jitsi"],"exp":950}"#), "ok");
        check(&signed(r#"{"aud":"jitsi","exp":900}"#), "not valid now");
        check(&signed(r#"{"aud":"jitsi","exp":9000,"nbf":2000}"#), "not valid now");
        check(&signed(r#"{"aud":"jitsi"}"#), "no JSON Web Token");
        check(&signed(r#"{"aud":"others","exp":2000}"#), "not for `jitsi`");
        check(&signed(r#"{"exp":2000}"#), "not for `jitsi`");
        check(&testing::token(&other, HEAD, good), "signature");
        for alg in ["none", "HS256", "RS512"] {
            let head = format!(r#"{{"alg":"{alg}"}}"#);
            check(&testing::token(&ours, &head, good), alg);
        }
        // Changed claims with the signature of a valid token.
        let whole = signed(good);
        let parts: Vec<&str> = whole.split('.').collect();
        let later = URL_SAFE_NO_PAD.encode(r#"{"aud":"jitsi","exp":9999999}"#);
        check(&format!("{}.{later}.{}", parts[0], parts[2]), "signature");
        for broken in
            ["", ".", "..", "a.b.c", &parts[..2].join("."), &"x".repeat(TOKEN_BYTES_MAX + 1)]
        {
            check(broken, "no JSON Web Token");
        }
    }

    #[test]
    fn files_without_a_key_are_named() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "hello").expect("writes");
        let error = Verifier::read(file.path(), "").expect_err("no key").to_string();
        assert!(error.contains(&file.path().display().to_string()), "{error}");
    }

    /// Rejects every token that the key has not signed; parses or rejects signed claims.
    #[test]
    fn fuzz_signed_token() {
        let pair = testing::pair();
        let file = testing::public(&pair);
        let ours = Verifier::read(file.path(), "jitsi").expect("a key");
        crate::fuzz::run("signed-token", |bytes| {
            let text = String::from_utf8_lossy(bytes);
            assert!(ours.check(&text, 0).is_err());
            let _ = ours.check(&testing::token(&pair, r#"{"alg":"RS256"}"#, &text), 0);
        });
    }
}
