//! Writes and deletes rows, and finds those that the table refuses.

use super::sql;
use super::statements::Statements;
use crate::engine::Written;
use crate::session::{Param, Row, Session};
use crate::{Column, Mirror, Page};
use ipai_odoo::error::{Error, Result};
use std::borrow::Cow;
use std::ops::Range;

/// What a table refused: places in a page or list, and the errors.
pub type Refusals = Vec<(usize, Error)>;

/// Writes into the table of a mirror. Each attempt is a savepoint.
pub struct Writer<'w> {
    /// The session.
    pub session: &'w mut dyn Session,
    /// The statements of the mirror.
    pub statements: &'w Statements,
    /// The mirror.
    pub mirror: &'w Mirror,
    /// The oid of the table.
    pub table: i64,
    /// Whether nothing is written.
    pub is_dry: bool,
    /// Whether constraints wait for the commit, which a page must not fail at.
    pub has_deferred: bool,
}

impl Writer<'_> {
    /// Writes the records of a page that the table accepts.
    pub fn write(&mut self, page: &Page) -> Result<(Written, Refusals)> {
        let mut written = Written::default();
        let refusals = self.halve(page.len(), &mut |writer, rows| {
            let part = match rows.len() == page.len() {
                true => Cow::Borrowed(page),
                false => Cow::Owned(page.part(rows)),
            };
            let Written { inserted, updated, .. } = writer.write_part(&part)?;
            (written.inserted, written.updated) = (written.inserted + inserted, written.updated + updated);
            Ok(())
        })?;
        written.rejected = refusals.len() as u64;
        Ok((written, refusals))
    }

    /// Deletes or marks the rows with these ids, and returns how many.
    pub fn delete(&mut self, ids: &[i64]) -> Result<(u64, Refusals)> {
        let mut deleted = 0;
        let refusals = self.halve(ids.len(), &mut |writer, rows| {
            deleted += writer.attempt(|session, statements| session.run(&statements.delete, &[ids[rows].into()]))?;
            Ok(())
        })?;
        Ok((deleted, refusals))
    }

    /// Finds the field of a record that the table refuses with this error: the only one of the
    /// constraint, or one with which the table accepts the record if it has another value.
    pub fn refused_field(&mut self, page: &Page, row: usize, error: &Error) -> Result<Option<usize>> {
        let params = [self.table.into(), error.constraint().into()];
        let columns = self.session.all(sql!("table_constraint_columns"), &params, |row| row.get::<String>(0))?;
        let fields = self.mirror.fields.iter();
        let mut of_constraint = fields.enumerate().filter(|(_, map)| columns.contains(&map.column));
        if let (Some((field, _)), None) = (of_constraint.next(), of_constraint.next()) {
            return Ok(Some(field));
        }
        // A neighbour's values are probably accepted.
        let neighbour = if row == 0 { 1 } else { row - 1 };
        let record = page.part(row..row + 1);
        for (column, map) in self.mirror.fields.iter().enumerate() {
            let mut unset = Column::new(map.kind);
            unset.push_null();
            let other = page.columns[column].part(neighbour..neighbour + 1);
            for cell in [unset, other] {
                if !cell.is_empty() && self.accepts(&record.with(column, cell))? {
                    return Ok(Some(column));
                }
            }
        }
        Ok(None)
    }

    /// Whether there is a row with this id.
    pub fn has_row(&mut self, id: i64) -> Result<bool> {
        Ok(!self.session.all(&self.statements.ids, &[(id - 1).into(), id.into()], |_| Ok(()))?.is_empty())
    }

    /// Makes an attempt with everything, and with halves of what is refused. Returns what is
    /// refused alone, and stops when that is more than the mirror allows.
    fn halve(
        &mut self,
        len: usize,
        attempt: &mut dyn FnMut(&mut Self, Range<usize>) -> Result<()>,
    ) -> Result<Refusals> {
        let (mut refusals, mut left) = (Refusals::new(), Vec::from_iter(Some(0..len)));
        while let Some(rows) = left.pop() {
            match attempt(self, rows.clone()) {
                Err(error) if !concerns_data(&error) => return Err(error),
                Err(_) if rows.len() > 1 => {
                    let half = rows.start + rows.len() / 2;
                    left.extend([half..rows.end, rows.start..half]);
                }
                Err(error) => refusals.push((rows.start, error)),
                Ok(()) => {}
            }
            if refusals.len() > self.mirror.max_rejects as usize {
                break;
            }
        }
        Ok(refusals)
    }

    /// Runs `work` in a savepoint, with the constraints that would wait for the commit.
    fn attempt<T>(&mut self, work: impl FnOnce(&mut dyn Session, &Statements) -> Result<T>) -> Result<T> {
        let (statements, has_deferred) = (self.statements, self.has_deferred);
        self.session.within(|session| {
            let done = work(session, statements)?;
            if has_deferred {
                session.run("set constraints all immediate", &[])?;
            }
            Ok(done)
        })
    }

    fn write_part(&mut self, page: &Page) -> Result<Written> {
        let is_dry = self.is_dry;
        match self.attempt(|session, statements| write_page(session, statements, page, is_dry)) {
            Err(error) if is_conflict(&error) => self.replace(page)?.ok_or(error),
            written => written,
        }
    }

    /// Writes a page whose rows may exchange unique values: deletes and inserts those that differ.
    /// `None` if a deletion would have effects of its own, or the table refuses this as well.
    fn replace(&mut self, page: &Page) -> Result<Option<Written>> {
        let columns = self.mirror.fields.iter().map(|map| map.column.as_str()).chain(self.mirror.key());
        // A marked row is inserted without its mark.
        let columns = columns.chain(self.mirror.mark_column());
        let columns: Vec<String> = columns.map(str::to_owned).collect();
        let params = [self.table.into(), columns.as_slice().into()];
        let read = |row: &dyn Row| Ok((row.get::<bool>(0)?, row.get::<Vec<String>>(1)?));
        let Some((true, others)) = self.session.first(sql!("table_replaceable"), &params, read)? else {
            return Ok(None);
        };
        let written = self.attempt(|session, statements| {
            let updated = session.run(&statements.replace(&others), &parameters(page))?;
            Ok(Written { updated, ..upsert_page(session, statements, page, false)? })
        });
        match written {
            Err(error) if concerns_data(&error) => Ok(None),
            written => written.map(Some),
        }
    }

    /// Whether the table accepts these rows; nothing of them stays.
    fn accepts(&mut self, page: &Page) -> Result<bool> {
        let is_dry = self.is_dry;
        let undone = self.attempt(|session, statements| {
            upsert_page(session, statements, page, is_dry)?;
            Err::<(), _>(Error::Cancelled)
        });
        match undone {
            Err(Error::Cancelled) | Ok(()) => Ok(true),
            Err(error) if concerns_data(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }
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
        inserted => Ok(Written { inserted: inserted?, ..Written::default() }),
    }
}

