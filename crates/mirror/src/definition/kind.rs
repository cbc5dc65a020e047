//! The column types that a mirror can have.

use ipai_odoo::Field;
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

    /// The type of the column that a mirror makes for a field; `None` for a type of Odoo's that is not known here.
    pub fn of(field: &Field) -> Option<Kind> {
        Some(match field.kind.as_str() {
            "char" | "text" | "html" | "selection" | "reference" => Kind::Text,
            "integer" => Kind::Integer,
            "many2one" | "many2one_reference" => Kind::Bigint,
            "float" if field.has_digits => Kind::Numeric,
            "float" => Kind::Double,
            "monetary" => Kind::Numeric,
            "boolean" => Kind::Boolean,
            "date" => Kind::Date,
            "datetime" => Kind::Timestamptz,
            "many2many" | "one2many" => Kind::BigintArray,
            "json" | "properties" | "properties_definition" => Kind::Jsonb,
            "binary" | "image" => Kind::Bytea,
            _ => return None,
        })
    }

    /// Whether a column of this type can hold every value of the field. A table of the user's own may have wider types than a
    /// mirror makes.
    pub fn takes(self, field: &Field) -> bool {
        let Some(made) = Kind::of(field) else {
            return false;
        };
        self == made
            || matches!(
                (self, made),
                (Kind::Bigint | Kind::Numeric | Kind::Double, Kind::Integer)
                    | (Kind::Double, Kind::Numeric)
                    | (Kind::Numeric, Kind::Double)
                    | (Kind::Jsonb, _)
            )
    }

    /// The type of an existing column, as `format_type` names it. Types that would not keep a value as it came are none: each
    /// run would find the row changed.
    pub fn of_column(format_type: &str) -> Option<Kind> {
        let plain = match format_type {
            "timestamp with time zone" => "timestamptz",
            "character varying" => "text",
            name => name,
        };
        Kind::ALL.into_iter().find(|kind| kind.sql() == plain)
    }

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
