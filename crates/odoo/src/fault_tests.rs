//! Tests of faults, with every fault that was recorded from Odoo 18 and 19.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::Account;
use super::fault::{Meaning, read};
use crate::error::Error;
use crate::secret::Secret;
use crate::value::Limits;
use crate::xmlrpc::{Fault, FaultCode, decode};

const PASSWORD: &str = "s3cret-Pass";

fn account() -> Account {
    Account { dbname: "no_such_db".into(), login: "api@example.com".into(), password: Secret::new(PASSWORD.into()) }
}

fn folder(version: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../tests/corpus/odoo{version}"))
}

/// The fault of a recorded answer, or `None` if the answer is not a fault.
fn recorded(version: u32, name: &str) -> Option<Fault> {
    let body = fs::read(folder(version).join(format!("{name}.xml"))).unwrap();
    // Decoding megabytes that are not a fault takes seconds.
    if !body[..body.len().min(100)].windows(7).any(|tag| tag == b"<fault>") {
        return None;
    }
    decode(&body, &Limits::default()).ok()?.err()
}

fn fault(code: i64, string: &str) -> Fault {
    Fault { code: FaultCode::Int(code), string: string.into() }
}

fn meaning(fault: &Fault) -> Meaning {
    read(fault, &account(), "ipai.sample.metric", "search_read", Some(7))
}

fn error(fault: &Fault) -> Error {
    match meaning(fault) {
        Meaning::Error(error) | Meaning::Passing(error) => error,
        other => panic!("{other:?} from {fault:?}"),
    }
}

/// All texts of an error that users may see.
fn shown(error: &Error) -> String {
    format!("{error}\n{:?}\n{:?}\n{error:?}", error.detail(), error.hint())
}

/// Stands for the SQLSTATE of a stale login, which is not an error because the client logs in
/// again.
const STALE: &str = "stale";

