//! One page of records as typed columns: what the decoder fills and a sink writes.

use super::{Packed, cell};
use crate::definition::{Kind, Mirror, WRITE_DATE};
use chrono::{NaiveDate, NaiveDateTime};
use ipai_odoo::error::{Error, Result};
use ipai_odoo::xmlrpc::{RowVisitor, Scalar};
use std::ops::Range;

/// The cells of one column, a row each.
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    Text(Packed),
    Integer(Vec<Option<i32>>),
    Bigint(Vec<Option<i64>>),
    Double(Vec<Option<f64>>),
    /// Decimal text: exact, and of any size.
    Numeric(Packed),
    Boolean(Vec<Option<bool>>),
    Date(Vec<Option<NaiveDate>>),
    /// UTC
    Timestamptz(Vec<Option<NaiveDateTime>>),
    /// Text as Postgres reads it: `{1,2}`
    BigintArray(Packed),
    /// JSON text
    Jsonb(Packed),
    Bytea(Packed),
}

impl Column {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Text => Column::Text(Packed::default()),
            Kind::Integer => Column::Integer(Vec::new()),
            Kind::Bigint => Column::Bigint(Vec::new()),
            Kind::Double => Column::Double(Vec::new()),
            Kind::Numeric => Column::Numeric(Packed::default()),
            Kind::Boolean => Column::Boolean(Vec::new()),
            Kind::Date => Column::Date(Vec::new()),
            Kind::Timestamptz => Column::Timestamptz(Vec::new()),
            Kind::BigintArray => Column::BigintArray(Packed::default()),
            Kind::Jsonb => Column::Jsonb(Packed::default()),
            Kind::Bytea => Column::Bytea(Packed::default()),
        }
    }

    pub(super) fn push_null(&mut self) {
        match self {
            Column::Text(cells)
            | Column::Numeric(cells)
            | Column::BigintArray(cells)
            | Column::Jsonb(cells)
            | Column::Bytea(cells) => cells.push(None),
            Column::Integer(cells) => cells.push(None),
            Column::Bigint(cells) => cells.push(None),
            Column::Double(cells) => cells.push(None),
            Column::Boolean(cells) => cells.push(None),
            Column::Date(cells) => cells.push(None),
            Column::Timestamptz(cells) => cells.push(None),
        }
    }

    pub fn len(&self) -> usize {
        match self {
            Column::Text(cells)
            | Column::Numeric(cells)
            | Column::BigintArray(cells)
            | Column::Jsonb(cells)
            | Column::Bytea(cells) => cells.len(),
            Column::Integer(cells) => cells.len(),
            Column::Bigint(cells) => cells.len(),
            Column::Double(cells) => cells.len(),
            Column::Boolean(cells) => cells.len(),
            Column::Date(cells) => cells.len(),
            Column::Timestamptz(cells) => cells.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Some of the cells.
    fn part(&self, rows: Range<usize>) -> Self {
        match self {
            Column::Text(cells) => Column::Text(cells.part(rows)),
            Column::Integer(cells) => Column::Integer(cells[rows].to_vec()),
            Column::Bigint(cells) => Column::Bigint(cells[rows].to_vec()),
            Column::Double(cells) => Column::Double(cells[rows].to_vec()),
            Column::Numeric(cells) => Column::Numeric(cells.part(rows)),
            Column::Boolean(cells) => Column::Boolean(cells[rows].to_vec()),
            Column::Date(cells) => Column::Date(cells[rows].to_vec()),
            Column::Timestamptz(cells) => Column::Timestamptz(cells[rows].to_vec()),
            Column::BigintArray(cells) => Column::BigintArray(cells.part(rows)),
            Column::Jsonb(cells) => Column::Jsonb(cells.part(rows)),
            Column::Bytea(cells) => Column::Bytea(cells.part(rows)),
        }
    }

    /// As many cells, all unset.
    fn unset(&self) -> Self {
        let mut column = self.part(0..0);
        for _ in 0..self.len() {
            column.push_null();
        }
        column
    }
}

/// Records in ascending order of their ids, a column for each field of the mirror.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page {
    pub ids: Vec<i64>,
    /// In the order of the mirror's fields.
    pub columns: Vec<Column>,
    /// The record that was written last.
    pub newest: Option<Newest>,
}

/// A record and when it was written (UTC, whole seconds), in that order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Newest {
    pub written: NaiveDateTime,
    pub id: i64,
}

impl Page {
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Some of the records.
    pub fn part(&self, rows: Range<usize>) -> Self {
        Page {
            ids: self.ids[rows.clone()].to_vec(),
            columns: self.columns.iter().map(|column| column.part(rows.clone())).collect(),
            newest: self.newest,
        }
    }

    /// The same records with other cells in one column: those of the given records of another page, or none.
    pub fn with(&self, column: usize, other: Option<(&Page, Range<usize>)>) -> Self {
        let mut page = self.clone();
        page.columns[column] = match other {
            Some((other, rows)) => other.columns[column].part(rows),
            None => self.columns[column].unset(),
        };
        page
    }
}

/// Where the value of a member goes.
const ID: usize = 0;
const WRITTEN: usize = 1;
const FIRST_FIELD: usize = 2;

/// Fills a [`Page`] from the decoder and refuses what Odoo was not asked for.
pub struct PageBuilder<'a> {
    mirror: &'a Mirror,
    /// Every id must be greater than the one before, beginning with this.
    after: i64,
    /// At most so many rows were asked for.
    most: u64,
    page: Page,
    id: Option<i64>,
    /// The row's write date, and whether it had one.
    written: Option<NaiveDateTime>,
    has_written: bool,
    write_date_field: Option<usize>,
    /// A misfit whose row's id is not known yet: Odoo sends the id first, but nothing promises it.
    misfit: Option<(usize, cell::Misfit)>,
}

impl<'a> PageBuilder<'a> {
    pub fn new(mirror: &'a Mirror, after: i64, most: u64) -> Self {
        let columns = mirror.fields.iter().map(|map| Column::new(map.kind)).collect();
        PageBuilder {
            mirror,
            after,
            most,
            page: Page {
                ids: Vec::new(),
                columns,
                newest: None,
            },
            id: None,
            written: None,
            has_written: false,
            write_date_field: mirror.fields.iter().position(|map| map.field == WRITE_DATE),
            misfit: None,
        }
    }

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
    Error::Malformed {
        cause: cause.to_owned(),
    }
}

fn missing(field: &str) -> Error {
    malformed(&format!("a row lacks the field \"{field}\""))
}
