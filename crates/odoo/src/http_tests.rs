//! Tests of failed connections and of cancellation.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::Resend;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::{Read, Write};
use std::net::TcpListener;
use url::Url;

/// A transport to this address, and the sender that cancels it.
fn transport(url: &str) -> (Http, watch::Sender<bool>) {
    let endpoint = Endpoint {
        url: Url::parse(url).unwrap(),
        connect_timeout: Duration::from_secs(20),
        timeout: Duration::from_secs(20),
        proxy: None,
        ca_cert: None,
        request_interval: Duration::ZERO,
    };
    let (sender, cancelled) = watch::channel(false);
    (Http::new(endpoint, cancelled).unwrap(), sender)
}

/// An empty request of XML-RPC.
fn call(path: &str) -> Request {
    Request { path: path.to_owned(), content: Content::Xml { body: String::new(), dbname: "odoo".to_owned() } }
}

/// Hint, cause and advice of a failed connection to this address.
fn failed(url: &str) -> (String, String, Resend) {
    let (mut http, _sender) = transport(url);
    let failure = http.send(call("/xmlrpc/2/common"), 9).unwrap_err();
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
    assert_eq!(http.send(call("/"), 9).unwrap_err().error, Error::Cancelled);
}

/// A server that answers one request with these headers and this body.
fn answering(headers: &'static str, body: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4_096]).unwrap();
        let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n{headers}\r\n");
        // The client hangs up once it has read too much.
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
    });
    url
}

fn compressed(bytes: usize) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&vec![b' '; bytes]).unwrap();
    gzip.finish().unwrap()
}

#[test]
fn answers_are_limited_after_decompression() {
    const MOST: usize = 1 << 20;
    type Server = fn(usize) -> String;
    let whole: Server = |bytes| answering("", vec![b' '; bytes]);
    let gzip: Server = |bytes| answering("Content-Encoding: gzip\r\n", compressed(bytes));
    for serve in [whole, gzip] {
        let post = |bytes| transport(&serve(bytes)).0.send(call("/"), MOST);
        assert_eq!(post(MOST).unwrap().body.len(), MOST);
        let failure = post(MOST + 1).unwrap_err();
        assert_eq!(failure.error.to_string(), "the answer is over the limit of 1 MB for one answer");
        assert_eq!(failure.resend, Resend::Never);
    }
    // The announced length is believed before anything is read.
    let announced = answering("Content-Length: 1048577\r\n", Vec::new());
    let failure = transport(&announced).0.send(call("/"), MOST).unwrap_err();
    assert!(matches!(failure.error, Error::Limit { .. }));
}
