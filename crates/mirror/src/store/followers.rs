//! The followers, `ipai.followers`: one row for each server.

use super::sql;
use crate::session::Session;
use ipai_odoo::error::{Error, Result};

/// The mirrors to follow, with a text that changes whenever their definition or state does. `None`:
/// those scheduled as live, or else all enabled mirrors.
pub fn versions(session: &mut dyn Session, names: Option<&[String]>) -> Result<Vec<(String, String)>> {
    let names = names.map_or(crate::session::Param::Text(None), Into::into);
    session.all(sql!("follower_versions"), &[names], |row| Ok((row.get(0)?, row.get(1)?)))
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
