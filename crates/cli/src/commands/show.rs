//! `status`, `runs` and `alerts`: what the views show.

use super::{Context, Failed, findings};
use crate::output::{Rows, print_line, print_rows, rows};
use ipai_mirror::refusal::refused;
use ipai_mirror::session::{Param, Session};
use ipai_odoo::error::{Result, SqlState};

/// The health of all mirrors, or of one.
pub fn status(context: &Context, mirror: Option<&str>) -> std::result::Result<(), Failed> {
    let found = read(context, include_str!("../sql/status.sql"), &[mirror.into()])?;
    if found.is_empty() {
        return Err(none(mirror).into());
    }
    Ok(print_rows(&found, context.as_json)?)
}

/// The last runs of all mirrors, or of one.
pub fn runs(context: &Context, mirror: Option<&str>, limit: i64) -> std::result::Result<(), Failed> {
    let found = read(context, include_str!("../sql/runs.sql"), &[mirror.into(), limit.into()])?;
    if found.is_empty() && !context.as_json {
        print_line("There is no run yet.");
    }
    Ok(print_rows(&found, context.as_json)?)
}

/// What needs attention.
pub fn alerts(context: &Context) -> std::result::Result<(), Failed> {
    let found = read(context, include_str!("../sql/alerts.sql"), &[])?;
    print_rows(&found, context.as_json)?;
    if found.is_empty() {
        if !context.as_json {
            print_line("All enabled mirrors are healthy.");
        }
        return Ok(());
    }
    let message = match found.len() {
        1 => "1 alert is raised".to_owned(),
        number => format!("{number} alerts are raised"),
    };
    Err(findings(context, message, "The column hint has the next action."))
}

fn read(context: &Context, query: &str, params: &[Param<'_>]) -> std::result::Result<Rows, Failed> {
    context.with_session(|session| {
        let session: &mut dyn Session = session;
        let found: Result<Rows> = rows(session, query, params);
        Ok(found?)
    })
}

fn none(mirror: Option<&str>) -> ipai_odoo::error::Error {
    match mirror {
        Some(mirror) => refused(
            SqlState::UndefinedObject,
            format!("mirror \"{mirror}\" does not exist"),
            "ipai-sync status shows all mirrors.",
        ),
        None => refused(
            SqlState::UndefinedObject,
            "there is no mirror yet",
            "Create one: ipai-sync create-mirror res.partner",
        ),
    }
}
