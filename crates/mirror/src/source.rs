//! Reads a mirror's records from Odoo: [`OdooSource`] is the engine's source.

mod blame;
pub mod changes;
mod fetcher;
mod odoo_source;
mod page_reader;
mod page_size;

pub use fetcher::{Fetcher, with_signals_blocked};
pub use odoo_source::{Findings, OdooSource};
pub use page_reader::first_page_size;
#[cfg(test)]
pub(crate) use page_size::PageSize;
