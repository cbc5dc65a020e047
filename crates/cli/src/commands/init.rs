//! `init` and `uninstall`.

use super::{Context, Failed, usage};
use crate::output::{print_json, print_line};
use crate::schema::{self, Applied, VERSION};
use ipai_mirror::refusal::invalid;
use serde_json::json;

/// Creates or upgrades the schema, or prints its SQL.
pub fn init(context: &Context, print_sql: bool) -> Result<(), Failed> {
    if print_sql {
        print_line(schema::migration().trim_end());
        return Ok(());
    }
    let applied = schema::apply(&mut context.database()?.connect()?).map_err(schema::explain)?;
    let (what, text) = match &applied {
        Applied::Created => ("created", format!("Created the schema ipai, version {VERSION}.")),
        Applied::Upgraded(from) => ("upgraded", format!("Upgraded the schema ipai from version {from} to {VERSION}.")),
        Applied::Unchanged => ("unchanged", format!("The schema ipai has version {VERSION} already.")),
    };
    match context.as_json {
        true => print_json(&json!({"result": what, "version": VERSION}))?,
        false => print_line(&text),
    }
    Ok(())
}

/// Removes the schema's objects.
pub fn uninstall(context: &Context, yes: bool) -> Result<(), Failed> {
    if !yes {
        return Err(usage(invalid(
            "uninstall removes the definitions of all mirrors and the log of their runs",
            "The mirror tables stay. To confirm: ipai-sync uninstall --yes",
        )));
    }
    schema::remove(&mut context.database()?.connect()?)?;
    match context.as_json {
        true => print_json(&json!({"result": "removed"}))?,
        false => print_line("Removed the tables, views and functions of ipai_sync. The mirror tables stay."),
    }
    Ok(())
}
