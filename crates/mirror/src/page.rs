//! Holds a page of records as typed columns, which the decoder fills without a tree of values.

mod builder;
mod cell;
mod column;
mod packed;

pub use builder::{Newest, Page, PageBuilder};
pub use column::Column;
pub use packed::Packed;

#[cfg(test)]
pub(crate) mod builder_tests;
