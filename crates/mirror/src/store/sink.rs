//! The engine's sink: the table of a mirror.

use super::rejects::{self, Reject, Rejects};
use super::statements::Statements;
use super::target::{self, Access};
use super::writer::{Writer, parameters};
use super::{counts, lists, mirror_state, runs, sql};
use crate::engine::{Digest, Digests, IdRange, Progress, Refused, Sink, Tally, Written};
use crate::session::{Param, Session, internal};
use crate::{Mirror, Page};
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
    /// The counts, until something changes them.
    tally: Option<Tally>,
    /// What is known of the table. Loaded when it is needed.
    known: Option<Known>,
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
            tally: None,
            known: None,
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
        let numbers = self.session.first(&self.statements.altered, &parameters(page), |row| row.get::<Vec<i64>>(0))?;
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

    fn writer(&mut self, has_deferred: bool) -> Writer<'_> {
        Writer {
            session: self.session,
            statements: &self.statements,
            mirror: self.mirror,
            table: self.table,
            is_dry: self.run.is_none(),
            has_deferred,
        }
    }

    /// What is known of the table. A dry run does not try rejects again, so it begins without any.
    fn known(&mut self) -> Result<&mut Known> {
        let known = match self.known.take() {
            Some(known) => known,
            None if self.run.is_none() => Known::default(),
            None => Known {
                rejects: rejects::load(self.session, &self.mirror.name)?,
                refused_now: BTreeSet::new(),
                // In the caller's transaction, they may wait for what the caller does next.
                has_deferred: self.session.may_commit()
                    && self.session.is_true(sql!("table_has_deferred"), &[self.table.into()])?,
            },
        };
        Ok(self.known.insert(known))
    }

    /// Whether this run set aside more than the mirror allows, with these ids. Rejects
    /// of earlier runs count when the run tries them: by then they may fit.
    fn exceed_limit(&mut self, ids: impl Iterator<Item = i64>) -> Result<bool> {
        let most = self.mirror.max_rejects as usize;
        let known = self.known()?;
        known.refused_now.extend(ids);
        Ok(known.refused_now.len() > most)
    }

    /// Stores these rejects, and forgets the others of `ids` that were rejects before.
    fn settle(&mut self, ids: &[i64], refused: Rejects) -> Result<()> {
        let known = self.known()?;
        let is_accepted = |id: &i64| ids.binary_search(id).is_ok() && !refused.contains_key(id);
        let accepted: Vec<i64> = known.rejects.keys().copied().filter(is_accepted).collect();
        for id in &accepted {
            known.rejects.remove(id);
            known.refused_now.remove(id);
        }
        known.rejects.extend(refused.iter().map(|(id, reject)| (*id, reject.clone())));
        if self.run.is_none() {
            return Ok(());
        }
        let name = &self.mirror.name;
        if !accepted.is_empty() {
            rejects::forget(self.session, name, &accepted)?;
        }
        refused.iter().try_for_each(|(id, reject)| rejects::store(self.session, name, *id, reject))
    }

    /// What the mirror lacks of a record that it cannot have.
    fn refused(&mut self, id: i64) -> Result<Refused> {
        Ok(if self.writer(false).has_row(id)? { Refused::Update } else { Refused::Insert })
    }

    /// The reject of a record, with the field that the table refuses.
    fn reject(&mut self, page: &Page, row: usize, error: &Error) -> Result<Reject> {
        let (id, mirror) = (page.ids[row], self.mirror);
        let reject = Reject::new(self.refused(id)?, error);
        let known = self.known()?;
        let has_deferred = known.has_deferred;
        let field = match known.rejects.get(&id).filter(|known| known.is_like(&reject)) {
            Some(known) => known.field.clone(),
            None => {
                let column = self.writer(has_deferred).refused_field(page, row, error)?;
                column.map(|column| mirror.fields[column].field.clone())
            }
        };
        Ok(Reject { field, ..reject })
    }

    /// The error of a run that has too many rejects, of which this is one.
    fn too_many(&self, error: Error, hint: &str) -> Error {
        error.with_hint(format!(
            "{hint} The mirror allows {} rejects (max_rejects); ipai.sync_rejects has those of earlier runs.",
            self.mirror.max_rejects
        ))
    }
}

/// What a run knows of a table.
#[derive(Default)]
struct Known {
    rejects: Rejects,
    /// The rejects of this run.
    refused_now: BTreeSet<i64>,
    /// Whether constraints or triggers wait for the commit.
    has_deferred: bool,
}

