//! Finds Odoo's credentials in the foreign server, the user mapping and Vault, for the current
//! user. Validates the options of both when they are set.

use crate::report::or_raise;
use crate::session::check_version;
use ipai_mirror::connection::{Accounts, Connection};
use ipai_mirror::refusal::refused;
use ipai_mirror::session::{Row, Session, internal};
use ipai_mirror::store::statements::quote_literal;
use ipai_mirror::store::{servers, vault};
use ipai_odoo::Account;
use ipai_odoo::error::{Result, SqlState};
use ipai_odoo::options::{Pair, PasswordOption, ServerOptions, UserOptions, known};
use ipai_odoo::secret::Secret;
use pgrx::PgList;
use pgrx::prelude::*;
use std::ffi::CStr;

/// The accounts of this database.
pub struct ServerAccounts;

impl Accounts for ServerAccounts {
    /// Looks up the server and the current user's mapping. Postgres's own lookup checks no
    /// privilege, so USAGE on the server is checked first.
    fn open(&self, session: &mut dyn Session, server: Option<&str>, choose: &str) -> Result<Connection> {
        // Each time: an update may happen between two runs of a call.
        check_version(session)?;
        let server = &match server {
            Some(server) => server.to_owned(),
            None => servers::only_server(session, choose)?,
        };
        let (oid, is_usable) = servers::find(session, server)?;
        if !is_usable {
            let name = session.quote_ident(server)?;
            return Err(refused(
                SqlState::InsufficientPrivilege,
                format!("permission denied for foreign server \"{server}\""),
                format!("Its owner can grant it: grant usage on foreign server {name} to ..."),
            ));
        }
        let oid = pg_sys::Oid::from(u32::try_from(oid).unwrap_or_default());
        // SAFETY: the server exists, so the lookup returns it or raises.
        let server_options = unsafe { pairs((*pg_sys::GetForeignServer(oid)).options) };
        let options = ServerOptions::parse(&server_options)?;
        // The current user's mapping, or else the one for PUBLIC.
        let params = [i64::from(oid.to_u32()).into()];
        let is_own = session.first(include_str!("sql/user_mapping.sql"), &params, |row| row.get::<bool>(0))?;
        if is_own.is_none() {
            let name = session.quote_ident(server)?;
            return Err(refused(
                SqlState::UndefinedObject,
                format!("there is no user mapping for server \"{server}\""),
                format!(
                    "create user mapping for current_user server {name} options (user '...', password_secret '...');"
                ),
            ));
        }
        // SAFETY: the mapping exists, so the lookup returns it or raises.
        let user = unsafe { UserOptions::parse(&pairs((*pg_sys::GetUserMapping(pg_sys::GetUserId(), oid)).options))? };
        let password = match user.password {
            PasswordOption::Plain(_) if is_own == Some(false) => {
                return Err(refused(
                    SqlState::InsufficientPrivilege,
                    format!("the user mapping for PUBLIC of server \"{server}\" holds a plain password"),
                    "Every user of the server could use it, and dumps show it. Keep the password in Vault and name it \
                     with the option password_secret, or create a mapping for one user only.",
                ));
            }
            PasswordOption::Plain(password) => password,
            PasswordOption::VaultSecret(name) => vault_secret(session, &name, server, &server_options)?,
        };
        Ok(Connection {
            server: server.to_owned(),
            use_addon: options.addon,
            protocol: options.protocol,
            endpoint: options.endpoint,
            account: Account { dbname: options.dbname, login: user.user, password },
        })
    }

    fn server_oid(&self, session: &mut dyn Session, server: &str) -> Result<Option<i64>> {
        Ok(Some(servers::find(session, server)?.0))
    }
}

/// The options of a catalog row.
///
/// # Safety
/// `options` is a list of `DefElem` from a catalog lookup.
unsafe fn pairs(options: *mut pg_sys::List) -> Vec<Pair> {
    // SAFETY: names and values of catalog options are texts that end in a zero byte.
    unsafe {
        let text = |start| CStr::from_ptr(start).to_string_lossy().into_owned();
        PgList::<pg_sys::DefElem>::from_pg(options)
            .iter_ptr()
            .map(|option| (text((*option).defname), text(pg_sys::defGetString(option))))
            .collect()
    }
}

/// The secret of this name in Supabase Vault, read as the current user at the time of the call.
/// The owner of a server can name any secret in a mapping for another role, and receives what is
/// sent there. So the secret must be bound to the server with these options.
fn vault_secret(session: &mut dyn Session, name: &str, server: &str, options: &[Pair]) -> Result<Secret> {
    let alternative = "give your own user mapping the option password";
    vault::check(session, "the option password_secret", alternative)?;
    let options: Vec<String> = options.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let params = [name.into(), server.into(), options.as_slice().into()];
    let read = |row: &dyn Row| {
        let remedy = row.optional::<String>(2)?.unwrap_or_default();
        Ok((row.optional::<String>(0)?.unwrap_or_default(), row.get::<bool>(1)?, remedy))
    };
    let found = session.within(|session| session.first(include_str!("sql/vault_secret.sql"), &params, read));
    // After a restore, Vault may have another key.
    let found = found.map_err(|error| match error.sqlstate().starts_with("22") {
        true => refused(
            SqlState::ObjectNotInState,
            format!("Vault cannot decrypt secret \"{name}\""),
            format!("Store it anew: select ipai.set_odoo_password({}, '...');", quote_literal(server)),
        )
        .with_detail(error.to_string()),
        false => error,
    })?;
    match found.filter(|(secret, ..)| !secret.is_empty()) {
        Some((secret, true, _)) => Ok(Secret::new(secret)),
        Some((_, false, remedy)) => Err(refused(
            SqlState::InsufficientPrivilege,
            format!("secret \"{name}\" in Vault is not bound to server \"{server}\" and its address"),
            remedy,
        )),
        None => Err(refused(
            SqlState::UndefinedObject,
            format!("Vault has no secret named \"{name}\""),
            format!("select ipai.set_odoo_password({}, '...');", quote_literal(server)),
        )),
    }
}

/// Postgres calls it with all options of an object, as `name=value`, and the catalog of the object.
#[pg_extern(strict, parallel_safe)]
#[search_path(pg_catalog, pg_temp)]
fn ipai_odoo_validator(options: Vec<String>, catalog: pg_sys::Oid) {
    // Names cannot contain `=`; values can.
    let pair = |option: &String| match option.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(internal("an option without a value")),
    };
    let pairs: Result<Vec<Pair>> = options.iter().map(pair).collect();
    or_raise(pairs.and_then(|pairs| match catalog {
        pg_sys::ForeignServerRelationId => ServerOptions::parse(&pairs).map(drop),
        pg_sys::UserMappingRelationId => UserOptions::parse(&pairs).map(drop),
        pg_sys::ForeignTableRelationId => known(&pairs, &[], "foreign table"),
        _ => known(&pairs, &[], "foreign-data wrapper"),
    }));
}
