//! The engine's sink: the table of a mirror.

use super::statements::Statements;
use super::target::{self, Access};
use super::{counts, mirror_state, runs};
use crate::engine::{Digest, Digests, IdRange, Progress, Sink, Tally, Written};
use crate::progress::ProgressNotice;
use crate::session::{Param, Row, Session, internal};
use crate::{Column, Mirror, Page};
use ipai_odoo::Database;
use ipai_odoo::domain::GREATEST_ID;
use ipai_odoo::error::{Error, Result};
use std::collections::BTreeSet;

/// A sink into the table of a mirror. Each page is a savepoint, committed with the run's progress.
pub struct TableSink<'s> {
    session: &'s mut dyn Session,
    statements: Statements,
    mirror: &'s Mirror,
    /// The oid of the table.
    table: i64,
    /// The row of the run in the log; `None` in a dry run.
    run: Option<i64>,
    /// The database that a full run fills the mirror from, until the first page is stored.
    filled_from: Option<Database>,
    notice: ProgressNotice,
    /// The counts, until something changes them.
    tally: Option<Tally>,
    /// Whether pages are compared again after they are written.
    rechecks: bool,
    is_first_page: bool,
    /// The fields whose values the table changes as they are written, by their places.
    pub altered: BTreeSet<usize>,
    /// Whether rows were deleted, also if the run fails afterwards.
    pub has_deleted: bool,
}

impl<'s> TableSink<'s> {
    /// `table` is the oid of the mirror's table, and `run` the row in the log. Without a row
    /// the sink is dry.
    pub fn new(session: &'s mut dyn Session, mirror: &'s Mirror, table: i64, run: Option<i64>) -> Self {
        TableSink {
            session,
            statements: Statements::new(mirror),
            mirror,
            table,
            run,
            filled_from: None,
            notice: ProgressNotice::new(),
            tally: None,
            rechecks: false,
            is_first_page: true,
            altered: BTreeSet::new(),
            has_deleted: false,
        }
    }

    /// Stores with the first page which database the mirror is filled from, so that an interrupted
    /// run is not resumed from another one.
    pub fn filling_from(mut self, database: &Database) -> Self {
        self.filled_from = Some(database.clone());
        self
    }

    /// Compares the first page, and those with changed rows, again after they are written.
    pub fn rechecking(mut self) -> Self {
        self.rechecks = true;
        self
    }

    /// Finds the fields of a page that was just written whose values a trigger has changed. A later
    /// run would write them again, and so on.
    fn recheck(&mut self, page: &Page) -> Result<()> {
        let mut params = columns(page);
        params.extend(ends(page));
        let numbers = self.session.first(&self.statements.altered, &params, |row| row.get::<Vec<i64>>(0))?;
        let places = numbers.into_iter().flatten().filter_map(|number| usize::try_from(number - 1).ok());
        self.altered.extend(places);
        Ok(())
    }

    /// The session, between two uses of the sink.
    pub fn session(&mut self) -> &mut dyn Session {
        self.session
    }

    /// A query whose locks end when it returns: a lock held longer would block other sessions.
    fn look<T>(&mut self, look: impl FnOnce(&mut dyn Session, &Statements) -> Result<T>) -> Result<T> {
        target::lock(self.session, &self.mirror.target, self.table, Access::Read)?;
        let found = look(self.session, &self.statements)?;
        self.session.commit()?;
        Ok(found)
    }
}

