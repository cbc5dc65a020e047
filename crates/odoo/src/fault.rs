//! Turns faults of Odoo into errors.
//!
//! The texts are those of Odoo 18 and 19. `tests/corpus` contains recorded examples.

mod json2;

pub use json2::read_json2;

use crate::Account;
use crate::error::{Error, SqlState};
use crate::xmlrpc::{Fault, FaultCode};

/// The meaning of a fault.
#[derive(Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The remembered uid may be outdated, so the client logs in again. If the login is valid, the
    /// method itself refused the call with this error.
    StaleLogin(Error),
    /// A state that passes by itself, so the client calls again. The error, if it does not pass.
    Passing(Error),
    /// Odoo does not take the secret for a valid API key. If it is one, the method itself refused
    /// the call with this error.
    RefusedKey(Error),
    /// JSON-2 cannot call the method with these arguments. Odoo has not called it.
    RefusedArguments(Error),
    /// An error for the user.
    Error(Error),
}

impl Meaning {
    /// The same meaning with clean texts.
    fn clean(self, account: &Account) -> Meaning {
        let clean = |error| account.cleaner().error(error);
        match self {
            Meaning::StaleLogin(error) => Meaning::StaleLogin(clean(error)),
            Meaning::RefusedKey(error) => Meaning::RefusedKey(clean(error)),
            Meaning::RefusedArguments(error) => Meaning::RefusedArguments(clean(error)),
            Meaning::Error(error) => Meaning::Error(clean(error)),
            Meaning::Passing(_) => self,
        }
    }
}

/// Determines the meaning of a fault of this method in XML-RPC.
///
/// `uid` is the user who called, unless the method needs no login.
pub fn read(fault: &Fault, account: &Account, model: &str, method: &str, uid: Option<i64>) -> Meaning {
    // The texts are cleaned last: a short password may be part of the words that decide.
    classified(fault, account, model, method, uid).clean(account)
}

fn classified(fault: &Fault, account: &Account, model: &str, method: &str, uid: Option<i64>) -> Meaning {
    let text = fault.string.trim();
    match &fault.code {
        FaultCode::Int(3) => Meaning::StaleLogin(denied(text)),
        FaultCode::Text(code) if code == "AccessDenied" => Meaning::StaleLogin(denied(text)),
        FaultCode::Int(2) if names_user(text, uid) => Meaning::StaleLogin(refused(text)),
        FaultCode::Int(2) if text.starts_with("Object ") && text.ends_with(" doesn't exist") => {
            Meaning::Error(Error::UnknownModel { model: model.to_owned(), near: Vec::new() })
        }
        FaultCode::Int(2) => Meaning::Error(refused(text)),
        FaultCode::Int(4) => Meaning::Error(denied(text)),
        _ => unexpected(text, account, model, method),
    }
}

/// The meaning of an unexpected error, which has a Python traceback.
fn unexpected(traceback: &str, account: &Account, model: &str, method: &str) -> Meaning {
    match read_traceback(traceback, account, model, method) {
        error @ Error::Unavailable(_) => Meaning::Passing(error),
        error => Meaning::Error(error),
    }
}

fn denied(text: &str) -> Error {
    Error::OdooAccess(first_paragraph(text).0)
}

fn refused(text: &str) -> Error {
    let (message, rest) = first_paragraph(text);
    Error::OdooFault { message: without_long_lists(&message), traceback: without_long_lists(rest) }
}

/// Numbers of a list that a text keeps.
const LISTED: usize = 5;

/// The text with only the first numbers of each list, such as `res.partner(1, 2, ...)`. Odoo names
/// every record of a page.
pub(super) fn without_long_lists(text: &str) -> String {
    let (mut short, mut listed, mut left_out) = (String::with_capacity(text.len()), 0, 0);
    for item in text.split_inclusive(", ") {
        let number = item.trim_end_matches(", ");
        let continues = number.len() < item.len();
        // The first number follows other text, and other text follows the last one.
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let begins = number.ends_with(|last: char| last.is_ascii_digit());
        match (is_number, continues) {
            (true, true) => listed += 1,
            (false, true) if begins => listed = 1,
            _ => {
                if left_out > 0 {
                    short.push_str(&format!("... ({left_out} more), "));
                }
                (listed, left_out) = (0, 0);
            }
        }
        match listed > LISTED {
            true => left_out += 1,
            false => short.push_str(item),
        }
    }
    short
}

/// The first paragraph in one line, and the text after it.
fn first_paragraph(text: &str) -> (String, &str) {
    let (first, rest) = text.split_once("\n\n").unwrap_or((text, ""));
    (first.trim().replace('\n', " "), rest.trim())
}

/// Whether a fault names the caller's own record in Python's notation, `res.users(7,)`. One that
/// names another user concerns the arguments of the call.
fn names_user(text: &str, uid: Option<i64>) -> bool {
    uid.is_some_and(|uid| text.contains(&format!("res.users({uid},")) || text.contains(&format!("res.users({uid})")))
}

