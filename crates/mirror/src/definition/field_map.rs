//! Maps a field of Odoo to a column.

use super::Kind;
use serde::{Deserialize, Serialize};

/// A field of Odoo and the column that holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldMap {
    /// Name of the field in Odoo.
    pub field: String,
    /// Name of the column in the target table.
    pub column: String,
    /// Type of the column.
    #[serde(rename = "type")]
    pub kind: Kind,
}
