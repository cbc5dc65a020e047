//! Calls methods of Odoo: encodes the call, sends it with retries, logs in and reads the answer.

mod addon;
mod identity;
mod models;
mod records;

use crate::error::{Error, Result};
use crate::fault::{self, Called, Meaning};
use crate::retry::Policy;
use crate::xmlrpc::{self, Answer, Limits, Value, encode_call};
use crate::{Account, Database, Failure, Reply, Resend, ServerInfo, Transport};
use chrono::{DateTime, Utc};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

const COMMON: &str = "/xmlrpc/2/common";
const OBJECT: &str = "/xmlrpc/2/object";

/// Whether the client may send a call again that Odoo may have received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Safety {
    /// The call changes nothing in Odoo, so the client may repeat it.
    Harmless,
    /// The call may change data in Odoo, so the client sends it once.
    Once,
}

/// The version of an Odoo server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// For example `19.0` or `18.0-20250702`.
    pub server_version: String,
}

/// A client of one Odoo database.
pub struct Client<T> {
    transport: T,
    account: Account,
    retries: Policy,
    limits: Limits,
    known: ServerInfo,
    /// The error because of which the client stopped using the addon.
    addon_failure: Option<Error>,
    /// The identity of the database, as far as Odoo has reported it on this connection.
    database: Database,
    /// Whether the client has looked for the addon and for the company.
    identified: bool,
    /// Whether the client has looked for the company.
    company_asked: bool,
    /// Size of the last answer in bytes after decompression.
    received: usize,
    /// Duration of the last exchange.
    took: Duration,
    /// Whether Odoo has accepted the uid on this connection, or the client only remembers it.
    proven: bool,
    /// Odoo's clock at its first answer.
    first_date: Arc<OnceLock<DateTime<Utc>>>,
}

impl<T: Transport> Client<T> {
    /// Makes a client.
    ///
    /// `known` is what an earlier client found out about the server, which saves calls. The client
    /// sets `first_date` to Odoo's clock at the first answer. Clients of one run share it.
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

    /// The uid of the user, as Odoo last returned or accepted it.
    pub fn uid(&self) -> Option<i64> {
        self.known.uid
    }

    /// Size of the last answer in bytes after decompression.
    pub fn received(&self) -> usize {
        self.received
    }

    /// Duration from the last request to the end of its answer.
    pub fn took(&self) -> Duration {
        self.took
    }

    /// Odoo's clock at its first answer, from the `Date` header.
    pub fn first_date(&self) -> Option<DateTime<Utc>> {
        self.first_date.get().copied()
    }

    /// Reads the version of Odoo, without a login.
    ///
    /// # Errors
    /// A failed exchange, or an answer of an unexpected form.
    pub fn version(&mut self) -> Result<Version> {
        let answer = self.send(COMMON, encode_call("version", &[])?, Safety::Harmless)?;
        let version = self.understand(xmlrpc::decode(&answer.body, &self.limits)?, "", "version")?;
        match version.get("server_version").and_then(Value::as_str) {
            Some(server_version) => Ok(Version { server_version: server_version.to_owned() }),
            None => Err(unexpected("version", "a struct with server_version")),
        }
    }

    /// Logs in and returns the uid. Odoo needs about 0.4 seconds to hash the password.
    ///
    /// # Errors
    /// [`Error::Authentication`] if Odoo refuses the credentials, or a failed exchange.
    pub fn authenticate(&mut self) -> Result<i64> {
        let (dbname, login) = (self.account.dbname.as_str().into(), self.account.login.as_str().into());
        let password = self.account.password.reveal().into();
        let agent = Value::Struct(Vec::new());
        let params = [("dbname", &dbname), ("user", &login), ("password", &password), ("user agent", &agent)];
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

    /// Calls a method of a model and returns its result as a tree.
    ///
    /// # Errors
    /// A failed exchange, a fault of Odoo, or an answer of an unexpected form.
    pub fn call(
        &mut self,
        model: &str,
        method: &str,
        args: Vec<Value>,
        kwargs: Vec<(String, Value)>,
        safety: Safety,
    ) -> Result<Value> {
        self.execute_kw(model, method, args, kwargs, safety, |client, body| xmlrpc::decode(body, &client.limits))
    }

    /// Calls a method that may change data, and sends the call once.
    ///
    /// It returns `None` if the method completed and its result contains a Python `None`, which
    /// XML-RPC cannot carry.
    ///
    /// # Errors
    /// [`Error::MayHaveHappened`] if Odoo may have completed the call, and the errors of
    /// [`Client::call`] otherwise.
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

    /// Verifies the login once, before a call that must not be repeated.
    ///
    /// After such a call, a refused login cannot be distinguished from a refused method.
    ///
    /// # Errors
    /// [`Error::Authentication`] if Odoo refuses the credentials, or a failed exchange.
    pub fn prove_login(&mut self) -> Result<()> {
        if self.known.uid.is_none() {
            self.authenticate()?;
        } else if !self.proven {
            // Odoo checks the login first, so any other fault means that it accepted the login.
            match self.call("res.users", "context_get", Vec::new(), Vec::new(), Safety::Harmless) {
                Ok(_) | Err(Error::OdooFault { .. } | Error::OdooAccess { .. } | Error::NoneReturned { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        self.proven = true;
        Ok(())
    }

    /// Calls a method and decodes its answer. If the uid is stale, logs in and sends the call
    /// again.
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
            let called = Called { model, method, uid: Some(uid) };
            match fault::read(&fault, &self.account, &called) {
                Meaning::Error(error) => return Err(error),
                // `call_once` has verified the login, so the method itself refused.
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

    /// Sends a request, with retries, until Odoo answers with status 200 or a retry cannot help.
    fn send(&mut self, path: &str, request: String, safety: Safety) -> Result<Reply> {
        let mut retry = 0;
        loop {
            let Failure { error, resend } = match self.transport.post(path, request.clone()) {
                Ok(reply) => {
                    if let Some(date) = reply.date {
                        // `set` fails after the first answer, whose date is kept.
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

    /// Turns a fault of a call without a login into an error.
    fn understand<R>(&self, answer: Answer<R>, model: &str, method: &str) -> Result<R> {
        answer.map_err(|fault| {
            let called = Called { model, method, uid: None };
            match fault::read(&fault, &self.account, &called) {
                Meaning::Error(error) => error,
                Meaning::StaleLogin(_) => self.refused(),
            }
        })
    }

    fn refused(&self) -> Error {
        Error::Authentication { login: self.account.login.clone() }
    }
}

/// Names of fields as an array.
fn names(fields: &[String]) -> Value {
    Value::Array(fields.iter().map(|field| field.as_str().into()).collect())
}

/// A count as an integer of XML-RPC.
fn number(count: u64) -> Value {
    Value::Int(i64::try_from(count).unwrap_or(i64::MAX))
}

/// The error for a result of an unexpected form.
fn unexpected(method: &str, expected: &str) -> Error {
    Error::Malformed { cause: format!("{method} did not answer with {expected}") }
}
