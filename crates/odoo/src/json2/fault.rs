//! Reads the errors of JSON-2.

use serde::Deserialize;

/// An error that Odoo reports, with an HTTP status other than 200.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The HTTP status.
    pub status: u16,
    /// The Python exception with its module, such as `odoo.exceptions.AccessError`.
    pub exception: String,
    /// The message for the user.
    pub message: String,
    /// The Python traceback.
    pub traceback: String,
}

/// The members of the body that the client needs.
#[derive(Deserialize)]
struct Body {
    name: String,
    message: String,
    #[serde(default)]
    debug: String,
}

impl Fault {
    /// Reads the body of an error. `None` if Odoo did not write it: a proxy sends JSON as well.
    pub fn read(status: u16, body: &[u8]) -> Option<Fault> {
        let Body { name, message, debug } = serde_json::from_slice(body).ok()?;
        Some(Fault { status, exception: name, message, traceback: debug })
    }
}
