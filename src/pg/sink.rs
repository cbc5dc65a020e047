//! A sink into a table of this database, within the current transaction.

use super::progress::Progress;
use super::spi;
use crate::error::{Error, Result};
use crate::mirror::sql::Statements;
use crate::mirror::{Column, Mirror, Page};
use crate::sync::{Difference, Sink, Written};
use chrono::{NaiveDate, NaiveDateTime};
use pgrx::datum::{DatumWithOid, IntoDatum};
use pgrx::prelude::*;

pub struct PgSink {
    statements: Statements,
    dry: bool,
    progress: Progress,
}

impl PgSink {
    pub fn new(mirror: &Mirror, dry: bool) -> Self {
        PgSink {
            statements: Statements::new(mirror),
            dry,
            progress: Progress::new(&mirror.name),
        }
    }
}

impl Sink for PgSink {
    fn write(&mut self, page: &Page) -> Result<Written> {
        // Inside the connection, so that the arrays live in its memory and go with it.
        Spi::connect_mut(|client| {
            let ids = std::iter::once(Ok(page.ids.clone().into()));
            let args: Result<Vec<DatumWithOid<'_>>> = ids.chain(page.columns.iter().map(array)).collect();
            let args = args?;
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

    fn count(&mut self) -> Result<u64> {
        let count = spi::query_one(&self.statements.count, &[], |row| spi::column::<i64>(row, 1))?;
        Ok(unsigned(count))
    }

    fn compare(&mut self, after: i64, upto: i64, ids: &[i64]) -> Result<Difference> {
        let args = [ids.to_vec().into(), after.into(), upto.into()];
        let rows = spi::query(&self.statements.compare, &args, |row| {
            Ok((spi::optional::<i64>(row, 1)?, spi::optional::<i64>(row, 2)?))
        })?;
        let mut difference = Difference::default();
        for (missing, gone) in rows {
            difference.missing.extend(missing);
            difference.gone.extend(gone);
        }
        Ok(difference)
    }

    fn delete(&mut self, ids: &[i64]) -> Result<u64> {
        if self.dry || ids.is_empty() {
            return Ok(ids.len() as u64);
        }
        Spi::connect_mut(|client| {
            let table = client.update(self.statements.delete.as_str(), None, &[ids.to_vec().into()]);
            Ok(table.map_err(spi::internal)?.len() as u64)
        })
    }

    fn progress(&mut self, fetched: u64, total: Option<u64>) {
        self.progress.tell(fetched, total);
    }
}

fn unsigned(count: Option<i64>) -> u64 {
    count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0)
}

/// One column of a page as an array, of the element type that `mirror::sql` expects.
fn array(column: &Column) -> Result<DatumWithOid<'static>> {
    Ok(match column {
        Column::Text(cells) | Column::Numeric(cells) | Column::Jsonb(cells) => texts(cells),
        Column::Integer(cells) => cells.clone().into(),
        Column::Bigint(cells) => cells.clone().into(),
        Column::Double(cells) => cells.clone().into(),
        Column::Boolean(cells) => cells.clone().into(),
        Column::Date(cells) => mapped(cells, |day| Ok(date(*day)))?.into(),
        Column::Timestamptz(cells) => mapped(cells, |moment| timestamptz(*moment))?.into(),
        Column::BigintArray(cells) => mapped(cells, |ids| Ok(array_literal(ids)))?.into(),
        Column::Bytea(cells) => cells.clone().into(),
    })
}

fn texts(cells: &[Option<String>]) -> DatumWithOid<'static> {
    let cells: Vec<Option<&str>> = cells.iter().map(Option::as_deref).collect();
    // SAFETY: the array is a copy of the texts, of the type named.
    unsafe { DatumWithOid::new(cells.into_datum(), pg_sys::TEXTARRAYOID) }
}

fn mapped<T, R>(cells: &[Option<T>], convert: impl Fn(&T) -> Result<R>) -> Result<Vec<Option<R>>> {
    cells
        .iter()
        .map(|cell| cell.as_ref().map(&convert).transpose())
        .collect()
}

/// Postgres counts from 2000-01-01.
const EPOCH: NaiveDate = match NaiveDate::from_ymd_opt(2000, 1, 1) {
    Some(day) => day,
    None => NaiveDate::MIN,
};

fn date(day: NaiveDate) -> Date {
    // Odoo's years have four digits at most, so the difference fits.
    let days = day.signed_duration_since(EPOCH).num_days() as i32;
    // SAFETY: years 1 to 9999 are within Postgres's range.
    unsafe { Date::from_pg_epoch_days(days) }
}

/// A UTC moment as Postgres's timestamptz.
pub fn timestamptz(moment: NaiveDateTime) -> Result<TimestampWithTimeZone> {
    let since = moment.signed_duration_since(EPOCH.and_time(chrono::NaiveTime::MIN));
    since
        .num_microseconds()
        .and_then(|micros| TimestampWithTimeZone::try_from(micros).ok())
        .ok_or_else(|| Error::Internal {
            cause: "a moment is out of Postgres's range".to_owned(),
        })
}

fn array_literal(ids: &[i64]) -> String {
    let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
    format!("{{{}}}", ids.join(","))
}
