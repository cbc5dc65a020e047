//! Tests of cells and pages: valid and invalid values, damaged rows and recorded answers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::{Column, Newest, Packed, Page, PageBuilder};
use crate::{FieldMap, Kind, Mirror, Table};
use chrono::{NaiveDate, NaiveDateTime};
use ipai_odoo::Scope;
use ipai_odoo::error::{Error, Result};
use ipai_odoo::value::{Limits, Value};
use ipai_odoo::xmlrpc::{decode, decode_rows, encode_call};
use std::fs;
use std::path::Path;

pub fn mirror(fields: Vec<FieldMap>) -> Mirror {
    Mirror {
        name: "m".into(),
        server: Some("odoo".into()),
        target: Table { schema: "ipai".into(), name: "m".into() },
        scope: Scope { model: "x.model".into(), domain: Vec::new(), lang: None, company_ids: Vec::new() },
        fields,
        constants: Vec::new(),
        drift: Vec::new(),
        has_write_date: true,
        page_size: 1_000,
        max_delete_ratio: 0.2,
        max_rejects: 100,
        is_partitioned: false,
        flag_field: None,
        masks: Default::default(),
        marks_deleted: false,
    }
}

fn one(cell: impl AsRef<[u8]>) -> Packed {
    [Some(cell)].into_iter().collect()
}

fn unset() -> Packed {
    [None::<&str>].into_iter().collect()
}

fn fields(fields: &[(&str, Kind)]) -> Vec<FieldMap> {
    let map =
        |(name, kind): &(&str, Kind)| FieldMap { field: (*name).into(), column: format!("{name}_column"), kind: *kind };
    fields.iter().map(map).collect()
}

fn row(members: &[(&str, Value)]) -> Value {
    Value::Struct(members.iter().map(|(name, value)| ((*name).into(), value.clone())).collect())
}

/// The answer of Odoo with these rows.
fn answer(rows: &[Value]) -> String {
    let call = encode_call("m", &[("rows", &Value::Array(rows.to_vec()))]).unwrap();
    let (_, params) = call.split_once("</methodName>").unwrap();
    format!("<methodResponse>{}", params.replace("</methodCall>", "</methodResponse>"))
}

/// The page from the answer to a request for `most` rows after the id `after`.
fn page_of(mirror: &Mirror, after: i64, most: u64, body: &[u8]) -> Result<Page> {
    let mut builder = PageBuilder::new(mirror, after, most);
    decode_rows(body, &Limits::default(), &mut builder)?.expect("no fault");
    Ok(builder.finish())
}

fn page(mirror: &Mirror, rows: &[Value]) -> Result<Page> {
    page_of(mirror, 0, 1_000, answer(rows).as_bytes())
}

/// The column of a mirror with one field and one row with this value.
fn cell(kind: Kind, value: Value) -> Result<Column> {
    let mirror = mirror(fields(&[("f", kind)]));
    let rows = [row(&[("id", 7.into()), ("f", value), ("write_date", false.into())])];
    let mut page = page(&mirror, &rows)?;
    assert_eq!((page.ids.as_slice(), page.columns.len()), (&[7][..], 1));
    Ok(page.columns.remove(0))
}

fn date(year: i32, month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(year, month, day).unwrap()
}

fn moment(year: i32, month: u32, day: u32, hour: u32, minute: u32, second: u32) -> NaiveDateTime {
    date(year, month, day).and_hms_opt(hour, minute, second).unwrap()
}

fn list(values: impl IntoIterator<Item = Value>) -> Value {
    Value::Array(values.into_iter().collect())
}

