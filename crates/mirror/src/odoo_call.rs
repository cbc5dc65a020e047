//! Calls a method of a model for a user.

use crate::connection::Connection;
use crate::refusal::invalid;
use crate::session::Session;
use ipai_odoo::error::{Error, Result};
use ipai_odoo::retry::Policy;
use ipai_odoo::value::Value;
use serde_json::Value as Json;

/// Calls a method with positional arguments (an array) and named arguments (an object), and returns
/// its result. The method may change records, so the request is never sent twice.
pub fn odoo_call(
    session: &mut dyn Session,
    connection: &Connection,
    model: String,
    method: String,
    args: Option<Json>,
    kwargs: Option<Json>,
) -> Result<Json> {
    let args = match args.map(Value::from_json) {
        None => Vec::new(),
        Some(Value::Array(args)) => args,
        Some(_) => {
            let hint = "It holds the arguments by position: '[[1, 2], \"x\"]'.";
            return Err(invalid("args must be a JSON array", hint));
        }
    };
    let kwargs = match kwargs.map(Value::from_json) {
        None => Vec::new(),
        Some(Value::Struct(kwargs)) => kwargs,
        Some(_) => {
            let hint = "It holds the arguments by name: '{\"limit\": 10}'.";
            return Err(invalid("kwargs must be a JSON object", hint));
        }
    };
    let fetcher = connection.fetcher(session, Policy::SYNC)?;
    // Before the call: nothing may fail after Odoo executed it.
    fetcher.run(|client| client.prove_login())?;
    connection.store_findings(session, &fetcher)?;
    let none = Error::NoneReturned { model: model.clone(), method: method.clone() };
    let result = fetcher.run(move |client| client.call_once(&model, &method, args, kwargs))?;
    if result.is_none() {
        session.warning(&none.to_string(), &none.hint().unwrap_or_default());
    }
    Ok(result.map_or(Json::Null, |value| value.to_json()))
}
