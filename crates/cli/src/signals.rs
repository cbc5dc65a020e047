//! Ctrl-C and SIGTERM: the first one ends the run, the second one the program.

use ipai_mirror::session::internal;
use ipai_odoo::error::{Error, Result, SqlState};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

/// Whether a signal arrived that no tick has reported yet.
static STOP: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);
/// Whether a signal has arrived.
static STOPPED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// Exit status of a program that a second signal ends at once: 128 and the number of SIGINT.
const KILLED: i32 = 130;

/// Installs the handlers.
pub fn install() -> Result<()> {
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal sets the condition only after it was looked at.
        flag::register_conditional_shutdown(signal, KILLED, Arc::clone(&STOPPED)).map_err(internal)?;
        flag::register(signal, Arc::clone(&STOPPED)).map_err(internal)?;
        flag::register(signal, Arc::clone(&STOP)).map_err(internal)?;
    }
    Ok(())
}

/// The tick of a session: fails once after a signal, so that the end of the run can be recorded.
pub fn tick() -> Result<()> {
    match STOP.swap(false, Ordering::Relaxed) {
        true => Err(Error::user(SqlState::QueryCanceled, "the program was stopped by a signal")
            .with_hint("Nothing was lost. The next run goes on from the last committed page.")),
        false => Ok(()),
    }
}

/// Whether a signal has arrived.
pub fn has_stopped() -> bool {
    STOPPED.load(Ordering::Relaxed)
}
