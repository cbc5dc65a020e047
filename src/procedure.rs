//! `call ipai.run_sync()`: runs that commit each page, go on where an earlier one stopped, and record how they end.

use super::complete::{complete, learned};
use super::connection::Connection;
use super::interrupt::tick;
use super::report::{or_raise, warning};
use super::sink::CommittingSink;
use super::time::{moment, timestamptz};
use super::{alerts, api, counts, cron, drift, lock, mirrors, origin, runs, subtransaction, target, version};
use ipai_odoo::error::{Error, Result};
use ipai_mirror::source::{Fetcher, OdooSource};
use ipai_mirror::Mirror;
use ipai_odoo::retry::Policy;
use ipai_odoo::Database;
use ipai_mirror::engine::{self, Counts, Mode, Plan, Position, Report, Requested, Start};
use chrono::{NaiveDateTime, TimeDelta};
use pgrx::pg_sys;
use pgrx::prelude::*;
use std::sync::Arc;

/// Brings mirrors into step with Odoo, a commit a page.
// It can carry neither a SET clause nor SECURITY DEFINER: such a procedure may not commit. So all its SQL is qualified.
#[pg_extern(
    sql = "create procedure ipai.run_sync(mirror text default null, mode text default 'auto', \
                   max_delete_ratio double precision default null) language c as 'MODULE_PATHNAME', 'run_sync_wrapper';"
)]
fn run_sync(
    mirror: Option<String>,
    mode: Option<String>,
    max_delete_ratio: Option<f64>,
    fcinfo: pg_sys::FunctionCallInfo,
) {
    // SAFETY: Postgres called us with it.
    let may_commit = unsafe { is_nonatomic(fcinfo) };
    if !may_commit {
        or_raise::<()>(Err(Error::InTransaction));
    }
    // SAFETY: the pair of connect and finish.
    let connected = unsafe { pg_sys::SPI_connect_ext(pg_sys::SPI_OPT_NONATOMIC as i32) };
    let result = match connected == pg_sys::SPI_OK_CONNECT as i32 {
        true => run_all(mirror, mode, max_delete_ratio),
        false => Err(Error::Internal {
            cause: format!("SPI_connect gave {connected}"),
        }),
    };
    // SAFETY: see above. Everything of ours is put away: raising only ends the procedure.
    unsafe { pg_sys::SPI_finish() };
    or_raise(result);
}

/// Whether the caller lets us commit. SPI itself does not check it.
///
/// # Safety
/// `fcinfo` is that of the call under way.
unsafe fn is_nonatomic(fcinfo: pg_sys::FunctionCallInfo) -> bool {
    let context = (*fcinfo).context;
    !context.is_null()
        && (*context).type_ == pg_sys::NodeTag::T_CallContext
        && !(*context.cast::<pg_sys::CallContext>()).atomic
}

fn run_all(mirror: Option<String>, mode: Option<String>, max_delete_ratio: Option<f64>) -> Result<()> {
    let requested = mode.as_deref().map_or(Some(Requested::Auto), Requested::from_name);
    let requested = requested.ok_or_else(|| Error::InvalidArgument {
        message: "mode is not one of those that there are".to_owned(),
        hint: "It is auto, incremental, reconcile or full.".to_owned(),
    })?;
    let max_delete_ratio = max_delete_ratio.map(api::ratio).transpose()?;
    subtransaction::within(version::check)?;
    let names = match mirror {
        Some(name) => return run_one(&name, requested, max_delete_ratio),
        None => subtransaction::within(mirrors::enabled)?,
    };
    let total = names.len();
    let mut failures = Vec::new();
    for name in names {
        match run_one(&name, requested, max_delete_ratio) {
            Ok(()) => {}
            // Whoever cancels means the whole call.
            Err(error) if error == Error::ClientGone || error.sqlstate() == "57014" => return Err(error),
            // One that fails does not stop the others.
            Err(error) => failures.push((name, error)),
        }
    }
    match failures.is_empty() {
        true => Ok(()),
        false => Err(Error::Several { failures, total }),
    }
}

fn run_one(name: &str, requested: Requested, max_delete_ratio: Option<f64>) -> Result<()> {
    let once = subtransaction::within(|| cron::jobs_for_once(name))?;
    let result = exclusively(name, requested, max_delete_ratio);
    let result = alerts::tell_at_end().and(result);
    // Only now: pg_cron hangs up on a job that is gone. One that found the mirror busy is still due.
    if once.is_empty() || matches!(result, Err(Error::Busy { .. })) {
        return result;
    }
    if let Err(error) = subtransaction::within(|| cron::unschedule(&once)).and_then(|()| subtransaction::commit()) {
        warning(
            format!("the job of ipai.sync_now is still there: {error}"),
            "Take it away: select cron.unschedule(...);".to_owned(),
        );
    }
    result
}

fn exclusively(name: &str, requested: Requested, max_delete_ratio: Option<f64>) -> Result<()> {
    subtransaction::within(|| {
        mirrors::load(name)?;
        lock::for_session(name)
    })?;
    let result = subtransaction::guarded(|| {
        if locked(name, requested, max_delete_ratio)? {
            locked(name, Requested::Incremental, max_delete_ratio)?;
        }
        Ok(())
    });
    if result.is_err() {
        // The error that matters is the first.
        let _ = subtransaction::rollback();
    }
    let released = subtransaction::insist(|| lock::release(name));
    result.and(released)
}

