//! [`Session`] over SPI.

use crate::{array, report, subtransaction};
use chrono::NaiveDateTime;
use ipai_mirror::engine::Progress;
use ipai_mirror::progress::ProgressNotice;
use ipai_mirror::refusal::refused;
use ipai_mirror::session::{Param, Row, Session, Tick, Value, Visitor, Work, internal};
use ipai_mirror::time;
use ipai_odoo::error::{Error, Result, SqlState};
use pgrx::datum::DatumWithOid;
use pgrx::prelude::*;
use pgrx::spi::{OwnedPreparedStatement, Query, SpiClient, SpiHeapTupleData, SpiHeapTupleDataEntry, SpiTupleTable};
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::rc::Rc;

/// The session of the backend.
pub struct SpiSession {
    may_commit: bool,
    /// Open savepoints.
    depth: u32,
    plans: Plans,
    progress: ProgressNotice,
}

/// Plans of statements by text and types of parameters; none for a statement that ran once. A run
/// of many mirrors repeats its statements, and planning them takes longer than running them.
type Plans = RefCell<HashMap<(String, Vec<pg_sys::Oid>), Option<OwnedPreparedStatement>>>;

impl SpiSession {
    /// For a function, which runs in the caller's transaction. Errors of SQL unwind as they are.
    pub fn of_function() -> Result<Self> {
        let mut session = SpiSession::new(false);
        check_version(&mut session)?;
        Ok(session)
    }

    /// For a procedure that may commit. Errors of SQL are returned as values.
    pub fn of_procedure() -> Self {
        SpiSession::new(true)
    }

    fn new(may_commit: bool) -> Self {
        SpiSession { may_commit, depth: 0, plans: Plans::default(), progress: ProgressNotice::default() }
    }

    /// Runs a statement. In a procedure it is a savepoint of its own, because Postgres can only
    /// roll back to the last commit if an error left no snapshot and no lock of its own behind.
    fn statement<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        if !self.may_commit {
            return work();
        }
        let work = || {
            subtransaction::fix_search_path();
            work()
        };
        match self.depth {
            0 => subtransaction::within(work),
            _ => work(),
        }
    }
}

/// Refuses a library newer than the SQL of the extension, which needs `alter extension update`.
pub fn check_version(session: &mut dyn Session) -> Result<()> {
    let library = env!("CARGO_PKG_VERSION");
    let sql = "select extversion from pg_catalog.pg_extension where extname = 'ipai_sync'";
    match session.first(sql, &[], |row| row.get::<String>(0))? {
        Some(installed) if installed != library => Err(refused(
            SqlState::ObjectNotInState,
            format!(
                "the library of ipai_sync has version {library}, but the extension in this database has version \
                 {installed}"
            ),
            "Run as a superuser (on Supabase: supabase_admin): alter extension ipai_sync update;",
        )),
        _ => Ok(()),
    }
}

impl Session for SpiSession {
    fn query(&mut self, sql: &str, params: &[Param<'_>], visit: &mut Visitor<'_>) -> Result<u64> {
        self.statement(|| {
            subtransaction::with_new_snapshot(|| {
                Spi::connect_mut(|client| visit_rows(run(client, false, &self.plans, sql, params)?, visit))
            })
        })
    }

    fn execute(&mut self, sql: &str, params: &[Param<'_>], visit: &mut Visitor<'_>) -> Result<u64> {
        self.statement(|| Spi::connect_mut(|client| visit_rows(run(client, true, &self.plans, sql, params)?, visit)))
    }

    fn savepoint(&mut self, work: &mut Work<'_>) -> Result<()> {
        self.depth += 1;
        let result = subtransaction::within(|| work(self));
        self.depth -= 1;
        result
    }

    fn commit(&mut self) -> Result<()> {
        if self.may_commit { subtransaction::commit() } else { Ok(()) }
    }

    fn rollback(&mut self) -> Result<()> {
        if self.may_commit { subtransaction::rollback() } else { Err(internal("a function cannot roll back")) }
    }

    fn may_commit(&self) -> bool {
        self.may_commit
    }

    fn notice(&mut self, message: &str) {
        report::notice(message);
    }

    fn warning(&mut self, message: &str, hint: &str) {
        report::warning(message, hint);
    }

    fn progress(&mut self, mirror: &str, progress: &Progress) {
        if let Some(text) = self.progress.text(mirror, progress) {
            report::notice(&text);
        }
    }

    fn ticker(&self) -> Tick {
        Rc::new(check_for_interrupts)
    }
}

unsafe extern "C-unwind" {
    /// Whether the client is still connected. In libpq/libpq.h; pgrx does not bind it.
    fn pq_check_connection() -> bool;
}

/// Raises a pending cancel, timeout or shutdown. Fails if the client of the session disconnected.
fn check_for_interrupts() -> Result<()> {
    subtransaction::guarded(|| {
        pgrx::check_for_interrupts!();
        // SAFETY: this runs on the backend's own thread. A background worker (of pg_cron) has no
        // client, so MyProcPort is null. The guard turns an error of Postgres into unwinding.
        let is_gone =
            unsafe { !pg_sys::MyProcPort.is_null() && !pg_sys::ffi::pg_guard_ffi_boundary(|| pq_check_connection()) };
        if is_gone { Err(Error::ClientGone) } else { Ok(()) }
    })
}

/// Runs a statement, from the second time on by its plan. Statements with arrays of a page are
/// planned each time, for their sizes.
fn run<'c>(
    client: &mut SpiClient<'c>,
    changes: bool,
    plans: &Plans,
    sql: &str,
    params: &[Param<'_>],
) -> Result<SpiTupleTable<'c>> {
    let args = params.iter().map(datum).collect::<Result<Vec<_>>>()?;
    if params.iter().any(|param| matches!(param, Param::Bigints(_) | Param::Column(_))) {
        return call(client, changes, sql, &args);
    }
    let types: Vec<pg_sys::Oid> = args.iter().map(DatumWithOid::oid).collect();
    match plans.borrow_mut().entry((sql.to_owned(), types)) {
        Entry::Vacant(place) => {
            place.insert(None);
            call(client, changes, sql, &args)
        }
        Entry::Occupied(mut place) => {
            if place.get().is_none() {
                let types: Vec<PgOid> = place.key().1.iter().map(|oid| PgOid::from(*oid)).collect();
                let plan = client.prepare(sql, &types).map_err(internal)?.keep();
                place.insert(Some(plan));
            }
            let plan = place.get().as_ref().ok_or_else(|| internal("a statement without a plan"))?;
            call(client, changes, plan, &args)
        }
    }
}

fn call<'c>(
    client: &mut SpiClient<'c>,
    changes: bool,
    query: impl Query<'c>,
    args: &[DatumWithOid<'_>],
) -> Result<SpiTupleTable<'c>> {
    let rows = if changes { client.update(query, None, args) } else { client.select(query, None, args) };
    rows.map_err(internal)
}

