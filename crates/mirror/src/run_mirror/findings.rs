//! Stores what a run learned about the Odoo server.

use crate::connection::Connection;
use crate::session::Session;
use crate::source::Findings;
use crate::store::mirror_state;
use ipai_odoo::Addon;
use ipai_odoo::error::Result;

/// Stores the findings of a run of a mirror, and warns if the run gave up the addon.
pub fn store(session: &mut dyn Session, mirror: &str, connection: &Connection, findings: &Findings) -> Result<()> {
    if let Some(error) = &findings.addon_failure {
        session.warning(
            &format!("this run stopped using the addon ipai_sync of Odoo: {error}"),
            "Nothing is missing: the run went on without it, more slowly. The next full run tries it again.",
        );
    }
    // Where no run has looked for the addon, what an earlier one found still holds.
    if findings.server.addon != Addon::Unknown {
        mirror_state::set_degraded(session, mirror, findings.degraded().as_deref())?;
    }
    if let Some(expires) = findings.key_expires {
        mirror_state::set_key_expiry(session, mirror, expires)?;
    }
    connection.store_info(session, &findings.server)
}
