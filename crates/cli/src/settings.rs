//! The settings: where the database is, and which Odoo servers there are.
//!
//! Servers come from the file `ipai-sync.toml`, or else from the environment, which describes one.
//! Neither the file nor the command line holds a password.

use crate::environment::{Environment, require_own};
use ipai_mirror::definition::nearest;
use ipai_mirror::refusal::{invalid, refused};
use ipai_odoo::error::{Result, SqlState};
use ipai_odoo::options::{Pair, SERVER_OPTIONS, ServerOptions};
use ipai_odoo::secret::Secret;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Name of the file with the settings, in the current folder.
pub const FILE: &str = "ipai-sync.toml";
/// Name of the server that the environment describes, unless `ODOO_SERVER` names it.
const DEFAULT_SERVER: &str = "odoo";

/// Keys at the top of the file.
const TOP_KEYS: [&str; 3] = ["database_url_env", "database_url_file", "servers"];
/// Keys of a server beside those that a foreign server has as options.
const ACCOUNT_KEYS: [&str; 5] = ["ca_cert_file", "password_env", "password_file", "password_secret", "user"];

/// The settings of the program.
#[derive(Debug)]
pub struct Settings {
    database_url: Result<Secret>,
    servers: Result<BTreeMap<String, Server>>,
}

/// An Odoo server.
#[derive(Debug, Clone)]
pub struct Server {
    /// Its address and database.
    pub options: ServerOptions,
    /// Login of the Odoo user.
    pub user: String,
    /// The password of the user, or why it is missing.
    pub password: Result<Password>,
}

/// Where the password of an Odoo user is.
#[derive(Debug, Clone)]
pub enum Password {
    /// It was read from the environment or a file.
    Plain(Secret),
    /// Name of a secret in Supabase Vault.
    Vault(String),
}

impl Settings {
    /// Reads the settings of the file, or of the environment if there is no such file. `file` is
    /// `ipai-sync.toml` by default. An address or a password that is missing is no error before a
    /// command needs it.
    pub fn load(file: Option<&Path>, environment: &Environment) -> Result<Self> {
        let path = file.map_or_else(|| PathBuf::from(FILE), Path::to_owned);
        if file.is_none() && !path.is_file() {
            return Ok(Settings {
                database_url: database_url_of(environment, "DATABASE_URL"),
                servers: server_of(environment).map(|server| BTreeMap::from([server])),
            });
        }
        if file.is_none() {
            require_own(&path)?;
        }
        let text = fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            // Its full text quotes the line, which may hold a misplaced password.
            let line = error.span().map_or(1, |span| text[..span.start].lines().count().max(1));
            invalid(format!("{} is not valid TOML at line {line}: {}", path.display(), error.message()), SYNTAX)
        })?;
        check_keys(&table, &TOP_KEYS, &path.display().to_string())?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let database_url = match (text_of(&table, "database_url_env")?, text_of(&table, "database_url_file")?) {
            (Some(_), Some(_)) => return Err(exclude("database_url_env", "database_url_file")),
            (_, Some(file)) => secret_file(&folder.join(file)),
            (variable, None) => database_url_of(environment, variable.as_deref().unwrap_or("DATABASE_URL")),
        };
        let tables = match table.get("servers") {
            None => Table::new(),
            Some(Value::Table(servers)) => servers.clone(),
            Some(_) => return Err(invalid("servers is not a table", SYNTAX)),
        };
        let servers = tables.into_iter().map(|(name, value)| match value {
            Value::Table(table) => Ok((name.clone(), server(&name, &table, folder, environment)?)),
            _ => Err(invalid(format!("servers.{name} is not a table"), SYNTAX)),
        });
        Ok(Settings { database_url, servers: Ok(servers.collect::<Result<_>>()?) })
    }

    /// The address of the database that holds the mirrors.
    pub fn database_url(&self) -> Result<&Secret> {
        self.database_url.as_ref().map_err(Clone::clone)
    }

    /// The server of this name, or the only one. If there are several, the error has a hint.
    pub fn server(&self, name: Option<&str>, if_several: &str) -> Result<(&str, &Server)> {
        let servers = self.servers.as_ref().map_err(Clone::clone)?;
        let names = || servers.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        match name {
            Some(name) => match servers.get_key_value(name) {
                Some((name, server)) => Ok((name, server)),
                None => Err(refused(
                    SqlState::UndefinedObject,
                    format!("server \"{name}\" is not in the settings"),
                    format!(
                        "Add a table [servers.{name}] to {FILE}, or set ODOO_SERVER={name} if the environment describes \
                         it. The settings have: {}.",
                        names()
                    ),
                )),
            },
            None if servers.len() == 1 => {
                let only = servers.iter().next().map(|(name, server)| (name.as_str(), server));
                only.ok_or_else(no_server)
            }
            None if servers.is_empty() => Err(no_server()),
            None => Err(invalid(format!("there are several Odoo servers: {}", names()), if_several)),
        }
    }

    /// Names of all servers.
    pub fn server_names(&self) -> Result<Vec<&str>> {
        let servers = self.servers.as_ref().map_err(Clone::clone)?;
        if servers.is_empty() { Err(no_server()) } else { Ok(servers.keys().map(String::as_str).collect()) }
    }
}

const SYNTAX: &str = "See docs/how-to/hosted-supabase.md for an example of the file.";

fn no_server() -> ipai_odoo::error::Error {
    refused(
        SqlState::UndefinedObject,
        "there is no Odoo server in the settings",
        format!("Set ODOO_URL, ODOO_DB, ODOO_USER and ODOO_PASSWORD, or add a table [servers.odoo] to {FILE}."),
    )
}

