//! The sequence of a run, from its lock to its end in the log. It is the same in every host.

mod changes;
mod drift;
mod failure;
mod findings;
mod identity;
mod warnings;

use crate::changes::Answers;
use crate::connection::{Accounts, Connection, Fetchers};
use crate::engine::{self, Changes, Mode, Plan, Position, Report, Requested, Scanned, Start, State};
use crate::session::Session;
use crate::source::{Fetcher, OdooSource, first_page_size};
use crate::store::mirror_state::{self, Reached, RunPermissions, Stored};
use crate::store::sink::TableSink;
use crate::store::{lock, mirrors, runs, target, vault};
use crate::{Drift, Mirror, Problem};
use chrono::NaiveDateTime;
use failure::{record_failure, retry_once};
use identity::{known_database, verify_database};
use ipai_odoo::Database;
use ipai_odoo::error::{Error, Result, SqlState};
use ipai_odoo::retry::Policy;
use ipai_odoo::text::Cleaner;
use std::sync::Arc;
use std::time::Duration;
use warnings::{warn_of_drift, warn_of_refusal};

/// How long the calls of a run for records that Odoo cannot send may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// Where a run takes place.
pub struct Host<'h> {
    /// The session with the database.
    pub session: &'h mut dyn Session,
    /// Odoo's credentials.
    pub accounts: &'h dyn Accounts,
    /// What earlier runs of this host left to the next one.
    pub fetchers: Fetchers,
    /// What Odoo reported as changed, for the next runs.
    pub answers: Answers,
    /// Runs work and returns an error that would otherwise unwind.
    pub guard: fn(&mut dyn FnMut() -> Result<()>) -> Result<()>,
    /// The local clock (UTC). It only decides whether a full run is due.
    pub now: fn() -> NaiveDateTime,
}

impl Host<'_> {
    /// Runs work, and returns an error that would otherwise unwind.
    pub(crate) fn guarded<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let guard = self.guard;
        let (mut work, mut done) = (Some(work), None);
        guard(&mut || {
            if let Some(work) = work.take() {
                done = Some(work(self)?);
            }
            Ok(())
        })?;
        done.ok_or(Error::Cancelled)
    }
}

/// What the caller of a run asks for.
#[derive(Debug, Clone, Copy)]
pub struct RunRequest {
    /// Which records the run reads.
    pub scope: RunScope,
    /// Change nothing, and record nothing.
    pub dry_run: bool,
    /// The share of the rows that the run may delete, instead of the mirror's own.
    pub max_delete_ratio: Option<f64>,
}

/// Which records a run reads.
#[derive(Debug, Clone, Copy)]
pub enum RunScope {
    /// What the planner decides. An interrupted run is resumed.
    Planned(Requested),
    /// What Odoo reported to a follower as changed.
    Live,
    /// Records written at or after a moment (UTC), or all; at most `max_rows`.
    Records {
        /// The lower bound (UTC).
        since: Option<NaiveDateTime>,
        /// The most records to read.
        max_rows: Option<u64>,
    },
}

impl RunRequest {
    /// Whether the run may leave records out.
    fn is_limited(&self) -> bool {
        matches!(self.scope, RunScope::Records { max_rows: Some(_), .. })
    }
}

/// The result of a run.
#[derive(Clone)]
pub struct Finished {
    /// The row in the log; `None` after a dry run.
    pub run: Option<i64>,
    /// The figures.
    pub report: Report,
}

