//! Maps errors of the wire protocol to the project's error type.

use ipai_mirror::session::internal;
use ipai_odoo::error::{Error, PostgresError};
use std::{fmt, io};
use tokio_postgres::error::{DbError, Severity};

/// Why a statement failed.
pub fn of_statement(error: tokio_postgres::Error) -> Error {
    if let Some(reported) = error.as_db_error() {
        return match is_fatal(reported) {
            true => lost(reported.message()),
            false => of_server(reported),
        };
    }
    let source = std::error::Error::source(&error);
    if source.is_some_and(|source| source.is::<TooLarge>()) {
        return Error::Limit {
            limit: "1 GB for one page".to_owned(),
            hint: "Lower the page size of the mirror.".to_owned(),
        };
    }
    match error.is_closed() || source.is_some_and(|source| source.is::<io::Error>()) {
        true => lost(&causes(&error)),
        false => internal(causes(&error)),
    }
}

/// Why no connection came about. The server's own reason keeps its SQLSTATE.
pub fn of_connect(error: tokio_postgres::Error) -> Error {
    match error.as_db_error() {
        Some(reported) => of_server(reported),
        None => of_connection("08001", "could not connect to the database", &causes(&error), None),
    }
}

/// Why a connection ended: the server's reason, if it told one.
pub fn cause(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| causes(error), |reported| reported.message().to_owned())
}

/// The connection to the database is lost.
pub fn lost(cause: &str) -> Error {
    let hint = "Repeat the command. It resumes an interrupted run from its last committed page.";
    of_connection("08006", "the connection to the database was lost", cause, Some(hint))
}

fn of_connection(sqlstate: &str, message: &str, cause: &str, hint: Option<&str>) -> Error {
    Error::Postgres(Box::new(PostgresError {
        sqlstate: sqlstate.to_owned(),
        message: message.to_owned(),
        detail: Some(cause.to_owned()),
        hint: hint.map(str::to_owned),
        constraint: None,
        timed_out: false,
    }))
}

/// An error that the server reported.
///
/// 57014 means a cancel by an operator. It is no time-out, because every transaction turns
/// `statement_timeout` off, and no cancel by the program, which returns the error of the tick.
fn of_server(reported: &DbError) -> Error {
    Error::Postgres(Box::new(PostgresError {
        sqlstate: reported.code().code().to_owned(),
        message: reported.message().to_owned(),
        detail: reported.detail().map(str::to_owned),
        hint: reported.hint().map(str::to_owned),
        constraint: reported.constraint().map(str::to_owned),
        timed_out: false,
    }))
}

/// Whether the server ends the connection with this error. Its level is not translated.
fn is_fatal(reported: &DbError) -> bool {
    matches!(reported.parsed_severity(), Some(Severity::Fatal | Severity::Panic))
}

/// The error with its causes.
fn causes(error: &tokio_postgres::Error) -> String {
    let first: &dyn std::error::Error = error;
    let chain = std::iter::successors(Some(first), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// The parameters of a statement exceed the largest message.
#[derive(Debug)]
pub struct TooLarge;

impl fmt::Display for TooLarge {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the message is too large")
    }
}

impl std::error::Error for TooLarge {}
