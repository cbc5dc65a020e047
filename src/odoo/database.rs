//! Which database of Odoo it is: another one behind the same address has other records under the same ids.

use super::addon::says_no;
use super::client::{Client, Safety};
use super::{Addon, Transport};
use crate::error::Result;
use crate::xmlrpc::Value;
use chrono::NaiveDateTime;

/// What tells databases apart, as far as Odoo has told it. One that was restored in place keeps both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Database {
    /// `database.uuid`, told by the addon: an ordinary user cannot read it.
    pub uuid: Option<String>,
    /// When company 1 was made (UTC), which most internal users can read. A copy of a database keeps it.
    pub company: Option<NaiveDateTime>,
}

impl Database {
    /// Whether it is surely another one.
    pub fn is_other_than(&self, other: &Database) -> bool {
        match (&self.uuid, &other.uuid) {
            (Some(uuid), Some(other)) => uuid != other,
            _ => matches!((self.company, other.company), (Some(company), Some(other)) if company != other),
        }
    }
}

impl<T: Transport> Client<T> {
    /// What is known of Odoo's database by now.
    pub fn database(&self) -> Database {
        Database {
            uuid: self.known.uuid.clone().filter(|_| self.known.addon == Addon::Present),
            company: self.company.flatten(),
        }
    }

    /// Finds out when the first company was made, once: one small call. A user who cannot see it learns nothing.
    pub fn look_at_company(&mut self) -> Result<()> {
        if self.company.is_some() {
            return Ok(());
        }
        let args = vec![
            Value::Array(vec![Value::Int(1)]),
            Value::Array(vec!["create_date".into()]),
        ];
        let company = match self.call("res.company", "read", args, Vec::new(), Safety::Harmless) {
            Err(error) if says_no(&error) => None,
            company => made(&company?),
        };
        self.company = Some(company);
        Ok(())
    }
}

fn made(companies: &Value) -> Option<NaiveDateTime> {
    match companies.as_array()? {
        [company] => NaiveDateTime::parse_from_str(company.get("create_date")?.as_str()?, "%Y-%m-%d %H:%M:%S").ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(uuid: &str, company: &str) -> Database {
        Database {
            uuid: Some(uuid.to_owned()).filter(|uuid| !uuid.is_empty()),
            company: NaiveDateTime::parse_from_str(company, "%Y-%m-%d %H:%M:%S").ok(),
        }
    }

    #[test]
    fn the_uuid_decides_and_else_the_company() {
        let (one, two) = ("2026-01-06 10:00:00", "2026-01-06 10:00:01");
        let others = [
            (database("a", one), database("b", one)),
            (database("a", one), database("", two)),
            (database("", one), database("", two)),
        ];
        for (one, other) in others {
            assert!(
                one.is_other_than(&other) && other.is_other_than(&one),
                "{one:?} {other:?}"
            );
        }
        let same = [
            (database("a", one), database("a", two)),
            (database("a", one), database("", one)),
            (database("a", ""), database("", one)),
            (database("", one), database("b", "")),
            (Database::default(), database("b", two)),
        ];
        for (one, other) in same {
            assert!(
                !one.is_other_than(&other) && !other.is_other_than(&one),
                "{one:?} {other:?}"
            );
        }
    }
}
