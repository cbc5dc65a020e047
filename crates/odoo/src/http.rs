//! Implements [`Transport`] over reqwest and rustls, with time limits, a size limit and
//! cancellation.

mod response;

use crate::error::{Error, Result, SqlState};
use crate::{Content, Failure, Reply, Request, Transport};
use futures_util::future::join_all;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use response::{LookupError, failure};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use url::Url;
use zeroize::Zeroizing;

/// The address of an Odoo server and how to connect to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Scheme, host and port.
    pub url: Url,
    /// Time limit for name lookup, TCP and TLS together.
    pub connect_timeout: Duration,
    /// Time limit for one request and its answer.
    pub timeout: Duration,
    /// The least time between two requests.
    pub request_interval: Duration,
    /// The proxy. The client never reads one from the environment.
    pub proxy: Option<Url>,
    /// A private certificate authority in PEM form, trusted in addition to the public ones.
    pub ca_cert: Option<String>,
}

/// The URL without the parts that may contain a secret: user, password, query and fragment.
pub fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // These fail only for URLs that cannot have a user or password.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.as_str().trim_end_matches('/').to_owned()
}

/// A [`Transport`] over HTTP for one thread.
pub struct Http {
    endpoint: Endpoint,
    client: reqwest::Client,
    /// Becomes true when the caller cancels the exchanges.
    cancelled: watch::Receiver<bool>,
    /// When the next request may be sent.
    next_request: Instant,
    /// `None` only during `drop`.
    runtime: Option<Runtime>,
}

impl Http {
    /// Makes a transport on the thread that uses it. `cancelled` ends every exchange and pause.
    ///
    /// # Errors
    /// An error for the user if the options cannot be used.
    pub fn new(endpoint: Endpoint, cancelled: watch::Receiver<bool>) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            // The runtime uses its threads only for the system's resolver, which blocks.
            .thread_name("ipai_sync dns")
            .build()
            .map_err(|error| Error::internal("cannot start the network runtime", &error))?;
        // Another transport may just have sent a request to this server.
        let next_request = Instant::now() + endpoint.request_interval;
        Ok(Http { client: client(&endpoint)?, endpoint, cancelled, next_request, runtime: Some(runtime) })
    }

    /// Waits until the next request may be sent.
    fn wait_for_turn(&mut self) -> Result<()> {
        let wait = self.next_request.saturating_duration_since(Instant::now());
        if !wait.is_zero() {
            self.pause(wait)?;
        }
        self.next_request = Instant::now() + self.endpoint.request_interval;
        Ok(())
    }

    /// Runs `work` to its end, or until the caller cancels.
    fn block_on<R>(&mut self, work: impl Future<Output = R>) -> Result<R> {
        let runtime = self.runtime.as_ref().ok_or(Error::Cancelled)?;
        runtime.block_on(async {
            tokio::select! {
                biased;
                _ = self.cancelled.wait_for(|cancelled| *cancelled) => Err(Error::Cancelled),
                result = work => Ok(result),
            }
        })
    }
}

type Exchanged = std::result::Result<Reply, Failure>;

/// Sends a request and reads its answer.
async fn exchange(client: reqwest::Client, endpoint: Endpoint, request: Request, max_bytes: usize) -> Exchanged {
    let url = endpoint.url.join(&request.path).map_err(|_| {
        Failure::never(
            Error::user(SqlState::InvalidParameter, "the url of the server cannot be used")
                .with_hint("Use the address of Odoo without a path, such as https://erp.example.com."),
        )
    })?;
    let errors_are_json = matches!(request.content, Content::Json { .. });
    let request = match request.content {
        Content::Nothing => client.get(url),
        Content::Xml { body, dbname } => {
            let request = client.post(url).header(CONTENT_TYPE, "text/xml").body(body);
            // Without the header, Odoo 19 asks Postgres for its databases before each call.
            match header("dbname", &dbname) {
                Ok(dbname) => request.header(DATABASE, dbname),
                Err(_) => request,
            }
        }
        Content::Json { body, key, dbname } => {
            let key = Zeroizing::new(format!("bearer {}", key.reveal()));
            let headers = [(AUTHORIZATION, header("API key", &key)?), (DATABASE, header("dbname", &dbname)?)];
            let request = client.post(url).header(CONTENT_TYPE, "application/json").body(body);
            headers.into_iter().fold(request, |request, (name, value)| request.header(name, value))
        }
    };
    let began = Instant::now();
    match request.send().await {
        Ok(response) => response::read(response, &endpoint, began, max_bytes, errors_are_json).await,
        Err(error) => Err(failure(&error, &endpoint)),
    }
}

