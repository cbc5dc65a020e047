//! Lists of ids that the mirror of the other side shows to be outdated.
//!
//! Odoo sets the write date of the record that a user writes. A many2many that is written from the
//! other side changes no write date on this one, and a record that is deleted leaves none.

use super::mirrors;
use super::sql;
use super::statements::Statements;
use super::target::{self, Access};
use crate::Mirror;
use crate::session::Session;
use chrono::NaiveDateTime;
use ipai_odoo::error::Result;
use std::collections::BTreeSet;

/// A list of ids, and the list of the other side.
struct OtherSide {
    /// Column of the mirror's own list.
    list: String,
    mirror: String,
    table: i64,
    /// Column of the other mirror's list.
    other_list: String,
    /// Its rows have changed since then.
    since: NaiveDateTime,
    /// Whether ids that it no longer has do not exist in Odoo either.
    deletes: bool,
}

/// The ids of rows with outdated lists, ascending. `table` is the oid of the mirror's table.
///
/// Only what runs changed on the other side since the last complete run of this mirror is compared.
/// Two many2many fields between the same models need not be two sides of the same relation. Then
/// rows are named that are up to date.
pub fn outdated(session: &mut dyn Session, mirror: &Mirror, table: i64) -> Result<Vec<i64>> {
    let mut ids = BTreeSet::new();
    let sides = session.all(sql!("lists_with_other_side"), &[(&mirror.name).into()], |row| {
        Ok(OtherSide {
            list: row.get(0)?,
            mirror: row.get(1)?,
            table: row.get(2)?,
            other_list: row.get(3)?,
            since: row.get(4)?,
            deletes: row.get(5)?,
        })
    })?;
    for side in sides {
        let other = mirrors::load(session, &side.mirror)?;
        target::lock(session, &mirror.target, table, Access::Read)?;
        target::lock(session, &other.target, side.table, Access::Read)?;
        let statement = Statements::outdated_lists(mirror, &other, [&side.list, &side.other_list]);
        ids.extend(session.all(&statement, &[side.since.into(), side.deletes.into()], |row| row.get::<i64>(0))?);
        // No transaction waits for Odoo.
        session.commit()?;
    }
    Ok(ids.into_iter().collect())
}
