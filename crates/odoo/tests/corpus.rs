//! Compares the decoder and the encoder with Python's xmlrpc.client on recorded documents.
//!
//! The documents come from real Odoo servers. `tests/corpus/make_expected.py` writes Python's
//! results.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod recorded;

use base64::prelude::{BASE64_STANDARD, Engine};
use ipai_odoo::error::{Error, Result};
use ipai_odoo::value::{Limits, Value};
use ipai_odoo::xmlrpc::{Answer, FaultCode, decode, decode_ids, decode_rows, encode_call};
use recorded::{Rebuild, folder};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::fs;

/// Names and contents of all recorded answers of a version.
fn bodies(version: &str) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(folder(version)).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names
        .filter(|name| name.ends_with(".xml") && !name.ends_with(".request.xml"))
        .map(|name| {
            let body = fs::read(folder(version).join(&name)).unwrap();
            (name.trim_end_matches(".xml").to_string(), body)
        })
        .collect()
}

/// A value in the form of `make_expected.py`. Of a double it has only the bits.
fn golden(value: &Value) -> Json {
    match value {
        Value::Double(double) => json!({ "bits": bits(*double) }),
        Value::DateTime(text) => json!({ "dateTime": text }),
        Value::Base64(bytes) => json!({ "base64": BASE64_STANDARD.encode(bytes) }),
        Value::Array(elements) => elements.iter().map(golden).collect(),
        Value::Struct(members) => Json::Object(members.iter().map(|(k, v)| (k.clone(), golden(v))).collect()),
        Value::Nil | Value::Bool(_) | Value::Int(_) | Value::String(_) => value.to_json(),
    }
}

/// Removes from expected doubles the members that only help the reader.
fn without_notes(expected: &Json) -> Json {
    match expected {
        Json::Object(members) if members.contains_key("bits") => json!({ "bits": members["bits"] }),
        Json::Object(members) => members.iter().map(|(k, v)| (k.clone(), without_notes(v))).collect(),
        Json::Array(elements) => elements.iter().map(without_notes).collect(),
        _ => expected.clone(),
    }
}

fn bits(double: f64) -> String {
    format!("{:016x}", double.to_bits())
}

/// The bytes of which `make_expected.py` computes the fingerprint.
fn canonical(value: &Value, out: &mut Vec<u8>) {
    fn counted(letter: char, content: &[u8], out: &mut Vec<u8>) {
        out.extend(format!("{letter}{}:", content.len()).bytes());
        out.extend(content);
    }
    match value {
        Value::Nil => out.push(b'n'),
        Value::Bool(boolean) => out.extend(if *boolean { b"b1" } else { b"b0" }),
        Value::Int(integer) => out.extend(format!("i{integer};").bytes()),
        Value::Double(double) => out.extend(format!("d{};", bits(*double)).bytes()),
        Value::String(text) => counted('s', text.as_bytes(), out),
        Value::DateTime(text) => counted('t', text.as_bytes(), out),
        Value::Base64(bytes) => counted('x', bytes, out),
        Value::Array(elements) => {
            out.push(b'[');
            elements.iter().for_each(|element| canonical(element, out));
            out.push(b']');
        }
        Value::Struct(members) => {
            out.push(b'{');
            for (name, value) in members {
                counted('s', name.as_bytes(), out);
                canonical(value, out);
            }
            out.push(b'}');
        }
    }
}

/// The FNV-1a hash with 64 bits.
fn fingerprint(value: &Value) -> String {
    let mut bytes = Vec::new();
    canonical(value, &mut bytes);
    let state = bytes
        .iter()
        .fold(0xCBF2_9CE4_8422_2325_u64, |state, byte| (state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3));
    format!("{state:016x}")
}

fn check_value(name: &str, value: &Value, expected: &Json) {
    if let Some(large) = expected.get("large") {
        let length = match value {
            Value::Array(elements) => elements.len(),
            Value::Struct(members) => members.len(),
            _ => panic!("{name} has no length"),
        };
        assert_eq!(json!(length), large["length"], "{name}");
        if let Value::Array(elements) = value {
            assert_eq!(golden(&elements[0]), without_notes(&large["first"]), "{name}");
            assert_eq!(golden(&elements[length - 1]), without_notes(&large["last"]), "{name}");
        }
        assert_eq!(json!(fingerprint(value)), large["fingerprint"], "{name}");
    } else {
        let expected = expected.get("value").unwrap_or_else(|| panic!("{name} should have failed"));
        assert_eq!(golden(value), without_notes(expected), "{name}");
    }
}

