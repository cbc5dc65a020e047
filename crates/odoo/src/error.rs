//! Defines the error type of the project: message, DETAIL, HINT and SQLSTATE.
//!
//! The message says what happened, DETAIL has the facts, and HINT names the next action. No error
//! may contain a secret, or the text of an answer that is not XML-RPC.

mod sqlstate;

pub use sqlstate::SqlState;

use crate::text::quote_literal;

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
    /// An answer with a status other than 200.
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
    /// The answer is not a complete document of XML-RPC in the expected form.
    #[error("the answer is not valid XML-RPC: {cause}")]
    Malformed {
        /// The problem, without text of the answer.
        cause: String,
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

    /// The SQLSTATE, five characters.
    pub fn sqlstate(&self) -> &str {
        match self {
            Error::Connection { .. } | Error::Timeout(_) | Error::HttpStatus(429 | 500..) => "08006",
            Error::ClientGone => "08006",
            Error::HttpStatus(_) | Error::Malformed { .. } => "08P01",
            Error::OdooAccess(_) => "42501",
            Error::UnknownModel { .. } => "42704",
            Error::UnknownField { .. } => "42703",
            Error::UnknownMethod { .. } => "42883",
            Error::OdooFault { .. } | Error::NoneReturned { .. } => "38000",
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

    /// The DETAIL: facts in addition to the message.
    pub fn detail(&self) -> Option<String> {
        let detail = match self {
            Error::Postgres(error) => return error.detail.clone(),
            Error::MayHaveHappened(error) => return error.detail(),
            Error::Busy { holder, .. } => return holder.as_ref().map(|holder| holder.detail.clone()),
            Error::OdooFault { traceback, .. } if !traceback.is_empty() => traceback,
            Error::MultipleMirrorsFailed { failures, .. } => {
                let line = |(mirror, error): &(String, Error)| format!("{mirror}: {error} ({})", error.sqlstate());
                return Some(failures.iter().map(line).collect::<Vec<_>>().join("\n"));
            }
            Error::RefusedDeletion { allowed, .. } => {
                return Some(format!(
                    "Odoo no longer returns these records. One run may delete at most {allowed} rows."
                ));
            }
            Error::InTransaction => {
                "run_sync commits after each page. Functions, blocks with exception handlers and statements that are \
                 sent together also run in a transaction."
            }
            Error::OtherDatabase { .. } => {
                "The uuid of the database or the creation date of its first company differs. The same id may belong to \
                 another record."
            }
            _ => return None,
        };
        Some(detail.to_owned())
    }

    /// The HINT: the next action.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Error::Postgres(error) => return error.hint.clone(),
            Error::ClientGone | Error::Cancelled => return None,
            Error::Limit { hint, .. } => hint,
            Error::Connection { .. } => {
                "Run the sync again. Nothing was lost. If the error persists, check Odoo's log and the proxy in front \
                 of Odoo."
            }
            Error::Timeout(_) => {
                "If Odoo is slow, raise the timeout option of the server or lower the page size of the mirror. Nothing \
                 was lost."
            }
            Error::HttpStatus(401 | 403 | 407) => {
                "Something in front of Odoo (a proxy, a firewall, basic authentication) refuses the request. Let it \
                 pass requests to /xmlrpc/2/."
            }
            Error::HttpStatus(404 | 405) => {
                "There is no XML-RPC at this address. Set the url option of the server to the address of Odoo without \
                 a path, such as https://erp.example.com."
            }
            Error::HttpStatus(429 | 500..) => {
                "Odoo or the proxy in front of it is overloaded or down. Run the sync again later. Nothing was lost."
            }
            Error::HttpStatus(_) => "Check that the url option of the server is the address of Odoo.",
            Error::OdooAccess(message) if message.starts_with("Private methods") => {
                "Call a method whose name does not start with an underscore, and that Odoo does not mark as private."
            }
            Error::OdooAccess(_) => "Give the Odoo user of the user mapping read access to this model.",
            Error::UnknownModel { near, .. } | Error::UnknownField { near, .. } if !near.is_empty() => {
                return Some(format!("Perhaps you mean {}.", near.join(" or ")));
            }
            Error::UnknownModel { .. } => {
                "Install the Odoo module that defines it (Odoo, Apps), or check the spelling."
            }
            Error::UnknownField { .. } => {
                "Check the spelling, and that the installed version of the Odoo module has the field."
            }
            Error::UnknownMethod { .. } => {
                "Check the spelling, and that the installed version of the Odoo module has the method."
            }
            Error::OdooFault { .. } => "See Odoo's log for the complete error.",
            Error::NoneReturned { method, .. } if method == "search_read" || method == "read" => {
                "The value of a json field may contain null. Leave such fields out of the mirror: \
                 ipai.refresh_mirror(..., drop_fields => '{...}')."
            }
            Error::NoneReturned { .. } => {
                "Do not repeat the call: Odoo has executed the method, and only its result is lost."
            }
            Error::Malformed { .. } => {
                "Something other than Odoo's XML-RPC answered, or the answer was damaged. Check that the url option of \
                 the server is the address of Odoo itself and not of a login page or portal."
            }
            Error::Value { .. } => "Correct the value in Odoo, or the type of the column.",
            Error::Busy { holder: None, .. } => "Wait until the other session has finished, then try again.",
            Error::Busy { holder: Some(holder), .. } => {
                return Some(format!(
                    "Wait until the other session has finished, then try again. If process {0} is not a run, end it: \
                     select pg_terminate_backend({0});",
                    holder.pid
                ));
            }
            Error::MayHaveHappened(_) => "Odoo may have executed the call. Check in Odoo before you repeat it.",
            Error::RefusedDeletion { mirror, .. } => {
                let mirror = quote_literal(mirror);
                return Some(format!(
                    "If Odoo is right, repeat with a higher limit: call ipai.run_sync({mirror}, max_delete_ratio => \
                     1), or select * from ipai.sync_mirror({mirror}, max_delete_ratio => 1). Nothing was deleted."
                ));
            }
            Error::OtherDatabase { mirror } => {
                return Some(format!(
                    "If the mirror should follow this database, run: call ipai.run_sync({}, 'full', \
                     max_delete_ratio => 1). The run deletes rows that this database does not have. Nothing was changed.",
                    quote_literal(mirror)
                ));
            }
            Error::InTransaction => {
                "Send the call as the only statement, outside of a transaction: from psql, pg_cron or an editor page \
                 with no other statement. Inside a transaction, use ipai.sync_mirror()."
            }
            Error::MultipleMirrorsFailed { failures, .. } => match failures.as_slice() {
                [(_, only)] => return only.hint(),
                _ => "See ipai.sync_runs for the complete error messages.",
            },
            Error::Internal { .. } => "Report this error.",
        };
        Some(hint.to_owned())
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
