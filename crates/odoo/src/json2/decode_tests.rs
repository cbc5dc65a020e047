//! Tests of the decoder of JSON-2.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::{decode, decode_ids, decode_rows};
use crate::error::{Error, Result};
use crate::value::{Limits, RowVisitor, Scalar, Value};
use proptest::prelude::*;

fn tree(body: &str) -> Result<Value> {
    decode(body.as_bytes(), &Limits::default())
}

fn cause<T: std::fmt::Debug>(result: Result<T>) -> String {
    match result {
        Err(Error::Malformed { cause }) => cause,
        other => panic!("{other:?}"),
    }
}

fn list(values: impl IntoIterator<Item = Value>) -> Value {
    Value::Array(values.into_iter().collect())
}

/// Receives all members of all rows.
#[derive(Default)]
struct Rows {
    names: Vec<String>,
    row: Vec<(String, Value)>,
    rows: Vec<Vec<(String, Value)>>,
    /// The row after which the receiver fails.
    fails_after: Option<usize>,
}

impl RowVisitor for Rows {
    fn column(&mut self, member: &str) -> Option<usize> {
        self.names.push(member.to_owned());
        (member != "skipped").then_some(self.names.len() - 1)
    }

    fn value(&mut self, column: usize, value: Scalar<'_>) -> Result<()> {
        self.row.push((self.names[column].clone(), value.into()));
        Ok(())
    }

    fn end_row(&mut self) -> Result<()> {
        self.rows.push(std::mem::take(&mut self.row));
        match self.fails_after == Some(self.rows.len()) {
            true => Err(Error::Cancelled),
            false => Ok(()),
        }
    }
}

fn rows(body: &str) -> Result<Vec<Vec<(String, Value)>>> {
    let mut rows = Rows::default();
    decode_rows(body.as_bytes(), &Limits::default(), &mut rows)?;
    Ok(rows.rows)
}

#[test]
fn values_keep_their_types() {
    let body =
        r#"[null, true, false, 1, -1, 9223372036854775807, 1.0, 1e+22, 0.30000000000000004, "é\r\n\u0001", [], {}]"#;
    let values = [
        Value::Nil,
        true.into(),
        false.into(),
        1.into(),
        (-1).into(),
        i64::MAX.into(),
        1.0.into(),
        1e22.into(),
        0.300_000_000_000_000_04.into(),
        "é\r\n\u{1}".into(),
        list([]),
        Value::Struct(Vec::new()),
    ];
    assert_eq!(tree(body), Ok(list(values)));
    // Beyond 64 bits, only the magnitude is left.
    assert_eq!(tree("9223372036854775808"), Ok((i64::MAX as f64).into()));
}

#[test]
fn rows_are_passed_on_in_order() {
    let body = r#"[{"id": 1, "skipped": [[]], "name": "a\"b"}, {"id": 2, "name": false}]"#;
    let row = |id: i64, name: Value| vec![("id".to_owned(), id.into()), ("name".to_owned(), name)];
    assert_eq!(rows(body), Ok(vec![row(1, "a\"b".into()), row(2, false.into())]));
    assert_eq!(rows(" [ ] "), Ok(Vec::new()));
    assert_eq!(decode_ids(b"[3, 1, 2]", &Limits::default()), Ok(vec![3, 1, 2]));
}

