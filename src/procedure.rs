//! The procedures, which commit: `ipai.run_sync()`, whose runs commit after each page and record
//! how they end, `ipai.follow_sync()` and `ipai.rotate_odoo_key()`.

use crate::api::host;
use crate::connection::ServerAccounts;
use crate::report::or_raise;
use crate::session::{SpiSession, check_version};
use ipai_mirror::engine::Requested;
use ipai_mirror::follow::{self, FollowRequest};
use ipai_mirror::refusal::{invalid, refused};
use ipai_mirror::rotate_key::rotate_key;
use ipai_mirror::run_mirror::{RunRequest, RunScope};
use ipai_mirror::run_mirrors;
use ipai_mirror::session::{Session, internal};
use ipai_mirror::store::cron;
use ipai_odoo::error::{Error, Result, SqlState};
use pgrx::datum::Interval;
use pgrx::pg_sys;
use pgrx::prelude::*;
use std::time::Duration;

/// Syncs mirrors and commits after each page.
// It can have neither a SET clause nor SECURITY DEFINER: such a procedure may not commit. The
// session sets the search path instead.
#[pg_extern(sql = "create procedure ipai.run_sync(mirror text default null, mode text default 'auto', \
                   max_delete_ratio double precision default null) language c as 'MODULE_PATHNAME', 'run_sync_wrapper';")]
fn run_sync(
    mirror: Option<String>,
    mode: Option<String>,
    max_delete_ratio: Option<f64>,
    fcinfo: pg_sys::FunctionCallInfo,
) {
    // SAFETY: Postgres called us with it.
    unsafe { committing(fcinfo, Error::InTransaction, |session| run(session, mirror, mode, max_delete_ratio)) };
}

/// Applies the changes of mirrors as they happen in Odoo.
// See `run_sync`.
#[pg_extern(sql = "create procedure ipai.follow_sync(mirrors text[] default null, every interval default '1 second', \
                   during interval default '55 seconds') language c as 'MODULE_PATHNAME', 'follow_sync_wrapper';")]
fn follow_sync(
    mirrors: Option<Vec<Option<String>>>,
    every: Option<Interval>,
    during: Option<Interval>,
    fcinfo: pg_sys::FunctionCallInfo,
) {
    let in_transaction = refused(
        SqlState::ObjectNotInState,
        "follow_sync cannot run inside a transaction",
        "Send the call as the only statement, outside of a transaction: it commits each change.",
    );
    // SAFETY: Postgres called us with it.
    unsafe { committing(fcinfo, in_transaction, |session| follow(session, mirrors, every, during)) };
}

/// Replaces the API key of an Odoo server's user, and commits before it revokes the old key.
// See `run_sync`.
#[pg_extern(sql = "create procedure ipai.rotate_odoo_key(server text default null, days integer default 90) \
                   language c as 'MODULE_PATHNAME', 'rotate_odoo_key_wrapper';")]
fn rotate_odoo_key(server: Option<String>, days: Option<i32>, fcinfo: pg_sys::FunctionCallInfo) {
    let in_transaction = refused(
        SqlState::ObjectNotInState,
        "rotate_odoo_key cannot run inside a transaction",
        "Send the call as the only statement, outside of a transaction: it revokes the old key after it has committed \
         the new one.",
    );
    let rotate = |session: &mut dyn Session| {
        session.within(check_version)?;
        let days = days.ok_or_else(|| invalid("days must not be null", "It is the validity of the new key."))?;
        rotate_key(session, &ServerAccounts, server.as_deref(), days)
    };
    // SAFETY: Postgres called us with it.
    unsafe { committing(fcinfo, in_transaction, rotate) };
}

