//! Replaces `NaN`, `Infinity` and `-Infinity`, which Odoo sends and JSON does not define.
//!
//! Such a word becomes a string that starts with a NUL character. No other string can: a page with
//! such words loses the NUL characters of its strings here, which Postgres cannot store.

use memchr::{memchr2, memmem};
use std::borrow::Cow;

/// The words, and what replaces them. A number with a minus sign must come before the bare one.
const WORDS: [(&str, &str); 3] =
    [("-Infinity", "\"\\u0000-Infinity\""), ("Infinity", "\"\\u0000Infinity\""), ("NaN", "\"\\u0000NaN\"")];

/// The escape of a NUL character.
const NUL: &str = "\\u0000";

/// The document with its bare words replaced. Almost no document contains one, and is borrowed.
pub(super) fn replace(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    if memmem::find(bytes, b"NaN").is_none() && memmem::find(bytes, b"Infinity").is_none() {
        return Cow::Borrowed(text);
    }
    let mut replaced = String::with_capacity(text.len() + 64);
    let mut rest = text;
    while !rest.is_empty() {
        // Outside of strings, all characters are ASCII in a valid document.
        let next = rest.bytes().position(|byte| matches!(byte, b'"' | b'-' | b'I' | b'N')).unwrap_or(rest.len());
        let (before, from) = rest.split_at(next);
        replaced.push_str(before);
        rest = match from.as_bytes().first() {
            None => "",
            Some(b'"') => copy_string(from, &mut replaced),
            Some(_) => match WORDS.iter().find_map(|(word, replacement)| Some((from.strip_prefix(word)?, replacement)))
            {
                Some((after, replacement)) => {
                    replaced.push_str(replacement);
                    after
                }
                None => {
                    replaced.push_str(&from[..1]);
                    &from[1..]
                }
            },
        };
    }
    Cow::Owned(replaced)
}

/// Copies the string at the beginning of a text, without NUL characters. Returns the text after it.
fn copy_string<'a>(text: &'a str, copy: &mut String) -> &'a str {
    copy.push('"');
    let mut rest = &text[1..];
    while let Some(at) = memchr2(b'"', b'\\', rest.as_bytes()) {
        copy.push_str(&rest[..at]);
        let from = &rest[at..];
        if let Some(after) = from.strip_prefix('"') {
            copy.push('"');
            return after;
        }
        if let Some(after) = from.strip_prefix(NUL) {
            rest = after;
            continue;
        }
        // A backslash and the character that it escapes.
        let end = from.char_indices().nth(2).map_or(from.len(), |(end, _)| end);
        copy.push_str(&from[..end]);
        rest = &from[end..];
    }
    copy.push_str(rest);
    ""
}

/// The double that a string stands for.
pub(super) fn double(text: &str) -> Option<f64> {
    match text.strip_prefix('\0')? {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}
