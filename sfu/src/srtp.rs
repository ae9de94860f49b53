//! Encrypts RTP and RTCP (RFC 3711), with AES-GCM (RFC 7714) or with AES in counter mode and SHA-1.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac;
use str0m::crypto::dtls::SrtpProfile;

use super::keys::MasterKeys;

/// Labels of the keys that are derived, for RTP; those of RTCP follow (RFC 3711 section 4.3.2).
const CIPHER_LABEL_CODE: u8 = 0;
const AUTHENTICATION_LABEL_CODE: u8 = 1;
const SALT_LABEL_CODE: u8 = 2;
const RTCP_LABELS_CODE: u8 = 3;

/// Octets of the tag of SHA-1 (RFC 3711 section 5.2).
const SHA1_TAG_BYTES: usize = 10;

/// Octets of an RTCP packet that stay clear: the header and the sender's SSRC.
const CLEAR_RTCP_BYTES: usize = 8;

/// Marks RTCP as encrypted, before its index of 31 bits.
const ENCRYPTED_MASK: u32 = 1 << 31;

/// Encrypts what one end sends.
pub(super) struct Srtp {
    rtp: Cipher,
    rtcp: Cipher,
    /// Index of the next RTCP packet.
    rtcp_index: u32,
}

enum Cipher {
    Gcm {
        key: LessSafeKey,
        salt: [u8; 12],
    },
    /// Its keys are large.
    Counter(Box<Counter>),
}

/// AES in counter mode and SHA-1.
struct Counter {
    key: EncryptingKey,
    tag: hmac::Key,
    salt: [u8; 14],
}

impl Srtp {
    /// The keys of one end, which is the client of the handshake or its server. `None` for a cipher that
    /// is not known.
    pub(super) fn new(keys: &MasterKeys, is_client: bool) -> Option<Self> {
        let rtp = Cipher::derive(keys, is_client, 0)?;
        let rtcp = Cipher::derive(keys, is_client, RTCP_LABELS_CODE)?;
        Some(Self { rtp, rtcp, rtcp_index: 0 })
    }

    /// Encrypts a packet whose header has `header_bytes`, and adds the tag. `index` is the sequence
    /// number, extended to 48 bits; the first one is below 65,536.
    ///
    /// # Errors
    /// [`Unspecified`], if the packet is longer than the cipher allows.
    pub(super) fn seal_rtp(
        &self,
        packet: &mut Vec<u8>,
        header_bytes: usize,
        ssrc: u32,
        index: u64,
    ) -> Result<(), Unspecified> {
        let (header, payload) = packet.split_at_mut(header_bytes);
        match &self.rtp {
            Cipher::Gcm { key, salt } => {
                // RFC 7714 section 8.1: two zero octets, SSRC, roll-over counter, sequence number.
                let nonce =
                    nonce(salt, &[(2, &ssrc.to_be_bytes()), (6, &index.to_be_bytes()[2..])]);
                let tag = key.seal_in_place_separate_tag(nonce, Aad::from(&*header), payload)?;
                packet.extend_from_slice(tag.as_ref());
            }
            Cipher::Counter(counter) => {
                counter.encrypt(ssrc, index, payload)?;
                let mut signed = hmac::Context::with_key(&counter.tag);
                signed.update(packet);
                signed.update(&index.to_be_bytes()[2..6]);
                packet.extend_from_slice(&signed.sign().as_ref()[..SHA1_TAG_BYTES]);
            }
        }
        Ok(())
    }

