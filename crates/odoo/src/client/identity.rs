//! Reads the identity of the Odoo database.

use super::{Call, Client};
use crate::error::{Error, Result};
use crate::value::Value;
use crate::{Database, Transport};
use chrono::{NaiveDateTime, Timelike};
use std::time::Instant;

impl<T: Transport> Client<T> {
    /// The identity of the database, as far as Odoo has reported it on this connection.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Reads the identity of the database, as far as the user may read it, and when an API key of
    /// the user expires. The first call sends two or three small requests, and later ones none.
    pub fn identify(&mut self) -> Result<&Database> {
        if self.identified.is_none() {
            self.look_for_addon()?;
            self.read_company()?;
            match self.account.has_api_key() {
                true => drop(self.read_key_expiry()?),
                false => self.key_expires = Some(None),
            }
            self.identified = Some(Instant::now());
        }
        Ok(&self.database)
    }

    /// Reads what is missing to compare the database with another one, usually nothing.
    pub fn identify_for(&mut self, other: &Database) -> Result<()> {
        let is_missing = self.database.is_same_as(other).is_none() && other.company.is_some();
        if is_missing { self.read_company() } else { Ok(()) }
    }

    fn read_company(&mut self) -> Result<()> {
        if self.company_asked {
            return Ok(());
        }
        let fields = vec![("fields", Value::from_iter(["create_date"]))];
        match self.call(&Call::for_fact("res.company", "read").on(Value::from_iter([1])).with(fields, Vec::new())) {
            Ok(companies) => self.database.company = creation_date(&companies),
            // The user may not read the company.
            Err(Error::OdooAccess(_) | Error::OdooFault { .. } | Error::UnknownModel { .. }) => {}
            Err(error) => return Err(error),
        }
        self.company_asked = true;
        Ok(())
    }
}

/// The creation date of the only record in the answer of `read`.
fn creation_date(companies: &Value) -> Option<NaiveDateTime> {
    const FORMAT: &str = "%Y-%m-%d %H:%M:%S";
    let [company] = companies.as_array()? else { return None };
    let text = company.get("create_date")?.as_str()?;
    let moment = NaiveDateTime::parse_from_str(text, FORMAT).ok()?;
    // Only Odoo's own notation is accepted, without leap seconds: Postgres would return another
    // value than it received.
    (moment.format(FORMAT).to_string() == text && text.len() == 19 && moment.nanosecond() == 0).then_some(moment)
}

#[cfg(test)]
#[path = "identity_tests.rs"]
mod tests;
