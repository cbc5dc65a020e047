//! Everything that touches Postgres.

mod alerts;
mod api;
mod array;
mod complete;
mod connection;
mod counts;
mod cron;
mod define;
mod drift;
pub(crate) mod guc;
mod interrupt;
mod json;
mod lock;
mod logins;
mod mirrors;
mod origin;
mod procedure;
mod progress;
mod report;
mod runs;
mod schedule;
mod settings;
mod sink;
mod spi;
mod subtransaction;
mod target;
mod time;
mod validator;
mod version;

#[cfg(feature = "pg_test")]
mod in_server_tests;