#[test]
fn unset_values_become_null() {
    for kind in Kind::ALL.iter().copied() {
        for value in [Value::Nil, Value::Bool(false)] {
            let found = cell(kind, value.clone()).unwrap();
            let expected = match kind {
                // For a boolean, false is a value.
                Kind::Boolean if value != Value::Nil => Column::Boolean(vec![Some(false)]),
                Kind::Text => Column::Text(unset()),
                Kind::Integer => Column::Integer(vec![None]),
                Kind::Bigint => Column::Bigint(vec![None]),
                Kind::Double => Column::Double(vec![None]),
                Kind::Numeric => Column::Numeric(unset()),
                Kind::Boolean => Column::Boolean(vec![None]),
                Kind::Date => Column::Date(vec![None]),
                Kind::Timestamptz => Column::Timestamptz(vec![None]),
                Kind::BigintArray => Column::BigintArray(unset()),
                Kind::Jsonb => Column::Jsonb(unset()),
                Kind::Bytea => Column::Bytea(unset()),
            };
            assert_eq!(found, expected);
            assert!(found.len() == 1 && !found.is_empty());
        }
    }
}

#[test]
fn values_that_fit_become_cells() {
    let text = |text: &str| Column::Text(one(text));
    let numeric = |text: &str| Column::Numeric(one(text));
    let json = |text: &str| Column::Jsonb(one(text));
    let day = |year, month, day| Column::Date(vec![Some(date(year, month, day))]);
    let at = |moment| Column::Timestamptz(vec![Some(moment)]);
    let ids = |ids: &str| Column::BigintArray(one(ids));
    let bytes = |bytes: &[u8]| Column::Bytea(one(bytes));
    let cases: Vec<(Kind, Value, Column)> = vec![
        (Kind::Text, "".into(), text("")),
        (Kind::Text, " a\r\n\tb <&> 😀 ".into(), text(" a\r\n\tb <&> 😀 ")),
        // The keys of a selection may be numbers.
        (Kind::Integer, 0.into(), Column::Integer(vec![Some(0)])),
        (Kind::Integer, 2_147_483_647.into(), Column::Integer(vec![Some(i32::MAX)])),
        (Kind::Integer, (-2_147_483_648).into(), Column::Integer(vec![Some(i32::MIN)])),
        (Kind::Bigint, 29.into(), Column::Bigint(vec![Some(29)])),
        (Kind::Bigint, i64::MAX.into(), Column::Bigint(vec![Some(i64::MAX)])),
        (Kind::Bigint, 3_000_000_000.0.into(), Column::Bigint(vec![Some(3_000_000_000)])),
        (Kind::Bigint, list([29.into(), "Brand <22>".into()]), Column::Bigint(vec![Some(29)])),
        (Kind::Double, 0.1.into(), Column::Double(vec![Some(0.1)])),
        (Kind::Double, (-3).into(), Column::Double(vec![Some(-3.0)])),
        (Kind::Double, f64::MIN_POSITIVE.into(), Column::Double(vec![Some(f64::MIN_POSITIVE)])),
        (Kind::Double, f64::NEG_INFINITY.into(), Column::Double(vec![Some(f64::NEG_INFINITY)])),
        (Kind::Numeric, 0.1.into(), numeric("1e-1")),
        (Kind::Numeric, 275_327.252_539_539_65.into(), numeric("2.7532725253953965e5")),
        (Kind::Numeric, 1e22.into(), numeric("1e22")),
        (Kind::Numeric, f64::MAX.into(), numeric("1.7976931348623157e308")),
        (Kind::Numeric, (-12).into(), numeric("-12")),
        (Kind::Numeric, f64::NAN.into(), numeric("NaN")),
        (Kind::Numeric, f64::INFINITY.into(), numeric("Infinity")),
        (Kind::Numeric, f64::NEG_INFINITY.into(), numeric("-Infinity")),
        (Kind::Boolean, true.into(), Column::Boolean(vec![Some(true)])),
        (Kind::Date, "2026-01-06".into(), day(2026, 1, 6)),
        (Kind::Date, "2028-02-29".into(), day(2028, 2, 29)),
        // Odoo does not pad years below 1000.
        (Kind::Date, "1-01-01".into(), day(1, 1, 1)),
        (Kind::Date, "999-12-31".into(), day(999, 12, 31)),
        (Kind::Date, "9999-12-31".into(), day(9999, 12, 31)),
        (Kind::Timestamptz, "2026-01-06 23:59:59".into(), at(moment(2026, 1, 6, 23, 59, 59))),
        (Kind::Timestamptz, "1-01-01 00:00:00".into(), at(moment(1, 1, 1, 0, 0, 0))),
        (Kind::Timestamptz, Value::DateTime("2026-01-06 00:00:00".into()), at(moment(2026, 1, 6, 0, 0, 0))),
        (Kind::BigintArray, list([]), ids("{}")),
        (Kind::BigintArray, list([9.into(), 4.into(), 9.into(), (-1).into()]), ids("{-1,4,9}")),
        (Kind::Jsonb, true.into(), json("true")),
        (Kind::Jsonb, 0.into(), json("0")),
        (Kind::Jsonb, 1.5.into(), json("1.5")),
        (Kind::Jsonb, f64::NAN.into(), json("\"NaN\"")),
        (Kind::Jsonb, "a\"b".into(), json("\"a\\\"b\"")),
        (Kind::Jsonb, Value::Base64(b"ab".to_vec()), json("\"YWI=\"")),
        (Kind::Jsonb, row(&[("b", list([1.into(), Value::Nil])), ("a", row(&[]))]), json("{\"b\":[1,null],\"a\":{}}")),
        (Kind::Bytea, "".into(), bytes(b"")),
        (Kind::Bytea, "iVBO\nRw==\n".into(), bytes(b"\x89PNG")),
        (Kind::Bytea, Value::Base64(b"\0\xFF".to_vec()), bytes(b"\0\xFF")),
        // Odoo 20.
        (Kind::Bytea, row(&[("content", "iVBO\nRw==\n".into()), ("size", 4.into())]), bytes(b"\x89PNG")),
        (
            Kind::Bytea,
            row(&[("filename", "a".into()), ("size", 2.into()), ("content", Value::Base64(b"\0\xFF".to_vec()))]),
            bytes(b"\0\xFF"),
        ),
        (Kind::Bytea, row(&[("content", false.into()), ("size", 0.into())]), Column::Bytea(unset())),
        (
            Kind::Jsonb,
            row(&[("content", "YQ==".into()), ("size", 1.into())]),
            json("{\"content\":\"YQ==\",\"size\":1}"),
        ),
    ];
    for (kind, value, expected) in cases {
        assert_eq!(cell(kind, value.clone()), Ok(expected), "{kind:?} from {value:?}");
    }
    // NaN is not equal to itself.
    assert!(matches!(cell(Kind::Double, f64::NAN.into()).unwrap(),
        Column::Double(cells) if cells[0].is_some_and(f64::is_nan)));
}