/// Runs a mirror once. Where the host may commit, a failure is recorded and the lock is released
/// before the error is returned; a resumed run is followed by an incremental one.
pub fn run_mirror(host: &mut Host<'_>, name: &str, request: RunRequest) -> Result<Finished> {
    lock::require_primary(host.session)?;
    if !host.session.may_commit() {
        if !request.dry_run {
            lock::for_transaction(host.session, name)?;
        }
        return Ok(run_locked(host, name, request)?.0);
    }
    host.session.within(|session| lock::for_session(session, name))?;
    let finished = host.guarded(|host| {
        let (finished, needs_follow_up) = run_locked(host, name, request)?;
        if !needs_follow_up {
            return Ok(finished);
        }
        let scope = RunScope::Planned(Requested::Incremental);
        Ok(run_locked(host, name, RunRequest { scope, ..request })?.0)
    });
    if finished.is_err() {
        // The first error is the one that matters.
        let _ = host.session.rollback();
    }
    let released = retry_once(host.session, &|session| lock::release(session, name));
    finished.and_then(|finished| released.map(|()| finished))
}

/// Refuses a moment for a model without write dates.
fn check_scope(mirror: &Mirror, scope: RunScope) -> Result<()> {
    match scope {
        RunScope::Records { since: Some(_), .. } if !mirror.has_write_date => {
            Err(Error::user(SqlState::InvalidParameter, "this model has no write dates").with_hint("Leave since out."))
        }
        _ => Ok(()),
    }
}

/// One run under the lock of its mirror, and whether an incremental run must follow.
fn run_locked(host: &mut Host<'_>, name: &str, request: RunRequest) -> Result<(Finished, bool)> {
    // A transaction that begins now sees what the last holder of the lock committed.
    host.session.commit()?;
    let mut run = Run::begin(host, name, request)?;
    host.session.commit()?;
    let report = match host.guarded(|host| run.execute(host)) {
        Ok(report) => report,
        Err(error) => {
            // Constraints and triggers quote values of Odoo.
            let error = Cleaner::default().error(error).of_model(&run.mirror.scope.model);
            if host.session.may_commit() {
                record_failure(host, &run, &error);
            }
            return Err(error);
        }
    };
    host.session.commit()?;
    let needs_follow_up = run.start.needs_follow_up(&report);
    let run = run.number;
    Ok((Finished { run, report }, needs_follow_up))
}

/// A run whose row is in the log.
struct Run {
    mirror: Mirror,
    /// The row in the log; `None` in a dry run.
    number: Option<i64>,
    start: Start,
    stored: Stored,
    request: RunRequest,
    /// Whether the run has deleted rows. It must not start again then: the guard holds for one run.
    has_deleted: bool,
    /// What the scan reached, if the run fails after it.
    scanned: Option<Scanned>,
    /// The page size that worked after a larger page had failed; 0 without a failure.
    safe_page_size: u32,
    /// What Odoo's addon returned at the start.
    token: Option<String>,
}

impl Run {
    /// Loads the mirror, plans the run, and inserts its row.
    fn begin(host: &mut Host<'_>, name: &str, request: RunRequest) -> Result<Self> {
        let mut mirror = mirrors::load(host.session, name)?;
        if mirror.masks.need_key() {
            // The fingerprint depends on the key. That it is missing fails the run later.
            mirror.masks.key = host.session.within(vault::mask_key).ok();
        }
        check_scope(&mirror, request.scope)?;
        let stored = mirror_state::load(host.session, &mirror)?;
        let start = plan(request.scope, &stored.state, (host.now)());
        let number = match request.dry_run {
            true => None,
            false => Some(runs::begin(host.session, name, &stored.fingerprint, &start, stored.state.cursor)?),
        };
        let safe_page_size = stored.safe_page_size;
        let (has_deleted, scanned, token) = (false, None, None);
        Ok(Run { mirror, number, start, stored, request, has_deleted, scanned, safe_page_size, token })
    }

