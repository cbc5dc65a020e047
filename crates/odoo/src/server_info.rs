//! Defines what is known about an Odoo server, and the identity of its database. Another database
//! at the same address has other records under the same ids.

use chrono::NaiveDateTime;

/// Facts about an Odoo server that an earlier client found out, which save calls. They may be
/// outdated, so they prove nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerInfo {
    /// The uid of the user, as Odoo last returned or accepted it.
    pub uid: Option<i64>,
    /// Whether Odoo has the addon.
    pub addon: Addon,
    /// Why the addon is not used, if it is [`Addon::Failing`].
    pub addon_problem: Option<String>,
    /// `database.uuid`, which only the addon reports.
    pub uuid: Option<String>,
    /// Whether Odoo answers JSON-2 with the secret of the user.
    pub json2: Json2,
}

/// Whether the client uses JSON-2. It needs an API key, and Odoo 19 or later.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Json2 {
    /// No client has tried yet.
    #[default]
    Unknown,
    /// Odoo has no JSON-2, or does not take the secret for an API key.
    Missing,
    /// Odoo answers JSON-2.
    Present,
    /// The options of the server exclude its use.
    Unwanted,
    /// The options of the server exclude XML-RPC.
    Required,
}

/// Whether Odoo has the addon `ipai_sync`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Addon {
    /// No client has looked yet.
    #[default]
    Unknown,
    /// Odoo does not have it.
    Missing,
    /// Odoo has it, and it cannot be used.
    Failing {
        /// Whether it has not been tried for a day.
        is_due: bool,
    },
    /// Odoo has it.
    Present,
    /// The options of the server exclude its use.
    Unwanted,
}

/// The identity of an Odoo database, as far as Odoo reports it. A database that was restored in
/// place keeps both values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Database {
    /// `database.uuid`. Only the addon reports it, because ordinary users cannot read it.
    pub uuid: Option<String>,
    /// Creation date of company 1 (UTC), which most internal users can read. A copy keeps it.
    pub company: Option<NaiveDateTime>,
}

impl Database {
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
#[path = "database_tests.rs"]
mod tests;
