//! Notifies listeners of health alerts that were raised or cleared.
//!
//! This happens in a transaction of its own: the end of a run is committed, and a failure here,
//! even a full NOTIFY queue at the commit, does not make the run a failure. A sync in the caller's
//! transaction does not notify: it may be rolled back, and the caller would pay for a failure here.

use crate::session::Session;
use ipai_odoo::error::{Error, Result};

/// Notifies of what changed in `ipai.sync_alerts`. A failure is a warning, unless the caller
/// cancelled.
pub fn notify(session: &mut dyn Session) -> Result<()> {
    let notified = session.within(|session| session.run("select ipai.notify_alerts()", &[]));
    match notified.and_then(|_| session.commit()) {
        Err(error) if error.sqlstate() == "57014" => Err(error),
        Err(error) => {
            warn(session, &error);
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

fn warn(session: &mut dyn Session, error: &Error) {
    session.warning(
        &format!("listeners were not notified of changed alerts: {error}"),
        "The run ended as reported. To notify them now: select ipai.notify_alerts();",
    );
}
