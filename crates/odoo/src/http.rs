//! [`Transport`] over reqwest and rustls: deadlines, a cap on the bytes, no redirects, cancel at any moment.

use crate::error::{Error, Result, SqlState};
use crate::{Failure, Reply, Resend, Transport};
use chrono::{DateTime, Utc};
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use std::future::Future;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use url::Url;

/// How to reach an Odoo server: the options of the foreign server.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Scheme, host and port.
    pub url: Url,
    /// Longest time for name lookup, TCP and TLS together.
    pub connect_timeout: Duration,
    /// Longest time for one request and its answer.
    pub timeout: Duration,
    /// A proxy; none is ever taken from the environment.
    pub proxy: Option<Url>,
    /// A private certificate authority, PEM text, trusted beside the public ones.
    pub ca_cert: Option<String>,
}

/// Most bytes of one answer after decompression. A page of 5,000 metrics has 6 MB.
const MAX_ANSWER: usize = 256 << 20;

/// The network of one fetching thread.
pub struct Http {
    endpoint: Endpoint,
    client: reqwest::Client,
    /// Turns true when the backend no longer waits.
    cancelled: watch::Receiver<bool>,
    /// `None` only while this is dropped.
    runtime: Option<Runtime>,
}

impl Http {
    /// Call it on the thread that will use it.
    pub fn new(endpoint: Endpoint, cancelled: watch::Receiver<bool>) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            // The threads on which the system's resolver blocks.
            .thread_name("ipai_sync dns")
            .build()
            .map_err(|error| internal("cannot start the network runtime", &error))?;
        Ok(Http {
            client: client(&endpoint)?,
            endpoint,
            cancelled,
            runtime: Some(runtime),
        })
    }

    /// Runs `work` unless it is cancelled before or meanwhile.
    fn block_on<R>(&mut self, work: impl Future<Output = R>) -> std::result::Result<R, Error> {
        let Some(runtime) = &self.runtime else {
            return Err(Error::Cancelled);
        };
        runtime.block_on(async {
            tokio::select! {
                biased;
                _ = self.cancelled.wait_for(|cancelled| *cancelled) => Err(Error::Cancelled),
                result = work => Ok(result),
            }
        })
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A name lookup that hangs in the system's resolver must not delay a cancel.
            runtime.shutdown_background();
        }
    }
}

impl Transport for Http {
    fn post(&mut self, path: &str, body: String) -> std::result::Result<Reply, Failure> {
        let url = self.endpoint.url.join(path).map_err(|_| {
            never(
                Error::user(SqlState::InvalidParameter, "the url of the server cannot be used")
                    .with_hint("Use the address of Odoo without a path, such as https://erp.example.com."),
            )
        })?;
        let request = self.client.post(url).header(CONTENT_TYPE, "text/xml").body(body);
        let endpoint = self.endpoint.clone();
        let exchange = async move {
            let began = Instant::now();
            match request.send().await {
                Ok(response) => read(response, &endpoint, began).await,
                Err(error) => Err(failure(&error, &endpoint)),
            }
        };
        self.block_on(exchange).map_err(never)?
    }

    fn pause(&mut self, pause: Duration) -> Result<()> {
        self.block_on(async move { tokio::time::sleep(pause).await })
    }
}

fn never(error: Error) -> Failure {
    Failure {
        error,
        resend: Resend::Never,
    }
}

fn client(endpoint: &Endpoint) -> Result<reqwest::Client> {
    let builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls(endpoint.ca_cert.as_deref())?)
        .user_agent(concat!("ipai_sync/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .http1_only()
        .connect_timeout(endpoint.connect_timeout)
        .timeout(endpoint.timeout)
        .no_proxy();
    let builder = match &endpoint.proxy {
        Some(proxy) => builder.proxy(reqwest::Proxy::all(proxy.as_str()).map_err(|_| bad_proxy())?),
        None => builder,
    };
    builder
        .build()
        .map_err(|error| internal("cannot set up the HTTP client", &error))
}

/// Mozilla's certificate authorities, built in: the database server's own store may be missing, or a container's.
fn tls(ca_cert: Option<&str>) -> Result<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    if let Some(pem) = ca_cert {
        for certificate in certificates(pem)? {
            roots.add(certificate).map_err(|_| bad_ca())?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| internal("cannot set up TLS", &error))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// The certificates in a PEM text, at least one.
pub fn certificates(pem: &str) -> Result<Vec<rustls::pki_types::CertificateDer<'static>>> {
    use rustls::pki_types::pem::PemObject;
    let certificates: std::result::Result<Vec<_>, _> =
        rustls::pki_types::CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(bad_ca()),
    }
}

