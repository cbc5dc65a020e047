//! Encodes the path and the body of a request.

use crate::error::{Error, Result};
use crate::value::Value;

/// The path of a method.
///
/// # Errors
/// `UnknownModel` and `UnknownMethod` for a name that Odoo cannot have. It must not reach the path,
/// where it could name another resource of the server.
pub fn path(model: &str, method: &str) -> Result<String> {
    if !is_name(model) {
        return Err(Error::UnknownModel { model: model.to_owned(), near: Vec::new() });
    }
    if !is_name(method) {
        return Err(Error::UnknownMethod { model: model.to_owned(), method: method.to_owned() });
    }
    Ok(format!("/json/2/{model}/{method}"))
}

/// Whether a text may be the name of a model or method: words of letters, digits and underscores,
/// joined by dots.
fn is_name(text: &str) -> bool {
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    text.split('.').all(is_word)
}

/// The body: an object with the arguments, in their order.
pub fn encode_arguments<'a>(arguments: impl IntoIterator<Item = (&'a str, Value)>) -> String {
    let arguments = arguments.into_iter().map(|(name, value)| (name.to_owned(), value.to_json()));
    serde_json::Value::Object(arguments.collect()).to_string()
}
