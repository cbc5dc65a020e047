//! TLS for the connection to the database. The certificate and the host's name are always verified.

use super::cancel::UntilEnd;
use ipai_mirror::refusal::invalid;
use ipai_mirror::session::internal;
use ipai_odoo::error::Result;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres_rustls::MakeRustlsConnect;

/// How to encrypt connections.
#[derive(Clone)]
pub struct Tls(MakeRustlsConnect);

impl Tls {
    /// Trusts the authorities in a PEM file, or else the public ones.
    pub fn new(authorities: Option<&Path>) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        match authorities {
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Some(path) => {
                let unusable = |problem: String| {
                    invalid(
                        format!("sslrootcert {} cannot be used: {problem}", path.display()),
                        "It is the path of a file with certificates in PEM form.",
                    )
                };
                let found = CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))?;
                for certificate in found {
                    let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
                    roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
                }
                if roots.is_empty() {
                    return Err(unusable("it has no certificate".to_owned()));
                }
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = builder.map_err(internal)?.with_root_certificates(roots).with_no_client_auth();
        Ok(Tls(MakeRustlsConnect::new(config)))
    }
}

impl<S> MakeTlsConnect<S> for Tls
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = <MakeRustlsConnect as MakeTlsConnect<S>>::Stream;
    type TlsConnect = <MakeRustlsConnect as MakeTlsConnect<S>>::TlsConnect;
    type Error = <MakeRustlsConnect as MakeTlsConnect<S>>::Error;

    fn make_tls_connect(&mut self, host: &str) -> std::result::Result<Self::TlsConnect, Self::Error> {
        <MakeRustlsConnect as MakeTlsConnect<S>>::make_tls_connect(&mut self.0, host)
    }
}

/// A way to connect whose streams read to the end before they close. See [`UntilEnd`].
pub struct ClosedByServer<C>(pub C);

impl<S, C: TlsConnect<S>> TlsConnect<S> for ClosedByServer<C>
where
    C::Stream: Unpin,
    C::Future: 'static,
{
    type Stream = UntilEnd<C::Stream>;
    type Error = C::Error;
    type Future = Pin<Box<dyn Future<Output = std::result::Result<Self::Stream, C::Error>>>>;

    fn connect(self, stream: S) -> Self::Future {
        let connecting = self.0.connect(stream);
        Box::pin(async move { connecting.await.map(UntilEnd) })
    }
}

impl<S: TlsStream + Unpin> TlsStream for UntilEnd<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.0.channel_binding()
    }
}
