//! What Odoo's faults mean. The texts are those that Odoo 18 and 19 send; `tests/corpus` holds them.

use crate::Account;
use crate::error::Error;
use crate::xmlrpc::{Fault, FaultCode};

/// What was called, to name it in the error.
pub struct Called<'a> {
    pub model: &'a str,
    pub method: &'a str,
    /// The user in whose name it was called, if any.
    pub uid: Option<i64>,
}

/// A fault that the client can mend by itself, or an error for the user.
#[derive(Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The remembered uid is no longer right for these credentials: authenticate once more. Where the login is right,
    /// the method itself said so: this error.
    StaleLogin(Error),
    Error(Error),
}

/// Longest part of a traceback that goes into DETAIL, in characters.
const TRACEBACK: usize = 2_000;

pub fn read(fault: &Fault, account: &Account, called: &Called<'_>) -> Meaning {
    let text = account.redact(fault.string.trim());
    let message = text.clone();
    let error = match &fault.code {
        FaultCode::Int(3) => return Meaning::StaleLogin(denied(&message)),
        FaultCode::Text(code) if code == "AccessDenied" => return Meaning::StaleLogin(denied(&message)),
        FaultCode::Int(2) if names_user(&text, called.uid) => return Meaning::StaleLogin(refused(&message)),
        FaultCode::Int(2) if text.starts_with("Object ") && text.ends_with(" doesn't exist") => Error::UnknownModel {
            model: called.model.to_owned(),
            near: Vec::new(),
        },
        FaultCode::Int(2) => refused(&message),
        FaultCode::Int(4) => denied(&message),
        _ => read_traceback(&text, account, called),
    };
    Meaning::Error(error)
}

fn denied(message: &str) -> Error {
    Error::OdooAccess {
        message: first_paragraph(message),
    }
}

fn refused(message: &str) -> Error {
    Error::OdooFault {
        message: first_paragraph(message),
        traceback: rest_after_first_paragraph(message),
    }
}

/// Whether a fault is about the calling user's own record, as Python shows it: `res.users(7,)`. Any other user may be
/// what the call was about.
fn names_user(text: &str, uid: Option<i64>) -> bool {
    uid.is_some_and(|uid| text.contains(&format!("res.users({uid},")) || text.contains(&format!("res.users({uid})")))
}

/// Fault 1: a whole Python traceback, at whose end stands the cause.
fn read_traceback(text: &str, account: &Account, called: &Called<'_>) -> Error {
    let end = end_of_traceback(text);
    let first = end.lines().next().unwrap_or("no text").trim();
    let (exception, cause) = first.split_once(": ").unwrap_or(("", first));
    if exception.ends_with("OperationalError") {
        // Odoo's own text names the host and port of its database server: not for our users.
        return match end.contains("database \"") && end.trim_end().ends_with("does not exist") {
            true => Error::UnknownDatabase {
                dbname: account.dbname.clone(),
            },
            false => Error::OdooFault {
                message: "it cannot use its own database server".to_owned(),
                traceback: String::new(),
            },
        };
    }
    if let Some(field) = invalid_field(cause, called.model) {
        return Error::UnknownField {
            model: called.model.to_owned(),
            field,
            near: Vec::new(),
        };
    }
    // Raised while Odoo writes its answer, after the method's work was committed. The same from within the method is an
    // error like any other.
    if cause.starts_with("cannot marshal None") && !text.contains(", in dispatch_rpc") {
        return Error::NoneReturned {
            model: called.model.to_owned(),
            method: called.method.to_owned(),
        };
    }
    if exception == "AttributeError" && cause.starts_with("The method '") && cause.ends_with("' does not exist") {
        return Error::UnknownMethod {
            model: called.model.to_owned(),
            method: called.method.to_owned(),
        };
    }
    Error::OdooFault {
        message: first.to_owned(),
        traceback: tail(text, TRACEBACK),
    }
}

/// The exception and its message, which may have many lines: what follows the last frame, whose lines are all indented.
/// Text without frames: its last line.
fn end_of_traceback(text: &str) -> &str {
    let mut begins = None;
    let mut in_frame = false;
    let mut last = 0;
    let mut position = 0;
    for line in text.split_inclusive('\n') {
        if line.starts_with("  File \"") {
            (in_frame, begins) = (true, None);
        } else if in_frame && !line.starts_with(' ') && !line.trim().is_empty() {
            (in_frame, begins) = (false, Some(position));
        }
        if !line.trim().is_empty() {
            last = position;
        }
        position += line.len();
    }
    &text[begins.unwrap_or(last)..]
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
