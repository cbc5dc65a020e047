//! Tests of runs from a model of Odoo, which changes during the run, into a table in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use chrono::{NaiveDateTime, TimeDelta};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::model::{LONGEST, Odoo, Op, Product, Reader, Shared, Table, cannot_send, failure};
use super::{Guard, Mode, Plan, Position, Refused, Report, Requested, run};
use ipai_odoo::error::{Error, Result};

pub(super) fn full() -> Plan {
    Plan {
        mirror: "m".into(),
        mode: Mode::Full,
        bound: None,
        also: None,
        changes: None,
        resume: Position::default(),
        cursor: None,
        has_write_date: true,
        overlap: LONGEST,
        max_rows: None,
        fields_are_checked: true,
        patience: Duration::MAX,
        dry_run: false,
        guard: Guard::ratio(0.2),
        page_size: 3,
        flags_are_counted: false,
    }
}

fn since(moment: NaiveDateTime) -> Plan {
    Plan { mode: Mode::Since, bound: Some(moment), ..full() }
}

/// A moment before every write date.
fn always() -> NaiveDateTime {
    NaiveDateTime::default()
}

pub(super) fn sync(odoo: &Shared, table: &mut Table, plan: &Plan) -> Result<Report> {
    sync_from(&mut Reader::new(odoo), table, plan)
}

pub(super) fn sync_from(reader: &mut Reader, table: &mut Table, plan: &Plan) -> Result<Report> {
    table.reset();
    table.dry = plan.dry_run;
    let page_size = reader.page_size;
    run(reader, table, &Plan { page_size, ..plan.clone() }).map_err(|failed| failed.error)
}

pub(super) fn apply(odoo: &Shared, ops: &[Op]) {
    for op in ops {
        odoo.borrow_mut().apply(op);
    }
}

/// Odoo with this number of records, and a table that mirrors it.
pub(super) fn mirrored(records: usize) -> (Shared, Table) {
    let odoo = Odoo::with(records);
    let mut table = Table::new(&odoo);
    sync(&odoo, &mut table, &full()).unwrap();
    assert_eq!(table.rows, odoo.borrow().rows());
    (odoo, table)
}

/// (fetched, inserted, updated, unchanged, deleted)
pub(super) fn figures(report: &Report) -> (u64, u64, u64, u64, u64) {
    let progress = &report.progress;
    (progress.fetched, progress.inserted, progress.updated, progress.unchanged(), progress.deleted)
}

fn counts(report: &Report) -> (u64, u64) {
    (report.counts.odoo.total, report.counts.mirror.total)
}

#[test]
fn full_run_fills_the_mirror() {
    let odoo = Odoo::with(10);
    let mut table = Table::new(&odoo);
    let report = sync(&odoo, &mut table, &full()).unwrap();
    assert_eq!(table.rows, odoo.borrow().rows());
    assert_eq!((report.progress.mode, figures(&report), counts(&report)), (Mode::Full, (10, 10, 0, 0, 0), (10, 10)));
    assert_eq!(table.progress, [3, 6, 9, 10].map(|fetched| (fetched, Some(10))));
}

#[test]
fn second_full_run_touches_nothing() {
    let (odoo, mut table) = mirrored(10);
    let report = sync(&odoo, &mut table, &full()).unwrap();
    assert_eq!((figures(&report), counts(&report)), ((10, 0, 0, 10, 0), (10, 10)));
    assert!(table.touched.is_empty() && table.deleted.is_empty());
}

#[test]
fn full_run_writes_only_changed_rows() {
    let (odoo, mut table) = mirrored(10);
    let ops = [
        Op::Write(1),
        Op::Archive(4),
        Op::Touch(5),
        Op::Sql(6),
        Op::Forget(7),
        Op::Delete(9),
        Op::Delete(0),
        Op::Create,
    ];
    apply(&odoo, &ops);
    let report = sync(&odoo, &mut table, &full()).unwrap();
    assert_eq!(table.rows, odoo.borrow().rows());
    assert_eq!((figures(&report), counts(&report)), ((9, 1, 3, 5, 2), (9, 9)));
    assert_eq!((table.touched, table.deleted), (vec![2, 5, 7, 11], vec![1, 10]));
}

#[test]
fn mirror_of_an_empty_model_stays_empty() {
    let odoo = Odoo::with(0);
    let mut table = Table::new(&odoo);
    let report = sync(&odoo, &mut table, &full()).unwrap();
    assert_eq!((figures(&report), counts(&report)), ((0, 0, 0, 0, 0), (0, 0)));
}

#[test]
fn empty_model_has_odoos_clock_as_cursor() {
    let odoo = Odoo::with(0);
    let mut product = Product::new(&odoo);
    let began = product.now();
    product.sync(Requested::Auto);
    for mode in [Requested::Auto, Requested::Reconcile] {
        product.apply(&[Op::Pass(100)]);
        let (start, report) = product.sync(mode);
        assert_eq!((start.bound, report.cursor), (Some(began - LONGEST), None));
        assert!(report.progress.mode != Mode::Full && product.table.notices.is_empty());
    }
    product.apply(&[Op::Create]);
    assert_eq!(product.sync(Requested::Auto).1.progress.mode, Mode::Incremental);
    assert!(product.is_equal() && !product.state.is_clock);
}

#[test]
fn reconcile_without_a_bound_only_compares_ids() {
    let (odoo, mut table) = mirrored(300);
    apply(&odoo, &[Op::Delete(7), Op::Create, Op::Sql(3)]);
    let plan = Plan { mode: Mode::Reconcile, has_write_date: false, ..full() };
    let report = sync(&odoo, &mut table, &plan).unwrap();
    assert_eq!((figures(&report), counts(&report)), ((1, 1, 0, 0, 1), (300, 300)));
    assert_eq!((report.cursor, table.touched.len()), (None, 1));
}

#[test]
fn every_page_and_window_size_gives_the_same_rows() {
    for size in 0..=9 {
        let (odoo, mut table) = mirrored(8);
        apply(&odoo, &[Op::Delete(7), Op::Delete(0), Op::Write(3), Op::Create]);
        table.rows.remove(&5);
        let mut reader = Reader::new(&odoo);
        (reader.page_size, reader.window) = (size.max(1), 10 - size);
        sync_from(&mut reader, &mut table, &full()).unwrap();
        assert_eq!(table.rows, odoo.borrow().rows(), "pages of {size}");
    }
}

#[test]
fn since_run_reads_only_records_written_since_the_bound() {
    let (odoo, mut table) = mirrored(10);
    let now = odoo.borrow().date().naive_utc();
    apply(&odoo, &[Op::Pass(5), Op::Write(2), Op::Touch(3), Op::Create]);
    let mut reader = Reader::new(&odoo);
    let report = sync_from(&mut reader, &mut table, &since(now)).unwrap();
    assert_eq!(table.rows, odoo.borrow().rows());
    assert_eq!((report.progress.mode, figures(&report), counts(&report)), (Mode::Since, (3, 1, 1, 1, 0), (11, 11)));
    assert_eq!(table.touched, [3, 11]);
    // The number of records is not known before, and equal counts make a comparison unnecessary.
    assert_eq!(table.progress, [(3, None)]);
    assert_eq!(reader.calls, ["start", "next_page", "next_page", "count"]);
}

#[test]
fn since_run_compares_all_ids_if_the_counts_differ() {
    let (odoo, mut table) = mirrored(10);
    let now = odoo.borrow().date().naive_utc();
    table.rows.remove(&4);
    apply(&odoo, &[Op::Pass(5), Op::Delete(1), Op::Delete(8)]);
    let report = sync(&odoo, &mut table, &since(now)).unwrap();
    assert_eq!(table.rows, odoo.borrow().rows());
    assert_eq!((figures(&report), counts(&report)), ((1, 1, 0, 0, 2), (8, 8)));
    assert_eq!((table.touched.as_slice(), table.deleted.as_slice()), (&[4][..], &[2, 10][..]));
}

#[test]
fn equal_counts_satisfy_a_since_run_but_no_full_run() {
    let (odoo, mut table) = mirrored(10);
    let now = odoo.borrow().date().naive_utc() + TimeDelta::seconds(1);
    table.rows.remove(&4);
    apply(&odoo, &[Op::Delete(0)]);
    let report = sync(&odoo, &mut table, &since(now)).unwrap();
    assert_eq!((figures(&report), counts(&report)), ((0, 0, 0, 0, 0), (9, 9)));
    let report = sync(&odoo, &mut table, &full()).unwrap();
    assert_eq!((figures(&report), counts(&report)), ((9, 1, 0, 8, 1), (9, 9)));
    assert_eq!(table.rows, odoo.borrow().rows());
}

#[test]
fn max_rows_reads_the_first_rows_and_deletes_nothing() {
    for (max_rows, mode, plan) in [(4, Mode::Full, full()), (4, Mode::Since, since(always())), (99, Mode::Full, full())]
    {
        let (odoo, mut table) = mirrored(10);
        apply(&odoo, &[Op::Delete(0), Op::Write(0), Op::Write(5)]);
        table.rows.remove(&3);
        let plan = Plan { max_rows: Some(max_rows), ..plan };
        let mut reader = Reader::new(&odoo);
        let report = sync_from(&mut reader, &mut table, &plan).unwrap();
        let fetched = max_rows.min(9);
        assert_eq!(
            (report.progress.mode, report.progress.fetched, report.progress.deleted, report.cursor),
            (mode, fetched, 0, None)
        );
        assert_eq!(table.touched, if max_rows == 4 { vec![2, 3] } else { vec![2, 3, 7] });
        assert!(table.rows.contains_key(&1) && table.deleted.is_empty());
        assert_eq!(counts(&report), (9, 10));
        assert!(!reader.calls.contains(&"ids"));
    }
}

#[test]
fn dry_run_reports_the_changes_and_makes_none() {
    let now_plus = |odoo: &Shared| odoo.borrow().date().naive_utc();
    for is_full in [true, false] {
        let (odoo, mut table) = mirrored(10);
        let now = now_plus(&odoo);
        apply(&odoo, &[Op::Pass(5), Op::Delete(0), Op::Write(0), Op::Create, Op::Create, Op::Create]);
        let before = table.rows.clone();
        let plan = if is_full { full() } else { since(now) };
        let dry = Plan { dry_run: true, ..plan.clone() };
        let expected = sync(&odoo, &mut table, &dry).unwrap();
        assert_eq!(table.rows, before);
        assert!(table.touched.is_empty() && table.deleted.is_empty());
        assert_eq!((expected.cursor, counts(&expected)), (None, (12, 10)));
        let done = sync(&odoo, &mut table, &plan).unwrap();
        assert_eq!(figures(&expected), figures(&done));
        assert_eq!((done.progress.inserted, done.progress.updated, done.progress.deleted), (3, 1, 1));
        assert_eq!(table.rows, odoo.borrow().rows());
    }
}

