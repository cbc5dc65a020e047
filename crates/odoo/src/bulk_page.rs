//! A page as the addon `ipai_sync` sends it (`docs/reference/bulk-export-format.md`): base64 of zlib of lines in the text format of PostgreSQL's
//! COPY, the names and types of the columns in the first line, the number of rows in the last.
//!
//! Its values are those of `search_read`, and reach the same visitor: an unset one is `false`, as on the wire of XML-RPC.

use crate::error::{Error, Result};
use crate::xmlrpc::{RowVisitor, Scalar, Value};
use base64::prelude::BASE64_STANDARD;
use base64::read::DecoderReader;
use flate2::read::ZlibDecoder;
use serde::Deserialize;
use serde_json::Value as Json;
use std::borrow::Cow;
use std::io::{BufRead, BufReader, Read, Take};

/// What the cells of a column hold.
#[derive(Debug, Clone, Copy, Deserialize)]
enum Type {
    #[serde(rename = "i")]
    Integer,
    #[serde(rename = "f")]
    Double,
    #[serde(rename = "b")]
    Boolean,
    #[serde(rename = "s")]
    Text,
    #[serde(rename = "j")]
    Json,
}

/// The first line.
#[derive(Debug, Deserialize)]
struct Header {
    columns: Vec<(String, Type)>,
    uuid: Option<String>,
}

/// What a page was.
#[derive(Debug, PartialEq, Eq)]
pub struct Received {
    /// Size of its text in bytes, however small it came.
    pub bytes: usize,
    /// `database.uuid` of the database that it is of.
    pub uuid: Option<String>,
}

/// Reads a page, of at most so many bytes, into the visitor.
pub fn decode_rows<V: RowVisitor + ?Sized>(page: &str, most: usize, visitor: &mut V) -> Result<Received> {
    let mut lines = Lines::open(page, most);
    let header: Header = match lines.next()? {
        Some(line) => serde_json::from_str(line).map_err(|_| malformed("its first line names no columns"))?,
        None => return Err(malformed("it is empty")),
    };
    let columns: Vec<(Option<usize>, Type)> = header
        .columns
        .iter()
        .map(|(name, kind)| (visitor.column(name), *kind))
        .collect();
    let mut rows = 0_u64;
    while let Some(line) = lines.next()? {
        if let Some(count) = line.strip_prefix("\\. ") {
            if count.parse() != Ok(rows) {
                return Err(malformed("it has another number of rows than it says"));
            }
            let bytes = lines.end()?;
            return Ok(Received {
                bytes,
                uuid: header.uuid,
            });
        }
        let mut cells = line.split('\t');
        for (column, kind) in &columns {
            let cell = cells.next().ok_or_else(|| malformed("a row has too few cells"))?;
            if let Some(column) = column {
                visitor.value(*column, value(cell, *kind)?)?;
            }
        }
        if cells.next().is_some() {
            return Err(malformed("a row has too many cells"));
        }
        visitor.end_row()?;
        rows += 1;
    }
    Err(malformed("its end is missing"))
}

/// A document in memory takes many times its size.
const LARGEST_JSON: usize = 4 << 20;

fn value(cell: &str, kind: Type) -> Result<Scalar<'_>> {
    if cell == "\\N" {
        return Ok(Scalar::Bool(false));
    }
    let unreadable = |expected: &str| malformed(&format!("a cell is not {expected}"));
    Ok(match kind {
        Type::Integer => Scalar::Int(cell.parse().map_err(|_| unreadable("a whole number"))?),
        Type::Double => Scalar::Double(cell.parse().map_err(|_| unreadable("a number"))?),
        Type::Boolean => match cell {
            "t" => Scalar::Bool(true),
            "f" => Scalar::Bool(false),
            _ => return Err(unreadable("a boolean")),
        },
        Type::Text => Scalar::String(text(cell)?),
        Type::Json => {
            if cell.len() > LARGEST_JSON {
                return Err(unreadable("a document of ordinary size"));
            }
            let json = unescape(cell)?;
            let json: Json = serde_json::from_str(&json).map_err(|_| unreadable("JSON"))?;
            Scalar::from(Value::from_json(carried(json)))
        }
    })
}

