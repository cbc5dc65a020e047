//! Decodes bulk pages of the addon `ipai_sync` (`docs/reference/bulk-export-format.md`).
//!
//! A bulk page is base64 of zlib of lines. The first line has the names and types of the columns,
//! and the last line the number of rows. The lines between them are rows in the text format of
//! PostgreSQL's COPY. The values are those of `search_read`: an unset value is `false`, as in
//! XML-RPC. Texts have the characters that the wire format can carry, so that a run with the addon
//! and one without it read the same values.

use crate::error::{Error, Result};
use crate::text::{is_control, without_control};
use crate::value::{RowVisitor, Scalar, Value, over_limit};
use base64::engine::GeneralPurpose;
use base64::prelude::BASE64_STANDARD;
use base64::read::DecoderReader;
use flate2::read::ZlibDecoder;
use serde::Deserialize;
use serde_json::Value as Json;
use std::borrow::Cow;
use std::io::{BufRead, BufReader, Read, Take};

/// The type of a column.
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

/// The first line of a page.
#[derive(Debug, Deserialize)]
struct Header {
    columns: Vec<(String, Type)>,
    uuid: Option<String>,
}

/// Facts about a decoded page.
#[derive(Debug, PartialEq, Eq)]
pub struct Received {
    /// Size of the text in bytes after decompression.
    pub bytes: usize,
    /// `database.uuid` of the database that sent the page.
    pub uuid: Option<String>,
}

/// Decodes a page of at most `max_bytes` bytes and passes each row to the visitor. `keeps_control`:
/// texts keep control characters, as in JSON-2.
///
/// # Errors
/// [`Error::Malformed`], [`Error::Limit`] if the page is too large, and those of the visitor.
pub fn decode_rows<V: RowVisitor + ?Sized>(
    page: &str,
    max_bytes: usize,
    keeps_control: bool,
    visitor: &mut V,
) -> Result<Received> {
    let mut lines = Lines::open(page, max_bytes);
    let header = lines.next()?.ok_or_else(|| malformed("it is empty"))?;
    let header: Header =
        serde_json::from_str(header).map_err(|_| malformed("its first line does not name the columns"))?;
    let columns: Vec<(Option<usize>, Type)> =
        header.columns.iter().map(|(name, kind)| (visitor.column(name), *kind)).collect();
    let mut rows = 0_u64;
    while let Some(line) = lines.next()? {
        if let Some(count) = line.strip_prefix("\\. ") {
            if count.parse() != Ok(rows) {
                return Err(malformed("its number of rows differs from the number in its last line"));
            }
            return Ok(Received { bytes: lines.end()?, uuid: header.uuid });
        }
        let mut cells = line.split('\t');
        for (column, kind) in &columns {
            let cell = cells.next().ok_or_else(|| malformed("a row has too few cells"))?;
            if let Some(column) = column {
                visitor.value(*column, value(cell, *kind, keeps_control)?)?;
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

/// Largest JSON document in bytes. Parsed, a document takes many times its size.
const LARGEST_JSON: usize = 4 << 20;

fn value(cell: &str, kind: Type, keeps_control: bool) -> Result<Scalar<'_>> {
    if cell == "\\N" {
        return Ok(Scalar::Bool(false));
    }
    let unreadable = |expected: &str| malformed(&format!("a cell is not {expected}"));
    Ok(match kind {
        Type::Integer => Scalar::Int(cell.parse().map_err(|_| unreadable("a whole number"))?),
        Type::Double => Scalar::Double(cell.parse().map_err(|_| unreadable("a number"))?),
        Type::Boolean if cell == "t" => Scalar::Bool(true),
        Type::Boolean if cell == "f" => Scalar::Bool(false),
        Type::Boolean => return Err(unreadable("a boolean")),
        Type::Text => {
            let text = unescape(cell)?;
            // Almost no text has characters to remove.
            let is_damaged = !keeps_control && text.bytes().any(|byte| is_control(byte.into()));
            Scalar::String(if is_damaged { without_control(&text).into() } else { text })
        }
        Type::Json if cell.len() > LARGEST_JSON => return Err(unreadable("a document of at most 4 MiB")),
        Type::Json => {
            let json = serde_json::from_str(&unescape(cell)?).map_err(|_| unreadable("JSON"))?;
            Scalar::from(Value::from_json(carried(json)))
        }
    })
}

/// Removes control characters from every text in a document.
fn carried(json: Json) -> Json {
    match json {
        Json::String(text) => Json::String(without_control(&text)),
        Json::Array(elements) => elements.into_iter().map(carried).collect(),
        Json::Object(members) => {
            members.into_iter().map(|(name, value)| (without_control(&name), carried(value))).collect()
        }
        other => other,
    }
}

/// Resolves the backslash escapes of COPY's text format.
fn unescape(cell: &str) -> Result<Cow<'_, str>> {
    let Some(first) = cell.find('\\') else { return Ok(Cow::Borrowed(cell)) };
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
            _ => c,
        });
    }
    Ok(Cow::Owned(text))
}

type Inflated<'a> = ZlibDecoder<DecoderReader<'a, GeneralPurpose, &'a [u8]>>;

/// Reads the text of a page line by line, so that only one line is in memory.
struct Lines<'a> {
    text: BufReader<Take<Inflated<'a>>>,
    line: Vec<u8>,
    max_bytes: usize,
}

/// Size of the buffer in bytes. With smaller ones, filling the buffer would dominate the time.
const BUFFER: usize = 64 << 10;

impl<'a> Lines<'a> {
    fn open(page: &'a str, max_bytes: usize) -> Self {
        let inflated = ZlibDecoder::new(DecoderReader::new(page.as_bytes(), &BASE64_STANDARD));
        let text = BufReader::with_capacity(BUFFER, inflated.take(max_bytes as u64 + 1));
        Lines { text, line: Vec::new(), max_bytes }
    }

    /// The next line without its end, or `None` after the last one.
    fn next(&mut self) -> Result<Option<&str>> {
        self.line.clear();
        self.text.read_until(b'\n', &mut self.line).map_err(|_| malformed("it cannot be decompressed"))?;
        if self.line.pop_if(|byte| *byte == b'\n').is_none() {
            return match self.text.get_ref().limit() {
                0 => Err(over_limit(self.max_bytes)),
                _ if self.line.is_empty() => Ok(None),
                _ => Err(malformed("its last line has no end")),
            };
        }
        if self.line.contains(&0) {
            return Err(malformed("it contains a NUL character"));
        }
        std::str::from_utf8(&self.line).map(Some).map_err(|_| malformed("it is not UTF-8"))
    }

    /// Checks that nothing follows, and returns the size of the text. zlib has verified its
    /// checksum.
    fn end(&mut self) -> Result<usize> {
        match self.next()? {
            None => Ok(self.max_bytes + 1 - self.text.get_ref().limit() as usize),
            Some(_) => Err(malformed("something follows its end")),
        }
    }
}

fn malformed(cause: &str) -> Error {
    Error::Malformed { cause: format!("bulk page: {cause}") }
}
