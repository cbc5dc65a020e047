//! Reads which models and fields Odoo has.

use super::{Client, Safety, unexpected};
use crate::error::{Error, Result};
use crate::xmlrpc::Value;
use crate::{Field, Transport, domain, field};

impl<T: Transport> Client<T> {
    /// Reads the fields of a model that the user may read, sorted by name.
    ///
    /// `names` restricts the answer to these fields. An empty list means all fields.
    ///
    /// # Errors
    /// The errors of [`Client::call`].
    pub fn fields(&mut self, model: &str, names: &[String]) -> Result<Vec<Field>> {
        let attributes = field::ATTRIBUTES.iter().map(|name| (*name).into()).collect();
        let mut kwargs = vec![("attributes".to_owned(), Value::Array(attributes))];
        if !names.is_empty() {
            let names = names.iter().map(|name| name.as_str().into()).collect();
            kwargs.push(("allfields".to_owned(), Value::Array(names)));
        }
        match self.call(model, "fields_get", Vec::new(), kwargs, Safety::Harmless)? {
            Value::Struct(fields) => {
                let mut fields: Vec<Field> =
                    fields.into_iter().map(|(name, attributes)| Field::read(name, &attributes)).collect();
                fields.sort_by(|one, other| one.name.cmp(&other.name));
                Ok(fields)
            }
            _ => Err(unexpected("fields_get", "a struct of fields")),
        }
    }

    /// Lists the models that the user may read, with their labels, sorted by name.
    ///
    /// # Errors
    /// The errors of [`Client::call`].
    pub fn models(&mut self) -> Result<Vec<(String, String)>> {
        // Only administrators may read ir.model. Odoo's web client uses a method that every user
        // may call.
        let (method, label) = ("get_available_models", "display_name");
        let (answer, label) = match self.call("ir.model", method, Vec::new(), Vec::new(), Safety::Harmless) {
            Err(Error::UnknownMethod { .. }) => {
                let domain = Value::Array(vec![domain::term("transient", "=", false)]);
                let fields = ("fields".to_owned(), Value::Array(vec!["model".into(), "name".into()]));
                let answer = self.call("ir.model", "search_read", vec![domain], vec![fields], Safety::Harmless)?;
                (answer, "name")
            }
            answer => (answer?, label),
        };
        let models = answer.as_array().map(|models| {
            let named = |model: &Value, member| model.get(member).and_then(Value::as_str).map(str::to_owned);
            let models = models.iter().map(|model| Some((named(model, "model")?, named(model, label)?)));
            models.collect::<Option<Vec<_>>>()
        });
        let mut models = models.flatten().ok_or_else(|| unexpected(method, "a list of models"))?;
        models.sort();
        Ok(models)
    }
}
