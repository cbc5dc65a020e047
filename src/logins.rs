//! What Odoo has told a login: its uid, because asking costs Odoo 0.4 seconds of password hashing, and whether it has our addon.
//! It proves nothing: every call carries the password.

use super::connection::Connection;
use super::spi;
use ipai_odoo::error::Result;
use ipai_mirror::source::Fetcher;
use ipai_odoo::{Addon, ServerInfo};

/// What is remembered; nothing for a role that may not look.
pub fn remembered(connection: &Connection) -> Result<ServerInfo> {
    let nothing = ServerInfo {
        addon: connection.addon(Addon::Unknown),
        ..ServerInfo::default()
    };
    if !may("select")? {
        return Ok(nothing);
    }
    let known = spi::query_one(
        "select uid, addon, database_uuid from ipai.odoo_logins where url = $1 and dbname = $2 and login = $3",
        &[
            connection.url().into(),
            connection.account.dbname.as_str().into(),
            connection.account.login.as_str().into(),
        ],
        |row| {
            Ok(ServerInfo {
                uid: spi::optional(row, 1)?,
                addon: connection.addon(match spi::optional(row, 2)? {
                    None => Addon::Unknown,
                    Some(true) => Addon::Present,
                    Some(false) => Addon::Missing,
                }),
                uuid: spi::optional(row, 3)?,
            })
        },
    )?;
    Ok(known.unwrap_or(nothing))
}

/// Remembers what this fetcher has found out.
pub fn remember_of(connection: &Connection, fetcher: &Fetcher) -> Result<()> {
    remember(connection, &fetcher.run(|client| Ok(client.known().clone()))?)
}

/// Remembers it; writes nothing where it is known.
pub fn remember(connection: &Connection, known: &ServerInfo) -> Result<()> {
    // What only saves time must not fail anything.
    let Some(uid) = known.uid else {
        return Ok(());
    };
    let addon = match known.addon {
        Addon::Unknown | Addon::Unwanted => None,
        Addon::Missing => Some(false),
        Addon::Present => Some(true),
    };
    if remembered(connection)? == *known || !may("select, insert, update")? {
        return Ok(());
    }
    spi::execute(
        "insert into ipai.odoo_logins (url, dbname, login, uid, addon, database_uuid) values ($1, $2, $3, $4, $5, $6) \
         on conflict (url, dbname, login) do update set uid = excluded.uid, addon = coalesce(excluded.addon, odoo_logins.addon), \
         database_uuid = coalesce(excluded.database_uuid, odoo_logins.database_uuid)",
        &[
            connection.url().into(),
            connection.account.dbname.as_str().into(),
            connection.account.login.as_str().into(),
            uid.into(),
            addon.into(),
            known.uuid.as_deref().into(),
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