    fn execute(&mut self, host: &mut Host<'_>) -> Result<Report> {
        target::check(host.session, &self.mirror, self.request.dry_run)?;
        let table = target::verify(host.session, &self.mirror.name, !self.request.dry_run)?;
        if self.mirror.masks.need_key() && self.mirror.masks.key.is_none() {
            self.mirror.masks.key = Some(vault::mask_key(host.session)?);
        }
        let connection = host.accounts.of_mirror(host.session, &self.mirror)?;
        let login = &connection.account.login;
        let permissions = self.stored.permissions(&self.mirror, login, self.request.max_delete_ratio);
        let mut fetcher = host.fetchers.take(host.session, &connection)?;
        // Nothing is locked while Odoo is waited for.
        host.session.commit()?;
        let mut filled_from = permissions.filled_from.clone();
        let changes = self.ask_for_changes(host, &fetcher, &filled_from, login)?;
        if self.start.mode == Mode::Full {
            target::check_types(host.session, &self.mirror, table)?;
            host.session.commit()?;
        }
        let mut plan = self.plan(&permissions, changes);
        // An incremental run has no call to spare: it verifies the database by its first page, and
        // asks for the fields only if it fails. Before that it sets no record aside if a
        // changed field may be the cause.
        plan.fields_are_checked = !matches!(plan.mode, Mode::Incremental | Mode::Reconcile | Mode::Live);
        if plan.fields_are_checked {
            filled_from = self.verify_database(host, &fetcher, &permissions, &mut plan)?;
            if self.check_drift(host, &fetcher, plan.reads_all())? {
                // The interrupted run read other fields.
                self.start.resumed = None;
                plan.resume = Position::default();
            }
        }
        loop {
            match self.attempt(host, fetcher, &plan, &filled_from, &connection, table) {
                Err(error) if !plan.fields_are_checked && !self.has_deleted && error.may_be_of_field() => {
                    plan.fields_are_checked = true;
                    // What this attempt scanned may be of another definition or database.
                    let scanned = self.scanned.take();
                    // The attempt may have changed rows.
                    plan.flags_are_counted = false;
                    Run::forget_page(&mut plan);
                    host.session.rollback()?;
                    fetcher = connection.fetcher(host.session, Policy::SYNC)?;
                    host.session.commit()?;
                    filled_from = verify_database(&fetcher, &permissions, &mut plan)?;
                    if !self.check_drift(host, &fetcher, plan.reads_all())? && error.record().is_none() {
                        // Neither is, so the next run need not read it again.
                        self.scanned = scanned;
                        return Err(error);
                    }
                }
                Err(Error::UncarriedFields { fields, .. }) if !self.has_deleted && self.can_leave_out(&fields)? => {
                    self.leave_out(host, &fields, plan.reads_all())?;
                    plan.flags_are_counted = false;
                    Run::forget_page(&mut plan);
                    fetcher = connection.fetcher(host.session, Policy::SYNC)?;
                    host.session.commit()?;
                }
                result => return result,
            }
        }
    }

    fn plan(&self, permissions: &RunPermissions, changes: Option<Changes>) -> Plan {
        let max_rows = match self.request.scope {
            RunScope::Records { max_rows, .. } => max_rows,
            RunScope::Planned(_) | RunScope::Live => None,
        };
        Plan {
            mirror: self.mirror.name.clone(),
            mode: self.start.mode,
            bound: self.start.bound.filter(|_| changes.is_none()),
            also: self.start.also,
            changes,
            resume: self.start.position(),
            cursor: self.stored.state.newest(),
            has_write_date: self.mirror.has_write_date,
            overlap: self.stored.state.overlap,
            max_rows,
            fields_are_checked: false,
            patience: PATIENCE,
            dry_run: self.request.dry_run,
            guard: permissions.guard,
            page_size: first_page_size(&self.mirror, self.safe_page_size),
            flags_are_counted: self.stored.flags_are_counted,
        }
    }

    /// Verifies the database. If another one may be read, the run starts anew.
    fn verify_database(
        &mut self,
        host: &mut Host<'_>,
        fetcher: &Fetcher,
        permissions: &RunPermissions,
        plan: &mut Plan,
    ) -> Result<Database> {
        let database = verify_database(fetcher, permissions, plan)?;
        if plan.resume != self.start.position() {
            self.start.resumed = None;
            self.set_fingerprint(host, true)?;
        }
        Ok(database)
    }

