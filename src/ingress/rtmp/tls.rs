//! TLS for RTMPS.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

use super::Error;

/// A TLS acceptor with the certificate chain and key of these PEM files.
///
/// # Errors
/// [`Error::Tls`] with the file that is at fault.
pub(super) fn acceptor(cert: &Path, key: &Path) -> Result<TlsAcceptor, Error> {
    let fault = |path: &Path, message: String| Error::Tls { path: path.to_owned(), message };
    let chain: Vec<CertificateDer> = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect)
        .map_err(|e| fault(cert, e.to_string()))?;
    if chain.is_empty() {
        return Err(fault(cert, "it holds no certificate".to_owned()));
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|e| fault(key, e.to_string()))?;
    let build = || -> Result<ServerConfig, rustls::Error> {
        ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, secret)
    };
    let config = build().map_err(|e| fault(key, format!("with {}: {e}", cert.display())))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
