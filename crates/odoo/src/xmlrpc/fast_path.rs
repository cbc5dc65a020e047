//! Recognizes struct members in the exact form that Python's `xmlrpc.client` writes.
//!
//! Almost all of a page consists of such members, and reading them needs no XML parser. The parser
//! reads everything else: entities, types that are rare in records, other white space and malformed
//! text.

use super::parser::Tag;
use super::scalar::scalar;
use crate::value::Scalar;
use memchr::{memchr, memchr2};
use std::borrow::Cow;

/// A member of a struct that holds a scalar.
pub struct Member<'a> {
    /// Name of the member, without entities.
    pub name: &'a str,
    /// The value.
    pub value: Scalar<'a>,
    /// Length in bytes, with the white space before the member.
    pub size: usize,
}

/// Whether a member may follow this text. After `<struct/>` none may.
pub fn may_follow(before: &[u8]) -> bool {
    before.ends_with(b"</member>") || before.ends_with(b"<struct>")
}

/// The member at the beginning of `rest`, or `None` if the XML parser must read it.
pub fn member(rest: &[u8]) -> Option<Member<'_>> {
    let all = rest.len();
    let rest = rest.strip_prefix(b"\n<member>\n<name>")?;
    let (name, rest) = rest.split_at(memchr2(b'<', b'&', rest)?);
    let rest = rest.strip_prefix(b"</name>\n<value><")?;
    let (tag, name_of_type) = match rest.first()? {
        b's' => (Tag::String, b"string>".as_slice()),
        b'i' => (Tag::Int, b"int>".as_slice()),
        b'b' => (Tag::Boolean, b"boolean>".as_slice()),
        b'd' => (Tag::Double, b"double>".as_slice()),
        _ => return None,
    };
    let rest = rest.strip_prefix(name_of_type)?;
    let end = memchr(b'<', rest)?;
    let (text, rest) = rest.split_at(end);
    if memchr(b'&', text).is_some() {
        return None;
    }
    let rest = rest.strip_prefix(b"</")?.strip_prefix(name_of_type)?;
    let rest = rest.strip_prefix(b"</value>\n</member>")?;
    let text = std::str::from_utf8(text).ok()?;
    Some(Member {
        name: std::str::from_utf8(name).ok()?,
        value: scalar(tag, Cow::Borrowed(text)).ok()?,
        size: all - rest.len(),
    })
}
