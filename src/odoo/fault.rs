//! What Odoo's faults mean. The texts are those that Odoo 18 and 19 send; `tests/corpus` holds them.

use crate::error::Error;
use crate::odoo::Account;
use crate::xmlrpc::{Fault, FaultCode};

/// What was called, to name it in the error.
pub struct Called<'a> {
    pub model: &'a str,
    pub method: &'a str,
}

/// A fault that the client can mend by itself, or an error for the user.
#[derive(Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The remembered uid is no longer right for these credentials: authenticate once more.
    StaleLogin,
    Error(Error),
}

/// Longest part of a traceback that goes into DETAIL, in characters.
const TRACEBACK: usize = 2_000;

pub fn read(fault: &Fault, account: &Account, called: &Called<'_>) -> Meaning {
    let text = account.redact(fault.string.trim());
    let message = text.clone();
    let error = match &fault.code {
        FaultCode::Int(3) => return Meaning::StaleLogin,
        FaultCode::Text(code) if code == "AccessDenied" => return Meaning::StaleLogin,
        FaultCode::Int(2) if text.contains("res.users(") => return Meaning::StaleLogin,
        FaultCode::Int(2) if text.starts_with("Object ") && text.ends_with(" doesn't exist") => Error::UnknownModel {
            model: called.model.to_owned(),
        },
        FaultCode::Int(2) => Error::OdooFault {
            message: first_paragraph(&message),
            traceback: rest_after_first_paragraph(&message),
        },
        FaultCode::Int(4) => Error::OdooAccess {
            message: first_paragraph(&message),
        },
        _ => read_traceback(&text, account, called),
    };
    Meaning::Error(error)
}

/// Fault 1: a whole Python traceback, whose last line tells the cause.
fn read_traceback(text: &str, account: &Account, called: &Called<'_>) -> Error {
    let last = text
        .lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("no text")
        .trim();
    let (exception, cause) = last.split_once(": ").unwrap_or(("", last));
    if exception.ends_with("OperationalError") && cause.ends_with("does not exist") && cause.contains("database \"") {
        // Odoo's own text names the host and port of its database server: not for our users.
        return Error::UnknownDatabase {
            dbname: account.dbname.clone(),
        };
    }
    if let Some(field) = invalid_field(cause, called.model) {
        return Error::UnknownField {
            model: called.model.to_owned(),
            field,
        };
    }
    if exception == "AttributeError" && cause.starts_with("The method '") && cause.ends_with("' does not exist") {
        return Error::UnknownMethod {
            model: called.model.to_owned(),
            method: called.method.to_owned(),
        };
    }
    Error::OdooFault {
        message: last.to_owned(),
        traceback: tail(text, TRACEBACK),
    }
}

/// The field in `Invalid field 'x' on 'model'` (19), `... on model 'model'` (18), and
/// `Invalid field model.x in leaf` (18) or `in condition` (19).
fn invalid_field(cause: &str, model: &str) -> Option<String> {
    let rest = cause.strip_prefix("Invalid field ")?;
    if let Some(quoted) = rest.strip_prefix('\'') {
        return quoted.split_once('\'').map(|(field, _)| field.to_owned());
    }
    let path = rest.split_whitespace().next()?;
    Some(
        path.strip_prefix(model)
            .and_then(|path| path.strip_prefix('.'))
            .unwrap_or(path)
            .to_owned(),
    )
}

fn first_paragraph(text: &str) -> String {
    text.split("\n\n").next().unwrap_or(text).trim().replace('\n', " ")
}

fn rest_after_first_paragraph(text: &str) -> String {
    text.split_once("\n\n")
        .map_or(String::new(), |(_, rest)| tail(rest.trim(), TRACEBACK))
}

/// The last `most` characters: the end of a traceback says more than its beginning.
fn tail(text: &str, most: usize) -> String {
    match text.char_indices().nth_back(most.saturating_sub(1)) {
        Some((from, _)) if from > 0 => format!("... {}", &text[from..]),
        _ => text.to_owned(),
    }
}
