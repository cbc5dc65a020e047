//! A client of Odoo: HTTP, wire formats, domains, faults, retries and the identity of a database.
//!
//! This crate knows neither Postgres nor mirrors. The network is behind [`Transport`], so everything
//! above it is tested without a server.

mod account;
mod addon;
mod bulk_page;
mod client;
mod database;
pub mod domain;
pub mod error;
mod fault;
mod field;
pub mod http;
pub mod options;
pub mod retry;
pub mod secret;
mod transport;
pub mod xmlrpc;

pub use account::Account;
pub use addon::{Addon, ServerInfo};
pub use client::{Client, Safety, Scope, Version, Wanted};
pub use database::Database;
pub use field::Field;
pub use transport::{Failure, Reply, Resend, Transport};

#[cfg(test)]
mod bulk_page_tests;
#[cfg(test)]
mod client_tests;
#[cfg(test)]
mod fault_tests;
