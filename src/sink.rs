//! A sink into a table of this database, within the current transaction.

use super::progress::Progress;
use super::spi;
use super::{alerts, array, counts, mirrors, report, runs, subtransaction};
use ipai_odoo::error::{Error, Result};
use ipai_mirror::store::statements::Statements;
use ipai_mirror::{Mirror, Page, ACTIVE};
use ipai_odoo::Database;
use ipai_mirror::engine::{Difference, Digest, Sink, SoFar, Tally, Written};
use pgrx::datum::DatumWithOid;
use pgrx::prelude::*;

pub struct PgSink {
    statements: Statements,
    model: String,
    /// Odoo's names of the columns.
    fields: Vec<String>,
    dry: bool,
    progress: Progress,
    /// What the last run counted, and this one has not changed: as long as there are as many rows it holds.
    last: Option<Tally>,
    /// The mirror's counts, as long as nothing has changed them: each time all rows are looked at.
    tally: Option<Tally>,
}

impl PgSink {
    pub fn new(mirror: &Mirror, dry: bool) -> Self {
        PgSink {
            statements: Statements::new(mirror),
            model: mirror.scope.model.clone(),
            fields: mirror.fields.iter().map(|map| map.field.clone()).collect(),
            dry,
            progress: Progress::new(&mirror.name),
            last: None,
            tally: None,
        }
    }

    /// Knows what the last run counted, if that is what this one would count.
    pub fn knowing(mut self, mirror: &Mirror, last: Option<Tally>) -> Self {
        let (active, alerts) = (mirror.flag(ACTIVE), mirror.alert_flag());
        self.last =
            last.filter(|last| last.active.is_some() == active.is_some() && last.alerts.is_some() == alerts.is_some());
        self
    }

    /// The mirror's counts.
    pub fn tally(&mut self) -> Result<Tally> {
        if let Some(tally) = self.tally {
            return Ok(tally);
        }
        let tally = match self.last {
            Some(last) if last.total == counts::rows(&self.statements)? => last,
            _ => counts::of_mirror(&self.statements)?,
        };
        Ok(*self.tally.insert(tally))
    }

    fn changed(&mut self) {
        (self.last, self.tally) = (None, None);
    }

    /// Writes a page. Where there is none of its rows yet, as in a first run, it is only inserted: that takes less time and WAL.
    fn put_quickly(&self, page: &Page) -> Result<Written> {
        let ends = [page.ids.first(), page.ids.last()].map(|id| id.copied().into());
        let vacant =
            !self.dry && spi::query_one(&self.statements.vacant, &ends, |row| spi::column(row, 1))? == Some(true);
        let inserted = match vacant {
            true => subtransaction::within(|| self.insert(page)),
            false => return self.put(page),
        };
        match inserted {
            // Somebody else was faster, or another constraint says it: the upsert finds out.
            Err(error) if error.sqlstate() == "23505" => self.put(page),
            inserted => inserted,
        }
    }

    fn insert(&self, page: &Page) -> Result<Written> {
        Spi::connect_mut(|client| {
            let rows = client.update(self.statements.insert.as_str(), None, &columns(page)?);
            Ok(Written {
                inserted: rows.map_err(spi::internal)?.len() as u64,
                updated: 0,
            })
        })
    }

    /// Writes a page as one statement.
    fn put(&self, page: &Page) -> Result<Written> {
        Spi::connect_mut(|client| {
            let mut args = columns(page)?;
            // Ids ascend.
            args.extend([page.ids.first(), page.ids.last()].map(|id| id.copied().into()));
            let rows = match self.dry {
                true => client.select(self.statements.probe.as_str(), None, &args),
                false => client.update(self.statements.upsert.as_str(), None, &args),
            };
            let (inserted, updated) = rows
                .map_err(spi::internal)?
                .first()
                .get_two::<i64, i64>()
                .map_err(spi::internal)?;
            Ok(Written {
                inserted: unsigned(inserted),
                updated: unsigned(updated),
            })
        })
    }

