//! Fuzzes the conversion of values to columns of every kind.
//!
//! A value is either accepted, or refused with model, id and field.

use super::{check_error, check_page, mirror};
use arbitrary::{Arbitrary, Result, Unstructured};
use ipai_mirror::PageBuilder;
use ipai_odoo::error::Error;
use ipai_odoo::value::{RowVisitor, Scalar, Value};

#[derive(Debug, Clone)]
struct Cell(Value);

impl<'a> Arbitrary<'a> for Cell {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Cell(value(u, 3)?))
    }
}

fn value(u: &mut Unstructured<'_>, depth: u8) -> Result<Value> {
    Ok(match u.int_in_range(0..=if depth == 0 { 6 } else { 8 })? {
        0 => Value::Nil,
        1 => Value::Bool(u.arbitrary()?),
        2 => Value::Int(u.arbitrary()?),
        3 => Value::Double(u.arbitrary()?),
        4 => Value::DateTime(u.arbitrary()?),
        5 => Value::Base64(u.arbitrary()?),
        6 => Value::String(u.arbitrary()?),
        7 => {
            let elements = u.int_in_range(0..=4)?;
            Value::Array((0..elements).map(|_| value(u, depth - 1)).collect::<Result<_>>()?)
        }
        _ => {
            let members = u.int_in_range(0..=3)?;
            let member = |u: &mut Unstructured<'_>| Ok((u.arbitrary()?, value(u, depth - 1)?));
            Value::Struct((0..members).map(|_| member(u)).collect::<Result<_>>()?)
        }
    })
}

/// Converts values made from the input to cells of every column type.
pub fn run(data: &[u8]) {
    let Ok(row) = Vec::<Cell>::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    let mirror = mirror(false);
    let mut page = PageBuilder::new(&mirror, 0, 10);
    let id = page.column("id").unwrap();
    page.value(id, Scalar::Int(7)).unwrap();
    for n in 0..mirror.fields.len() {
        let column = page.column(&format!("f{n}")).unwrap();
        let value = row.get(n).map_or(Value::Bool(false), |cell| cell.0.clone());
        page.value(column, value.into()).unwrap();
    }
    match page.end_row() {
        Ok(()) => check_page(&page.finish()),
        Err(error) => {
            assert!(matches!(error, Error::Value { id: 7, .. }), "{error:?}");
            check_error(&error);
        }
    }
}
