//! Runs that apply what Odoo reports as changed.
#![allow(clippy::unwrap_used)]

use super::super::model::{Op, Reader, Shared, Table};
use super::super::run_tests::{apply, figures, full, mirrored, sync, sync_from};
use super::super::{Digest, Guard, Mode, Plan};
use super::Changes;
use ipai_odoo::error::Error;

/// What Odoo reports if these records may have changed.
fn reported(odoo: &Shared, ids: &[i64]) -> Changes {
    let all = odoo.borrow().rows();
    let digest = all.keys().fold(Digest::default(), |digest, id| digest.plus(Digest::of(*id)));
    Changes { ids: ids.to_vec(), page: None, digest: Some(digest), clock: Some(odoo.borrow().date()) }
}

fn plan(changes: Changes) -> Plan {
    Plan { mode: Mode::Incremental, changes: Some(changes), ..full() }
}

/// A reader that counts the calls of the run.
fn calls(odoo: &Shared, table: &mut Table, changes: Changes) -> (Vec<&'static str>, (u64, u64, u64, u64, u64)) {
    let mut reader = Reader::new(odoo);
    let report = sync_from(&mut reader, table, &plan(changes)).unwrap();
    (reader.calls, figures(&report))
}

#[test]
fn changed_records_are_read_without_a_scan() {
    let (odoo, mut table) = mirrored(10);
    apply(&odoo, &[Op::Sql(3), Op::Create]);
    let changes = reported(&odoo, &[4, 11]);
    let (calls, figures) = calls(&odoo, &mut table, changes);
    assert_eq!((calls, figures), (vec!["read"], (2, 1, 1, 0, 0)));
    assert_eq!(table.rows, odoo.borrow().rows());
}

#[test]
fn report_without_a_change_writes_nothing() {
    let (odoo, mut table) = mirrored(10);
    let report = sync(&odoo, &mut table, &plan(Changes::default())).unwrap();
    assert_eq!((figures(&report), report.cursor), ((0, 0, 0, 0, 0), None));
    assert!(table.touched.is_empty() && table.progress.is_empty());
}

#[test]
fn row_that_left_while_another_entered_is_deleted() {
    let (odoo, mut table) = mirrored(10);
    apply(&odoo, &[Op::Replace(3)]);
    // The ids of the record that was deleted and of the one that was created in its place. Both
    // have the same name, which the table allows once.
    let changes = reported(&odoo, &[4, 11]);
    let (_, figures) = calls(&odoo, &mut table, changes);
    assert_eq!(figures, (2, 1, 0, 0, 1));
    assert_eq!(table.rows, odoo.borrow().rows());
}

#[test]
fn deletion_alone_shows_in_the_digest() {
    let (odoo, mut table) = mirrored(10);
    apply(&odoo, &[Op::Delete(9)]);
    let changes = reported(&odoo, &[]);
    let (_, figures) = calls(&odoo, &mut table, changes);
    assert_eq!(figures, (0, 0, 0, 0, 1));
    assert_eq!(table.rows, odoo.borrow().rows());
}

#[test]
fn guard_refuses_reported_deletions() {
    let (odoo, mut table) = mirrored(10);
    apply(&odoo, &[Op::Delete(9)]);
    let refused = Plan { guard: Guard::NOTHING, ..plan(reported(&odoo, &[10])) };
    assert!(matches!(sync(&odoo, &mut table, &refused), Err(Error::RefusedDeletion { rows: 1, .. })));
    assert_eq!(table.rows.len(), 10);
}

#[test]
fn rejects_do_not_make_the_digests_differ() {
    let (odoo, mut table) = mirrored(10);
    apply(&odoo, &[Op::Create, Op::Write(1)]);
    table.unfit.insert(11);
    let changes = reported(&odoo, &[2, 11]);
    let (calls, _) = calls(&odoo, &mut table, changes);
    assert!(!calls.contains(&"ids"), "{calls:?}");
    assert_eq!(table.rows.len(), 10);
}

#[test]
fn raw_change_does_not_move_the_cursor_back() {
    let (odoo, mut table) = mirrored(10);
    let cursor = odoo.borrow().date().naive_utc();
    apply(&odoo, &[Op::Pass(200), Op::Sql(3)]);
    let known = Plan { cursor: Some(cursor), ..plan(reported(&odoo, &[4])) };
    assert_eq!(sync(&odoo, &mut table, &known).unwrap().cursor, None);
    apply(&odoo, &[Op::Pass(200), Op::Write(3)]);
    let known = Plan { cursor: Some(cursor), ..plan(reported(&odoo, &[4])) };
    assert!(sync(&odoo, &mut table, &known).unwrap().cursor.map(|moment| moment.naive_utc()) > Some(cursor));
}