#[test]
fn dry_run_counts_missing_records_without_reading_them() {
    let (odoo, mut table) = mirrored(10);
    let now = odoo.borrow().date().naive_utc() + TimeDelta::seconds(1);
    for id in [2, 3, 9] {
        table.rows.remove(&id);
    }
    let dry = Plan { dry_run: true, ..since(now) };
    let mut reader = Reader::new(&odoo);
    let expected = sync_from(&mut reader, &mut table, &dry).unwrap();
    assert_eq!(expected.progress.inserted, 3);
    // A dry run counts missing records without reading them.
    assert!(!reader.calls.contains(&"read"));
}

#[test]
fn cursor_is_never_later_than_the_start_of_the_run() {
    let (odoo, mut table) = mirrored(10);
    let began = odoo.borrow().date();
    let mut reader = Reader::new(&odoo);
    // Records are written while the run reads the second page.
    reader.between = vec![vec![], vec![], vec![Op::Pass(30), Op::Write(9), Op::Create]].into();
    let report = sync_from(&mut reader, &mut table, &full()).unwrap();
    assert_eq!(report.cursor, Some(began));
    // Nor is the cursor later than the newest write date.
    apply(&odoo, &[Op::Pass(100)]);
    let newest = began + TimeDelta::seconds(30);
    let cursor = sync(&odoo, &mut table, &full()).unwrap().cursor.unwrap();
    assert!(cursor >= newest && cursor <= newest + TimeDelta::seconds(1), "{cursor}");
}

#[test]
fn cursor_without_a_clock_ignores_writes_during_the_run() {
    let (odoo, mut table) = mirrored(10);
    let mut reader = Reader::new(&odoo);
    reader.clock = false;
    reader.between = vec![vec![], vec![], vec![Op::Pass(30), Op::Write(0), Op::Write(9)]].into();
    let began = odoo.borrow().date();
    let cursor = sync_from(&mut reader, &mut table, &full()).unwrap().cursor.unwrap();
    assert!(cursor <= began, "{cursor}");
    // The run had read record 1 before the write. The next run reads it again.
    assert_ne!(table.rows, odoo.borrow().rows());
    sync(&odoo, &mut table, &since(cursor.naive_utc())).unwrap();
    assert_eq!(table.rows, odoo.borrow().rows());
}

#[test]
fn model_without_the_field_write_date_gives_no_cursor() {
    let odoo = Odoo::with(2);
    apply(&odoo, &[Op::Forget(0), Op::Forget(1)]);
    let mut table = Table::new(&odoo);
    let report = sync(&odoo, &mut table, &Plan { has_write_date: false, ..full() }).unwrap();
    assert_eq!((report.cursor, table.rows.len()), (None, 2));
}

#[test]
fn runs_with_an_argument_leave_the_cursor() {
    let (odoo, mut table) = mirrored(10);
    let dry = Plan { dry_run: true, ..full() };
    let some = Plan { max_rows: Some(99), ..full() };
    for plan in [dry, some, since(always())] {
        assert_eq!(sync(&odoo, &mut table, &plan).unwrap().cursor, None, "{plan:?}");
        // The counts differ, so the run compares all ids. The cursor stays.
        table.rows.remove(&1);
        assert_eq!(sync(&odoo, &mut table, &plan).unwrap().cursor, None, "{plan:?}");
    }
}

#[test]
fn table_that_odoo_rewrites_loses_no_row() {
    for (digests, first, length) in [false, true]
        .into_iter()
        .flat_map(|digests| (1..24).flat_map(move |first| (1..=4).map(move |n| (digests, first, n))))
    {
        for plan in [full(), since(always())] {
            let (odoo, mut table) = mirrored(10);
            apply(&odoo, &[Op::Write(2), Op::Create]);
            let mut reader = Reader::new(&odoo);
            (reader.digests, reader.rewriting) = (digests, first..first + length);
            let report = sync_from(&mut reader, &mut table, &plan).unwrap();
            assert!(table.deleted.is_empty(), "{:?} while calls {:?} see nothing", reader.calls, reader.rewriting);
            assert_eq!(report.progress.deleted, 0);
            sync(&odoo, &mut table, &full()).unwrap();
            assert_eq!(table.rows, odoo.borrow().rows());
        }
    }
}

#[test]
fn full_run_asks_again_after_a_scan_that_ends_early() {
    let (odoo, mut table) = mirrored(10);
    apply(&odoo, &[Op::Pass(5), Op::Write(8)]);
    let mut reader = Reader::new(&odoo);
    // The third page looks empty. Without its records, the cursor would pass the write.
    reader.rewriting = 5..6;
    let report = sync_from(&mut reader, &mut table, &full()).unwrap();
    assert_eq!((figures(&report), table.rows == odoo.borrow().rows()), ((10, 0, 1, 9, 0), true), "{:?}", reader.calls);
}

#[test]
fn all_rows_are_deleted_once_odoo_confirms_it_twice() {
    let (odoo, mut table) = mirrored(10);
    apply(&odoo, &vec![Op::Delete(0); 10]);
    let mut reader = Reader::new(&odoo);
    let report = sync_from(&mut reader, &mut table, &full()).unwrap();
    assert_eq!((report.progress.deleted, table.rows.len()), (10, 0));
    let confirmations: Vec<_> = reader.calls.windows(2).filter(|calls| calls[0] == "pause").collect();
    assert_eq!(confirmations, [["pause", "count"]; 2], "{:?}", reader.calls);
}

#[test]
fn deletions_above_the_guard_are_refused_as_a_whole() {
    for (rows, deleted, ratio, allowed) in [
        (300, 101, 0.2, Err(100)),
        (300, 100, 0.2, Ok(())),
        (1_000, 201, 0.2, Err(200)),
        (1_000, 200, 0.2, Ok(())),
        (101, 101, 0.2, Err(100)),
        (100, 100, 0.2, Ok(())),
        (300, 300, 1.0, Ok(())),
        (300, 101, 0.0, Err(100)),
        (300, 101, f64::NAN, Err(100)),
    ] {
        for plan in [full(), since(always())] {
            let odoo = Odoo::with(rows);
            let mut table = Table::new(&odoo);
            table.rows = odoo.borrow().rows();
            apply(&odoo, &vec![Op::Delete(7); deleted]);
            let plan = Plan { guard: Guard::ratio(ratio), ..plan };
            let mut reader = Reader::new(&odoo);
            (reader.page_size, reader.window) = (500, 64);
            let result = sync_from(&mut reader, &mut table, &plan);
            match allowed {
                Ok(()) => {
                    assert_eq!(result.unwrap().progress.deleted, deleted as u64);
                    assert_eq!(table.rows, odoo.borrow().rows());
                }
                Err(allowed) => {
                    let refusal = Error::RefusedDeletion {
                        mirror: "m".into(),
                        rows: deleted as u64,
                        total: rows as u64,
                        allowed,
                    };
                    assert_eq!(result, Err(refusal));
                    assert_eq!(table.rows.len(), rows);
                }
            }
        }
    }
}

#[test]
fn dry_run_counts_deletions_that_the_guard_would_refuse() {
    let odoo = Odoo::with(150);
    let mut table = Table::new(&odoo);
    table.rows = odoo.borrow().rows();
    apply(&odoo, &vec![Op::Delete(0); 150]);
    let dry = Plan { dry_run: true, ..full() };
    let expected = sync(&odoo, &mut table, &dry).unwrap();
    assert_eq!((expected.progress.deleted, table.rows.len()), (150, 150));
}

#[test]
fn invalid_lists_of_ids_are_refused_and_nothing_is_deleted() {
    let tampers: [fn(Vec<i64>) -> Vec<i64>; 6] = [
        |mut ids| {
            ids.reverse();
            ids
        },
        |ids| ids.iter().flat_map(|id| [*id, *id]).collect(),
        |ids| std::iter::once(0).chain(ids).collect(),
        |ids| std::iter::once(-5).chain(ids).collect(),
        |ids| ids.into_iter().chain([2]).collect(),
        // The first window every time.
        |_| vec![1, 2, 3, 4],
    ];
    for tamper in tampers {
        let (odoo, mut table) = mirrored(10);
        apply(&odoo, &[Op::Delete(0), Op::Delete(8)]);
        let mut reader = Reader::new(&odoo);
        reader.tamper = tamper;
        let error = sync_from(&mut reader, &mut table, &full()).unwrap_err();
        assert_eq!(error.sqlstate(), "08P01");
        assert_eq!((table.rows.len(), table.deleted.len()), (10, 0));
    }
}

#[test]
fn ids_that_odoo_counts_and_does_not_list_are_not_deleted() {
    let tampers: [fn(Vec<i64>) -> Vec<i64>; 3] = [
        // Some models filter the ids of a window after Odoo applied the limit.
        |ids| ids.into_iter().filter(|id| id % 3 != 0).collect(),
        |ids| ids.into_iter().skip(2).collect(),
        |_| Vec::new(),
    ];
    for tamper in tampers {
        let (odoo, mut table) = mirrored(10);
        let mut reader = Reader::new(&odoo);
        reader.tamper = tamper;
        let report = sync_from(&mut reader, &mut table, &full()).unwrap();
        assert_eq!((report.progress.deleted, report.counts.odoo.total, table.rows.len()), (0, 10, 10));
    }
}

#[test]
fn more_records_than_odoo_counts_end_the_run() {
    let odoo = Odoo::with(100_050);
    let reader = |counted| {
        let mut reader = Reader::new(&odoo);
        (reader.page_size, reader.window, reader.counted) = (40_000, 200_000, counted);
        reader
    };
    let never = odoo.borrow().date().naive_utc() + TimeDelta::days(1);
    for (plan, written) in [(full(), 100_050), (since(always()), 100_050), (since(never), 0)] {
        let mut table = Table::new(&odoo);
        // With a count of 25 the run would go on.
        let error = sync_from(&mut reader(Some(24)), &mut table, &plan).unwrap_err();
        let detail = "This run received 100050 records, and Odoo counts 24 in all.";
        assert_eq!((error.sqlstate(), error.detail().as_deref()), ("54000", Some(detail)));
        // What was written is kept.
        table.roll_back();
        assert_eq!(table.rows.len(), written);
    }
    // A run of this size counts once more, and continues after the position.
    let (mut table, mut honest) = (Table::new(&odoo), reader(None));
    sync_from(&mut honest, &mut table, &since(always())).unwrap();
    let pages = ["start", "next_page", "next_page", "next_page"];
    assert_eq!(honest.calls, [&pages[..], &["count", "start", "next_page", "count"]].concat());
    assert_eq!(table.rows.len(), 100_050);
    // A full run counts before and after, and not in between.
    let mut honest = reader(None);
    sync_from(&mut honest, &mut Table::new(&odoo), &full()).unwrap();
    assert_eq!(honest.calls, ["count", "start", "next_page", "next_page", "next_page", "next_page", "count"]);
    // The caller of a run with max_rows has set its limit.
    let some = Plan { max_rows: Some(100_050), ..full() };
    assert_eq!(sync_from(&mut reader(Some(24)), &mut Table::new(&odoo), &some).unwrap().progress.fetched, 100_050);
}

