//! Defines the facts about an Odoo server that are remembered between connections.

/// Facts about an Odoo server that an earlier client found out, which save calls.
///
/// The facts may be outdated, so they prove nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerInfo {
    /// The uid of the user, as Odoo last returned or accepted it.
    pub uid: Option<i64>,
    /// Whether Odoo has the addon.
    pub addon: Addon,
    /// `database.uuid`, which only the addon reports.
    pub uuid: Option<String>,
}

/// Whether Odoo has the addon `ipai_sync`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Addon {
    /// No client has looked yet.
    #[default]
    Unknown,
    /// Odoo does not have it.
    Missing,
    /// Odoo has it.
    Present,
    /// The options of the server exclude its use.
    Unwanted,
}
