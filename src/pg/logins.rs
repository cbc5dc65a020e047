//! The uid that Odoo gave to a login: remembered, because asking costs Odoo 0.4 seconds of password hashing.
//! It proves nothing: every call carries the password.

use super::connection::Connection;
use super::spi;
use crate::error::Result;
use crate::fetch::Fetcher;

/// The remembered uid; none for a role that may not look.
pub fn remembered(connection: &Connection) -> Result<Option<i64>> {
    if !may("select")? {
        return Ok(None);
    }
    spi::query_one(
        "select uid from ipai.odoo_logins where url = $1 and dbname = $2 and login = $3",
        &[
            connection.url().into(),
            connection.account.dbname.as_str().into(),
            connection.account.login.as_str().into(),
        ],
        |row| spi::column(row, 1),
    )
}

/// Remembers the one that Odoo has accepted from this fetcher.
pub fn remember_of(connection: &Connection, fetcher: &Fetcher) -> Result<()> {
    match fetcher.run(|client| Ok(client.uid()))? {
        Some(uid) => remember(connection, uid),
        None => Ok(()),
    }
}

/// Remembers it; writes nothing where it is known.
pub fn remember(connection: &Connection, uid: i64) -> Result<()> {
    // What only saves time must not fail anything.
    if remembered(connection)? == Some(uid) || !may("select, insert, update")? {
        return Ok(());
    }
    spi::execute(
        "insert into ipai.odoo_logins (url, dbname, login, uid) values ($1, $2, $3, $4) \
         on conflict (url, dbname, login) do update set uid = excluded.uid",
        &[
            connection.url().into(),
            connection.account.dbname.as_str().into(),
            connection.account.login.as_str().into(),
            uid.into(),
        ],
        |_| Ok(()),
    )?;
    Ok(())
}

/// Whether this role may do all that in the table, in this transaction.
fn may(privileges: &str) -> Result<bool> {
    let may = spi::query_one(
        "select bool_and(pg_catalog.has_table_privilege('ipai.odoo_logins', p.privilege)) and ($1 = 'select' or not \
         pg_catalog.current_setting('transaction_read_only')::bool) from pg_catalog.string_to_table($1, ', ') as p (privilege)",
        &[privileges.into()],
        |row| spi::column(row, 1),
    )?;
    Ok(may.unwrap_or(false))
}