/// Odoo and a mirror that lacks changes of every kind.
fn behind() -> (Shared, Table, NaiveDateTime) {
    let (odoo, mut table) = mirrored(12);
    let now = odoo.borrow().date().naive_utc();
    let ops = [Op::Pass(3), Op::Delete(1), Op::Delete(6), Op::Write(2), Op::Create, Op::Create];
    apply(&odoo, &ops);
    // An odd number of differences, so that the counts differ after a since run as well.
    table.rows.remove(&5);
    (odoo, table, now)
}

#[test]
fn failing_source_deletes_nothing_and_the_next_run_repairs_all() {
    for is_full in [true, false] {
        let mut failed = 0;
        for call in 1.. {
            let (odoo, mut table, now) = behind();
            let plan = if is_full { full() } else { since(now) };
            let mut reader = Reader::new(&odoo);
            reader.fail_at = Some(call);
            let result = sync_from(&mut reader, &mut table, &plan);
            if result.is_ok() {
                break;
            }
            failed += 1;
            assert_eq!(result, Err(failure()), "call {call}");
            assert_eq!(table.deleted, Vec::<i64>::new(), "call {call}");
            sync(&odoo, &mut table, &plan).unwrap();
            // Equal counts can hide a missing and an absent row. Only a full run finds both.
            assert_eq!(table.rows.len(), odoo.borrow().rows().len(), "call {call}");
            sync(&odoo, &mut table, &full()).unwrap();
            assert_eq!(table.rows, odoo.borrow().rows(), "call {call}");
        }
        assert!(failed >= 8, "{failed}");
    }
}

#[test]
fn failing_sink_loses_nothing() {
    for is_full in [true, false] {
        let mut failed = 0;
        for call in 1.. {
            let (odoo, mut table, now) = behind();
            let plan = if is_full { full() } else { since(now) };
            table.reset();
            table.fail_at = Some(call);
            let result = run(&mut Reader::new(&odoo), &mut table, &plan).map_err(|failed| failed.error);
            if result.is_ok() {
                break;
            }
            failed += 1;
            assert_eq!(result, Err(failure()), "call {call}");
            sync(&odoo, &mut table, &plan).unwrap();
            // Equal counts can hide a missing and an absent row. Only a full run finds both.
            assert_eq!(table.rows.len(), odoo.borrow().rows().len(), "call {call}");
            sync(&odoo, &mut table, &full()).unwrap();
            assert_eq!(table.rows, odoo.borrow().rows(), "call {call}");
        }
        assert!(failed >= 8, "{failed}");
    }
}

#[test]
fn digests_find_differences_without_a_list_of_all_ids() {
    for is_full in [true, false] {
        let (odoo, mut table) = mirrored(40);
        let plan = if is_full { full() } else { since(odoo.borrow().date().naive_utc()) };
        apply(&odoo, &[Op::Delete(1), Op::Delete(20), Op::Delete(20)]);
        // As many rows are missing as are absent in Odoo.
        for id in [7, 8, 9] {
            table.rows.remove(&id);
        }
        apply(&odoo, &[Op::Pass(1), Op::Write(4)]);
        if !is_full {
            table.rows.remove(&40);
        }
        let mut reader = Reader::new(&odoo);
        (reader.digests, reader.window) = (true, 100);
        let report = sync_from(&mut reader, &mut table, &plan).unwrap();
        assert_eq!((report.progress.deleted, report.counts.odoo.total, report.counts.mirror.total), (3, 37, 37));
        assert_eq!(table.rows, odoo.borrow().rows());
        assert_eq!((calls(&reader, "digest"), calls(&reader, "ids")), (1, 1), "{:?}", reader.calls);
    }
}

#[test]
fn digests_work_with_an_empty_mirror_or_an_empty_odoo() {
    for (records, rows) in [(0, 0), (4, 0), (0, 4)] {
        let (odoo, mut table) = mirrored(4);
        if rows == 0 {
            table.rows.clear();
        }
        for _ in records..4 {
            apply(&odoo, &[Op::Delete(0)]);
        }
        let mut reader = Reader::new(&odoo);
        reader.digests = true;
        sync_from(&mut reader, &mut table, &reconcile(&odoo)).unwrap();
        assert_eq!(table.rows, odoo.borrow().rows());
        assert_eq!(reader.calls.iter().filter(|call| **call == "digest").count(), 1);
    }
}

#[test]
fn full_run_lists_no_ids_if_each_row_is_a_record_that_it_read() {
    let (odoo, mut table) = mirrored(6);
    table.rows.clear();
    for (before, lists) in [(None, 0), (None, 0), (Some(99), 1)] {
        table.rows.extend(before.map(|id| (id, table.rows[&6].clone())));
        let mut reader = Reader::new(&odoo);
        sync_from(&mut reader, &mut table, &full()).unwrap();
        assert_eq!(calls(&reader, "ids").min(1), lists);
        assert_eq!(table.rows, odoo.borrow().rows());
    }
}

#[test]
fn equal_counts_after_a_full_run_leave_changes_behind_its_position_to_the_next_run() {
    let (odoo, mut table) = mirrored(6);
    let mut reader = Reader::new(&odoo);
    // After the end of the scan, another record takes the place of a deleted one.
    reader.between = vec![vec![]; 4].into();
    reader.between.push_back(vec![Op::Delete(0), Op::Pass(1), Op::Create]);
    let now = odoo.borrow().date().naive_utc();
    let report = sync_from(&mut reader, &mut table, &full()).unwrap();
    assert_eq!((counts(&report), calls(&reader, "ids")), ((6, 6), 0));
    sync(&odoo, &mut table, &since(now)).unwrap();
    assert_eq!(table.deleted, [1]);
    assert_eq!(table.rows, odoo.borrow().rows());
}

/// Compares all ids, whatever the counts.
fn reconcile(odoo: &Shared) -> Plan {
    Plan { mode: Mode::Reconcile, ..since(odoo.borrow().date().naive_utc()) }
}

/// A mirror of 400 records that Odoo lists in windows of 10.
fn large() -> (Shared, Table, Reader) {
    let (odoo, table) = mirrored(400);
    apply(&odoo, &[Op::Pass(1)]);
    let mut reader = Reader::new(&odoo);
    reader.window = 10;
    (odoo, table, reader)
}

fn calls(reader: &Reader, name: &str) -> usize {
    reader.calls.iter().filter(|call| **call == name).count()
}

#[test]
fn listed_ids_show_missing_and_absent_rows_at_once() {
    let (odoo, mut table, mut reader) = large();
    // As many missing as absent rows, so that the counts agree.
    for id in [101, 103, 300] {
        apply(&odoo, &[Op::Delete(id)]);
        table.rows.remove(&(id as i64));
    }
    let report = sync_from(&mut reader, &mut table, &reconcile(&odoo)).unwrap();
    assert_eq!(table.rows, odoo.borrow().rows());
    assert_eq!((report.progress.deleted, report.counts.odoo.total, report.counts.mirror.total), (3, 397, 397));
    // 40 windows, and an empty one that ends the list.
    assert_eq!(calls(&reader, "ids"), 41);
}

#[test]
fn records_created_while_ids_are_listed_arrive() {
    for is_since in [false, true] {
        let (odoo, mut table, mut reader) = large();
        let plan = match is_since {
            true => since(odoo.borrow().date().naive_utc()),
            false => reconcile(&odoo),
        };
        table.rows.remove(&50);
        reader.between =
            std::iter::repeat_n(Vec::new(), 5).chain([vec![Op::Create, Op::Create], vec![Op::Delete(3)]]).collect();
        let report = sync_from(&mut reader, &mut table, &plan).unwrap();
        // The record was deleted after its id was listed. The next run deletes its row.
        assert_eq!(report.progress.inserted, 3, "{:?}", reader.calls);
        sync(&odoo, &mut table, &reconcile(&odoo)).unwrap();
        assert_eq!(table.rows, odoo.borrow().rows());
    }
}

#[test]
fn dry_run_counts_missing_and_absent_rows() {
    let (odoo, mut table, mut reader) = large();
    apply(&odoo, &[Op::Delete(200)]);
    table.rows.remove(&33);
    let plan = Plan { dry_run: true, ..reconcile(&odoo) };
    let report = sync_from(&mut reader, &mut table, &plan).unwrap();
    assert_eq!((report.progress.inserted, report.progress.deleted, table.touched.len()), (1, 1, 0));
}

#[test]
fn digest_with_many_differing_ranges_lists_them_in_few_calls() {
    let (odoo, mut table) = mirrored(400);
    apply(&odoo, &[Op::Pass(1)]);
    for place in (0..390).step_by(20) {
        apply(&odoo, &[Op::Delete(place)]);
    }
    let mut reader = Reader::new(&odoo);
    (reader.digests, reader.window) = (true, 1_000);
    let report = sync_from(&mut reader, &mut table, &reconcile(&odoo)).unwrap();
    assert_eq!(table.rows, odoo.borrow().rows());
    assert_eq!(report.progress.deleted, 20);
    assert_eq!((calls(&reader, "digest"), calls(&reader, "ids")), (1, 1));
}

#[test]
fn comparison_finds_changes_below_the_position() {
    let (odoo, mut table) = mirrored(9);
    // An open transaction has ids 10 and 11, and a record with a higher id is committed first.
    apply(&odoo, &[Op::Begin, Op::CreateWithin, Op::CreateWithin, Op::Create]);
    let mut reader = Reader::new(&odoo);
    // The calls are: count, four pages, the end, ids. Before the list of ids, the transaction
    // commits and record 1 is deleted.
    reader.between = vec![vec![]; 5].into();
    reader.between.push_back(vec![Op::Commit(0), Op::Delete(0)]);
    let report = sync_from(&mut reader, &mut table, &full()).unwrap();
    assert_eq!(table.rows, odoo.borrow().rows());
    assert_eq!((table.touched.as_slice(), table.deleted.as_slice()), (&[12, 10, 11][..], &[1][..]));
    assert_eq!((figures(&report), counts(&report)), ((12, 3, 0, 9, 1), (11, 11)));
}

