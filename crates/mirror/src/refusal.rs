//! Errors that the user can correct. Each says what happened and what to do next.

use ipai_odoo::error::{Error, SqlState};

/// An error with a message and a hint.
pub fn refused(sqlstate: SqlState, message: impl Into<String>, hint: impl Into<String>) -> Error {
    Error::user(sqlstate, message).with_hint(hint)
}

/// The error for an invalid argument or option.
pub fn invalid(message: impl Into<String>, hint: impl Into<String>) -> Error {
    refused(SqlState::InvalidParameter, message, hint)
}
