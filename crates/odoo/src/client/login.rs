//! Logs in, and decides which wire format the calls use.

use super::call::FACT;
use super::{Call, Client, Safety, unexpected};
use crate::domain::GREATEST_ID;
use crate::error::{Error, Result, SqlState};
use crate::fault::{self, Meaning};
use crate::transport::Content;
use crate::value::{Limits, Value};
use crate::xmlrpc::encode_call;
use crate::{Json2, Request, Transport, Wire, json2, xmlrpc};

/// The path of XML-RPC's methods that need no login.
const COMMON: &str = "/xmlrpc/2/common";
/// The path of the version of Odoo 19 and later.
const VERSION: &str = "/json/version";

impl<T: Transport> Client<T> {
    /// The wire format of the next call.
    pub fn wire(&self) -> Wire {
        match self.known.json2 {
            Json2::Required => Wire::Json2,
            Json2::Missing | Json2::Unwanted => Wire::XmlRpc,
            Json2::Unknown | Json2::Present if self.account.has_api_key() => Wire::Json2,
            Json2::Unknown | Json2::Present => Wire::XmlRpc,
        }
    }

    /// The wire format of a call, which XML-RPC carries if JSON-2 cannot.
    pub(super) fn wire_for(&self, call: &Call<'_>) -> Wire {
        match self.wire() {
            Wire::Json2 if self.may_use_xmlrpc() && !call.fits_json2() => Wire::XmlRpc,
            wire => wire,
        }
    }

    /// Whether the options of the server allow XML-RPC where JSON-2 fails.
    pub(super) fn may_use_xmlrpc(&self) -> bool {
        self.known.json2 != Json2::Required
    }

    /// Whether an error shows that the server has no JSON-2. Before the first answer, many answers
    /// do: Odoo before version 19 and websites on it answer an unknown path in their own ways.
    pub(super) fn lacks_json2(&self, error: &Error) -> bool {
        match self.known.json2 {
            Json2::Unknown => matches!(error, Error::HttpStatus(400..=428) | Error::Malformed { .. }),
            Json2::Present => matches!(error, Error::HttpStatus(404 | 405)),
            Json2::Missing | Json2::Unwanted | Json2::Required => false,
        }
    }

    /// Remembers that the server has answered in a wire format.
    pub(super) fn has_answered(&mut self, wire: Wire) {
        if wire == Wire::Json2 && self.known.json2 == Json2::Unknown {
            self.known.json2 = Json2::Present;
        }
    }

    /// Continues with XML-RPC, because Odoo does not take the secret for an API key.
    pub(super) fn give_up_key(&mut self) {
        self.known.json2 = Json2::Missing;
        self.known.uid = None;
        self.key_refused = true;
    }

    /// Reads the version of Odoo, for example `19.0` or `18.0-20250702`, without a login.
    pub fn version(&mut self) -> Result<String> {
        if self.wire() == Wire::Json2 {
            match self.version_from_json() {
                // Odoo before version 19 has no such page.
                Err(Error::HttpStatus(_) | Error::Malformed { .. }) if self.may_use_xmlrpc() => {}
                version => return version,
            }
        }
        let version = self.call_common("version", &[])?;
        let version = version.get("server_version").and_then(Value::as_str);
        version
            .map(|version| self.account.cleaner().line(version))
            .ok_or_else(|| unexpected("version", "a struct with server_version"))
    }

    fn version_from_json(&mut self) -> Result<String> {
        let request = Request { path: VERSION.to_owned(), content: Content::Nothing };
        let reply = self.send(request, Safety::Harmless, FACT)?;
        let version = json2::decode(&reply.body, &Limits::of_bytes(FACT))?;
        let version = version.get("version").and_then(Value::as_str);
        version.map(|version| self.account.cleaner().line(version)).ok_or_else(|| unexpected(VERSION, "a version"))
    }

    /// Logs in and returns the uid. Over XML-RPC, Odoo needs about 0.4 seconds to hash a password.
    pub fn authenticate(&mut self) -> Result<i64> {
        let uid = match self.wire() {
            Wire::XmlRpc => self.authenticate_by_password()?,
            Wire::Json2 => self.authenticate_by_key()?,
        };
        self.known.uid = Some(uid);
        Ok(uid)
    }

