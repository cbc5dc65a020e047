//! The one exit for errors: from [`Error`] to a Postgres error with its SQLSTATE, DETAIL and HINT.

use ipai_odoo::error::{Error, Result};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// The value, or the error raised. Call it last: everything that must be put away has gone out of scope by then.
pub fn or_raise<T>(result: Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => raise(&error),
    }
}

/// Raises the error.
pub fn raise(error: &Error) -> ! {
    report(error, PgLogLevel::ERROR);
    unreachable!() // invariant: a report of level ERROR unwinds and does not come back.
}

/// Tells the client of something that is no error.
pub fn notice(message: String) {
    ereport!(
        PgLogLevel::NOTICE,
        PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION,
        message
    );
}

/// Warns the client.
pub fn warning(message: String, hint: String) {
    ErrorReport::new(PgSqlErrorCode::ERRCODE_WARNING, message, function_name!())
        .set_hint(hint)
        .report(PgLogLevel::WARNING);
}

fn report(error: &Error, level: PgLogLevel) {
    let mut report = ErrorReport::new(code(error.sqlstate()), error.to_string(), function_name!());
    if let Some(detail) = error.detail() {
        report = report.set_detail(detail);
    }
    if let Some(hint) = error.hint() {
        report = report.set_hint(hint);
    }
    report.report(level);
}

/// Five characters in Postgres's encoding: six bits each.
pub fn code(sqlstate: &str) -> PgSqlErrorCode {
    let packed = sqlstate.bytes().rev().fold(0i32, |packed, byte| {
        (packed << 6) | i32::from(byte.wrapping_sub(b'0') & 0x3f)
    });
    PgSqlErrorCode::from(packed)
}
