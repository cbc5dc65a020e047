//! Looks at the mirrored fields in Odoo, so that a run can go on without those that it no longer has.

use super::mirrors;
use super::report::warning;
use ipai_odoo::error::{Error, Result};
use ipai_mirror::source::Fetcher;
use ipai_mirror::{drift, Drift, Mirror, Problem};
use crate::connection::literal;

/// Asks Odoo, which costs one small call, for a run that reads `all` records or some; what was known before.
pub fn look(fetcher: &Fetcher, mirror: &mut Mirror, all: bool) -> Result<Vec<Drift>> {
    let model = mirror.scope.model.clone();
    let names: Vec<String> = mirror.fields.iter().map(|map| map.field.clone()).collect();
    let fields = fetcher.run(move |client| client.fields(&model, &names))?;
    Ok(mirror.drifts(drift(&mirror.fields, &fields), all))
}

/// Whether a field that is gone, or has another type, may be behind this error of a run.
pub fn may_explain(error: &Error) -> bool {
    matches!(
        error,
        Error::UnknownField { .. }
            | Error::Value { .. }
            | Error::OdooAccess { .. }
            | Error::OdooFault { .. }
            | Error::Malformed { .. }
    )
}

/// Warns of what is news, and keeps it.
pub fn note(mirror: &Mirror, known: &[Drift]) -> Result<()> {
    for drift in mirror.drift.iter().filter(|drift| !known.contains(drift)) {
        warning(
            match &drift.problem {
                Problem::Gone => format!(
                    "Odoo has no field \"{}\" in model \"{}\" any more",
                    drift.field, mirror.scope.model
                ),
                Problem::Changed { kind } => format!(
                    "field \"{}\" of model \"{}\" is of type {kind} now, which its column cannot hold",
                    drift.field, mirror.scope.model
                ),
            },
            format!(
                "The other fields are mirrored; the column keeps what it has. See select * from ipai.refresh_mirror({});",
                literal(&mirror.name)
            ),
        );
    }
    mirrors::set_drift(mirror)
}