fn is_rows(value: &Value) -> bool {
    let rows = value.as_array();
    rows.is_some_and(|rows| rows.iter().all(|row| row.as_struct().is_some()))
}

fn is_ids(value: &Value) -> bool {
    let ids = value.as_array();
    ids.is_some_and(|ids| ids.iter().all(|id| id.as_i64().is_some()))
}

/// Checks that the decoders of rows and ids agree with the tree, or refuse the answer.
///
/// It compares fingerprints, because NaN is not equal to itself.
fn check_decoders(name: &str, body: &[u8], answer: &Result<Answer<Value>>) {
    let limits = Limits::default();
    let mut rebuild = Rebuild::default();
    let rows = decode_rows(body, &limits, &mut rebuild);
    let ids = decode_ids(body, &limits);
    match answer {
        Err(error) => {
            assert_eq!(rows.as_ref().unwrap_err(), error, "{name}");
            assert_eq!(ids.as_ref().unwrap_err(), error, "{name}");
        }
        Ok(Err(fault)) => {
            assert_eq!(rows.unwrap().as_ref().unwrap_err(), fault, "{name}");
            assert_eq!(ids.unwrap().as_ref().unwrap_err(), fault, "{name}");
        }
        Ok(Ok(value)) => {
            if is_rows(value) {
                assert_eq!(rows.unwrap(), Ok(()), "{name}");
                assert_eq!(fingerprint(&Value::Array(rebuild.rows)), fingerprint(value), "{name}");
            } else {
                assert!(matches!(rows, Err(Error::Malformed { .. })), "{name}");
            }
            if is_ids(value) {
                let ids = ids.unwrap().unwrap().into_iter().map(Value::Int).collect();
                assert_eq!(Value::Array(ids), *value, "{name}");
            } else {
                assert!(matches!(ids, Err(Error::Malformed { .. })), "{name}");
            }
        }
    }
}

fn check_version(version: &str) {
    let expected = fs::read_to_string(folder(version).join("expected.json")).unwrap();
    let expected: BTreeMap<String, Json> = serde_json::from_str(&expected).unwrap();
    let bodies = bodies(version);
    assert!(!bodies.is_empty());
    assert_eq!(
        bodies.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>(),
        "answers and expectations do not match; run make_expected.py"
    );
    for (name, body) in &bodies {
        let expected = &expected[name];
        let answer = decode(body, &Limits::default());
        match &answer {
            Err(Error::Malformed { cause }) => {
                assert_eq!(*expected, json!({ "malformed": true }), "{name}: {cause}");
            }
            Err(error) => panic!("{name}: {error}"),
            Ok(Err(fault)) => {
                let code = match &fault.code {
                    FaultCode::Int(code) => json!(code),
                    FaultCode::Text(code) => json!(code),
                };
                let fault = json!({ "fault": { "code": code, "string": fault.string } });
                assert_eq!(fault, *expected, "{name}");
            }
            Ok(Ok(value)) => check_value(name, value, expected),
        }
        check_decoders(name, body, &answer);
    }
}

#[test]
fn recorded_answers_of_odoo_18_decode_as_in_python() {
    check_version("odoo18");
}

#[test]
fn recorded_answers_of_odoo_19_decode_as_in_python() {
    check_version("odoo19");
}

/// Decodes requests that Python wrote and encodes them again. Only the line breaks differ.
#[test]
fn requests_equal_those_of_python() {
    let files = fs::read_dir(folder("odoo18")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut seen = 0;
    for name in names.filter(|name| name.ends_with(".request.xml")) {
        let request = fs::read_to_string(folder("odoo18").join(&name)).unwrap().replace(">\n<", "><");
        let request = request.trim_end();
        let (head, params) = request.split_once("<params>").unwrap();
        let (_, method) = head.split_once("<methodName>").unwrap();
        let method = method.trim_end_matches("</methodName>");
        let (params, _) = params.split_once("</params>").unwrap();

        let list = params.replace("<param>", "").replace("</param>", "");
        let answer = format!(
            "<methodResponse><params><param><value><array><data>{list}</data></array></value></param></params></methodResponse>"
        );
        let Value::Array(values) = decode(answer.as_bytes(), &Limits::default()).unwrap().unwrap() else {
            panic!("{name}")
        };
        let params: Vec<(&str, &Value)> = values.iter().map(|value| ("param", value)).collect();
        assert_eq!(encode_call(method, &params).unwrap(), request, "{name}");
        seen += 1;
    }
    assert!(seen > 0);
}