/// One run, from its row in the log to its end there. Whether another one is to follow.
fn locked(name: &str, requested: Requested, max_delete_ratio: Option<f64>) -> Result<bool> {
    // What the last holder of the lock has left is seen by a transaction that begins now.
    subtransaction::commit()?;
    let mut begun = subtransaction::within(|| begin(name, requested))?;
    subtransaction::commit()?;
    let result = subtransaction::guarded(|| execute(&mut begun, max_delete_ratio));
    if let Err(error) = &result {
        // What was not committed together with its position or its end is undone. What cannot be recorded, because the
        // table is gone, must not hide what happened.
        if subtransaction::rollback().is_ok() {
            let _ = subtransaction::insist(|| runs::fail(begun.run, error));
            let _ = subtransaction::within(|| runs::purge(name));
        }
    }
    let committed = subtransaction::commit();
    let report = result?;
    committed.map(|()| begun.start.is_followed(&report))
}

/// A run whose row is in the log.
struct Begun {
    mirror: Mirror,
    run: i64,
    start: Start,
    cursor: Option<NaiveDateTime>,
    overlap: TimeDelta,
    /// What the run's row says that it reads.
    shape: String,
}

/// Registers the mirror, decides what to do, and writes the row of the run.
fn begin(name: &str, requested: Requested) -> Result<Begun> {
    let mirror = mirrors::load(name)?;
    mirrors::register(&mirror)?;
    let shape = mirrors::shape(&mirror)?;
    let state = mirrors::state(name, &shape)?;
    let now = moment(pgrx::datum::datetime_support::clock_timestamp()).unwrap_or_default();
    let start = sync::choose(requested, &state, now);
    let cursor = state.cursor.map(timestamptz).transpose()?;
    Ok(Begun {
        run: runs::begin(name, &shape, &start, cursor)?,
        mirror,
        start,
        cursor: state.cursor,
        overlap: state.overlap,
        shape,
    })
}

fn execute(begun: &mut Begun, max_delete_ratio: Option<f64>) -> Result<Report> {
    let (connection, mut fetcher, leave) = subtransaction::within(|| {
        let mirror = &begun.mirror;
        target::check(mirror, false)?;
        let connection = Connection::open(&mirror.server)?;
        let leave = mirrors::leave(mirror, &connection.account.login, max_delete_ratio)?;
        let fetcher = connection.fetcher(Policy::SYNC, tick)?;
        Ok((connection, fetcher, leave))
    })?;
    // Nothing is locked while Odoo is waited for.
    subtransaction::commit()?;
    let mut plan = Plan {
        mirror: begun.mirror.name.clone(),
        mode: begun.start.mode,
        bound: begun.start.bound,
        also: begun.start.also,
        resume: begun.start.position(),
        cursor: begun.cursor,
        overlap: begun.overlap,
        max_rows: None,
        dry_run: false,
        guard: leave.guard,
    };
    let mut filled_from = leave.filled_from.clone();
    // A run that reads everything looks at the fields first. Any other one has no call to spare, and looks when it fails.
    let mut looked = plan.mode == Mode::Full;
    if looked {
        filled_from = origin::admit(&fetcher, &leave, &mut plan)?;
        if plan.resume != begun.start.position() {
            // What was read before may have been read from another database.
            begun.start.resumed = None;
            subtransaction::within(|| runs::set_shape(begun.run, &begun.shape, true))?;
            subtransaction::commit()?;
        }
        if look_at_fields(begun, &fetcher)? {
            // What was read before was read with other fields.
            begun.start.resumed = None;
            plan.resume = Position::default();
        }
    }
    loop {
        match attempt(begun, fetcher, &plan, &filled_from, &connection) {
            Err(error) if !looked && drift::may_explain(&error) => {
                looked = true;
                subtransaction::rollback()?;
                fetcher = subtransaction::within(|| connection.fetcher(Policy::SYNC, tick))?;
                filled_from = origin::admit(&fetcher, &leave, &mut plan)?;
                if !look_at_fields(begun, &fetcher)? {
                    return Err(error);
                }
            }
            result => return result,
        }
    }
}

/// Finds out which of the mirrored fields Odoo still has; whether that is news.
fn look_at_fields(begun: &mut Begun, fetcher: &Fetcher) -> Result<bool> {
    let mirror = &mut begun.mirror;
    let all = begun.start.mode == Mode::Full;
    let known = drift::look(fetcher, mirror, all)?;
    if mirror.drift == known {
        // What is kept may be unreadable, and was read as none.
        subtransaction::within(|| mirrors::set_drift(mirror))?;
        subtransaction::commit()?;
        return Ok(false);
    }
    begun.shape = subtransaction::within(|| {
        drift::note(mirror, &known)?;
        let shape = mirrors::shape(mirror)?;
        runs::set_shape(begun.run, &shape, all)?;
        Ok(shape)
    })?;
    subtransaction::commit()?;
    Ok(true)
}

fn attempt(
    begun: &Begun,
    fetcher: Fetcher,
    plan: &Plan,
    filled_from: &Database,
    connection: &Connection,
) -> Result<Report> {
    let mirror = Arc::new(begun.mirror.readable()?);
    let last = subtransaction::within(|| runs::last_tally(&mirror.name))?;
    subtransaction::commit()?;
    let mut source = OdooSource::new(fetcher, Arc::clone(&mirror)).only_from(filled_from);
    let mut sink = CommittingSink::new(&mirror, begun.run, last);
    if plan.mode == Mode::Full {
        sink = sink.filling_from(filled_from);
    }
    let report = sync::run(&mut source, &mut sink, plan)?;
    let odoo = counts::after_run(&mut source, &mirror, &report, last, || sink.tally())?;
    let learned = learned(&source, filled_from)?;
    drop(source);
    subtransaction::within(|| {
        let counts = Counts {
            odoo,
            mirror: sink.carry_out()?,
        };
        complete(begun.run, &mirror, &begun.shape, &report, counts, connection, &learned)
    })?;
    Ok(report)
}