/// Reads a complete Python traceback that ends with the cause, as fault 1 of XML-RPC has it.
fn read_traceback(text: &str, account: &Account, model: &str, method: &str) -> Error {
    let end = end_of_traceback(text);
    let first = end.lines().next().unwrap_or("no text").trim();
    let (exception, cause) = first.split_once(": ").unwrap_or(("", first));
    if exception.ends_with("OperationalError") {
        // Odoo's text contains host and port of its database server, which must not reach users.
        if end.contains("database \"") && end.trim_end().ends_with("does not exist") {
            let message = format!("Odoo has no database \"{}\"", account.dbname);
            return Error::user(SqlState::UndefinedDatabase, message).with_hint(
                "Set the dbname option of the server to the name of Odoo's database, as its login page or database \
                 manager shows it.",
            );
        }
    }
    if let Some(error) = of_server(exception, first) {
        return error;
    }
    if let Some(field) = invalid_field(cause, model) {
        return Error::UnknownField { model: model.to_owned(), field, near: Vec::new() };
    }
    // Odoo raises this while it writes the answer, after it committed the transaction. The same
    // text from within the method is an ordinary error.
    if cause.starts_with("cannot marshal None") && !text.contains(", in dispatch_rpc") {
        return Error::NoneReturned { model: model.to_owned(), method: method.to_owned() };
    }
    if exception == "AttributeError" && cause.starts_with("The method '") && cause.ends_with("' does not exist") {
        return Error::UnknownMethod { model: model.to_owned(), method: method.to_owned() };
    }
    Error::OdooFault { message: without_long_lists(first), traceback: without_long_lists(text) }
}

/// States of Odoo's server and its database that pass by themselves: what names them in the last
/// line of the traceback, and the cause for the user. Texts of Odoo's database driver contain host
/// and port of its database server, which must not reach users.
const PASSING: [(&str, &str); 10] = [
    ("PoolError", "all of its database connections are in use"),
    ("SerializationFailure", "other transactions keep changing the same rows"),
    ("could not serialize access", "other transactions keep changing the same rows"),
    ("DeadlockDetected", "other transactions keep locking the same rows"),
    ("deadlock detected", "other transactions keep locking the same rows"),
    ("LockNotAvailable", "another transaction locks the table"),
    ("AdminShutdown", "its database server closed the connection"),
    ("terminating connection due to administrator command", "its database server closed the connection"),
    ("InterfaceError", "its database server closed the connection"),
    ("OperationalError", "it cannot connect to its database server"),
];

/// Limits that a call reaches.
const EXHAUSTED: [(&str, &str); 4] = [
    ("MemoryError", "it ran out of memory"),
    ("psycopg2.errors.OutOfMemory", "its database server ran out of memory"),
    ("psycopg2.errors.QueryCanceled", "its database server cancelled the query"),
    ("CPU time limit exceeded", "the call reached the limit of CPU time (limit_time_cpu)"),
];

/// The error if the server, and not the call, is the cause. `first`: the line with the exception.
fn of_server(exception: &str, first: &str) -> Option<Error> {
    let find = |known: &[(&str, &'static str)]| {
        let named = |name: &str| {
            let is_name = !name.contains(' ');
            // The text of another exception may contain the name of one.
            if is_name { first == name || exception.ends_with(name) } else { first.contains(name) }
        };
        known.iter().find(|(name, _)| named(name)).map(|(_, cause)| *cause)
    };
    find(&PASSING).map(Error::Unavailable).or_else(|| find(&EXHAUSTED).map(Error::Exhausted))
}

/// The exception and its message, which may have many lines. They follow the last frame, whose
/// lines are all indented. Without frames it is the last line.
fn end_of_traceback(text: &str) -> &str {
    let (mut begins, mut in_frame, mut last, mut position) = (None, false, 0, 0);
    for line in text.split_inclusive('\n') {
        let is_blank = line.trim().is_empty();
        if line.starts_with("  File \"") {
            (in_frame, begins) = (true, None);
        } else if in_frame && !line.starts_with(' ') && !is_blank {
            (in_frame, begins) = (false, Some(position));
        }
        if !is_blank {
            last = position;
        }
        position += line.len();
    }
    &text[begins.unwrap_or(last)..]
}

/// The field in a message about an invalid field: `Invalid field 'x' on 'model'`, `Invalid field
/// model.x in condition` (Odoo 19) or `in leaf` (Odoo 18).
fn invalid_field(cause: &str, model: &str) -> Option<String> {
    let rest = cause.strip_prefix("Invalid field ")?;
    if let Some(quoted) = rest.strip_prefix('\'') {
        return quoted.split_once('\'').map(|(field, _)| field.to_owned());
    }
    let path = rest.split_whitespace().next()?;
    Some(path.strip_prefix(model).and_then(|path| path.strip_prefix('.')).unwrap_or(path).to_owned())
}
