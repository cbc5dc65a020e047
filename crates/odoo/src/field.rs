//! What Odoo says about the fields of a model (`fields_get`).

use crate::xmlrpc::Value;

/// One field of a model, as far as a mirror needs to know it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Field {
    pub name: String,
    /// Odoo's type: `char`, `many2one`, ...
    pub kind: String,
    /// What people call it, in the language of the Odoo user.
    pub label: String,
    pub help: Option<String>,
    /// Whether it has a column of its own in Odoo, so that reading it computes nothing.
    pub stored: bool,
    pub required: bool,
    pub readonly: bool,
    /// Model that a relation points to.
    pub relation: Option<String>,
    /// Whether a float has a fixed number of digits.
    pub has_digits: bool,
}

/// What to ask `fields_get` for: all that [`Field::read`] reads. (`attributes` makes the answer a tenth as long.)
pub const ATTRIBUTES: [&str; 8] = [
    "type", "string", "help", "store", "required", "readonly", "relation", "digits",
];

impl Field {
    /// One member of the answer. Attributes that a type does not have are missing, unset ones `false`.
    pub fn read(name: String, attributes: &Value) -> Field {
        let text = |attribute| {
            let text = attributes.get(attribute).and_then(Value::as_str);
            text.filter(|text| !text.is_empty()).map(str::to_owned)
        };
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
