//! Tests of failed connections and of cancellation.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::Resend;
use url::Url;

/// A transport to this address, and the sender that cancels it.
fn transport(url: &str) -> (Http, watch::Sender<bool>) {
    let endpoint = Endpoint {
        url: Url::parse(url).unwrap(),
        connect_timeout: Duration::from_secs(20),
        timeout: Duration::from_secs(20),
        proxy: None,
        ca_cert: None,
    };
    let (sender, cancelled) = watch::channel(false);
    (Http::new(endpoint, cancelled).unwrap(), sender)
}

/// Hint, cause and advice of a failed connection to this address.
fn failed(url: &str) -> (String, String, Resend) {
    let (mut http, _sender) = transport(url);
    let failure = http.post("/xmlrpc/2/common", String::new()).unwrap_err();
    assert_eq!(failure.error.sqlstate(), "08001");
    (failure.error.hint().unwrap(), failure.error.detail().unwrap(), failure.resend)
}

#[test]
fn unknown_host_name_is_a_failed_lookup() {
    let (hint, cause, resend) = failed("http://odoo.invalid");
    assert!(hint.starts_with("Check the host name in the url option"), "{hint}");
    // The cause is the text of the system's resolver, without the layers above it.
    assert!(cause.starts_with("failed to lookup address information"), "{cause}");
    assert_eq!(resend, Resend::Always);
}

#[test]
fn refused_connection_is_not_a_failed_lookup() {
    // Nothing listens at port 1 of the loopback interface.
    for url in ["http://127.0.0.1:1", "http://localhost:1"] {
        let (hint, cause, resend) = failed(url);
        assert!(hint.starts_with("Check host and port in the url option"), "{hint}");
        assert!(cause.starts_with("Connection refused"), "{cause}");
        assert_eq!(resend, Resend::Always);
    }
}

#[test]
fn cancel_ends_exchanges_and_pauses() {
    let (mut http, sender) = transport("http://localhost:1");
    sender.send(true).unwrap();
    assert_eq!(http.pause(Duration::from_secs(60)), Err(Error::Cancelled));
    assert_eq!(http.post("/", String::new()).unwrap_err().error, Error::Cancelled);
}
