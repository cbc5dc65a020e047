//! Fuzzes responses of Odoo: the decoders of trees, ids and rows must agree.

use super::{check_error, check_page, mirror};
use ipai_mirror::PageBuilder;
use ipai_odoo::value::Limits;
use ipai_odoo::xmlrpc::{decode, decode_ids, decode_rows};

/// Decodes the input as an answer with all three decoders.
pub fn run(body: &[u8]) {
    let limits = Limits::default();
    let tree = decode(body, &limits);
    let ids = decode_ids(body, &limits);
    let mirror = mirror(false);
    let mut page = PageBuilder::new(&mirror, 0, 1_000);
    let rows = decode_rows(body, &limits, &mut page);
    if let Err(error) = &tree {
        check_error(error);
        assert!(ids.is_err() && rows.is_err());
    }
    if let (Ok(Ok(tree)), Ok(Ok(ids))) = (&tree, &ids) {
        assert_eq!(tree.as_array().map(|found| found.len()), Some(ids.len()));
    }
    match rows {
        Ok(Ok(())) => {
            let page = page.finish();
            check_page(&page);
            let tree = tree.unwrap().unwrap();
            assert_eq!(tree.as_array().map(|rows| rows.len()), Some(page.len()));
        }
        Ok(Err(_)) => {}
        Err(error) => check_error(&error),
    }
}