fn visit_rows(table: SpiTupleTable<'_>, visit: &mut Visitor<'_>) -> Result<u64> {
    let count = table.len() as u64;
    // A statement without RETURNING has a count and no columns.
    if table.columns().is_ok() {
        for tuple in table {
            visit(&Tuple(tuple))?;
        }
    }
    Ok(count)
}

struct Tuple<'t>(SpiHeapTupleData<'t>);

impl Row for Tuple<'_> {
    fn value(&self, column: usize) -> Result<Value<'_>> {
        let entry = self.0.get_datum_by_ordinal(column + 1).map_err(internal)?;
        match entry.oid() {
            pg_sys::BOOLOID => of(entry, Value::Bool),
            pg_sys::INT4OID => of(entry, Value::Integer),
            pg_sys::INT8OID => of(entry, Value::Bigint),
            pg_sys::FLOAT8OID => of(entry, Value::Double),
            pg_sys::TEXTOID => of(entry, |text: String| Value::Text(Cow::Owned(text))),
            pg_sys::INT8ARRAYOID => of(entry, Value::Bigints),
            pg_sys::TEXTARRAYOID => of(entry, Value::Texts),
            pg_sys::TIMESTAMPTZOID => {
                of(entry, |stamp: TimestampWithTimeZone| moment(stamp).map_or(Value::Null, Value::Timestamptz))
            }
            other => Err(internal(format!("a column of type {}", other.to_u32()))),
        }
    }
}

fn of<'v, T: FromDatum + IntoDatum>(
    entry: &SpiHeapTupleDataEntry<'_>,
    wrap: impl Fn(T) -> Value<'v>,
) -> Result<Value<'v>> {
    Ok(entry.value::<T>().map_err(internal)?.map_or(Value::Null, wrap))
}

/// A parameter as a datum. Call it inside the SPI connection, whose memory then holds the arrays.
fn datum<'p>(param: &Param<'p>) -> Result<DatumWithOid<'p>> {
    Ok(match *param {
        Param::Bool(value) => value.into(),
        Param::Integer(value) => value.into(),
        Param::Bigint(value) => value.into(),
        Param::Double(value) => value.into(),
        Param::Text(value) => value.into(),
        Param::Timestamptz(value) => value.map(timestamptz).transpose()?.into(),
        Param::Texts(texts) => texts.to_vec().into(),
        // SAFETY: the statement runs before the SPI connection and its memory context end.
        Param::Bigints(ids) => unsafe { array::of_ids(ids)? },
        // SAFETY: see above.
        Param::Column(column) => unsafe { array::of_column(column)? },
    })
}

/// Converts a moment (UTC) to timestamptz. Fails outside of Postgres's range.
pub fn timestamptz(moment: NaiveDateTime) -> Result<TimestampWithTimeZone> {
    TimestampWithTimeZone::try_from(time::micros(moment))
        .map_err(|_| internal("a moment is outside of Postgres's range"))
}

/// Converts a timestamptz to a moment (UTC), or `None` for infinity and for years that Odoo cannot
/// read, whose years have four digits.
pub fn moment(stamp: TimestampWithTimeZone) -> Option<NaiveDateTime> {
    time::moment(pg_sys::TimestampTz::from(stamp))
}
