//! Validates and parses the options of foreign servers and user mappings.
//!
//! The validator of the foreign data wrapper and each connection use the same functions.

use crate::Json2;
use crate::error::{Error, Result, SqlState};
use crate::http::{Endpoint, certificates};
use crate::secret::Secret;
use rustls::pki_types::ServerName;
use std::time::Duration;
use url::{Host, Url};

/// Names of the options of a foreign server.
pub const SERVER_OPTIONS: [&str; 10] = [
    "addon",
    "allow_insecure",
    "ca_cert",
    "connect_timeout",
    "dbname",
    "max_requests_per_second",
    "protocol",
    "proxy",
    "timeout",
    "url",
];
const USER_OPTIONS: [&str; 3] = ["password", "password_secret", "user"];

/// The options of a foreign server. None is secret, because every role may read them in the
/// catalog.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Address of Odoo and how to connect to it.
    pub endpoint: Endpoint,
    /// Name of the database in Odoo.
    pub dbname: String,
    /// Whether to use the addon `ipai_sync` if Odoo has it.
    pub addon: bool,
    /// Which wire formats to use.
    pub protocol: Protocol,
}

/// Which wire formats to use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Protocol {
    /// JSON-2 if Odoo has it and the secret is an API key, otherwise XML-RPC.
    #[default]
    Auto,
    /// XML-RPC only.
    XmlRpc,
    /// JSON-2 only.
    Json2,
}

impl Protocol {
    /// What a client must know about JSON-2, after an earlier client found out this.
    pub fn json2(self, known: Json2) -> Json2 {
        match self {
            Protocol::Auto => known,
            Protocol::XmlRpc => Json2::Unwanted,
            Protocol::Json2 => Json2::Required,
        }
    }

    fn parse(text: &str) -> Result<Self> {
        match text.trim() {
            "auto" => Ok(Protocol::Auto),
            "xmlrpc" => Ok(Protocol::XmlRpc),
            "json2" => Ok(Protocol::Json2),
            _ => Err(invalid("protocol", "Valid values are auto, xmlrpc and json2.")),
        }
    }
}

/// The options of a user mapping.
#[derive(Debug, Clone)]
pub struct UserOptions {
    /// Login of the Odoo user.
    pub user: String,
    /// Where to find the password.
    pub password: PasswordOption,
}

/// Where to find the password of the Odoo user.
#[derive(Debug, Clone)]
pub enum PasswordOption {
    /// In the mapping itself, as plain text.
    Plain(Secret),
    /// In Supabase Vault, as the secret with this name.
    VaultSecret(String),
}

/// Name and value of an option, as the catalog stores them.
pub type Pair = (String, String);

impl ServerOptions {
    /// Parses the options of a foreign server.
    ///
    /// # Errors
    /// An error for the user if an option is unknown, missing, repeated or invalid.
    pub fn parse(pairs: &[Pair]) -> Result<Self> {
        known(pairs, &SERVER_OPTIONS, "server")?;
        let flag = |name, default| value(pairs, name).map_or(Ok(default), |text| boolean(name, text));
        let allow_insecure = flag("allow_insecure", false)?;
        let url = odoo_url(required(pairs, "url", URL_HINT)?)?;
        // A proxy resolves localhost to itself.
        let local = is_loopback(&url) && value(pairs, "proxy").is_none();
        if url.scheme() == "http" && !allow_insecure && !local {
            let message = "plain http would send the password in clear over the network";
            return Err(Error::user(SqlState::InvalidParameter, message).with_hint(
                "Use an https address. If the network between this database and Odoo is private and trusted, add the \
                 option allow_insecure 'true'.",
            ));
        }
        if let Some(pem) = value(pairs, "ca_cert") {
            certificates(pem)?;
        }
        Ok(ServerOptions {
            addon: flag("addon", true)?,
            protocol: value(pairs, "protocol").map_or(Ok(Protocol::Auto), Protocol::parse)?,
            dbname: required(pairs, "dbname", "Set it to the name of Odoo's database.")?.to_owned(),
            endpoint: Endpoint {
                url,
                connect_timeout: seconds(pairs, "connect_timeout", 10, 300)?,
                timeout: seconds(pairs, "timeout", 120, 3_600)?,
                request_interval: value(pairs, "max_requests_per_second").map_or(Ok(Duration::ZERO), interval)?,
                proxy: value(pairs, "proxy").map(proxy_url).transpose()?,
                ca_cert: value(pairs, "ca_cert").map(str::to_owned),
            },
        })
    }
}

