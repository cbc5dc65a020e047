//! Replaces the API key of an Odoo server's user. At any point of failure, Vault has a valid key.

use crate::connection::{Accounts, Connection};
use crate::refusal::{invalid, refused};
use crate::session::Session;
use crate::source::Fetcher;
use crate::store::{lock, mirror_state};
use chrono::{DateTime, Days, NaiveDateTime, TimeDelta, Utc};
use ipai_odoo::error::{Error, Result, SqlState};
use ipai_odoo::secret::Secret;
use std::time::SystemTime;

/// The longest validity of a key in days.
const LONGEST: i32 = 3_650;
/// A key ends this much before the limit, because the clocks of both servers differ.
const MARGIN: TimeDelta = TimeDelta::hours(1);

/// Creates an API key in Odoo that is valid for this number of days, stores it in Vault, commits,
/// and revokes the old key.
pub fn rotate_key(session: &mut dyn Session, accounts: &dyn Accounts, server: Option<&str>, days: i32) -> Result<()> {
    if !(1..=LONGEST).contains(&days) {
        return Err(invalid("the number of days is out of range", format!("Use a number from 1 to {LONGEST}.")));
    }
    let old = session.within(|session| find(session, accounts, server))?;
    session.commit()?;
    let fetcher = old.fresh_fetcher(session)?;
    fetcher.run(|client| client.authenticate())?;
    let now = DateTime::<Utc>::from(SystemTime::now()).naive_utc();
    let expires = now + Days::new(days.unsigned_abs().into()) - MARGIN;
    let name = format!("ipai_sync, since {}", now.format("%Y-%m-%d %H:%M"));
    let key = fetcher.run(move |client| client.generate_key(&name, expires)).map_err(explain)?;
    let mut new = old.clone();
    new.account.password = key.clone();
    match prove_and_store(session, &new) {
        Ok(fetcher) => {
            revoke_old(session, &new, &fetcher, &old.account.password);
            store_expiry(session, &new, &fetcher)
        }
        Err(error) => {
            // Vault still has the old key.
            let _ = session.rollback();
            if fetcher.run(move |client| client.revoke_key(&key)).is_err() {
                session.warning(
                    &format!("the new API key of server \"{}\" was neither stored nor revoked", new.server),
                    "Runs go on with the old key. Delete the new one in Odoo (My Preferences, Security).",
                );
            }
            Err(error)
        }
    }
}

/// The connection of the server, whose secret must be an API key in Vault that this role can
/// replace.
fn find(session: &mut dyn Session, accounts: &dyn Accounts, server: Option<&str>) -> Result<Connection> {
    lock::require_primary(session)?;
    let connection = accounts.open(session, server, "Name one: call ipai.rotate_odoo_key('...');")?;
    session.first("select ipai.mapped_secret($1)", &[(&connection.server).into()], |_| Ok(()))?;
    if !connection.account.has_api_key() {
        return Err(refused(
            SqlState::ObjectNotInState,
            format!("the secret of server \"{}\" is not an API key", connection.server),
            "Create an API key in Odoo (My Preferences, Security), and store it with ipai.set_odoo_password().",
        ));
    }
    Ok(connection)
}

/// Adds what to do where Odoo cannot create keys on request.
fn explain(error: Error) -> Error {
    match error {
        Error::UnknownMethod { .. } => refused(
            SqlState::FeatureNotSupported,
            "this Odoo cannot create API keys on request",
            "Update Odoo 19 to a version with the method generate of res.users.apikeys, or create a key in Odoo (My \
             Preferences, Security), and store it with ipai.set_odoo_password().",
        ),
        Error::OdooFault { message, .. } if message.starts_with("Programmatic API keys are not enabled") => refused(
            SqlState::ObjectNotInState,
            "Odoo does not allow this user to create API keys on request",
            "Set the system parameter base.enable_programmatic_api_keys of Odoo to True.",
        ),
        error => error,
    }
}

/// Logs in with the new key, stores it and commits.
fn prove_and_store(session: &mut dyn Session, new: &Connection) -> Result<Fetcher> {
    let fetcher = new.fresh_fetcher(session)?;
    fetcher.run(|client| client.authenticate())?;
    session.within(|session| {
        let params = [(&new.server).into(), new.account.password.reveal().into()];
        session.first("select ipai.set_odoo_password($1, $2)", &params, |_| Ok(()))
    })?;
    session.commit()?;
    Ok(fetcher)
}

/// Revokes the old key. A failure is only a warning: the new key is stored.
fn revoke_old(session: &mut dyn Session, new: &Connection, fetcher: &Fetcher, old: &Secret) {
    let old = old.clone();
    if let Err(error) = fetcher.run(move |client| client.revoke_key(&old)) {
        session.warning(
            &format!("the old API key of server \"{}\" was not revoked: {error}", new.server),
            "Runs use the new key. Delete the old one in Odoo (My Preferences, Security).",
        );
    }
}

/// Stores when the next key of the user expires, for the alerts of the server's mirrors.
fn store_expiry(session: &mut dyn Session, new: &Connection, fetcher: &Fetcher) -> Result<()> {
    let expires: Option<NaiveDateTime> = fetcher.run(|client| client.read_key_expiry())?;
    session.within(|session| mirror_state::set_key_expiry_of_server(session, &new.server, expires))?;
    session.commit()?;
    let until = expires.map_or_else(|| "without an end".to_owned(), |expires| format!("until {expires} UTC"));
    session.notice(&format!("server \"{}\" has a new API key; the keys of the user are valid {until}", new.server));
    Ok(())
}
