//! The options of `create server` and `create user mapping`: which there are, and what they may be.
//! Pure, so that wrong ones are refused when they are typed and read the same way when they are used.

use crate::error::{Error, Result, SqlState};
use crate::http::{Endpoint, certificates};
use crate::secret::Secret;
use rustls::pki_types::ServerName;
use std::net::IpAddr;
use std::time::Duration;
use url::{Host, Url};

const SERVER_OPTIONS: [&str; 8] = [
    "addon",
    "allow_insecure",
    "ca_cert",
    "connect_timeout",
    "dbname",
    "proxy",
    "timeout",
    "url",
];
const USER_OPTIONS: [&str; 3] = ["password", "password_secret", "user"];

const DEFAULT_CONNECT_TIMEOUT: u64 = 10;
const DEFAULT_TIMEOUT: u64 = 120;

/// The options of a foreign server. Everybody may read them in the catalog: none of them is secret.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    pub endpoint: Endpoint,
    pub dbname: String,
    /// Whether Odoo's addon `ipai_sync` is to be used, where it is there.
    pub addon: bool,
}

/// The options of a user mapping.
#[derive(Debug, Clone)]
pub struct UserOptions {
    pub user: String,
    pub password: PasswordOption,
}

/// Where the password is.
#[derive(Debug, Clone)]
pub enum PasswordOption {
    /// In the mapping itself, in clear.
    Plain(Secret),
    /// In Supabase Vault, under this name.
    VaultSecret(String),
}

/// One option as the catalog holds it.
pub type Pair = (String, String);

impl ServerOptions {
    pub fn parse(pairs: &[Pair]) -> Result<Self> {
        known(pairs, &SERVER_OPTIONS, "server")?;
        let flag = |name: &str, default| match value(pairs, name) {
            None => Ok(default),
            Some(text) => boolean(text).ok_or_else(|| invalid(name, "It is true or false.")),
        };
        let allow_insecure = flag("allow_insecure", false)?;
        let url = odoo_url(required(pairs, "url", URL_HINT)?)?;
        // Through a proxy even localhost is somewhere else.
        let local = is_loopback(&url) && value(pairs, "proxy").is_none();
        if url.scheme() == "http" && !allow_insecure && !local {
            return Err(Error::user(
                SqlState::InvalidParameter,
                "plain http would send the password in clear over the network",
            )
            .with_hint(
                "Use an https address. If the network between this database and Odoo is private and trusted, \
                       add the option allow_insecure 'true'.",
            ));
        }
        if let Some(pem) = value(pairs, "ca_cert") {
            certificates(pem)?;
        }
        Ok(ServerOptions {
            addon: flag("addon", true)?,
            dbname: required(pairs, "dbname", "It is the name of Odoo's database.")?.to_owned(),
            endpoint: Endpoint {
                url,
                connect_timeout: seconds(pairs, "connect_timeout", DEFAULT_CONNECT_TIMEOUT, 300)?,
                timeout: seconds(pairs, "timeout", DEFAULT_TIMEOUT, 3_600)?,
                proxy: value(pairs, "proxy").map(proxy_url).transpose()?,
                ca_cert: value(pairs, "ca_cert").map(str::to_owned),
            },
        })
    }
}

impl UserOptions {
    pub fn parse(pairs: &[Pair]) -> Result<Self> {
        known(pairs, &USER_OPTIONS, "user mapping")?;
        let password = match (value(pairs, "password"), value(pairs, "password_secret")) {
            (Some(_), Some(_)) => {
                return Err(Error::user(
                    SqlState::InvalidParameter,
                    "the options password and password_secret exclude each other",
                )
                .with_hint(PASSWORD_HINT.to_owned()));
            }
            (Some(password), None) if !password.is_empty() => PasswordOption::Plain(Secret::new(password.to_owned())),
            (None, Some(name)) if !name.is_empty() => PasswordOption::VaultSecret(name.to_owned()),
            _ => return Err(missing("password_secret", PASSWORD_HINT)),
        };
        Ok(UserOptions {
            user: required(pairs, "user", "It is the login of the Odoo user.")?.to_owned(),
            password,
        })
    }
}

