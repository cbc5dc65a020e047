//! Tests of the errors of JSON-2, with every one that was recorded from Odoo 19.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::Fault;
use crate::Account;
use crate::error::Error;
use crate::fault::{Meaning, read_json2};
use crate::secret::Secret;
use std::path::Path;

const KEY: &str = "0123456789abcdef0123456789abcdef01234567";

fn account() -> Account {
    Account { dbname: "odoo".into(), login: "api@example.com".into(), password: Secret::new(KEY.into()) }
}

fn meaning(fault: &Fault) -> Meaning {
    read_json2(fault, &account(), "ipai.sample.metric", "search_read")
}

fn recorded(status: u16, name: &str) -> Fault {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus/odoo19");
    Fault::read(status, &std::fs::read(corpus.join(format!("json2_{name}.json"))).unwrap()).unwrap()
}

fn fault(status: u16, exception: &str, message: &str, traceback: &str) -> Fault {
    Fault { status, exception: exception.into(), message: message.into(), traceback: traceback.into() }
}

#[test]
fn recorded_errors_have_a_meaning() {
    for name in ["bad_key", "no_auth", "password_as_key"] {
        assert!(matches!(meaning(&recorded(401, name)), Meaning::RefusedKey(_)), "{name}");
    }
    for (status, name, sqlstate, message) in [
        (404, "missing_model", "42704", "Odoo has no model \"ipai.sample.metric\""),
        (404, "missing_method", "42883", "Odoo has no method \"search_read\" in model \"ipai.sample.metric\""),
        (500, "unknown_field", "42703", "Odoo has no field \"nope\" in model \"ipai.sample.metric\""),
        (
            500,
            "bad_kwarg",
            "38000",
            "Odoo answered with an error: TypeError: BaseModel._read_format() got an unexpected keyword argument 'nope'",
        ),
        (
            403,
            "access_error",
            "42501",
            "Odoo denies access: You are not allowed to create 'IPAI Sample Metric' (ipai.sample.metric) records.",
        ),
    ] {
        let Meaning::Error(error) = meaning(&recorded(status, name)) else { panic!("{name}") };
        assert_eq!((error.sqlstate(), error.to_string().as_str()), (sqlstate, message), "{name}");
    }
}

#[test]
fn exception_decides_where_a_status_has_several_meanings() {
    let missing = fault(404, "odoo.exceptions.MissingError", "Record does not exist.\n\nids: 7", "");
    assert!(
        matches!(meaning(&missing), Meaning::Error(Error::OdooFault { message, .. }) if message == "Record does not exist.")
    );
    let invalid = fault(422, "odoo.exceptions.ValidationError", "No", "");
    assert!(matches!(meaning(&invalid), Meaning::Error(Error::OdooFault { .. })));
    let arguments = fault(422, "werkzeug.exceptions.UnprocessableEntity", "missing a required argument: 'domain'", "");
    assert!(matches!(meaning(&arguments), Meaning::RefusedArguments(Error::OdooFault { .. })));
    // The method may have sent it, after it changed something elsewhere.
    let of_method = fault(422, "werkzeug.exceptions.UnprocessableEntity", "not now", "");
    assert!(matches!(meaning(&of_method), Meaning::Error(Error::OdooFault { .. })));
    let denied = fault(403, "odoo.exceptions.AccessDenied", "Access Denied", "");
    assert!(matches!(meaning(&denied), Meaning::Error(Error::OdooAccess(_))));
    // Not written by the controller, so the model may exist.
    let record = fault(404, "werkzeug.exceptions.NotFound", "no such page", "");
    assert!(matches!(meaning(&record), Meaning::Error(Error::OdooFault { .. })));
}

#[test]
fn states_that_pass_are_retried_with_and_without_a_traceback() {
    let exception = "psycopg2.errors.SerializationFailure";
    let message = "could not serialize access due to concurrent update\nserver db.internal";
    let traceback =
        format!("Traceback (most recent call last):\n  File \"x\", line 1, in f\n    f()\n{exception}: {message}\n");
    for traceback in ["", &traceback] {
        let Meaning::Passing(error) = meaning(&fault(500, exception, message, traceback)) else {
            panic!("{traceback}")
        };
        assert!(!format!("{error:?}").contains("db.internal"));
    }
    let memory = fault(500, "builtins.MemoryError", "", "");
    assert!(matches!(meaning(&memory), Meaning::Error(Error::Exhausted(_))));
}

#[test]
fn key_is_never_part_of_an_error() {
    let text = format!("key {KEY}");
    for status in [403, 422, 500] {
        for exception in ["odoo.exceptions.AccessError", "odoo.exceptions.UserError", "builtins.ValueError"] {
            let found = format!("{:?}", meaning(&fault(status, exception, &text, &text)));
            assert!(!found.contains(KEY), "{found}");
        }
    }
}

#[test]
fn json_of_another_server_is_no_error_of_odoo() {
    for body in ["", "{}", "[]", "{\"error\": \"x\"}", "{\"name\": 1, \"message\": 2}"] {
        assert_eq!(Fault::read(403, body.as_bytes()), None, "{body}");
    }
}
