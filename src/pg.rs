//! Everything that touches Postgres.

mod api;
mod connection;
mod interrupt;
mod lock;
mod logins;
mod mirrors;
mod progress;
mod report;
mod runs;
mod sink;
mod spi;
mod target;
mod validator;

#[cfg(feature = "pg_test")]
mod tests;
