//! What a run warns its caller of.

use crate::engine::{Plan, Report};
use crate::session::Session;
use crate::store::statements::{quote_array, quote_literal};
use crate::{Mirror, Problem};

pub fn warn_of_drift(session: &mut dyn Session, mirror: &Mirror, field: &str, problem: &Problem) {
    let model = &mirror.scope.model;
    let message = match problem {
        Problem::Gone => format!("Odoo no longer has field \"{field}\" in model \"{model}\""),
        Problem::Changed { kind } => {
            format!("field \"{field}\" of model \"{model}\" now has type {kind}, which its column cannot hold")
        }
        Problem::Altered => {
            format!("table \"{}\" changes the values of field \"{field}\" as they are written", mirror.target.display())
        }
        Problem::Uncarried => return warn_of_uncarried(session, mirror, field),
    };
    let hint = format!(
        "The other fields are mirrored; the column keeps its values. See select * from ipai.refresh_mirror({});",
        quote_literal(&mirror.name)
    );
    session.warning(&message, &hint);
}

/// Policies of the table cannot hide the archived rows.
pub fn warn_of_archived(session: &mut dyn Session, mirror: &Mirror, field: &str) {
    let (model, name) = (&mirror.scope.model, quote_literal(&mirror.name));
    session.warning(
        &format!("model \"{model}\" archives records by field \"{field}\", which is not mirrored"),
        &format!(
            "Add it: select * from ipai.refresh_mirror({name}, add_fields => '{{{field}}}'); then call \
             ipai.protect_mirror() again if it protects the table."
        ),
    );
}

fn warn_of_uncarried(session: &mut dyn Session, mirror: &Mirror, field: &str) {
    let (model, name) = (&mirror.scope.model, quote_literal(&mirror.name));
    session.warning(
        &format!("this run leaves out field \"{field}\" of model \"{model}\": XML-RPC cannot carry its values"),
        &format!(
            "The other fields are mirrored; the column keeps its values until a full run can read the field. Install \
             the addon ipai_sync in Odoo, which can send them, or stop mirroring the field: select * from \
             ipai.refresh_mirror({name}, drop_fields => {});",
            quote_array(field)
        ),
    );
}

/// A dry run counts deletions that a real run would refuse.
pub fn warn_of_refusal(session: &mut dyn Session, plan: &Plan, report: &Report) {
    let (deleted, allowed) = (report.progress.deleted, plan.guard.allows(report.counts.mirror.total));
    if deleted > allowed {
        session.warning(
            &format!("a real run would refuse to delete {deleted} rows: {allowed} are allowed"),
            &format!(
                "If Odoo is right, allow it: select * from ipai.sync_mirror({}, max_delete_ratio => 1);",
                quote_literal(&plan.mirror)
            ),
        );
    }
}
