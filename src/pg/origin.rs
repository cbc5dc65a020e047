//! Which Odoo database a run may read: the one that filled the mirror, unless the caller says that another one is meant.

use super::mirrors::Leave;
use crate::error::{Error, Result};
use crate::fetch::Fetcher;
use crate::odoo::Database;
use crate::sync::{Mode, Plan, Position};

/// Asks Odoo which database it is, before anything is read or noted, and returns what is known of the one to read. Where another one
/// is meant, nothing is gone on with that was read from the one before.
pub fn admit(fetcher: &Fetcher, leave: &Leave, plan: &mut Plan) -> Result<Database> {
    let told = fetcher.run(|client| client.identify().cloned())?;
    if told.is_other_than(&leave.filled_from) {
        if !leave.any_database || plan.mode != Mode::Full {
            return Err(Error::OtherDatabase {
                mirror: plan.mirror.clone(),
            });
        }
        plan.resume = Position::default();
    }
    Ok(leave.filled_from.after(&told))
}
