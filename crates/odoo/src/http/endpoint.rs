//! Describes how to reach an Odoo server.

use std::time::Duration;
use url::Url;

/// The address of an Odoo server and how to connect to it.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Scheme, host and port.
    pub url: Url,
    /// Time limit for name lookup, TCP and TLS together.
    pub connect_timeout: Duration,
    /// Time limit for one request and its answer.
    pub timeout: Duration,
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
