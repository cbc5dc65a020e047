//! Subtransactions, and commits inside a procedure. Errors of Postgres become values.

use ipai_odoo::error::{Error, PostgresError, Result};
use pgrx::pg_sys;
use pgrx::pg_sys::panic::{CaughtError, ErrorReportWithLevel};
use pgrx::prelude::*;
use std::ffi::{CStr, c_char, c_void};
use std::panic::AssertUnwindSafe;

/// Runs `work` in a subtransaction. Any error, also one of SQL, rolls it back and is returned.
pub fn within<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    // SAFETY: begin is paired with release or rollback; memory context and resource owner are
    // restored as in PL/pgSQL's blocks with an exception handler.
    unsafe {
        let (context, owner) = (pg_sys::CurrentMemoryContext, pg_sys::CurrentResourceOwner);
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::MemoryContextSwitchTo(context);
        let result = caught(|| {
            // After a commit in a procedure there is no snapshot, and reading needs one.
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

/// Runs `work` without a subtransaction. After an error the caller must [`rollback`] or raise it.
pub fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    // SAFETY: a plain read; an error may have left another context current.
    unsafe {
        let context = pg_sys::CurrentMemoryContext;
        let result = caught(work);
        pg_sys::MemoryContextSwitchTo(context);
        result
    }
}

/// Commits the transaction of a procedure and begins a new one.
pub fn commit() -> Result<()> {
    caught(|| {
        // SAFETY: only called by the procedure, connected as non-atomic and in no subtransaction.
        unsafe { pg_sys::SPI_commit() };
        Ok(())
    })
}

/// Rolls back the transaction of a procedure and begins a new one.
pub fn rollback() -> Result<()> {
    caught(|| {
        // SAFETY: as for `commit`.
        unsafe { pg_sys::SPI_rollback() };
        Ok(())
    })
}

/// Sets the search path until the end of the transaction: a procedure that commits cannot have a
/// SET clause, and its statements must not find objects of other roles.
pub fn fix_search_path() {
    // SAFETY: both are texts that end in a zero byte, and the setting exists.
    unsafe {
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
    }
}

/// Runs `work` with a new snapshot: it sees what was committed since the caller's statement began.
pub fn with_new_snapshot<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    // SAFETY: push is paired with pop. After an error of SQL the (sub)transaction's abort pops it.
    unsafe { pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot()) };
    let result = work();
    // SAFETY: see above.
    unsafe { pg_sys::PopActiveSnapshot() };
    result
}

fn caught<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let mut details = Details::default();
    let mut callback = pg_sys::ErrorContextCallback {
        // SAFETY: a plain read.
        previous: unsafe { pg_sys::error_context_stack },
        callback: Some(note_details),
        arg: std::ptr::from_mut(&mut details).cast(),
    };
    // SAFETY: removed below, whatever happens: the builder catches everything.
    unsafe { pg_sys::error_context_stack = &mut callback };
    let result = PgTryBuilder::new(AssertUnwindSafe(|| Ok(work())))
        .catch_others(|raised| Err(Box::new(raised)))
        .catch_rust_panic(|raised| Err(Box::new(raised)))
        .execute();
    // SAFETY: see above.
    unsafe { pg_sys::error_context_stack = callback.previous };
    result.unwrap_or_else(|raised| match *raised {
        CaughtError::PostgresError(report) | CaughtError::ErrorReport(report) => Err(details.complete(&report)),
        // Not the details of an error of Postgres that was handled before.
        CaughtError::RustPanic { ereport, .. } => Err(Details::default().complete(&ereport)),
    })
}

/// The parts of a Postgres error that pgrx drops.
#[derive(Default)]
struct Details {
    /// A trigger may raise a code that Postgres does not know.
    sqlstate: Option<i32>,
    constraint: Option<String>,
    timed_out: bool,
}

impl Details {
    fn complete(self, report: &ErrorReportWithLevel) -> Error {
        Error::Postgres(Box::new(PostgresError {
            sqlstate: sqlstate(self.sqlstate.unwrap_or(report.sql_error_code() as i32)),
            message: report.message().to_owned(),
            detail: report.detail().map(str::to_owned),
            hint: report.hint().map(str::to_owned),
            constraint: self.constraint,
            timed_out: self.timed_out,
        }))
    }
}

/// The untranslated messages of Postgres's time-outs.
const TIMEOUTS: [&CStr; 4] = [
    c"canceling statement due to statement timeout",
    c"canceling statement due to lock timeout",
    c"canceling statement due to transaction timeout",
    c"terminating connection due to transaction timeout",
];

/// Postgres calls it while it reports an error.
unsafe extern "C-unwind" fn note_details(details: *mut c_void) {
    // SAFETY: `caught` passes its details, and Postgres calls this with an error on its stack. It
    // does so in the error context, which the copy must not use.
    unsafe {
        let details = &mut *details.cast::<Details>();
        let context = pg_sys::MemoryContextSwitchTo(pg_sys::TopMemoryContext);
        let error = pg_sys::CopyErrorData();
        if (*error).elevel >= PgLogLevel::ERROR as i32 {
            let text = |text: *const c_char| (!text.is_null()).then(|| CStr::from_ptr(text));
            details.sqlstate = Some((*error).sqlerrcode);
            details.constraint = text((*error).constraint_name).map(|name| name.to_string_lossy().into_owned());
            // Before translation.
            details.timed_out = text((*error).message_id).is_some_and(|message| TIMEOUTS.contains(&message));
        }
        pg_sys::FreeErrorData(error);
        pg_sys::MemoryContextSwitchTo(context);
    }
}

/// Five characters from Postgres's encoding: six bits each.
fn sqlstate(code: i32) -> String {
    (0..5).map(|place| char::from(b'0' + ((code >> (6 * place)) & 0x3f) as u8)).collect()
}
