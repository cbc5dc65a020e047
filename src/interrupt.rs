//! What the backend does while it waits for Odoo.

use crate::subtransaction;
use ipai_odoo::error::{Error, Result};
use pgrx::prelude::*;

unsafe extern "C-unwind" {
    /// Whether the client is still connected (libpq/libpq.h, from 14 on; pgrx does not bind it).
    fn pq_check_connection() -> bool;
}

/// Raises a pending cancel, timeout or shutdown, and notices a client that is gone.
pub fn tick() -> Result<()> {
    subtransaction::guarded(|| {
        pgrx::check_for_interrupts!();
        // SAFETY: called on the backend's own thread. A background worker (pg_cron's) has no client
        // to lose. The guard turns an error of Postgres into unwinding.
        let is_gone =
            unsafe { !pg_sys::MyProcPort.is_null() && !pg_sys::ffi::pg_guard_ffi_boundary(|| pq_check_connection()) };
        match is_gone {
            true => Err(Error::ClientGone),
            false => Ok(()),
        }
    })
}
