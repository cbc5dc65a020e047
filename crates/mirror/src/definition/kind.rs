//! Defines the column types of a mirror.

use ipai_odoo::Field;
use serde::{Deserialize, Serialize};

/// Defines [`Kind`] from its variants and their names in SQL.
macro_rules! kinds {
    ($($(#[$attribute:meta])* $kind:ident => $sql:literal,)*) => {
        /// The type of a column, which also determines how values of Odoo are converted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum Kind {
            $($(#[$attribute])* $kind,)*
        }

        impl Kind {
            /// All types.
            pub const ALL: &[Kind] = &[$(Kind::$kind),*];

            /// The type's name in SQL.
            pub fn sql(self) -> &'static str {
                match self {
                    $(Kind::$kind => $sql,)*
                }
            }
        }
    };
}

kinds! {
    /// For char, text, html, selection and reference.
    Text => "text",
    /// For integer.
    Integer => "integer",
    /// For the id of many2one and many2one_reference.
    Bigint => "bigint",
    /// For float without digits.
    Double => "double precision",
    /// For monetary and float with digits.
    Numeric => "numeric",
    /// For boolean.
    Boolean => "boolean",
    /// For date.
    Date => "date",
    /// For datetime, which Odoo stores in UTC.
    Timestamptz => "timestamptz",
    /// For the sorted ids of many2many and one2many.
    #[serde(rename = "bigint[]")]
    BigintArray => "bigint[]",
    /// For json and properties.
    Jsonb => "jsonb",
    /// For binary and image.
    Bytea => "bytea",
}

impl Kind {
    /// The type of a new column for a field, or `None` for an unknown type of Odoo.
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

    /// Whether a column of this type, maybe a wider one than a mirror creates, can hold the field.
    pub fn takes(self, field: &Field) -> bool {
        Kind::of(field).is_some_and(|made| match (self, made) {
            (Kind::Double, Kind::Numeric) | (Kind::Numeric, Kind::Double) | (Kind::Jsonb, _) => true,
            _ => self.holds(made),
        })
    }

    /// Whether a column of this type holds all values of the other one, and returns them unchanged.
    pub fn holds(self, other: Kind) -> bool {
        match (self, other) {
            (Kind::Bigint | Kind::Numeric | Kind::Double, Kind::Integer) | (Kind::Numeric, Kind::Bigint) => true,
            _ => self == other,
        }
    }

    /// The type of an existing column, by its name from `format_type`. `None` for types that change
    /// values: each run would find the rows changed.
    pub fn of_column(format_type: &str) -> Option<Kind> {
        let name = match format_type {
            "timestamp with time zone" => "timestamptz",
            "character varying" => "text",
            name => name,
        };
        Kind::ALL.iter().copied().find(|kind| kind.sql() == name)
    }
}
