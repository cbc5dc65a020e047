//! Finds Odoo's credentials in the settings, and in Vault where the settings name a secret.

use crate::settings::{Password, Settings};
use ipai_mirror::connection::{Accounts, Connection};
use ipai_mirror::refusal::refused;
use ipai_mirror::session::Session;
use ipai_mirror::store::vault;
use ipai_odoo::Account;
use ipai_odoo::error::{Result, SqlState};
use ipai_odoo::secret::Secret;

impl Accounts for Settings {
    fn open(&self, session: &mut dyn Session, server: Option<&str>, if_several: &str) -> Result<Connection> {
        let (name, server) = self.server(server, if_several)?;
        let password = match server.password.clone()? {
            Password::Plain(password) => password,
            Password::Vault(secret) => vault_secret(session, &secret)?,
        };
        Ok(Connection {
            server: name.to_owned(),
            use_addon: server.options.addon,
            protocol: server.options.protocol,
            endpoint: server.options.endpoint.clone(),
            account: Account { dbname: server.options.dbname.clone(), login: server.user.clone(), password },
        })
    }

    fn server_oid(&self, _: &mut dyn Session, server: &str) -> Result<Option<i64>> {
        self.server(Some(server), "").map(|_| None)
    }
}

/// A secret in Vault. The person who wrote the settings decided where it is sent.
fn vault_secret(session: &mut dyn Session, name: &str) -> Result<Secret> {
    vault::check(session, "the key password_secret", "set password_env or password_file instead")?;
    let sql = "select decrypted_secret from vault.decrypted_secrets where name = $1";
    let secret = session.first(sql, &[name.into()], |row| row.optional::<String>(0))?.flatten();
    match secret.filter(|secret| !secret.is_empty()) {
        Some(secret) => Ok(Secret::new(secret)),
        None => Err(refused(
            SqlState::UndefinedObject,
            format!("Vault has no secret named \"{name}\""),
            "Create it: select vault.create_secret('...', 'its name');",
        )),
    }
}