/// Writes a page as one statement. Dry, it counts what it would write.
fn upsert_page(session: &mut dyn Session, statements: &Statements, page: &Page, is_dry: bool) -> Result<Written> {
    let params = parameters(page);
    let read = |row: &dyn Row| Ok(Written { inserted: row.count(0)?, updated: row.count(1)?, ..Written::default() });
    let written = match is_dry {
        true => session.first(&statements.probe, &params, read)?,
        false => session.change(&statements.upsert, &params, read)?,
    };
    Ok(written.unwrap_or_default())
}

/// The parameters of the statements of a page.
pub(super) fn parameters(page: &Page) -> Vec<Param<'_>> {
    let mut params = columns(page);
    params.extend(ends(page));
    params
}

fn columns(page: &Page) -> Vec<Param<'_>> {
    let ids = std::iter::once(Param::Bigints(&page.ids));
    ids.chain(page.columns.iter().map(Param::Column)).collect()
}

/// The first and the last id; ids ascend.
fn ends(page: &Page) -> [Param<'static>; 2] {
    [page.ids.first(), page.ids.last()].map(|id| id.copied().into())
}

/// Whether rows are refused because of others: a unique key or an exclusion constraint.
fn is_conflict(error: &Error) -> bool {
    matches!(error.sqlstate(), "23505" | "23P01")
}

/// The classes of errors that concern the session, the database or its definition. Any other error
/// concerns a row, also the code that a trigger made up.
const NOT_OF_DATA: [&str; 25] = [
    "08", "0A", "0B", "0L", "0P", "24", "25", "26", "28", "2B", "2D", "34", "3B", "3D", "3F", "40", "42", "53", "54",
    "55", "57", "58", "F0", "HV", "XX",
];

/// Whether the table, an index, a constraint or a trigger refused a row.
pub(super) fn concerns_data(error: &Error) -> bool {
    let Error::Postgres(error) = error else { return false };
    // 54000: an index refuses an entry that is too long. 54001: a document is too deep.
    let is_too_large = matches!(error.sqlstate.as_str(), "54000" | "54001");
    is_too_large || !NOT_OF_DATA.iter().any(|class| error.sqlstate.starts_with(class))
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