/// A text that no error may contain.
const SECRET: &str = "a secret text";

#[test]
fn refused_values_are_not_shown() {
    let number = || Value::Int(424_242);
    let secret = || Value::String(SECRET.into());
    let structure = || row(&[(SECRET, SECRET.into())]);
    let mut cases: Vec<(Kind, Value, &str)> = vec![
        (Kind::Text, true.into(), "found a boolean, expected text"),
        (Kind::Text, 1.5.into(), "found a number, expected text"),
        (Kind::Text, 5.into(), "found a whole number, expected text"),
        (Kind::Bigint, list([1.into(), 2.into()]), "found a list, expected the id of a record"),
        (Kind::Text, Value::DateTime(SECRET.into()), "found a date and time, expected text"),
        (Kind::Text, Value::Base64(SECRET.into()), "found binary data, expected text"),
        (Kind::Text, list([secret()]), "found a list, expected text"),
        (Kind::Text, structure(), "found a structure, expected text"),
        (Kind::Integer, secret(), "found text, expected a whole number"),
        (Kind::Integer, 1.0.into(), "found a number, expected a whole number"),
        (Kind::Bigint, secret(), "found text, expected the id of a record"),
        (Kind::Bigint, 1.5.into(), "the number is out of range for an integer"),
        (Kind::Bigint, 1e300.into(), "the number is out of range for an integer"),
        (Kind::Bigint, list([]), "found a list, expected the id of a record"),
        (Kind::Bigint, list([secret(), number()]), "found a list, expected the id of a record"),
        (Kind::Bigint, structure(), "found a structure, expected the id of a record"),
        (Kind::Bigint, true.into(), "found a boolean, expected the id of a record"),
        (Kind::Double, secret(), "found text, expected a number"),
        (Kind::Double, true.into(), "found a boolean, expected a number"),
        (Kind::Numeric, secret(), "found text, expected a number"),
        (Kind::Boolean, number(), "found a whole number, expected a boolean"),
        (Kind::Boolean, secret(), "found text, expected a boolean"),
        (Kind::Date, number(), "found a whole number, expected a date"),
        (Kind::Timestamptz, number(), "found a whole number, expected a date and time"),
        (Kind::BigintArray, secret(), "found text, expected a list of ids"),
        (Kind::BigintArray, list([number(), secret()]), "found a list of something other than ids"),
        (Kind::BigintArray, structure(), "found a structure, expected a list of ids"),
        (Kind::Bytea, number(), "found a whole number, expected binary data"),
        (Kind::Bytea, secret(), "the text is not base64"),
        (Kind::Bytea, structure(), "found a structure, expected binary data"),
        (Kind::Bytea, row(&[("content", secret()), ("size", number())]), "the text is not base64"),
        (Kind::Bytea, row(&[("content", number()), ("size", number())]), "found a structure, expected binary data"),
        // Odoo sends this with bin_size in the context.
        (Kind::Bytea, "75.00 bytes".into(), "the text is not base64"),
    ];
    for integer in [2_147_483_648, -2_147_483_649, i64::MAX] {
        cases.push((Kind::Integer, integer.into(), "the number is out of range for an integer"));
    }
    for text in [
        "",
        "-",
        "--",
        "2026",
        "2026-01",
        "2026-01-06-1",
        "2026-13-01",
        "2026-02-29",
        "2026-01-00",
        "20260-01-01",
        "-1-01-01",
        "+1-01-01",
        "2026-01-06 00:00:00",
        "2026/01/06",
        " 2026-01-06",
        "٢٠٢٦-01-06",
        "4294967297-01-01",
        SECRET,
    ] {
        cases.push((Kind::Date, text.into(), "the text is not a date"));
    }
    for text in [
        "",
        " ",
        "2026-01-06",
        "2026-01-06 10:00",
        "2026-01-06 24:00:00",
        "2026-01-06 10:60:00",
        "2026-01-06 10:00:60",
        "2026-01-06T10:00:00",
        "2026-01-06 10:00:00Z",
        "2026-01-06 10:00:00+08",
        "2026-01-06 10:00:00.5",
        "2026-01-06 10:00:00:00",
        "2026-02-30 10:00:00",
        "20260106T10:00:00",
        SECRET,
    ] {
        cases.push((Kind::Timestamptz, text.into(), "the text is not a date and time"));
    }
    for (kind, value, cause) in cases {
        let error = cell(kind, value.clone()).unwrap_err();
        let Error::Value { cause: found, .. } = &error else { panic!("{error:?} for {kind:?} from {value:?}") };
        assert!(found == cause || found.ends_with(cause), "{kind:?} from {value:?}: {found}");
        let message = error.to_string();
        let place = "value of x.model id 7 field \"f\" does not fit: ";
        assert!(message.starts_with(place), "{message}");
        assert!(!message.contains(SECRET) && !message.contains("424242"), "{message}");
        assert_eq!(error.sqlstate(), "22000");
    }
}

