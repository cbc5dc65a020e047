//! Tests of a run, between a model of Odoo that changes meanwhile and a table in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::model::{failure, Odoo, Op, Reader, Shared, Table, LONGEST};
use super::{run, Mode, Plan, Report};
use crate::error::{Error, Result};

fn full() -> Plan {
    Plan {
        mirror: "m".into(),
        since: None,
        max_rows: None,
        dry_run: false,
        max_delete_ratio: 0.2,
    }
}

fn since(moment: NaiveDateTime) -> Plan {
    Plan {
        since: Some(moment),
        ..full()
    }
}

/// Long before anything was written.
fn always() -> NaiveDateTime {
    NaiveDateTime::default()
}

fn sync(odoo: &Shared, table: &mut Table, plan: &Plan) -> Result<Report> {
    sync_from(&mut Reader::new(odoo), table, plan)
}

fn sync_from(reader: &mut Reader, table: &mut Table, plan: &Plan) -> Result<Report> {
    table.reset();
    table.dry = plan.dry_run;
    run(reader, table, plan)
}

fn apply(odoo: &Shared, ops: &[Op]) {
    for op in ops {
        odoo.borrow_mut().apply(op);
    }
}

/// Odoo with so many records, and a table that mirrors it.
fn mirrored(records: usize) -> (Shared, Table) {
    let odoo = Odoo::with(records);
    let mut table = Table::new(&odoo);
    sync(&odoo, &mut table, &full()).unwrap();
    assert_eq!(table.rows, odoo.borrow().rows());
    (odoo, table)
}

/// (fetched, inserted, updated, unchanged, deleted)
fn figures(report: &Report) -> (u64, u64, u64, u64, u64) {
    let Report {
        fetched,
        inserted,
        updated,
        unchanged,
        deleted,
        ..
    } = report;
    (*fetched, *inserted, *updated, *unchanged, *deleted)
}

fn counts(report: &Report) -> (u64, u64) {
    (report.odoo_count, report.mirror_count)
}

#[test]
fn a_full_run_fills_the_mirror() {
    let odoo = Odoo::with(10);
    let mut table = Table::new(&odoo);
    let report = sync(&odoo, &mut table, &full()).unwrap();
    assert_eq!(table.rows, odoo.borrow().rows());
    assert_eq!(
        (report.mode, figures(&report), counts(&report)),
        (Mode::Full, (10, 10, 0, 0, 0), (10, 10))
    );
    assert_eq!(table.progress, [3, 6, 9, 10].map(|fetched| (fetched, Some(10))));
}

#[test]
fn a_second_full_run_touches_nothing() {
    let (odoo, mut table) = mirrored(10);
    let report = sync(&odoo, &mut table, &full()).unwrap();
    assert_eq!((figures(&report), counts(&report)), ((10, 0, 0, 10, 0), (10, 10)));
    assert!(table.touched.is_empty() && table.deleted.is_empty());
}