#[test]
fn record_deleted_before_it_is_read_is_no_error() {
    let (odoo, mut table) = mirrored(3);
    table.rows.remove(&2);
    table.rows.remove(&3);
    let mut reader = Reader::new(&odoo);
    let now = odoo.borrow().date().naive_utc() + TimeDelta::seconds(1);
    // Record 2 is deleted after its id was listed and before it is read.
    reader.between = vec![vec![], vec![], vec![], vec![], vec![Op::Delete(1)]].into();
    let report = sync_from(&mut reader, &mut table, &since(now)).unwrap();
    assert_eq!(reader.calls, ["start", "next_page", "count", "ids", "ids", "read"]);
    assert_eq!(table.rows, odoo.borrow().rows());
    assert_eq!(figures(&report), (1, 1, 0, 0, 0));
}

#[test]
fn deletion_after_its_window_arrives_with_the_next_run() {
    let (odoo, mut table) = mirrored(6);
    let mut reader = Reader::new(&odoo);
    // The calls are: the start, the end, the window of 1 to 4, the window of 5 and 6.
    reader.between = vec![vec![]; 3].into();
    reader.between.push_back(vec![Op::Delete(0)]);
    let report = sync_from(&mut reader, &mut table, &reconcile(&odoo)).unwrap();
    assert_eq!((figures(&report), counts(&report)), ((0, 0, 0, 0, 0), (6, 6)));
    sync(&odoo, &mut table, &full()).unwrap();
    assert_eq!(table.deleted, [1]);
}

#[test]
fn late_commit_within_the_overlap_is_read() {
    let (odoo, mut table) = mirrored(6);
    apply(&odoo, &[Op::Begin, Op::WriteWithin(0), Op::Pass(30), Op::Touch(5)]);
    let cursor = sync(&odoo, &mut table, &full()).unwrap().cursor.unwrap().naive_utc();
    apply(&odoo, &[Op::Commit(0)]);
    sync(&odoo, &mut table, &since(cursor)).unwrap();
    assert_ne!(table.rows, odoo.borrow().rows());
    sync(&odoo, &mut table, &since(cursor - LONGEST)).unwrap();
    assert_eq!(table.rows, odoo.borrow().rows());
    assert_eq!(table.touched, [1]);
}

#[test]
fn page_size_zero_is_harmless() {
    let (odoo, mut table) = mirrored(6);
    table.rows.clear();
    let mut reader = Reader::new(&odoo);
    reader.page_size = 0;
    // The scan reads nothing; the comparison finds all records missing.
    sync_from(&mut reader, &mut table, &full()).unwrap();
    assert_eq!(table.rows, odoo.borrow().rows());
}

/// A mirror that a full run has just filled.
fn product(records: usize) -> Product {
    let mut product = Product::new(&Odoo::with(records));
    product.sync(Requested::Auto);
    assert!(product.is_equal());
    product
}

#[test]
fn missing_records_over_the_size_limit_are_read_in_halves() {
    for room in [2, 1] {
        let (odoo, mut table) = mirrored(10);
        table.rows.retain(|id, _| *id > 3);
        let mut reader = Reader::new(&odoo);
        reader.room = room;
        let plan = Plan { mode: Mode::Reconcile, bound: Some(odoo.borrow().date().naive_utc()), ..full() };
        sync_from(&mut reader, &mut table, &plan).unwrap();
        assert_eq!(table.rows, odoo.borrow().rows());
    }
}

/// Lets more time pass than the overlap window.
fn later(product: &mut Product) {
    product.apply(&[Op::Pass(LONGEST.num_seconds() as u8 + 10)]);
}

#[test]
fn auto_runs_full_first_and_incrementally_afterwards() {
    let odoo = Odoo::with(10);
    let mut product = Product::new(&odoo);
    let (start, report) = product.sync(Requested::Auto);
    assert_eq!((start.mode, start.bound, report.progress.mode), (Mode::Full, None, Mode::Full));
    let cursor = product.state.cursor.unwrap();
    product.apply(&[Op::Pass(100), Op::Write(2), Op::Create]);
    let mut reader = Reader::new(&odoo);
    let (start, result) = product.run(&mut reader, Requested::Auto);
    assert_eq!((start.mode, start.bound), (Mode::Incremental, Some(cursor - LONGEST)));
    let report = result.unwrap();
    // All ten were written within the overlap.
    assert_eq!((report.progress.mode, figures(&report)), (Mode::Incremental, (11, 1, 1, 9, 0)));
    assert!(!reader.calls.contains(&"ids"));
    assert!(product.is_equal() && product.state.cursor > Some(cursor));
    product.apply(&[Op::Pass(100), Op::Archive(4)]);
    let (_, report) = product.sync(Requested::Auto);
    assert_eq!((figures(&report), product.table.touched.as_slice()), ((3, 0, 1, 2, 0), &[5][..]));
    // A full run is due.
    product.apply(&[Op::Pass(200)]);
    assert_eq!(product.sync(Requested::Auto).1.progress.mode, Mode::Full);
}

#[test]
fn bulk_change_is_reread_only_until_it_settles() {
    let mut product = product(10);
    product.apply(&[Op::Pass(100)]);
    product.apply(&(0..10).map(Op::Write).collect::<Vec<_>>());
    let read = |product: &mut Product| {
        let report = product.sync(Requested::Incremental).1;
        assert!(product.is_equal() && product.table.notices.is_empty());
        report.progress.fetched
    };
    // Within the overlap window, an open transaction may commit a change with an older write date.
    // The first run after the window proves that none did.
    assert_eq!([read(&mut product), read(&mut product)], [10, 10]);
    later(&mut product);
    assert_eq!([read(&mut product), read(&mut product), read(&mut product)], [10, 1, 1]);
    product.apply(&[Op::Begin, Op::WriteWithin(4), Op::Pass(30), Op::Write(2)]);
    assert_eq!(read(&mut product), 2);
    product.apply(&[Op::Commit(0)]);
    assert_eq!(read(&mut product), 2);
    assert!(product.state.settled.is_none());
}

#[test]
fn restored_database_is_detected_by_the_settled_record() {
    let mut product = product(10);
    product.apply(&[Op::Backup, Op::Pass(100), Op::Write(4)]);
    for _ in 0..2 {
        product.sync(Requested::Incremental);
        later(&mut product);
    }
    assert_eq!(product.state.settled, Some(5));
    product.apply(&[Op::Restore]);
    let (start, report) = product.sync(Requested::Incremental);
    assert_eq!((start.also, report.progress.mode), (Some(5), Mode::Full));
    assert!(product.is_equal());
    // The full run began after the overlap window of all records, so the newest one has settled.
    assert_eq!(product.state.settled, Some(10));
}

#[test]
fn cursor_of_every_mode_is_never_later_than_the_start() {
    for mode in [Requested::Incremental, Requested::Reconcile, Requested::Full] {
        let mut product = product(10);
        product.apply(&[Op::Pass(100), Op::Touch(3)]);
        let newest = product.now();
        product.apply(&[Op::Pass(5)]);
        let began = product.now();
        let mut reader = Reader::new(&product.odoo);
        // After the first answers, a record below the position is written and record 11 is created.
        reader.between = vec![vec![], vec![], vec![Op::Pass(30), Op::Write(0), Op::Create]].into();
        product.run(&mut reader, mode).1.unwrap();
        assert!(product.table.rows.contains_key(&11));
        assert_eq!(product.state.cursor, Some(began), "{mode:?}");
        product.sync(Requested::Incremental);
        assert!(product.is_equal(), "{mode:?}");
        // Nor is the cursor later than the newest write date.
        product.apply(&[Op::Pass(200)]);
        product.sync(mode);
        assert!(product.state.cursor < Some(newest + TimeDelta::seconds(40)), "{mode:?}");
    }
}

#[test]
fn incremental_cursor_without_a_clock_comes_from_the_first_page() {
    let mut product = product(10);
    product.apply(&[Op::Pass(100), Op::Touch(0), Op::Touch(9), Op::Pass(20)]);
    let written = product.now();
    let mut reader = Reader::new(&product.odoo);
    reader.clock = false;
    reader.between = vec![vec![], vec![Op::Pass(30), Op::Write(0), Op::Write(9)]].into();
    product.run(&mut reader, Requested::Incremental).1.unwrap();
    assert!(product.state.cursor < Some(written));
    product.sync(Requested::Incremental);
    assert!(product.is_equal());
}

#[test]
fn records_that_all_lack_write_date_are_read_once() {
    let odoo = Odoo::with(200);
    apply(&odoo, &(0..200).map(Op::Forget).collect::<Vec<_>>());
    let mut product = Product::new(&odoo);
    assert_eq!(product.sync(Requested::Auto).1.progress.fetched, 200);
    assert_eq!(product.sync(Requested::Auto).1.progress.fetched, 0);
    product.apply(&[Op::Write(3), Op::Delete(5)]);
    assert_eq!(figures(&product.sync(Requested::Auto).1), (1, 0, 1, 0, 1));
    assert!(product.is_equal() && product.table.notices.is_empty());
}

#[test]
fn equal_counts_satisfy_an_incremental_run_but_no_reconcile() {
    for (mode, finds) in [(Requested::Incremental, false), (Requested::Reconcile, true), (Requested::Full, true)] {
        let mut product = product(10);
        // A transaction longer than the overlap creates a record, and another record is deleted.
        product.apply(&[Op::Import, Op::Delete(4)]);
        let mut reader = Reader::new(&product.odoo);
        let report = product.run(&mut reader, mode).1.unwrap();
        assert_eq!(counts(&report), (10, 10));
        assert_eq!((product.is_equal(), reader.calls.contains(&"ids")), (finds, finds), "{mode:?}");
        assert_eq!(product.table.deleted, if finds { vec![5] } else { vec![] });
    }
}

#[test]
fn incremental_run_compares_all_ids_if_the_counts_differ() {
    for op in [Op::Import, Op::Delete(4)] {
        let mut product = product(10);
        product.apply(&[op]);
        let (_, report) = product.sync(Requested::Incremental);
        assert_eq!((product.is_equal(), report.progress.mode), (true, Mode::Incremental));
        assert_eq!(report.counts.odoo.total, report.counts.mirror.total);
    }
}

#[test]
fn only_full_runs_find_changes_without_a_write_date() {
    for (mode, finds) in [(Requested::Incremental, false), (Requested::Reconcile, false), (Requested::Full, true)] {
        let mut product = product(200);
        product.apply(&[Op::Sql(1)]);
        product.sync(mode);
        assert_eq!(product.is_equal(), finds, "{mode:?}");
    }
}

#[test]
fn each_mode_touches_only_what_changed() {
    for mode in [Requested::Incremental, Requested::Reconcile, Requested::Full] {
        let mut product = product(20);
        product.apply(&[Op::Pass(5), Op::Write(2), Op::Touch(3), Op::Archive(15), Op::Delete(7), Op::Create]);
        product.sync(mode);
        assert!(product.is_equal());
        assert_eq!((product.table.touched.as_slice(), product.table.deleted.as_slice()), (&[3, 16, 21][..], &[8][..]));
        product.sync(mode);
        assert!(product.table.touched.is_empty() && product.table.deleted.is_empty(), "{mode:?}");
    }
}

