//! From the name of a foreign server to what is needed to call Odoo, for the current user.

use super::interrupt;
use super::logins;
use super::{spi, version};
use ipai_odoo::error::{Error, Result};
use ipai_mirror::source::{Fetcher, Tick};
use ipai_odoo::http::{shown, Endpoint};
use ipai_odoo::retry::Policy;
use ipai_odoo::{Account, Addon, ServerInfo};
use ipai_odoo::options::{Pair, PasswordOption, ServerOptions, UserOptions};
use ipai_odoo::secret::Secret;
use pgrx::{pg_sys, PgList};
use std::ffi::CStr;

/// Name of the wrapper that the extension makes.
const WRAPPER: &str = "ipai_odoo";

/// Everything to call one Odoo database.
pub struct Connection {
    /// Name of the foreign server.
    pub server: String,
    pub endpoint: Endpoint,
    pub account: Account,
    /// Whether the addon of Odoo is to be used, where it is there.
    use_addon: bool,
}

impl Connection {
    /// Looks up the server and the current user's mapping. Postgres's own lookup checks no privilege, so USAGE on the
    /// server is checked first.
    pub fn open(server: &str) -> Result<Self> {
        version::check()?;
        let (oid, usable) = find(server)?;
        if !usable {
            return Err(Error::Permission {
                message: format!("permission denied for foreign server \"{server}\""),
                hint: format!(
                    "Its owner can grant it: grant usage on foreign server {} to ...",
                    ident(server)
                ),
            });
        }
        // SAFETY: the server exists, so the lookup returns it or raises.
        let options = unsafe { ServerOptions::parse(&pairs((*pg_sys::GetForeignServer(oid)).options))? };
        let (user, public) = mapping(server, oid)?;
        let password =
            match user.password {
                PasswordOption::Plain(_) if public => return Err(Error::Permission {
                    message: format!("the user mapping for PUBLIC of server \"{server}\" holds a plain password"),
                    hint:
                        "Every user of the server could use it, and dumps show it. Keep the password in Vault and name \
                           it with the option password_secret, or make a mapping for one user only."
                            .to_owned(),
                }),
                PasswordOption::Plain(password) => password,
                PasswordOption::VaultSecret(name) => vault_secret(&name)?,
            };
        Ok(Connection {
            server: server.to_owned(),
            use_addon: options.addon,
            endpoint: options.endpoint,
            account: Account {
                dbname: options.dbname,
                login: user.user,
                password,
            },
        })
    }

    /// The address as it may be shown.
    pub fn url(&self) -> String {
        shown(&self.endpoint.url)
    }

    /// What is known of the addon, unless it is not to be used.
    pub fn addon(&self, known: Addon) -> Addon {
        match self.use_addon {
            true => known,
            false => Addon::Unwanted,
        }
    }

    /// A thread that calls Odoo, with the remembered login where there is one.
    pub fn fetcher(&self, retries: Policy, tick: Tick) -> Result<Fetcher> {
        let known = logins::remembered(self)?;
        Fetcher::start(self.endpoint.clone(), self.account.clone(), retries, known, tick)
    }

    /// The same for a person who waits: the first call logs in anew, and nothing is tried again.
    pub fn fresh_fetcher(&self) -> Result<Fetcher> {
        Fetcher::start(
            self.endpoint.clone(),
            self.account.clone(),
            Policy::NONE,
            ServerInfo {
                addon: self.addon(Addon::Unknown),
                ..ServerInfo::default()
            },
            interrupt::tick,
        )
    }
}

/// The server to use where the user named none: the only one there is.
pub fn only_server(choose: &str) -> Result<String> {
    let servers = spi::query(
        "select s.srvname::text from pg_catalog.pg_foreign_server s join pg_catalog.pg_foreign_data_wrapper w \
         on w.oid = s.srvfdw where w.fdwname = $1 order by 1",
        &[WRAPPER.into()],
        |row| spi::column::<String>(row, 1),
    )?;
    match servers.as_slice() {
        [server] => Ok(server.clone()),
        [] => Err(Error::UndefinedObject {
            message: "there is no Odoo server yet".to_owned(),
            hint: format!(
                "create server odoo foreign data wrapper {WRAPPER} options (url 'https://erp.example.com', dbname \
                 'odoo'); create user mapping for current_user server odoo options (user '...', password_secret '...');"
            ),
        }),
        several => Err(Error::InvalidArgument {
            message: format!("there are several Odoo servers: {}", several.join(", ")),
            hint: choose.to_owned(),
        }),
    }
}

