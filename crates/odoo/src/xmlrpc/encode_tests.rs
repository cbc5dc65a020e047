//! Tests of the encoder of requests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::{decode, encode_call};
use crate::error::Error;
use crate::value::{Limits, Value};
use proptest::prelude::*;

/// The encoded value between `<value>` and `</value>`.
fn encoded(value: impl Into<Value>) -> String {
    let call = encode_call("m", &[("p", &value.into())]).unwrap();
    let head = "<?xml version='1.0'?><methodCall><methodName>m</methodName><params><param><value>";
    let tail = "</value></param></params></methodCall>";
    call.strip_prefix(head).unwrap().strip_suffix(tail).unwrap().into()
}

/// Encodes a value as a request and decodes it as an answer.
fn read_back(value: &Value) -> Value {
    let call = encode_call("m", &[("p", value)]).unwrap();
    let (_, params) = call.split_once("</methodName>").unwrap();
    let answer = format!("<methodResponse>{}", params.replace("</methodCall>", "</methodResponse>"));
    decode(answer.as_bytes(), &Limits::default()).unwrap().unwrap()
}

/// Path and code point of the character that makes a value unencodable.
fn refusal(value: Value) -> (String, u32) {
    path(encode_call("m", &[("login", &"fine".into()), ("args", &value)]).unwrap_err())
}

fn path(error: Error) -> (String, u32) {
    assert_eq!((error.sqlstate(), error.hint().as_deref()), ("22021", Some("Remove the character.")));
    let message = error.to_string();
    let (path, rest) = message.split_once(" contains the character U+").unwrap();
    let code = rest.strip_suffix(", which XML-RPC cannot carry").unwrap();
    (path.to_owned(), u32::from_str_radix(code, 16).unwrap())
}

#[test]
fn call_is_a_method_call_document() {
    assert_eq!(
        encode_call("execute_kw", &[("dbname", &"d".into()), ("uid", &2.into())]).unwrap(),
        "<?xml version='1.0'?><methodCall><methodName>execute_kw</methodName><params>\
         <param><value><string>d</string></value></param><param><value><int>2</int></value></param>\
         </params></methodCall>"
    );
    assert_eq!(
        encode_call("a<b", &[]).unwrap(),
        "<?xml version='1.0'?><methodCall><methodName>a&lt;b</methodName><params></params></methodCall>"
    );
}

#[test]
fn each_type_has_its_element() {
    assert_eq!(encoded(Value::Nil), "<nil/>");
    assert_eq!(encoded(true), "<boolean>1</boolean>");
    assert_eq!(encoded(false), "<boolean>0</boolean>");
    assert_eq!(encoded(""), "<string></string>");
    assert_eq!(
        encoded(Value::DateTime("20260106T00:00:00".into())),
        "<dateTime.iso8601>20260106T00:00:00</dateTime.iso8601>"
    );
    assert_eq!(encoded(Value::Base64(b"\0\xFF".to_vec())), "<base64>AP8=</base64>");
    assert_eq!(encoded(Value::Array(vec![])), "<array><data></data></array>");
    assert_eq!(encoded(Value::Struct(vec![])), "<struct></struct>");
    assert_eq!(
        encoded(Value::Struct(vec![("a&b".into(), Value::from_iter([1]))])),
        "<struct><member><name>a&amp;b</name><value><array><data><value><int>1</int></value></data></array></value>\
         </member></struct>"
    );
}

#[test]
fn integers_beyond_32_bits_are_i8() {
    assert_eq!(encoded(2147483647), "<int>2147483647</int>");
    assert_eq!(encoded(-2147483648), "<int>-2147483648</int>");
    assert_eq!(encoded(2147483648), "<i8>2147483648</i8>");
    assert_eq!(encoded(i64::MIN), "<i8>-9223372036854775808</i8>");
}

/// Python's float() reads each of these texts as the same double.
#[test]
fn doubles_have_the_shortest_exact_notation() {
    for (double, written) in [
        (5.0, "5.0"),
        (-0.0, "-0.0"),
        (0.1 + 0.2, "0.30000000000000004"),
        (1e22, "1e22"),
        (1e-7, "1e-7"),
        (f64::MAX, "1.7976931348623157e308"),
        (5e-324, "5e-324"),
        (f64::NAN, "nan"),
        (-f64::NAN, "nan"),
        (f64::INFINITY, "inf"),
        (f64::NEG_INFINITY, "-inf"),
    ] {
        assert_eq!(encoded(Value::Double(double)), format!("<double>{written}</double>"));
    }
}