#[test]
fn error_of_a_value_names_the_record() {
    let mirror = mirror(fields(&[("a", Kind::Integer), ("b", Kind::Integer)]));
    let fine = row(&[("id", 3.into()), ("a", 1.into()), ("b", 2.into()), ("write_date", false.into())]);
    let late = row(&[("b", "x".into()), ("a", "y".into()), ("write_date", false.into()), ("id", 5.into())]);
    let Err(Error::Value { model, id, field, .. }) = page(&mirror, &[fine, late]) else { panic!("no misfit") };
    // Of two values that do not fit, the error names the first.
    assert_eq!((model.as_str(), id, field.as_str()), ("x.model", 5, "b"));
}

/// The cause for which these rows are refused as the answer to a request for two rows after id 10.
fn refusal(rows: &[Value]) -> String {
    let mirror = mirror(fields(&[("a", Kind::Integer)]));
    match page_of(&mirror, 10, 2, answer(rows).as_bytes()) {
        Err(Error::Malformed { cause }) => cause,
        other => panic!("{other:?} from {rows:?}"),
    }
}

#[test]
fn rows_that_do_not_match_the_request_are_refused() {
    let a = || ("a", Value::Int(1));
    let written = || ("write_date", Value::Bool(false));
    let id = |id: i64| ("id", Value::Int(id));
    let whole = |number| row(&[id(number), a(), written()]);
    for (rows, cause) in [
        (vec![row(&[a(), written()])], "a row has no id"),
        (vec![row(&[])], "a row has no id"),
        (vec![row(&[id(11), id(11), a(), written()])], "a row has two ids"),
        (vec![row(&[("id", "11".into()), a(), written()])], "the id of a row is not a whole number"),
        (vec![row(&[("id", false.into()), a(), written()])], "the id of a row is not a whole number"),
        (vec![row(&[id(11), written()])], "a row lacks the field \"a\""),
        (vec![row(&[id(11), a()])], "a row lacks the field \"write_date\""),
        (vec![row(&[id(11), a(), a(), written()])], "a row has the same field twice"),
        (vec![row(&[id(11), a(), ("write_date", "soon".into())])], "write_date: the text is not a date and time"),
        (
            vec![row(&[id(11), a(), ("write_date", 5.into())])],
            "write_date: found a whole number, expected a date and time",
        ),
        (vec![whole(11), whole(12), whole(13)], "there are more rows than were asked for"),
    ] {
        assert_eq!(refusal(&rows), cause);
    }
    for ids in [&[10][..], &[9], &[-1], &[i64::MIN], &[12, 11], &[11, 11], &[11, 10]] {
        let rows: Vec<Value> = ids.iter().map(|id| whole(*id)).collect();
        let cause = "the rows are not in ascending order of the ids asked for";
        assert_eq!(refusal(&rows), cause, "{ids:?}");
    }
    // The write date of one row does not count for the next.
    let rows = [whole(11), row(&[id(12), a()])];
    assert_eq!(refusal(&rows), "a row lacks the field \"write_date\"");
    // A field that one row lacks cannot come from the next row.
    let rows = [row(&[id(11), written()]), row(&[id(12), a(), a(), written()])];
    assert_eq!(refusal(&rows), "a row lacks the field \"a\"");
}