    /// The record, and its field, that the table does not take.
    fn blame(&self, page: &Page, error: Error) -> Error {
        // Why it does not take these; nothing of them stays.
        let refusal = |page: &Page| match subtransaction::within(|| self.put(page).and(Err::<(), _>(Error::Cancelled)))
        {
            Err(Error::Cancelled) | Ok(()) => Ok(None),
            Err(error) if is_about_values(&error) => Ok(Some(error)),
            Err(error) => Err(error),
        };
        let takes = |page: &Page| Ok::<_, Error>(refusal(page)?.is_none());
        let find = || {
            let mut rows = 0..page.len();
            while rows.len() > 1 {
                let half = rows.start + rows.len() / 2;
                match takes(&page.part(rows.start..half))? {
                    true => rows.start = half,
                    false => rows.end = half,
                }
            }
            // What is in the record next to it is fit, as far as anybody knows.
            let next = match rows.start {
                0 => 1..2.min(page.len()).max(1),
                row => row - 1..row,
            };
            let record = page.part(rows);
            let Some(id) = record.ids.first().copied() else {
                return Ok(None);
            };
            let Some(refusal) = refusal(&record)? else {
                return Ok(None);
            };
            for column in 0..record.columns.len() {
                let other = (next.len() == 1).then(|| (page, next.clone()));
                if takes(&record.with(column, None))? || (other.is_some() && takes(&record.with(column, other))?) {
                    return Ok(Some((id, Some(column), refusal)));
                }
            }
            Ok(Some((id, None, refusal)))
        };
        match find() {
            Ok(Some((id, column, refusal))) => Error::Record {
                model: self.model.clone(),
                id,
                field: column.map(|column| self.fields[column].clone()),
                cause: Box::new(refusal),
            },
            // Only together they are refused.
            Ok(None) => error,
            Err(other) => other,
        }
    }
}

impl Sink for PgSink {
    fn begun(&mut self) -> Result<()> {
        Ok(())
    }

    fn write(&mut self, page: &Page) -> Result<Written> {
        match subtransaction::within(|| self.put_quickly(page)) {
            Err(error) if is_about_values(&error) => Err(self.blame(page, error)),
            Ok(written) if !self.dry && written != Written::default() => {
                self.changed();
                Ok(written)
            }
            written => written,
        }
    }

    fn count(&mut self) -> Result<u64> {
        Ok(self.tally()?.total)
    }

    fn compare(&mut self, after: i64, upto: i64, ids: &[i64]) -> Result<Difference> {
        let rows = Spi::connect(|client| {
            // Inside the connection: see `columns`.
            let args = [array::of_ids(ids)?, after.into(), upto.into()];
            let table = client.select(self.statements.compare.as_str(), None, &args);
            spi::read(table.map_err(spi::internal)?, |row| {
                Ok((spi::optional::<i64>(row, 1)?, spi::optional::<i64>(row, 2)?))
            })
        })?;
        let mut difference = Difference::default();
        for (missing, gone) in rows {
            difference.missing.extend(missing);
            difference.gone.extend(gone);
        }
        Ok(difference)
    }

    fn rest(&mut self, after: i64, upto: i64) -> Result<Vec<i64>> {
        spi::query(&self.statements.rest, &[after.into(), upto.into()], |row| {
            spi::column(row, 1)
        })
    }

    fn greatest(&mut self) -> Result<i64> {
        let greatest = spi::query_one(&self.statements.greatest, &[], |row| spi::column(row, 1))?;
        Ok(greatest.unwrap_or(0))
    }

    fn holes(&mut self, most: usize) -> Result<Option<Vec<(i64, i64)>>> {
        let limit = i64::try_from(most).unwrap_or(i64::MAX).saturating_add(1);
        let holes = spi::query(&self.statements.holes, &[limit.into()], |row| {
            Ok((spi::column(row, 1)?, spi::column(row, 2)?))
        })?;
        Ok((holes.len() <= most).then_some(holes))
    }

    fn digest(&mut self, bounds: &[i64]) -> Result<Vec<Digest>> {
        let mut digests = vec![Digest::default(); bounds.len().saturating_sub(1)];
        let ranges = spi::query(&self.statements.digest, &[bounds.to_vec().into()], |row| {
            let digest = Digest {
                count: unsigned(spi::optional(row, 2)?),
                sum: integer(&spi::column::<String>(row, 3)?)?,
                squares: integer(&spi::column::<String>(row, 4)?)?,
            };
            Ok((spi::column::<i32>(row, 1)?, digest))
        })?;
        for (range, digest) in ranges {
            let place = usize::try_from(range - 1).ok().and_then(|range| digests.get_mut(range));
            *place.ok_or_else(|| spi::internal("a range of ids that was not asked for"))? = digest;
        }
        Ok(digests)
    }

    fn delete(&mut self, ids: &[i64]) -> Result<u64> {
        if self.dry || ids.is_empty() {
            return Ok(ids.len() as u64);
        }
        self.changed();
        Spi::connect_mut(|client| {
            let table = client.update(self.statements.delete.as_str(), None, &[array::of_ids(ids)?]);
            Ok(table.map_err(spi::internal)?.len() as u64)
        })
    }

