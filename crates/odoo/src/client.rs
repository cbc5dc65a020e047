//! Calls methods of Odoo: encodes the call, sends it with retries, logs in and reads the answer.

mod addon;
mod call;
mod identity;
mod models;
mod records;

pub use call::{Call, Safety};
pub use models::Field;

use crate::domain::GREATEST_ID;
use crate::error::{Error, Result, SqlState};
use crate::fault::{self, Meaning};
use crate::retry::Policy;
use crate::xmlrpc::{self, Answer, Limits, Value, encode_call};
use crate::{Account, Database, Failure, Reply, Resend, ServerInfo, Transport};
use call::FACT;
use chrono::{DateTime, Utc};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

const COMMON: &str = "/xmlrpc/2/common";
const OBJECT: &str = "/xmlrpc/2/object";

/// How long runs on one connection share what Odoo told about its database.
const IDENTITY_HOLDS: Duration = Duration::from_secs(60);

/// Arguments with their names.
type Kwargs = Vec<(String, Value)>;

/// A client of one Odoo database.
///
/// Methods that ask Odoo fail if the exchange fails, if Odoo refuses the login (SQLSTATE 28P01) or
/// answers with a fault, and with [`Error::Malformed`] for an answer of an unexpected form.
pub struct Client<T> {
    transport: T,
    account: Account,
    retries: Policy,
    known: ServerInfo,
    /// The error because of which the client stopped using the addon.
    addon_failure: Option<Error>,
    /// The identity of the database, as far as Odoo has reported it on this connection.
    database: Database,
    /// When the client last looked for the addon and for the company.
    identified: Option<Instant>,
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
    /// Makes a client. `known` is what an earlier client found out about the server, which saves
    /// calls. The client sets `first_date` to Odoo's clock at the first answer.
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
            known,
            addon_failure: None,
            database: Database::default(),
            identified: None,
            company_asked: false,
            received: 0,
            took: Duration::ZERO,
            proven: false,
            first_date,
        }
    }

    /// Begins another run on the same connection. The login stays, and what is known about the
    /// server and its database. The client sets `first_date` to Odoo's clock at the next answer.
    pub fn begin_run(&mut self, first_date: Arc<OnceLock<DateTime<Utc>>>) {
        self.first_date = first_date;
        // The addon failed for one model, and may serve others. A long call must notice another
        // database behind the same address.
        let holds = self.identified.is_some_and(|identified| identified.elapsed() < IDENTITY_HOLDS);
        if self.addon_failure.take().is_some() || !holds {
            self.identified = None;
            self.company_asked = false;
        }
    }

    /// Size of the last answer in bytes after decompression.
    pub fn received(&self) -> usize {
        self.received
    }

    /// Duration from the last request to the end of its answer.
    pub fn took(&self) -> Duration {
        self.took
    }

    /// Reads the version of Odoo, for example `19.0` or `18.0-20250702`, without a login.
    pub fn version(&mut self) -> Result<String> {
        let version = self.call_common("version", &[])?;
        let version = version.get("server_version").and_then(Value::as_str);
        version
            .map(|version| self.account.cleaner().line(version))
            .ok_or_else(|| unexpected("version", "a struct with server_version"))
    }

    /// Logs in and returns the uid. Odoo needs about 0.4 seconds to hash the password.
    pub fn authenticate(&mut self) -> Result<i64> {
        let params = [
            ("dbname", &self.account.dbname.as_str().into()),
            ("user", &self.account.login.as_str().into()),
            ("password", &self.account.password.reveal().into()),
            ("user agent", &Value::Struct(Vec::new())),
        ];
        match self.call_common("authenticate", &params)? {
            Value::Int(uid) if (1..=GREATEST_ID).contains(&uid) => {
                self.known.uid = Some(uid);
                Ok(uid)
            }
            Value::Bool(false) => Err(self.refused()),
            _ => Err(unexpected("authenticate", "a user id")),
        }
    }

    /// Calls a method that needs no login.
    fn call_common(&mut self, method: &str, params: &[(&str, &Value)]) -> Result<Value> {
        let mut retry = 0;
        loop {
            let reply = self.send(COMMON, encode_call(method, params)?, Safety::Harmless, FACT)?;
            let fault = match xmlrpc::decode(&reply.body, &limits(FACT))? {
                Ok(value) => return Ok(value),
                Err(fault) => fault,
            };
            match fault::read(&fault, &self.account, "", method, None) {
                Meaning::Error(error) => return Err(error),
                Meaning::StaleLogin(_) => return Err(self.refused()),
                Meaning::Passing(error) => self.pause_before(retry, None, error)?,
            }
            retry += 1;
        }
    }

    /// Calls a method of a model and returns its result as a tree.
    pub fn call(&mut self, call: &Call<'_>) -> Result<Value> {
        self.execute_kw(call, xmlrpc::decode)
    }

    /// Calls a method that may change data, and sends the call once. The result is `None` if the
    /// method completed with a Python `None`, which XML-RPC cannot carry.
    ///
    /// # Errors
    /// [`Error::MayHaveHappened`] if Odoo may have completed the call.
    pub fn call_once(&mut self, model: &str, method: &str, args: Vec<Value>, kwargs: Kwargs) -> Result<Option<Value>> {
        self.prove_login()?;
        match self.call(&Call::once(model, method).with(args, kwargs)) {
            Ok(value) => Ok(Some(value)),
            Err(Error::NoneReturned { .. }) => Ok(None),
            Err(
                error @ (Error::Connection { .. }
                | Error::Timeout(_)
                | Error::HttpStatus(_)
                | Error::Malformed { .. }
                | Error::Limit { .. }),
            ) => Err(Error::MayHaveHappened(Box::new(error))),
            Err(error) => Err(error),
        }
    }

    /// Verifies the login once, before a call that must not be repeated: after it, a refused login
    /// cannot be distinguished from a refused method.
    pub fn prove_login(&mut self) -> Result<()> {
        if self.known.uid.is_none() {
            self.authenticate()?;
        } else if !self.proven {
            // Odoo checks the login first, so any other fault means that it accepted the login.
            match self.call(&Call::for_fact("res.users", "context_get")) {
                Ok(_) | Err(Error::OdooFault { .. } | Error::OdooAccess(_) | Error::NoneReturned { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        self.proven = true;
        Ok(())
    }

    /// Calls a method and decodes its answer. If the uid is stale, logs in and calls again.
    fn execute_kw<R>(
        &mut self,
        call: &Call<'_>,
        mut decode: impl FnMut(&[u8], &Limits) -> Result<Answer<R>>,
    ) -> Result<R> {
        let (mut fresh_login, mut retry) = (self.known.uid.is_none(), 0);
        loop {
            let uid = match self.known.uid {
                Some(uid) => uid,
                None => self.authenticate()?,
            };
            let reply = self.send(OBJECT, self.request(uid, call)?, call.safety, call.max_bytes)?;
            (self.received, self.took) = (reply.body.len(), reply.took);
            let fault = match decode(&reply.body, &limits(call.max_bytes))? {
                Ok(result) => return Ok(result),
                Err(fault) => fault,
            };
            match fault::read(&fault, &self.account, call.model, call.method, Some(uid)) {
                Meaning::Error(error) => return Err(error),
                Meaning::Passing(error) if call.safety == Safety::Once => return Err(error),
                Meaning::Passing(error) => {
                    self.pause_before(retry, None, error)?;
                    retry += 1;
                }
                // `call_once` has verified the login, so the method itself refused.
                Meaning::StaleLogin(error) if call.safety == Safety::Once => return Err(error),
                Meaning::StaleLogin(_) if fresh_login => return Err(self.refused()),
                Meaning::StaleLogin(_) => {
                    self.known.uid = None;
                    fresh_login = true;
                }
            }
        }
    }

    /// Waits, unless the caller cancels.
    pub fn pause(&mut self, pause: Duration) -> Result<()> {
        self.transport.pause(pause)
    }

    /// Encodes a call of a method.
    fn request(&self, uid: i64, call: &Call<'_>) -> Result<String> {
        let params = [
            ("dbname", &self.account.dbname.as_str().into()),
            ("uid", &uid.into()),
            ("password", &self.account.password.reveal().into()),
            ("model", &call.model.into()),
            ("method", &call.method.into()),
            ("args", &call.args),
            ("kwargs", &call.kwargs),
        ];
        encode_call("execute_kw", &params)
    }

    /// Sends a request, with retries, until Odoo answers with status 200 or a retry cannot help.
    fn send(&mut self, path: &str, request: String, safety: Safety, max_bytes: usize) -> Result<Reply> {
        let mut retry = 0;
        loop {
            let began = Instant::now();
            let Failure { error, resend } = match self.transport.post(path, request.clone(), max_bytes) {
                Ok(reply) => {
                    // `set` fails after the first answer, whose date is kept.
                    let _ = reply.date.map(|date| self.first_date.set(date));
                    return Ok(reply);
                }
                Err(failure) => failure,
            };
            let error = self.account.cleaner().error(error);
            let after = match (resend, safety) {
                (Resend::Always, _) => None,
                (Resend::IfHarmless { after }, Safety::Harmless) => after,
                (Resend::IfHarmless { after }, Safety::Divisible) if is_page_retried(&error, retry, began) => after,
                _ => return Err(error),
            };
            self.pause_before(retry, after, error)?;
            retry += 1;
        }
    }

    /// Waits before a retry (numbered from 0), or returns the error if there are no more retries.
    fn pause_before(&mut self, retry: u32, after: Option<Duration>, error: Error) -> Result<()> {
        let pause = self.retries.pause(retry, after, fastrand::f64()).ok_or(error)?;
        self.transport.pause(pause)
    }

    fn refused(&self) -> Error {
        Error::user(SqlState::InvalidPassword, "Odoo authentication failed")
            .with_detail(format!("User \"{}\" was refused.", self.account.login))
            .with_hint(
                "Check the user and password (or API key) of the user mapping, and that the user is active in Odoo.",
            )
    }
}

/// A worker of Odoo that ended the exchange after this time has probably reached a limit.
const LONG: Duration = Duration::from_secs(5);

/// Whether to request the same page again. After a time limit or a long time it would fail again.
fn is_page_retried(error: &Error, retry: u32, began: Instant) -> bool {
    match error {
        Error::HttpStatus(429) => true,
        Error::Timeout(_) | Error::HttpStatus(504) => false,
        _ => retry == 0 && began.elapsed() < LONG,
    }
}

/// The limits for an answer of at most this many bytes.
fn limits(max_bytes: usize) -> Limits {
    Limits { max_bytes, ..Limits::default() }
}

/// Makes arguments with these names.
fn kwargs<const N: usize>(arguments: [(&str, Value); N]) -> Kwargs {
    arguments.map(|(name, value)| (name.to_owned(), value)).into()
}

/// Names of fields as an array.
fn names(fields: &[String]) -> Value {
    fields.iter().map(String::as_str).collect()
}

/// A count as an integer of XML-RPC.
fn number(count: u64) -> Value {
    Value::Int(i64::try_from(count).unwrap_or(i64::MAX))
}

/// The error for a result of an unexpected form.
fn unexpected(method: &str, expected: &str) -> Error {
    Error::Malformed { cause: format!("{method} did not answer with {expected}") }
}
