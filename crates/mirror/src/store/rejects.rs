//! The rejects of a mirror, `ipai.sync_rejects`: the records that runs set aside. Runs write it.

use super::sql;
use crate::engine::Refused;
use crate::session::{Row, Session};
use ipai_odoo::error::{Error, Result};
use ipai_odoo::text::Cleaner;
use std::collections::BTreeMap;

/// The rejects by the id of the record.
pub type Rejects = BTreeMap<i64, Reject>;

/// A record that the table refuses, or Odoo cannot send.
#[derive(Debug, Clone, PartialEq)]
pub struct Reject {
    /// What the mirror lacks of it.
    pub refused: Refused,
    /// Name of the field that is the cause, if it is known.
    pub field: Option<String>,
    /// The SQLSTATE of the error.
    pub sqlstate: String,
    /// The message of the error.
    pub message: String,
}

impl Reject {
    /// The reject of a record for this error. Only errors of Odoo know the field.
    pub fn new(refused: Refused, error: &Error) -> Self {
        // Constraints and triggers quote values of Odoo.
        let message = Cleaner::default().text(&error.to_string());
        Reject { refused, field: error.field().map(str::to_owned), sqlstate: error.sqlstate().to_owned(), message }
    }

    /// Whether both have the same reason.
    pub fn is_like(&self, other: &Reject) -> bool {
        (&self.sqlstate, &self.message) == (&other.sqlstate, &other.message)
    }
}

/// The rejects of earlier runs.
pub fn load(session: &mut dyn Session, mirror: &str) -> Result<Rejects> {
    let read = |row: &dyn Row| {
        let refused = Refused::from_name(&row.get::<String>(1)?).unwrap_or(Refused::Update);
        let reject = Reject { refused, field: row.optional(2)?, sqlstate: row.get(3)?, message: row.get(4)? };
        Ok((row.get::<i64>(0)?, reject))
    };
    Ok(session.all(sql!("rejects"), &[mirror.into()], read)?.into_iter().collect())
}

/// Stores a reject that was tried now.
pub fn store(session: &mut dyn Session, mirror: &str, id: i64, reject: &Reject) -> Result<()> {
    let params = [
        mirror.into(),
        id.into(),
        reject.refused.name().into(),
        reject.field.as_deref().into(),
        (&reject.sqlstate).into(),
        (&reject.message).into(),
    ];
    session.run(sql!("reject_store"), &params).map(drop)
}

/// Deletes rejects.
pub fn forget(session: &mut dyn Session, mirror: &str, ids: &[i64]) -> Result<()> {
    let sql = "delete from ipai.sync_rejects where mirror = $1 and odoo_id = any ($2::bigint[])";
    session.run(sql, &[mirror.into(), ids.into()]).map(drop)
}
