//! Which database of Odoo it is: another one behind the same address has other records under the same ids.

use super::Transport;
use super::client::{Client, Safety};
use crate::error::{Error, Result};
use crate::xmlrpc::Value;
use chrono::{NaiveDateTime, Timelike};

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
        self.is_same_as(other) == Some(false)
    }

    /// The uuid decides, and else the company; `None` where neither is known of both.
    pub fn is_same_as(&self, other: &Database) -> Option<bool> {
        let uuids = self.uuid.as_ref().zip(other.uuid.as_ref());
        let companies = self.company.zip(other.company);
        uuids
            .map(|(uuid, other)| uuid == other)
            .or(companies.map(|(company, other)| company == other))
    }

    /// What is known of the same database, now that this was told.
    pub fn with(&self, told: &Database) -> Database {
        Database {
            uuid: told.uuid.clone().or_else(|| self.uuid.clone()),
            company: told.company.or(self.company),
        }
    }
}

impl<T: Transport> Client<T> {
    /// What Odoo has told so far of which database it is. What is remembered of it proves nothing.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Finds out, as far as this user may know: two small calls, once.
    pub fn identify(&mut self) -> Result<&Database> {
        if !self.identified {
            self.look_for_addon()?;
            self.look_at_company()?;
            self.identified = true;
        }
        Ok(&self.database)
    }

    /// Makes sure that it can be compared with this one, as far as this user may know: usually no call.
    pub fn identify_for(&mut self, other: &Database) -> Result<()> {
        match self.database.is_same_as(other).is_none() && other.company.is_some() {
            true => self.look_at_company(),
            false => Ok(()),
        }
    }

    fn look_at_company(&mut self) -> Result<()> {
        if self.company_asked {
            return Ok(());
        }
        let args = vec![
            Value::Array(vec![Value::Int(1)]),
            Value::Array(vec!["create_date".into()]),
        ];
        match self.call("res.company", "read", args, Vec::new(), Safety::Harmless) {
            Ok(companies) => self.database.company = made(&companies),
            // The user may not see it.
            Err(Error::OdooAccess { .. } | Error::OdooFault { .. } | Error::UnknownModel { .. }) => {}
            Err(error) => return Err(error),
        }
        self.company_asked = true;
        Ok(())
    }
}

fn made(companies: &Value) -> Option<NaiveDateTime> {
    const FORMAT: &str = "%Y-%m-%d %H:%M:%S";
    match companies.as_array()? {
        [company] => {
            let text = company.get("create_date")?.as_str()?;
            let moment = NaiveDateTime::parse_from_str(text, FORMAT).ok()?;
            // As Odoo writes it, or it would not come back from the database as it went there: no leap seconds.
            (moment.format(FORMAT).to_string() == text && text.len() == 19 && moment.nanosecond() == 0)
                .then_some(moment)
        }
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
    #[test]
    fn a_date_is_taken_only_as_odoo_writes_it() {
        let answer = |date: &str| {
            let company = Value::Struct(vec![("create_date".to_owned(), date.into())]);
            made(&Value::Array(vec![company])).map(|moment| moment.to_string())
        };
        assert_eq!(answer("2026-01-06 10:00:00").as_deref(), Some("2026-01-06 10:00:00"));
        for text in [
            "",
            "2026-01-06",
            "2026-01-06 10:00:60",
            "+12026-01-06 10:00:00",
            "2026-1-6 10:00:00",
            "2026-01-06 10:00:00.5",
        ] {
            assert_eq!(answer(text), None, "{text}");
        }
        assert_eq!(made(&Value::Array(Vec::new())), None);
        assert_eq!(made(&Value::Bool(false)), None);
    }
}
