//! The foreign servers of the database that are Odoo servers.

use super::sql;
use crate::refusal::{invalid, refused};
use crate::session::Session;
use ipai_odoo::error::{Result, SqlState};

/// Name of the foreign-data wrapper that the extension creates.
pub const WRAPPER: &str = "ipai_odoo";

/// The only Odoo server, for a caller who named none.
pub fn only_server(session: &mut dyn Session, choose: &str) -> Result<String> {
    let servers = session.all(sql!("servers"), &[WRAPPER.into()], |row| row.get::<String>(0))?;
    match servers.as_slice() {
        [server] => Ok(server.clone()),
        [] => Err(refused(
            SqlState::UndefinedObject,
            "there is no Odoo server yet",
            format!(
                "create server odoo foreign data wrapper {WRAPPER} options (url 'https://erp.example.com', dbname \
                 'odoo'); create user mapping for current_user server odoo options (user '...', password_secret '...');"
            ),
        )),
        several => Err(invalid(format!("there are several Odoo servers: {}", several.join(", ")), choose)),
    }
}

/// The oid of the server of this name, and whether the current role has USAGE on it.
pub fn find(session: &mut dyn Session, server: &str) -> Result<(i64, bool)> {
    let params = [server.into(), WRAPPER.into()];
    match session.first(sql!("server"), &params, |row| Ok((row.get(0)?, row.get(1)?, row.get::<bool>(2)?)))? {
        Some((oid, is_usable, true)) => Ok((oid, is_usable)),
        Some((.., false)) => Err(invalid(
            format!("server \"{server}\" is no Odoo server"),
            format!("Odoo servers belong to the foreign-data wrapper {WRAPPER}."),
        )),
        None => {
            let hint = format!(
                "create server {} foreign data wrapper {WRAPPER} options (url 'https://erp.example.com', dbname 'odoo');",
                session.quote_ident(server)?
            );
            Err(refused(SqlState::UndefinedObject, format!("server \"{server}\" does not exist"), hint))
        }
    }
}