/// Name of the recorded fault, SQLSTATE, message of Odoo 18, message of Odoo 19 if it differs.
/// Messages omit the beginning `Odoo answered with an error: `.
const RECORDED: &[(&str, &str, &str, Option<&str>)] = &[
    (
        "attachment_datas",
        "38000",
        "UnicodeDecodeError: 'utf-8' codec can't decode byte 0x89 in position 0: invalid start byte",
        None,
    ),
    ("authenticate_wrong_db", "3D000", "Odoo has no database \"no_such_db\"", None),
    (
        "common_bad_arity",
        "38000",
        "TypeError: exp_authenticate() missing 3 required positional arguments: 'login', 'password', and 'user_agent_env'",
        None,
    ),
    ("common_unknown_method", "38000", "Exception: Method not found: nope", None),
    ("empty_request", "38000", "xml.parsers.expat.ExpatError: no element found: line 1, column 0", None),
    ("endpoint_xmlrpc1_fault", STALE, "", None),
    (
        "fault_access_error_create",
        "42501",
        "Odoo denies access: You are not allowed to create 'IPAI Sample Metric' (ipai.sample.metric) records.",
        None,
    ),
    (
        "fault_access_error_read_portal",
        "42501",
        "Odoo denies access: You are not allowed to access 'IPAI Sample Metric' (ipai.sample.metric) records.",
        None,
    ),
    (
        "fault_access_error_unlink",
        "42501",
        "Odoo denies access: You are not allowed to delete 'IPAI Sample Metric' (ipai.sample.metric) records.",
        None,
    ),
    (
        "fault_bad_domain",
        "38000",
        "AssertionError: Domains to normalize must have a 'domain' form: a list or tuple of domain components",
        Some("TypeError: Domain() invalid argument type for domain: 'garbage'"),
    ),
    ("fault_bad_kwarg", "38000", "TypeError: BaseModel._read_format() got an unexpected keyword argument 'nope'", None),
    (
        "fault_export_payload_row_with_none",
        "38000",
        "method \"search_read\" of model \"ipai.sample.metric\" returned None, which XML-RPC cannot carry",
        None,
    ),
    (
        "fault_method_returns_none",
        "38000",
        "method \"search_read\" of model \"ipai.sample.metric\" returned None, which XML-RPC cannot carry",
        None,
    ),
    ("fault_missing_method", "42883", "Odoo has no method \"search_read\" in model \"ipai.sample.metric\"", None),
    ("fault_missing_model", "42704", "Odoo has no model \"ipai.sample.metric\"", None),
    (
        "fault_private_method",
        "42501",
        "Odoo denies access: Private methods (such as 'ipai.sample.metric._search') cannot be called remotely.",
        None,
    ),
    ("fault_selection_value", "38000", "ValueError: Wrong value for ipai.sample.metric.unit: 'bogus'", None),
    ("fault_unknown_field_in_domain", "42703", "Odoo has no field \"nope\" in model \"ipai.sample.metric\"", None),
    ("fault_unknown_field_in_fields", "42703", "Odoo has no field \"nope\" in model \"ipai.sample.metric\"", None),
    (
        "fault_validation_required",
        "38000",
        "The operation cannot be completed: - Create/update: a mandatory field is not set. - Delete: another model \
         requires the record being deleted. If possible, archive it instead.",
        Some(
            "The operation cannot be completed: Missing required value for the field 'Code' (code). Model: 'IPAI Sample \
             Metric' (ipai.sample.metric) - create/update: a mandatory field is not set - delete: another model \
             requires the record being deleted, you can archive it instead",
        ),
    ),
    ("malformed_request", "38000", "xml.parsers.expat.ExpatError: unclosed token: line 1, column 52", None),
    ("object_empty_password", STALE, "", None),
    ("object_unknown_rpc_method", "38000", "NameError: Method not available exec_nope", None),
    ("object_wrong_db", "3D000", "Odoo has no database \"no_such_db\"", None),
    ("object_wrong_password", STALE, "", None),
    ("read_group_int_overflow", "38000", "OverflowError: int exceeds XML-RPC limits", None),
    (
        "request_control_char",
        "38000",
        "xml.parsers.expat.ExpatError: not well-formed (invalid token): line 26, column 16",
        None,
    ),
    ("service_unknown", "38000", "KeyError: 'nope'", None),
];

/// Faults that only one version of Odoo sends.
const RECORDED_18: &[(&str, &str, &str)] = &[
    // The message has three lines. The last one contains only ^.
    (
        "request_i8_param",
        "38000",
        "psycopg2.errors.NumericValueOutOfRange: value \"5000000000\" is out of range for type integer",
    ),
    (
        "request_id_too_big",
        "38000",
        "psycopg2.errors.NumericValueOutOfRange: value \"5000000000\" is out of range for type integer",
    ),
];
const RECORDED_19: &[(&str, &str, &str)] = &[
    ("export_since_garbage", "38000", "ValueError: Invalid term 'yesterday' in expression date: 'yesterday'"),
    ("export_since_iso_T_Z", "38000", "ValueError: expecting only datetimes with no timezone: '2026-10-14T12:00:00Z'"),
    (
        "export_since_offset",
        "38000",
        "ValueError: expecting only datetimes with no timezone: '2026-10-14 12:00:00+08:00'",
    ),
];

/// Name, SQLSTATE and message of every recorded fault of a version.
fn expected(version: u32) -> Vec<(&'static str, &'static str, &'static str)> {
    let both = RECORDED.iter().map(|(name, state, on_18, on_19)| match version {
        19 => (*name, *state, on_19.unwrap_or(on_18)),
        _ => (*name, *state, *on_18),
    });
    let one = if version == 19 { RECORDED_19 } else { RECORDED_18 };
    both.chain(one.iter().copied()).collect()
}

