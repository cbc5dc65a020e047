//! Implements a client of Odoo: HTTP, wire formats, domains, faults, retries and database identity.
//!
//! This crate depends neither on Postgres nor on mirrors. [`Transport`] hides the network, so tests
//! run without a server.

mod account;
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
mod scope;
pub mod secret;
mod server_info;
mod transport;
pub mod xmlrpc;

pub use account::Account;
pub use client::{Client, Safety};
pub use database::Database;
pub use field::Field;
pub use scope::{Scope, Wanted};
pub use server_info::{Addon, ServerInfo};
pub use transport::{Failure, Reply, Resend, Transport};

#[cfg(test)]
mod bulk_page_tests;
#[cfg(test)]
mod client_tests;
#[cfg(test)]
mod fault_tests;
