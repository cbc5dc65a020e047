//! The calls of Odoo that a mirror needs, each with its retries and its errors.

use super::fault::{self, Called, Meaning};
use super::retry::Policy;
use super::{Account, Database, Failure, Field, Reply, Resend, ServerInfo, Transport, domain, field};
use crate::error::{Error, Result};
use crate::xmlrpc::{self, Answer, Limits, RowVisitor, Value, encode_call};
use chrono::{DateTime, NaiveDateTime, Utc};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

const COMMON: &str = "/xmlrpc/2/common";
const OBJECT: &str = "/xmlrpc/2/object";

/// Whether a call may be sent again after Odoo may have seen it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Safety {
    /// It changes nothing in Odoo.
    Harmless,
    /// It may change something: never sent twice.
    Once,
}

/// What Odoo says about itself, without authentication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// For example `19.0` or `18.0-20250702`.
    pub server_version: String,
}

/// Which records a mirror is about, as Odoo is asked for them.
#[derive(Debug, Clone)]
pub struct Scope {
    pub model: String,
    /// The mirror's own domain.
    pub domain: Vec<Value>,
    /// Language of translated values; none is Odoo's source language.
    pub lang: Option<String>,
    /// `allowed_company_ids`; empty is the user's default company.
    pub company_ids: Vec<i64>,
}

/// One page of records, in keyset order.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Only records written at or after this moment (UTC).
    pub since: Option<NaiveDateTime>,
    /// And this one, whenever it was written.
    pub also: Option<i64>,
    /// Only records with a higher id.
    pub after: i64,
    /// At most so many records.
    pub limit: u64,
}

impl Wanted {
    pub(super) fn terms(&self) -> impl Iterator<Item = Value> {
        let since = self.since.map(|since| match self.also {
            None => vec![domain::written_since(since)],
            Some(id) => vec!["|".into(), domain::one_of(&[id]), domain::written_since(since)],
        });
        std::iter::once(domain::after(self.after)).chain(since.into_iter().flatten())
    }
}

impl Scope {
    pub(super) fn domain(&self, first: impl IntoIterator<Item = Value>) -> Value {
        Value::Array(first.into_iter().chain(self.domain.iter().cloned()).collect())
    }

    /// Archived records are records too: without `active_test` Odoo hides them.
    pub(super) fn context(&self) -> Value {
        let mut context = vec![("active_test".to_owned(), Value::Bool(false))];
        if let Some(lang) = &self.lang {
            context.push(("lang".to_owned(), lang.as_str().into()));
        }
        if !self.company_ids.is_empty() {
            let ids = self.company_ids.iter().map(|id| Value::Int(*id)).collect();
            context.push(("allowed_company_ids".to_owned(), Value::Array(ids)));
        }
        Value::Struct(context)
    }
}

/// A caller of one Odoo database.
pub struct Client<T> {
    transport: T,
    account: Account,
    retries: Policy,
    pub(super) limits: Limits,
    pub(super) known: ServerInfo,
    pub(super) addon_failure: Option<Error>,
    /// What Odoo has told of which database it is.
    pub(super) database: Database,
    /// Whether it was asked for the addon and its company, and for the company.
    pub(super) identified: bool,
    pub(super) company_asked: bool,
    /// Bytes of the last answer, and how long it took.
    pub(super) received: usize,
    took: Duration,
    /// Whether the uid is known to hold, and not only remembered.
    proven: bool,
    /// Odoo's clock at its first answer.
    first_date: Arc<OnceLock<DateTime<Utc>>>,
}

impl<T: Transport> Client<T> {
    /// `known` is what was found out before, so that no call is spent on asking again.
    /// `first_date` is set to Odoo's clock at its first answer, for whoever else holds it.
    pub fn new(
        transport: T,
        account: Account,
        retries: Policy,
        known: ServerInfo,
        first_date: Arc<OnceLock<DateTime<Utc>>>,
    ) -> Self {
        Client {
            transport,
            account,
            retries,
            limits: Limits::default(),
            known,
            addon_failure: None,
            database: Database::default(),
            identified: false,
            company_asked: false,
            received: 0,
            took: Duration::ZERO,
            proven: false,
            first_date,
        }
    }

    /// The uid that Odoo last accepted or gave.
    pub fn uid(&self) -> Option<i64> {
        self.known.uid
    }

    /// Bytes of the last answer, as they were before any compression.
    pub fn received(&self) -> usize {
        self.received
    }

    /// From the last request to the end of its answer.
    pub fn took(&self) -> Duration {
        self.took
    }

