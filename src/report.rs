//! The one exit for errors: from [`Error`] to a Postgres error with its SQLSTATE, DETAIL and HINT.

use ipai_odoo::error::{Error, Result};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use std::ffi::{CString, c_char, c_void};

/// Returns the value, or raises the error. Call it when everything to clean up is out of scope.
pub fn or_raise<T>(result: Result<T>) -> T {
    result.unwrap_or_else(|error| raise(&error))
}

pub fn raise(error: &Error) -> ! {
    complete_next_report(error);
    let mut report = ErrorReport::new(code(error.sqlstate()), error.to_string(), function_name!());
    if let Some(detail) = error.detail() {
        report = report.set_detail(detail);
    }
    if let Some(hint) = error.hint() {
        report = report.set_hint(hint);
    }
    report.report(PgLogLevel::ERROR);
    unreachable!() // invariant: a report of level ERROR unwinds.
}

/// What pgrx cannot report: a SQLSTATE that Postgres does not know, and the name of a constraint.
#[repr(C)]
struct Addition {
    callback: pg_sys::ErrorContextCallback,
    sqlstate: i32,
    constraint: *mut c_char,
}

/// Lets Postgres complete the report of an error that is about to be raised.
fn complete_next_report(error: &Error) {
    let constraint = error.constraint().and_then(|name| CString::new(name).ok());
    // SAFETY: the memory lives until the transaction ends, which is after the error was reported.
    // The handler that catches the error restores the stack of callbacks.
    unsafe {
        let context = pg_sys::MemoryContextSwitchTo(pg_sys::TopTransactionContext);
        let addition = pg_sys::palloc0(size_of::<Addition>()).cast::<Addition>();
        (*addition).sqlstate = packed(error.sqlstate());
        if let Some(name) = constraint {
            (*addition).constraint = pg_sys::pstrdup(name.as_ptr());
        }
        pg_sys::MemoryContextSwitchTo(context);
        (*addition).callback.previous = pg_sys::error_context_stack;
        (*addition).callback.callback = Some(complete);
        (*addition).callback.arg = addition.cast();
        pg_sys::error_context_stack = addition.cast();
    }
}

unsafe extern "C-unwind" {
    // pgrx does not bind them. Neither raises an error.
    fn errcode(sqlerrcode: i32) -> i32;
    fn err_generic_string(field: i32, text: *const c_char) -> i32;
}

/// `PG_DIAG_CONSTRAINT_NAME`
const CONSTRAINT_NAME: i32 = b'n' as i32;

/// Postgres calls it while it reports the error.
unsafe extern "C-unwind" fn complete(addition: *mut c_void) {
    let addition = addition.cast::<Addition>();
    // SAFETY: `complete_next_report` made it, for this call.
    unsafe {
        errcode((*addition).sqlstate);
        if !(*addition).constraint.is_null() {
            err_generic_string(CONSTRAINT_NAME, (*addition).constraint);
        }
    }
}

pub fn notice(message: &str) {
    without_interrupts(|| {
        ereport!(PgLogLevel::NOTICE, PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION, message.to_owned())
    });
}

pub fn warning(message: &str, hint: &str) {
    without_interrupts(|| {
        ErrorReport::new(PgSqlErrorCode::ERRCODE_WARNING, message.to_owned(), function_name!())
            .set_hint(hint.to_owned())
            .report(PgLogLevel::WARNING);
    });
}

/// Postgres handles interrupts at the end of a report, and would jump over Rust's frames. The next
/// tick raises an interrupt that arrives meanwhile.
fn without_interrupts(report: impl FnOnce()) {
    // SAFETY: the counter belongs to this backend's only thread that calls Postgres.
    unsafe { pg_sys::InterruptHoldoffCount += 1 };
    report();
    // SAFETY: see above.
    unsafe { pg_sys::InterruptHoldoffCount -= 1 };
}

/// The code of a SQLSTATE that Postgres knows.
pub fn code(sqlstate: &str) -> PgSqlErrorCode {
    PgSqlErrorCode::from(packed(sqlstate))
}

/// Five characters in Postgres's encoding: six bits each.
fn packed(sqlstate: &str) -> i32 {
    sqlstate.bytes().rev().fold(0i32, |packed, byte| (packed << 6) | i32::from(byte.wrapping_sub(b'0') & 0x3f))
}