#[test]
fn greatest_possible_ids_are_accepted() {
    let mirror = mirror(fields(&[]));
    let rows = [i64::MAX - 1, i64::MAX].map(|id| row(&[("id", id.into()), ("write_date", false.into())]));
    let page = page_of(&mirror, i64::MAX - 2, 2, answer(&rows).as_bytes()).unwrap();
    assert_eq!(page.ids, [i64::MAX - 1, i64::MAX]);
}

#[test]
fn fields_that_are_not_mirrored_are_skipped() {
    let mirror = mirror(fields(&[("a", Kind::Integer)]));
    let rows = [row(&[
        ("create_uid", list([2.into(), "Administrator".into()])),
        ("a", 1.into()),
        ("id", 1.into()),
        ("write_date", "2026-01-06 10:00:00".into()),
    ])];
    let page = page(&mirror, &rows).unwrap();
    assert_eq!(page.columns, [Column::Integer(vec![Some(1)])]);
}

#[test]
fn newest_record_has_the_latest_write_date() {
    let plain = mirror(Vec::new());
    let mirrored = mirror(fields(&[("write_date", Kind::Timestamptz)]));
    let early = moment(2026, 1, 6, 10, 0, 0);
    let late = moment(2026, 1, 6, 10, 0, 1);
    let rows: Vec<Value> = ["2026-01-06 10:00:00", "2026-01-06 10:00:01", ""]
        .iter()
        .zip(1..)
        .map(|(written, id)| {
            let written = if written.is_empty() { Value::Bool(false) } else { (*written).into() };
            row(&[("id", Value::Int(id)), ("write_date", written)])
        })
        .collect();
    assert_eq!(page(&plain, &rows).unwrap().newest, Some(Newest { written: late, id: 2 }));
    assert_eq!(page(&plain, &rows[2..]).unwrap().newest, None);
    let page = page(&mirrored, &rows).unwrap();
    assert_eq!(page.newest, Some(Newest { written: late, id: 2 }));
    assert_eq!(page.columns, [Column::Timestamptz(vec![Some(early), Some(late), None])]);
}

