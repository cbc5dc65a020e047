//! What `ipai.sync_alerts` shows, told to whoever listens.
//!
//! In a transaction of its own: a run's end is committed, and nothing that goes wrong here, not even a NOTIFY queue that is full at the
//! commit, makes it a failure. (A sync in the caller's transaction tells nothing: it may be rolled back, and the caller would pay for what
//! goes wrong.)

use super::report::warning;
use super::{spi, subtransaction};
use ipai_odoo::error::{Error, Result};

/// Tells what has changed, when a run begins: a long one must not keep back what concerns others. What goes wrong is tried again at the end.
pub fn tell_early() -> Result<()> {
    tell(|_| ())
}

/// Tells what has changed, when a run has ended.
pub fn tell_at_end() -> Result<()> {
    tell(|error| {
        warning(
            format!("a change of ipai.sync_alerts could not be told: {error}"),
            "The run has ended as it says. To tell it again: select ipai.notify_alerts();".to_owned(),
        );
    })
}

fn tell(failed: impl FnOnce(Error)) -> Result<()> {
    let notify = || spi::execute("select ipai.notify_alerts()", &[], |_| Ok(())).map(|_| ());
    match subtransaction::within(notify).and_then(|()| subtransaction::commit()) {
        // Whoever cancels means the whole call.
        Err(error) if error.sqlstate() == "57014" => Err(error),
        Err(error) => {
            failed(error);
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}
