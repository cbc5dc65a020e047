//! Checks that the library and the SQL of the extension have the same version. Between the
//! installation of a new library and `alter extension update` they have not.

use ipai_mirror::session::Session;
use ipai_odoo::error::{Error, Result, SqlState};

/// Fails with the next step if the extension in this database is not of the library's version.
pub fn check(session: &mut dyn Session) -> Result<()> {
    let library = env!("CARGO_PKG_VERSION");
    let sql = "select extversion from pg_catalog.pg_extension where extname = 'ipai_sync'";
    match session.first(sql, &[], |row| row.get::<String>(0))? {
        Some(installed) if installed != library => {
            let message = format!(
                "the library of ipai_sync has version {library}, but the extension in this database has version \
                 {installed}"
            );
            Err(Error::user(SqlState::ObjectNotInState, message)
                .with_hint("Run as a superuser (on Supabase: supabase_admin): alter extension ipai_sync update;"))
        }
        _ => Ok(()),
    }
}
