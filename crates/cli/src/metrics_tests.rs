//! Tests of the server of figures, without a database.
#![allow(clippy::unwrap_used)]

use super::{escaped, requested};
use std::io::Write;
use std::net::{Shutdown, TcpListener, TcpStream};

/// What the server makes of these bytes.
fn request(bytes: &[u8]) -> Option<bool> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.write_all(bytes).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    requested(&mut listener.accept().unwrap().0).unwrap()
}

#[test]
fn only_get_requests_for_the_figures_are_answered_with_them() {
    assert_eq!(request(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"), Some(true));
    assert_eq!(request(b"GET /metrics?a=b HTTP/1.1\r\n\r\n"), Some(true));
    assert_eq!(request(b"GET / HTTP/1.1\r\n\r\n"), Some(false));
    for bytes in [&b"POST /metrics HTTP/1.1\r\n\r\n"[..], b"GET /metrics HTTP/1.1\r\n", b"\0\0\r\n\r\n", b""] {
        assert_eq!(request(bytes), None);
    }
    assert_eq!(request(&[b'a'; 20_000]), None);
}

#[test]
fn labels_are_escaped() {
    assert_eq!(escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
}
