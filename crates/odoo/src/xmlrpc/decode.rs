//! Decodes the answer of Odoo, a `methodResponse` document, into a tree, rows or ids.

use super::Answer;
use super::parser::{Parser, Tag};
use crate::error::Result;
use crate::value::{Limits, RowVisitor, Scalar, Value};

/// Decodes an answer into a tree of values. For pages of rows, `decode_rows` uses less memory.
///
/// # Errors
/// `Malformed` if the body is not one complete answer, and `Limit` if it is too large.
pub fn decode(body: &[u8], limits: &Limits) -> Result<Answer<Value>> {
    read_answer(body, limits, |parser| Ok(parser.value(0)?.into()))
}

/// Decodes an array of structs (the answer of `search_read`) and passes each row to the visitor.
/// Fails like [`decode`], and with the errors of the visitor.
pub fn decode_rows<V: RowVisitor + ?Sized>(body: &[u8], limits: &Limits, visitor: &mut V) -> Result<Answer<()>> {
    read_answer(body, limits, |parser| {
        parser.array(|parser| {
            parser.expect(Tag::Struct)?;
            loop {
                if let Some(member) = parser.fast_path_member() {
                    if let Some(column) = visitor.column(member.name) {
                        visitor.value(column, member.value)?;
                    }
                    continue;
                }
                if !parser.begins(Tag::Member)? {
                    break;
                }
                let name = parser.member_name()?;
                let column = visitor.column(&name);
                // An array and a struct enclose the value.
                let value = parser.value(2)?;
                if let Some(column) = column {
                    visitor.value(column, value)?;
                }
                parser.end()?;
            }
            parser.end()?;
            visitor.end_row()
        })
    })
}

/// Decodes an array of integers (the answer of `search`). Fails like [`decode`].
pub fn decode_ids(body: &[u8], limits: &Limits) -> Result<Answer<Vec<i64>>> {
    read_answer(body, limits, |parser| {
        let mut ids = Vec::new();
        parser.array(|parser| match parser.value(1)? {
            Scalar::Int(id) => {
                ids.push(id);
                Ok(())
            }
            _ => Err(parser.malformed("expected <int>")),
        })?;
        Ok(ids)
    })
}

/// Reads a `methodResponse` from its first byte to its last. `read` reads the result after
/// `<value>`, through `</value>`.
fn read_answer<'a, T>(
    body: &'a [u8],
    limits: &Limits,
    read: impl FnOnce(&mut Parser<'a>) -> Result<T>,
) -> Result<Answer<T>> {
    let mut parser = Parser::open(body, limits)?;
    let answer = match parser.tag()? {
        Some(Tag::Params) => {
            parser.expect(Tag::Param)?;
            parser.expect(Tag::Value)?;
            let value = read(&mut parser)?;
            parser.end()?;
            Ok(value)
        }
        Some(Tag::Fault) => {
            parser.expect(Tag::Value)?;
            Err(parser.fault()?)
        }
        _ => return Err(parser.malformed("expected <params> or <fault>")),
    };
    parser.end()?;
    parser.end()?;
    parser.finish()?;
    Ok(answer)
}