/// The header that names the database, from Odoo 19 on.
const DATABASE: HeaderName = HeaderName::from_static("x-odoo-database");

/// The value of a header, which is never printed.
fn header(what: &str, text: &str) -> std::result::Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        let message = format!("the {what} contains a character that an HTTP header cannot carry");
        Failure::never(Error::user(SqlState::InvalidCharacter, message).with_hint("Remove the character."))
    })?;
    value.set_sensitive(true);
    Ok(value)
}

impl Drop for Http {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A cancel must not wait for a name lookup that hangs in the system's resolver.
            runtime.shutdown_background();
        }
    }
}

impl Transport for Http {
    fn send(&mut self, request: Request, max_bytes: usize) -> Exchanged {
        self.wait_for_turn().map_err(Failure::never)?;
        let exchange = exchange(self.client.clone(), self.endpoint.clone(), request, max_bytes);
        self.block_on(exchange).map_err(Failure::never)?
    }

    fn send_all(&mut self, requests: Vec<Request>, max_bytes: usize) -> Vec<Exchanged> {
        if !self.endpoint.request_interval.is_zero() {
            return requests.into_iter().map(|request| self.send(request, max_bytes)).collect();
        }
        let exchange = |request| exchange(self.client.clone(), self.endpoint.clone(), request, max_bytes);
        let (number, exchanges) = (requests.len(), join_all(requests.into_iter().map(exchange).collect::<Vec<_>>()));
        self.block_on(exchanges).unwrap_or_else(|error| vec![Err(Failure::never(error)); number])
    }

    fn pause(&mut self, pause: Duration) -> Result<()> {
        self.block_on(async move { tokio::time::sleep(pause).await })
    }
}

/// Makes the HTTP client. It follows no redirects, because the request contains the password.
fn client(endpoint: &Endpoint) -> Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls(endpoint.ca_cert.as_deref())?)
        .dns_resolver(Arc::new(SystemResolver))
        .user_agent(concat!("ipai_sync/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .http1_only()
        .connect_timeout(endpoint.connect_timeout)
        .timeout(endpoint.timeout)
        .no_proxy();
    if let Some(proxy) = &endpoint.proxy {
        builder = builder.proxy(reqwest::Proxy::all(proxy.as_str()).map_err(|_| {
            Error::user(SqlState::InvalidParameter, "the proxy cannot be used")
                .with_hint("Set it to an address such as http://proxy.example.com:3128.")
        })?);
    }
    builder.build().map_err(|error| Error::internal("cannot set up the HTTP client", &error))
}

/// The TLS configuration, which trusts Mozilla's certificate authorities and a private one.
/// Mozilla's are built in, because the database server may not have a store of its own.
fn tls(ca_cert: Option<&str>) -> Result<rustls::ClientConfig> {
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

/// Parses the certificates in a PEM text.
///
/// # Errors
/// An error for the user if the text contains no certificate.
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

/// The system's resolver. It blocks, so tokio runs it on a thread of its pool, which ends when the
/// resolver returns.
struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // reqwest replaces port 0 with the port of the URL.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await.map_err(LookupError)?;
            Ok(Box::new(found.collect::<Vec<_>>().into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