impl Sink for TableSink<'_> {
    fn write(&mut self, page: &Page) -> Result<Written> {
        let (statements, is_dry) = (&self.statements, self.run.is_none());
        let (mirror, table) = (self.mirror, self.table);
        let access = if is_dry { Access::Read } else { Access::Write };
        // Outside of the savepoint, which would release the lock.
        target::lock(self.session, &mirror.target, table, access)?;
        let written = match self.session.within(|session| write_page(session, statements, page, is_dry)) {
            Err(error) if is_about_values(&error) => {
                let culprit = Culprit { session: self.session, statements, mirror, is_dry, page };
                return Err(culprit.name(error));
            }
            written => written?,
        };
        if !is_dry && written != Written::default() {
            self.tally = None;
        }
        if self.rechecks && !is_dry && (written.updated > 0 || self.is_first_page) {
            self.is_first_page = false;
            self.recheck(page)?;
        }
        Ok(written)
    }

    fn tally(&mut self) -> Result<Tally> {
        if let Some(tally) = self.tally {
            return Ok(tally);
        }
        let tally = self.look(counts::of_mirror)?;
        Ok(*self.tally.insert(tally))
    }

    fn ids(&mut self, range: IdRange) -> Result<Vec<i64>> {
        let params = [range.after.into(), range.upto.into()];
        self.look(|session, statements| session.all(&statements.ids, &params, |row| row.get(0)))
    }

    fn digest(&mut self) -> Result<Option<Digests>> {
        self.look(|session, statements| {
            let greatest = session.first(&statements.greatest_id, &[], |row| row.get(0))?;
            let Some(bounds) = bounds(greatest.unwrap_or(0)) else {
                return Ok(None);
            };
            let mut digests = vec![Digest::default(); bounds.len() - 1];
            session.query(&statements.digests, &[Param::Bigints(&bounds)], &mut |row| {
                let range = usize::try_from(row.get::<i32>(0)? - 1).ok();
                let digest = range.and_then(|range| digests.get_mut(range));
                *digest.ok_or_else(|| internal("a digest of an unknown range"))? = Digest {
                    count: row.count(1)?,
                    sum: integer(&row.get::<String>(2)?)?,
                    squares: integer(&row.get::<String>(3)?)?,
                };
                Ok(())
            })?;
            Ok(Some(Digests { bounds, digests }))
        })
    }

    fn delete(&mut self, ids: &[i64]) -> Result<u64> {
        if self.run.is_none() {
            return Ok(ids.len() as u64);
        }
        (self.tally, self.has_deleted) = (None, true);
        let statement = &self.statements.delete;
        target::lock(self.session, &self.mirror.target, self.table, Access::Write)?;
        self.session.within(|session| session.run(statement, &[ids.into()]))
    }

    fn commit(&mut self, progress: &Progress) -> Result<()> {
        if let Some(run) = self.run {
            runs::record_progress(self.session, run, progress)?;
            if let Some(database) = self.filled_from.take() {
                mirror_state::set_filled_from(self.session, &self.mirror.name, &database)?;
            }
            self.session.commit()?;
        }
        if let Some(figures) = self.notice.figures(progress.fetched, progress.total) {
            self.session.notice(&format!("{}: {figures}", self.mirror.name));
        }
        Ok(())
    }

    fn notice(&mut self, message: &str) {
        self.session.notice(message);
    }
}

/// Number of ranges that a digest divides the ids into.
const RANGES: i64 = 1_000;
/// Least ids in a range: fewer would not make the lists of differing ranges shorter.
const RANGE_WIDTH: i64 = 1_000;

/// The bounds of a digest, or `None` if an id exceeds what Odoo can assign.
fn bounds(greatest: i64) -> Option<Vec<i64>> {
    if greatest >= GREATEST_ID {
        return None;
    }
    let width = (greatest / RANGES + 1).max(RANGE_WIDTH);
    let mut bounds = vec![0];
    bounds.extend((1..RANGES).map(|n| n * width).take_while(|bound| *bound < greatest));
    bounds.extend([greatest, GREATEST_ID].iter().filter(|bound| **bound > 0));
    Some(bounds)
}

/// Writes a page. In a first run none of its rows exists: an insert alone takes less time and WAL.
fn write_page(session: &mut dyn Session, statements: &Statements, page: &Page, is_dry: bool) -> Result<Written> {
    if is_dry || !session.is_true(&statements.range_is_empty, &ends(page))? {
        return upsert_page(session, statements, page, is_dry);
    }
    let inserted = session.within(|session| session.run(&statements.insert, &columns(page)));
    match inserted {
        // Another session was faster, or another constraint is violated: the upsert shows which.
        Err(error) if error.sqlstate() == "23505" => upsert_page(session, statements, page, is_dry),
        inserted => Ok(Written { inserted: inserted?, updated: 0 }),
    }
}