/// Runs the work of a procedure that commits, or raises `in_transaction` if the caller does not let
/// us commit.
///
/// # Safety
/// `fcinfo` is that of the current call.
unsafe fn committing(
    fcinfo: pg_sys::FunctionCallInfo,
    in_transaction: Error,
    work: impl FnOnce(&mut dyn Session) -> Result<()>,
) {
    // SAFETY: the caller promises it.
    if !unsafe { is_nonatomic(fcinfo) } {
        or_raise::<()>(Err(in_transaction));
    }
    // SAFETY: the pair of connect and finish.
    let connected = unsafe { pg_sys::SPI_connect_ext(pg_sys::SPI_OPT_NONATOMIC as i32) };
    let result = match connected == pg_sys::SPI_OK_CONNECT as i32 {
        true => work(&mut SpiSession::of_procedure()),
        false => Err(internal(format!("SPI_connect returned {connected}"))),
    };
    // SAFETY: see above. Nothing of ours is left: raising only ends the procedure.
    unsafe { pg_sys::SPI_finish() };
    or_raise(result);
}

/// Whether the caller lets us commit. SPI itself does not check it.
///
/// # Safety
/// `fcinfo` is that of the current call.
unsafe fn is_nonatomic(fcinfo: pg_sys::FunctionCallInfo) -> bool {
    // SAFETY: Postgres filled it, and the tag says what the context is.
    unsafe {
        let context = (*fcinfo).context;
        !context.is_null()
            && (*context).type_ == pg_sys::NodeTag::T_CallContext
            && !(*context.cast::<pg_sys::CallContext>()).atomic
    }
}

fn run(
    session: &mut dyn Session,
    mirror: Option<String>,
    mode: Option<String>,
    max_delete_ratio: Option<f64>,
) -> Result<()> {
    let mode = mode.as_deref().unwrap_or("auto");
    let requested = Requested::from_name(mode)
        .ok_or_else(|| invalid(format!("invalid mode \"{mode}\""), "Use auto, incremental, reconcile or full."))?;
    let request = RunRequest {
        scope: RunScope::Planned(requested),
        dry_run: false,
        max_delete_ratio: max_delete_ratio.map(run_mirrors::ratio).transpose()?,
    };
    let is_only = mirror.is_some();
    let names = session.within(|session| {
        check_version(session)?;
        run_mirrors::chosen(session, mirror.as_slice())
    })?;
    let host = &mut host(session);
    let jobs = host.session.within(|session| cron::jobs_for_once(session, &names))?;
    let mut ended = Vec::new();
    let result = run_mirrors::run_mirrors(host, &names, request, is_only, &mut |name, result| {
        if !matches!(result, Err(Error::Busy { .. })) {
            ended.push(name.to_owned());
        }
    });
    // Only now: pg_cron cancels a removed job. A job that found the mirror in use is still due.
    let done = jobs.into_iter().filter(|(name, _)| ended.contains(name));
    remove_jobs(host.session, &done.map(|(_, job)| job).collect::<Vec<_>>());
    result
}

fn follow(
    session: &mut dyn Session,
    mirrors: Option<Vec<Option<String>>>,
    every: Option<Interval>,
    during: Option<Interval>,
) -> Result<()> {
    session.within(check_version)?;
    let no_null = || invalid("mirrors must not contain a null", "select name from ipai.mirrors shows the mirrors.");
    let mirrors = mirrors.map(|mirrors| mirrors.into_iter().collect::<Option<Vec<_>>>().ok_or_else(no_null));
    let request = FollowRequest {
        mirrors: mirrors.transpose()?,
        every: duration("every", every)?.unwrap_or(Duration::from_secs(1)),
        during: duration("during", during)?,
    };
    follow::follow(&mut host(session), request, &mut |_, _| {})
}

fn duration(name: &str, interval: Option<Interval>) -> Result<Option<Duration>> {
    let Some(interval) = interval else { return Ok(None) };
    let micros = u64::try_from(interval.as_micros()).ok().filter(|micros| *micros > 0);
    let micros = micros.ok_or_else(|| invalid(format!("{name} must be greater than zero"), "Such as '1 second'."))?;
    Ok(Some(Duration::from_micros(micros)))
}

/// Removes jobs of `ipai.sync_now`, whose runs have ended.
fn remove_jobs(session: &mut dyn Session, jobs: &[i64]) {
    if jobs.is_empty() {
        return;
    }
    let removed = session.within(|session| cron::unschedule(session, jobs));
    if let Err(error) = removed.and_then(|()| session.commit()) {
        session.warning(
            &format!("the job of ipai.sync_now was not removed: {error}"),
            "Remove it: select cron.unschedule(...);",
        );
    }
}
