//! Certificates of peers: DTLS proves possession, the offer names the expected one.

use gst::glib;
use gst::prelude::*;
use sha2::{Digest, Sha256, Sha384, Sha512};

/// Creates our certificate, which all sessions share, before the first session: an RSA key takes up
/// to a second on a small machine. Shutdown must wait for it: OpenSSL crashes if the process exits
/// during key generation.
pub(crate) async fn warm_up() {
    let make = || match gst::ElementFactory::make("dtlsdec").build() {
        Ok(decoder) => drop(decoder.property::<Option<String>>("pem")),
        Err(error) => tracing::warn!(%error, "WebRTC cannot work: `auralink doctor` says why"),
    };
    if let Err(error) = tokio::task::spawn_blocking(make).await {
        tracing::warn!(%error, "the DTLS key was not made");
    }
}

/// The certificate that the peer has presented, as PEM.
pub(super) fn of_peer(bin: &gst::Element) -> Option<String> {
    let bin = bin.downcast_ref::<gst::Bin>()?;
    let decoders = bin.iterate_recurse().into_iter().flatten();
    let mut decoders = decoders.filter(|e| e.factory().is_some_and(|f| f.name() == "dtlssrtpdec"));
    decoders.find_map(|decoder| decoder.property::<Option<String>>("peer-pem"))
}

/// The fingerprint of a certificate by a hash function of RFC 8122, as in `a=fingerprint:`; `None`
/// for broken or unknown functions.
pub(super) fn fingerprint(pem: &str, hash: &str) -> Option<String> {
    let body: String = pem.lines().filter(|l| !l.starts_with("-----")).collect();
    let der = glib::base64_decode(&body);
    let digest = match hash {
        "sha-256" => Sha256::digest(&der).to_vec(),
        "sha-384" => Sha384::digest(&der).to_vec(),
        "sha-512" => Sha512::digest(&der).to_vec(),
        _ => return None,
    };
    let bytes: Vec<String> = digest.iter().map(|b| format!("{b:02X}")).collect();
    Some(bytes.join(":"))
}