    fn checkpoint(&mut self, so_far: &SoFar) -> Result<()> {
        self.progress.tell(so_far.fetched, so_far.total);
        Ok(())
    }

    fn notice(&mut self, message: &str) {
        report::notice(message.to_owned());
    }
}

/// The same, for a procedure: each page is a subtransaction, committed together with the position.
pub struct CommittingSink {
    sink: PgSink,
    run: i64,
    mirror: String,
    /// The database that this run fills the mirror from, until that is noted.
    filled_from: Option<Database>,
    /// What the guard agreed to delete, for [`CommittingSink::carry_out`].
    gone: Vec<i64>,
}

impl CommittingSink {
    /// `run` is the row of the run in the log, `last` what the last run counted.
    pub fn new(mirror: &Mirror, run: i64, last: Option<Tally>) -> Self {
        CommittingSink {
            sink: PgSink::new(mirror, false).knowing(mirror, last),
            run,
            mirror: mirror.name.clone(),
            filled_from: None,
            gone: Vec::new(),
        }
    }

    /// Notes with the first page which database the mirror is filled from, so that a run that is cut is not gone on with from another.
    pub fn filling_from(mut self, database: &Database) -> Self {
        self.filled_from = Some(database.clone());
        self
    }

    /// Deletes what was agreed on, at the end, when Odoo is asked for nothing more, so that no lock waits for it; gives the counts.
    pub fn carry_out(&mut self) -> Result<Tally> {
        self.sink.delete(&self.gone)?;
        self.sink.tally()
    }

    /// The mirror's counts.
    pub fn tally(&mut self) -> Result<Tally> {
        match self.sink.tally {
            Some(tally) => Ok(tally),
            None => self.look(PgSink::tally),
        }
    }

    /// A look at the table, over when it returns: a lock held longer would stand in the way of others.
    fn look<T>(&mut self, look: impl FnOnce(&mut PgSink) -> Result<T>) -> Result<T> {
        let found = subtransaction::within(|| look(&mut self.sink))?;
        subtransaction::commit()?;
        Ok(found)
    }
}

impl Sink for CommittingSink {
    fn begun(&mut self) -> Result<()> {
        alerts::tell_early()
    }

    fn write(&mut self, page: &Page) -> Result<Written> {
        self.sink.write(page)
    }

    fn count(&mut self) -> Result<u64> {
        Ok(self.tally()?.total)
    }

    fn compare(&mut self, after: i64, upto: i64, ids: &[i64]) -> Result<Difference> {
        self.look(|sink| sink.compare(after, upto, ids))
    }

    fn rest(&mut self, after: i64, upto: i64) -> Result<Vec<i64>> {
        self.look(|sink| sink.rest(after, upto))
    }

    fn greatest(&mut self) -> Result<i64> {
        self.look(|sink| sink.greatest())
    }

    fn holes(&mut self, most: usize) -> Result<Option<Vec<(i64, i64)>>> {
        self.look(|sink| sink.holes(most))
    }

    fn digest(&mut self, bounds: &[i64]) -> Result<Vec<Digest>> {
        self.look(|sink| sink.digest(bounds))
    }

    fn delete(&mut self, ids: &[i64]) -> Result<u64> {
        self.gone = ids.to_vec();
        Ok(ids.len() as u64)
    }

    fn checkpoint(&mut self, so_far: &SoFar) -> Result<()> {
        subtransaction::within(|| {
            runs::checkpoint(self.run, so_far)?;
            match &self.filled_from {
                Some(database) => mirrors::set_filled_from(&self.mirror, database),
                None => Ok(()),
            }
        })?;
        subtransaction::commit()?;
        self.filled_from = None;
        self.sink.checkpoint(so_far)
    }

    fn notice(&mut self, message: &str) {
        self.sink.notice(message);
    }
}

/// The ids and the columns of a page, for a statement. To be called inside the connection, so that the arrays live in its memory and go with it.
fn columns(page: &Page) -> Result<Vec<DatumWithOid<'_>>> {
    let ids = std::iter::once(array::of_ids(&page.ids));
    ids.chain(page.columns.iter().map(array::of_column)).collect()
}

/// Whether a value is what Postgres, a constraint or a trigger refuses.
fn is_about_values(error: &Error) -> bool {
    ["22", "23", "44", "P0"]
        .iter()
        .any(|class| error.sqlstate().starts_with(class))
}

fn unsigned(count: Option<i64>) -> u64 {
    count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0)
}

fn integer(text: &str) -> Result<i128> {
    text.parse().map_err(|_| spi::internal("a sum that is no integer"))
}