    fn set_fingerprint(&self, host: &mut Host<'_>, restarts: bool) -> Result<()> {
        if let Some(number) = self.number {
            runs::set_fingerprint(host.session, number, &self.stored.fingerprint, restarts)?;
            host.session.commit()?;
        }
        Ok(())
    }

    /// Reads, writes, counts, and records the end of a run that succeeded.
    fn attempt(
        &mut self,
        host: &mut Host<'_>,
        fetcher: Fetcher,
        plan: &Plan,
        filled_from: &Database,
        connection: &Connection,
        table: i64,
    ) -> Result<Report> {
        let mirror = Arc::new(self.mirror.readable()?);
        if self.leaves_empty(&mirror) {
            target::check_owners(host.session, &mirror, &[])?;
            host.session.commit()?;
        }
        let source = OdooSource::new(fetcher, Arc::clone(&mirror), filled_from);
        let mut source = source.with_safe_page_size(self.safe_page_size);
        let mut sink = TableSink::new(host.session, &mirror, table, self.number);
        if plan.reads_all() {
            sink = sink.filling_from(filled_from);
        }
        if plan.mode == Mode::Full {
            sink = sink.rechecking();
        }
        let report = engine::run(&mut source, &mut sink, plan);
        self.has_deleted |= sink.has_deleted;
        self.safe_page_size = source.safe_page_size();
        let report = report.map_err(|failed| {
            // Another user may see fewer changes, and another database has other ones.
            let counts_for_the_next = !self.stored.is_other_user(&connection.account.login)
                && !matches!(failed.error, Error::OtherDatabase { .. });
            self.scanned = failed.scanned.filter(|_| counts_for_the_next);
            failed.error
        })?;
        let Some(number) = self.number else {
            warn_of_refusal(sink.session(), plan, &report);
            return Ok(report);
        };
        let findings = source.findings()?;
        host.fetchers.leave(connection.clone(), source.into_fetcher());
        let altered = std::mem::take(&mut sink.altered);
        let session = sink.session();
        if !altered.is_empty() {
            for map in altered.into_iter().filter_map(|place| mirror.fields.get(place)) {
                warn_of_drift(session, &mirror, &map.field, &Problem::Altered);
                self.mirror.drift.push(Drift { field: map.field.clone(), problem: Problem::Altered });
            }
            mirrors::set_drift(session, &self.mirror)?;
        }
        runs::succeed(session, number, &mirror, &report)?;
        if report.complete && report.progress.mode != Mode::Since {
            let reached = Reached {
                cursor: report.cursor.map(|cursor| (cursor.naive_utc(), report.settled)),
                fingerprint: &self.stored.fingerprint,
                login: &connection.account.login,
                database: &known_database(filled_from, &findings.database),
                token: self.token.as_deref(),
            };
            mirror_state::set_reached(session, &self.mirror.name, &reached)?;
        }
        mirror_state::set_safe_page_size(session, &self.mirror.name, self.safe_page_size)?;
        findings::store(session, &self.mirror.name, connection, &findings)?;
        runs::purge(session, &self.mirror.name)?;
        Ok(report)
    }
}

fn plan(scope: RunScope, state: &State, now: NaiveDateTime) -> Start {
    match scope {
        RunScope::Planned(requested) => engine::plan_run(requested, state, now),
        RunScope::Live if state.has_token => Start { mode: Mode::Live, bound: None, also: None, resumed: None },
        // The mirror was defined anew since Odoo was asked.
        RunScope::Live => engine::plan_run(Requested::Auto, state, now),
        RunScope::Records { since, .. } => {
            Start { mode: since.map_or(Mode::Full, |_| Mode::Since), bound: since, also: None, resumed: None }
        }
    }
}