    /// Odoo's clock at its first answer.
    pub fn first_date(&self) -> Option<DateTime<Utc>> {
        self.first_date.get().copied()
    }

    /// Odoo's version; needs no login.
    pub fn version(&mut self) -> Result<Version> {
        let answer = self.send(COMMON, encode_call("version", &[])?, Safety::Harmless)?;
        let version = self.understand(xmlrpc::decode(&answer.body, &self.limits)?, "", "version")?;
        match version.get("server_version").and_then(Value::as_str) {
            Some(server_version) => Ok(Version {
                server_version: server_version.to_owned(),
            }),
            None => Err(unexpected("version", "a struct with server_version")),
        }
    }

    /// Logs in: the uid of the account's user. Costs Odoo about 0.4 seconds of password hashing.
    pub fn authenticate(&mut self) -> Result<i64> {
        let (dbname, login) = (self.account.dbname.as_str().into(), self.account.login.as_str().into());
        let password = self.account.password.reveal().into();
        let agent = Value::Struct(Vec::new());
        let params = [
            ("dbname", &dbname),
            ("user", &login),
            ("password", &password),
            ("user agent", &agent),
        ];
        let request = encode_call("authenticate", &params)?;
        let answer = self.send(COMMON, request, Safety::Harmless)?;
        match self.understand(xmlrpc::decode(&answer.body, &self.limits)?, "", "authenticate")? {
            Value::Int(uid) if uid > 0 => {
                self.known.uid = Some(uid);
                Ok(uid)
            }
            Value::Bool(false) => Err(self.refused()),
            _ => Err(unexpected("authenticate", "a user id")),
        }
    }

    /// Any method of any model; the answer as a tree.
    pub fn call(
        &mut self,
        model: &str,
        method: &str,
        args: Vec<Value>,
        kwargs: Vec<(String, Value)>,
        safety: Safety,
    ) -> Result<Value> {
        self.execute_kw(model, method, args, kwargs, safety, |client, body| {
            xmlrpc::decode(body, &client.limits)
        })
    }

    /// Any method, which may change something: it is sent once, whatever happens. `None`: it has done its work, and its
    /// result has a Python `None` in it, which XML-RPC cannot carry.
    pub fn call_once(
        &mut self,
        model: &str,
        method: &str,
        args: Vec<Value>,
        kwargs: Vec<(String, Value)>,
    ) -> Result<Option<Value>> {
        self.prove_login()?;
        match self.call(model, method, args, kwargs, Safety::Once) {
            Ok(value) => Ok(Some(value)),
            Err(Error::NoneReturned { .. }) => Ok(None),
            Err(
                error @ (Error::Connection { .. }
                | Error::Timeout { .. }
                | Error::HttpStatus { .. }
                | Error::Malformed { .. }
                | Error::Limit { .. }),
            ) => Err(Error::MayHaveHappened(Box::new(error))),
            Err(error) => Err(error),
        }
    }

