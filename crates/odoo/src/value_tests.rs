//! Tests of values and their JSON.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::Value;
use serde_json::json;

#[test]
fn json_survives_a_round_trip() {
    let json = json!({"a": [1, -1, 1.5, 9007199254740993_i64], "z": null, "b": {"c": "é\r\n", "d": true}, "e": []});
    let value = Value::from_json(json.clone());
    assert_eq!(value.to_json(), json);
    // The order of members is kept as well.
    let names: Vec<&str> = value.as_struct().unwrap().iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["a", "z", "b", "e"]);
}

#[test]
fn integers_and_doubles_keep_their_types() {
    assert_eq!(Value::from_json(json!(5)), Value::Int(5));
    assert_eq!(Value::from_json(json!(5.0)), Value::Double(5.0));
    assert_eq!(Value::from_json(json!(i64::MIN)), Value::Int(i64::MIN));
    assert_eq!(Value::from_json(json!(u64::MAX)), Value::Double(u64::MAX as f64));
    assert_eq!(Value::Double(5.0).to_json().to_string(), "5.0");
}

#[test]
fn values_unknown_to_json_become_strings() {
    assert_eq!(Value::Double(f64::NAN).to_json(), json!("NaN"));
    assert_eq!(Value::Double(f64::INFINITY).to_json(), json!("Infinity"));
    assert_eq!(Value::Double(f64::NEG_INFINITY).to_json(), json!("-Infinity"));
    assert_eq!(Value::Base64(b"\0\xFF".to_vec()).to_json(), json!("AP8="));
    assert_eq!(Value::DateTime("20260106T00:00:00".into()).to_json(), json!("20260106T00:00:00"));
}

#[test]
fn accessors_return_only_values_of_their_type() {
    let value = Value::Struct(vec![
        ("id".into(), 7.into()),
        ("name".into(), "x".into()),
        ("active".into(), true.into()),
        ("tags".into(), Value::from_iter([1])),
        ("value".into(), Value::Double(0.5)),
    ]);
    assert_eq!(value.get("id").and_then(Value::as_i64), Some(7));
    assert_eq!(value.get("name").and_then(Value::as_str), Some("x"));
    assert_eq!(value.get("active").and_then(Value::as_bool), Some(true));
    assert_eq!(value.get("tags").and_then(Value::as_array), Some(&[Value::Int(1)][..]));
    assert_eq!(value.get("value"), Some(&Value::Double(0.5)));
    assert_eq!(value.get("nope"), None);

    // Odoo sends false for an unset text, so false must be neither text nor number.
    let unset = Value::from(false);
    assert_eq!((unset.as_str(), unset.as_i64(), unset.as_array(), unset.get("id")), (None, None, None, None));
    assert_eq!(Value::from(String::from("1")).as_i64(), None);
    assert_eq!(Value::Int(1).as_bool(), None);
}

#[test]
fn binary_content_is_that_of_a_binary_field() {
    let field = |members: &[(&str, Value)]| {
        Value::Struct(members.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
    };
    let (content, size) = (("content", "YWI=".into()), ("size", 2.into()));
    let named = field(&[content.clone(), size.clone(), ("filename", "a.txt".into())]);
    assert_eq!(named.binary_content(), Some(&Value::from("YWI=")));
    assert_eq!(field(&[content.clone(), size.clone()]).binary_content(), Some(&Value::from("YWI=")));
    // A structure that Odoo computes, such as tax_totals, is no binary data.
    for other in [field(&[content]), field(&[size]), field(&[]), "YWI=".into(), false.into()] {
        assert_eq!(other.binary_content(), None, "{other:?}");
    }
}

#[test]
fn last_of_several_members_with_one_name_counts() {
    let value = Value::Struct(vec![("a".into(), 1.into()), ("a".into(), 2.into())]);
    assert_eq!(value.get("a"), Some(&Value::Int(2)));
    assert_eq!(value.to_json(), json!({"a": 2}));
}
