//! Reads the fields of a model from the answer of `fields_get`.

use crate::xmlrpc::Value;

/// One field of a model, with the attributes that a mirror needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Field {
    /// Name of the field.
    pub name: String,
    /// Odoo's type, such as `char` or `many2one`.
    pub kind: String,
    /// Label in the language of the Odoo user.
    pub label: String,
    /// Help text in the language of the Odoo user.
    pub help: Option<String>,
    /// Whether Odoo stores the field in a column, so that reading it needs no computation.
    pub stored: bool,
    /// Whether every record must have a value.
    pub required: bool,
    /// Whether users cannot change the field.
    pub readonly: bool,
    /// Model to which a relational field points.
    pub relation: Option<String>,
    /// Whether a float field has a fixed number of digits.
    pub has_digits: bool,
}

/// The attributes that [`Field::read`] needs. Requesting only them makes the answer ten times
/// smaller.
pub const ATTRIBUTES: [&str; 8] = ["type", "string", "help", "store", "required", "readonly", "relation", "digits"];

impl Field {
    /// Reads one member of the answer. Odoo omits attributes that a type does not have, and sends
    /// `false` for unset ones.
    pub fn read(name: String, attributes: &Value) -> Field {
        let text = |attribute| Some(attributes.get(attribute)?.as_str()?.to_owned()).filter(|text| !text.is_empty());
        let flag = |attribute| attributes.get(attribute).and_then(Value::as_bool).unwrap_or(false);
        Field {
            kind: text("type").unwrap_or_default(),
            label: text("string").unwrap_or_else(|| name.clone()),
            help: text("help"),
            stored: flag("store"),
            required: flag("required"),
            readonly: flag("readonly"),
            relation: text("relation"),
            has_digits: attributes.get("digits").and_then(Value::as_array).is_some(),
            name,
        }
    }
}