#[test]
fn invalid_mirrored_write_date_is_an_error_of_the_value() {
    let mirror = mirror(fields(&[("write_date", Kind::Timestamptz)]));
    let rows = [row(&[("id", 1.into()), ("write_date", SECRET.into())])];
    let error = page(&mirror, &rows).unwrap_err();
    assert_eq!(
        error.to_string(),
        "value of x.model id 1 field \"write_date\" does not fit: the text is not a date and time"
    );
}

#[test]
fn write_date_is_requested_once() {
    let plain = mirror(fields(&[("a", Kind::Integer)]));
    assert_eq!(plain.wanted_fields(), ["a", "write_date"]);
    let mirrored = mirror(fields(&[("write_date", Kind::Timestamptz), ("a", Kind::Integer)]));
    assert_eq!(mirrored.wanted_fields(), ["write_date", "a"]);
}

#[test]
fn answer_without_rows_is_an_empty_page() {
    let page = page(&mirror(fields(&[("a", Kind::Integer)])), &[]).unwrap();
    assert!(page.is_empty());
    assert_eq!((page.len(), page.newest), (0, None));
    assert_eq!(page.columns, [Column::Integer(Vec::new())]);
}

/// The fields of the recorded model, whose columns have the same names.
fn metric_fields() -> Vec<FieldMap> {
    let fields = [
        ("name", Kind::Text),
        ("code", Kind::Text),
        ("date", Kind::Date),
        ("brand_id", Kind::Bigint),
        ("store_id", Kind::Bigint),
        ("value", Kind::Double),
        ("unit", Kind::Text),
        ("is_alert", Kind::Boolean),
        ("notes", Kind::Text),
        ("active", Kind::Boolean),
    ];
    fields.map(|(name, kind)| FieldMap { field: name.into(), column: name.into(), kind }).into()
}

fn sample_metrics() -> Mirror {
    mirror(metric_fields())
}

fn recorded(version: &str, name: &str) -> Vec<u8> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus");
    fs::read(corpus.join(version).join(format!("{name}.xml"))).unwrap()
}

/// The cell as the value that Odoo sends with an empty `load`. Dates have the format of chrono.
fn sent(column: &Column, row: usize) -> Value {
    let sent = match column {
        Column::Text(cells) => {
            let text = cells.iter().nth(row).unwrap();
            text.map(|text| Value::from(std::str::from_utf8(text).unwrap()))
        }
        Column::Bigint(cells) => cells[row].map(Value::Int),
        Column::Double(cells) => cells[row].map(Value::Double),
        Column::Boolean(cells) => cells[row].map(Value::Bool),
        Column::Date(cells) => cells[row].map(|date| Value::String(date.to_string())),
        other => panic!("the sample has no {other:?}"),
    };
    sent.unwrap_or(Value::Bool(false))
}