const URL_HINT: &str = "It is the address of Odoo without a path, such as https://erp.example.com.";
const PASSWORD_HINT: &str = "Give either password_secret, the name of a Vault secret that holds the password or API key \
                             of the Odoo user, or password.";

/// Refuses options that do not exist or stand twice.
fn known(pairs: &[Pair], names: &[&str], what: &str) -> Result<()> {
    for (index, (name, _)) in pairs.iter().enumerate() {
        if !names.contains(&name.as_str()) {
            return Err(
                Error::user(SqlState::InvalidOption, format!("invalid option \"{}\"", name.clone())).with_hint(
                    match names {
                        [] => format!("There are no options for a {what}."),
                        names => format!("Valid options for a {what} are: {}.", names.join(", ")),
                    },
                ),
            );
        }
        if pairs.iter().skip(index + 1).any(|(other, _)| other == name) {
            return Err(invalid(name, "It is given twice."));
        }
    }
    Ok(())
}

/// For what takes no options: the wrapper itself, and foreign tables.
pub fn none_allowed(pairs: &[Pair], what: &str) -> Result<()> {
    known(pairs, &[], what)
}

fn value<'a>(pairs: &'a [Pair], name: &str) -> Option<&'a str> {
    pairs
        .iter()
        .find(|(other, _)| other == name)
        .map(|(_, value)| value.as_str())
}

fn required<'a>(pairs: &'a [Pair], name: &str, hint: &str) -> Result<&'a str> {
    value(pairs, name)
        .filter(|value| !value.trim().is_empty())
        .ok_or_else(|| missing(name, hint))
}

fn missing(name: &str, hint: &str) -> Error {
    Error::user(SqlState::InvalidParameter, format!("the option {name} is missing")).with_hint(hint.to_owned())
}

/// Never with the value: it may be a password in the wrong place.
fn invalid(name: &str, hint: &str) -> Error {
    Error::user(
        SqlState::InvalidParameter,
        format!("the value of the option {name} is not valid"),
    )
    .with_hint(hint.to_owned())
}

fn odoo_url(text: &str) -> Result<Url> {
    let url = Url::parse(text.trim()).map_err(|_| invalid("url", URL_HINT))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid(
            "url",
            "It may not hold a user or password: everybody may read the options of a server. They belong into the user \
             mapping.",
        ));
    }
    // What no certificate can be for is no name of a host either.
    let named = url
        .host_str()
        .is_some_and(|host| ServerName::try_from(host.trim_matches(['[', ']'])).is_ok());
    let bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
    if !matches!(url.scheme(), "http" | "https") || !named || !bare {
        return Err(invalid("url", URL_HINT));
    }
    Ok(url)
}

fn proxy_url(text: &str) -> Result<Url> {
    let hint = "It is an address such as http://proxy.example.com:3128, without a user or password: everybody may read \
                the options of a server.";
    let url = Url::parse(text.trim()).map_err(|_| invalid("proxy", hint))?;
    let open = url.username().is_empty() && url.password().is_none();
    match matches!(url.scheme(), "http" | "https") && url.host().is_some() && open {
        true => Ok(url),
        false => Err(invalid("proxy", hint)),
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        None => false,
    }
}

fn seconds(pairs: &[Pair], name: &str, default: u64, most: u64) -> Result<Duration> {
    let seconds = match value(pairs, name) {
        None => default,
        Some(text) => text
            .trim()
            .parse()
            .ok()
            .filter(|seconds| (1..=most).contains(seconds))
            .ok_or_else(|| invalid(name, &format!("It is a number of seconds from 1 to {most}.")))?,
    };
    Ok(Duration::from_secs(seconds))
}

/// The spellings that Postgres itself takes.
fn boolean(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" | "1" => Some(true),
        "false" | "off" | "no" | "0" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
#[path = "options_tests.rs"]
mod tests;
