//! Masks: what a run stores in place of the values of a field.

use ring::hmac;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write;

/// What is stored in place of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mask {
    /// The HMAC-SHA-256 of the text, in hexadecimal: equal texts have equal ones.
    Hmac,
    /// Null.
    Redact,
}

/// The masks of a mirror.
#[derive(Debug, Clone, Default)]
pub struct Masks {
    /// The masked fields.
    pub fields: BTreeMap<String, Mask>,
    /// The key of the HMACs, once a run has read it.
    pub key: Option<MaskKey>,
}

impl Masks {
    /// The mask of a field.
    pub fn of(&self, field: &str) -> Option<Mask> {
        self.fields.get(field).copied()
    }

    /// Whether a mask needs the key.
    pub fn need_key(&self) -> bool {
        self.fields.values().any(|mask| *mask == Mask::Hmac)
    }
}

/// The key of the HMACs.
#[derive(Debug, Clone)]
pub struct MaskKey(hmac::Key);

impl MaskKey {
    /// The key from a secret.
    pub fn new(secret: &str) -> Self {
        MaskKey(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()))
    }

    /// The HMAC of a text in hexadecimal.
    pub fn hex(&self, text: &str) -> String {
        let mut hex = String::with_capacity(64);
        for byte in hmac::sign(&self.0, text.as_bytes()).as_ref() {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
        }
        hex
    }
}

#[cfg(test)]
mod tests {
    use super::MaskKey;

    #[test]
    fn hmac_equals_that_of_rfc_4231() {
        assert_eq!(
            MaskKey::new("Jefe").hex("what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
