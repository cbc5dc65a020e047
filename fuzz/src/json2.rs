//! Fuzzes answers of JSON-2: the decoders of trees, ids and rows must agree, and errors must be fit
//! for users.
//!
//! The first byte is the status, the rest the body.

use super::{Canned, PASSWORD, check_error, check_page, client_of, mirror};
use ipai_mirror::PageBuilder;
use ipai_odoo::json2::{decode, decode_ids, decode_rows};
use ipai_odoo::value::Limits;
use ipai_odoo::{Call, Json2};

/// The statuses with which Odoo sends errors.
const ERRORS: [u16; 7] = [400, 401, 403, 404, 409, 422, 500];

/// Reads the input as a result or as an error.
pub fn run(data: &[u8]) {
    let Some((how, body)) = data.split_first() else {
        return;
    };
    match ERRORS.get(usize::from(*how % 16)) {
        Some(status) => run_error(*status, body),
        None => run_result(body),
    }
}

fn run_error(status: u16, body: &[u8]) {
    let body = String::from_utf8_lossy(body).replace("PASSWORD", PASSWORD).into_bytes();
    let mut client = client_of(Json2::Required, Canned { status, body });
    match client.call(&Call::for_page("a.model", "search_read")) {
        Ok(_) => panic!("a result of status {status}"),
        Err(error) => check_error(&error),
    }
}

fn run_result(body: &[u8]) {
    let limits = Limits::default();
    let tree = decode(body, &limits);
    let ids = decode_ids(body, &limits);
    let mirror = mirror(false);
    let mut page = PageBuilder::new(&mirror, 0, 1_000);
    let rows = decode_rows(body, &limits, &mut page);
    match &tree {
        Err(error) => {
            check_error(error);
            assert!(ids.is_err() && rows.is_err());
        }
        Ok(tree) => {
            if let Ok(ids) = ids {
                assert_eq!(tree.as_array().map(|found| found.len()), Some(ids.len()));
            }
        }
    }
    match rows {
        Ok(()) => {
            let page = page.finish();
            check_page(&page);
            assert_eq!(tree.unwrap().as_array().map(|rows| rows.len()), Some(page.len()));
        }
        Err(error) => check_error(&error),
    }
}