    fn authenticate_by_password(&mut self) -> Result<i64> {
        let params = [
            ("dbname", &self.account.dbname.as_str().into()),
            ("user", &self.account.login.as_str().into()),
            ("password", &self.account.password.reveal().into()),
            ("user agent", &Value::Struct(Vec::new())),
        ];
        match self.call_common("authenticate", &params)? {
            Value::Int(uid) if (1..=GREATEST_ID).contains(&uid) => Ok(uid),
            Value::Bool(false) => Err(self.refused()),
            _ => Err(unexpected("authenticate", "a user id")),
        }
    }

    /// Reads whose key it is, and refuses the key of another user. JSON-2 sends no login, so Odoo
    /// cannot refuse it.
    fn authenticate_by_key(&mut self) -> Result<i64> {
        let context = self.call(&Call::for_login("context_get"))?;
        let uid = context.get("uid").and_then(Value::as_i64).filter(|uid| (1..=GREATEST_ID).contains(uid));
        let uid = uid.ok_or_else(|| unexpected("context_get", "a user id"))?;
        let fields = vec![("fields", Value::from_iter(["login"]))];
        let user = self.call(&Call::for_login("read").on(Value::from_iter([uid])).with(fields, Vec::new()))?;
        let login = user.as_array().and_then(|users| users.first()?.get("login")?.as_str());
        match login.ok_or_else(|| unexpected("read", "the login of the user"))? {
            login if login.eq_ignore_ascii_case(&self.account.login) => Ok(uid),
            login => {
                let owner = self.account.cleaner().line(login);
                let message = "the API key belongs to another Odoo user";
                Err(Error::user(SqlState::InvalidPassword, message)
                    .with_detail(format!("It belongs to \"{owner}\", and the user is \"{}\".", self.account.login))
                    .with_hint("Set the option user of the user mapping to the owner of the key, or use another key."))
            }
        }
    }

    /// Calls a method that needs no login.
    fn call_common(&mut self, method: &str, params: &[(&str, &Value)]) -> Result<Value> {
        let mut retry = 0;
        loop {
            let content = Content::Xml { body: encode_call(method, params)?, dbname: self.account.dbname.clone() };
            let reply = self.send(Request { path: COMMON.to_owned(), content }, Safety::Harmless, FACT)?;
            let fault = match xmlrpc::decode(&reply.body, &Limits::of_bytes(FACT))? {
                Ok(value) => return Ok(value),
                Err(fault) => fault,
            };
            match fault::read(&fault, &self.account, "", method, None) {
                Meaning::Error(error) | Meaning::RefusedArguments(error) => return Err(error),
                Meaning::StaleLogin(_) | Meaning::RefusedKey(_) => return Err(self.refused()),
                Meaning::Passing(error) => self.pause_before(retry, None, error)?,
            }
            retry += 1;
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

    /// The error for refused credentials.
    pub(super) fn refused(&mut self) -> Error {
        let user = format!("User \"{}\" was refused.", self.account.login);
        if self.key_refused && self.known.json2 == Json2::Missing {
            // The server may have JSON-2, and the next key may be right.
            self.known.json2 = Json2::Unknown;
        }
        let (detail, hint) = if self.account.has_api_key() {
            (
                format!("{user} The secret looks like an API key, which may have expired or been revoked."),
                "Create a new API key in Odoo (My Preferences, Security), and store it with ipai.set_odoo_password(). \
                 Check that the user is active in Odoo.",
            )
        } else if self.known.json2 == Json2::Required {
            (
                format!("{user} JSON-2 accepts only API keys, and the secret does not look like one."),
                "Store an API key with ipai.set_odoo_password(), or set the option protocol of the server to 'auto'.",
            )
        } else {
            (user, "Check the user and password (or API key) of the user mapping, and that the user is active in Odoo.")
        };
        Error::user(SqlState::InvalidPassword, "Odoo authentication failed").with_detail(detail).with_hint(hint)
    }
}
