//! Finds binary fields that hold structures instead, such as `tax_totals` of invoices. Odoo
//! computes them for its own forms, and has no type for them.

use crate::source::Fetcher;
use ipai_odoo::Field;
use ipai_odoo::error::{Error, Result};
use ipai_odoo::value::Value;

/// The most records to look at.
const SAMPLE: u64 = 100;

/// Changes the type of these fields to `json` where Odoo says binary and returns no base64. Only
/// computed fields are read: what Odoo stores as binary is binary.
pub fn find_structures(fetcher: &Fetcher, model: &str, odoo: &mut [Field], named: &[String]) -> Result<()> {
    let may_hold_structures =
        |field: &&mut Field| field.kind == "binary" && !field.stored && named.contains(&field.name);
    for field in odoo.iter_mut().filter(may_hold_structures) {
        let (model, name) = (model.to_owned(), field.name.clone());
        let is_binary = match fetcher.run(move |client| client.sample(&model, &name, SAMPLE)) {
            Ok(values) => {
                values.iter().any(|value| matches!(value, Value::String(_)) || value.binary_content().is_some())
            }
            // XML-RPC cannot carry every structure.
            Err(Error::OdooFault { .. } | Error::NoneReturned { .. }) => false,
            Err(error) => return Err(error),
        };
        if !is_binary {
            "json".clone_into(&mut field.kind);
        }
    }
    Ok(())
}