/// Checks the status, then reads the body as far as the cap.
async fn read(mut response: Response, endpoint: &Endpoint, began: Instant) -> std::result::Result<Reply, Failure> {
    let status = response.status();
    if status != StatusCode::OK {
        return Err(refusal(status, response.headers(), endpoint));
    }
    if text(response.headers(), &CONTENT_TYPE).is_some_and(|kind| kind.starts_with("text/html")) {
        return Err(never(Error::Malformed {
            cause: "it is an HTML page".to_owned(),
        }));
    }
    let too_large = || {
        never(Error::Limit {
            limit: format!("{} MB for one answer", MAX_ANSWER >> 20),
            hint: "Lower the page size of the mirror, or leave out large fields.".to_owned(),
        })
    };
    let announced = response.content_length().unwrap_or(0);
    if announced > MAX_ANSWER as u64 {
        return Err(too_large());
    }
    let date = text(response.headers(), &DATE)
        .and_then(|date| DateTime::parse_from_rfc2822(date).ok())
        .map(|date| date.with_timezone(&Utc));
    let mut body = Vec::with_capacity(announced as usize);
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > MAX_ANSWER => return Err(too_large()),
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => {
                let took = began.elapsed();
                return Ok(Reply { date, body, took });
            }
            Err(error) => return Err(failure(&error, endpoint)),
        }
    }
}

/// An answer of another status than 200. Its body is never shown: it is not Odoo's.
fn refusal(status: StatusCode, headers: &HeaderMap, endpoint: &Endpoint) -> Failure {
    if status.is_redirection() {
        let location = text(headers, &LOCATION).and_then(|location| endpoint.url.join(location).ok());
        return Failure {
            error: Error::Redirect {
                url: shown(&endpoint.url),
                location: location.map_or("its new location".to_owned(), |url| shown(&url)),
            },
            resend: Resend::Never,
        };
    }
    let after = text(headers, &RETRY_AFTER)
        .and_then(|seconds| seconds.trim().parse().ok())
        .map(Duration::from_secs);
    Failure {
        error: Error::HttpStatus {
            status: status.as_u16(),
        },
        resend: match status.as_u16() {
            429 | 502..=504 => Resend::IfHarmless { after },
            _ => Resend::Never,
        },
    }
}

/// What reqwest's error means.
fn failure(error: &reqwest::Error, endpoint: &Endpoint) -> Failure {
    if error.is_connect() {
        let (hint, resend) = unreachable_hint(error);
        return Failure {
            error: Error::Connect {
                url: shown(&endpoint.url),
                cause: root_cause(error),
                hint,
            },
            resend,
        };
    }
    let resend = Resend::IfHarmless { after: None };
    let error = if error.is_timeout() {
        Error::Timeout {
            seconds: endpoint.timeout.as_secs(),
        }
    } else {
        Error::Connection {
            cause: root_cause(error),
        }
    };
    Failure { error, resend }
}

/// Why there was no connection, and whether to try again.
fn unreachable_hint(error: &reqwest::Error) -> (String, Resend) {
    let (mut lookup, mut hung_up) = (false, false);
    for cause in causes(error) {
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            return (tls_hint(tls).to_owned(), Resend::Never);
        }
        if let Some(error) = cause.downcast_ref::<std::io::Error>() {
            hung_up |= matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset);
        }
        lookup |= cause.to_string().starts_with("dns error");
    }
    let hint = if error.is_timeout() {
        "Is the host up, and does a firewall between this database server and Odoo let the port pass?"
    } else if lookup {
        "Check the host name in the url option of the server, and that the database server can resolve it."
    } else if hung_up {
        NO_TLS
    } else {
        "Check host and port in the url option of the server, and that Odoo runs. The name is looked up on the database \
         server: in a container, localhost is the container itself."
    };
    (hint.to_owned(), Resend::Always)
}

const NO_TLS: &str = "The server does not speak TLS as expected. Is this the https port?";

fn tls_hint(error: &rustls::Error) -> &'static str {
    match error {
        rustls::Error::InvalidCertificate(_) => {
            "The certificate of the server is not trusted. If it comes from a private certificate authority, put that \
             authority's certificate (PEM text) into the ca_cert option of the server."
        }
        _ => NO_TLS,
    }
}

/// The error and what lies below it. An I/O error hides the one that it carries: its `source` is that one's source.
fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| {
        let carried = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        match carried {
            Some(carried) => Some(carried),
            None => error.source(),
        }
    })
}

/// The innermost cause: the outer ones only say "error sending request" and repeat the address.
fn root_cause(error: &reqwest::Error) -> String {
    causes(error).last().map_or_else(String::new, |cause| cause.to_string())
}

/// A URL without whatever may be secret in it.
pub fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // These fail only for URLs that cannot have a user, which then have nothing to hide.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.as_str().trim_end_matches('/').to_owned()
}

fn text<'a>(headers: &'a HeaderMap, name: &reqwest::header::HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn bad_ca() -> Error {
    Error::user(SqlState::InvalidParameter, "ca_cert is not a certificate in PEM form").with_hint(
        "It is the text between and including -----BEGIN CERTIFICATE----- and -----END CERTIFICATE-----, not a \
               path.",
    )
}

fn bad_proxy() -> Error {
    Error::user(SqlState::InvalidParameter, "the proxy cannot be used")
        .with_hint("It is an address such as http://proxy.example.com:3128.")
}

fn internal(what: &str, error: &dyn std::error::Error) -> Error {
    Error::Internal {
        cause: format!("{what}: {error}"),
    }
}