#[test]
fn recorded_faults_become_their_errors() {
    for version in [18, 19] {
        for (name, state, message) in expected(version) {
            let fault = recorded(version, name).unwrap_or_else(|| panic!("{version} {name} is not a fault"));
            let (found_state, found) = match meaning(&fault) {
                Meaning::StaleLogin(_) => (STALE.to_owned(), String::new()),
                Meaning::Error(error) | Meaning::Passing(error) => (error.sqlstate().to_owned(), error.to_string()),
                other => panic!("{other:?} in odoo{version}/{name}"),
            };
            let found = found.strip_prefix("Odoo answered with an error: ").unwrap_or(&found);
            assert_eq!((found_state.as_str(), found), (state, message), "odoo{version}/{name}");
        }
    }
}

#[test]
fn all_recorded_faults_are_tested() {
    for version in [18, 19] {
        let files = fs::read_dir(folder(version)).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        let faults: BTreeSet<String> = names
            .filter_map(|name| name.strip_suffix(".xml").map(str::to_owned))
            .filter(|name| !name.ends_with(".request") && recorded(version, name).is_some())
            .collect();
        let tested = expected(version).iter().map(|(name, ..)| (*name).to_owned()).collect();
        assert_eq!(faults, tested, "odoo{version}");
    }
}

#[test]
fn messages_have_one_line_and_tracebacks_are_detail() {
    for version in [18, 19] {
        for (name, state, message) in expected(version) {
            if state == STALE {
                continue;
            }
            let fault = recorded(version, name).unwrap();
            let error = error(&fault);
            assert!(!error.to_string().contains('\n'), "odoo{version}/{name}: {error}");
            let returned_none = matches!(error, Error::NoneReturned { .. });
            if state == "38000" && fault.code == FaultCode::Int(1) && !returned_none {
                let detail = error.detail().unwrap();
                assert!(detail.contains(message), "odoo{version}/{name}: {detail}");
                assert!(detail.chars().count() <= 2_004, "odoo{version}/{name}");
            }
        }
    }
}

#[test]
fn long_traceback_is_cut_at_its_beginning() {
    let frames = "  File \"/opt/odoo/ödoo.py\", line 1, in x\n    x()\n".repeat(500);
    let error = error(&fault(1, &format!("Traceback (most recent call last):\n{frames}KeyError: 'x'\n")));
    let detail = error.detail().unwrap();
    assert!(detail.starts_with("... ") && detail.ends_with("KeyError: 'x'"), "{detail}");
    assert_eq!(detail.chars().count(), 2_004);
}

#[test]
fn exception_of_many_lines_is_named_by_the_first() {
    let text = "Traceback (most recent call last):\n  File \"a.py\", line 1, in a\n    b()\nKeyError: 'first'\n\nDuring handling \
                of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File \
                \"b.py\", line 1, in b\n    c()\n    ^^^\n  [Previous line repeated 9 more times]\nValueError: second\nmore of \
                it\n\n  and more\n";
    assert_eq!(error(&fault(1, text)).to_string(), "Odoo answered with an error: ValueError: second");
    for (text, message) in [
        ("", "no text"),
        ("  \n ", "no text"),
        ("one\ntwo", "two"),
        ("Traceback (most recent call last):\n  File \"a.py\", line 1", "File \"a.py\", line 1"),
        ("ü\n  File \"ü\"\n    ü\nÜError: ü", "ÜError: ü"),
    ] {
        assert_eq!(error(&fault(1, text)).to_string(), format!("Odoo answered with an error: {message}"), "{text:?}");
    }
}

