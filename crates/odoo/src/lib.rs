//! Implements a client of Odoo: HTTP, wire formats, domains, faults, retries and database identity.
//!
//! This crate depends neither on Postgres nor on mirrors. [`Transport`] hides the network, so tests
//! run without a server.

mod bulk_page;
mod client;
pub mod domain;
pub mod error;
mod fault;
pub mod http;
pub mod json2;
pub mod options;
pub mod retry;
pub mod secret;
mod server_info;
pub mod text;
mod transport;
pub mod value;
mod wire;
pub mod xmlrpc;

pub use client::{Call, ChangeAnswer, ChangeQuery, Client, Field, Safety};
pub use domain::Scope;
pub use secret::Account;
pub use server_info::{Addon, Database, Json2, ServerInfo};
pub use transport::{Content, Failure, Reply, Request, Resend, Transport};
pub use wire::Wire;

#[cfg(test)]
mod bulk_page_tests;
#[cfg(test)]
mod client_json2_tests;
#[cfg(test)]
mod client_tests;
#[cfg(test)]
mod fault_tests;
