//! Tests of bulk pages: all types, damaged pages and arbitrary text.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::bulk_page::{Received, decode_rows};
use crate::error::{Error, Result};
use crate::value::{RowVisitor, Scalar, Value};
use base64::prelude::{BASE64_STANDARD, Engine};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use proptest::prelude::*;
use std::io::Write;

const MAX_BYTES: usize = 1 << 20;

/// Records rows without the members named `skipped`.
#[derive(Default)]
struct Rows {
    members: Vec<String>,
    row: Vec<Value>,
    rows: Vec<Vec<Value>>,
}

impl RowVisitor for Rows {
    fn column(&mut self, member: &str) -> Option<usize> {
        if member == "skipped" {
            return None;
        }
        self.members.push(member.to_owned());
        Some(self.members.len() - 1)
    }

    fn value(&mut self, column: usize, value: Scalar<'_>) -> Result<()> {
        assert_eq!(column, self.row.len());
        self.row.push(value.into());
        Ok(())
    }

    fn end_row(&mut self) -> Result<()> {
        self.rows.push(std::mem::take(&mut self.row));
        Ok(())
    }
}

fn packed(text: impl AsRef<[u8]>) -> String {
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    zlib.write_all(text.as_ref()).unwrap();
    BASE64_STANDARD.encode(zlib.finish().unwrap())
}

fn decoded(text: impl AsRef<[u8]>) -> Result<Vec<Vec<Value>>> {
    let mut rows = Rows::default();
    decode_rows(&packed(text), MAX_BYTES, false, &mut rows)?;
    Ok(rows.rows)
}

/// The value of one cell of a type.
fn cell(kind: &str, cell: &str) -> Result<Value> {
    let page = format!("{{\"columns\": [[\"id\", \"i\"], [\"x\", \"{kind}\"]]}}\n7\t{cell}\n\\. 1\n");
    let rows = decoded(page)?;
    assert_eq!((rows.len(), &rows[0][0]), (1, &Value::Int(7)));
    Ok(rows[0][1].clone())
}

#[test]
fn values_equal_those_of_search_read() {
    let unset = Value::Bool(false);
    for (kind, text, value) in [
        ("i", "0", Value::Int(0)),
        ("i", "-2147483648", Value::Int(-2_147_483_648)),
        ("i", "9007199254740993", Value::Int(9_007_199_254_740_993)),
        ("f", "0.30000000000000004", Value::Double(0.1 + 0.2)),
        ("f", "1e+22", Value::Double(1e22)),
        ("f", "-Infinity", Value::Double(f64::NEG_INFINITY)),
        ("f", "Infinity", Value::Double(f64::INFINITY)),
        ("b", "t", Value::Bool(true)),
        ("b", "f", Value::Bool(false)),
        ("s", "", "".into()),
        ("s", "2026-01-06 23:59:59", "2026-01-06 23:59:59".into()),
        ("s", "a\\tb\\nc\\rd\\\\N é \u{1F680}", "a\tb\nc\rd\\N é \u{1F680}".into()),
        ("s", "\\\\N", "\\N".into()),
        ("s", "N", "N".into()),
        // Odoo removes these characters from XML as well.
        ("s", "bell \u{7}\\b\\f\\v\u{1f}.", "bell .".into()),
        ("j", "[3, 1]", Value::Array(vec![3.into(), 1.into()])),
        ("j", "\"text\"", "text".into()),
        ("j", "{\"a\": [1.5, null, \"x\\\\u0007\\\\ny\"]}", {
            let list = vec![Value::Double(1.5), Value::Nil, "x\ny".into()];
            Value::Struct(vec![("a".to_owned(), Value::Array(list))])
        }),
    ] {
        assert_eq!(cell(kind, text), Ok(value), "{kind} {text}");
    }
    assert!(matches!(cell("f", "NaN"), Ok(Value::Double(nan)) if nan.is_nan()));
    for kind in ["i", "f", "s", "j", "b"] {
        assert_eq!(cell(kind, "\\N"), Ok(unset.clone()));
    }
}

#[test]
fn columns_that_the_visitor_skips_are_not_parsed() {
    let page = "{\"columns\": [[\"id\", \"i\"], [\"skipped\", \"j\"], [\"x\", \"s\"]], \"more\": 1}\n1\tno JSON\ta\n2\t\tb\n\\. 2\n";
    let expected = vec![vec![1.into(), "a".into()], vec![2.into(), "b".into()]];
    assert_eq!(decoded(page), Ok(expected));
    assert_eq!(decoded("{\"columns\": [[\"id\", \"i\"]]}\n\\. 0\n"), Ok(Vec::new()));
}

const HEADER: &str = "{\"uuid\": \"u-1\", \"columns\": [[\"id\", \"i\"], [\"x\", \"s\"]]}\n";

