//! Small helpers over SPI. Errors of SQL itself unwind by themselves with their own SQLSTATE; what is left for
//! `Result` is a mistake of ours.

use ipai_odoo::error::{Error, Result};
use pgrx::datum::DatumWithOid;
use pgrx::prelude::*;
use pgrx::spi::{SpiHeapTupleData, SpiTupleTable};
use std::fmt::Display;

/// An SPI error that SQL did not raise.
pub fn internal(error: impl Display) -> Error {
    Error::Internal {
        cause: error.to_string(),
    }
}

/// The rows of a query that changes nothing, each read by `row`.
pub fn query<T>(
    sql: &str,
    args: &[DatumWithOid<'_>],
    row: impl Fn(&SpiHeapTupleData<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    Spi::connect(|client| read(client.select(sql, None, args).map_err(internal)?, row))
}

/// The same, with what was committed since the caller's statement began. (A statement that writes sees it too, but takes a
/// transaction id.)
pub fn query_now<T>(
    sql: &str,
    args: &[DatumWithOid<'_>],
    row: impl Fn(&SpiHeapTupleData<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    // SAFETY: the pair of push and pop; an error of SQL unwinds to where Postgres pops it.
    unsafe { pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot()) };
    let rows = query(sql, args, row);
    // SAFETY: see above.
    unsafe { pg_sys::PopActiveSnapshot() };
    rows
}

/// The rows of a query that changes nothing, without parallel workers: in each run they would take longer to start than to count a mirror of
/// some 100,000 rows, and other cores are busy with Odoo and with readers.
pub fn query_alone<T>(sql: &str, row: impl Fn(&SpiHeapTupleData<'_>) -> Result<T>) -> Result<Vec<T>> {
    Spi::connect(|client| {
        // Postgres plans what is prepared without them.
        let prepared = client.prepare(sql, &[]).map_err(internal)?;
        read(client.select(&prepared, None, &[]).map_err(internal)?, row)
    })
}

/// The first row of a query that changes nothing.
pub fn query_one<T>(
    sql: &str,
    args: &[DatumWithOid<'_>],
    row: impl Fn(&SpiHeapTupleData<'_>) -> Result<T>,
) -> Result<Option<T>> {
    Ok(query(sql, args, row)?.into_iter().next())
}

/// The rows of a statement that may change something.
pub fn execute<T>(
    sql: &str,
    args: &[DatumWithOid<'_>],
    row: impl Fn(&SpiHeapTupleData<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    Spi::connect_mut(|client| read(client.update(sql, None, args).map_err(internal)?, row))
}

/// Each row of an answer.
pub fn read<T>(table: SpiTupleTable<'_>, row: impl Fn(&SpiHeapTupleData<'_>) -> Result<T>) -> Result<Vec<T>> {
    let mut rows = Vec::with_capacity(table.len());
    for tuple in table {
        rows.push(row(&tuple)?);
    }
    Ok(rows)
}

/// A column that may be null.
pub fn optional<T: FromDatum + IntoDatum>(row: &SpiHeapTupleData<'_>, column: usize) -> Result<Option<T>> {
    row.get(column).map_err(internal)
}

/// A column that is never null.
pub fn column<T: FromDatum + IntoDatum>(row: &SpiHeapTupleData<'_>, column: usize) -> Result<T> {
    optional(row, column)?.ok_or_else(|| Error::Internal {
        cause: format!("column {column} is null"),
    })
}
