//! Refuses models that are views of other models: their ids may denote other records in the next
//! query.

use crate::refusal::invalid;
use crate::source::Fetcher;
use ipai_odoo::Field;
use ipai_odoo::error::Result;

/// The fields that Odoo adds to a model with a table, unless the model declares that it has none.
const LOG_FIELDS: [&str; 4] = ["create_date", "create_uid", "write_date", "write_uid"];

/// Refuses a model that is a view, unless its records have a history, and so an identity, of their
/// own.
pub fn refuse_view(fetcher: &Fetcher, model: &str, odoo: &[Field]) -> Result<()> {
    let is_stored = |name: &str| odoo.iter().any(|field| field.name == name && field.stored);
    if LOG_FIELDS.iter().all(|name| is_stored(name)) {
        return Ok(());
    }
    let asked = model.to_owned();
    // The answer of the addon, else what Odoo says about new records, which a view cannot have:
    // that they must have a value, or that this user may create them.
    let (is_table, is_sure) = match fetcher.run(move |client| client.has_table(&asked))? {
        Some(is_table) => (is_table, true),
        None if odoo.iter().any(|field| field.required && field.stored && field.name != "id") => (true, false),
        None => {
            let asked = model.to_owned();
            (fetcher.run(move |client| client.may_create(&asked))?, false)
        }
    };
    if is_table {
        return Ok(());
    }
    let (verb, advice) = match is_sure {
        true => ("is", ""),
        false => ("seems to be", " If it has a table of its own, install the addon ipai_sync in Odoo, which can tell."),
    };
    Err(invalid(
        format!("model \"{model}\" cannot be mirrored: it {verb} a view of other models"),
        format!("Mirror the models from which it is computed.{advice}"),
    )
    .with_detail("Its records have no history, and their ids may denote other records in the next query."))
}
