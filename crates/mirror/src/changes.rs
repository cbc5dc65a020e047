//! Asks Odoo once for all mirrors of a server what has changed
//! (`docs/explanation/change-capture.md`).

mod poll;
mod unchanged;

pub use poll::{Answers, Candidate, Polls, candidate, ends_all};
pub use unchanged::{Unchanged, record_unchanged};
