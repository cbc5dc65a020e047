//! The log of runs, `ipai.run_log`: one row per run, changed only by that run.

use super::sql;
use crate::Mirror;
use crate::engine::{Counts, Progress, Report, Start};
use crate::session::{Param, Session, internal, signed};
use chrono::{DateTime, NaiveDateTime, Utc};
use ipai_odoo::error::{Error, Result, SqlState};

/// Inserts the row of a run that begins, and returns its number.
pub fn begin(
    session: &mut dyn Session,
    mirror: &str,
    fingerprint: &str,
    start: &Start,
    cursor: Option<NaiveDateTime>,
) -> Result<i64> {
    let position = start.position();
    let params = [
        mirror.into(),
        start.mode.name().into(),
        start.resumed.map(|unfinished| unfinished.run).into(),
        fingerprint.into(),
        start.bound.into(),
        position.id.into(),
        utc(position.began),
        position.newest.map(|newest| newest.written).into(),
        cursor.into(),
    ];
    session.change(sql!("run_begin"), &params, |row| row.get(0))?.ok_or_else(|| internal("the run has no number"))
}

/// Sets the definition that a run reads. A run that reads everything `restarts` then.
pub fn set_fingerprint(session: &mut dyn Session, run: i64, fingerprint: &str, restarts: bool) -> Result<()> {
    let params = [run.into(), fingerprint.into(), restarts.into()];
    session.run(sql!("run_restart"), &params).map(drop)
}

/// Keeps a token of Odoo's addon for a run that resumes this one.
pub fn set_token(session: &mut dyn Session, run: i64, token: &str) -> Result<()> {
    session.run(sql!("run_set_token"), &[run.into(), token.into()]).map(drop)
}

/// Records how far a run is.
pub fn record_progress(session: &mut dyn Session, run: i64, progress: &Progress) -> Result<()> {
    let params = [
        run.into(),
        progress.mode.name().into(),
        progress.bound.into(),
        progress.position.id.into(),
        utc(progress.position.began),
        progress.position.newest.map(|newest| newest.written).into(),
        signed(progress.pages).into(),
        signed(progress.fetched).into(),
        progress.total.map(signed).into(),
        signed(progress.inserted).into(),
        signed(progress.updated).into(),
        signed(progress.unchanged()).into(),
        signed(progress.deleted).into(),
        progress.waiting.as_secs_f64().into(),
        progress.writing.as_secs_f64().into(),
    ];
    match session.run(sql!("run_progress"), &params)? {
        0 => Err(lost_run(run)),
        _ => Ok(()),
    }
}

/// The error of a run whose row this session did not insert. Its lock is not the session's either.
fn lost_run(run: i64) -> Error {
    let message = format!("run {run} no longer belongs to this session");
    Error::user(SqlState::ObjectNotInState, message)
        .with_detail("A connection pooler has changed the session, or the row in ipai.run_log was deleted.")
        .with_hint("Connect to Postgres itself or to a pooler in session mode, and repeat the run.")
}

/// Records a run that succeeded.
pub fn succeed(session: &mut dyn Session, run: i64, mirror: &Mirror, report: &Report) -> Result<()> {
    record_progress(session, run, &report.progress)?;
    let (mut params, flags) = (vec![run.into(), report.complete.into(), utc(report.cursor)], mirror.flags());
    params.extend(both(&report.counts, &flags));
    session.run(sql!("run_succeed"), &params).map(drop)
}

/// Records a run that ended in an error. `complete`: it had read all that it planned to read.
pub fn fail(session: &mut dyn Session, run: i64, error: &Error, complete: bool) -> Result<()> {
    let state = match error {
        Error::RefusedDeletion { .. } => "refused",
        // A person cancels. A time-out recurs until an operator acts.
        error if error.sqlstate() == "57014" && !error.is_timeout() => "cancelled",
        _ => "failed",
    };
    let (message, detail, hint) = (error.to_string(), error.detail(), error.hint());
    let params = [
        run.into(),
        state.into(),
        error.sqlstate().into(),
        (&message).into(),
        detail.as_deref().into(),
        hint.as_deref().into(),
        complete.into(),
    ];
    session.run(sql!("run_fail"), &params).map(drop)
}

/// Merges the earlier runs of a follower within the same minute into this one.
pub fn absorb(session: &mut dyn Session, run: i64, mirror: &str) -> Result<()> {
    session.run(sql!("run_absorb"), &[run.into(), mirror.into()]).map(drop)
}

/// Records counts that were taken without a sync.
pub fn record_counts(session: &mut dyn Session, mirror: &Mirror, counts: &Counts) -> Result<()> {
    let (mut params, flags) = (vec![(&mirror.name).into()], mirror.flags());
    params.extend(both(counts, &flags));
    session.run(sql!("run_counts"), &params).map(drop)
}

/// Deletes runs that ended longer than `keep_runs` ago, except for those that later runs look at.
pub fn purge(session: &mut dyn Session, mirror: &str) -> Result<()> {
    session.run(sql!("runs_purge"), &[mirror.into()]).map(drop)
}

fn both<'f>(counts: &Counts, flags: &'f [String]) -> [Param<'f>; 7] {
    let (odoo, mirror) = (counts.odoo, counts.mirror);
    [
        signed(odoo.total).into(),
        odoo.active.map(signed).into(),
        odoo.flagged.map(signed).into(),
        signed(mirror.total).into(),
        mirror.active.map(signed).into(),
        mirror.flagged.map(signed).into(),
        if counts.by_flag { flags.into() } else { Param::Text(None) },
    ]
}

fn utc(moment: Option<DateTime<Utc>>) -> Param<'static> {
    moment.map(|moment| moment.naive_utc()).into()
}