#[test]
fn a_full_run_brings_what_changed_and_touches_only_that() {
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
fn a_mirror_of_nothing_stays_empty() {
    let odoo = Odoo::with(0);
    let mut table = Table::new(&odoo);
    let report = sync(&odoo, &mut table, &full()).unwrap();
    assert_eq!(
        (figures(&report), counts(&report), report.cursor),
        ((0, 0, 0, 0, 0), (0, 0), None)
    );
}

#[test]
fn every_size_of_page_and_window_gives_the_same() {
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
fn a_since_run_reads_only_what_was_written_since() {
    let (odoo, mut table) = mirrored(10);
    let now = odoo.borrow().date().naive_utc();
    apply(&odoo, &[Op::Pass(5), Op::Write(2), Op::Touch(3), Op::Create]);
    let mut reader = Reader::new(&odoo);
    let report = sync_from(&mut reader, &mut table, &since(now)).unwrap();
    assert_eq!(table.rows, odoo.borrow().rows());
    assert_eq!(
        (report.mode, figures(&report), counts(&report)),
        (Mode::Since, (3, 1, 1, 1, 0), (11, 11))
    );
    assert_eq!(table.touched, [3, 11]);
    // Nobody knows how many there will be, and equal counts make a compare of ids unnecessary.
    assert_eq!(table.progress, [(3, None)]);
    assert_eq!(reader.calls, ["start", "next_page", "next_page", "count"]);
}

#[test]
fn a_since_run_whose_counts_differ_compares_all_ids() {
    let (odoo, mut table) = mirrored(10);
    let now = odoo.borrow().date().naive_utc();
    table.rows.remove(&4);
    apply(&odoo, &[Op::Pass(5), Op::Delete(1), Op::Delete(8)]);
    let report = sync(&odoo, &mut table, &since(now)).unwrap();
    assert_eq!(table.rows, odoo.borrow().rows());
    assert_eq!((figures(&report), counts(&report)), ((1, 1, 0, 0, 2), (8, 8)));
    assert_eq!(
        (table.touched.as_slice(), table.deleted.as_slice()),
        (&[4][..], &[2, 10][..])
    );
}

#[test]
fn equal_counts_satisfy_a_since_run_but_not_a_full_one() {
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
    for (max_rows, mode, plan) in [
        (4, Mode::Full, full()),
        (4, Mode::Since, since(always())),
        (99, Mode::Full, full()),
    ] {
        let (odoo, mut table) = mirrored(10);
        apply(&odoo, &[Op::Delete(0), Op::Write(0), Op::Write(5)]);
        table.rows.remove(&3);
        let plan = Plan {
            max_rows: Some(max_rows),
            ..plan
        };
        let mut reader = Reader::new(&odoo);
        let report = sync_from(&mut reader, &mut table, &plan).unwrap();
        let fetched = max_rows.min(9);
        assert_eq!(
            (report.mode, report.fetched, report.deleted, report.cursor),
            (mode, fetched, 0, None)
        );
        assert_eq!(table.touched, if max_rows == 4 { vec![2, 3] } else { vec![2, 3, 7] });
        assert!(table.rows.contains_key(&1) && table.deleted.is_empty());
        assert_eq!(counts(&report), (9, 10));
        assert!(!reader.calls.contains(&"ids"));
    }
}

#[test]
fn a_dry_run_tells_what_would_be_done_and_does_nothing() {
    let now_plus = |odoo: &Shared| odoo.borrow().date().naive_utc();
    for is_full in [true, false] {
        let (odoo, mut table) = mirrored(10);
        let now = now_plus(&odoo);
        apply(
            &odoo,
            &[
                Op::Pass(5),
                Op::Delete(0),
                Op::Write(0),
                Op::Create,
                Op::Create,
                Op::Create,
            ],
        );
        let before = table.rows.clone();
        let plan = if is_full { full() } else { since(now) };
        let dry = Plan {
            dry_run: true,
            ..plan.clone()
        };
        let told = sync(&odoo, &mut table, &dry).unwrap();
        assert_eq!(table.rows, before);
        assert!(table.touched.is_empty() && table.deleted.is_empty());
        assert_eq!((told.cursor, counts(&told)), (None, (12, 10)));
        let done = sync(&odoo, &mut table, &plan).unwrap();
        assert_eq!(figures(&told), figures(&done));
        assert_eq!((done.inserted, done.updated, done.deleted), (3, 1, 1));
        assert_eq!(table.rows, odoo.borrow().rows());
    }
}

#[test]
fn a_dry_run_counts_what_a_since_run_would_find_missing() {
    let (odoo, mut table) = mirrored(10);
    let now = odoo.borrow().date().naive_utc() + TimeDelta::seconds(1);
    for id in [2, 3, 9] {
        table.rows.remove(&id);
    }
    let dry = Plan {
        dry_run: true,
        ..since(now)
    };
    let mut reader = Reader::new(&odoo);
    let told = sync_from(&mut reader, &mut table, &dry).unwrap();
    assert_eq!(told.inserted, 3);
    // What is missing is counted, not read.
    assert!(!reader.calls.contains(&"read"));
}

#[test]
fn the_cursor_is_never_later_than_the_beginning_of_the_run() {
    let (odoo, mut table) = mirrored(10);
    let began = odoo.borrow().date();
    let mut reader = Reader::new(&odoo);
    // While the second page is read, much is written.
    reader.between = vec![vec![], vec![], vec![Op::Pass(30), Op::Write(9), Op::Create]].into();
    let report = sync_from(&mut reader, &mut table, &full()).unwrap();
    assert_eq!(report.cursor, Some(began));
    // And never later than what was read.
    apply(&odoo, &[Op::Pass(100)]);
    let newest = began + TimeDelta::seconds(30);
    let cursor = sync(&odoo, &mut table, &full()).unwrap().cursor.unwrap();
    assert!(cursor >= newest && cursor <= newest + TimeDelta::seconds(1), "{cursor}");
}

#[test]
fn without_a_clock_nothing_written_meanwhile_moves_the_cursor() {
    let (odoo, mut table) = mirrored(10);
    let mut reader = Reader::new(&odoo);
    reader.clock = false;
    reader.between = vec![vec![], vec![], vec![Op::Pass(30), Op::Write(0), Op::Write(9)]].into();
    let began = odoo.borrow().date();
    let cursor = sync_from(&mut reader, &mut table, &full()).unwrap().cursor.unwrap();
    assert!(cursor <= began, "{cursor}");
    // Record 1 had been read before it was written, and is not lost.
    assert_ne!(table.rows, odoo.borrow().rows());
    sync(&odoo, &mut table, &since(cursor.naive_utc())).unwrap();
    assert_eq!(table.rows, odoo.borrow().rows());
}

#[test]
fn records_without_write_dates_give_no_cursor() {
    let odoo = Odoo::with(2);
    apply(&odoo, &[Op::Forget(0), Op::Forget(1)]);
    let mut table = Table::new(&odoo);
    let report = sync(&odoo, &mut table, &full()).unwrap();
    assert_eq!((report.cursor, table.rows.len()), (None, 2));
}

#[test]
fn only_full_runs_set_the_cursor() {
    let (odoo, mut table) = mirrored(10);
    let dry = Plan {
        dry_run: true,
        ..full()
    };
    let some = Plan {
        max_rows: Some(99),
        ..full()
    };
    for plan in [dry, some, since(always())] {
        assert_eq!(sync(&odoo, &mut table, &plan).unwrap().cursor, None, "{plan:?}");
        // Counts that differ make it compare all ids: still no cursor.
        table.rows.remove(&1);
        assert_eq!(sync(&odoo, &mut table, &plan).unwrap().cursor, None, "{plan:?}");
    }
}

#[test]
fn more_deletions_than_allowed_are_refused_and_none_is_made() {
    for (rows, gone, ratio, allowed) in [
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
            apply(&odoo, &vec![Op::Delete(7); gone]);
            let plan = Plan {
                max_delete_ratio: ratio,
                ..plan
            };
            let mut reader = Reader::new(&odoo);
            (reader.page_size, reader.window) = (500, 64);
            let result = sync_from(&mut reader, &mut table, &plan);
            match allowed {
                Ok(()) => {
                    assert_eq!(result.unwrap().deleted, gone as u64);
                    assert_eq!(table.rows, odoo.borrow().rows());
                }
                Err(allowed) => {
                    let refusal = Error::RefusedDeletion {
                        mirror: "m".into(),
                        rows: gone as u64,
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
fn a_dry_run_counts_deletions_that_would_be_refused() {
    let odoo = Odoo::with(150);
    let mut table = Table::new(&odoo);
    table.rows = odoo.borrow().rows();
    apply(&odoo, &vec![Op::Delete(0); 150]);
    let dry = Plan {
        dry_run: true,
        ..full()
    };
    let told = sync(&odoo, &mut table, &dry).unwrap();
    assert_eq!((told.deleted, table.rows.len()), (150, 150));
}

#[test]
fn ids_out_of_order_are_refused_and_nothing_is_deleted() {
    let tampers: [fn(Vec<i64>) -> Vec<i64>; 6] = [
        |mut ids| {
            ids.reverse();
            ids
        },
        |ids| ids.iter().flat_map(|id| [*id, *id]).collect(),
        |ids| std::iter::once(0).chain(ids).collect(),
        |ids| std::iter::once(-5).chain(ids).collect(),
        |ids| ids.into_iter().chain([2]).collect(),
        // The first window again and again.
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
        // What a model does that filters the ids of a window after the cut.
        |ids| ids.into_iter().filter(|id| id % 3 != 0).collect(),
        |ids| ids.into_iter().skip(2).collect(),
        |_| Vec::new(),
    ];
    for tamper in tampers {
        let (odoo, mut table) = mirrored(10);
        let mut reader = Reader::new(&odoo);
        reader.tamper = tamper;
        let report = sync_from(&mut reader, &mut table, &full()).unwrap();
        assert_eq!((report.deleted, report.odoo_count, table.rows.len()), (0, 10, 10));
    }
}

/// Odoo and a mirror that is behind in every way.
fn behind() -> (Shared, Table, NaiveDateTime) {
    let (odoo, mut table) = mirrored(12);
    let now = odoo.borrow().date().naive_utc();
    let ops = [
        Op::Pass(3),
        Op::Delete(1),
        Op::Delete(6),
        Op::Write(2),
        Op::Create,
        Op::Create,
    ];
    apply(&odoo, &ops);
    // Odd, so that counts differ after a since run too.
    table.rows.remove(&5);
    (odoo, table, now)
}

#[test]
fn a_source_that_fails_anywhere_deletes_nothing_and_the_next_run_mends_all() {
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
            assert_eq!(table.rows, odoo.borrow().rows(), "call {call}");
        }
        assert!(failed >= 8, "{failed}");
    }
}

#[test]
fn a_sink_that_fails_anywhere_loses_nothing() {
    for is_full in [true, false] {
        let mut failed = 0;
        for call in 1.. {
            let (odoo, mut table, now) = behind();
            let plan = if is_full { full() } else { since(now) };
            table.reset();
            table.fail_at = Some(call);
            let result = run(&mut Reader::new(&odoo), &mut table, &plan);
            if result.is_ok() {
                break;
            }
            failed += 1;
            assert_eq!(result, Err(failure()), "call {call}");
            sync(&odoo, &mut table, &plan).unwrap();
            assert_eq!(table.rows, odoo.borrow().rows(), "call {call}");
        }
        assert!(failed >= 8, "{failed}");
    }
}

#[test]
fn what_happens_behind_the_position_is_found_by_the_compare() {
    let (odoo, mut table) = mirrored(9);
    // Ids 10 and 11 are given, and a record above them is committed first.
    apply(&odoo, &[Op::Begin, Op::CreateWithin, Op::CreateWithin, Op::Create]);
    let mut reader = Reader::new(&odoo);
    // count, three pages of 3, one of 1, the end, ids: 10 and 11 appear after 12 has been read, and 1 goes.
    reader.between = vec![vec![]; 5].into();
    reader.between.push_back(vec![Op::Commit(0), Op::Delete(0)]);
    let report = sync_from(&mut reader, &mut table, &full()).unwrap();
    assert_eq!(table.rows, odoo.borrow().rows());
    assert_eq!(
        (table.touched.as_slice(), table.deleted.as_slice()),
        (&[12, 10, 11][..], &[1][..])
    );
    assert_eq!((figures(&report), counts(&report)), ((12, 3, 0, 9, 1), (11, 11)));
}

#[test]
fn a_record_that_goes_before_it_is_read_is_no_error() {
    let (odoo, mut table) = mirrored(3);
    table.rows.remove(&2);
    table.rows.remove(&3);
    let mut reader = Reader::new(&odoo);
    let now = odoo.borrow().date().naive_utc() + TimeDelta::seconds(1);
    // The end of the scan, count, ids, and then, before 2 and 3 are read, 2 goes.
    reader.between = vec![vec![], vec![], vec![], vec![Op::Delete(1)]].into();
    let report = sync_from(&mut reader, &mut table, &since(now)).unwrap();
    assert_eq!(
        reader.calls,
        ["start", "next_page", "count", "ids", "read", "ids", "first_date"]
    );
    assert_eq!(table.rows, odoo.borrow().rows());
    assert_eq!(figures(&report), (1, 1, 0, 0, 0));
}

#[test]
fn a_record_that_goes_after_its_window_goes_with_the_next_run() {
    let (odoo, mut table) = mirrored(6);
    let mut reader = Reader::new(&odoo);
    // count, two pages, the end, the window of 1 to 4, the window of 5 and 6.
    reader.between = vec![vec![]; 5].into();
    reader.between.push_back(vec![Op::Delete(0)]);
    let report = sync_from(&mut reader, &mut table, &full()).unwrap();
    assert_eq!((figures(&report), counts(&report)), ((6, 0, 0, 6, 0), (6, 6)));
    sync(&odoo, &mut table, &full()).unwrap();
    assert_eq!(table.deleted, [1]);
}

#[test]
fn a_change_that_commits_late_is_seen_within_the_overlap() {
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
fn a_page_size_of_nothing_is_not_fatal() {
    let (odoo, mut table) = mirrored(6);
    table.rows.clear();
    let mut reader = Reader::new(&odoo);
    reader.page_size = 0;
    // The scan brings nothing, the compare everything.
    sync_from(&mut reader, &mut table, &full()).unwrap();
    assert_eq!(table.rows, odoo.borrow().rows());
}

/// One step of a history.
#[derive(Debug, Clone)]
enum Step {
    Odoo(Op),
    Run(Attempt),
}

/// A run, and what disturbs it.
#[derive(Debug, Clone)]
struct Attempt {
    kind: Kind,
    page_size: usize,
    window: usize,
    between: Vec<Vec<Op>>,
    source_fails: Option<usize>,
    sink_fails: Option<usize>,
    /// Whether a failure undoes what the run wrote, as a function does; the procedure keeps its pages.
    atomic: bool,
    clock: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Full,
    Since,
    Dry,
    Some(u64),
}

/// What anybody can do in Odoo.
fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => Just(Op::Create),
        3 => any::<usize>().prop_map(Op::Write),
        1 => any::<usize>().prop_map(Op::Archive),
        1 => any::<usize>().prop_map(Op::Touch),
        2 => any::<usize>().prop_map(Op::Delete),
        2 => Just(Op::Begin),
        3 => Just(Op::CreateWithin),
        3 => any::<usize>().prop_map(Op::WriteWithin),
        2 => any::<usize>().prop_map(Op::DeleteWithin),
        3 => any::<usize>().prop_map(Op::Commit),
        2 => (0..50u8).prop_map(Op::Pass),
    ]
}

/// And what can be done behind its back.
fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => op(),
        1 => any::<usize>().prop_map(Op::Sql),
        1 => any::<usize>().prop_map(Op::Forget),
    ]
}

fn attempt(op: impl Strategy<Value = Op>) -> impl Strategy<Value = Attempt> {
    let kind = prop_oneof![3 => Just(Kind::Full), 3 => Just(Kind::Since), 1 => Just(Kind::Dry), 1 => (1..9u64).prop_map(Kind::Some)];
    let between = prop::collection::vec(prop::collection::vec(op, 0..4), 0..12);
    let fails = || prop::option::weighted(0.3, 1..20usize);
    let ends = (1..5usize, 1..5usize, fails(), fails());
    (kind, between, ends, any::<bool>(), prop::bool::weighted(0.8)).prop_map(
        |(kind, between, (page_size, window, source_fails, sink_fails), atomic, clock)| Attempt {
            kind,
            page_size,
            window,
            between,
            source_fails,
            sink_fails,
            atomic,
            clock,
        },
    )
}

fn history<O: Strategy<Value = Op> + 'static>(op: fn() -> O) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![3 => op().prop_map(Step::Odoo), 1 => attempt(op()).prop_map(Step::Run)];
    prop::collection::vec(step, 0..40)
}

/// Odoo, its mirror, and the cursor, as a history leaves them.
struct World {
    odoo: Shared,
    table: Table,
    cursor: Option<DateTime<Utc>>,
}

impl World {
    fn after(history: &[Step]) -> Self {
        let odoo = Odoo::with(5);
        let table = Table::new(&odoo);
        let mut world = World {
            odoo,
            table,
            cursor: None,
        };
        for step in history {
            match step {
                Step::Odoo(op) => apply(&world.odoo, std::slice::from_ref(op)),
                Step::Run(attempt) => world.attempt(attempt),
            }
        }
        world
    }

    /// Where an incremental run begins. Before the first full run there is nothing to go on from.
    fn since(&self) -> Option<NaiveDateTime> {
        self.cursor.map(|cursor| cursor.naive_utc() - LONGEST)
    }

    fn attempt(&mut self, attempt: &Attempt) {
        let mut plan = full();
        match attempt.kind {
            Kind::Full => {}
            Kind::Since => plan.since = self.since(),
            Kind::Dry => plan.dry_run = true,
            Kind::Some(rows) => plan.max_rows = Some(rows),
        }
        let mut reader = Reader::new(&self.odoo);
        (reader.page_size, reader.window, reader.clock) = (attempt.page_size, attempt.window, attempt.clock);
        reader.between = attempt.between.clone().into();
        reader.fail_at = attempt.source_fails;
        let before = self.table.rows.clone();
        self.table.reset();
        self.table.dry = plan.dry_run;
        self.table.fail_at = attempt.sink_fails;
        let result = run(&mut reader, &mut self.table, &plan);
        if plan.dry_run {
            assert_eq!(self.table.rows, before);
        }
        if plan.max_rows.is_some() || reader.fail_at.is_some_and(|call| call <= reader.calls.len()) {
            assert_eq!(self.table.deleted, Vec::<i64>::new());
        }
        match result {
            Ok(report) => {
                assert_eq!(report.mirror_count, self.table.rows.len() as u64);
                if !plan.dry_run {
                    assert_eq!(report.inserted + report.updated, self.table.touched.len() as u64);
                    assert_eq!(report.fetched, report.inserted + report.updated + report.unchanged);
                    assert_eq!(report.deleted, self.table.deleted.len() as u64);
                }
                assert!(report.cursor.is_none() || attempt.kind != Kind::Dry);
                self.cursor = report.cursor.or(self.cursor);
            }
            Err(error) => {
                assert_eq!(error, failure());
                if attempt.atomic {
                    self.table.rows = before;
                }
            }
        }
    }

    /// A run that nothing disturbs.
    fn sync(&mut self, plan: &Plan) -> Report {
        sync(&self.odoo, &mut self.table, plan).unwrap()
    }

    fn assert_equal(&self) {
        assert_eq!(self.table.rows, self.odoo.borrow().rows());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happened_a_full_run_makes_the_mirror_equal(history in history(any_op)) {
        let mut world = World::after(&history);
        let report = world.sync(&full());
        world.assert_equal();
        prop_assert_eq!(report.odoo_count, report.mirror_count);
        let again = world.sync(&full());
        prop_assert_eq!((again.inserted, again.updated, again.deleted), (0, 0, 0));
        prop_assert!(world.table.touched.is_empty());
    }

    /// As long as no transaction lasts longer than the overlap, and all changes go through Odoo.
    #[test]
    fn whatever_happened_an_incremental_run_makes_the_mirror_equal(history in history(op)) {
        let mut world = World::after(&history);
        if let Some(moment) = world.since() {
            let report = world.sync(&since(moment));
            world.assert_equal();
            prop_assert_eq!(report.odoo_count, report.mirror_count);
            let again = world.sync(&since(moment));
            prop_assert_eq!((again.inserted, again.updated, again.deleted), (0, 0, 0));
        }
    }
}