#[test]
fn passing_states_of_odoo_are_not_errors_of_the_call() {
    for text in [
        "psycopg2.pool.PoolError: The Connection Pool Is Full",
        "psycopg2.errors.SerializationFailure: could not serialize access due to concurrent update\n",
        "psycopg2.errors.InFailedSqlTransaction: could not serialize access due to concurrent delete",
        "psycopg2.errors.DeadlockDetected: deadlock detected\nDETAIL:  Process 1 waits for ShareLock on transaction 2",
        "psycopg2.errors.LockNotAvailable: canceling statement due to lock timeout",
        "psycopg2.errors.AdminShutdown: terminating connection due to administrator command\nSSL connection closed",
        "psycopg2.OperationalError: server closed the connection unexpectedly\n\tThis probably means...",
        "psycopg2.InterfaceError: connection already closed",
    ] {
        let fault = fault(1, &format!("Traceback (most recent call last):\n  File \"a.py\", line 1\n{text}"));
        assert!(matches!(meaning(&fault), Meaning::Passing(Error::Unavailable(_))), "{text}: {:?}", meaning(&fault));
    }
    for text in ["ValueError: PoolError: no", "odoo.exceptions.UserError: OperationalError", "PoolErrors: no"] {
        assert!(matches!(meaning(&fault(1, text)), Meaning::Error(Error::OdooFault { .. })), "{text}");
    }
    let message = fault(2, "The import failed: deadlock detected");
    assert!(matches!(meaning(&message), Meaning::Error(Error::OdooFault { .. })));
}

#[test]
fn limits_of_odoo_are_recognized() {
    for text in [
        "MemoryError",
        "MemoryError: Unable to allocate 2 GiB",
        "Exception: CPU time limit exceeded.",
        "psycopg2.errors.QueryCanceled: canceling statement due to statement timeout",
    ] {
        let error = error(&fault(1, &format!("Traceback (most recent call last):\n  File \"a.py\", line 1\n{text}")));
        assert!(matches!(error, Error::Exhausted(_)) && error.fewer_records_may_help(), "{text}: {error:?}");
    }
}

#[test]
fn long_lists_of_ids_are_cut() {
    let ids: Vec<String> = (1..=5_000).map(|id| id.to_string()).collect();
    let text = format!("ValueError: Expected singleton: res.partner({}) in 2 fields, 7 more", ids.join(", "));
    let error = error(&fault(1, &text));
    let message =
        "ValueError: Expected singleton: res.partner(1, 2, 3, 4, 5, ... (4994 more), 5000) in 2 fields, 7 more";
    assert_eq!(error.to_string(), format!("Odoo answered with an error: {message}"));
    assert_eq!(error.detail().as_deref(), Some(message));
    let short = "UserError: res.partner(1, 2, 3) and 4, 5, six";
    assert_eq!(super::fault::without_long_lists(short), short);
}

#[test]
fn address_of_odoos_database_server_is_not_shown() {
    let frame =
        "Traceback (most recent call last):\n  File \"a.py\", line 1, in a\n    b()\npsycopg2.OperationalError: ";
    let at = "connection to server at \"db.internal\" (10.1.2.3), port 5499 failed: ";
    let refused = "Connection refused\n\tIs the server running on that host and accepting TCP/IP connections?\n";
    let unknown = "FATAL:  database \"no_such_db\" does not exist\n";
    for (text, state) in [
        (format!("{frame}{at}{unknown}"), "3D000"),
        // Odoo tried two addresses.
        (format!("{frame}{at}{refused}{at}{unknown}"), "3D000"),
        (format!("{frame}{at}{refused}"), "08006"),
        (format!("{frame}{at}FATAL:  Datenbank »no_such_db« existiert nicht\n"), "08006"),
    ] {
        let error = error(&fault(1, &text));
        assert_eq!(error.sqlstate(), state, "{text}");
        for secret in ["db.internal", "10.1.2.3", "5499"] {
            assert!(!shown(&error).contains(secret), "{}", shown(&error));
        }
    }
    for version in [18, 19] {
        for name in ["authenticate_wrong_db", "object_wrong_db"] {
            let fault = recorded(version, name).unwrap();
            assert!(fault.string.contains("127.0.0.1") && fault.string.contains("5499"));
            let error = error(&fault);
            assert!(!shown(&error).contains("127.0.0.1") && !shown(&error).contains("5499"));
            assert_eq!(error.detail(), None);
        }
    }
}

