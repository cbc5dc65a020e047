//! A page of records as typed columns, filled by the decoder without a tree of values.

mod builder;
mod cell;
mod packed;

pub use builder::{Column, Newest, Page, PageBuilder};
pub use packed::Packed;

#[cfg(test)]
pub(crate) mod builder_tests;