#[test]
fn late_commit_arrives_with_the_next_incremental_run() {
    let mut product = product(6);
    later(&mut product);
    // Record 7 and a change of record 1 are not committed yet when the run reads record 8.
    product.apply(&[Op::Begin, Op::CreateWithin, Op::WriteWithin(0), Op::Pass(40), Op::Create]);
    product.sync(Requested::Incremental);
    assert_eq!(product.table.touched, [8]);
    product.apply(&[Op::Commit(0), Op::Pass(1)]);
    product.sync(Requested::Incremental);
    assert_eq!(product.table.touched, [1, 7]);
    assert!(product.is_equal());
}

#[test]
fn edit_below_the_position_arrives_with_the_next_incremental_run() {
    for mode in [Requested::Incremental, Requested::Reconcile, Requested::Full] {
        let mut product = product(12);
        let mut reader = Reader::new(&product.odoo);
        // Before the third page, when the run has read record 2 and not record 12.
        reader.between = vec![vec![]; 3].into();
        reader.between.push_back(vec![Op::Pass(20), Op::Write(1), Op::Write(11)]);
        product.run(&mut reader, mode).1.unwrap();
        assert_eq!((product.table.touched.as_slice(), product.is_equal()), (&[12][..], false));
        product.sync(Requested::Incremental);
        assert_eq!((product.table.touched.as_slice(), product.is_equal()), (&[2][..], true));
    }
}

#[test]
fn records_that_share_a_write_date_across_pages_all_arrive() {
    for together in 2..9 {
        let mut product = product(4);
        later(&mut product);
        product.apply(&[Op::Begin]);
        product.apply(&vec![Op::CreateWithin; together]);
        product.apply(&[Op::WriteWithin(3), Op::Commit(0)]);
        let (_, report) = product.sync(Requested::Incremental);
        assert_eq!((report.progress.inserted, report.progress.updated), (together as u64, 1));
        assert!(product.is_equal());
    }
}

#[test]
fn writes_in_the_second_of_the_cursor_need_no_overlap() {
    let mut product = product(4);
    product.state.overlap = TimeDelta::zero();
    product.apply(&[Op::Pass(100), Op::Write(0)]);
    let mut second = product.now();
    product.sync(Requested::Incremental);
    // Records are written in the second of the cursor, before and after runs.
    for _ in 0..20 {
        product.apply(&[Op::Write(0), Op::Create]);
        product.sync(Requested::Incremental);
        assert!(product.is_equal());
        assert!(product.state.cursor >= Some(second));
        second = product.state.cursor.unwrap();
    }
}

#[test]
fn write_date_in_the_future_hides_no_later_change() {
    for mode in [Requested::Incremental, Requested::Reconcile, Requested::Full] {
        let mut product = product(10);
        product.apply(&[Op::Pass(100), Op::Ahead(5)]);
        for _ in 0..3 {
            let began = product.now();
            product.sync(mode);
            assert!(product.is_equal() && product.state.cursor <= Some(began));
            product.apply(&[Op::Pass(80), Op::Write(0), Op::Write(9), Op::Create]);
        }
        product.sync(Requested::Incremental);
        assert!(product.is_equal(), "{mode:?}");
        // A run reads the records of the overlap window and the one in the future, not all records.
        later(&mut product);
        assert!(product.sync(Requested::Incremental).1.progress.fetched <= 4);
        // After the clock was corrected, a write corrects the write date.
        product.apply(&[Op::Write(5)]);
        product.sync(Requested::Incremental);
        assert!(product.is_equal() && product.table.notices.is_empty());
    }
}

/// A mirror with changes made after a backup of Odoo, which was then restored.
fn restored() -> Product {
    let mut product = product(10);
    product.apply(&[Op::Backup, Op::Pass(100), Op::Write(2), Op::Delete(4), Op::Create, Op::Create]);
    product.sync(Requested::Incremental);
    assert!(product.is_equal() && product.table.notices.is_empty());
    product.apply(&[Op::Pass(100), Op::Restore]);
    product
}

#[test]
fn restored_database_is_read_from_the_beginning_with_a_notice() {
    // With the longer overlap the incremental run reads old records before it detects the restore.
    for (overlap, read) in [(LONGEST, 0), (TimeDelta::seconds(106), 5)] {
        for mode in [Requested::Auto, Requested::Incremental, Requested::Reconcile] {
            let mut product = restored();
            product.state.reconcile_every = TimeDelta::days(1);
            product.state.overlap = overlap;
            let cursor = product.state.cursor;
            let (start, report) = product.sync(mode);
            assert_ne!(start.mode, Mode::Full);
            assert_eq!((report.progress.mode, product.is_equal()), (Mode::Full, true), "{mode:?}");
            let notices = product.table.notices.as_slice();
            assert!(
                matches!(notices, [notice] if notice.starts_with("m: ") && notice.contains("restored")),
                "{notices:?}"
            );
            // The backup has the old record 3, record 5, and neither 11 nor 12.
            assert_eq!(figures(&report), (10 + read, 1, 1, 8 + read, 2));
            assert_eq!(product.table.deleted, [11, 12]);
            assert!(product.state.cursor < cursor);
            // The notice is shown once.
            product.apply(&[Op::Write(8), Op::Create]);
            let (_, report) = product.sync(mode);
            assert_eq!((report.progress.mode, product.is_equal()), (product_mode(mode), true));
            assert!(product.table.notices.is_empty());
        }
    }
}

fn product_mode(requested: Requested) -> Mode {
    match requested {
        Requested::Reconcile => Mode::Reconcile,
        _ => Mode::Incremental,
    }
}

#[test]
fn full_run_over_a_restored_database_shows_no_notice() {
    let mut product = restored();
    product.sync(Requested::Full);
    assert!(product.is_equal() && product.table.notices.is_empty());
    product.sync(Requested::Incremental);
    assert!(product.is_equal() && product.table.notices.is_empty());
}

#[test]
fn restored_database_is_read_after_a_killed_run() {
    let mut kills = 0;
    for call in 1.. {
        let mut product = restored();
        product.state.reconcile_every = TimeDelta::days(1);
        let mut reader = Reader::new(&product.odoo);
        reader.fail_at = Some(call);
        if product.run(&mut reader, Requested::Auto).1.is_ok() {
            break;
        }
        // A record is now newer than the cursor. It hides the restore only from a run that did not
        // detect it before it was killed.
        let detected = !product.table.notices.is_empty();
        product.apply(&[Op::Write(8)]);
        let (start, report) = product.sync(Requested::Auto);
        if detected {
            kills += 1;
            assert_eq!((start.mode, report.progress.mode), (Mode::Full, Mode::Full), "call {call}");
            product.sync(Requested::Auto);
            assert!(product.is_equal(), "call {call}");
        }
    }
    assert!(kills >= 8, "{kills}");
}

#[test]
fn deletion_of_the_newest_record_causes_one_full_run() {
    let mut product = product(10);
    product.apply(&[Op::Pass(100), Op::Create]);
    product.sync(Requested::Incremental);
    product.apply(&[Op::Pass(5), Op::Delete(10)]);
    let (_, report) = product.sync(Requested::Incremental);
    assert_eq!((report.progress.mode, product.table.notices.len()), (Mode::Full, 1));
    assert_eq!((figures(&report), product.is_equal()), ((10, 0, 0, 10, 1), true));
    let (_, report) = product.sync(Requested::Incremental);
    assert_eq!((report.progress.mode, product.table.notices.len()), (Mode::Incremental, 0));
}

#[test]
fn loss_of_every_record_is_handled_as_any_deletion() {
    let mut product = product(5);
    product.apply(&vec![Op::Delete(0); 5]);
    for (mode, deleted) in [(Mode::Full, 5), (Mode::Incremental, 0)] {
        let (_, report) = product.sync(Requested::Incremental);
        assert_eq!((report.progress.mode, report.progress.deleted, product.table.rows.len()), (mode, deleted, 0));
    }
    product.apply(&[Op::Create]);
    product.sync(Requested::Auto);
    assert!(product.is_equal());
}

#[test]
fn refused_deletion_lets_edits_arrive_until_it_is_allowed() {
    for mode in [Requested::Auto, Requested::Incremental, Requested::Reconcile, Requested::Full] {
        let mut product = product(400);
        product.apply(&[Op::Pass(100)]);
        // 30 % of the records are deleted.
        product.apply(&vec![Op::Delete(50); 120]);
        let cursor = product.state.cursor;
        for _ in 0..3 {
            product.apply(&[Op::Pass(100), Op::Write(3), Op::Create]);
            let mut reader = Reader::new(&product.odoo);
            (reader.page_size, reader.window) = (50, 50);
            let (start, result) = product.run(&mut reader, mode);
            assert!(matches!(result, Err(Error::RefusedDeletion { rows: 120, allowed: 100, .. })), "{result:?}");
            // The refused run had read all records, so there is nothing to resume.
            assert_eq!(start.resumed, None);
            assert_eq!(product.table.deleted, Vec::<i64>::new());
            let rows = &product.table.rows;
            assert!(product.odoo.borrow().rows().iter().all(|(id, cells)| rows.get(id) == Some(cells)));
            assert_eq!(
                (rows.len() as u64, product.state.cursor),
                (product.odoo.borrow().rows().len() as u64 + 120, cursor)
            );
        }
        product.guard = Guard::ratio(0.5);
        let (_, report) = product.sync(mode);
        assert_eq!((report.progress.deleted, product.is_equal()), (120, true), "{mode:?}");
    }
}

/// A product whose next run has this mode and makes a dozen calls.
fn due(mode: Requested) -> Product {
    if mode == Requested::Full {
        // The first run of a mirror.
        return Product::new(&Odoo::with(18));
    }
    let mut product = product(14);
    later(&mut product);
    for record in 0..11 {
        product.apply(&[Op::Write(record), Op::Pass(1)]);
    }
    product.apply(&[Op::Create, Op::Delete(12), Op::Delete(12)]);
    product
}

/// Kills runs at every call to the source and to the sink. `check` receives the product, Odoo's
/// clock before the run, and the position of the killed run.
fn killed_everywhere(mode: Requested, mut check: impl FnMut(Product, NaiveDateTime, i64)) {
    for of_source in [true, false] {
        let (mut kills, mut with_pages) = (0, 0);
        for call in 1.. {
            let mut product = due(mode);
            let began = product.now();
            let mut reader = Reader::new(&product.odoo);
            match of_source {
                true => reader.fail_at = Some(call),
                false => product.sink_fails = Some(call),
            }
            let (start, result) = product.run(&mut reader, scheduled(mode));
            if result.is_ok() {
                break;
            }
            assert_eq!((start.resumed, result), (None, Err(failure())));
            kills += 1;
            let position = product.state.unfinished.unwrap().position.id;
            with_pages += u32::from(position > 0);
            check(product, began, position);
        }
        assert!(kills >= 10 && with_pages >= 6, "{kills} {with_pages}");
    }
}

