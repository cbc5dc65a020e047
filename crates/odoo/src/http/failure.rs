//! Explains why an exchange failed, and whether a retry can help.

use super::endpoint::{Endpoint, shown};
use super::resolver::LookupError;
use crate::error::Error;
use crate::{Failure, Resend};
use std::io::ErrorKind;

/// Turns an error of reqwest into a failure of the exchange.
pub(super) fn failure(error: &reqwest::Error, endpoint: &Endpoint) -> Failure {
    if error.is_connect() {
        let (hint, resend) = unreachable_hint(error);
        return Failure { error: Error::Connect { url: shown(&endpoint.url), cause: root_cause(error), hint }, resend };
    }
    let resend = Resend::IfHarmless { after: None };
    let error = if error.is_timeout() {
        Error::Timeout { seconds: endpoint.timeout.as_secs() }
    } else {
        Error::Connection { cause: root_cause(error) }
    };
    Failure { error, resend }
}

/// The hint for a failed connection, and whether a retry can help.
fn unreachable_hint(error: &reqwest::Error) -> (String, Resend) {
    let (mut is_lookup, mut hung_up) = (false, false);
    for cause in causes(error) {
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            return (tls_hint(tls).to_owned(), Resend::Never);
        }
        if let Some(error) = cause.downcast_ref::<std::io::Error>() {
            hung_up |= matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset);
        }
        is_lookup |= cause.is::<LookupError>();
    }
    let hint = if error.is_timeout() {
        "Check that the host is up, and that no firewall between this database server and Odoo blocks the port."
    } else if is_lookup {
        "Check the host name in the url option of the server, and that the database server can resolve it."
    } else if hung_up {
        NO_TLS
    } else {
        "Check host and port in the url option of the server, and that Odoo runs. The database server resolves the \
         name: in a container, localhost is the container itself."
    };
    (hint.to_owned(), Resend::Always)
}

const NO_TLS: &str = "Check that the port in the url option of the server speaks https.";

fn tls_hint(error: &rustls::Error) -> &'static str {
    match error {
        rustls::Error::InvalidCertificate(_) => {
            "The certificate of the server is not trusted. If a private certificate authority issued it, set the ca_cert \
             option of the server to the certificate of that authority (PEM text)."
        }
        _ => NO_TLS,
    }
}

/// The error and its causes, outermost first.
///
/// An I/O error may carry another error, and its `source` skips that one.
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

/// The innermost cause. The outer ones only repeat the address.
fn root_cause(error: &reqwest::Error) -> String {
    causes(error).last().map_or_else(String::new, |cause| cause.to_string())
}
