//! Validates the options of foreign servers and user mappings when they are set.

use super::report::or_raise;
use ipai_odoo::error::{Error, Result};
use ipai_odoo::options::{Pair, ServerOptions, UserOptions, known};
use pgrx::prelude::*;

/// Postgres calls it with all options of an object, as `name=value`, and the catalog of the object.
#[pg_extern(strict, parallel_safe)]
#[search_path(pg_catalog, pg_temp)]
fn ipai_odoo_validator(options: Vec<String>, catalog: pg_sys::Oid) {
    or_raise(validate(&options, catalog));
}

fn validate(options: &[String], catalog: pg_sys::Oid) -> Result<()> {
    let pairs = options.iter().map(|option| pair(option)).collect::<Result<Vec<_>>>()?;
    match catalog {
        pg_sys::ForeignServerRelationId => ServerOptions::parse(&pairs).map(|_| ()),
        pg_sys::UserMappingRelationId => UserOptions::parse(&pairs).map(|_| ()),
        pg_sys::ForeignTableRelationId => known(&pairs, &[], "foreign table"),
        _ => known(&pairs, &[], "foreign-data wrapper"),
    }
}

/// Splits an option. Names cannot contain `=`; values can.
fn pair(option: &str) -> Result<Pair> {
    match option.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(Error::Internal { cause: "an option without a value".to_owned() }),
    }
}
