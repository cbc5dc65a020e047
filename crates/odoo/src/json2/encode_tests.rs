//! Tests of the requests of JSON-2.

use super::{encode_arguments, path};
use crate::error::Error;
use crate::value::Value;

#[test]
fn path_names_model_and_method() {
    assert_eq!(path("res.partner", "search_read").as_deref(), Ok("/json/2/res.partner/search_read"));
    for model in ["", ".", "..", "a..b", "a/b", "a?b", "a%2fb", "../web", "é", "a b", "a\nb"] {
        assert!(matches!(path(model, "x"), Err(Error::UnknownModel { .. })), "{model:?}");
        assert!(matches!(path("x", model), Err(Error::UnknownMethod { .. })), "{model:?}");
    }
}

#[test]
fn arguments_keep_their_order() {
    let arguments = [
        ("ids", Value::from_iter([1, 2])),
        ("context", Value::Struct(vec![("active_test".into(), false.into())])),
        ("a", Value::Nil),
        ("b", "é\n\u{1}\"".into()),
    ];
    let body = r#"{"ids":[1,2],"context":{"active_test":false},"a":null,"b":"é\n\u0001\""}"#;
    assert_eq!(encode_arguments(arguments), body);
    assert_eq!(encode_arguments([]), "{}");
}
