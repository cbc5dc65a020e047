//! Reads responses of HTTP within limits, and explains why an exchange failed.

use super::{Endpoint, shown};
use crate::error::{Error, SqlState};
use crate::value::over_limit;
use crate::{Failure, Reply, Resend};
use chrono::{DateTime, Utc};
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderName, LOCATION, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

/// The statuses with which Odoo sends an error of JSON-2. A proxy may send others with JSON, too.
const ERRORS: [u16; 7] = [400, 401, 403, 404, 409, 422, 500];

/// Checks the status of a response and reads its body, up to `max_bytes` after decompression.
/// `errors_are_json`: the body of an error in JSON is an answer as well.
pub(super) async fn read(
    mut response: Response,
    endpoint: &Endpoint,
    began: Instant,
    max_bytes: usize,
    errors_are_json: bool,
) -> std::result::Result<Reply, Failure> {
    let status = response.status();
    let is_of_type = |kind| text(response.headers(), &CONTENT_TYPE).is_some_and(|found| found.starts_with(kind));
    let is_error = errors_are_json && ERRORS.contains(&status.as_u16()) && is_of_type("application/json");
    if status != StatusCode::OK && !is_error {
        return Err(refusal(status, response.headers(), endpoint));
    }
    if is_of_type("text/html") {
        return Err(Failure::never(Error::Malformed { cause: "it is an HTML page".to_owned() }));
    }
    let announced = response.content_length().unwrap_or(0);
    if announced > max_bytes as u64 {
        return Err(Failure::never(over_limit(max_bytes)));
    }
    let date = date(response.headers());
    let mut body = Vec::with_capacity(announced as usize);
    while let Some(chunk) = response.chunk().await.map_err(|error| failure(&error, endpoint))? {
        if body.len() + chunk.len() > max_bytes {
            return Err(Failure::never(over_limit(max_bytes)));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Reply { status: status.as_u16(), date, body, took: began.elapsed() })
}

/// The failure for a status other than 200. It does not contain the body, which Odoo did not write.
fn refusal(status: StatusCode, headers: &HeaderMap, endpoint: &Endpoint) -> Failure {
    if status.is_redirection() {
        let location = text(headers, &LOCATION).and_then(|location| endpoint.url.join(location).ok());
        let location = location.map_or("the new address".to_owned(), |url| shown(&url));
        let message = format!("Odoo at {} redirects to another address", shown(&endpoint.url));
        return Failure::never(Error::user(SqlState::ConnectionRefused, message).with_hint(format!(
            "If {location} is the right address, set it as the url option of the server. Redirects are not followed, \
             because the request contains the password."
        )));
    }
    let after = retry_after(headers);
    let resend = match status.as_u16() {
        429 | 502..=504 => Resend::IfHarmless { after },
        _ => Resend::Never,
    };
    Failure { error: Error::HttpStatus(status.as_u16()), resend }
}

/// The pause in the header `Retry-After`: a number of seconds, or a date of the server's clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = text(headers, &RETRY_AFTER)?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let moment = DateTime::parse_from_rfc2822(text).ok()?.to_utc();
    // A moment in the past asks for no pause.
    (moment - date(headers)?).to_std().ok()
}

/// The server's clock.
fn date(headers: &HeaderMap) -> Option<DateTime<Utc>> {
    Some(DateTime::parse_from_rfc2822(text(headers, &DATE)?).ok()?.to_utc())
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

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
