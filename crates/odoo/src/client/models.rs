//! Reads which models and fields Odoo has.

use super::{Client, Safety, kwargs, names, unexpected};
use crate::error::{Error, Result};
use crate::xmlrpc::Value;
use crate::{Field, Transport, domain, field};

impl<T: Transport> Client<T> {
    /// Reads the fields of a model that the user may read, sorted by name.
    ///
    /// `only` restricts the answer to these fields. An empty list means all fields.
    pub fn fields(&mut self, model: &str, only: &[String]) -> Result<Vec<Field>> {
        let mut arguments = kwargs([("attributes", Value::from_iter(field::ATTRIBUTES))]);
        if !only.is_empty() {
            arguments.extend(kwargs([("allfields", names(only))]));
        }
        let answer = self.call(model, "fields_get", Vec::new(), arguments, Safety::Harmless)?;
        let fields = answer.as_struct().ok_or_else(|| unexpected("fields_get", "a struct of fields"))?;
        let mut fields: Vec<Field> =
            fields.iter().map(|(name, attributes)| Field::read(name.clone(), attributes)).collect();
        fields.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(fields)
    }

    /// Lists the models that the user may read, with their labels, sorted by name.
    pub fn models(&mut self) -> Result<Vec<(String, String)>> {
        // Only administrators may read ir.model. Odoo's web client uses a method that every user
        // may call.
        let method = "get_available_models";
        let (answer, label) = match self.call("ir.model", method, Vec::new(), Vec::new(), Safety::Harmless) {
            Err(Error::UnknownMethod { .. }) => {
                let domain = Value::from_iter([domain::term("transient", "=", false)]);
                let fields = kwargs([("fields", Value::from_iter(["model", "name"]))]);
                (self.call("ir.model", "search_read", vec![domain], fields, Safety::Harmless)?, "name")
            }
            answer => (answer?, "display_name"),
        };
        let named = |model: &Value, member| Some(model.get(member)?.as_str()?.to_owned());
        let read = |model: &Value| Some((named(model, "model")?, named(model, label)?));
        let models = answer.as_array().and_then(|models| models.iter().map(read).collect::<Option<Vec<_>>>());
        let mut models = models.ok_or_else(|| unexpected(method, "a list of models"))?;
        models.sort();
        Ok(models)
    }
}
