//! Defines the error type of the project: message, DETAIL, HINT and SQLSTATE.
//!
//! The message says what happened, DETAIL has the facts, and HINT names the next action. No error
//! may contain a secret, or the text of an answer that Odoo did not write.

mod explain;
mod sqlstate;

pub use sqlstate::SqlState;

/// A result with the error type of the project.
pub type Result<T> = std::result::Result<T, Error>;

/// An error. Errors that code acts on have variants of their own, and [`Error::user`] makes others.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The connection broke during an exchange.
    #[error("the connection to Odoo failed: {cause}")]
    Connection {
        /// The cause, as the system reports it.
        cause: String,
    },
    /// No complete answer within the time limit in seconds.
    #[error("Odoo did not answer within {0} s")]
    Timeout(u64),
    /// An answer with an HTTP status that Odoo's methods do not send.
    #[error("Odoo answered HTTP status {0}")]
    HttpStatus(u16),
    /// The Odoo user lacks a right. Holds Odoo's message.
    #[error("Odoo denies access: {0}")]
    OdooAccess(String),
    /// Odoo has no such model.
    #[error("Odoo has no model \"{model}\"")]
    UnknownModel {
        /// Name of the model.
        model: String,
        /// Similar names that exist.
        near: Vec<String>,
    },
    /// The model has no such field.
    #[error("Odoo has no field \"{field}\" in model \"{model}\"")]
    UnknownField {
        /// Name of the model.
        model: String,
        /// Name of the field.
        field: String,
        /// Similar names that exist.
        near: Vec<String>,
    },
    /// The model has no such method.
    #[error("Odoo has no method \"{method}\" in model \"{model}\"")]
    UnknownMethod {
        /// Name of the model.
        model: String,
        /// Name of the method.
        method: String,
    },
    /// A method completed, and its result contains a Python `None`.
    #[error("method \"{method}\" of model \"{model}\" returned None, which XML-RPC cannot carry")]
    NoneReturned {
        /// Name of the model.
        model: String,
        /// Name of the method.
        method: String,
    },
    /// Odoo reported any other error.
    #[error("Odoo answered with an error: {message}")]
    OdooFault {
        /// Odoo's message.
        message: String,
        /// The end of Odoo's traceback. Empty if there is none.
        traceback: String,
    },
    /// The answer is not a complete document in the expected form.
    #[error("the answer is not valid: {cause}")]
    Malformed {
        /// The problem, without text of the answer.
        cause: String,
    },
    /// Odoo or its database reached a limit of memory or time within the call.
    #[error("Odoo could not complete the call: {0}")]
    Exhausted(&'static str),
    /// A fault of Odoo that passes by itself, after all retries.
    #[error("Odoo is temporarily unavailable: {0}")]
    Unavailable(&'static str),
    /// A call for a model failed.
    #[error("cannot read model \"{model}\": {error}")]
    Model {
        /// Name of the model.
        model: String,
        /// The error, which does not name the model.
        error: Box<Error>,
    },
    /// A call for records failed, and Odoo answered another request after it.
    #[error("Odoo cannot send {}: {error}", records(*number, model, *id, field.as_deref()))]
    Records {
        /// Name of the model.
        model: String,
        /// Id of the first record.
        id: i64,
        /// The most records that the call asked for.
        number: u64,
        /// The field that causes the error, where one record was asked for and the field is known.
        field: Option<String>,
        /// The error.
        error: Box<Error>,
    },
    /// Values of these fields contain a Python `None`, so a run leaves the fields out.
    #[error("XML-RPC cannot carry values of field \"{}\" in model \"{model}\"", fields.join("\", \""))]
    UncarriedFields {
        /// Name of the model.
        model: String,
        /// Names of the fields.
        fields: Vec<String>,
    },
    /// The answer is too large.
    #[error("the answer is over the limit of {limit}")]
    Limit {
        /// The limit with its unit.
        limit: String,
        /// The next action.
        hint: String,
    },
    /// A value of Odoo does not fit into its column.
    #[error("value of {model} id {id} field \"{field}\" does not fit: {cause}")]
    Value {
        /// Name of the model.
        model: String,
        /// Id of the record.
        id: i64,
        /// Name of the field.
        field: String,
        /// The problem, without the value.
        cause: String,
    },
    /// A call failed after the client sent it, and the client must not repeat it.
    #[error("{0}")]
    MayHaveHappened(Box<Error>),
    /// Another session holds the lock of the mirror.
    #[error("mirror \"{mirror}\" is in use: another session syncs or changes it")]
    Busy {
        /// Name of the mirror.
        mirror: String,
        /// The session, unless it has released the lock since.
        holder: Option<LockHolder>,
    },
    /// The deletion guard refused to delete rows.
    #[error("refused to delete {rows} of the {total} rows of mirror \"{mirror}\"")]
    RefusedDeletion {
        /// Name of the mirror.
        mirror: String,
        /// Number of rows that no longer exist in Odoo.
        rows: u64,
        /// Number of rows of the mirror.
        total: u64,
        /// Number of rows that the run may delete.
        allowed: u64,
    },
    /// Odoo's database is not the one that filled the mirror.
    #[error("Odoo's database is not the one that mirror \"{mirror}\" was filled from")]
    OtherDatabase {
        /// Name of the mirror.
        mirror: String,
    },
    /// The caller started `run_sync` inside a transaction.
    #[error("run_sync cannot run inside a transaction")]
    InTransaction,
    /// Several mirrors were to run, and some of them failed.
    #[error("{} of {total} mirrors failed: {}", .failures.len(), names(.failures))]
    MultipleMirrorsFailed {
        /// The mirrors that failed, with their errors.
        failures: Vec<(String, Error)>,
        /// Number of mirrors that were to run.
        total: usize,
    },
    /// An error of Postgres, or one that the user can correct. Code acts only on its SQLSTATE.
    #[error("{}", .0.message)]
    Postgres(Box<PostgresError>),
    /// The client of the session disconnected.
    #[error("the connection to the client was lost")]
    ClientGone,
    /// The caller cancelled the exchange. Only the fetching thread sees this error, and ends.
    #[error("cancelled")]
    Cancelled,
    /// A defect of ipai_sync.
    #[error("internal error of ipai_sync: {cause}")]
    Internal {
        /// The problem.
        cause: String,
    },
}

/// The session that holds the lock of a mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockHolder {
    /// The process id of its backend.
    pub pid: i32,
    /// A sentence about the session, for the DETAIL.
    pub detail: String,
}