#[test]
fn password_in_a_fault_is_not_shown() {
    let traceback = format!(
        "Traceback (most recent call last):\n  File \"a.py\", line 1\n    login('{PASSWORD}')\nValueError: {PASSWORD}"
    );
    for (code, text) in [
        (1, traceback),
        (1, format!("ValueError: Invalid field '{PASSWORD}' on 'ipai.sample.metric'")),
        (1, format!("ValueError: Invalid field {PASSWORD}.x in condition")),
        (2, format!("No {PASSWORD}\n\nand no {PASSWORD}")),
        (4, format!("No {PASSWORD}\n\nand no {PASSWORD}")),
        (99, PASSWORD.to_owned()),
    ] {
        let shown = shown(&error(&fault(code, &text)));
        assert!(!shown.contains(PASSWORD) && shown.contains("***"), "{shown}");
    }
}

#[test]
fn short_password_does_not_change_the_meaning_of_a_fault() {
    let short = |password: &str| Account { password: Secret::new(password.into()), ..account() };
    for version in [18, 19] {
        for (name, ..) in expected(version) {
            let fault = recorded(version, name).unwrap();
            let of = |account: &Account| match read(&fault, account, "ipai.sample.metric", "search_read", Some(7)) {
                Meaning::StaleLogin(error) => (STALE, std::mem::discriminant(&error), error.sqlstate().to_owned()),
                Meaning::Passing(error) => ("passing", std::mem::discriminant(&error), error.sqlstate().to_owned()),
                Meaning::Error(error) => ("", std::mem::discriminant(&error), error.sqlstate().to_owned()),
                other => panic!("{other:?}"),
            };
            for password in ["a", "e", "Er", " ", "es."] {
                assert_eq!(of(&short(password)), of(&account()), "odoo{version}/{name} {password:?}");
            }
        }
    }
}

#[test]
fn unknown_fields_are_named_as_odoo_names_them() {
    for (text, field) in [
        ("ValueError: Invalid field 'x' on 'ipai.sample.metric'", "x"),
        ("ValueError: Invalid field 'x' on model 'ipai.sample.metric'", "x"),
        ("ValueError: Invalid field ipai.sample.metric.x in leaf ('x', '=', 1)", "x"),
        ("ValueError: Invalid field ipai.sample.metric.x in condition ('x', '=', 1)", "x"),
        // A path through a many2one leads to a field of another model.
        ("ValueError: Invalid field res.partner.x in condition ('partner_id.x', '=', 1)", "res.partner.x"),
    ] {
        let expected =
            Error::UnknownField { model: "ipai.sample.metric".into(), field: field.into(), near: Vec::new() };
        assert_eq!(error(&fault(1, text)), expected, "{text}");
    }
    for text in ["ValueError: Invalid field 'x", "ValueError: Invalid field "] {
        assert_eq!(error(&fault(1, text)).sqlstate(), "38000", "{text}");
    }
}

#[test]
fn only_the_callers_missing_record_makes_a_login_stale() {
    let missing = |uid| format!("Record does not exist or has been deleted.\n(Record: res.users({uid},), User: 2)");
    assert!(matches!(meaning(&fault(2, &missing("7"))), Meaning::StaleLogin(_)));
    assert!(matches!(meaning(&fault(2, "Missing: res.users(7)")), Meaning::StaleLogin(_)));
    for other in ["70", "17", "8"] {
        assert_eq!(error(&fault(2, &missing(other))).sqlstate(), "38000", "{other}");
    }
    let nobody = read(&fault(2, &missing("7")), &account(), "", "authenticate", None);
    assert!(!matches!(nobody, Meaning::StaleLogin(_)));
}

#[test]
fn fault_codes_of_both_endpoints_are_understood() {
    let text = |code: &str| Fault { code: FaultCode::Text(code.into()), string: "Access Denied".into() };
    assert!(matches!(meaning(&fault(3, "Access Denied")), Meaning::StaleLogin(_)));
    assert!(matches!(meaning(&text("AccessDenied")), Meaning::StaleLogin(_)));
    assert_eq!(error(&text("warning -- UserError\n\nno")).sqlstate(), "38000");
    assert_eq!(error(&fault(i64::MIN, "x")).sqlstate(), "38000");
}
