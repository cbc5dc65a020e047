//! Calls methods of Odoo: encodes the call, sends it with retries, logs in and reads the answer.

mod addon;
mod call;
mod changes;
mod identity;
mod keys;
mod login;
mod models;
mod records;

pub use call::{Call, Safety};
pub use changes::{ChangeAnswer, ChangeQuery};
pub use models::Field;

use crate::error::{Error, Result};
use crate::fault::Meaning;
use crate::retry::Policy;
use crate::value::{Limits, Value};
use crate::wire::Answer;
use crate::{Account, Database, Failure, Json2, Reply, Request, Resend, ServerInfo, Transport, Wire};
use chrono::{DateTime, NaiveDateTime, Utc};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

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
    /// Whether the addon has the method `changes`; `None` if the client has not looked.
    has_changes: Option<bool>,
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
    /// Whether Odoo has accepted the login on this connection, or the client only remembers it.
    proven: bool,
    /// Whether Odoo has refused the secret as an API key on this connection.
    key_refused: bool,
    /// When the first of the user's API keys expires, once the client has asked.
    key_expires: Option<Option<NaiveDateTime>>,
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
            has_changes: None,
            database: Database::default(),
            identified: None,
            company_asked: false,
            received: 0,
            took: Duration::ZERO,
            proven: false,
            key_refused: false,
            key_expires: None,
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

    /// When the first of the user's API keys expires (UTC), once the client has asked.
    pub fn key_expires(&self) -> Option<Option<NaiveDateTime>> {
        self.key_expires
    }

    /// Size of the last answer in bytes after decompression.
    pub fn received(&self) -> usize {
        self.received
    }

    /// Duration from the last request to the end of its answer.
    pub fn took(&self) -> Duration {
        self.took
    }

    /// Calls a method of a model and returns its result as a tree.
    pub fn call(&mut self, call: &Call<'_>) -> Result<Value> {
        self.execute_kw(call, Wire::decode)
    }

    /// Calls a method that may change data, and sends the call once. The arguments by position have
    /// no names, so JSON-2 can send one list of ids only; the client calls over XML-RPC otherwise.
    /// The result is `None` if the method completed with a Python `None`, which XML-RPC cannot
    /// carry.
    ///
    /// # Errors
    /// [`Error::MayHaveHappened`] if Odoo may have completed the call.
    pub fn call_once(&mut self, model: &str, method: &str, args: Vec<Value>, kwargs: Kwargs) -> Result<Option<Value>> {
        self.prove_login()?;
        match self.call(&Call::once(model, method).with_unnamed(args, kwargs)) {
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

    /// Calls a method and decodes its answer. If the uid is stale, logs in and calls again. If
    /// Odoo does not take the call over JSON-2, calls over XML-RPC, unless the options exclude it.
    fn execute_kw<R>(
        &mut self,
        call: &Call<'_>,
        mut decode: impl FnMut(Wire, &Reply, &Limits) -> Result<Answer<R>>,
    ) -> Result<R> {
        let (mut fresh_login, mut retry) = (self.known.uid.is_none(), 0);
        // JSON-2 may take an argument without a name for something else.
        let mut wire_of_call = None;
        loop {
            let wire = wire_of_call.unwrap_or_else(|| self.wire_for(call));
            let uid = match self.known.uid {
                Some(uid) => uid,
                None if wire == Wire::Json2 && call.is_login => 0,
                None => {
                    // The login may find out that the server has no JSON-2.
                    self.authenticate()?;
                    continue;
                }
            };
            let request = wire.request(&self.account, uid, call)?;
            let answer = self.send(request, call.safety, call.max_bytes).and_then(|reply| {
                (self.received, self.took) = (reply.body.len(), reply.took);
                decode(wire, &reply, &Limits::of_bytes(call.max_bytes))
            });
            let fault = match answer {
                Ok(Ok(result)) => {
                    self.has_answered(wire);
                    return Ok(result);
                }
                Ok(Err(fault)) => fault,
                // `call_once` has verified that the server has JSON-2.
                Err(error) if wire == Wire::Json2 && call.safety != Safety::Once && self.lacks_json2(&error) => {
                    self.known.json2 = Json2::Missing;
                    continue;
                }
                Err(error) => return Err(error),
            };
            match fault.meaning(&self.account, call, uid) {
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
                Meaning::RefusedKey(error) if call.safety == Safety::Once => return Err(error),
                Meaning::RefusedKey(_) if self.may_use_xmlrpc() => {
                    self.give_up_key();
                    fresh_login = true;
                }
                Meaning::RefusedKey(_) => return Err(self.refused()),
                Meaning::RefusedArguments(_) if call.has_unnamed() && self.may_use_xmlrpc() => {
                    wire_of_call = Some(Wire::XmlRpc);
                }
                Meaning::RefusedArguments(error) => return Err(error),
            }
        }
    }

    /// Waits, unless the caller cancels.
    pub fn pause(&mut self, pause: Duration) -> Result<()> {
        self.transport.pause(pause)
    }

    /// Sends a request, with retries, until Odoo answers or a retry cannot help.
    fn send(&mut self, request: Request, safety: Safety, max_bytes: usize) -> Result<Reply> {
        let mut retry = 0;
        loop {
            let began = Instant::now();
            let Failure { error, resend } = match self.transport.send(request.clone(), max_bytes) {
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
