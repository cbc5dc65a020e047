//! Everything that is SQL: mirrors, runs, counts, and the statements of a page. It is written
//! against [`crate::session::Session`], so it is the same in every host.

pub mod alerts;
pub mod counts;
pub mod cron;
pub mod exposure;
pub mod followers;
mod lists;
pub mod lock;
pub mod logins;
pub mod mirror_state;
pub mod mirrors;
pub mod options;
pub mod rejects;
pub mod runs;
pub mod servers;
pub mod sink;
pub mod statements;
pub mod tables;
pub mod target;
pub mod vault;
mod writer;

/// The text of a file in `store/sql`.
macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/store/sql/", $name, ".sql"))
    };
}
pub(crate) use sql;
