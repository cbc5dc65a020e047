//! `odoo-call`.

use super::{Context, Failed, json_argument, usage};
use crate::output::print_line;
use ipai_mirror::connection::Accounts;
use ipai_mirror::odoo_call::odoo_call;
use ipai_mirror::session::Session;

/// Hint if the settings have several servers.
const SEVERAL: &str = "Name one with --server.";

/// Calls a method, and prints its result as JSON.
pub fn call(
    context: &Context,
    model: &str,
    method: &str,
    [args, kwargs]: [Option<&str>; 2],
    server: Option<&str>,
) -> Result<(), Failed> {
    let (args, kwargs) = (json_argument("args", args)?, json_argument("kwargs", kwargs)?);
    context.settings.server(server, SEVERAL).map_err(usage)?;
    let result = context.with_session(|session| {
        let connection = context.settings.open(session, server, SEVERAL)?;
        // No transaction is open while Odoo works.
        session.commit()?;
        Ok(odoo_call(session, &connection, model.to_owned(), method.to_owned(), args, kwargs)?)
    })?;
    print_line(&result.to_string());
    Ok(())
}
