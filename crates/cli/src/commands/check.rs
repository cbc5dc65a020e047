//! `check`: both ends, what is wrong, and the command that mends it.

use super::{Context, Failed, findings, usage};
use crate::output::{Rows, print_findings, rows};
use crate::session::WireSession;
use ipai_mirror::check_connection::check_connection;
use ipai_mirror::connection::Accounts;
use ipai_mirror::session::Session;
use ipai_odoo::Addon;
use ipai_odoo::error::Result;
use serde_json::{Map, Value, json};

/// Checks the Odoo servers of the settings, and the database.
pub fn check(context: &Context, server: Option<&str>) -> std::result::Result<(), Failed> {
    let names = match server {
        Some(name) => context.settings.server(Some(name), "").map(|(name, _)| vec![name]),
        None => context.settings.server_names(),
    };
    let names = names.map_err(usage)?;
    let found = context.with_session(|session| {
        let mut found = Rows::new();
        for name in names {
            match check_server(context, session, name) {
                Ok(rows) => found.extend(rows),
                Err(error) => {
                    session.rollback()?;
                    found.push(row("Odoo", name, "problem", &error.to_string(), error.hint().as_deref()));
                }
            }
            session.commit()?;
        }
        found.extend(rows(session, include_str!("../sql/doctor.sql"), &[])?);
        Ok(found)
    })?;
    print_findings(&found, context.as_json)?;
    match found.iter().filter(|row| row.get("state") == Some(&json!("problem"))).count() {
        0 => Ok(()),
        number => {
            let message = format!("{number} of {} checks found a problem", found.len());
            Err(findings(context, message, "The remedy below each problem is the next action."))
        }
    }
}

fn check_server(context: &Context, session: &mut WireSession, name: &str) -> Result<Rows> {
    let connection = context.settings.open(session, Some(name), "")?;
    let checked = check_connection(session, &connection)?;
    let finding = format!(
        "Odoo {} at {}, database {}, login {} with {}, {}, {:.0} ms; the addon ipai_sync is {}",
        checked.version,
        connection.url(),
        connection.account.dbname,
        connection.account.login,
        checked.secret,
        checked.protocol,
        checked.latency.as_secs_f64() * 1_000.0,
        match checked.server.addon {
            Addon::Present | Addon::Failing { .. } => "installed",
            Addon::Unwanted => "not wanted",
            Addon::Missing | Addon::Unknown => "not installed",
        }
    );
    let mut found = vec![row("Odoo", name, "ok", &finding, None)];
    if let Some(problem) = &checked.server.addon_problem {
        let finding = format!("the addon ipai_sync is installed but not used, because {problem}");
        let remedy = "Mend the addon in Odoo. Runs go on without it, more slowly, and try it again daily.";
        found.push(row("addon", name, "problem", &finding, Some(remedy)));
    }
    for model in checked.models {
        let object = model.model.as_deref().unwrap_or(name);
        match (model.readable, model.records) {
            (Some(false), _) => {
                let problem = model.problem.unwrap_or_default();
                found.push(row("model", object, "problem", &problem, model.hint.as_deref()));
            }
            (_, Some(records)) => found.push(row("model", object, "ok", &format!("{records} records"), None)),
            _ => {}
        }
    }
    Ok(found)
}

fn row(check: &str, object: &str, state: &str, finding: &str, remedy: Option<&str>) -> Map<String, Value> {
    Map::from_iter([
        ("check".to_owned(), json!(check)),
        ("object".to_owned(), json!(object)),
        ("state".to_owned(), json!(state)),
        ("finding".to_owned(), json!(finding)),
        ("remedy".to_owned(), json!(remedy)),
    ])
}
