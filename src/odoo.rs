//! Odoo's protocol over XML-RPC: calls, faults, retries. Pure: the network is behind [`Transport`].

mod account;
mod addon;
mod client;
mod compact;
mod database;
pub mod domain;
mod fault;
mod field;
pub mod retry;
mod transport;

pub use account::Account;
pub use addon::{Addon, Known};
pub use client::{Client, Safety, Scope, Version, Wanted};
pub use database::Database;
pub use field::Field;
pub use transport::{Failure, Reply, Resend, Transport};

#[cfg(test)]
mod client_tests;
#[cfg(test)]
mod compact_tests;
#[cfg(test)]
mod fault_tests;
