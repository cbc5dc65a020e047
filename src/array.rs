//! Builds one-dimensional arrays of Postgres from the columns of a page.
//!
//! Each array is one allocation in the internal format of Postgres (`utils/array.h`). Building it
//! element by element would copy each cell two more times.

use ipai_mirror::time::{days, micros};
use ipai_mirror::{Column, Packed};
use ipai_odoo::error::{Error, Result};
use pgrx::datum::DatumWithOid;
use pgrx::pg_sys;
use std::ptr;

/// Builds an array from a column, in the current memory context.
///
/// The elements have the type that the page statement expects, for example text for numeric.
///
/// # Errors
/// [`Error::Limit`] if the array exceeds the largest allocation of Postgres.
///
/// # Safety
/// The caller must not use the result after that context is reset.
pub unsafe fn of_column(column: &Column) -> Result<DatumWithOid<'static>> {
    match column {
        Column::Text(cells) | Column::Numeric(cells) | Column::Jsonb(cells) | Column::BigintArray(cells) => {
            of_packed(cells, pg_sys::TEXTOID, pg_sys::TEXTARRAYOID)
        }
        Column::Bytea(cells) => of_packed(cells, pg_sys::BYTEAOID, pg_sys::BYTEAARRAYOID),
        Column::Integer(cells) => of_fixed(cells, pg_sys::INT4OID, pg_sys::INT4ARRAYOID, i32::to_ne_bytes),
        Column::Bigint(cells) => of_fixed(cells, pg_sys::INT8OID, pg_sys::INT8ARRAYOID, i64::to_ne_bytes),
        Column::Double(cells) => of_fixed(cells, pg_sys::FLOAT8OID, pg_sys::FLOAT8ARRAYOID, f64::to_ne_bytes),
        Column::Boolean(cells) => of_fixed(cells, pg_sys::BOOLOID, pg_sys::BOOLARRAYOID, |flag| [u8::from(flag)]),
        Column::Date(cells) => of_fixed(cells, pg_sys::DATEOID, pg_sys::DATEARRAYOID, |day| days(day).to_ne_bytes()),
        Column::Timestamptz(cells) => {
            of_fixed(cells, pg_sys::TIMESTAMPTZOID, pg_sys::TIMESTAMPTZARRAYOID, |moment| micros(moment).to_ne_bytes())
        }
    }
}

/// Builds an array of bigint from ids, in the current memory context.
///
/// # Errors
/// [`Error::Limit`] if the array exceeds the largest allocation of Postgres.
///
/// # Safety
/// The caller must not use the result after that context is reset.
pub unsafe fn of_ids(ids: &[i64]) -> Result<DatumWithOid<'static>> {
    let mut array = Array::new(ids.len(), false, ids.len() * 8, pg_sys::INT8OID)?;
    for id in ids {
        array.put(&id.to_ne_bytes());
    }
    Ok(array.finish(pg_sys::INT8ARRAYOID))
}

/// Builds an array from cells of `N` bytes each.
fn of_fixed<T: Copy, const N: usize>(
    cells: &[Option<T>],
    element: pg_sys::Oid,
    array: pg_sys::Oid,
    bytes: impl Fn(T) -> [u8; N],
) -> Result<DatumWithOid<'static>> {
    let set = cells.iter().filter(|cell| cell.is_some()).count();
    let mut built = Array::new(cells.len(), set < cells.len(), set * N, element)?;
    for (index, cell) in cells.iter().enumerate() {
        if let Some(value) = cell {
            built.set(index);
            built.put(&bytes(*value));
        }
    }
    Ok(built.finish(array))
}

/// Size in bytes of the length word of an uncompressed varlena, which texts in arrays have.
const HEADER: usize = 4;

/// Builds an array from texts or bytes, each aligned to 4 bytes and after its length.
fn of_packed(cells: &Packed, element: pg_sys::Oid, array: pg_sys::Oid) -> Result<DatumWithOid<'static>> {
    let size = |cell: &[u8]| (HEADER + cell.len()).next_multiple_of(4);
    let total = cells.iter().flatten().map(size).sum();
    let mut built = Array::new(cells.len(), cells.iter().any(|cell| cell.is_none()), total, element)?;
    for (index, cell) in cells.iter().enumerate() {
        if let Some(cell) = cell {
            built.set(index);
            built.put_varlena(cell);
        }
    }
    Ok(built.finish(array))
}