/// The mode to request. A requested full run never resumes another run, so `auto` stands for it.
fn scheduled(mode: Requested) -> Requested {
    match mode {
        Requested::Full => Requested::Auto,
        other => other,
    }
}

const MODES: [Requested; 3] = [Requested::Full, Requested::Incremental, Requested::Reconcile];

#[test]
fn refused_deletion_does_not_freeze_the_mirror() {
    for mode in MODES {
        let mut product = product(8);
        (product.killed, product.table.kept, product.table.max_rejects) = (false, BTreeSet::from([1]), 0);
        product.apply(&[Op::Delete(0)]);
        for run in 0..3 {
            later(&mut product);
            product.apply(&[Op::Write(1), Op::Create]);
            let requested = if run == 0 { mode } else { Requested::Auto };
            let (start, result) = product.run(&mut Reader::new(&product.odoo), requested);
            assert_eq!((start.resumed, result), (None, Err(failure())));
            // A run that reads everything is not due again.
            assert!(run == 0 || start.mode == Mode::Incremental, "{:?}", start.mode);
            let rows = &product.table.rows;
            let without: BTreeMap<_, _> = rows.iter().filter(|(id, _)| **id != 1).collect();
            assert_eq!(without, product.odoo.borrow().rows().iter().collect());
        }
        product.table.kept.clear();
        product.sync(Requested::Auto);
        assert!(product.is_equal());
    }
}

#[test]
fn rows_that_can_be_deleted_are_deleted_beside_others() {
    for mode in MODES {
        let mut product = product(8);
        product.table.kept = BTreeSet::from([1, 3]);
        product.apply(&[Op::Delete(0), Op::Delete(0), Op::Delete(0), Op::Delete(0)]);
        let deleted = product.sync(mode).1.progress.deleted;
        assert_eq!((deleted, product.table.rejects.len()), (2, 2));
        // Each run tries again, also if nothing else has changed.
        product.table.kept = BTreeSet::from([3]);
        later(&mut product);
        let (_, report) = product.sync(Requested::Incremental);
        assert_eq!((report.progress.deleted, counts(&report)), (1, (4, 5)));
        product.table.kept.clear();
        later(&mut product);
        product.sync(Requested::Incremental);
        assert!(product.is_equal() && product.table.rejects.is_empty());
    }
}

#[test]
fn refused_record_is_tried_again_until_it_fits() {
    for mode in MODES {
        let mut product = product(8);
        product.table.unfit = BTreeSet::from([2, 9]);
        product.apply(&[Op::Write(1), Op::Write(2), Op::Create, Op::Create]);
        let (_, report) = product.sync(mode);
        assert_eq!((report.progress.rejected > 0, counts(&report)), (true, (10, 9)), "{mode:?}");
        assert_eq!(product.table.rejects, BTreeMap::from([(2, Refused::Update), (9, Refused::Insert)]));
        later(&mut product);
        product.table.unfit.clear();
        let (_, report) = product.sync(Requested::Incremental);
        assert_eq!((report.progress.inserted, report.progress.updated), (1, 1));
        assert!(product.is_equal() && product.table.rejects.is_empty());
    }
}

#[test]
fn known_rejects_make_no_incremental_run_compare_ids() {
    let mut product = product(8);
    (product.table.unfit, product.table.kept) = (BTreeSet::from([9]), BTreeSet::from([1]));
    product.apply(&[Op::Create, Op::Delete(0)]);
    product.sync(Requested::Incremental);
    later(&mut product);
    let mut reader = Reader::new(&product.odoo);
    product.run(&mut reader, Requested::Incremental).1.unwrap();
    assert!(!reader.calls.contains(&"ids"), "{:?}", reader.calls);
    assert_eq!(product.table.rejects.len(), 2);
    // A deletion beside them is noticed.
    product.apply(&[Op::Delete(0)]);
    product.sync(Requested::Incremental);
    assert!(!product.table.rows.contains_key(&2));
}

#[test]
fn reject_that_no_longer_exists_is_forgotten() {
    let mut product = product(8);
    product.table.unfit = BTreeSet::from([8, 9]);
    product.apply(&[Op::Write(7), Op::Create]);
    product.sync(Requested::Incremental);
    assert_eq!(product.table.rejects.len(), 2);
    product.apply(&[Op::Delete(7), Op::Delete(7)]);
    later(&mut product);
    product.sync(Requested::Incremental);
    assert!(product.is_equal() && product.table.rejects.is_empty());
}

#[test]
fn unique_names_can_change_hands() {
    let changes: [&[Op]; 5] = [
        // Within a page of three records, across pages, a rotation, and a record created anew.
        &[Op::Swap(0, 1)],
        &[Op::Swap(0, 7)],
        &[Op::Swap(0, 3), Op::Swap(3, 6)],
        &[Op::Replace(2)],
        &[Op::Replace(2), Op::Swap(0, 7), Op::Delete(3)],
    ];
    for (mode, ops) in MODES.into_iter().flat_map(|mode| changes.map(|ops| (mode, ops))) {
        let mut product = product(8);
        product.apply(ops);
        product.sync(mode);
        assert!(product.is_equal() && product.table.rejects.is_empty(), "{mode:?} {ops:?}");
    }
}

#[test]
fn more_rejects_than_allowed_end_the_run() {
    for mode in MODES {
        let mut product = product(8);
        product.killed = false;
        (product.table.unfit, product.table.max_rejects) = (BTreeSet::from([2, 5]), 1);
        product.apply(&[Op::Write(1), Op::Write(4)]);
        assert_eq!(product.run(&mut Reader::new(&product.odoo), mode).1, Err(failure()));
        product.table.max_rejects = 2;
        later(&mut product);
        product.sync(Requested::Auto);
        assert_eq!(product.table.rejects.len(), 2);
    }
}

/// From now on, Odoo cannot send these records.
fn lose(product: &Product, ids: &[i64]) {
    product.odoo.borrow_mut().unreadable = BTreeSet::from_iter(ids.iter().copied());
}

#[test]
fn record_that_odoo_cannot_send_is_set_aside_until_it_can() {
    for mode in MODES {
        let mut product = product(8);
        lose(&product, &[2, 9]);
        product.apply(&[Op::Write(1), Op::Write(2), Op::Create, Op::Create]);
        let old = product.table.rows[&2].clone();
        for requested in [mode, Requested::Incremental, Requested::Full, Requested::Reconcile] {
            let (_, report) = product.sync(requested);
            assert_eq!((counts(&report), report.progress.deleted), ((10, 9), 0), "{mode:?} {requested:?}");
            assert_eq!(product.table.rejects, BTreeMap::from([(2, Refused::Update), (9, Refused::Insert)]));
            assert_eq!(product.table.rows[&2], old);
            // The others arrive.
            let mut others = product.odoo.borrow().rows();
            others.remove(&9);
            others.insert(2, old.clone());
            assert_eq!(product.table.rows, others);
            later(&mut product);
            product.apply(&[Op::Write(4)]);
        }
        lose(&product, &[]);
        product.sync(Requested::Incremental);
        assert!(product.is_equal() && product.table.rejects.is_empty());
    }
}

#[test]
fn unreadable_records_in_a_row_stop_no_run() {
    let mut product = Product::new(&Odoo::with(20));
    lose(&product, &[1, 2, 3, 4, 5, 6, 7, 20]);
    let mut reader = Reader::new(&product.odoo);
    reader.window = 100;
    let report = product.run(&mut reader, Requested::Auto).1.unwrap();
    assert_eq!((counts(&report), product.table.rejects.len()), ((20, 12), 8));
    assert!(report.cursor.is_some());
    lose(&product, &[]);
    product.sync(Requested::Auto);
    assert!(product.is_equal());
}

#[test]
fn odoo_that_can_send_no_record_ends_the_run() {
    for records in [1, 8] {
        let mut product = Product::new(&Odoo::with(records));
        lose(&product, &(1..9).collect::<Vec<_>>());
        for _ in 0..2 {
            let mut reader = Reader::new(&product.odoo);
            assert_eq!(product.run(&mut reader, Requested::Auto).1, Err(cannot_send(&[1])));
            assert!(product.table.rejects.is_empty() && reader.calls.len() < 12, "{:?}", reader.calls);
        }
    }
}

#[test]
fn too_many_unreadable_records_end_the_run() {
    for (mode, max_rejects) in [(Requested::Full, 0), (Requested::Full, 1), (Requested::Incremental, 1)] {
        let mut product = product(8);
        later(&mut product);
        product.apply(&[Op::Write(1), Op::Write(4)]);
        lose(&product, &[2, 5]);
        product.table.max_rejects = max_rejects;
        let last = if max_rejects == 0 { 2 } else { 5 };
        assert_eq!(product.run(&mut Reader::new(&product.odoo), mode).1, Err(cannot_send(&[last])));
        product.table.max_rejects = 2;
        product.sync(Requested::Auto);
        assert_eq!(product.table.rejects.len(), 2);
    }
}

#[test]
fn time_for_unreadable_records_is_limited() {
    let mut product = Product::new(&Odoo::with(8));
    product.patience = Duration::ZERO;
    later(&mut product);
    lose(&product, &[2, 5]);
    assert_eq!(product.run(&mut Reader::new(&product.odoo), Requested::Auto).1, Err(cannot_send(&[5])));
    // Each run passes one of them. The next one tries the rest of the rejects.
    for _ in 0..2 {
        product.sync(Requested::Auto);
        assert_eq!((product.table.rows.len(), product.table.rejects.len()), (6, 2));
        later(&mut product);
    }
    lose(&product, &[2]);
    product.sync(Requested::Auto);
    lose(&product, &[]);
    product.sync(Requested::Auto);
    assert!(product.is_equal() && product.table.rejects.is_empty());
}

#[test]
fn fields_are_checked_before_a_record_is_set_aside() {
    let fault = |id| Error::Value { model: "m".into(), id, field: "f".into(), cause: "no text".into() };
    assert!(fault(1).may_be_of_field() && !cannot_send(&[1]).may_be_of_field());
    let (odoo, mut table) = mirrored(8);
    odoo.borrow_mut().unreadable = BTreeSet::from([2]);
    let mut reader = Reader::new(&odoo);
    reader.cannot_send =
        |ids| Error::Value { model: "m".into(), id: ids[0], field: "f".into(), cause: "no text".into() };
    let unchecked = Plan { fields_are_checked: false, ..full() };
    assert_eq!(sync_from(&mut reader, &mut table, &unchecked), Err(fault(2)));
    sync_from(&mut reader, &mut table, &full()).unwrap();
    // Runs that follow know it.
    sync_from(&mut reader, &mut table, &unchecked).unwrap();
    assert_eq!(table.rejects, BTreeMap::from([(2, Refused::Update)]));
}

