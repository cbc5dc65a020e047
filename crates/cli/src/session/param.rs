//! Encodes parameters in Postgres's binary format.
//!
//! A column of a page becomes one array. Its cells go from the page into the message, without a
//! copy in between.

use super::failure::TooLarge;
use bytes::{BufMut, BytesMut};
use ipai_mirror::session::Param;
use ipai_mirror::time::{days, micros};
use ipai_mirror::{Column, Packed};
use std::error::Error;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

type Encoded = Result<IsNull, Box<dyn Error + Sync + Send>>;

/// A parameter on its way to the server.
#[derive(Debug)]
pub struct WireParam<'a>(pub Param<'a>);

impl WireParam<'_> {
    /// The type with which the parameter is declared. A column has the type that the page statement
    /// expects, for example text[] for numeric.
    pub fn kind(&self) -> Type {
        match self.0 {
            Param::Bool(_) => Type::BOOL,
            Param::Integer(_) => Type::INT4,
            Param::Bigint(_) => Type::INT8,
            Param::Double(_) => Type::FLOAT8,
            Param::Text(_) => Type::TEXT,
            Param::Timestamptz(_) => Type::TIMESTAMPTZ,
            Param::Bigints(_) => Type::INT8_ARRAY,
            Param::Texts(_) => Type::TEXT_ARRAY,
            Param::Column(column) => match column {
                Column::Text(_) | Column::Numeric(_) | Column::Jsonb(_) | Column::BigintArray(_) => Type::TEXT_ARRAY,
                Column::Bytea(_) => Type::BYTEA_ARRAY,
                Column::Integer(_) => Type::INT4_ARRAY,
                Column::Bigint(_) => Type::INT8_ARRAY,
                Column::Double(_) => Type::FLOAT8_ARRAY,
                Column::Boolean(_) => Type::BOOL_ARRAY,
                Column::Date(_) => Type::DATE_ARRAY,
                Column::Timestamptz(_) => Type::TIMESTAMPTZ_ARRAY,
            },
        }
    }
}

impl ToSql for WireParam<'_> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Encoded {
        match self.0 {
            Param::Bool(value) => value.to_sql(kind, out),
            Param::Integer(value) => value.to_sql(kind, out),
            Param::Bigint(value) => value.to_sql(kind, out),
            Param::Double(value) => value.to_sql(kind, out),
            Param::Text(value) => value.to_sql(kind, out),
            // int8 and timestamptz have the same format.
            Param::Timestamptz(value) => value.map(micros).to_sql(kind, out),
            Param::Bigints(ids) => ids.to_sql(kind, out),
            Param::Texts(texts) => texts.to_sql(kind, out),
            Param::Column(column) => encode_column(column, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

fn encode_column(column: &Column, out: &mut BytesMut) -> Encoded {
    match column {
        Column::Text(cells) | Column::Numeric(cells) | Column::Jsonb(cells) | Column::BigintArray(cells) => {
            of_packed(cells, &Type::TEXT, out)
        }
        Column::Bytea(cells) => of_packed(cells, &Type::BYTEA, out),
        Column::Integer(cells) => of_fixed(cells, &Type::INT4, out, i32::to_be_bytes),
        Column::Bigint(cells) => of_fixed(cells, &Type::INT8, out, i64::to_be_bytes),
        Column::Double(cells) => of_fixed(cells, &Type::FLOAT8, out, f64::to_be_bytes),
        Column::Boolean(cells) => of_fixed(cells, &Type::BOOL, out, |flag| [u8::from(flag)]),
        Column::Date(cells) => of_fixed(cells, &Type::DATE, out, |day| days(day).to_be_bytes()),
        Column::Timestamptz(cells) => of_fixed(cells, &Type::TIMESTAMPTZ, out, |moment| micros(moment).to_be_bytes()),
    }
}

/// Encodes cells of `N` bytes each.
fn of_fixed<T: Copy, const N: usize>(
    cells: &[Option<T>],
    element: &Type,
    out: &mut BytesMut,
    bytes: impl Fn(T) -> [u8; N],
) -> Encoded {
    begin(element, cells.len(), cells.len() * N, out)?;
    for cell in cells {
        put(cell.map(&bytes).as_ref().map(<[u8; N]>::as_slice), out)?;
    }
    Ok(IsNull::No)
}

/// Encodes texts or bytes.
fn of_packed(cells: &Packed, element: &Type, out: &mut BytesMut) -> Encoded {
    begin(element, cells.len(), cells.iter().flatten().map(<[u8]>::len).sum(), out)?;
    for cell in cells.iter() {
        put(cell, out)?;
    }
    Ok(IsNull::No)
}

/// Largest message in bytes. The server accepts 1 GB, which includes the statement.
const LARGEST: usize = 0x3fff_0000;
/// Size in bytes of an array's header.
const HEADER: usize = 20;

/// Begins an array of one dimension, whose cells need `size` bytes beside their lengths.
fn begin(element: &Type, cells: usize, size: usize, out: &mut BytesMut) -> Result<(), Box<dyn Error + Sync + Send>> {
    let needed = HEADER + cells * 4 + size;
    // The message already has the parameters before this one.
    if out.len() + needed > LARGEST {
        return Err(Box::new(TooLarge));
    }
    out.reserve(needed);
    out.put_i32(1); // The number of dimensions.
    out.put_i32(1); // Cells may be null.
    out.put_u32(element.oid());
    out.put_i32(i32::try_from(cells)?);
    out.put_i32(1); // The first index.
    Ok(())
}

/// Appends a cell after its length, which is -1 for null.
fn put(cell: Option<&[u8]>, out: &mut BytesMut) -> Result<(), Box<dyn Error + Sync + Send>> {
    match cell {
        Some(bytes) => {
            out.put_i32(i32::try_from(bytes.len())?);
            out.put_slice(bytes);
        }
        None => out.put_i32(-1),
    }
    Ok(())
}
