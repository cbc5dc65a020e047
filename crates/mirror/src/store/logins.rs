//! What earlier runs learned about an Odoo server: the uid of a login, because a login costs Odoo
//! 0.4 seconds of password hashing, and whether Odoo has the addon and JSON-2. It proves nothing:
//! every call sends the secret.

use super::sql;
use crate::session::Session;
use ipai_odoo::error::Result;
use ipai_odoo::{Account, Addon, Json2, ServerInfo};

/// What is stored; nothing for a role that may not read it.
pub fn stored(session: &mut dyn Session, url: &str, account: &Account) -> Result<ServerInfo> {
    if !may(session, "select")? {
        return Ok(ServerInfo::default());
    }
    let params = [url.into(), (&account.dbname).into(), (&account.login).into()];
    let found = session.first(sql!("login"), &params, |row| {
        Ok(ServerInfo {
            uid: row.optional(0)?,
            addon: match row.optional(1)? {
                None => Addon::Unknown,
                Some(false) => Addon::Missing,
                Some(true) => match row.optional(4)? {
                    None => Addon::Present,
                    Some(is_due) => Addon::Failing { is_due },
                },
            },
            uuid: row.optional(2)?,
            addon_problem: row.optional(3)?,
            json2: if row.get(5)? { Json2::Missing } else { Json2::Unknown },
        })
    })?;
    Ok(found.unwrap_or_default())
}

/// Stores it. Writes nothing if it is stored already.
pub fn store(session: &mut dyn Session, url: &str, account: &Account, info: &ServerInfo) -> Result<()> {
    // This only saves time, so a role that may not write it is no error.
    let Some(uid) = info.uid else {
        return Ok(());
    };
    let addon = match info.addon {
        Addon::Unknown | Addon::Unwanted => None,
        Addon::Missing => Some(false),
        Addon::Failing { .. } | Addon::Present => Some(true),
    };
    let lacks_json2 = match info.json2 {
        Json2::Unknown | Json2::Unwanted | Json2::Required => None,
        Json2::Missing => Some(true),
        Json2::Present => Some(false),
    };
    if !may(session, "select, insert, update")? {
        return Ok(());
    }
    let params = [
        url.into(),
        (&account.dbname).into(),
        (&account.login).into(),
        uid.into(),
        addon.into(),
        info.uuid.as_deref().into(),
        info.addon_problem.as_deref().into(),
        lacks_json2.into(),
    ];
    session.run(sql!("login_store"), &params).map(drop)
}

/// Whether this role has all these privileges on the table, in this transaction.
fn may(session: &mut dyn Session, privileges: &str) -> Result<bool> {
    session.is_true(sql!("login_privileges"), &[privileges.into()])
}
