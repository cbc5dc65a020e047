//! Warns of privileges that API users have on the table of a new mirror, if it existed before.

use super::sql;
use crate::Table;
use crate::session::Session;
use ipai_odoo::error::Result;

/// Warns of each role to which privileges are granted that no request of the API should have.
pub fn warn(session: &mut dyn Session, table: &Table) -> Result<()> {
    // A role that may create mirrors may lack this privilege. ipai.doctor() reports the same.
    let may = "select pg_catalog.has_function_privilege('ipai.api_exposure(pg_catalog.oid)', 'execute')";
    if !session.is_true(may, &[])? {
        return Ok(());
    }
    let params = [(&table.schema).into(), (&table.name).into()];
    let found = session.all(sql!("table_exposure"), &params, |row| {
        Ok((row.get::<String>(0)?, row.get::<String>(1)?, row.get::<String>(2)?))
    })?;
    for (grantee, privileges, revoke) in found {
        let message = format!("API users have {privileges} on table \"{}\", granted to {grantee}", table.display());
        session.warning(&message, &revoke);
    }
    Ok(())
}
