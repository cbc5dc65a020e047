//! Identifies an Odoo database, because another database at the same address has other records
//! under the same ids.

use chrono::NaiveDateTime;

/// The identity of an Odoo database, as far as Odoo reports it.
///
/// A database that was restored in place keeps both values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Database {
    /// `database.uuid`. Only the addon reports it, because ordinary users cannot read it.
    pub uuid: Option<String>,
    /// Creation date of company 1 (UTC), which most internal users can read.
    ///
    /// A copy of a database keeps it.
    pub company: Option<NaiveDateTime>,
}

impl Database {
    /// Whether the other database is certainly a different one.
    pub fn is_other_than(&self, other: &Database) -> bool {
        self.is_same_as(other) == Some(false)
    }

    /// Compares the uuids, or else the companies. `None` if neither is known of both databases.
    pub fn is_same_as(&self, other: &Database) -> Option<bool> {
        let uuids = self.uuid.as_ref().zip(other.uuid.as_ref());
        let companies = self.company.zip(other.company);
        uuids.map(|(uuid, other)| uuid == other).or(companies.map(|(company, other)| company == other))
    }

    /// Adds what Odoo has newly reported about the same database.
    pub fn with(&self, reported: &Database) -> Database {
        Database {
            uuid: reported.uuid.clone().or_else(|| self.uuid.clone()),
            company: reported.company.or(self.company),
        }
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
    fn uuid_decides_before_the_company() {
        let (one, two) = ("2026-01-06 10:00:00", "2026-01-06 10:00:01");
        let others = [
            (database("a", one), database("b", one)),
            (database("a", one), database("", two)),
            (database("", one), database("", two)),
        ];
        for (one, other) in others {
            assert!(one.is_other_than(&other) && other.is_other_than(&one), "{one:?} {other:?}");
        }
        let same = [
            (database("a", one), database("a", two)),
            (database("a", one), database("", one)),
            (database("a", ""), database("", one)),
            (database("", one), database("b", "")),
            (Database::default(), database("b", two)),
        ];
        for (one, other) in same {
            assert!(!one.is_other_than(&other) && !other.is_other_than(&one), "{one:?} {other:?}");
        }
    }
}
