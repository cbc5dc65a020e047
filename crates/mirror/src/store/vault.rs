//! Reads Supabase Vault as the current role.

use super::sql;
use crate::definition::MaskKey;
use crate::refusal::refused;
use crate::session::Session;
use ipai_odoo::error::{Result, SqlState};

/// Checks that Vault is installed and readable. `purpose` says in the error what needs it, and
/// `alternative` what the caller can do without it.
pub fn check(session: &mut dyn Session, purpose: &str, alternative: &str) -> Result<()> {
    // Another view of this name would run its owner's code.
    match session.first(sql!("vault_readable"), &[], |row| row.get::<bool>(0))? {
        None => Err(refused(
            SqlState::UndefinedObject,
            format!("{purpose} needs Supabase Vault, which is not installed"),
            format!("create extension supabase_vault; or {alternative}."),
        )),
        Some(false) => Err(refused(
            SqlState::InsufficientPrivilege,
            "permission denied for Supabase Vault",
            "Sync as postgres or service_role, or from pg_cron: they may read Vault. Users of the API read the mirror, \
             they do not sync.",
        )),
        Some(true) => Ok(()),
    }
}

/// The key of the masks, the secret `ipai_mask_key`.
pub fn mask_key(session: &mut dyn Session) -> Result<MaskKey> {
    check(session, "the mask hmac", "use the mask redact")?;
    let secret = session.first(sql!("mask_key"), &[], |row| row.optional::<String>(0))?.flatten();
    match secret.filter(|secret| !secret.is_empty()) {
        Some(secret) => Ok(MaskKey::new(&secret)),
        None => Err(refused(
            SqlState::UndefinedObject,
            "Vault has no secret named \"ipai_mask_key\", the key of the mask hmac",
            "select vault.create_secret(gen_random_uuid()::text || gen_random_uuid()::text, 'ipai_mask_key');",
        )),
    }
}
