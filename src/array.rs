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

/// Builds an array of a column's carrier type, in the current memory context. Fails with
/// [`Error::Limit`] if the array exceeds the largest allocation of Postgres.
///
/// # Safety
/// The caller must not use the result after that context is reset.
pub unsafe fn of_column(column: &Column) -> Result<DatumWithOid<'static>> {
    match column {
        Column::Text(cells) | Column::Numeric(cells) | Column::Jsonb(cells) | Column::BigintArray(cells) => {
            of_packed(cells, pg_sys::TEXTOID)
        }
        Column::Bytea(cells) => of_packed(cells, pg_sys::BYTEAOID),
        Column::Integer(cells) => of_fixed(cells, pg_sys::INT4OID, i32::to_ne_bytes),
        Column::Bigint(cells) => of_fixed(cells, pg_sys::INT8OID, i64::to_ne_bytes),
        Column::Double(cells) => of_fixed(cells, pg_sys::FLOAT8OID, f64::to_ne_bytes),
        Column::Boolean(cells) => of_fixed(cells, pg_sys::BOOLOID, |flag| [u8::from(flag)]),
        Column::Date(cells) => of_fixed(cells, pg_sys::DATEOID, |day| days(day).to_ne_bytes()),
        Column::Timestamptz(cells) => of_fixed(cells, pg_sys::TIMESTAMPTZOID, |moment| micros(moment).to_ne_bytes()),
    }
}

/// Builds an array of bigint from ids, as [`of_column`] does.
///
/// # Safety
/// As for [`of_column`].
pub unsafe fn of_ids(ids: &[i64]) -> Result<DatumWithOid<'static>> {
    let ids = ids.iter().copied().map(Some);
    build(ids, pg_sys::INT8OID, |_| 8, |array, id| array.put(&id.to_ne_bytes()))
}

/// Builds an array from cells of `N` bytes each.
fn of_fixed<T: Copy, const N: usize>(
    cells: &[Option<T>],
    element: pg_sys::Oid,
    bytes: impl Fn(T) -> [u8; N],
) -> Result<DatumWithOid<'static>> {
    build(cells.iter().copied(), element, |_| N, |array, cell| array.put(&bytes(cell)))
}

fn of_packed(cells: &Packed, element: pg_sys::Oid) -> Result<DatumWithOid<'static>> {
    build(cells.iter(), element, varlena_size, Array::put_varlena)
}

/// Builds an array. `size` is the number of bytes that `put` appends for a cell.
fn build<T>(
    cells: impl Iterator<Item = Option<T>> + Clone,
    element: pg_sys::Oid,
    size: impl Fn(T) -> usize,
    put: impl Fn(&mut Array, T),
) -> Result<DatumWithOid<'static>> {
    let (count, set) = (cells.clone().count(), cells.clone().flatten().count());
    let mut built = Array::new(count, set < count, cells.clone().flatten().map(size).sum(), element)?;
    for (index, cell) in cells.enumerate() {
        if let Some(cell) = cell {
            built.set(index);
            put(&mut built, cell);
        }
    }
    // SAFETY: the pointer is to a complete array of this type.
    Ok(unsafe { DatumWithOid::new(pg_sys::Datum::from(built.begin), pg_sys::get_array_type(element)) })
}

/// Size in bytes of the length word of an uncompressed varlena, which texts in arrays have.
const HEADER: usize = 4;

/// Size of a text or bytes in an array: its length word, itself, and the padding to 4 bytes.
fn varlena_size(bytes: &[u8]) -> usize {
    (HEADER + bytes.len()).next_multiple_of(4)
}

/// Largest allocation in bytes: MaxAllocSize of Postgres.
const LARGEST: usize = 0x3fff_ffff;

struct Array {
    begin: *mut pg_sys::ArrayType,
    /// One bit per cell, set if the cell is not null. The pointer is null if no cell is null.
    bitmap: *mut u8,
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

    fn put(&mut self, bytes: &[u8]) {
        let place = self.advance(bytes.len());
        // SAFETY: `advance` checked that the bytes fit.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), place, bytes.len()) };
    }

    fn put_varlena(&mut self, bytes: &[u8]) {
        let place = self.advance(varlena_size(bytes));
        // SAFETY: `advance` checked that header, bytes and padding fit. The padding is zero
        // already, the size is below 1 GB, and `place` is a multiple of 4.
        unsafe {
            pgrx::set_varsize_4b(place.cast(), (HEADER + bytes.len()) as i32);
            ptr::copy_nonoverlapping(bytes.as_ptr(), place.add(HEADER), bytes.len());
        }
    }

    /// The position of the next value, which has this size.
    fn advance(&mut self, size: usize) -> *mut u8 {
        assert!(size <= self.left, "the values exceed the size of the array");
        let place = self.next;
        // SAFETY: the assertion above checks that the value fits.
        self.next = unsafe { place.add(size) };
        self.left -= size;
        place
    }
}
