//! Builds a page of typed columns from the rows that the decoder reads.

use super::{Column, cell};
use crate::definition::{Mask, MaskKey, Mirror, WRITE_DATE};
use chrono::NaiveDateTime;
use ipai_odoo::error::{Error, Result};
use ipai_odoo::value::{RowVisitor, Scalar};
use std::ops::Range;
use tokio::sync::watch;

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

    /// Appends records with higher ids.
    pub fn append(&mut self, other: Page) {
        self.newest = self.newest.max(other.newest);
        match self.is_empty() {
            true => (self.ids, self.columns) = (other.ids, other.columns),
            false => {
                self.ids.extend(other.ids);
                self.columns.iter_mut().zip(other.columns).for_each(|(column, more)| column.append(more));
            }
        }
    }

    /// The same records with other cells in one column.
    pub fn with(&self, column: usize, cells: Column) -> Self {
        let mut page = self.clone();
        page.columns[column] = cells;
        page
    }
}

/// The decoder's columns for the id, and for a write date that is no field of the mirror.
const ID: usize = usize::MAX;
const WRITTEN: usize = usize::MAX - 1;

/// Fills a [`Page`] with rows, and refuses rows that do not match the request.
pub struct PageBuilder<'a> {
    mirror: &'a Mirror,
    /// The previous id. The next one must be greater.
    after: i64,
    most: u64,
    /// Whether the caller no longer wants the page.
    cancelled: Option<&'a watch::Receiver<bool>>,
    page: Page,
    id: Option<i64>,
    /// The write date of the current row, if the row has one, even an unset one.
    written: Option<Option<NaiveDateTime>>,
    write_date_field: Option<usize>,
    /// The masks of the fields.
    masks: Vec<Option<Mask>>,
    /// The first value of the row that does not fit, with its field. Its id may come later.
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
            cancelled: None,
            page: Page { ids: Vec::new(), columns, newest: None },
            id: None,
            written: None,
            masks: mirror.fields.iter().map(|map| mirror.masks.of(&map.field)).collect(),
            write_date_field: mirror.fields.iter().position(|map| map.field == WRITE_DATE),
            misfit: None,
        }
    }

    /// Ends the decoding with [`Error::Cancelled`] once this is true: it may take a second or more.
    pub(crate) fn cancelled_by(self, cancelled: &'a watch::Receiver<bool>) -> Self {
        PageBuilder { cancelled: Some(cancelled), ..self }
    }

    /// The page of all complete rows.
    pub fn finish(self) -> Page {
        self.page
    }
}

impl RowVisitor for PageBuilder<'_> {
    fn column(&mut self, member: &str) -> Option<usize> {
        if member == "id" {
            return Some(ID);
        }
        let field = self.mirror.fields.iter().position(|map| map.field == member);
        field.or((member == WRITE_DATE).then_some(WRITTEN))
    }

    fn value(&mut self, column: usize, value: Scalar<'_>) -> Result<()> {
        match (column, &value) {
            (ID, Scalar::Int(_)) if self.id.is_some() => return Err(malformed("a row has two ids")),
            (ID, Scalar::Int(id)) => self.id = Some(*id),
            (ID, _) => return Err(malformed("the id of a row is not a whole number")),
            (WRITTEN, value) => match cell::write_date(value) {
                Ok(written) => self.written = Some(written),
                Err(misfit) => return Err(malformed(&format!("write_date: {misfit}"))),
            },
            (field, _) => {
                let cells = &mut self.page.columns[field];
                if cells.len() != self.page.ids.len() {
                    return Err(malformed("a row has the same field twice"));
                }
                let written = match self.write_date_field == Some(field) {
                    true => cell::write_date(&value).map(|written| self.written = Some(written)),
                    false => Ok(()),
                };
                let (mask, key) = (self.masks[field], self.mirror.masks.key.as_ref());
                if let Err(misfit) = written.and_then(|()| push(cells, value, mask, key)) {
                    cells.push_null();
                    self.misfit.get_or_insert((field, misfit));
                }
            }
        }
        Ok(())
    }

    fn end_row(&mut self) -> Result<()> {
        if self.cancelled.is_some_and(|cancelled| *cancelled.borrow()) {
            return Err(Error::Cancelled);
        }
        let id = self.id.take().ok_or_else(|| malformed("a row has no id"))?;
        if let Some((field, cause)) = self.misfit.take() {
            let (model, field) = (self.mirror.scope.model.clone(), self.mirror.fields[field].field.clone());
            return Err(Error::Value { model, id, field, cause });
        }
        if id <= self.after {
            return Err(malformed("the rows are not in ascending order of the ids asked for"));
        }
        self.after = id;
        self.page.ids.push(id);
        let rows = self.page.ids.len();
        if rows as u64 > self.most {
            return Err(malformed("there are more rows than were asked for"));
        }
        match self.written.take() {
            Some(written) => self.page.newest = self.page.newest.max(written.map(|written| Newest { written, id })),
            None if self.mirror.has_write_date => return Err(missing(WRITE_DATE)),
            None => {}
        }
        match self.page.columns.iter().position(|cells| cells.len() != rows) {
            Some(field) => Err(missing(&self.mirror.fields[field].field)),
            None => Ok(()),
        }
    }
}

/// Appends a value to a column, or what its mask makes of it.
fn push(
    cells: &mut Column,
    value: Scalar<'_>,
    mask: Option<Mask>,
    key: Option<&MaskKey>,
) -> std::result::Result<(), cell::Misfit> {
    match (mask, value, key) {
        (Some(Mask::Redact), ..) => cell::push(cells, Scalar::Nil),
        (Some(Mask::Hmac), Scalar::String(text), Some(key)) => cell::push(cells, Scalar::String(key.hex(&text).into())),
        (Some(Mask::Hmac), Scalar::String(_), None) => Err("the mask has no key".to_owned()),
        (_, value, _) => cell::push(cells, value),
    }
}

fn malformed(cause: &str) -> Error {
    Error::Malformed { cause: cause.to_owned() }
}

fn missing(field: &str) -> Error {
    malformed(&format!("a row lacks the field \"{field}\""))
}
