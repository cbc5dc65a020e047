//! Compares answers of JSON-2 and XML-RPC that real Odoo servers sent for the same records.
#![allow(clippy::unwrap_used, clippy::panic)]

mod recorded;

use ipai_odoo::error::Error;
use ipai_odoo::json2::{Fault, decode, decode_ids, decode_rows};
use ipai_odoo::value::{Limits, Value};
use ipai_odoo::xmlrpc;
use recorded::{Rebuild, folder};
use std::collections::BTreeMap;
use std::fs;

/// Names and contents of all recorded answers of JSON-2.
fn bodies() -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(folder("odoo19")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let names = names.filter_map(|name| Some(name.strip_suffix(".json")?.strip_prefix("json2_")?.to_owned()));
    names.map(|name| (name.clone(), fs::read(folder("odoo19").join(format!("json2_{name}.json"))).unwrap())).collect()
}

/// The HTTP status of a recorded answer.
fn status(name: &str) -> u16 {
    let index = fs::read_to_string(folder("odoo19").join("INDEX.md")).unwrap();
    let line = index.lines().find(|line| line.starts_with(&format!("| json2_{name} |"))).unwrap();
    line.split(" | ").nth(1).unwrap().parse().unwrap()
}

/// What XML can carry of a value.
fn carried_by_xml(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace(|c: char| c < ' ' && !matches!(c, '\t' | '\n' | '\r'), "")),
        Value::Array(elements) => elements.iter().map(carried_by_xml).collect(),
        Value::Struct(members) => {
            Value::Struct(members.iter().map(|(name, value)| (name.clone(), carried_by_xml(value))).collect())
        }
        other => other.clone(),
    }
}

#[test]
fn records_equal_those_of_xmlrpc_except_for_control_characters() {
    let (mut compared, mut with_control) = (0, 0);
    for (name, body) in bodies() {
        let xml = ["odoo19", "odoo18"].map(|version| folder(version).join(format!("{name}.xml")));
        let Some(xml) = xml.iter().find(|path| path.exists()).filter(|_| name.starts_with("record_")) else {
            continue;
        };
        let mut expected = Rebuild::default();
        xmlrpc::decode_rows(&fs::read(xml).unwrap(), &Limits::default(), &mut expected).unwrap().unwrap();
        let mut found = Rebuild::default();
        decode_rows(&body, &Limits::default(), &mut found).unwrap();
        let found = Value::Array(found.rows);
        let carried = carried_by_xml(&found);
        // Debug distinguishes the types of numbers and the signs of zeros.
        assert_eq!(format!("{carried:?}"), format!("{:?}", Value::Array(expected.rows)), "{name}");
        compared += 1;
        with_control += usize::from(carried != found);
    }
    assert_eq!((compared, with_control), (9, 1));
}

#[test]
fn decoders_agree_on_recorded_results() {
    let limits = Limits::default();
    let results: Vec<_> = bodies().into_iter().filter(|(name, _)| status(name) == 200).collect();
    assert!(results.len() > 10);
    for (name, body) in results {
        let tree = decode(&body, &limits).unwrap();
        let mut rows = Rebuild::default();
        match decode_rows(&body, &limits, &mut rows) {
            Ok(()) => assert_eq!(Value::Array(rows.rows), tree, "{name}"),
            Err(error) => assert!(matches!(error, Error::Malformed { .. }) && tree.as_array().is_none(), "{name}"),
        }
        let is_empty = tree.as_array().is_some_and(|rows| rows.is_empty());
        assert_eq!(decode_ids(&body, &limits).is_ok(), is_empty, "{name}");
    }
}

#[test]
fn recorded_errors_are_those_of_odoo_except_for_an_unknown_database() {
    let errors: Vec<_> = bodies().into_iter().filter(|(name, _)| status(name) != 200).collect();
    assert_eq!(errors.len(), 9);
    for (name, body) in errors {
        // Odoo answers an unknown database with a page, like any unknown path.
        assert_eq!(Fault::read(status(&name), &body).is_none(), name == "wrong_db", "{name}");
    }
}
