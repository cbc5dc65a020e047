//! Explains why an exchange failed, and whether a retry can help.

use super::{Endpoint, shown};
use crate::error::{Error, SqlState};
use crate::{Failure, Resend};
use std::io::{self, ErrorKind};

/// A failed name lookup, which the resolver puts among the causes of a failed exchange.
#[derive(Debug, thiserror::Error)]
#[error("name lookup failed")]
pub(super) struct LookupError(#[source] pub io::Error);

/// Turns an error of reqwest into a failure of the exchange.
pub(super) fn failure(error: &reqwest::Error, endpoint: &Endpoint) -> Failure {
    // The outer causes only repeat the address.
    let cause = causes(error).last().map_or_else(String::new, |cause| cause.to_string());
    if error.is_connect() {
        let (hint, resend) = unreachable_hint(error);
        let message = format!("could not connect to Odoo at {}", shown(&endpoint.url));
        let error = Error::user(SqlState::ConnectionRefused, message).with_detail(cause).with_hint(hint);
        return Failure { error, resend };
    }
    let error = match error.is_timeout() {
        true => Error::Timeout(endpoint.timeout.as_secs()),
        false => Error::Connection { cause },
    };
    Failure { error, resend: Resend::IfHarmless { after: None } }
}

/// The hint for a failed connection, and whether a retry can help.
fn unreachable_hint(error: &reqwest::Error) -> (&'static str, Resend) {
    const NO_TLS: &str = "Check that the port in the url option of the server speaks https.";
    let (mut is_lookup, mut hung_up) = (false, false);
    for cause in causes(error) {
        match cause.downcast_ref::<rustls::Error>() {
            Some(rustls::Error::InvalidCertificate(_)) => {
                let hint = "The certificate of the server is not trusted. If a private certificate authority issued \
                            it, set the ca_cert option of the server to the certificate of that authority (PEM text).";
                return (hint, Resend::Never);
            }
            Some(_) => return (NO_TLS, Resend::Never),
            None => {}
        }
        if let Some(error) = cause.downcast_ref::<io::Error>() {
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
    (hint, Resend::Always)
}

/// The error and its causes, outermost first.
fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| {
        // An I/O error may carry another error, and its `source` skips that one.
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(carried) => Some(carried),
            None => error.source(),
        }
    })
}