#[test]
fn damaged_pages_are_malformed() {
    let rows = |rows: &str| packed(format!("{HEADER}{rows}"));
    let whole = rows("1\ta\n\\. 1\n");
    let mut flipped = BASE64_STANDARD.decode(&whole).unwrap();
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    for (page, what) in [
        (String::new(), "cannot be decompressed"),
        ("no base64!".to_owned(), "cannot be decompressed"),
        (BASE64_STANDARD.encode("no zlib"), "cannot be decompressed"),
        (whole[..whole.len() / 8 * 4].to_owned(), "cannot be decompressed"),
        (BASE64_STANDARD.encode(flipped), "cannot be decompressed"),
        (packed(""), "it is empty"),
        (packed("nothing\n"), "does not name the columns"),
        (packed("{\"columns\": [[\"id\", \"x\"]]}\n"), "does not name the columns"),
        (rows(""), "its end is missing"),
        (rows("1\ta\n"), "its end is missing"),
        (rows("1\ta"), "its last line has no end"),
        (rows("1\ta\n\\. 2\n"), "its number of rows differs"),
        (rows("1\ta\n\\. -1\n"), "its number of rows differs"),
        (rows("1\ta\n\\. 1\nmore\n"), "something follows"),
        (rows("1\ta\n\\. 1\n2"), "no end"),
        (rows("1\n\\. 1\n"), "too few cells"),
        (rows("1\ta\tb\n\\. 1\n"), "too many cells"),
        (rows("one\ta\n\\. 1\n"), "not a whole number"),
        (rows("1\ta\\x\n\\. 1\n"), "a backslash"),
        (rows("1\ta\\\n\\. 1\n"), "a backslash"),
        (rows("1\ta\0\n\\. 1\n"), "a NUL"),
        (packed([HEADER.as_bytes(), b"1\t\xff\n\\. 1\n"].concat()), "not UTF-8"),
    ] {
        let found = decode_rows(&page, MAX_BYTES, false, &mut Rows::default());
        let Err(Error::Malformed { cause }) = &found else { panic!("{what}: {found:?}") };
        assert!(cause.contains(what), "{what}: {cause}");
    }
    for (kind, text) in [("f", "much"), ("b", "true"), ("b", "1"), ("j", "{"), ("i", "1.0"), ("i", "")] {
        assert!(matches!(cell(kind, text), Err(Error::Malformed { .. })), "{kind} {text}");
    }
}

#[test]
fn decompression_stops_at_the_limit() {
    let bomb = packed(format!("{HEADER}1\t{}\n\\. 1\n", "a".repeat(2 * MAX_BYTES)));
    assert!(bomb.len() < MAX_BYTES / 20);
    let found = decode_rows(&bomb, MAX_BYTES, false, &mut Rows::default());
    assert!(matches!(found, Err(Error::Limit { .. })), "{found:?}");
    let page = format!("{HEADER}1\ta\n\\. 1\n");
    assert_eq!(
        decode_rows(&packed(&page), page.len(), false, &mut Rows::default()),
        Ok(Received { bytes: page.len(), uuid: Some("u-1".into()) })
    );
    let short = decode_rows(&packed(&page), page.len() - 1, false, &mut Rows::default());
    assert!(matches!(short, Err(Error::Limit { .. })), "{short:?}");
}

/// The text as COPY writes it.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '\\' => escaped.push_str("\\\\"),
            '\u{8}' => escaped.push_str("\\b"),
            '\u{c}' => escaped.push_str("\\f"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            '\u{b}' => escaped.push_str("\\v"),
            c => escaped.push(c),
        }
    }
    escaped
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text_survives_a_round_trip(texts in prop::collection::vec("[^\0]{0,40}|[\\\\tNnbfv\t\n\r]{0,20}", 0..20)) {
        let rows: String = texts.iter().enumerate().map(|(id, text)| format!("{id}\t{}\n", escaped(text))).collect();
        let page = format!("{HEADER}{rows}\\. {}\n", texts.len());
        let carried = |text: &str| text.chars().filter(|c| *c >= ' ' || "\t\n\r".contains(*c)).collect::<String>();
        let expected: Vec<Vec<Value>> = texts.iter().enumerate().map(|(id, text)| vec![(id as i64).into(), carried(text).into()]).collect();
        prop_assert_eq!(decoded(page).unwrap(), expected);
    }

    #[test]
    fn arbitrary_input_does_not_panic(text in "[-{}\\[\\]\":,a-z0-9\\\\\t\n. ]{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decoded(&text);
        let _ = decoded(format!("{HEADER}{text}"));
        let _ = decoded([HEADER.as_bytes(), &bytes].concat());
        let _ = decode_rows(&BASE64_STANDARD.encode(&bytes), MAX_BYTES, false, &mut Rows::default());
    }
}