#[test]
fn unreadable_missing_records_are_set_aside() {
    let (odoo, mut table) = mirrored(10);
    table.rows.retain(|id, _| *id > 4);
    odoo.borrow_mut().unreadable = BTreeSet::from([3]);
    let report = sync(&odoo, &mut table, &reconcile(&odoo)).unwrap();
    assert_eq!((counts(&report), report.progress.inserted), ((10, 9), 3));
    assert_eq!(table.rejects, BTreeMap::from([(3, Refused::Insert)]));
}

#[test]
fn dry_run_passes_unreadable_records() {
    let odoo = Odoo::with(8);
    odoo.borrow_mut().unreadable = BTreeSet::from([1, 5]);
    let mut table = Table::new(&odoo);
    table.dry = true;
    let report = sync(&odoo, &mut table, &Plan { dry_run: true, ..full() }).unwrap();
    assert_eq!((report.progress.inserted, counts(&report)), (6, (8, 0)));
    assert!(table.rejects.is_empty());
}

#[test]
fn max_rows_counts_only_records_that_were_read() {
    let odoo = Odoo::with(8);
    odoo.borrow_mut().unreadable = BTreeSet::from([2]);
    let mut table = Table::new(&odoo);
    sync(&odoo, &mut table, &Plan { max_rows: Some(4), ..full() }).unwrap();
    assert_eq!(table.rows.keys().copied().collect::<Vec<_>>(), [1, 3, 4, 5]);
}

#[test]
fn unreadable_newest_record_causes_one_full_run() {
    let mut product = product(8);
    later(&mut product);
    product.sync(Requested::Incremental);
    lose(&product, &[8]);
    let modes = [Mode::Full, Mode::Incremental, Mode::Incremental];
    for mode in modes {
        assert_eq!(product.sync(Requested::Incremental).1.progress.mode, mode);
        later(&mut product);
    }
    assert_eq!(product.table.rows.len(), 8);
}

#[test]
fn unreadable_reject_that_odoo_deletes_is_forgotten() {
    let mut product = product(8);
    lose(&product, &[2, 9]);
    product.apply(&[Op::Write(1), Op::Create]);
    product.sync(Requested::Incremental);
    assert_eq!(product.table.rejects.len(), 2);
    product.apply(&[Op::Delete(8), Op::Delete(1)]);
    later(&mut product);
    product.sync(Requested::Incremental);
    assert!(product.is_equal() && product.table.rejects.is_empty());
}

#[test]
fn killed_run_is_resumed_at_its_position() {
    for mode in MODES {
        let fresh = due(mode).sync(scheduled(mode)).1.progress.fetched;
        killed_everywhere(mode, |mut product, began, position| {
            let unfinished = product.state.unfinished.unwrap();
            let before = product.table.rows.clone();
            product.apply(&[Op::Pass(7)]);
            let (start, report) = product.sync(scheduled(mode));
            assert!(product.is_equal());
            if position == 0 {
                assert_eq!((start.resumed, report.progress.fetched), (None, fresh));
            } else {
                assert_eq!((start.resumed, start.bound), (Some(unfinished), unfinished.bound));
                assert!(report.progress.fetched < fresh, "{} {fresh}", report.progress.fetched);
                // Committed rows are not written again.
                assert!(product.table.touched.iter().all(|id| !before.contains_key(id) || *id > position));
                assert!(product.state.cursor <= Some(began), "{:?} {began}", product.state.cursor);
            }
        });
    }
}

#[test]
fn changes_between_a_killed_run_and_its_successor_arrive() {
    for mode in MODES {
        killed_everywhere(mode, |mut product, began, position| {
            // Changes to ids below and above the position.
            product.apply(&[Op::Pass(50), Op::Write(0), Op::Archive(1), Op::Create, Op::Write(12), Op::Delete(3)]);
            product.apply(&[Op::Begin, Op::WriteWithin(2), Op::Pass(40)]);
            let (start, _) = product.sync(scheduled(mode));
            product.apply(&[Op::Commit(0), Op::Pass(5)]);
            if position > 0 {
                assert!(start.resumed.is_some() && product.state.cursor <= Some(began));
            }
            product.sync(Requested::Incremental);
            assert!(product.is_equal(), "{position}");
        });
    }
}

#[test]
fn repeatedly_killed_run_still_completes() {
    for mode in MODES {
        let fresh = due(mode).sync(scheduled(mode)).1.progress.fetched;
        let mut product = due(mode);
        let began = product.now();
        let (mut runs, mut fetched) = (0, 0);
        loop {
            let mut reader = Reader::new(&product.odoo);
            // Enough for the count, the start, and a few pages.
            (reader.page_size, reader.fail_at) = (1, Some(5));
            let (_, result) = product.run(&mut reader, scheduled(mode));
            fetched += product.table.so_far.map_or(0, |so_far| so_far.fetched);
            runs += 1;
            let unfinished = product.state.unfinished.unwrap();
            assert!(result.is_err() && runs < 10);
            // A run that fails before its first page keeps the position.
            let mut reader = Reader::new(&product.odoo);
            reader.fail_at = Some(1);
            assert!(product.run(&mut reader, scheduled(mode)).1.is_err());
            assert_eq!(product.state.unfinished.unwrap().position, unfinished.position);
            product.apply(&[Op::Pass(3)]);
            if unfinished.position.id >= 10 {
                break;
            }
        }
        assert!(runs >= 3);
        let (start, report) = product.sync(scheduled(mode));
        fetched += report.progress.fetched;
        assert!(start.resumed.is_some() && product.is_equal());
        // Each record is read once, whatever the number of runs.
        assert!(fetched <= fresh + 1, "{fetched} {fresh}");
        assert!(product.state.cursor <= Some(began));
    }
}

#[test]
fn follow_up_run_reads_changes_below_the_resumed_position() {
    let odoo = Odoo::with(12);
    let mut product = Product::new(&odoo);
    product.apply(&[Op::Pass(255)]);
    let mut reader = Reader::new(&product.odoo);
    reader.fail_at = Some(6);
    assert!(product.run(&mut reader, Requested::Auto).1.is_err());
    let passed = product.table.rows.len() as u64;
    assert!((1..12).contains(&passed));
    product.apply(&[Op::Pass(5), Op::Write(0), Op::Pass(5)]);
    let (start, report) = product.sync(Requested::Auto);
    assert!(start.resumed.is_some() && start.needs_follow_up(&report));
    assert_eq!((report.progress.fetched, product.is_equal()), (12 - passed, false));
    let (start, report) = product.sync(Requested::Incremental);
    assert!(start.resumed.is_none() && !start.needs_follow_up(&report) && product.is_equal());
    // That record, and the record at the cursor.
    assert_eq!((report.progress.fetched, report.progress.updated), (2, 1));
}

#[test]
fn auto_completes_an_interrupted_full_run_before_an_incremental_run() {
    let mut product = product(12);
    product.apply(&[Op::Pass(100), Op::Sql(10)]);
    let mut reader = Reader::new(&product.odoo);
    reader.fail_at = Some(5);
    assert!(product.run(&mut reader, Requested::Full).1.is_err());
    let (start, report) = product.sync(Requested::Auto);
    assert!(start.resumed.is_some() && report.progress.fetched < 12);
    assert_eq!((report.progress.mode, product.is_equal()), (Mode::Full, true));
    assert_eq!(product.sync(Requested::Auto).1.progress.mode, Mode::Incremental);
}

#[test]
fn runs_other_than_full_ones_read_outdated_rows() {
    for (mode, reads) in [(Requested::Incremental, true), (Requested::Reconcile, true), (Requested::Full, false)] {
        let mut product = product(6);
        product.apply(&[Op::Pass(100), Op::Sql(1)]);
        product.table.outdated = BTreeSet::from([2]);
        let mut reader = Reader::new(&product.odoo);
        product.run(&mut reader, mode).1.unwrap();
        assert_eq!((reader.calls.contains(&"read"), product.is_equal()), (reads, true));
    }
}

#[test]
fn pages_stay_small_for_the_next_runs_until_larger_ones_work() {
    let odoo = Odoo::with(40);
    let mut product = Product::new(&odoo);
    odoo.borrow_mut().room = 2;
    let mut sizes = Vec::new();
    for _ in 0..3 {
        let mut reader = Reader::new(&odoo);
        reader.page_size = 16;
        product.run(&mut reader, Requested::Full).1.unwrap();
        sizes.push((product.safe_page_size, product.table.progress[0].0));
        assert!(product.is_equal());
    }
    assert_eq!(sizes, [(Some(2), 2); 3]);
    odoo.borrow_mut().room = usize::MAX;
    for _ in 0..3 {
        let mut reader = Reader::new(&odoo);
        reader.page_size = 16;
        product.run(&mut reader, Requested::Full).1.unwrap();
    }
    assert_eq!(product.safe_page_size, None);
}

/// Without Odoo's clock, a run takes the newest write date of its first page in its place.
#[test]
fn resumed_run_without_clock_is_followed_after_an_unreadable_first_record() {
    let mut product = product(6);
    product.apply(&[Op::Pass(100), Op::Touch(1), Op::Touch(2), Op::Touch(3)]);
    product.odoo.borrow_mut().unreadable.insert(2);
    let mut reader = Reader::new(&product.odoo);
    // The calls are: start, the error, ids, start, a page, start, a page.
    (reader.page_size, reader.clock, reader.fail_at) = (1, false, Some(7));
    product.killed = false;
    assert!(product.run(&mut reader, Requested::Auto).1.is_err());
    assert_eq!(product.state.unfinished.unwrap().position.id, 2);
    let mut reader = Reader::new(&product.odoo);
    (reader.page_size, reader.clock) = (1, false);
    let (start, report) = product.run(&mut reader, Requested::Auto);
    assert!(start.resumed.is_some() && start.needs_follow_up(&report.unwrap()));
}

/// One step of a history.
#[derive(Debug, Clone)]
enum Step {
    Odoo(Op),
    Run(Attempt),
    /// The table refuses these records and the deletion of these rows; Odoo cannot send these.
    Refuse {
        unfit: BTreeSet<i64>,
        kept: BTreeSet<i64>,
        unreadable: BTreeSet<i64>,
    },
    /// Odoo cannot send more records than this in one answer.
    Room(usize),
}

