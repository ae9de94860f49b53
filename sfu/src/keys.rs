//! The keys of SRTP that a DTLS handshake makes (RFC 5764 section 4.2).
//!
//! str0m keeps them to itself. A DTLS provider around its own one notes them for the session that runs
//! the handshake, which takes them on the same thread before another session runs.

use std::cell::Cell;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use str0m::config::{CryptoProvider, DtlsCert, DtlsVersion};
use str0m::crypto::CryptoError;
use str0m::crypto::dtls::{
    DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, ProtocolVersion, SrtpProfile,
};

thread_local! {
    static MADE: Cell<Option<MasterKeys>> = const { Cell::new(None) };
}

/// What a handshake has made: the cipher and the keying material of both ends.
pub(super) struct MasterKeys {
    pub(super) profile: SrtpProfile,
    /// Keys of client and server, then their salts.
    pub(super) material: Vec<u8>,
}

/// The keys that the last handshake of this thread has made, if they were not taken yet.
pub(super) fn take() -> Option<MasterKeys> {
    MADE.take()
}

/// str0m's cryptography, whose handshakes note their keys.
pub(super) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    static NOTING: OnceLock<Noting> = OnceLock::new();
    let provider = PROVIDER.get_or_init(|| {
        let theirs = str0m::crypto::from_feature_flags();
        let dtls_provider = NOTING.get_or_init(|| Noting(theirs.dtls_provider));
        Arc::new(CryptoProvider { dtls_provider, ..theirs })
    });
    Arc::clone(provider)
}

#[derive(Debug)]
struct Noting(&'static dyn DtlsProvider);

#[derive(Debug)]
struct NotingInstance(Box<dyn DtlsInstance>);

impl DtlsProvider for Noting {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        self.0.generate_certificate()
    }

    fn new_dtls(
        &self,
        certificate: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let theirs = self.0.new_dtls(certificate, now, version, mtu)?;
        Ok(Box::new(NotingInstance(theirs)))
    }
}

impl DtlsInstance for NotingInstance {
    fn poll_output<'a>(&mut self, buffer: &'a mut [u8]) -> DtlsOutput<'a> {
        let output = self.0.poll_output(buffer);
        if let DtlsOutput::KeyingMaterial(material, profile) = &output {
            let material = material.as_ref().to_vec();
            MADE.set(Some(MasterKeys { profile: *profile, material }));
        }
        output
    }

    fn set_active(&mut self, active: bool) {
        self.0.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.0.handle_packet(packet)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.0.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.0.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.0.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.0.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.0.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.0.close()
    }
}