    /// Encrypts a compound RTCP packet, and adds index and tag.
    ///
    /// # Errors
    /// [`Unspecified`], if the packet is shorter than a header or longer than the cipher allows.
    pub(super) fn seal_rtcp(&mut self, packet: &mut Vec<u8>) -> Result<(), Unspecified> {
        let index = self.rtcp_index;
        self.rtcp_index = (index + 1) % ENCRYPTED_MASK;
        let marked = (ENCRYPTED_MASK | index).to_be_bytes();
        let (header, body) = packet.split_at_mut_checked(CLEAR_RTCP_BYTES).ok_or(Unspecified)?;
        let ssrc = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        match &self.rtcp {
            Cipher::Gcm { key, salt } => {
                // RFC 7714 section 9.1.
                let nonce = nonce(salt, &[(2, &ssrc.to_be_bytes()), (8, &index.to_be_bytes())]);
                let mut clear = [0; CLEAR_RTCP_BYTES + 4];
                clear[..CLEAR_RTCP_BYTES].copy_from_slice(header);
                clear[CLEAR_RTCP_BYTES..].copy_from_slice(&marked);
                let tag = key.seal_in_place_separate_tag(nonce, Aad::from(&clear), body)?;
                packet.extend_from_slice(tag.as_ref());
                packet.extend_from_slice(&marked);
            }
            Cipher::Counter(counter) => {
                counter.encrypt(ssrc, index.into(), body)?;
                packet.extend_from_slice(&marked);
                let tag = hmac::sign(&counter.tag, packet);
                packet.extend_from_slice(&tag.as_ref()[..SHA1_TAG_BYTES]);
            }
        }
        Ok(())
    }
}

impl Cipher {
    fn derive(keys: &MasterKeys, is_client: bool, labels: u8) -> Option<Self> {
        let (key_bytes, salt_bytes) = match keys.profile {
            SrtpProfile::AEAD_AES_256_GCM => (32, 12),
            SrtpProfile::AEAD_AES_128_GCM => (16, 12),
            SrtpProfile::AES128_CM_SHA1_80 => (16, 14),
            _ => return None,
        };
        let end = usize::from(!is_client);
        let key = keys.material.get(end * key_bytes..)?.get(..key_bytes)?;
        let salt = keys.material.get(2 * key_bytes + end * salt_bytes..)?.get(..salt_bytes)?;
        let derived = |label: u8, bytes: usize| derived(key, salt, labels + label, bytes);
        let cipher = derived(CIPHER_LABEL_CODE, key_bytes)?;
        let salt = derived(SALT_LABEL_CODE, salt_bytes)?;
        if let Ok(salt) = <[u8; 12]>::try_from(&*salt) {
            let algorithm = if key_bytes == 32 { &AES_256_GCM } else { &AES_128_GCM };
            let key = LessSafeKey::new(UnboundKey::new(algorithm, &cipher).ok()?);
            return Some(Self::Gcm { key, salt });
        }
        let key = UnboundCipherKey::new(&AES_128, &cipher).ok()?;
        let tag = derived(AUTHENTICATION_LABEL_CODE, 20)?;
        let tag = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &tag);
        let (key, salt) = (EncryptingKey::ctr(key).ok()?, (*salt).try_into().ok()?);
        Some(Self::Counter(Box::new(Counter { key, tag, salt })))
    }
}

/// One key of a session, made by AES in counter mode (RFC 3711 section 4.3.1, RFC 6188 section 3).
fn derived(master: &[u8], salt: &[u8], label: u8, bytes: usize) -> Option<Vec<u8>> {
    let algorithm = if master.len() == 32 { &AES_256 } else { &AES_128 };
    let key = EncryptingKey::ctr(UnboundCipherKey::new(algorithm, master).ok()?).ok()?;
    let mut counter = [0; 16];
    counter[..salt.len()].copy_from_slice(salt);
    counter[7] ^= label;
    let mut made = vec![0; bytes];
    key.less_safe_encrypt(&mut made, EncryptionContext::Iv128((&counter).into())).ok()?;
    Some(made)
}

/// A salt with these parts added at their places.
fn nonce(salt: &[u8; 12], parts: &[(usize, &[u8])]) -> Nonce {
    let mut nonce = *salt;
    for (at, part) in parts {
        nonce.iter_mut().skip(*at).zip(*part).for_each(|(octet, more)| *octet ^= more);
    }
    Nonce::assume_unique_for_key(nonce)
}

