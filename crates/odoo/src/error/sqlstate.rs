//! Names the SQLSTATEs of errors that the user can correct.

/// The SQLSTATE of an error that the user can correct.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SqlState {
    /// `22023`: the value of an argument or option is invalid.
    InvalidParameter,
    /// `HV00D`: the option does not exist.
    InvalidOption,
    /// `42704`: a server, mirror or other object does not exist.
    UndefinedObject,
    /// `42P01`: the table does not exist.
    UndefinedTable,
    /// `42703`: the column or field does not exist.
    UndefinedColumn,
    /// `42804`: a column has another type than the mirror needs.
    DatatypeMismatch,
    /// `0A000`: the database or Odoo cannot do this.
    FeatureNotSupported,
    /// `42710`: an object of that name exists.
    DuplicateObject,
    /// `42P07`: a table of that name exists.
    DuplicateTable,
    /// `55006`: another object depends on it or another session uses it.
    ObjectInUse,
    /// `55000`: the object is not in the state that the statement needs.
    ObjectNotInState,
    /// `25006`: the server only reads, as a read replica does.
    ReadOnly,
    /// `42501`: the role lacks a privilege.
    InsufficientPrivilege,
    /// `08001`: no connection to Odoo.
    ConnectionRefused,
    /// `28P01`: Odoo refuses the credentials.
    InvalidPassword,
    /// `3D000`: Odoo has no such database.
    UndefinedDatabase,
    /// `22021`: XML cannot carry the character.
    InvalidCharacter,
    /// `54000`: more than the run accepts.
    LimitExceeded,
    /// `57014`: a person stopped it.
    QueryCanceled,
}

impl SqlState {
    /// The five characters of the code.
    pub fn code(self) -> &'static str {
        match self {
            SqlState::InvalidParameter => "22023",
            SqlState::InvalidOption => "HV00D",
            SqlState::UndefinedObject => "42704",
            SqlState::UndefinedTable => "42P01",
            SqlState::UndefinedColumn => "42703",
            SqlState::DatatypeMismatch => "42804",
            SqlState::FeatureNotSupported => "0A000",
            SqlState::DuplicateObject => "42710",
            SqlState::DuplicateTable => "42P07",
            SqlState::ObjectInUse => "55006",
            SqlState::ObjectNotInState => "55000",
            SqlState::ReadOnly => "25006",
            SqlState::InsufficientPrivilege => "42501",
            SqlState::ConnectionRefused => "08001",
            SqlState::InvalidPassword => "28P01",
            SqlState::UndefinedDatabase => "3D000",
            SqlState::InvalidCharacter => "22021",
            SqlState::LimitExceeded => "54000",
            SqlState::QueryCanceled => "57014",
        }
    }
}
