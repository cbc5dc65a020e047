//! Reads when API keys of the user expire, creates and revokes them.

use super::{Call, Client, kwargs, number, unexpected};
use crate::Transport;
use crate::domain::term;
use crate::error::{Error, Result};
use crate::secret::Secret;
use crate::value::Value;
use chrono::{DateTime, NaiveDateTime, Utc};
use std::time::SystemTime;

/// The model of API keys.
const MODEL: &str = "res.users.apikeys";
/// Odoo's notation of a moment.
const FORMAT: &str = "%Y-%m-%d %H:%M:%S";

impl<T: Transport> Client<T> {
    /// Reads when the first of the user's valid API keys expires (UTC). Odoo does not tell which of
    /// them a request uses. `None` if no key expires, or if Odoo does not tell: keys expire since
    /// Odoo 18, and the user may lack the right to read them.
    pub fn read_key_expiry(&mut self) -> Result<Option<NaiveDateTime>> {
        let expiry = self.ask_key_expiry()?;
        self.key_expires = Some(expiry);
        Ok(expiry)
    }

    fn ask_key_expiry(&mut self) -> Result<Option<NaiveDateTime>> {
        let uid = self.known.uid.map_or_else(|| self.authenticate(), Ok)?;
        let now = DateTime::<Utc>::from(SystemTime::now()).format(FORMAT).to_string();
        let domain = Value::from_iter([term("user_id", "=", uid), term("expiration_date", ">", now)]);
        let arguments = kwargs([
            ("fields", Value::from_iter(["expiration_date"])),
            ("order", "expiration_date".into()),
            ("limit", number(1)),
        ]);
        let keys = match self.call(&Call::for_fact(MODEL, "search_read").with(vec![("domain", domain)], arguments)) {
            Err(
                Error::OdooAccess(_)
                | Error::OdooFault { .. }
                | Error::UnknownModel { .. }
                | Error::UnknownField { .. },
            ) => return Ok(None),
            keys => keys?,
        };
        let keys = keys.as_array().ok_or_else(|| unexpected("search_read", "a list of records"))?;
        let expiry = keys.first().and_then(|key| key.get("expiration_date")?.as_str());
        Ok(expiry.and_then(|text| NaiveDateTime::parse_from_str(text, FORMAT).ok()))
    }

    /// Creates an API key of the user with the rights of the current one.
    ///
    /// # Errors
    /// [`Error::UnknownMethod`] if this Odoo cannot create keys on request.
    pub fn generate_key(&mut self, name: &str, expires: NaiveDateTime) -> Result<Secret> {
        let arguments = kwargs([
            ("key", self.account.password.reveal().into()),
            ("scope", Value::Nil),
            ("name", name.into()),
            ("expiration_date", expires.format(FORMAT).to_string().into()),
        ]);
        match self.call_once(MODEL, "generate", Vec::new(), arguments)? {
            Some(Value::String(key)) if !key.trim().is_empty() => Ok(Secret::new(key)),
            _ => Err(unexpected("generate", "a key")),
        }
    }

    /// Revokes an API key of the user.
    pub fn revoke_key(&mut self, key: &Secret) -> Result<()> {
        self.call_once(MODEL, "revoke", Vec::new(), kwargs([("key", key.reveal().into())])).map(drop)
    }
}