/// An error with the parts that Postgres reports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PostgresError {
    /// The SQLSTATE, five characters.
    pub sqlstate: String,
    /// The message.
    pub message: String,
    /// The DETAIL.
    pub detail: Option<String>,
    /// The HINT.
    pub hint: Option<String>,
    /// Name of the violated constraint.
    pub constraint: Option<String>,
    /// Whether a time-out of Postgres cancelled the statement.
    pub timed_out: bool,
}

impl Error {
    /// An error that the user can correct. The message says what happened.
    pub fn user(sqlstate: SqlState, message: impl Into<String>) -> Self {
        Error::Postgres(Box::new(PostgresError {
            sqlstate: sqlstate.code().to_owned(),
            message: message.into(),
            ..PostgresError::default()
        }))
    }

    /// Sets the DETAIL of an [`Error::user`].
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        if let Error::Postgres(error) = &mut self {
            error.detail = Some(detail.into());
        }
        self
    }

    /// Sets the HINT of an [`Error::user`].
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        if let Error::Postgres(error) = &mut self {
            error.hint = Some(hint.into());
        }
        self
    }

    /// An internal error, with the action that failed and the cause.
    pub fn internal(action: &str, cause: &dyn std::error::Error) -> Self {
        Error::Internal { cause: format!("{action}: {cause}") }
    }

    /// Names the model that a call read, unless the error does already, or concerns every model.
    pub fn of_model(self, model: &str) -> Self {
        match self {
            Error::Connection { .. }
            | Error::Timeout(_)
            | Error::HttpStatus(_)
            | Error::OdooAccess(_)
            | Error::OdooFault { .. }
            | Error::Malformed { .. }
            | Error::Exhausted(_)
            | Error::Unavailable(_)
            | Error::Limit { .. } => Error::Model { model: model.to_owned(), error: Box::new(self) },
            error => error,
        }
    }

    /// The SQLSTATE, five characters.
    pub fn sqlstate(&self) -> &str {
        match self {
            Error::Connection { .. } | Error::Timeout(_) | Error::HttpStatus(429 | 500..) => "08006",
            Error::ClientGone | Error::Unavailable(_) => "08006",
            Error::HttpStatus(_) | Error::Malformed { .. } => "08P01",
            Error::OdooAccess(_) => "42501",
            Error::UnknownModel { .. } => "42704",
            Error::UnknownField { .. } => "42703",
            Error::UnknownMethod { .. } => "42883",
            Error::OdooFault { .. } | Error::NoneReturned { .. } => "38000",
            Error::Exhausted(_) | Error::UncarriedFields { .. } => "38000",
            Error::Model { error, .. } | Error::Records { error, .. } => error.sqlstate(),
            Error::Limit { .. } => "54000",
            Error::Value { .. } => "22000",
            Error::Busy { .. } => "55P03",
            Error::RefusedDeletion { .. } | Error::OtherDatabase { .. } => "55000",
            Error::MayHaveHappened(error) => error.sqlstate(),
            Error::Cancelled => "57014",
            Error::InTransaction => "2D000",
            Error::MultipleMirrorsFailed { failures, .. } => {
                failures.first().map_or("XX000", |(_, error)| error.sqlstate())
            }
            Error::Postgres(error) => &error.sqlstate,
            Error::Internal { .. } => "XX000",
        }
    }

    /// Whether the same request for fewer records may succeed: it is too large, or one record or
    /// field causes the error.
    pub fn fewer_records_may_help(&self) -> bool {
        match self {
            // Odoo's words for a model, of which the user may read no record.
            Error::OdooAccess(text) => !text.starts_with("You are not allowed to access '"),
            Error::OdooFault { .. } => true,
            error => error.may_be_of_size(),
        }
    }

    /// Whether the number of records may cause the error.
    pub fn may_be_of_size(&self) -> bool {
        self.is_of_exchange() || matches!(self, Error::HttpStatus(413) | Error::Limit { .. } | Error::Exhausted(_))
    }

    /// Whether a field that is gone, or has another type, may cause the error.
    pub fn may_be_of_field(&self) -> bool {
        match self {
            Error::Records { error, .. } => error.may_be_of_field(),
            Error::UnknownField { .. } | Error::Value { .. } | Error::Malformed { .. } => true,
            Error::OdooAccess(_) | Error::OdooFault { .. } => true,
            _ => false,
        }
    }

    /// Whether the exchange failed without an answer of Odoo: Odoo is down, or its worker or the
    /// proxy in front of it has ended the call.
    pub fn is_of_exchange(&self) -> bool {
        matches!(self, Error::Connection { .. } | Error::Timeout(_) | Error::HttpStatus(500..))
    }

    /// The model and id of the only record that causes the error, if it is known.
    pub fn record(&self) -> Option<(&str, i64)> {
        match self {
            Error::Value { model, id, .. } | Error::Records { model, id, number: 1, .. } => Some((model, *id)),
            _ => None,
        }
    }

    /// The field of that record that causes the error, if it is known.
    pub fn field(&self) -> Option<&str> {
        match self {
            Error::Value { field, .. } => Some(field),
            Error::Records { field, .. } => field.as_deref(),
            _ => None,
        }
    }

    /// Whether the session with the database, or its client, is lost.
    pub fn is_of_session(&self) -> bool {
        match self {
            Error::ClientGone => true,
            Error::Postgres(error) => error.sqlstate == "08006",
            _ => false,
        }
    }

    /// Whether a time-out of Postgres caused the error, and not a cancel by a person.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Error::Postgres(error) if error.timed_out)
    }

    /// Name of the constraint that Postgres reports as violated.
    pub fn constraint(&self) -> Option<&str> {
        let Error::Postgres(error) = self else { return None };
        error.constraint.as_deref()
    }
}

fn names(failures: &[(String, Error)]) -> String {
    failures.iter().map(|(mirror, _)| mirror.as_str()).collect::<Vec<_>>().join(", ")
}

/// Names the records of an error, from the first one.
fn records(number: u64, model: &str, id: i64, field: Option<&str>) -> String {
    match (number, field) {
        (1, Some(field)) => format!("field \"{field}\" of {model} id {id}"),
        (1, None) => format!("{model} id {id}"),
        _ => format!("{number} records of {model} from id {id}"),
    }
}