/// Writes a page as one statement. Dry, it counts what it would write.
fn upsert_page(session: &mut dyn Session, statements: &Statements, page: &Page, is_dry: bool) -> Result<Written> {
    let mut params = columns(page);
    params.extend(ends(page));
    let read = |row: &dyn Row| Ok(Written { inserted: row.count(0)?, updated: row.count(1)? });
    let written = match is_dry {
        true => session.first(&statements.probe, &params, read)?,
        false => session.change(&statements.upsert, &params, read)?,
    };
    Ok(written.unwrap_or_default())
}

fn columns(page: &Page) -> Vec<Param<'_>> {
    let ids = std::iter::once(Param::Bigints(&page.ids));
    ids.chain(page.columns.iter().map(Param::Column)).collect()
}

/// The first and the last id; ids ascend.
fn ends(page: &Page) -> [Param<'static>; 2] {
    [page.ids.first(), page.ids.last()].map(|id| id.copied().into())
}

/// Finds the record, and its field, that the table refuses.
struct Culprit<'a> {
    session: &'a mut dyn Session,
    statements: &'a Statements,
    mirror: &'a Mirror,
    is_dry: bool,
    page: &'a Page,
}

impl Culprit<'_> {
    /// The error with the record and the field, as far as they can be found.
    fn name(mut self, error: Error) -> Error {
        match self.find() {
            Ok(Some((id, column, Error::Postgres(mut refusal)))) => {
                let field = column.map(|column| format!(", field \"{}\"", self.mirror.fields[column].field));
                let (model, field, cause) = (&self.mirror.scope.model, field.unwrap_or_default(), &refusal.message);
                refusal.message = format!("record {id} of {model} does not fit into the mirror{field}: {cause}");
                Error::Postgres(refusal).with_hint(
                    "Correct the record in Odoo, or change the types, constraints, indexes or triggers of the mirror's table.",
                )
            }
            Ok(Some((.., refusal))) => refusal,
            // The rows are refused only together.
            Ok(None) => error,
            Err(other) => other,
        }
    }

    fn find(&mut self) -> Result<Option<(i64, Option<usize>, Error)>> {
        let page = self.page;
        let mut rows = 0..page.len();
        while rows.len() > 1 {
            let half = rows.start + rows.len() / 2;
            match self.refusal(&page.part(rows.start..half))? {
                None => rows.start = half,
                Some(_) => rows.end = half,
            }
        }
        // A neighbour's values are probably accepted.
        let neighbour = if rows.start == 0 { 1 } else { rows.start - 1 };
        let record = page.part(rows);
        let (Some(id), Some(refusal)) = (record.ids.first().copied(), self.refusal(&record)?) else {
            return Ok(None);
        };
        for (column, map) in self.mirror.fields.iter().enumerate() {
            let mut unset = Column::new(map.kind);
            unset.push_null();
            let other = page.columns[column].part(neighbour..neighbour + 1);
            for cell in [unset, other] {
                if !cell.is_empty() && self.refusal(&record.with(column, cell))?.is_none() {
                    return Ok(Some((id, Some(column), refusal)));
                }
            }
        }
        Ok(Some((id, None, refusal)))
    }

    /// Why the table refuses these rows; nothing of them stays.
    fn refusal(&mut self, page: &Page) -> Result<Option<Error>> {
        let (statements, is_dry) = (self.statements, self.is_dry);
        let undone = self.session.within(|session| {
            upsert_page(session, statements, page, is_dry)?;
            Err::<(), _>(Error::Cancelled)
        });
        match undone {
            Err(Error::Cancelled) | Ok(()) => Ok(None),
            Err(error) if is_about_values(&error) => Ok(Some(error)),
            Err(error) => Err(error),
        }
    }
}

/// Whether Postgres, a constraint or a trigger refused a value.
fn is_about_values(error: &Error) -> bool {
    // 54000: an index refuses an entry that is too long.
    let classes = ["22", "23", "44", "P0", "54000"];
    classes.iter().any(|class| error.sqlstate().starts_with(class))
}

fn integer(text: &str) -> Result<i128> {
    text.parse().map_err(|_| internal("a sum that is no integer"))
}

#[cfg(test)]
#[path = "sink_tests.rs"]
mod tests;