/// Oid of the server and whether the current user may use it.
pub fn find(server: &str) -> Result<(pg_sys::Oid, bool)> {
    let found = spi::query_one(
        "select s.oid, pg_catalog.has_server_privilege(s.oid, 'usage'), w.fdwname = $2 from pg_catalog.pg_foreign_server s \
         join pg_catalog.pg_foreign_data_wrapper w on w.oid = s.srvfdw where s.srvname = $1",
        &[server.into(), WRAPPER.into()],
        |row| Ok((spi::column(row, 1)?, spi::column(row, 2)?, spi::column::<bool>(row, 3)?)),
    )?;
    match found {
        Some((oid, usable, true)) => Ok((oid, usable)),
        Some((_, _, false)) => Err(Error::InvalidArgument {
            message: format!("server \"{server}\" is no Odoo server"),
            hint: format!("Odoo servers belong to the foreign-data wrapper {WRAPPER}."),
        }),
        None => Err(Error::UndefinedObject {
            message: format!("server \"{server}\" does not exist"),
            hint: format!(
                "create server {} foreign data wrapper {WRAPPER} options (url 'https://erp.example.com', dbname 'odoo');",
                ident(server)
            ),
        }),
    }
}

/// The current user's mapping, else that for PUBLIC, and whether it is the latter.
fn mapping(server: &str, oid: pg_sys::Oid) -> Result<(UserOptions, bool)> {
    let owners = spi::query(
        "select u.umuser <> 0 from pg_catalog.pg_user_mappings u where u.srvid = $1 and (u.umuser = 0 or u.umuser = \
         (select r.oid from pg_catalog.pg_roles r where r.rolname = current_user)) order by 1 desc",
        &[oid.into()],
        |row| spi::column::<bool>(row, 1),
    )?;
    let Some(own) = owners.first() else {
        return Err(Error::UndefinedObject {
            message: format!("there is no user mapping for server \"{server}\""),
            hint: format!(
                "create user mapping for current_user server {} options (user '...', password_secret '...');",
                ident(server)
            ),
        });
    };
    // SAFETY: the mapping exists, so the lookup returns it or raises.
    let user = unsafe { UserOptions::parse(&pairs((*pg_sys::GetUserMapping(pg_sys::GetUserId(), oid)).options))? };
    Ok((user, !*own))
}

/// The options of a catalog row.
///
/// # Safety
/// `options` is a list of `DefElem` as Postgres's catalog lookups give it.
unsafe fn pairs(options: *mut pg_sys::List) -> Vec<Pair> {
    let text = |start| CStr::from_ptr(start).to_string_lossy().into_owned();
    PgList::<pg_sys::DefElem>::from_pg(options)
        .iter_ptr()
        .map(|option| (text((*option).defname), text(pg_sys::defGetString(option))))
        .collect()
}

/// The secret of this name in Supabase Vault, read as the current user at the time of the call.
fn vault_secret(name: &str) -> Result<Secret> {
    // What is only called like it may be anybody's, and would be run by whoever looks into it.
    let readable = spi::query_one(
        "select pg_catalog.has_schema_privilege(n.oid, 'usage') and pg_catalog.has_table_privilege(c.oid, 'select') \
         from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace join pg_catalog.pg_roles o on \
         o.oid = c.relowner join pg_catalog.pg_roles s on s.oid = n.nspowner where n.nspname = 'vault' and c.relname = \
         'decrypted_secrets' and (o.rolsuper or o.rolname = current_user) and (s.rolsuper or s.rolname = current_user)",
        &[],
        |row| spi::column::<bool>(row, 1),
    )?;
    match readable {
        None => Err(Error::UndefinedObject {
            message: "the option password_secret needs Supabase Vault, which is not installed".to_owned(),
            hint: "create extension supabase_vault; or give your own user mapping the option password.".to_owned(),
        }),
        Some(false) => Err(Error::Permission {
            message: "permission denied for Supabase Vault".to_owned(),
            hint: "Sync as postgres or service_role, or from pg_cron: they may read Vault. Users of the API read the \
                   mirror, they do not sync."
                .to_owned(),
        }),
        Some(true) => spi::query_one(
            "select decrypted_secret from vault.decrypted_secrets where name = $1",
            &[name.into()],
            |row| spi::optional::<String>(row, 1),
        )?
        .flatten()
        .filter(|secret| !secret.is_empty())
        .map(Secret::new)
        .ok_or_else(|| Error::UndefinedObject {
            message: format!("Vault has no secret named \"{name}\""),
            hint: "select vault.create_secret('the password or API key', '...name...');".to_owned(),
        }),
    }
}

/// A name as it is typed in SQL, for hints.
pub fn ident(name: &str) -> String {
    pgrx::spi::quote_identifier(name)
}

/// A text as it is typed in SQL, for hints.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
