//! The one error type of the project: what happened (message), the facts (detail), the next step (hint), and the
//! SQLSTATE.
//!
//! Each host reports it in one place. No error may hold a secret, or the text of an answer that is not XML-RPC.

pub type Result<T> = std::result::Result<T, Error>;

/// A variant for each error that code acts on, and [`Error::User`] for the others.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Something that the user did or must do. Code acts only on the SQLSTATE.
    #[error("{}", .0.message)]
    User(Box<UserError>),
    #[error("could not connect to Odoo at {url}")]
    Connect { url: String, cause: String, hint: String },
    #[error("Odoo at {url} redirects to another address")]
    Redirect { url: String, location: String },
    #[error("the connection to Odoo failed: {cause}")]
    Connection { cause: String },
    #[error("Odoo did not answer within {seconds} s")]
    Timeout { seconds: u64 },
    #[error("Odoo answered HTTP status {status}")]
    HttpStatus { status: u16 },
    #[error("Odoo authentication failed")]
    Authentication { login: String },
    #[error("Odoo has no database \"{dbname}\"")]
    UnknownDatabase { dbname: String },
    #[error("Odoo denies access: {message}")]
    OdooAccess { message: String },
    #[error("Odoo has no model \"{model}\"")]
    UnknownModel {
        model: String,
        /// Names that may be meant.
        near: Vec<String>,
    },
    #[error("Odoo has no field \"{field}\" in model \"{model}\"")]
    UnknownField {
        model: String,
        field: String,
        /// Names that may be meant.
        near: Vec<String>,
    },
    #[error("Odoo has no method \"{method}\" in model \"{model}\"")]
    UnknownMethod { model: String, method: String },
    #[error("method \"{method}\" of model \"{model}\" returned None, which XML-RPC cannot carry")]
    NoneReturned { model: String, method: String },
    #[error("Odoo answered with an error: {message}")]
    OdooFault { message: String, traceback: String },
    #[error("the answer is not valid XML-RPC: {cause}")]
    Malformed { cause: String },
    #[error("the answer is over the limit of {limit}")]
    Limit { limit: String, hint: String },
    #[error("{argument} contains the character U+{character:04X}, which XML-RPC cannot carry")]
    Unencodable { argument: String, character: u32 },
    #[error("value of {model} id {id} field \"{field}\" does not fit: {cause}")]
    Value {
        model: String,
        id: i64,
        field: String,
        cause: String,
    },
    /// A record that the mirror's table does not take.
    #[error("record {id} of {model} does not fit into the mirror{}: {cause}", of_field(.field))]
    Record {
        model: String,
        id: i64,
        /// Odoo's name of the field whose value is refused, where that is known.
        field: Option<String>,
        cause: Box<Error>,
    },
    /// A call that is not sent again went wrong after it was sent.
    #[error("{0}")]
    MayHaveHappened(Box<Error>),
    #[error("the library of ipai_sync is version {library}, the extension in this database is {installed}")]
    Outdated { library: String, installed: String },
    #[error("mirror \"{mirror}\" is in use: another session syncs or changes it")]
    Busy { mirror: String },
    #[error("refused to delete {rows} of the {total} rows of mirror \"{mirror}\"")]
    RefusedDeletion {
        mirror: String,
        rows: u64,
        total: u64,
        allowed: u64,
    },
    #[error("Odoo's database is not the one that mirror \"{mirror}\" was filled from")]
    OtherDatabase { mirror: String },
    #[error("run_sync cannot run inside a transaction")]
    InTransaction,
    #[error("{} of {total} mirrors failed: {}", .failures.len(), names(.failures))]
    MultipleMirrorsFailed {
        failures: Vec<(String, Error)>,
        total: usize,
    },
    /// An error that Postgres raised, caught to be recorded.
    #[error("{message}")]
    Postgres {
        sqlstate: String,
        message: String,
        detail: Option<String>,
        hint: Option<String>,
        /// Name of the violated constraint.
        constraint: Option<String>,
        /// Whether a time-out of Postgres cancelled the statement.
        timed_out: bool,
    },
    #[error("the client of this session is gone")]
    ClientGone,
    /// The waiting side gave up: the fetching thread ends, nobody sees this error.
    #[error("cancelled")]
    Cancelled,
    #[error("internal error of ipai_sync: {cause}")]
    Internal { cause: String },
}

/// The SQLSTATEs of errors that a user can mend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SqlState {
    InvalidParameter,
    InvalidOption,
    UndefinedObject,
    UndefinedTable,
    UndefinedColumn,
    DuplicateObject,
    DuplicateTable,
    ObjectInUse,
    InsufficientPrivilege,
}