    /// Makes sure that the login holds, once. Afterwards, nobody could tell a login that was refused from a method that was.
    pub fn prove_login(&mut self) -> Result<()> {
        if self.known.uid.is_none() {
            self.authenticate()?;
        } else if !self.proven {
            // Any other fault comes from behind the login.
            match self.call("res.users", "context_get", Vec::new(), Vec::new(), Safety::Harmless) {
                Ok(_) | Err(Error::OdooFault { .. } | Error::OdooAccess { .. } | Error::NoneReturned { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        self.proven = true;
        Ok(())
    }

    /// How many records of `scope` Odoo shows.
    pub fn search_count(&mut self, scope: &Scope, extra: Vec<domain::Term>) -> Result<u64> {
        let kwargs = vec![("context".to_owned(), scope.context())];
        let args = vec![scope.domain(extra)];
        let count = self.call(&scope.model, "search_count", args, kwargs, Safety::Harmless)?;
        count
            .as_i64()
            .and_then(|count| u64::try_from(count).ok())
            .ok_or_else(|| unexpected("search_count", "a number of records"))
    }

    /// The ids of one page in ascending order.
    pub fn search(&mut self, scope: &Scope, wanted: &Wanted) -> Result<Vec<i64>> {
        self.search_ids(scope, scope.domain(wanted.terms()), Some(wanted.limit))
    }

    /// Those of these ids that Odoo still shows, in ascending order.
    pub fn search_among(&mut self, scope: &Scope, ids: &[i64]) -> Result<Vec<i64>> {
        self.search_ids(scope, scope.domain([domain::one_of(ids)]), None)
    }

    /// The first ids in these ranges `(after, upto]`, in ascending order.
    pub fn search_ranges(&mut self, scope: &Scope, ranges: &[(i64, i64)], limit: u64) -> Result<Vec<i64>> {
        self.search_ids(scope, scope.domain(domain::among(ranges)), Some(limit))
    }

    fn search_ids(&mut self, scope: &Scope, domain: Value, limit: Option<u64>) -> Result<Vec<i64>> {
        let args = vec![domain];
        let mut kwargs = vec![("order".to_owned(), "id".into())];
        if let Some(limit) = limit {
            kwargs.push(("limit".to_owned(), number(limit)));
        }
        kwargs.push(("context".to_owned(), scope.context()));
        self.execute_kw(
            &scope.model,
            "search",
            args,
            kwargs,
            Safety::Harmless,
            |client, body| xmlrpc::decode_ids(body, &client.limits),
        )
    }

    /// Reads one page in keyset order into a new `page`.
    pub fn search_read<V: RowVisitor>(
        &mut self,
        scope: &Scope,
        fields: &[String],
        wanted: &Wanted,
        page: impl FnMut() -> V,
    ) -> Result<V> {
        let arguments = reading(scope, scope.domain(wanted.terms()), fields, Some(wanted.limit));
        self.read_rows(scope, "search_read", arguments, page)
    }

    /// The records with these ids that Odoo still shows, in keyset order.
    pub fn search_read_ids<V: RowVisitor>(
        &mut self,
        scope: &Scope,
        fields: &[String],
        ids: &[i64],
        page: impl FnMut() -> V,
    ) -> Result<V> {
        let arguments = reading(scope, scope.domain([domain::one_of(ids)]), fields, None);
        self.read_rows(scope, "search_read", arguments, page)
    }

    /// The records with these ids, in their order, without those that are gone. Unlike `search_read` it shows archived records
    /// in lists of ids: that one forgets `active_test` before it reads.
    pub fn read<V: RowVisitor>(
        &mut self,
        scope: &Scope,
        fields: &[String],
        ids: &[i64],
        page: impl FnMut() -> V,
    ) -> Result<V> {
        let ids = Value::Array(ids.iter().map(|id| Value::Int(*id)).collect());
        let kwargs = vec![
            ("fields".to_owned(), names(fields)),
            ("load".to_owned(), "".into()),
            ("context".to_owned(), scope.context()),
        ];
        self.read_rows(scope, "read", (vec![ids], kwargs), page)
    }

    fn read_rows<V: RowVisitor>(
        &mut self,
        scope: &Scope,
        method: &str,
        (args, kwargs): Arguments,
        mut page: impl FnMut() -> V,
    ) -> Result<V> {
        let decode = |client: &mut Self, body: &[u8]| {
            // Each attempt needs a new page: a damaged answer may have filled half of the one before.
            let mut page = page();
            Ok(xmlrpc::decode_rows(body, &client.limits, &mut page)?.map(|()| page))
        };
        self.execute_kw(&scope.model, method, args, kwargs, Safety::Harmless, decode)
    }

    /// The fields of a model that the user may read, by name: those named, or all.
    pub fn fields(&mut self, model: &str, names: &[String]) -> Result<Vec<Field>> {
        let attributes = field::ATTRIBUTES.iter().map(|name| (*name).into()).collect();
        let mut kwargs = vec![("attributes".to_owned(), Value::Array(attributes))];
        if !names.is_empty() {
            let names = names.iter().map(|name| name.as_str().into()).collect();
            kwargs.push(("allfields".to_owned(), Value::Array(names)));
        }
        match self.call(model, "fields_get", Vec::new(), kwargs, Safety::Harmless)? {
            Value::Struct(fields) => {
                let mut fields: Vec<Field> = fields
                    .into_iter()
                    .map(|(name, attributes)| Field::read(name, &attributes))
                    .collect();
                fields.sort_by(|one, other| one.name.cmp(&other.name));
                Ok(fields)
            }
            _ => Err(unexpected("fields_get", "a struct of fields")),
        }
    }

    /// The models that the user may read, with their labels, by name.
    pub fn models(&mut self) -> Result<Vec<(String, String)>> {
        // Model ir.model itself is for administrators only; Odoo's web client has a method for everybody.
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
            let models = models
                .iter()
                .map(|model| Some((named(model, "model")?, named(model, label)?)));
            models.collect::<Option<Vec<_>>>()
        });
        let mut models = models.flatten().ok_or_else(|| unexpected(method, "a list of models"))?;
        models.sort();
        Ok(models)
    }

    fn execute_kw<R>(
        &mut self,
        model: &str,
        method: &str,
        args: Vec<Value>,
        kwargs: Vec<(String, Value)>,
        safety: Safety,
        mut decode: impl FnMut(&mut Self, &[u8]) -> Result<Answer<R>>,
    ) -> Result<R> {
        let (args, kwargs) = (Value::Array(args), Value::Struct(kwargs));
        let mut fresh_login = self.known.uid.is_none();
        loop {
            let uid = match self.known.uid {
                Some(uid) => uid,
                None => self.authenticate()?,
            };
            let request = self.encode_execute_kw(uid, model, method, &args, &kwargs)?;
            let reply = self.send(OBJECT, request, safety)?;
            (self.received, self.took) = (reply.body.len(), reply.took);
            let fault = match decode(self, &reply.body)? {
                Ok(result) => return Ok(result),
                Err(fault) => fault,
            };
            let called = Called {
                model,
                method,
                uid: Some(uid),
            };
            match fault::read(&fault, &self.account, &called) {
                Meaning::Error(error) => return Err(error),
                // Never sent again: see `call_once`, which has seen to the login.
                Meaning::StaleLogin(error) if safety == Safety::Once => return Err(error),
                Meaning::StaleLogin(_) if fresh_login => return Err(self.refused()),
                Meaning::StaleLogin(_) => {
                    self.known.uid = None;
                    fresh_login = true;
                }
            }
        }
    }

    fn encode_execute_kw(&self, uid: i64, model: &str, method: &str, args: &Value, kwargs: &Value) -> Result<String> {
        let params = [
            ("dbname", &self.account.dbname.as_str().into()),
            ("uid", &Value::Int(uid)),
            ("password", &self.account.password.reveal().into()),
            ("model", &model.into()),
            ("method", &method.into()),
            ("args", args),
            ("kwargs", kwargs),
        ];
        encode_call("execute_kw", &params)
    }

    /// Sends until there is an answer of status 200 or retrying makes no sense.
    fn send(&mut self, path: &str, request: String, safety: Safety) -> Result<Reply> {
        let mut retry = 0;
        loop {
            let Failure { error, resend } = match self.transport.post(path, request.clone()) {
                Ok(reply) => {
                    if let Some(date) = reply.date {
                        // Only the first one counts.
                        let _ = self.first_date.set(date);
                    }
                    return Ok(reply);
                }
                Err(failure) => failure,
            };
            let after = match (resend, safety) {
                (Resend::Always, _) => None,
                (Resend::IfHarmless { after }, Safety::Harmless) => after,
                _ => return Err(error),
            };
            match self.retries.pause(retry, after, fastrand::f64()) {
                Some(pause) => self.transport.pause(pause)?,
                None => return Err(error),
            }
            retry += 1;
        }
    }

    fn understand<R>(&self, answer: Answer<R>, model: &str, method: &str) -> Result<R> {
        answer.map_err(|fault| {
            let called = Called {
                model,
                method,
                uid: None,
            };
            match fault::read(&fault, &self.account, &called) {
                Meaning::Error(error) => error,
                Meaning::StaleLogin(_) => self.refused(),
            }
        })
    }

    fn refused(&self) -> Error {
        Error::Authentication {
            login: self.account.login.clone(),
        }
    }
}

/// Of a method: args and kwargs.
type Arguments = (Vec<Value>, Vec<(String, Value)>);

/// The arguments of `search_read`, in keyset order.
fn reading(scope: &Scope, domain: Value, fields: &[String], limit: Option<u64>) -> Arguments {
    let mut kwargs = vec![
        ("fields".to_owned(), names(fields)),
        ("order".to_owned(), "id".into()),
        // A bare id for a many2one: without it Odoo computes a display name for each, at half its speed.
        ("load".to_owned(), "".into()),
        ("context".to_owned(), scope.context()),
    ];
    if let Some(limit) = limit {
        kwargs.push(("limit".to_owned(), number(limit)));
    }
    (vec![domain], kwargs)
}

pub(super) fn names(fields: &[String]) -> Value {
    Value::Array(fields.iter().map(|field| field.as_str().into()).collect())
}

pub(super) fn number(count: u64) -> Value {
    Value::Int(i64::try_from(count).unwrap_or(i64::MAX))
}

pub(super) fn unexpected(method: &str, expected: &str) -> Error {
    Error::Malformed {
        cause: format!("{method} did not answer with {expected}"),
    }
}