#[test]
fn error_of_the_receiver_ends_the_decoding() {
    let mut visitor = Rows { fails_after: Some(2), ..Rows::default() };
    let decoded = decode_rows(br#"[{"id": 1}, {"id": 2}, {"id": 3}]"#, &Limits::default(), &mut visitor);
    assert_eq!((decoded, visitor.rows.len()), (Err(Error::Cancelled), 2));
}

#[test]
fn bare_words_are_doubles() {
    let Ok(Value::Array(values)) = tree(r#"[NaN, Infinity, -Infinity, -1, "NaN", "x NaN", {"v": NaN}]"#) else {
        panic!("no list")
    };
    assert!(matches!(values[0], Value::Double(double) if double.is_nan()));
    assert_eq!(values[1..4], [f64::INFINITY.into(), f64::NEG_INFINITY.into(), Value::Int(-1)]);
    assert_eq!(values[4..6], ["NaN".into(), "x NaN".into()]);
    assert!(matches!(values[6].get("v"), Some(Value::Double(double)) if double.is_nan()));
    // A string cannot pass for a bare word, whether the page has one or not.
    assert_eq!(tree(r#""\u0000NaN""#), Ok("NaN".into()));
    let quoted = r#"[NaN, "\u0000NaN", "\\u0000", "\"NaN", "é\u0000\u0000x"]"#;
    let Ok(Value::Array(values)) = tree(quoted) else { panic!("no list") };
    assert_eq!(values[1..], ["NaN".into(), "\\u0000".into(), "\"NaN".into(), "éx".into()]);
    for damaged in ["[NaNa]", "[Nan]", "[-NaN]", "[Infinity", "{NaN: 1}", "[1NaN]"] {
        assert!(tree(damaged).is_err(), "{damaged}");
    }
}

#[test]
fn control_characters_are_kept_except_in_documents() {
    let body = r#"[{"id": 1, "a": "x\u0001\u0000y\t", "b": {"k\u0002": ["x\u0001y\n"]}}]"#;
    let document = Value::Struct(vec![("k".into(), list(["xy\n".into()]))]);
    let row = vec![("id".to_owned(), 1.into()), ("a".to_owned(), "x\u{1}y\t".into()), ("b".to_owned(), document)];
    assert_eq!(rows(body), Ok(vec![row]));
}

#[test]
fn damaged_documents_are_refused_without_quoting_them() {
    let secret = "s3cret";
    for (body, expected) in [
        (String::new(), "it is empty"),
        (format!("[\"{secret}"), "it ends too early, after 8 bytes"),
        (secret.to_owned(), "it is not JSON (line 1, column 1)"),
        (format!("[1] {secret}"), "it is not JSON (line 1, column 5)"),
        ("[1,]".to_owned(), "it is not JSON (line 1, column 4)"),
        ("<html>".to_owned(), "it is not JSON (line 1, column 1)"),
        ("\"a\0b\"".to_owned(), "it is not JSON (line 1, column 3)"),
        (r#""\ud800""#.to_owned(), "it is not JSON (line 1, column 8)"),
    ] {
        assert_eq!(cause(tree(&body)), expected, "{body}");
    }
    assert_eq!(cause(decode(b"\"\xFF\"", &Limits::default())), "it is not UTF-8");
    for body in [format!("\"{secret}\""), format!("[\"{secret}\"]"), format!("{{\"{secret}\": 1}}")] {
        let found = cause(rows(&body));
        assert!(found.starts_with("a value has an unexpected type") && !found.contains(secret), "{found}");
        let found = cause(decode_ids(body.as_bytes(), &Limits::default()));
        assert!(found.starts_with("a value has an unexpected type") && !found.contains(secret), "{found}");
    }
}

#[test]
fn size_and_depth_are_limited() {
    let limits = Limits { max_bytes: 4, ..Limits::default() };
    assert_eq!(decode(b"1234", &limits), Ok(1234.into()));
    assert!(matches!(decode(b"12345", &limits), Err(Error::Limit { .. })));
    assert!(matches!(decode_ids(b"[1234]", &limits), Err(Error::Limit { .. })));
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(tree(&nested(64)).is_ok());
    assert_eq!(cause(tree(&nested(65))), "it is nested deeper than 64");
    assert_eq!(cause(tree(&"[".repeat(100_000))), "it is nested deeper than 64");
    let row = |depth| format!("[{{\"skipped\": {}}}]", nested(depth));
    assert!(rows(&row(62)).is_ok());
    assert_eq!(cause(rows(&row(63))), "it is nested deeper than 64");
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        "[^\0]*".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            proptest::collection::btree_map("[^\0]*", inner, 0..4)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn trees_equal_those_of_serde(document in json()) {
        prop_assert_eq!(tree(&document.to_string()), Ok(Value::from_json(document)));
    }

    #[test]
    fn pages_with_a_bare_word_decode_like_others(document in json()) {
        let Ok(Value::Array(values)) = tree(&format!("[NaN, {document}]")) else { panic!("no list") };
        prop_assert_eq!(&values[1], &Value::from_json(document));
    }

    #[test]
    fn arbitrary_text_never_panics(body in ".*") {
        let _ = (tree(&body), rows(&body), decode_ids(body.as_bytes(), &Limits::default()));
        let _ = tree(&format!("NaN{body}"));
    }
}