fn exclude(one: &str, other: &str) -> ipai_odoo::error::Error {
    invalid(format!("the keys {one} and {other} exclude each other"), "Remove one of them.")
}

fn unreadable(path: &Path, error: &std::io::Error) -> ipai_odoo::error::Error {
    invalid(format!("{} cannot be read: {error}", path.display()), "Check the path and the permissions of the file.")
}

/// The address of the database in a variable.
fn database_url_of(environment: &Environment, variable: &str) -> Result<Secret> {
    if let Some(url) = environment.get(variable) {
        return Ok(Secret::new(url.to_owned()));
    }
    let missing = |detail: &str| {
        Err(refused(
            SqlState::UndefinedObject,
            format!("{variable} is not set"),
            format!(
                "Set {variable} to the connection string of the database. On Supabase it is under Connect, Session \
                 pooler: postgresql://postgres.PROJECT:PASSWORD@REGION.pooler.supabase.com:5432/postgres"
            ),
        )
        .with_detail(detail))
    };
    let has_key = ["SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_SERVICE_KEY", "SUPABASE_KEY", "SUPABASE_SECRET_KEY"];
    match environment.get("SUPABASE_URL").is_some() || has_key.iter().any(|name| environment.get(name).is_some()) {
        true => missing(
            "SUPABASE_URL and a key reach the REST API of the project. ipai-sync needs transactions and locks, so it \
             connects to the database itself.",
        ),
        false => missing("It is set neither in the environment nor in the file .env."),
    }
}

/// The server that the environment describes, with its name.
fn server_of(environment: &Environment) -> Result<(String, Server)> {
    let required = |name: &str| match environment.get(name) {
        Some(value) => Ok(value.to_owned()),
        None => Err(refused(
            SqlState::UndefinedObject,
            format!("{name} is not set"),
            format!("Set ODOO_URL, ODOO_DB, ODOO_USER and ODOO_PASSWORD, or describe the servers in {FILE}."),
        )),
    };
    let pairs: [Pair; 2] = [("url".to_owned(), required("ODOO_URL")?), ("dbname".to_owned(), required("ODOO_DB")?)];
    let server = Server {
        options: ServerOptions::parse(&pairs)?,
        user: required("ODOO_USER")?,
        password: Ok(Password::Plain(Secret::new(required("ODOO_PASSWORD")?))),
    };
    Ok((environment.get("ODOO_SERVER").unwrap_or(DEFAULT_SERVER).to_owned(), server))
}

/// A server that the file describes.
fn server(name: &str, table: &Table, folder: &Path, environment: &Environment) -> Result<Server> {
    let keys: Vec<&str> = SERVER_OPTIONS.into_iter().chain(ACCOUNT_KEYS).collect();
    check_keys(table, &keys, &format!("[servers.{name}]"))?;
    let mut pairs = Vec::new();
    for option in SERVER_OPTIONS {
        pairs.extend(text_of(table, option)?.map(|value| (option.to_owned(), value)));
    }
    if let Some(file) = text_of(table, "ca_cert_file")? {
        if pairs.iter().any(|(option, _)| option == "ca_cert") {
            return Err(exclude("ca_cert", "ca_cert_file"));
        }
        let path = folder.join(file);
        let pem = fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
        pairs.push(("ca_cert".to_owned(), pem));
    }
    let options = ServerOptions::parse(&pairs)?;
    let place = |key: &str| text_of(table, key);
    let password = match (place("password_env")?, place("password_file")?, place("password_secret")?) {
        (Some(variable), None, None) => match environment.get(&variable) {
            Some(password) => Ok(Password::Plain(Secret::new(password.to_owned()))),
            None => {
                let hint = format!("It holds the password or API key of the Odoo user of server {name}.");
                Err(refused(SqlState::UndefinedObject, format!("{variable} is not set"), hint))
            }
        },
        (None, Some(file), None) => secret_file(&folder.join(file)).map(Password::Plain),
        (None, None, Some(secret)) => Ok(Password::Vault(secret)),
        _ => {
            return Err(invalid(
                format!("[servers.{name}] needs exactly one place of the password"),
                "Set password_env to the name of a variable, password_file to a path, or password_secret to the name of \
                 a secret in Supabase Vault.",
            ));
        }
    };
    let user = place("user")?
        .ok_or_else(|| invalid(format!("[servers.{name}] has no user"), "Set user to the login of the Odoo user."))?;
    Ok(Server { options, user, password })
}

/// The text of a file without the line end.
fn secret_file(path: &Path) -> Result<Secret> {
    let text = fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(invalid(format!("{} is empty", path.display()), "It holds a secret in its only line.")),
        secret => Ok(Secret::new(secret.to_owned())),
    }
}

/// The value of a key as an option has it.
fn text_of(table: &Table, key: &str) -> Result<Option<String>> {
    Ok(Some(match table.get(key) {
        None => return Ok(None),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Integer(number)) => number.to_string(),
        Some(Value::Float(number)) => number.to_string(),
        Some(Value::Boolean(flag)) => flag.to_string(),
        Some(_) => return Err(invalid(format!("{key} has an invalid type"), "It is a text, a number or a boolean.")),
    }))
}

/// Refuses keys that do not exist. The error names the most similar valid key.
fn check_keys(table: &Table, valid: &[&str], place: &str) -> Result<()> {
    let Some(unknown) = table.keys().find(|key| !valid.contains(&key.as_str())) else {
        return Ok(());
    };
    let near = match nearest(unknown, valid.iter().copied()).into_iter().next() {
        Some(near) => format!("Perhaps you mean {near}. "),
        None => String::new(),
    };
    let hint = format!("{near}Valid keys are {}.", valid.join(", "));
    Err(invalid(format!("unknown key \"{unknown}\" in {place}"), hint))
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
