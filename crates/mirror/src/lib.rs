//! What is mirrored from Odoo, and the engine that keeps it equal.
//!
//! This crate knows no host: SQL goes through [`session::Session`], which the extension implements
//! over SPI and a program over the wire protocol.

pub mod changes;
pub mod check_connection;
pub mod connection;
pub mod definition;
pub mod engine;
pub mod follow;
pub mod manage;
pub mod odoo_call;
pub mod page;
pub mod progress;
pub mod refresh_counts;
pub mod refusal;
pub mod rotate_key;
pub mod run_mirror;
pub mod run_mirrors;
pub mod session;
pub mod source;
pub mod store;
pub mod time;

pub use definition::{Constant, Drift, FieldMap, Kind, Mirror, Problem, Table};
pub use page::{Column, Newest, Packed, Page, PageBuilder};