#[test]
fn text_is_escaped() {
    assert_eq!(
        encoded("<a href=\"x\">&amp;</a> ]]> '"),
        "<string>&lt;a href=\"x\"&gt;&amp;amp;&lt;/a&gt; ]]&gt; '</string>"
    );
    // An XML parser would turn a raw CR into LF.
    assert_eq!(encoded("\r\n\t é 😀"), "<string>&#13;\n\t é 😀</string>");
    assert_eq!(encoded("\u{7F}\u{85}\u{FFFD}"), "<string>\u{7F}\u{85}\u{FFFD}</string>");
}

#[test]
fn refusal_names_the_path_of_the_character() {
    for character in ['\0', '\u{1}', '\u{8}', '\u{B}', '\u{C}', '\u{E}', '\u{1F}', '\u{FFFE}', '\u{FFFF}'] {
        assert_eq!(refusal(format!("hunter2{character}").into()), ("args".into(), character.into()));
    }
    let deep = Value::Array(vec![
        Value::Nil,
        Value::Int(1),
        Value::Struct(vec![("domain".into(), Value::from_iter([Value::from_iter(["id", "=", "\0"])]))]),
    ]);
    assert_eq!(refusal(deep), ("args[2].domain[0][2]".into(), 0));
    let member = Value::Struct(vec![("lang".into(), Value::Struct(vec![("a\u{1}".into(), 1.into())]))]);
    assert_eq!(refusal(member), ("args.lang (a member name)".into(), 1));
    assert_eq!(refusal(Value::DateTime("\u{1}".into())), ("args".into(), 1));
    assert_eq!(path(encode_call("\u{1}", &[]).unwrap_err()), ("method".into(), 1));
}

#[test]
fn refusal_does_not_quote_the_text() {
    let error = encode_call("m", &[("password", &"hunter2\u{1}".into())]).unwrap_err();
    assert_eq!(error.to_string(), "password contains the character U+0001, which XML-RPC cannot carry");
    assert!(!format!("{error:?}{:?}{:?}", error.detail(), error.hint()).contains("hunter2"));
}

/// Text that XML can carry.
fn text() -> impl Strategy<Value = String> {
    let forbidden = |c: &char| (*c < ' ' && !"\t\n\r".contains(*c)) || matches!(c, '\u{FFFE}' | '\u{FFFF}');
    let character = prop_oneof![
        4 => any::<char>(),
        2 => prop::char::range(' ', '~'),
        1 => prop::sample::select(vec!['&', '<', '>', '\r', '\n', '\t', ' ', ']', ';', '\'', '"']),
    ];
    prop::collection::vec(character.prop_filter("XML cannot carry it", move |c| !forbidden(c)), 0..20)
        .prop_map(|characters| characters.into_iter().collect())
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Nil),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<i32>().prop_map(|integer| Value::Int(integer.into())),
        // NaN is not equal to itself. Another test covers it.
        any::<f64>().prop_filter("NaN", |double| !double.is_nan()).prop_map(Value::Double),
        text().prop_map(Value::String),
        Just(Value::DateTime("20260106T00:00:00".into())),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Value::Base64),
    ];
    leaf.prop_recursive(6, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::vec((text(), inner), 0..6).prop_map(Value::Struct),
        ]
    })
}

proptest! {
    // Failures are not stored in files, because the message contains the shrunk value.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn encoded_values_decode_to_the_same_values(value in value()) {
        prop_assert_eq!(read_back(&value), value);
    }

    #[test]
    fn doubles_keep_all_their_bits(bits in any::<u64>()) {
        let double = f64::from_bits(bits);
        match read_back(&Value::Double(double)) {
            Value::Double(back) if double.is_nan() => prop_assert!(back.is_nan()),
            Value::Double(back) => prop_assert_eq!(back.to_bits(), bits),
            other => prop_assert!(false, "{:?}", other),
        }
    }
}