impl Sink for TableSink<'_> {
    fn write(&mut self, page: &Page) -> Result<Written> {
        let (is_dry, mirror) = (self.run.is_none(), self.mirror);
        let access = if is_dry { Access::Read } else { Access::Write };
        // Outside of the savepoints, which would release the lock.
        target::lock(self.session, &mirror.target, self.table, access)?;
        let has_deferred = self.known()?.has_deferred;
        let (written, refusals) = self.writer(has_deferred).write(page)?;
        if self.exceed_limit(refusals.iter().map(|(row, _)| page.ids[*row]))?
            && let Some((row, error)) = refusals.first().cloned()
        {
            let field = self.reject(page, row, &error)?.field;
            let named = misfit(error, &mirror.scope.model, page.ids[row], field);
            return Err(self.too_many(
                named,
                "Correct the record in Odoo, or change the types, constraints, indexes or triggers of the mirror's table.",
            ));
        }
        let mut refused = Rejects::new();
        for (row, error) in &refusals {
            refused.insert(page.ids[*row], self.reject(page, *row, error)?);
        }
        self.settle(&page.ids, refused)?;
        if !is_dry && (written.inserted, written.updated) != (0, 0) {
            self.tally = None;
        }
        // A refused row keeps its values.
        if self.rechecks && !is_dry && refusals.is_empty() && (written.updated > 0 || self.is_first_page) {
            self.is_first_page = false;
            self.recheck(page)?;
        }
        Ok(written)
    }

    fn set_aside(&mut self, id: i64, error: &Error) -> Result<()> {
        if self.exceed_limit(std::iter::once(id))? {
            return Err(error.clone());
        }
        target::lock(self.session, &self.mirror.target, self.table, Access::Read)?;
        let refused = self.refused(id)?;
        self.settle(&[], Rejects::from([(id, Reject::new(refused, error))]))
    }

    fn rejects(&mut self) -> Result<Vec<(i64, Refused)>> {
        let is_loaded = self.known.is_some();
        let rejects = self.known()?.rejects.iter().map(|(id, reject)| (*id, reject.refused)).collect();
        if !is_loaded {
            // No transaction waits for Odoo.
            self.session.commit()?;
        }
        Ok(rejects)
    }

    fn forget(&mut self, ids: &[i64]) -> Result<()> {
        self.settle(ids, Rejects::new())
    }

    fn outdated(&mut self) -> Result<Vec<i64>> {
        match self.mirror.has_lists() {
            true => lists::outdated(self.session, self.mirror, self.table),
            false => Ok(Vec::new()),
        }
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
        target::lock(self.session, &self.mirror.target, self.table, Access::Write)?;
        let has_deferred = self.known()?.has_deferred;
        let (deleted, refusals) = self.writer(has_deferred).delete(ids)?;
        let refused = refusals.iter().map(|(place, error)| (ids[*place], Reject::new(Refused::Delete, error)));
        let refused: Rejects = refused.collect();
        if self.exceed_limit(refused.keys().copied())?
            && let Some((_, error)) = refusals.into_iter().next()
        {
            return Err(
                self.too_many(error, "Delete the rows that reference the row, or change the foreign key or trigger.")
            );
        }
        self.settle(ids, refused)?;
        Ok(deleted)
    }

    fn commit(&mut self, progress: &Progress) -> Result<()> {
        if let Some(run) = self.run {
            runs::record_progress(self.session, run, progress)?;
            if let Some(database) = self.filled_from.take() {
                mirror_state::set_filled_from(self.session, &self.mirror.name, &database)?;
            }
            self.session.commit()?;
        }
        self.session.progress(&self.mirror.name, progress);
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

/// The error of a record that the table refuses.
fn misfit(error: Error, model: &str, id: i64, field: Option<String>) -> Error {
    let Error::Postgres(mut refusal) = error else { return error };
    let field = field.map(|field| format!(", field \"{field}\"")).unwrap_or_default();
    refusal.message = format!("record {id} of {model} does not fit into the mirror{field}: {}", refusal.message);
    Error::Postgres(refusal)
}

fn integer(text: &str) -> Result<i128> {
    text.parse().map_err(|_| internal("a sum that is no integer"))
}

#[cfg(test)]
#[path = "sink_tests.rs"]
mod tests;
