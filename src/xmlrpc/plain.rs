//! Members as Python's `xmlrpc.client` writes them, recognised byte for byte: nearly all that a page of records consists of.
//!
//! This takes a fraction of an XML reader's time. Whatever looks otherwise (an entity, a type that is rare in records, another
//! library's white space, anything malformed) is no plain member, and left to the reader.

use super::decode::{Scalar, Tag};
use memchr::{memchr, memchr2, memmem};
use std::borrow::Cow;

/// A member of a struct that holds a scalar.
pub struct Member<'a> {
    pub name: &'a str,
    pub value: Scalar<'a>,
    /// Bytes from the white space before it to its end.
    pub size: usize,
}

/// What a member follows. In particular not `<struct/>`, after which nothing may follow.
pub fn may_follow(before: &[u8]) -> bool {
    before.ends_with(b"</member>") || before.ends_with(b"<struct>")
}

/// The member at the beginning of `rest`, if it is plain.
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
        value: Scalar::of(tag, Cow::Borrowed(text)).ok()?,
        size: all - rest.len(),
    })
}

/// The id of the last row, as far as the end of an answer shows it without the rest being read: a guess.
pub fn last_id(body: &[u8]) -> Option<i64> {
    const BEFORE: &[u8] = b"<name>id</name>\n<value><int>";
    let rest = &body[memmem::rfind(body, BEFORE)? + BEFORE.len()..];
    let digits = &rest[..memchr(b'<', rest)?];
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_id_is_that_of_the_last_row_as_it_seems() {
        let row = |id: &str| {
            format!("<struct>\n<member>\n<name>id</name>\n<value><int>{id}</int></value>\n</member>\n</struct>")
        };
        let last = |rows: &[String]| last_id(rows.concat().as_bytes());
        assert_eq!(last(&[row("4"), row("17")]), Some(17));
        assert_eq!(last(&[row("4"), row("-3")]), Some(-3));
        for nothing in ["", "x", "99999999999999999999", " 7"] {
            assert_eq!(last(&[row("4"), row(nothing)]), None, "{nothing:?}");
        }
        assert_eq!(last(&[]), None);
        // Other white space, an answer that is cut off.
        assert_eq!(last(&[row("4").replace('\n', "")]), None);
        assert_eq!(last_id(b"<name>id</name>\n<value><int>17"), None);
        // A guess: what is nested looks alike.
        assert_eq!(last(&[row("4"), format!("<value>{}</value>", row("1"))]), Some(1));
    }
}