/// Largest allocation in bytes: MaxAllocSize of Postgres.
const LARGEST: usize = 0x3fff_ffff;

/// An array under construction.
struct Array {
    /// The allocation.
    begin: *mut pg_sys::ArrayType,
    /// One bit per cell, set if the cell is not null. The pointer is null if no cell is null.
    bitmap: *mut u8,
    /// Position of the next value.
    next: *mut u8,
    /// Free bytes at `next`.
    left: usize,
}

impl Array {
    /// Allocates an array for `cells` cells whose values need `size` bytes.
    fn new(cells: usize, has_nulls: bool, size: usize, element: pg_sys::Oid) -> Result<Self> {
        const DIMENSION: usize = 2 * size_of::<i32>();
        let bitmap = if has_nulls { cells.div_ceil(8) } else { 0 };
        let overhead = (size_of::<pg_sys::ArrayType>() + DIMENSION + bitmap).next_multiple_of(8);
        let total = overhead + size;
        // palloc refuses larger sizes, and Postgres stores both numbers in 32 bits.
        let (true, Ok(count), Ok(length)) = (total < LARGEST, i32::try_from(cells), i32::try_from(total)) else {
            return Err(Error::Limit {
                limit: "1 GB for one column of a page".to_owned(),
                hint: "Lower the page size of the mirror.".to_owned(),
            });
        };
        // SAFETY: palloc0 returns `total` zeroed bytes or raises an error. The header, the
        // dimension and the bitmap are within `overhead`, which equals ARR_OVERHEAD_WITHNULLS for
        // one dimension. An array without cells has no dimension.
        unsafe {
            let begin = pg_sys::palloc0(total).cast::<pg_sys::ArrayType>();
            pgrx::set_varsize_4b(begin.cast(), length);
            (*begin).ndim = i32::from(cells > 0);
            (*begin).dataoffset = if has_nulls { overhead as i32 } else { 0 };
            (*begin).elemtype = element;
            let dimension = begin.add(1).cast::<i32>();
            dimension.write(count);
            dimension.add(1).write(1);
            let bits = dimension.add(2).cast::<u8>();
            Ok(Array {
                begin,
                bitmap: if has_nulls { bits } else { ptr::null_mut() },
                next: begin.cast::<u8>().add(overhead),
                left: size,
            })
        }
    }

    /// Marks the cell with this index, which must exist, as not null.
    fn set(&mut self, index: usize) {
        if !self.bitmap.is_null() {
            // SAFETY: the bitmap has one bit for each cell.
            unsafe { *self.bitmap.add(index / 8) |= 1 << (index % 8) };
        }
    }

    /// Appends a value of fixed size.
    fn put(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= self.left, "the values exceed the size of the array");
        // SAFETY: the assertion above checks that the bytes fit.
        unsafe {
            ptr::copy_nonoverlapping(bytes.as_ptr(), self.next, bytes.len());
            self.next = self.next.add(bytes.len());
        }
        self.left -= bytes.len();
    }

    /// Appends a text or bytes.
    fn put_varlena(&mut self, bytes: &[u8]) {
        let size = HEADER + bytes.len();
        assert!(size.next_multiple_of(4) <= self.left, "the values exceed the size of the array");
        // SAFETY: the assertion above checks that header, bytes and padding fit. The padding is
        // zero already, `size` is below 1 GB, and `next` is a multiple of 4.
        unsafe {
            pgrx::set_varsize_4b(self.next.cast(), size as i32);
            ptr::copy_nonoverlapping(bytes.as_ptr(), self.next.add(HEADER), bytes.len());
            self.next = self.next.add(size.next_multiple_of(4));
        }
        self.left -= size.next_multiple_of(4);
    }

    /// Returns the complete array, whose type is `array`.
    fn finish(self, array: pg_sys::Oid) -> DatumWithOid<'static> {
        // SAFETY: the pointer is to a complete array of that type.
        unsafe { DatumWithOid::new(pg_sys::Datum::from(self.begin), array) }
    }
}