#[test]
fn recorded_records_become_equal_rows() {
    for version in ["odoo18", "odoo19"] {
        let files =
            fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus").join(version)).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter_map(|name| name.strip_suffix(".xml").map(str::to_owned)).collect();
        names.retain(|name| {
            (name.starts_with("search_read_") || name.starts_with("record_") || name == "read_created")
                && !name.ends_with(".request")
        });
        assert!(names.len() > 15, "{names:?}");
        for name in names {
            let body = recorded(version, &name);
            let tree = decode(&body, &Limits::default()).unwrap().unwrap();
            let records = tree.as_array().unwrap();
            let page = page_of(&sample_metrics(), 0, 100, &body).unwrap();
            assert_eq!(page.len(), records.len(), "{version}/{name}");
            for (row, record) in records.iter().enumerate() {
                assert_eq!(record.get("id"), Some(&Value::Int(page.ids[row])));
                for (map, column) in metric_fields().iter().zip(&page.columns) {
                    let expected = match record.get(&map.field).unwrap() {
                        Value::Array(pair) => pair[0].clone(),
                        Value::String(date) if map.field == "date" => Value::String(format!("{date:0>10}")),
                        value => value.clone(),
                    };
                    // Compares debug texts, because NaN is not equal to itself and -0 equals 0.
                    let found = format!("{:?}", sent(column, row));
                    let place = format!("{version}/{name} row {row} {}", map.field);
                    assert_eq!(found, format!("{expected:?}"), "{place}");
                }
            }
        }
    }
}

/// The only cell of a recorded record.
fn recorded_cell(version: &str, name: &str, field: &str) -> Value {
    let page = page_of(&sample_metrics(), 0, 1, &recorded(version, name)).unwrap();
    let index = metric_fields().iter().position(|map| map.field == field).unwrap();
    sent(&page.columns[index], 0)
}

#[test]
fn special_values_of_odoo_are_understood() {
    for version in ["odoo18", "odoo19"] {
        for (name, field, expected) in [
            ("record_min_dates_negzero", "date", "0001-01-01".into()),
            ("record_min_dates_negzero", "notes", "".into()),
            ("record_max_dates_1e22", "date", "9999-12-31".into()),
            ("record_max_dates_1e22", "value", 1e22.into()),
            ("record_max_dates_1e22", "notes", "   leading and trailing   ".into()),
            ("record_neg_infinity", "value", f64::NEG_INFINITY.into()),
            ("record_max_float", "value", f64::MAX.into()),
            ("record_noncharacters", "notes", "x\u{FFFE}y\u{FFFF}z".into()),
            ("record_archived_with_m2o", "active", false.into()),
            // Unset values become null.
            ("record_all_null", "date", false.into()),
            ("record_all_null", "brand_id", false.into()),
            ("record_all_null", "notes", false.into()),
            // Odoo sends 0 for an unset number.
            ("record_all_null", "value", 0.0.into()),
        ] {
            assert_eq!(recorded_cell(version, name, field), expected, "{version}/{name} {field}");
        }
        assert!(matches!(recorded_cell(version, "record_nan", "value"), Value::Double(nan) if nan.is_nan()));
        let page = page_of(&sample_metrics(), 0, 1, &recorded(version, "record_all_null")).unwrap();
        assert_eq!(page.newest, None);
        let page = page_of(&sample_metrics(), 0, 1, &recorded(version, "record_nan")).unwrap();
        let written = moment(2026, 1, 1, 0, 0, 0);
        assert_eq!(page.newest.map(|newest| newest.written), Some(written));
    }
}

#[test]
fn ids_and_pairs_give_the_same_page() {
    for version in ["odoo18", "odoo19"] {
        let [pairs, bare] = ["search_read_m2o_reader", "search_read_m2o_load_empty"]
            .map(|name| page_of(&sample_metrics(), 0, 100, &recorded(version, name)).unwrap());
        assert_eq!(pairs, bare, "{version}");
        assert_eq!(pairs.len(), 3);
    }
}

#[test]
fn parts_of_a_page_can_be_joined() {
    let columns = vec![
        Column::Text([Some("a"), None, Some("ccc")].into_iter().collect()),
        Column::Double(vec![Some(1.5), None, Some(3.5)]),
    ];
    let newest = NaiveDate::from_ymd_opt(2026, 1, 5).and_then(|day| day.and_hms_opt(8, 0, 0)).unwrap();
    let page = Page { ids: vec![1, 2, 3], columns, newest: Some(Newest { written: newest, id: 2 }) };
    let mut joined = Page::default();
    for rows in [0..0, 0..1, 1..3, 3..3] {
        joined.append(page.part(rows));
    }
    assert_eq!(joined, page);
}
