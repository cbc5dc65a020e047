//! Reads which models and fields Odoo has.

use super::{Call, Client, kwargs, names, number, unexpected};
use crate::error::{Error, Result};
use crate::text::Cleaner;
use crate::value::Value;
use crate::{Transport, domain};

impl<T: Transport> Client<T> {
    /// Reads those of these fields of a model that the user may read, sorted by name. An empty list
    /// means all fields.
    pub fn fields(&mut self, model: &str, only: &[String]) -> Result<Vec<Field>> {
        let mut arguments = kwargs([("attributes", Value::from_iter(Field::ATTRIBUTES))]);
        if !only.is_empty() {
            arguments.extend(kwargs([("allfields", names(only))]));
        }
        let answer = self.call(&Call::for_list(model, "fields_get").with(Vec::new(), arguments))?;
        let fields = answer.as_struct().ok_or_else(|| unexpected("fields_get", "a struct of fields"))?;
        let cleaner = self.account.cleaner();
        let read = |(name, attributes): &(String, Value)| Field::read(name.clone(), attributes).clean(&cleaner);
        let mut fields: Vec<Field> = fields.iter().map(read).collect();
        fields.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(fields)
    }

    /// Reads one field of up to `limit` records, the newest first.
    pub fn sample(&mut self, model: &str, field: &str, limit: u64) -> Result<Vec<Value>> {
        let arguments = kwargs([
            ("fields", Value::from_iter([field])),
            ("order", "id desc".into()),
            ("limit", number(limit)),
            ("load", "".into()),
        ]);
        let everything = Value::Array(Vec::new());
        let answer = self.call(&Call::for_page(model, "search_read").with(vec![("domain", everything)], arguments))?;
        let values = answer.as_array().map(|records| records.iter().filter_map(|record| record.get(field)).cloned());
        values.map(Iterator::collect).ok_or_else(|| unexpected("search_read", "a list of records"))
    }

    /// Whether the user may create records of the model.
    pub fn may_create(&mut self, model: &str) -> Result<bool> {
        let no_ids = Value::Array(Vec::new());
        let operation = vec![("operation", "create".into())];
        let answer = self.call(&Call::for_fact(model, "has_access").on(no_ids).with(operation, kwargs([])))?;
        answer.as_bool().ok_or_else(|| unexpected("has_access", "a boolean"))
    }

    /// Lists the codes of the languages that are active in Odoo.
    pub fn languages(&mut self) -> Result<Vec<String>> {
        let answer = self.call(&Call::for_list("res.lang", "get_installed"))?;
        let read = |language: &Value| Some(Cleaner::default().line(language.as_array()?.first()?.as_str()?));
        let languages = answer.as_array().and_then(|languages| languages.iter().map(read).collect());
        languages.ok_or_else(|| unexpected("get_installed", "a list of languages"))
    }

    /// Lists the ids of the companies that the user may work for.
    pub fn companies(&mut self) -> Result<Vec<i64>> {
        let uid = self.known.uid.map_or_else(|| self.authenticate(), Ok)?;
        let fields = vec![("fields", Value::from_iter(["company_ids"]))];
        let call = Call::for_fact("res.users", "read").on(Value::from_iter([uid])).with(fields, Vec::new());
        let answer = self.call(&call)?;
        let companies = answer.as_array().and_then(|users| users.first()?.get("company_ids")?.as_array());
        let companies = companies.and_then(|ids| ids.iter().map(Value::as_i64).collect());
        companies.ok_or_else(|| unexpected("read", "the companies of the user"))
    }

    /// Lists the models that the user may read, with their labels, sorted by name.
    pub fn models(&mut self) -> Result<Vec<(String, String)>> {
        // Only administrators may read ir.model. Odoo's web client uses a method that every user
        // may call.
        let method = "get_available_models";
        let (answer, label) = match self.call(&Call::for_list("ir.model", method)) {
            Err(Error::UnknownMethod { .. }) => {
                let domain = Value::from_iter([domain::term("transient", "=", false)]);
                let fields = kwargs([("fields", Value::from_iter(["model", "name"]))]);
                (self.call(&Call::for_list("ir.model", "search_read").with(vec![("domain", domain)], fields))?, "name")
            }
            answer => (answer?, "display_name"),
        };
        let (name, display) = (Cleaner::default(), self.account.cleaner());
        let text = |model: &Value, member, cleaner: &Cleaner| Some(cleaner.line(model.get(member)?.as_str()?));
        let read = |model: &Value| Some((text(model, "model", &name)?, text(model, label, &display)?));
        let models = answer.as_array().and_then(|models| models.iter().map(read).collect::<Option<Vec<_>>>());
        let mut models = models.ok_or_else(|| unexpected(method, "a list of models"))?;
        models.sort();
        Ok(models)
    }
}

/// One field of a model, with the attributes that a mirror needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Field {
    /// Name of the field.
    pub name: String,
    /// Odoo's type, such as `char` or `many2one`.
    pub kind: String,
    /// Label in the language of the Odoo user.
    pub label: String,
    /// Help text in the language of the Odoo user.
    pub help: Option<String>,
    /// Whether Odoo stores the field in a column, so that reading it needs no computation.
    pub stored: bool,
    /// Whether every record must have a value.
    pub required: bool,
    /// Model to which a relational field points.
    pub relation: Option<String>,
    /// Whether a float field has a fixed number of digits.
    pub has_digits: bool,
}

impl Field {
    /// The attributes that [`Field::read`] needs. The answer with all of them is ten times larger.
    pub(crate) const ATTRIBUTES: [&str; 7] = ["type", "string", "help", "store", "required", "relation", "digits"];

    /// Reads one member of the answer. Odoo omits attributes that a type does not have, and sends
    /// `false` for unset ones.
    pub fn read(name: String, attributes: &Value) -> Field {
        let text = |attribute| Some(attributes.get(attribute)?.as_str()?.to_owned()).filter(|text| !text.is_empty());
        let flag = |attribute| attributes.get(attribute).and_then(Value::as_bool).unwrap_or(false);
        Field {
            kind: text("type").unwrap_or_default(),
            label: text("string").unwrap_or_else(|| name.clone()),
            help: text("help"),
            stored: flag("store"),
            required: flag("required"),
            relation: text("relation"),
            has_digits: attributes.get("digits").and_then(Value::as_array).is_some(),
            name,
        }
    }

    /// Cleans the texts. Those that code acts on keep the password, which may be a part of a name.
    fn clean(self, cleaner: &Cleaner) -> Field {
        let names = Cleaner::default();
        Field {
            name: names.line(&self.name),
            kind: names.line(&self.kind),
            relation: self.relation.map(|model| names.line(&model)),
            label: cleaner.line(&self.label),
            help: self.help.map(|help| cleaner.text(&help)),
            ..self
        }
    }
}
