//! Everything that is SQL.

pub mod ddl;
pub mod statements;