/// The text of a cell, without what XML cannot carry: Odoo leaves that out of its answers.
fn text(cell: &str) -> Result<Cow<'_, str>> {
    let text = unescape(cell)?;
    Ok(match text.bytes().any(is_left_out) {
        true => Cow::Owned(without_control(&text)),
        false => text,
    })
}

fn is_left_out(byte: u8) -> bool {
    byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r')
}

fn without_control(text: &str) -> String {
    let carried = |c: &char| u8::try_from(*c).map_or(true, |byte| !is_left_out(byte));
    text.chars().filter(carried).collect()
}

/// The same for every text in a document.
fn carried(json: Json) -> Json {
    match json {
        Json::String(text) => Json::String(without_control(&text)),
        Json::Array(elements) => elements.into_iter().map(carried).collect(),
        Json::Object(members) => members
            .into_iter()
            .map(|(name, value)| (without_control(&name), carried(value)))
            .collect(),
        other => other,
    }
}

/// Takes the backslashes of COPY's text format away.
fn unescape(cell: &str) -> Result<Cow<'_, str>> {
    let Some(first) = cell.find('\\') else {
        return Ok(Cow::Borrowed(cell));
    };
    let mut text = String::with_capacity(cell.len());
    text.push_str(&cell[..first]);
    let mut rest = cell[first..].chars();
    while let Some(c) = rest.next() {
        text.push(match c {
            '\\' => match rest.next() {
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some('v') => '\u{b}',
                Some('\\') => '\\',
                _ => return Err(malformed("a backslash that COPY does not write")),
            },
            c => c,
        });
    }
    Ok(Cow::Owned(text))
}

type Inflated<'a> = ZlibDecoder<DecoderReader<'a, base64::engine::GeneralPurpose, &'a [u8]>>;

/// The text of a page, a line at a time: it is never in memory as a whole.
struct Lines<'a> {
    text: BufReader<Take<Inflated<'a>>>,
    line: Vec<u8>,
    most: usize,
}

/// Large enough that finding line ends, and not filling it, is what costs.
const BUFFER: usize = 64 << 10;

impl<'a> Lines<'a> {
    fn open(page: &'a str, most: usize) -> Self {
        let inflated = ZlibDecoder::new(DecoderReader::new(page.as_bytes(), &BASE64_STANDARD));
        Lines {
            text: BufReader::with_capacity(BUFFER, inflated.take(most as u64 + 1)),
            line: Vec::new(),
            most,
        }
    }

    /// The next line without its end; none behind the last one.
    fn next(&mut self) -> Result<Option<&str>> {
        self.line.clear();
        self.text
            .read_until(b'\n', &mut self.line)
            .map_err(|_| malformed("it cannot be decompressed"))?;
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
        } else {
            return match self.text.get_ref().limit() {
                0 => Err(self.too_large()),
                _ if self.line.is_empty() => Ok(None),
                _ => Err(malformed("its last line has no end")),
            };
        }
        if self.line.contains(&0) {
            return Err(malformed("it contains a NUL character"));
        }
        let line = std::str::from_utf8(&self.line).map_err(|_| malformed("it is not UTF-8"))?;
        Ok(Some(line))
    }

    /// Behind the last line there is nothing, and what was read is what was sent: zlib ends on a checksum.
    fn end(&mut self) -> Result<usize> {
        match self.next()? {
            None => Ok(self.most + 1 - self.text.get_ref().limit() as usize),
            Some(_) => Err(malformed("something follows its end")),
        }
    }

    fn too_large(&self) -> Error {
        Error::Limit {
            limit: format!("{} MiB", self.most >> 20),
            hint: "Lower the page size of the mirror, or mirror fewer fields.".to_owned(),
        }
    }
}

fn malformed(cause: &str) -> Error {
    Error::Malformed {
        cause: format!("a page of the addon: {cause}"),
    }
}
