//! `ipai_sync`: Odoo models mirrored into Postgres. `docs/architecture.md` walks through the rooms.

pub mod error;
pub mod fetch;
pub mod http;
pub mod mirror;
pub mod odoo;
pub mod options;
pub mod secret;
pub mod sync;
pub mod xmlrpc;
