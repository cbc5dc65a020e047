//! What the tests of recorded answers share.

use ipai_odoo::error::Result;
use ipai_odoo::value::{RowVisitor, Scalar, Value};
use std::path::{Path, PathBuf};

/// The folder with the recorded answers of a version of Odoo.
pub fn folder(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus").join(version)
}

/// Builds a tree from rows.
#[derive(Default)]
pub struct Rebuild {
    names: Vec<String>,
    row: Vec<(String, Value)>,
    /// The rows.
    pub rows: Vec<Value>,
}

impl RowVisitor for Rebuild {
    fn column(&mut self, member: &str) -> Option<usize> {
        let known = self.names.iter().position(|name| name == member);
        known.or_else(|| {
            self.names.push(member.into());
            Some(self.names.len() - 1)
        })
    }

    fn value(&mut self, column: usize, value: Scalar<'_>) -> Result<()> {
        self.row.push((self.names[column].clone(), value.into()));
        Ok(())
    }

    fn end_row(&mut self) -> Result<()> {
        self.rows.push(Value::Struct(std::mem::take(&mut self.row)));
        Ok(())
    }
}
