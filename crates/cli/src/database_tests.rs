//! Tests how addresses of databases are taken apart.
#![allow(clippy::unwrap_used)]

use super::*;
use ipai_mirror::engine::Progress;
use ipai_odoo::error::PostgresError;

struct Silent;

impl Console for Silent {
    fn message(&self, _: &str, _: &str, _: Option<&str>) {}
    fn progress(&self, _: &str, _: &Progress) {}
}

fn parse(address: &str) -> Result<Database> {
    Database::parse(&Secret::new(address.to_owned()), Arc::new(Silent))
}

#[test]
fn remote_connections_are_encrypted_by_default() {
    for (address, mode) in [
        ("postgresql://u:p@db.example.com:5432/postgres", SslMode::Require),
        ("postgres://u:p@db.example.com/postgres?sslmode=verify-full", SslMode::Require),
        ("postgresql://u:p@db.example.com/postgres?sslmode=require", SslMode::Require),
        ("postgresql://u:p@db.example.com/postgres?sslmode=disable", SslMode::Disable),
        ("postgresql://u:p@localhost/postgres", SslMode::Disable),
        ("postgresql://u:p@127.0.0.1/postgres", SslMode::Disable),
        ("postgresql://u:p@127.0.0.1/postgres?sslmode=verify-full", SslMode::Require),
    ] {
        assert_eq!(parse(address).unwrap().config.get_ssl_mode(), mode, "{address}");
    }
}

#[test]
fn silent_connection_is_lost_within_a_minute() {
    let config = parse("postgresql://u:p@db.example.com/postgres").unwrap().config;
    let probes = config.get_keepalives_interval().unwrap() * config.get_keepalives_retries().unwrap();
    assert!(config.get_keepalives());
    assert_eq!(config.get_keepalives_idle() + probes, Duration::from_secs(60));
    assert_eq!(config.get_tcp_user_timeout(), Some(&Duration::from_secs(60)));
}

#[test]
fn password_may_hold_encoded_characters() {
    let database = parse("postgresql://postgres.ref:p%2F%23%40%3F@db.example.com:6543/x").unwrap();
    assert_eq!(database.config.get_password(), Some(&b"p/#@?"[..]));
    assert_eq!((database.config.get_user(), database.config.get_ports()), (Some("postgres.ref"), &[6543][..]));
}

#[test]
fn errors_do_not_quote_the_address() {
    for address in [
        "s3cret",
        "mysql://u:s3cret@host/x",
        "postgresql://u:s3cret#x@host/x",
        "postgresql://u:s3cret@host:port/x",
        "postgresql://u:s3cret@host/x?sslmode=s3cret",
        "postgresql://u:s3cret@host/x?connect_timeout=s3cret",
        "postgresql://u:s3cret@host/x?ssl_mode=require",
        "postgresql://u:s3cret@host/x?sslrootcert=/does/not/exist",
    ] {
        let error = parse(address).err().unwrap();
        assert_eq!(error.sqlstate(), "22023", "{error:?}");
        assert!(error.hint().is_some() && !format!("{error:?}").contains("s3cret"), "{error:?}");
    }
}

#[test]
fn unknown_parameter_names_the_nearest_valid_one() {
    let error = parse("postgresql://u@host/x?sslmod=require").err().unwrap();
    assert!(error.hint().unwrap().starts_with("Perhaps you mean sslmode. "), "{error:?}");
}

#[test]
fn only_one_host_is_accepted() {
    assert!(parse("postgresql://u@one,two/x").is_err());
}

#[test]
fn causes_of_a_failed_connection_get_their_hints() {
    for (address, detail, hint) in [
        ("postgresql://u@h/x", "error performing TLS handshake: server does not support TLS", "sslmode=disable"),
        ("postgresql://u@h/x", "invalid peer certificate: UnknownIssuer", "sslrootcert=PATH"),
        ("postgresql://u@h/x", "invalid peer certificate: certificate not valid for name \"h\"", "another host"),
        (
            "postgresql://u@h/x",
            "invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))",
            "that of an authority",
        ),
        ("postgresql://u@db.ref.supabase.co/x", "failed to lookup address information", "IPv6 only"),
        ("postgresql://u@h/x", "Connection refused (os error 111)", "host and port"),
    ] {
        let error = Error::Postgres(Box::new(PostgresError {
            sqlstate: "08001".to_owned(),
            message: "could not connect to the database".to_owned(),
            detail: Some(detail.to_owned()),
            hint: None,
            constraint: None,
            timed_out: false,
        }));
        let explained = parse(address).unwrap().explain(error);
        assert!(explained.hint().unwrap().contains(hint), "{explained:?}");
    }
}
