//! Builds a page of typed columns from the rows that the decoder reads.

use super::{Column, cell};
use crate::definition::{Mirror, WRITE_DATE};
use chrono::NaiveDateTime;
use ipai_odoo::error::{Error, Result};
use ipai_odoo::xmlrpc::{RowVisitor, Scalar};
use std::ops::Range;

/// Records in ascending order of their ids, with a column for each field of the mirror.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page {
    /// The ids of the records.
    pub ids: Vec<i64>,
    /// The columns, in the order of the mirror's fields.
    pub columns: Vec<Column>,
    /// The record with the latest write date.
    pub newest: Option<Newest>,
}

/// A record and its write date. The order is by write date, then by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Newest {
    /// The write date (UTC, whole seconds).
    pub written: NaiveDateTime,
    /// Id of the record.
    pub id: i64,
}

impl Page {
    /// Number of records.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The records in a range. `newest` stays that of the whole page.
    pub fn part(&self, rows: Range<usize>) -> Self {
        Page {
            ids: self.ids[rows.clone()].to_vec(),
            columns: self.columns.iter().map(|column| column.part(rows.clone())).collect(),
            newest: self.newest,
        }
    }

    /// The same records with other cells in one column.
    ///
    /// The cells are those of the given records of another page, or unset.
    pub fn with(&self, column: usize, other: Option<(&Page, Range<usize>)>) -> Self {
        let mut page = self.clone();
        page.columns[column] = match other {
            Some((other, rows)) => other.columns[column].part(rows),
            None => self.columns[column].unset(),
        };
        page
    }
}

/// Numbers of columns for the decoder: the id, a write date that is not mirrored, the first field.
const ID: usize = 0;
const WRITTEN: usize = 1;
const FIRST_FIELD: usize = 2;

/// Fills a [`Page`] with rows, and refuses rows that do not match the request.
pub struct PageBuilder<'a> {
    mirror: &'a Mirror,
    /// The previous id. The next one must be greater.
    after: i64,
    /// Largest number of rows.
    most: u64,
    page: Page,
    id: Option<i64>,
    /// The write date of the current row, if it is set.
    written: Option<NaiveDateTime>,
    /// Whether the current row has a write date, even an unset one.
    has_written: bool,
    write_date_field: Option<usize>,
    /// The first value of the current row that does not fit, with its field.
    ///
    /// The error needs the id of the row, which may come later.
    misfit: Option<(usize, cell::Misfit)>,
}

impl<'a> PageBuilder<'a> {
    /// Makes a builder for at most `most` rows with ids greater than `after`.
    pub fn new(mirror: &'a Mirror, after: i64, most: u64) -> Self {
        let columns = mirror.fields.iter().map(|map| Column::new(map.kind)).collect();
        PageBuilder {
            mirror,
            after,
            most,
            page: Page { ids: Vec::new(), columns, newest: None },
            id: None,
            written: None,
            has_written: false,
            write_date_field: mirror.fields.iter().position(|map| map.field == WRITE_DATE),
            misfit: None,
        }
    }

    /// The page of all complete rows.
    pub fn finish(self) -> Page {
        self.page
    }

    fn saw_write_date(&mut self, value: &Scalar<'_>) -> std::result::Result<(), cell::Misfit> {
        self.written = match value {
            Scalar::Nil | Scalar::Bool(false) => None,
            Scalar::String(text) => Some(cell::moment(text).ok_or_else(|| cell::misread("a date and time"))?),
            other => return Err(cell::misfit(other, "a date and time")),
        };
        self.has_written = true;
        Ok(())
    }
}

impl RowVisitor for PageBuilder<'_> {
    fn column(&mut self, member: &str) -> Option<usize> {
        match member {
            "id" => Some(ID),
            _ => match self.mirror.fields.iter().position(|map| map.field == member) {
                Some(field) => Some(FIRST_FIELD + field),
                None if member == WRITE_DATE => Some(WRITTEN),
                None => None,
            },
        }
    }

    fn value(&mut self, column: usize, value: Scalar<'_>) -> Result<()> {
        match column {
            ID => match value {
                Scalar::Int(id) if self.id.is_none() => self.id = Some(id),
                Scalar::Int(_) => return Err(malformed("a row has two ids")),
                _ => return Err(malformed("the id of a row is not a whole number")),
            },
            WRITTEN => {
                if let Err(misfit) = self.saw_write_date(&value) {
                    return Err(malformed(&format!("write_date: {misfit}")));
                }
            }
            column => {
                let field = column - FIRST_FIELD;
                let result = match self.write_date_field {
                    Some(write_date) if write_date == field => self.saw_write_date(&value),
                    _ => Ok(()),
                };
                let cells = &mut self.page.columns[field];
                if cells.len() != self.page.ids.len() {
                    return Err(malformed("a row has the same field twice"));
                }
                if let Err(misfit) = result.and_then(|()| cell::push(cells, value)) {
                    cells.push_null();
                    self.misfit.get_or_insert((field, misfit));
                }
            }
        }
        Ok(())
    }

    fn end_row(&mut self) -> Result<()> {
        let Some(id) = self.id.take() else {
            return Err(malformed("a row has no id"));
        };
        if let Some((field, cause)) = self.misfit.take() {
            return Err(Error::Value {
                model: self.mirror.scope.model.clone(),
                id,
                field: self.mirror.fields[field].field.clone(),
                cause,
            });
        }
        if id <= self.after {
            return Err(malformed("the rows are not in ascending order of the ids asked for"));
        }
        self.after = id;
        self.page.ids.push(id);
        let newest = self.written.take().map(|written| Newest { written, id });
        self.page.newest = self.page.newest.max(newest);
        let rows = self.page.ids.len();
        if rows as u64 > self.most {
            return Err(malformed("there are more rows than were asked for"));
        }
        if !std::mem::take(&mut self.has_written) && self.mirror.has_write_date {
            return Err(missing(WRITE_DATE));
        }
        match self.page.columns.iter().position(|cells| cells.len() != rows) {
            Some(field) => Err(missing(&self.mirror.fields[field].field)),
            None => Ok(()),
        }
    }
}

fn malformed(cause: &str) -> Error {
    Error::Malformed { cause: cause.to_owned() }
}

fn missing(field: &str) -> Error {
    malformed(&format!("a row lacks the field \"{field}\""))
}