impl Counter {
    /// RFC 3711 section 4.1.1.
    fn encrypt(&self, ssrc: u32, index: u64, text: &mut [u8]) -> Result<(), Unspecified> {
        let mut counter = [0; 16];
        counter[..14].copy_from_slice(&self.salt);
        for (at, part) in [(4, &ssrc.to_be_bytes()[..]), (8, &index.to_be_bytes()[2..])] {
            counter.iter_mut().skip(at).zip(part).for_each(|(octet, more)| *octet ^= more);
        }
        let context = EncryptionContext::Iv128((&counter).into());
        self.key.less_safe_encrypt(text, context).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let pairs = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("ASCII"));
        pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal")).collect()
    }

    /// RFC 3711 appendix B.3.
    #[test]
    fn keys_are_derived_as_the_standard_shows() {
        let master = bytes("E1F97A0D3E018BE0D64FA32C06DE4139");
        let salt = bytes("0EC675AD498AFEEBB6960B3AABE6");
        let check = |label, expect: &str| {
            let expect = bytes(expect);
            assert_eq!(derived(&master, &salt, label, expect.len()), Some(expect), "{label}");
        };
        check(CIPHER_LABEL_CODE, "C61E7A93744F39EE10734AFE3FF7A087");
        check(SALT_LABEL_CODE, "30CBBC08863D8C85D49DB34A9AE1");
        check(AUTHENTICATION_LABEL_CODE, "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4");
    }

    /// RFC 7714 section 16.1.1.
    #[test]
    fn a_packet_is_encrypted_as_the_standard_shows() {
        let key = UnboundKey::new(&AES_128_GCM, &(0..16).collect::<Vec<u8>>()).expect("16 octets");
        let salt = bytes("517569642070726f2071756f").try_into().expect("12 octets");
        let gcm = |key| Cipher::Gcm { key: LessSafeKey::new(key), salt };
        let again = UnboundKey::new(&AES_128_GCM, &[0; 16]).expect("16 octets");
        let srtp = Srtp { rtp: gcm(key), rtcp: gcm(again), rtcp_index: 0 };
        let mut packet = bytes("8040f17b8041f8d35501a0b2");
        packet.extend_from_slice(b"Gallia est omnis divisa in partes tres");
        srtp.seal_rtp(&mut packet, 12, 0x5501_a0b2, 0xf17b).expect("short enough");
        let expect = "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a\
                      51c7d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce";
        assert_eq!(packet, bytes(expect));
    }

    /// The vectors of libsrtp (`test/srtp_driver.c`).
    #[test]
    fn packets_are_encrypted_in_counter_mode_as_libsrtp_does() {
        let mut material = bytes("E1F97A0D3E018BE0D64FA32C06DE4139");
        material.extend([0; 16]);
        material.extend(bytes("0EC675AD498AFEEBB6960B3AABE6"));
        material.extend([0; 14]);
        let keys = MasterKeys { profile: SrtpProfile::AES128_CM_SHA1_80, material };
        let mut srtp = Srtp::new(&keys, true).expect("known");
        let mut packet = bytes("800f1234decafbadcafebabe");
        packet.extend([0xab; 16]);
        srtp.seal_rtp(&mut packet, 12, 0xcafe_babe, 0x1234).expect("short enough");
        let expect = "800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb";
        assert_eq!(packet, bytes(expect));
        srtp.rtcp_index = 1;
        let mut packet = bytes("81c8000bcafebabe");
        packet.extend([0xab; 16]);
        srtp.seal_rtcp(&mut packet).expect("short enough");
        let expect = "81c8000bcafebabe7128035be487b9bdbef89041f977a5a880000001993e08cd54d6c1230798";
        assert_eq!(packet, bytes(expect));
    }
}
