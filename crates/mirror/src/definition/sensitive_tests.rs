//! Tests which fields are recognized as sensitive.

use super::sensitive;
use ipai_odoo::Field;

fn found(model: &str, name: &str, kind: &str) -> Option<&'static str> {
    sensitive(model, &Field { name: name.into(), kind: kind.into(), ..Field::default() })
}

#[test]
fn secrets_and_private_data_are_recognized_by_name() {
    for (model, name, kind) in [
        ("ir.mail_server", "smtp_pass", "char"),
        ("ir.config_parameter", "value", "text"),
        ("account.move", "access_token", "char"),
        ("res.users", "totp_secret", "char"),
        ("payment.provider", "adyen_api_key", "char"),
        ("payment.provider", "x_APIKey_apikey", "char"),
        ("certificate.certificate", "pkcs12_password", "char"),
        ("res.users.settings", "google_calendar_rtoken", "char"),
        ("hr.employee", "pin", "char"),
        ("hr.employee", "barcode", "char"),
    ] {
        assert_eq!(found(model, name, kind), Some("a password, token or key"), "{model}.{name}");
    }
    for name in ["private_street", "private_phone", "passport_id", "ssnid", "identification_id", "place_of_birth"] {
        assert_eq!(found("hr.version", name, "char"), Some("private data of a person"), "{name}");
    }
    for (model, name, kind) in [("hr.version", "private_country_id", "many2one"), ("hr.version", "children", "integer")]
    {
        assert_eq!(found(model, name, kind), Some("private data of a person"), "{name}");
    }
}

#[test]
fn ordinary_fields_are_not_sensitive() {
    for (model, name, kind) in [
        ("res.partner", "email", "char"),
        ("res.partner", "vat", "char"),
        ("product.product", "barcode", "char"),
        ("ir.ui.view", "key", "char"),
        ("sale.order", "payment_token_id", "many2one"),
        ("project.task", "is_token_out_of_sync", "boolean"),
        ("res.partner", "keyword", "char"),
        ("survey.survey", "scoring_success_min_passed", "float"),
        ("res.partner", "children", "integer"),
    ] {
        assert_eq!(found(model, name, kind), None, "{model}.{name}");
    }
}
