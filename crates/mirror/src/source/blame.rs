//! Finds out why Odoo could not send records: it is down, the page is too large, or one record or
//! field is the cause.

use crate::Mirror;
use ipai_odoo::domain::{IDS_PER_REQUEST, Term};
use ipai_odoo::error::{Error, Result};
use ipai_odoo::value::{RowVisitor, Scalar};
use ipai_odoo::{Client, Transport};

/// Explains an error of a call for at most `number` records with these terms.
///
/// The error becomes [`Error::Records`] if fewer records may succeed and Odoo lists the first one.
/// That request has its own retries, so it also waits for an Odoo that is restarting.
pub(super) fn blame<T: Transport>(
    client: &mut Client<T>,
    mirror: &Mirror,
    terms: Vec<Term>,
    number: u64,
    error: Error,
) -> Error {
    if matches!(error, Error::NoneReturned { .. }) {
        return uncarried_fields(client, mirror, terms, number).unwrap_or(error);
    }
    if !error.fewer_records_may_help() {
        return error;
    }
    let first = client.search(&mirror.scope, terms, 1).ok().and_then(|ids| ids.first().copied());
    let Some(id) = first else { return error };
    let is_answered = !error.is_of_exchange() && !matches!(error, Error::HttpStatus(_) | Error::Limit { .. });
    let field = match number == 1 && is_answered {
        true => failing_fields(client, mirror, &[id], &mirror.wanted_fields()).into_iter().next(),
        false => None,
    };
    Error::Records { model: mirror.scope.model.clone(), id, number, field, error: Box::new(error) }
}

/// The fields with values that XML-RPC cannot carry, in the records of a page.
fn uncarried_fields<T: Transport>(
    client: &mut Client<T>,
    mirror: &Mirror,
    terms: Vec<Term>,
    number: u64,
) -> Option<Error> {
    let ids = client.search(&mirror.scope, terms, number.min(IDS_PER_REQUEST as u64)).ok()?;
    let fields = failing_fields(client, mirror, &ids, &mirror.wanted_fields());
    (!fields.is_empty()).then(|| Error::UncarriedFields { model: mirror.scope.model.clone(), fields })
}

/// The fields that Odoo cannot read of these records, found by halving. None if it can read each
/// half, or if it does not answer.
fn failing_fields<T: Transport>(
    client: &mut Client<T>,
    mirror: &Mirror,
    ids: &[i64],
    fields: &[String],
) -> Vec<String> {
    let (some, others) = fields.split_at(fields.len() / 2);
    let mut failing = Vec::new();
    for part in [some, others].into_iter().filter(|part| !part.is_empty()) {
        match client.read(&mirror.scope, part, ids, || Ignored) {
            Ok(_) => {}
            Err(error) if error.is_of_exchange() => {}
            Err(_) if part.len() == 1 => failing.extend_from_slice(part),
            Err(_) => failing.extend(failing_fields(client, mirror, ids, part)),
        }
    }
    failing
}

/// Ignores rows.
struct Ignored;

impl RowVisitor for Ignored {
    fn column(&mut self, _: &str) -> Option<usize> {
        None
    }

    fn value(&mut self, _: usize, _: Scalar<'_>) -> Result<()> {
        Ok(())
    }

    fn end_row(&mut self) -> Result<()> {
        Ok(())
    }
}
