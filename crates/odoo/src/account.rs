//! Defines the credentials of an Odoo user.

use crate::secret::Secret;

/// Credentials for one Odoo database, from the foreign server and the user mapping.
#[derive(Debug, Clone)]
pub struct Account {
    /// Name of the database in Odoo.
    pub dbname: String,
    /// Login of the Odoo user, often an email address.
    pub login: String,
    /// Password or API key of the user. Odoo accepts both.
    pub password: Secret,
}

impl Account {
    /// Replaces the password in a text of Odoo, whose tracebacks may contain it.
    pub fn redact(&self, text: &str) -> String {
        if self.password.is_empty() {
            return text.to_owned();
        }
        text.replace(self.password.reveal(), "***")
    }
}
