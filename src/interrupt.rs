//! Checks for interrupts while the backend waits for Odoo.

use crate::subtransaction;
use ipai_odoo::error::{Error, Result};
use pgrx::prelude::*;

unsafe extern "C-unwind" {
    /// Whether the client is still connected. It is in libpq/libpq.h since version 14, and pgrx
    /// does not bind it.
    fn pq_check_connection() -> bool;
}

/// Raises a pending cancel, timeout or shutdown.
///
/// # Errors
/// [`Error::ClientGone`] if the client of the session disconnected.
pub fn tick() -> Result<()> {
    subtransaction::guarded(|| {
        pgrx::check_for_interrupts!();
        // SAFETY: this runs on the backend's own thread. A background worker (of pg_cron) has no
        // client, so MyProcPort is null. The guard turns an error of Postgres into unwinding.
        let is_gone =
            unsafe { !pg_sys::MyProcPort.is_null() && !pg_sys::ffi::pg_guard_ffi_boundary(|| pq_check_connection()) };
        if is_gone { Err(Error::ClientGone) } else { Ok(()) }
    })
}