/// A run with the changes and failures during it.
#[derive(Debug, Clone)]
struct Attempt {
    kind: Kind,
    page_size: usize,
    window: usize,
    between: Vec<Vec<Op>>,
    source_fails: Option<usize>,
    sink_fails: Option<usize>,
    /// Whether a failure rolls back what the run did not commit.
    killed: bool,
    clock: bool,
    digests: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// `run_sync`.
    Scheduled(Requested),
    /// This one and the following: `sync_mirror`, in the transaction of its caller.
    Full,
    Since,
    Dry,
    Some(u64),
}

/// Changes that any Odoo user can make.
fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => Just(Op::Create),
        3 => any::<usize>().prop_map(Op::Write),
        1 => any::<usize>().prop_map(Op::Archive),
        1 => any::<usize>().prop_map(Op::Touch),
        2 => any::<usize>().prop_map(Op::Delete),
        1 => (any::<usize>(), any::<usize>()).prop_map(|(one, other)| Op::Swap(one, other)),
        1 => any::<usize>().prop_map(Op::Replace),
        2 => Just(Op::Begin),
        3 => Just(Op::CreateWithin),
        3 => any::<usize>().prop_map(Op::WriteWithin),
        2 => any::<usize>().prop_map(Op::DeleteWithin),
        3 => any::<usize>().prop_map(Op::Commit),
        2 => (0..50u8).prop_map(Op::Pass),
    ]
}

/// As [`op`], with records that only a comparison of ids finds, and a wrong clock.
fn op_or_import() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => op(),
        1 => Just(Op::Import),
        1 => any::<usize>().prop_map(Op::Ahead),
    ]
}

/// As [`op_or_import`], with changes by SQL.
fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => op_or_import(),
        1 => any::<usize>().prop_map(Op::Sql),
        1 => any::<usize>().prop_map(Op::Forget),
    ]
}

/// As [`any_op`], with backups and restores, which happen between runs only.
fn any_op_or_backup() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => any_op(),
        1 => Just(Op::Backup),
        1 => Just(Op::Restore),
    ]
}

fn kind() -> impl Strategy<Value = Kind> {
    let requested = prop_oneof![
        5 => Just(Requested::Auto),
        2 => Just(Requested::Incremental),
        2 => Just(Requested::Reconcile),
        1 => Just(Requested::Full),
    ];
    prop_oneof![
        10 => requested.prop_map(Kind::Scheduled),
        2 => Just(Kind::Full),
        2 => Just(Kind::Since),
        1 => Just(Kind::Dry),
        1 => (1..9u64).prop_map(Kind::Some),
    ]
}

fn attempt(op: impl Strategy<Value = Op>, clock_ratio: f64) -> impl Strategy<Value = Attempt> {
    let between = prop::collection::vec(prop::collection::vec(op, 0..4), 0..12);
    let fails = || prop::option::weighted(0.3, 1..20usize);
    let ends = (1..5usize, 1..5usize, fails(), fails());
    let flags = (any::<bool>(), prop::bool::weighted(clock_ratio), any::<bool>());
    (kind(), between, ends, flags).prop_map(
        |(kind, between, (page_size, window, source_fails, sink_fails), (killed, clock, digests))| Attempt {
            kind,
            page_size,
            window,
            between,
            source_fails,
            sink_fails,
            killed,
            clock,
            digests,
        },
    )
}

/// `between` makes the changes during runs, `alone` those between runs. `clock_ratio` is the share
/// of runs in which Odoo's answers have a `Date` header.
fn history<A, B>(alone: fn() -> A, between: fn() -> B, clock_ratio: f64) -> impl Strategy<Value = Vec<Step>>
where
    A: Strategy<Value = Op> + 'static,
    B: Strategy<Value = Op> + 'static,
{
    let ids = || prop::collection::btree_set(1..12i64, 0..3);
    let step = prop_oneof![
        12 => alone().prop_map(Step::Odoo),
        1 => (ids(), ids(), ids()).prop_map(|(unfit, kept, unreadable)| Step::Refuse { unfit, kept, unreadable }),
        1 => (1..5usize).prop_map(Step::Room),
        4 => attempt(between(), clock_ratio).prop_map(Step::Run),
    ];
    prop::collection::vec(step, 0..40)
}

/// Odoo and its mirror after a history.
struct World {
    product: Product,
}

impl World {
    fn after(history: &[Step]) -> Self {
        let mut world = World { product: Product::new(&Odoo::with(5)) };
        for step in history {
            match step {
                Step::Odoo(op) => world.product.apply(std::slice::from_ref(op)),
                Step::Run(attempt) => world.attempt(attempt),
                Step::Refuse { unfit, kept, unreadable } => world.refuse(unfit, kept, unreadable),
                Step::Room(room) => world.product.odoo.borrow_mut().room = *room,
            }
        }
        // The causes of the rejects and of the small pages are removed.
        world.product.odoo.borrow_mut().room = usize::MAX;
        world.refuse(&BTreeSet::new(), &BTreeSet::new(), &BTreeSet::new());
        world
    }

    /// From now on, the table refuses these records and deletions, and Odoo cannot send these.
    fn refuse(&mut self, unfit: &BTreeSet<i64>, kept: &BTreeSet<i64>, unreadable: &BTreeSet<i64>) {
        self.product.odoo.borrow_mut().unreadable = unreadable.clone();
        (self.product.table.unfit, self.product.table.kept) = (unfit.clone(), kept.clone());
    }

    /// Whether the table refuses something, or Odoo cannot send something.
    fn is_refusing(&self) -> bool {
        let table = &self.product.table;
        !(table.unfit.is_empty() && table.kept.is_empty() && self.product.odoo.borrow().unreadable.is_empty())
    }

    fn attempt(&mut self, attempt: &Attempt) {
        let mut reader = Reader::new(&self.product.odoo);
        (reader.page_size, reader.window, reader.clock) = (attempt.page_size, attempt.window, attempt.clock);
        reader.digests = attempt.digests;
        reader.between = attempt.between.clone().into();
        reader.fail_at = attempt.source_fails;
        let had_rejects = !self.product.table.rejects.is_empty();
        let result = match attempt.kind {
            Kind::Scheduled(requested) => self.scheduled(attempt, &mut reader, requested),
            _ => self.in_transaction(attempt, &mut reader),
        };
        // Rejects are read again after a deletion.
        let was_refusing = had_rejects || self.is_refusing();
        let table = &self.product.table;
        let has_rejects =
            was_refusing || !table.rejects.is_empty() || table.so_far.is_some_and(|so_far| so_far.rejected > 0);
        if !has_rejects && reader.fail_at.is_some_and(|call| call <= reader.calls.len()) {
            assert_eq!(table.deleted, Vec::<i64>::new());
        }
        match result {
            Ok(report) => {
                assert_eq!(report.counts.mirror.total, table.rows.len() as u64);
                if !table.dry {
                    assert_eq!(report.progress.inserted + report.progress.updated, table.touched.len() as u64);
                    assert_eq!(
                        report.progress.fetched,
                        report.progress.inserted
                            + report.progress.updated
                            + report.progress.rejected
                            + report.progress.unchanged()
                    );
                    assert_eq!(report.progress.deleted, table.deleted.len() as u64);
                }
            }
            Err(error) => assert!(error == failure() || error.record().is_some(), "{error:?}"),
        }
    }

    fn scheduled(&mut self, attempt: &Attempt, reader: &mut Reader, requested: Requested) -> Result<Report> {
        self.product.sink_fails = attempt.sink_fails;
        self.product.killed = attempt.killed;
        let (start, result) = self.product.run(reader, requested);
        assert!(start.resumed.is_none() || requested != Requested::Full);
        if let Some(unfinished) = self.product.state.unfinished {
            assert!(
                unfinished.position.id >= start.resumed.map_or(0, |resumed| resumed.position.id)
                    || start.mode != unfinished.mode
            );
        }
        result
    }

    fn in_transaction(&mut self, attempt: &Attempt, reader: &mut Reader) -> Result<Report> {
        let now = self.product.now();
        let Product { table, state, .. } = &mut self.product;
        let page_size = reader.page_size;
        let every = Plan { page_size, ..full() };
        let mut plan = every.clone();
        match (attempt.kind, state.cursor) {
            (Kind::Since, Some(cursor)) => plan = Plan { page_size, ..since(cursor) },
            (Kind::Dry, _) => plan.dry_run = true,
            (Kind::Some(rows), _) => plan.max_rows = Some(rows),
            _ => {}
        }
        let before = (table.rows.clone(), table.rejects.clone());
        table.reset();
        table.dry = plan.dry_run;
        table.fail_at = attempt.sink_fails;
        let result = run(reader, table, &plan).map_err(|failed| failed.error);
        if result.is_err() {
            (table.rows, table.rejects) = before.clone();
        }
        if plan.dry_run {
            assert_eq!((&table.rows, &table.rejects), (&before.0, &before.1));
        }
        if plan.max_rows.is_some() {
            assert_eq!(table.deleted, Vec::<i64>::new());
        }
        if let Ok(report) = &result {
            assert!(report.cursor.is_none() || plan == every);
            if report.cursor.is_some() {
                state.cursor = report.cursor.map(|cursor| cursor.naive_utc());
                state.settled = report.settled;
                state.full_at = Some(now);
                state.unfinished = None;
            }
        }
        result
    }

    /// An undisturbed run, and its follow-up run if it needs one.
    fn sync(&mut self, requested: Requested) -> Report {
        let (start, report) = self.product.sync(requested);
        match start.needs_follow_up(&report) {
            true => self.product.sync(Requested::Incremental).1,
            false => report,
        }
    }

    fn assert_equal(&mut self, report: &Report) {
        assert_eq!(self.product.table.rows, self.product.odoo.borrow().rows());
        assert_eq!(report.counts.odoo.total, report.counts.mirror.total);
        for requested in [Requested::Auto, Requested::Incremental, Requested::Reconcile, Requested::Full] {
            let (_, again) = self.product.sync(requested);
            assert_eq!((again.progress.inserted, again.progress.updated, again.progress.deleted), (0, 0, 0));
            assert!(self.product.table.touched.is_empty());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn full_run_makes_the_mirror_equal_after_any_history(history in history(any_op_or_backup, any_op, 0.8)) {
        let mut world = World::after(&history);
        let report = world.sync(Requested::Full);
        world.assert_equal(&report);
    }

    /// Provided that every change of an existing record sets its write date.
    #[test]
    fn reconcile_makes_the_mirror_equal_after_changes_through_odoo(history in history(op_or_import, op_or_import, 1.0)) {
        let mut world = World::after(&history);
        let report = world.sync(Requested::Reconcile);
        world.assert_equal(&report);
    }

    /// Provided, in addition, that no transaction lasts longer than the overlap.
    #[test]
    fn incremental_run_makes_the_mirror_equal_after_short_transactions(history in history(op, op, 0.8)) {
        let mut world = World::after(&history);
        let report = world.sync(Requested::Incremental);
        world.assert_equal(&report);
    }
}