impl UserOptions {
    /// Parses the options of a user mapping. Fails like [`ServerOptions::parse`].
    pub fn parse(pairs: &[Pair]) -> Result<Self> {
        known(pairs, &USER_OPTIONS, "user mapping")?;
        let password = match (value(pairs, "password"), value(pairs, "password_secret")) {
            (Some(_), Some(_)) => {
                let message = "the options password and password_secret exclude each other";
                return Err(Error::user(SqlState::InvalidParameter, message).with_hint(PASSWORD_HINT));
            }
            (Some(password), None) if !password.is_empty() => PasswordOption::Plain(Secret::new(password.to_owned())),
            (None, Some(name)) if !name.is_empty() => PasswordOption::VaultSecret(name.to_owned()),
            _ => return Err(missing("password_secret", PASSWORD_HINT)),
        };
        Ok(UserOptions { user: required(pairs, "user", "Set it to the login of the Odoo user.")?.to_owned(), password })
    }
}

const URL_HINT: &str = "Set it to the address of Odoo without a path, such as https://erp.example.com.";
const PASSWORD_HINT: &str = "Give either password_secret, the name of a Vault secret that holds the password or API \
                             key of the Odoo user, or password.";

/// Refuses options that do not exist or are repeated. `what` is the kind of the object.
///
/// # Errors
/// An error for the user if there is such an option.
pub fn known(pairs: &[Pair], names: &[&str], what: &str) -> Result<()> {
    for (index, (name, _)) in pairs.iter().enumerate() {
        if !names.contains(&name.as_str()) {
            let hint = match names {
                [] => format!("Remove it: a {what} has no options."),
                names => format!("Valid options for a {what} are: {}.", names.join(", ")),
            };
            return Err(Error::user(SqlState::InvalidOption, format!("invalid option \"{name}\"")).with_hint(hint));
        }
        if pairs[index + 1..].iter().any(|(other, _)| other == name) {
            return Err(invalid(name, "Give it only once."));
        }
    }
    Ok(())
}

fn value<'a>(pairs: &'a [Pair], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
}

fn required<'a>(pairs: &'a [Pair], name: &str, hint: &str) -> Result<&'a str> {
    value(pairs, name).filter(|value| !value.trim().is_empty()).ok_or_else(|| missing(name, hint))
}

fn missing(name: &str, hint: &str) -> Error {
    Error::user(SqlState::InvalidParameter, format!("the option {name} is missing")).with_hint(hint)
}

/// The error for an invalid value. It omits the value, which may be a misplaced password.
fn invalid(name: &str, hint: &str) -> Error {
    Error::user(SqlState::InvalidParameter, format!("the value of the option {name} is not valid")).with_hint(hint)
}

fn odoo_url(text: &str) -> Result<Url> {
    let url = Url::parse(text.trim()).map_err(|_| invalid("url", URL_HINT))?;
    if has_user(&url) {
        return Err(invalid(
            "url",
            "Remove the user and password, because every role may read the options of a server. Set them in the user \
             mapping.",
        ));
    }
    // A name that no certificate can have is not a valid host name.
    let named = url.host_str().is_some_and(|host| ServerName::try_from(host.trim_matches(['[', ']'])).is_ok());
    let bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
    if is_http(&url) && named && bare { Ok(url) } else { Err(invalid("url", URL_HINT)) }
}

fn proxy_url(text: &str) -> Result<Url> {
    let url = Url::parse(text.trim()).ok().filter(|url| is_http(url) && url.host().is_some() && !has_user(url));
    url.ok_or_else(|| {
        invalid(
            "proxy",
            "Set it to an address such as http://proxy.example.com:3128, without a user or password: every role may \
             read the options of a server.",
        )
    })
}

fn has_user(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

fn is_http(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        // A resolver may send names below it, such as "x.localhost", elsewhere.
        Some(Host::Domain(name)) => matches!(name, "localhost" | "localhost."),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Parses a time limit from 1 to `most` seconds.
fn seconds(pairs: &[Pair], name: &str, default: u64, most: u64) -> Result<Duration> {
    let Some(text) = value(pairs, name) else { return Ok(Duration::from_secs(default)) };
    let seconds = text.trim().parse().ok().filter(|seconds| (1..=most).contains(seconds));
    let seconds = seconds.ok_or_else(|| invalid(name, &format!("Set it to a number of seconds from 1 to {most}.")))?;
    Ok(Duration::from_secs(seconds))
}

/// Parses a number of requests per second into the time between two of them.
fn interval(text: &str) -> Result<Duration> {
    let number: Option<f64> = text.trim().parse().ok();
    let number = number.filter(|number| (0.01..=1_000.0).contains(number));
    let number =
        number.ok_or_else(|| invalid("max_requests_per_second", "Set it to a number from 0.01 to 1000, such as 1."))?;
    Ok(Duration::from_secs_f64(1.0 / number))
}

/// Parses a boolean in the spellings that Postgres accepts.
fn boolean(name: &str, text: &str) -> Result<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" | "1" => Ok(true),
        "false" | "off" | "no" | "0" => Ok(false),
        _ => Err(invalid(name, "Valid values are true and false.")),
    }
}

#[cfg(test)]
#[path = "options_tests.rs"]
mod tests;
