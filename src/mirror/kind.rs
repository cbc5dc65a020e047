//! The column types that a mirror can have.

use serde::{Deserialize, Serialize};

/// Type of a column, and with it how values of Odoo are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// char, text, html, selection, reference
    Text,
    /// integer
    Integer,
    /// many2one, many2one_reference: the id
    Bigint,
    /// float without digits
    Double,
    /// monetary, float with digits
    Numeric,
    Boolean,
    Date,
    /// datetime, which Odoo keeps in UTC
    Timestamptz,
    /// many2many, one2many: the ids, sorted
    #[serde(rename = "bigint[]")]
    BigintArray,
    /// json, properties
    Jsonb,
    /// binary
    Bytea,
}

impl Kind {
    pub const ALL: [Kind; 11] = [
        Kind::Text,
        Kind::Integer,
        Kind::Bigint,
        Kind::Double,
        Kind::Numeric,
        Kind::Boolean,
        Kind::Date,
        Kind::Timestamptz,
        Kind::BigintArray,
        Kind::Jsonb,
        Kind::Bytea,
    ];

    /// The type's name in SQL.
    pub fn sql(self) -> &'static str {
        match self {
            Kind::Text => "text",
            Kind::Integer => "integer",
            Kind::Bigint => "bigint",
            Kind::Double => "double precision",
            Kind::Numeric => "numeric",
            Kind::Boolean => "boolean",
            Kind::Date => "date",
            Kind::Timestamptz => "timestamptz",
            Kind::BigintArray => "bigint[]",
            Kind::Jsonb => "jsonb",
            Kind::Bytea => "bytea",
        }
    }
}
