//! Work that may fail without taking the transaction with it, and commits in the middle of a procedure.

use ipai_odoo::error::{Error, Result};
use pgrx::pg_sys;
use pgrx::pg_sys::panic::{CaughtError, ErrorReportWithLevel};
use pgrx::prelude::*;
use std::panic::AssertUnwindSafe;

/// Runs `work` in an internal subtransaction. An error, of SQL too, rolls it back and comes back as a value.
pub fn within<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    // SAFETY: the pair of begin and release (or rollback), with memory context and resource owner put back as plpgsql
    // does around a block with an exception handler.
    unsafe {
        let (context, owner) = (pg_sys::CurrentMemoryContext, pg_sys::CurrentResourceOwner);
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::MemoryContextSwitchTo(context);
        let result = caught(|| {
            // A procedure that commits cannot have a SET clause, and its statements must not find what others planted. It
            // holds until the commit.
            pg_sys::set_config_option(
                c"search_path".as_ptr(),
                c"pg_catalog, pg_temp".as_ptr(),
                pg_sys::GucContext::PGC_USERSET,
                pg_sys::GucSource::PGC_S_SESSION,
                pg_sys::GucAction::GUC_ACTION_LOCAL,
                true,
                0,
                false,
            );
            // After a commit in the middle of a procedure there is none, and reading needs one.
            pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
            let result = work();
            if result.is_ok() {
                pg_sys::PopActiveSnapshot();
            }
            result
        });
        match &result {
            Ok(_) => pg_sys::ReleaseCurrentSubTransaction(),
            Err(_) => pg_sys::RollbackAndReleaseCurrentSubTransaction(),
        }
        pg_sys::MemoryContextSwitchTo(context);
        pg_sys::CurrentResourceOwner = owner;
        result
    }
}

/// Runs `work` without a subtransaction: after an error the caller must [`rollback`] at once. This is the net below
/// everything that a procedure does, so that it always records its end and gives its lock back.
pub fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    // SAFETY: a plain read, and put back after an error that left another context behind.
    unsafe {
        let context = pg_sys::CurrentMemoryContext;
        let result = caught(work);
        pg_sys::MemoryContextSwitchTo(context);
        result
    }
}

/// Runs `work` and gives back as a value what cancels it; every other error of SQL goes its way as it is. The transaction is
/// over then, and the error must be raised.
pub fn cancellable<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let work = AssertUnwindSafe(work);
    PgTryBuilder::new(AssertUnwindSafe(move || {
        let work = work;
        (work.0)()
    }))
    .catch_when(PgSqlErrorCode::ERRCODE_QUERY_CANCELED, |error| Err(value(error)))
    .execute()
}

/// Like [`within`], and once more after an error: a cancel that was pending is used up by then, and what must be done at
/// the end must be done.
pub fn insist(work: impl Fn() -> Result<()>) -> Result<()> {
    within(&work).or_else(|_| within(&work))
}

/// Commits what a procedure has done so far and begins a new transaction.
pub fn commit() -> Result<()> {
    caught(|| {
        // SAFETY: only called by the procedure, which is connected as non-atomic and in no subtransaction.
        unsafe { pg_sys::SPI_commit() };
        Ok(())
    })
}

/// Undoes what a procedure has done since its last commit and begins a new transaction.
pub fn rollback() -> Result<()> {
    caught(|| {
        // SAFETY: as for `commit`.
        unsafe { pg_sys::SPI_rollback() };
        Ok(())
    })
}

fn caught<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let work = AssertUnwindSafe(work);
    PgTryBuilder::new(AssertUnwindSafe(move || {
        let work = work;
        (work.0)()
    }))
    .catch_others(|error| Err(value(error)))
    .catch_rust_panic(|error| Err(value(error)))
    .execute()
}

fn value(error: CaughtError) -> Error {
    match error {
        CaughtError::PostgresError(report) | CaughtError::ErrorReport(report) => postgres(&report),
        CaughtError::RustPanic { ereport, .. } => postgres(&ereport),
    }
}

fn postgres(report: &ErrorReportWithLevel) -> Error {
    Error::Postgres {
        sqlstate: sqlstate(report.sql_error_code() as i32),
        message: report.message().to_owned(),
        detail: report.detail().map(str::to_owned),
        hint: report.hint().map(str::to_owned),
    }
}

/// Five characters from Postgres's encoding: six bits each.
fn sqlstate(code: i32) -> String {
    (0..5)
        .map(|place| char::from(b'0' + ((code >> (6 * place)) & 0x3f) as u8))
        .collect()
}
