//! The followers, `ipai.followers`: one row for each server.

use super::sql;
use crate::session::Session;
use ipai_odoo::error::{Error, Result};

/// A mirror to follow.
pub struct Version {
    /// Its name.
    pub mirror: String,
    /// Its server; `None` for the only one.
    pub server: Option<String>,
    /// A text that changes whenever its definition or state does.
    pub version: String,
}

/// The mirrors to follow. `None`: those scheduled as live, or else all enabled mirrors.
pub fn versions(session: &mut dyn Session, names: Option<&[String]>) -> Result<Vec<Version>> {
    let names = names.map_or(crate::session::Param::Text(None), Into::into);
    session.all(sql!("follower_versions"), &[names], |row| {
        Ok(Version { mirror: row.get(0)?, server: row.optional(1)?, version: row.get(2)? })
    })
}

/// Records a poll of a server, or why it failed.
pub fn store(session: &mut dyn Session, server: &str, mirrors: &[String], problem: Option<&Error>) -> Result<()> {
    let problem = problem.map(|error| error.to_string().chars().take(1_000).collect::<String>());
    session.run(sql!("follower_store"), &[server.into(), mirrors.into(), problem.as_deref().into()]).map(drop)
}

/// Forgets the follower of a server, which an operator has stopped.
pub fn forget(session: &mut dyn Session, server: &str) -> Result<()> {
    session.run("delete from ipai.followers where server = $1", &[server.into()]).map(drop)
}
