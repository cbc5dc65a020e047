//! Turns errors of JSON-2 into the errors that XML-RPC's faults become.

use super::{Meaning, denied, refused, unexpected};
use crate::Account;
use crate::error::Error;
use crate::json2::Fault;

/// Determines the meaning of an error of this method.
pub fn read_json2(fault: &Fault, account: &Account, model: &str, method: &str) -> Meaning {
    classified(fault, account, model, method).clean(account)
}

/// The exception decides, because Odoo uses status 404 for an unknown model and a deleted record.
fn classified(fault: &Fault, account: &Account, model: &str, method: &str) -> Meaning {
    let text = fault.message.trim();
    let (module, exception) = fault.exception.rsplit_once('.').unwrap_or(("", &fault.exception));
    match (module, exception) {
        (_, "Unauthorized") => Meaning::RefusedKey(denied(text)),
        (_, "AccessError" | "AccessDenied" | "SessionExpiredException") => Meaning::Error(denied(text)),
        ("werkzeug.exceptions", "NotFound") if text.starts_with("the model '") => {
            Meaning::Error(Error::UnknownModel { model: model.to_owned(), near: Vec::new() })
        }
        ("werkzeug.exceptions", "NotFound") if text.starts_with("The method '") => {
            Meaning::Error(Error::UnknownMethod { model: model.to_owned(), method: method.to_owned() })
        }
        ("werkzeug.exceptions", "UnprocessableEntity") if is_of_signature(text, model, method) => {
            Meaning::RefusedArguments(refused(text))
        }
        ("odoo.exceptions" | "werkzeug.exceptions", _) => Meaning::Error(refused(text)),
        _ if fault.status < 500 => Meaning::Error(refused(text)),
        // Odoo may be configured to hide tracebacks.
        _ if fault.traceback.trim().is_empty() => {
            let exception = fault.exception.trim_start_matches("builtins.");
            // As a traceback ends.
            let end = match text.lines().next() {
                Some(message) => format!("{exception}: {message}"),
                None => exception.to_owned(),
            };
            unexpected(&end, account, model, method)
        }
        _ => unexpected(fault.traceback.trim(), account, model, method),
    }
}

/// Whether Odoo refused the arguments before it called the method, which may use the same
/// exception.
fn is_of_signature(text: &str, model: &str, method: &str) -> bool {
    text == format!("cannot call {model}.{method} with ids") || text.starts_with("missing a required argument: ")
}
