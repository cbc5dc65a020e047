//! Who calls which Odoo database.

use crate::secret::Secret;

/// Credentials for one Odoo database, as the foreign server and the user mapping name them.
#[derive(Debug, Clone)]
pub struct Account {
    /// Name of the database in Odoo.
    pub dbname: String,
    /// Login of the Odoo user, often a mail address.
    pub login: String,
    /// Password or API key of that user: Odoo takes either.
    pub password: Secret,
}

impl Account {
    /// `text` without the password: Odoo's tracebacks are not ours to trust.
    pub fn redact(&self, text: &str) -> String {
        if self.password.is_empty() {
            return text.to_owned();
        }
        text.replace(self.password.reveal(), "***")
    }
}
