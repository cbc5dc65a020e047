//! Holds credentials so that they cannot be printed.

use crate::text::Cleaner;
use std::fmt;
use zeroize::Zeroizing;

/// A secret. It is wiped from memory when it is dropped. Encoded requests that contain it are not.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes ownership of a secret.
    pub fn new(secret: String) -> Self {
        Secret(Zeroizing::new(secret))
    }

    /// The secret itself. Only code that encodes requests to Odoo or redacts texts calls this.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether the secret is the empty text.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Credentials for one Odoo database, from the foreign server and the user mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Name of the database in Odoo.
    pub dbname: String,
    /// Login of the Odoo user, often an email address.
    pub login: String,
    /// Password or API key of the user. Odoo accepts both.
    pub password: Secret,
}

impl Account {
    /// Whether the secret has the form of an API key: 40 hexadecimal digits.
    pub fn has_api_key(&self) -> bool {
        let secret = self.password.reveal();
        secret.len() == 40 && secret.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    }

    /// The cleaner for texts of Odoo and of the network, which may contain the password.
    pub fn cleaner(&self) -> Cleaner {
        Cleaner::new(self.password.reveal())
    }
}

#[cfg(test)]
#[path = "secret_tests.rs"]
mod tests;
