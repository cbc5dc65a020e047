//! `ipai_sync`: Odoo models mirrored into Postgres. `docs/architecture.md` walks through the rooms.

pub mod error;
pub mod secret;
pub mod xmlrpc;
