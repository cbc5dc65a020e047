//! Configures TLS: which certificate authorities the client trusts.

use crate::error::{Error, Result, SqlState};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::sync::Arc;

/// The TLS configuration, which trusts Mozilla's certificate authorities and a private one.
///
/// Mozilla's are built in, because the database server may not have a store of its own.
pub(super) fn config(ca_cert: Option<&str>) -> Result<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(pem) = ca_cert {
        for certificate in certificates(pem)? {
            roots.add(certificate).map_err(|_| bad_ca())?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::internal("cannot set up TLS", &error))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// Parses the certificates in a PEM text, which must contain at least one.
///
/// # Errors
/// An error for the user if the text does not contain a certificate.
pub fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>> {
    match CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<std::result::Result<Vec<_>, _>>() {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(bad_ca()),
    }
}

fn bad_ca() -> Error {
    Error::user(SqlState::InvalidParameter, "ca_cert is not a certificate in PEM form")
        .with_hint("Set it to the text from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----, not to a path.")
}
