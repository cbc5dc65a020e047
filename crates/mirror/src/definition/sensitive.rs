//! Recognizes fields that hold secrets or private data of people, by their names.
//!
//! `docs/reference/sql.md` has the same lists.

use ipai_odoo::Field;

/// Words of the names of fields that hold secrets.
const SECRET_WORDS: [&str; 14] = [
    "credential",
    "hashkey",
    "otp",
    "pass",
    "passwd",
    "password",
    "pin",
    "pwd",
    "rtoken",
    "secret",
    "secrets",
    "token",
    "tokens",
    "totp",
];

/// Types of fields that can hold a secret. Others that match only refer to one.
const SECRET_TYPES: [&str; 5] = ["char", "text", "html", "json", "binary"];

/// Fields that hold secrets under other names.
const SECRET_FIELDS: [(&str, &str); 9] = [
    ("base.automation", "webhook_uuid"),
    ("discuss.channel", "uuid"),
    ("hr.employee", "barcode"),
    ("ir.actions.server", "webhook_url"),
    ("ir.config_parameter", "value"),
    ("loyalty.card", "code"),
    ("mail.push.device", "endpoint"),
    ("mail.push.device", "keys"),
    ("payment.token", "provider_ref"),
];

/// Words of the names of fields that hold private data of a person.
const PERSONAL_WORDS: [&str; 13] = [
    "birth",
    "birthdate",
    "birthday",
    "curp",
    "emergency",
    "gender",
    "marital",
    "passport",
    "private",
    "sex",
    "spouse",
    "ssn",
    "ssnid",
];

/// Names of fields that hold private data of a person.
const PERSONAL_NAMES: [&str; 6] =
    ["identification_id", "identification_number", "national_id", "permit_no", "visa_expire", "visa_no"];

/// Fields of employees (since Odoo 19, of their versions) that hold private data.
const EMPLOYEE_MODELS: [&str; 2] = ["hr.employee", "hr.version"];
const EMPLOYEE_NAMES: [&str; 6] = [
    "bank_account_id",
    "bank_account_ids",
    "children",
    "distance_home_work",
    "distance_home_work_unit",
    "km_home_work",
];

/// What a field probably holds that should not leave Odoo unasked, or `None`.
pub fn sensitive(model: &str, field: &Field) -> Option<&'static str> {
    let name = field.name.to_ascii_lowercase();
    let words = || name.split('_').filter(|word| !word.is_empty());
    let has_word = |list: &[&str]| words().any(|word| list.contains(&word));
    // `key` alone names what a record is found by, such as a view.
    let is_key = words().nth(1).is_some() && matches!(words().next_back(), Some("key" | "keys" | "apikey"));
    let can_hold_secret = SECRET_TYPES.contains(&field.kind.as_str());
    if SECRET_FIELDS.contains(&(model, &name)) || can_hold_secret && (is_key || has_word(&SECRET_WORDS)) {
        return Some("a password, token or key");
    }
    let is_of_employee = EMPLOYEE_MODELS.contains(&model) && EMPLOYEE_NAMES.contains(&name.as_str());
    let is_personal = is_of_employee || has_word(&PERSONAL_WORDS) || PERSONAL_NAMES.contains(&name.as_str());
    is_personal.then_some("private data of a person")
}

#[cfg(test)]
#[path = "sensitive_tests.rs"]
mod tests;
