//! Library and SQL of one version: between the installation of a new library and `alter extension update` they are not.

use super::spi;
use ipai_odoo::error::{Error, Result};

/// An error that says what to do, where the extension in this database is not of the library's version.
pub fn check() -> Result<()> {
    let library = env!("CARGO_PKG_VERSION");
    let installed = spi::query_one(
        "select extversion from pg_catalog.pg_extension where extname = 'ipai_sync'",
        &[],
        |row| spi::column::<String>(row, 1),
    )?;
    match installed {
        Some(installed) if installed != library => Err(Error::Outdated {
            library: library.to_owned(),
            installed,
        }),
        _ => Ok(()),
    }
}
