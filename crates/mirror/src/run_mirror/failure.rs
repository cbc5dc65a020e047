//! Records a run that failed, whatever state the failure left the session in.

use super::{Host, Run};
use crate::engine::Mode;
use crate::session::Session;
use crate::store::{mirror_state, runs};
use ipai_odoo::error::{Error, Result};

/// Undoes what was not committed with its progress, and records the failure. That this may fail as
/// well must not hide the error of the run.
pub(super) fn record_failure(host: &mut Host<'_>, run: &Run, error: &Error) {
    // A second attempt succeeds if the first one only cleaned up.
    let undone = host.session.rollback().or_else(|_| host.session.rollback());
    let Some(number) = run.number.filter(|_| undone.is_ok()) else {
        return;
    };
    let name = &run.mirror.name;
    let _ = retry_once(host.session, &|session| {
        if let Some(scanned) = run.scanned.filter(|scanned| scanned.mode != Mode::Since) {
            let token = run.token.as_deref().filter(|_| scanned.mode == Mode::Full);
            mirror_state::set_cursor(session, name, &run.stored.fingerprint, &scanned, token)?;
        }
        mirror_state::set_safe_page_size(session, name, run.safe_page_size)?;
        runs::fail(session, number, error, run.scanned.is_some())
    });
    let _ = host.session.within(|session| runs::purge(session, name));
    let _ = host.session.commit();
}

/// Runs `work` in a savepoint, and once more after an error: a cancel that was pending is consumed
/// by then, and the end of a run must be recorded.
pub(super) fn retry_once(session: &mut dyn Session, work: &dyn Fn(&mut dyn Session) -> Result<()>) -> Result<()> {
    session.within(work).or_else(|_| session.within(work))
}