impl SqlState {
    /// Five characters.
    pub fn code(self) -> &'static str {
        match self {
            SqlState::InvalidParameter => "22023",
            SqlState::InvalidOption => "HV00D",
            SqlState::UndefinedObject => "42704",
            SqlState::UndefinedTable => "42P01",
            SqlState::UndefinedColumn => "42703",
            SqlState::DuplicateObject => "42710",
            SqlState::DuplicateTable => "42P07",
            SqlState::ObjectInUse => "55006",
            SqlState::InsufficientPrivilege => "42501",
        }
    }
}

/// The content of [`Error::User`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserError {
    pub sqlstate: SqlState,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
}

impl Error {
    /// An error that a user can mend. The message says what happened.
    pub fn user(sqlstate: SqlState, message: impl Into<String>) -> Self {
        Error::User(Box::new(UserError {
            sqlstate,
            message: message.into(),
            detail: None,
            hint: None,
        }))
    }

    /// Adds the facts to an error of a user.
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        if let Error::User(error) = &mut self {
            error.detail = Some(detail.into());
        }
        self
    }

    /// Adds the next step to an error of a user.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        if let Error::User(error) = &mut self {
            error.hint = Some(hint.into());
        }
        self
    }

    /// Five characters, as Postgres reports them.
    pub fn sqlstate(&self) -> &str {
        match self {
            Error::User(error) => error.sqlstate.code(),
            Error::Connect { .. } | Error::Redirect { .. } => "08001",
            Error::Connection { .. } | Error::Timeout { .. } | Error::ClientGone => "08006",
            Error::HttpStatus { status } => match status {
                429 | 500.. => "08006",
                _ => "08P01",
            },
            Error::Authentication { .. } => "28P01",
            Error::UnknownDatabase { .. } => "3D000",
            Error::OdooAccess { .. } => "42501",
            Error::UnknownModel { .. } => "42704",
            Error::UnknownField { .. } => "42703",
            Error::UnknownMethod { .. } => "42883",
            Error::OdooFault { .. } | Error::NoneReturned { .. } => "38000",
            Error::Malformed { .. } => "08P01",
            Error::Limit { .. } => "54000",
            Error::Unencodable { .. } => "22021",
            Error::Value { .. } => "22000",
            Error::Busy { .. } => "55P03",
            Error::RefusedDeletion { .. } | Error::OtherDatabase { .. } | Error::Outdated { .. } => "55000",
            Error::MayHaveHappened(error) | Error::Record { cause: error, .. } => error.sqlstate(),
            Error::Cancelled => "57014",
            Error::InTransaction => "2D000",
            Error::MultipleMirrorsFailed { failures, .. } => {
                failures.first().map_or("XX000", |(_, error)| error.sqlstate())
            }
            Error::Postgres { sqlstate, .. } => sqlstate,
            Error::Internal { .. } => "XX000",
        }
    }

    /// Whether a time-out of Postgres is the cause, and not a person who cancelled.
    pub fn is_timeout(&self) -> bool {
        match self {
            Error::Postgres { timed_out, .. } => *timed_out,
            Error::MayHaveHappened(error) | Error::Record { cause: error, .. } => error.is_timeout(),
            _ => false,
        }
    }

    /// Name of the constraint that Postgres reports as violated.
    pub fn constraint(&self) -> Option<&str> {
        match self {
            Error::Postgres { constraint, .. } => constraint.as_deref(),
            Error::Record { cause: error, .. } => error.constraint(),
            _ => None,
        }
    }

    /// Facts beside the message, for the DETAIL line.
    pub fn detail(&self) -> Option<String> {
        match self {
            Error::User(error) => error.detail.clone(),
            Error::Connect { cause, .. } => Some(cause.clone()),
            Error::Authentication { login } => Some(format!("User \"{login}\" was refused.")),
            Error::OdooFault { traceback, .. } if !traceback.is_empty() => Some(traceback.clone()),
            Error::MultipleMirrorsFailed { failures, .. } => Some(
                failures
                    .iter()
                    .map(|(mirror, error)| format!("{mirror}: {error} ({})", error.sqlstate()))
                    .collect::<Vec<_>>()
                    .join("\n"),
            ),
            Error::Postgres { detail, .. } => detail.clone(),
            Error::MayHaveHappened(error) | Error::Record { cause: error, .. } => error.detail(),
            Error::InTransaction => Some(
                "It commits each page. A function, a block that catches errors and statements sent together are transactions too."
                    .into(),
            ),
            Error::OtherDatabase { .. } => Some(
                "Its database.uuid, or when its first company was made, is another: ids of the one mean nothing in the other.".to_owned(),
            ),
            Error::RefusedDeletion { allowed, .. } => Some(format!(
                "Odoo no longer shows these records. At most {allowed} rows may be deleted in one run."
            )),
            _ => None,
        }
    }

    /// What to do next, for the HINT line.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Error::User(error) => return error.hint.clone(),
            Error::Connect { hint, .. }
            | Error::Limit { hint, .. } => hint.clone(),
            Error::Redirect { location, .. } => format!(
                "Redirects are not followed, because the request holds the password. If {location} is the right \
                 address, set it as the url option of the server."
            ),
            Error::Connection { .. } => {
                "Nothing was lost. Run the sync again; if it happens again, look at Odoo's log \
                 and at the proxy in front of it."
                    .into()
            }
            Error::Timeout { .. } => {
                "Nothing was lost. If Odoo is only slow, raise the timeout option of the server or \
                 lower the page size of the mirror."
                    .into()
            }
            Error::HttpStatus { status } => match status {
                401 | 403 | 407 => {
                    "Something in front of Odoo (a proxy, a firewall, basic authentication) refuses the \
                     request. Let it pass requests to /xmlrpc/2/."
                        .into()
                }
                404 | 405 => {
                    "There is no XML-RPC at this address. The url option of the server is the address of Odoo \
                     itself, without a path: https://erp.example.com."
                        .into()
                }
                429 | 500.. => {
                    "Odoo or the proxy in front of it is overloaded or down. Nothing was lost; run the sync \
                     again later."
                        .into()
                }
                _ => "Check that the url option of the server is the address of Odoo.".into(),
            },
            Error::Authentication { .. } => {
                "Check the user and password (or API key) of the user mapping, and that the \
                 user is active in Odoo."
                    .into()
            }
            Error::UnknownDatabase { .. } => "Set the dbname option of the server to the name of Odoo's database, as \
                 its login page or database manager shows it."
                .into(),
            Error::OdooAccess { message } if message.starts_with("Private methods") => {
                "Call one without the underscore, or one that Odoo does not keep to itself.".into()
            }
            Error::OdooAccess { .. } => "Give the Odoo user of the user mapping read access to this model.".into(),
            Error::UnknownModel { near, .. } | Error::UnknownField { near, .. } if !near.is_empty() => {
                format!("Perhaps you mean {}.", near.join(" or "))
            }
            Error::UnknownModel { .. } => {
                "Install the Odoo module that defines it (Odoo, Apps), or check the spelling.".into()
            }
            Error::UnknownField { .. } => "Check the spelling, and that the installed version of the Odoo module has \
                 the field."
                .into(),
            Error::UnknownMethod { .. } => "Check the spelling, and that the installed version of the Odoo module has \
                 the method."
                .into(),
            Error::OdooFault { .. } => "Odoo's own log has the whole story.".into(),
            Error::NoneReturned { method, .. } if method == "search_read" || method == "read" => {
                "A json field may have a null in its value. Leave such fields out of the mirror: ipai.refresh_mirror(..., \
                 drop_fields => '{...}')."
                    .into()
            }
            Error::NoneReturned { .. } => "Odoo has done what the method does; only its result is lost.".into(),
            Error::Malformed { .. } => {
                "Something other than Odoo's XML-RPC answered, or the answer was damaged. Check \
                 that the url option of the server is the address of Odoo itself and not of a login page or portal."
                    .into()
            }
            Error::Unencodable { .. } => "Remove the character.".into(),
            Error::Value { .. } => "Correct the value in Odoo, or the type of the column.".into(),
            Error::Record { .. } => {
                "Correct the record in Odoo, or change what the mirror's table demands: its types, constraints and triggers.".into()
            }
            Error::Busy { .. } => "Wait until it has ended, and try again.".into(),
            Error::MayHaveHappened(_) => {
                "It was sent once and is not sent again: Odoo may have carried it out. Look there before you call it again.".into()
            }
            Error::Outdated { .. } => {
                "As a superuser (on Supabase: supabase_admin): alter extension ipai_sync update;".into()
            }
            Error::RefusedDeletion { mirror, .. } => format!(
                "Nothing was deleted. If Odoo is right, repeat with a higher limit: call ipai.run_sync('{mirror}', \
                 max_delete_ratio => 1), or select * from ipai.sync_mirror('{mirror}', max_delete_ratio => 1)."
            ),
            Error::OtherDatabase { mirror } => format!(
                "Nothing was changed. If that is right, say so: call ipai.run_sync('{mirror}', 'full', max_delete_ratio => 1). It deletes \
                 what this database does not have."
            ),
            Error::InTransaction => "Send it as the only statement, outside of a transaction: by psql, pg_cron or an \
                 editor page with nothing else. Inside a transaction use ipai.sync_mirror()."
                .into(),
            Error::MultipleMirrorsFailed { failures, .. } => match failures.as_slice() {
                [(_, only)] => return only.hint(),
                _ => "See ipai.sync_runs for the complete error messages.".into(),
            },
            Error::Postgres { hint, .. } => return hint.clone(),
            Error::ClientGone | Error::Cancelled => return None,
            Error::Internal { .. } => "Please report this.".into(),
        };
        Some(hint)
    }
}

fn of_field(field: &Option<String>) -> String {
    field
        .as_ref()
        .map_or_else(String::new, |field| format!(", field \"{field}\""))
}

fn names(failures: &[(String, Error)]) -> String {
    failures
        .iter()
        .map(|(mirror, _)| mirror.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}
