//! An in-memory model of Odoo and of a mirror, with the properties that concern a sync.
//!
//! [`Odoo`] has the properties that make it hard to mirror: a write date is the start of its
//! transaction and is shown in whole seconds, transactions commit late, ids are assigned before the
//! commit, deletions leave no trace, some changes do not set the write date, and a backup may be
//! restored. [`Reader`] reads it page by page while it changes. [`Table`] is a sink that checks its
//! arguments. [`Product`] keeps the state between scheduled runs.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, Timelike, Utc};

use super::{
    Digest, Digests, Guard, IdRange, Mode, Plan, Position, Progress, Refused, Report, Requested, Scan, Scanned, Sink,
    Source, Start, State, Tally, Unfinished, Written, plan_run, run,
};
use crate::source::PageSize;
use crate::{Column, Newest, Page};
use ipai_odoo::error::{Error, Result};

/// The mirrored values of a record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cells {
    pub name: String,
    pub active: bool,
}

#[derive(Debug, Clone)]
struct Record {
    cells: Cells,
    write_date: Option<NaiveDateTime>,
    /// When the last change was committed.
    committed: NaiveDateTime,
}

/// The maximum duration of a transaction.
pub const LONGEST: TimeDelta = TimeDelta::seconds(60);

/// An open transaction, whose changes are not visible yet.
#[derive(Debug)]
struct Transaction {
    began: NaiveDateTime,
    /// `None` deletes.
    changes: BTreeMap<i64, Option<Cells>>,
}

/// An event in Odoo. A number selects a record or a transaction.
#[derive(Debug, Clone)]
pub enum Op {
    Create,
    Write(usize),
    Archive(usize),
    /// Writes the current values: only the write date changes.
    Touch(usize),
    Delete(usize),
    /// Exchanges the names of two records.
    Swap(usize, usize),
    /// Deletes a record and creates another one of the same name.
    Replace(usize),
    /// Changes a record by SQL: the write date stays.
    Sql(usize),
    /// Sets a write date to NULL by SQL.
    Forget(usize),
    /// Creates a record whose write date is a day old, by SQL or in an endless transaction.
    Import,
    /// Writes while Odoo's clock is a month ahead.
    Ahead(usize),
    Backup,
    /// Restores the last backup, including the id sequence. Open transactions are lost.
    Restore,
    Begin,
    /// The same event in the transaction that began last.
    CreateWithin,
    WriteWithin(usize),
    DeleteWithin(usize),
    Commit(usize),
    /// Seconds.
    Pass(u8),
}

#[derive(Debug)]
pub struct Odoo {
    now: NaiveDateTime,
    records: BTreeMap<i64, Record>,
    open: Vec<Transaction>,
    last_id: i64,
    /// Records that it cannot send.
    pub unreadable: BTreeSet<i64>,
    /// The most records that it can send in one answer.
    pub room: usize,
    /// Ids up to this one may be assigned again, because a backup was restored.
    reassigned_upto: i64,
    /// The records of a backup, and its last id.
    backup: Option<(BTreeMap<i64, Record>, i64)>,
    changes: u64,
    /// Every committed state of every record.
    ever: HashSet<(i64, Cells)>,
}

pub type Shared = Rc<RefCell<Odoo>>;

impl Odoo {
    /// Odoo with the records 1 to `count`, written one second apart.
    pub fn with(count: usize) -> Shared {
        let noon = NaiveDate::from_ymd_opt(2026, 1, 6).and_then(|day| day.and_hms_micro_opt(12, 0, 0, 123_456));
        let mut odoo = Odoo {
            now: noon.unwrap_or_default(),
            records: BTreeMap::new(),
            open: Vec::new(),
            last_id: 0,
            unreadable: BTreeSet::new(),
            room: usize::MAX,
            reassigned_upto: 0,
            backup: None,
            changes: 0,
            ever: HashSet::new(),
        };
        for _ in 0..count {
            odoo.apply(&Op::Create);
            odoo.apply(&Op::Pass(1));
        }
        Rc::new(RefCell::new(odoo))
    }

    /// The rows of an equal mirror.
    pub fn rows(&self) -> BTreeMap<i64, Cells> {
        self.records.iter().map(|(id, record)| (*id, record.cells.clone())).collect()
    }

    /// The clock as in a `Date` header.
    pub fn date(&self) -> DateTime<Utc> {
        whole_seconds(self.now).and_utc()
    }

    pub fn apply(&mut self, op: &Op) {
        let now = self.now;
        match op {
            Op::Create => {
                let cells = self.fresh();
                let id = self.next_id();
                self.commit(now, BTreeMap::from([(id, Some(cells))]));
            }
            Op::Write(pick) => {
                let cells = self.fresh();
                self.change(*pick, |_| Some(cells));
            }
            Op::Archive(pick) => self.change(*pick, |cells| Some(Cells { active: !cells.active, ..cells })),
            Op::Touch(pick) => self.change(*pick, Some),
            Op::Delete(pick) => self.change(*pick, |_| None),
            Op::Swap(pick, other) => {
                if let (Some(one), Some(other)) = (self.pick(*pick), self.pick(*other)) {
                    let cells = |id| self.records[&id].cells.clone();
                    self.commit(now, BTreeMap::from([(one, Some(cells(other))), (other, Some(cells(one)))]));
                }
            }
            Op::Replace(pick) => {
                if let Some(id) = self.pick(*pick) {
                    let cells = self.records[&id].cells.clone();
                    let successor = self.next_id();
                    self.commit(now, BTreeMap::from([(id, None), (successor, Some(cells))]));
                }
            }
            Op::Sql(pick) => {
                let cells = self.fresh();
                if let Some(id) = self.pick(*pick)
                    && let Some(record) = self.records.get_mut(&id)
                {
                    record.cells = cells.clone();
                    self.ever.insert((id, cells));
                }
            }
            Op::Forget(pick) => {
                let id = self.pick(*pick);
                if let Some(record) = id.and_then(|id| self.records.get_mut(&id)) {
                    record.write_date = None;
                }
            }
            Op::Import => {
                let (id, cells) = (self.next_id(), self.fresh());
                self.commit(now - TimeDelta::days(1), BTreeMap::from([(id, Some(cells))]));
            }
            Op::Ahead(pick) => {
                let cells = self.fresh();
                if let Some(id) = self.pick(*pick) {
                    self.commit(now + TimeDelta::days(30), BTreeMap::from([(id, Some(cells))]));
                }
            }
            Op::Backup => self.backup = Some((self.records.clone(), self.last_id)),
            Op::Restore => {
                if let Some((records, last_id)) = self.backup.clone() {
                    self.reassigned_upto = self.reassigned_upto.max(self.last_id);
                    (self.records, self.last_id) = (records, last_id);
                    self.open.clear();
                }
            }
            Op::Begin => self.open.push(Transaction { began: now, changes: BTreeMap::new() }),
            Op::CreateWithin => {
                let (id, cells) = (self.next_id(), self.fresh());
                if let Some(transaction) = self.open.last_mut() {
                    transaction.changes.insert(id, Some(cells));
                }
            }
            Op::WriteWithin(pick) => {
                let cells = self.fresh();
                self.change_within(*pick, Some(cells));
            }
            Op::DeleteWithin(pick) => self.change_within(*pick, None),
            Op::Commit(pick) => {
                if !self.open.is_empty() {
                    let transaction = self.open.remove(pick % self.open.len());
                    self.commit(transaction.began, transaction.changes);
                }
            }
            Op::Pass(seconds) => self.now += TimeDelta::seconds(i64::from(*seconds)),
        }
        // No two events have the same time.
        self.now += TimeDelta::microseconds(70_001);
        while let Some(late) = self.open.iter().position(|open| self.now - open.began > LONGEST) {
            let transaction = self.open.remove(late);
            // It committed within its maximum duration.
            let now = std::mem::replace(&mut self.now, transaction.began + LONGEST);
            self.commit(transaction.began, transaction.changes);
            self.now = now;
        }
    }

    fn fresh(&mut self) -> Cells {
        self.changes += 1;
        Cells { name: format!("name {}", self.changes), active: true }
    }

    fn next_id(&mut self) -> i64 {
        self.last_id += 1;
        self.last_id
    }

    /// A record that no open transaction has locked.
    fn pick(&self, pick: usize) -> Option<i64> {
        let locked: BTreeSet<i64> = self.open.iter().flat_map(|open| open.changes.keys().copied()).collect();
        let free: Vec<i64> = self.records.keys().copied().filter(|id| !locked.contains(id)).collect();
        free.get(pick.checked_rem(free.len())?).copied()
    }

    fn change(&mut self, pick: usize, change: impl FnOnce(Cells) -> Option<Cells>) {
        if let Some(id) = self.pick(pick) {
            let changed = change(self.records[&id].cells.clone());
            self.commit(self.now, BTreeMap::from([(id, changed)]));
        }
    }

    fn change_within(&mut self, pick: usize, cells: Option<Cells>) {
        let (Some(id), Some(transaction)) = (self.pick(pick), self.open.last_mut()) else {
            return;
        };
        // Odoo would restart a transaction that writes a record committed since.
        if self.records[&id].committed < transaction.began {
            transaction.changes.insert(id, cells);
        }
    }

    fn commit(&mut self, began: NaiveDateTime, changes: BTreeMap<i64, Option<Cells>>) {
        for (id, change) in changes {
            let Some(cells) = change else {
                self.records.remove(&id);
                continue;
            };
            self.ever.insert((id, cells.clone()));
            let record = Record { cells, write_date: Some(began), committed: self.now };
            self.records.insert(id, record);
        }
    }
}

/// A moment as Odoo shows it.
fn whole_seconds(moment: NaiveDateTime) -> NaiveDateTime {
    moment.with_nanosecond(0).unwrap_or(moment)
}

/// The digest of each range.
fn digests(bounds: &[i64], ids: impl Fn(i64, i64) -> Vec<i64>) -> Vec<Digest> {
    assert!(bounds.windows(2).all(|pair| pair[0] < pair[1]), "{bounds:?}");
    let digest = |ids: Vec<i64>| Digest {
        count: ids.len() as u64,
        sum: ids.iter().map(|id| i128::from(*id)).sum(),
        squares: ids.iter().map(|id| i128::from(*id) * i128::from(*id)).sum(),
    };
    bounds.windows(2).map(|pair| digest(ids(pair[0], pair[1]))).collect()
}

fn assert_ascending(ranges: &[IdRange]) {
    let ascend = ranges.iter().all(|range| range.after < range.upto)
        && ranges.windows(2).all(|pair| pair[0].upto <= pair[1].after);
    assert!(!ranges.is_empty() && ascend, "{ranges:?}");
}

/// The injected error.
pub fn failure() -> Error {
    Error::Connection { cause: "injected".to_owned() }
}

/// The error of Odoo for records that it cannot send.
pub fn cannot_send(ids: &[i64]) -> Error {
    let error = Box::new(Error::Exhausted("out of memory"));
    Error::Records { model: "m".into(), id: ids[0], number: ids.len() as u64, field: None, error }
}

/// A source that reads [`Odoo`], which changes between any two calls.
pub struct Reader {
    pub odoo: Shared,
    pub page_size: usize,
    pub window: usize,
    /// What happens in Odoo before each call.
    pub between: VecDeque<Vec<Op>>,
    /// Number of the call that fails, from 1.
    pub fail_at: Option<usize>,
    /// Whether answers have a `Date` header.
    pub clock: bool,
    /// Changes the ids of a window.
    pub tamper: fn(Vec<i64>) -> Vec<i64>,
    /// Whether it computes digests.
    pub digests: bool,
    /// The most records in an answer to [`Source::read`].
    pub room: usize,
    /// The error for records that it cannot send.
    pub cannot_send: fn(&[i64]) -> Error,
    /// What it counts in all, if it counts wrongly.
    pub counted: Option<u64>,
    /// Numbers of the calls, from 1, during which Odoo rewrites the table: it looks empty.
    pub rewriting: Range<usize>,
    /// Names of the calls so far.
    pub calls: Vec<&'static str>,
    /// The page size that worked after a larger page had failed.
    pub safe_page_size: Option<u64>,
    /// The sizes of the pages of the scan.
    size: PageSize,
    first_date: Option<DateTime<Utc>>,
    scan: Scan,
    after: i64,
    left: u64,
}

impl Reader {
    pub fn new(odoo: &Shared) -> Self {
        Reader {
            odoo: Rc::clone(odoo),
            page_size: 3,
            window: 4,
            between: VecDeque::new(),
            fail_at: None,
            clock: true,
            tamper: |ids| ids,
            digests: false,
            room: usize::MAX,
            cannot_send,
            counted: None,
            rewriting: 0..0,
            calls: Vec::new(),
            safe_page_size: None,
            size: PageSize::new(1, false, None),
            first_date: None,
            scan: Scan::default(),
            after: 0,
            left: 0,
        }
    }

    fn call(&mut self, name: &'static str) -> Result<()> {
        self.calls.push(name);
        if self.fail_at == Some(self.calls.len()) {
            return Err(failure());
        }
        Ok(())
    }

    /// A call that Odoo answers.
    fn request(&mut self, name: &'static str) -> Result<()> {
        self.call(name)?;
        let mut odoo = self.odoo.borrow_mut();
        for op in self.between.pop_front().unwrap_or_default() {
            odoo.apply(&op);
        }
        if self.clock {
            self.first_date.get_or_insert(odoo.date());
        }
        Ok(())
    }

    /// The most records of the next page, after attempts that were too large.
    fn limit(&mut self) -> usize {
        let room = self.odoo.borrow().room as u64;
        loop {
            let limit = self.size.rows.min(self.left);
            if limit <= room {
                return usize::try_from(limit).unwrap_or(usize::MAX);
            }
            assert!(self.size.shrink(limit, Duration::ZERO, true), "{:?}", self.size);
            self.safe_page_size = self.size.safe;
        }
    }

    fn ids_between(&self, after: i64, upto: i64) -> Vec<i64> {
        self.visible(|id, _| id > after && id <= upto).map(|(id, _)| id).collect()
    }

    /// The records that a call sees.
    fn visible(&self, wanted: impl Fn(i64, &Record) -> bool) -> impl Iterator<Item = (i64, Record)> {
        let records = match self.rewriting.contains(&self.calls.len()) {
            true => BTreeMap::new(),
            false => self.odoo.borrow().records.clone(),
        };
        records.into_iter().filter(move |(id, record)| wanted(*id, record))
    }

    fn page(&self, wanted: impl Fn(i64, &Record) -> bool, limit: usize) -> Page {
        let found: Vec<(i64, Record)> = self.visible(wanted).take(limit).collect();
        let cells = || found.iter().map(|(_, record)| &record.cells);
        Page {
            ids: found.iter().map(|(id, _)| *id).collect(),
            columns: vec![
                Column::Text(cells().map(|cells| Some(&cells.name)).collect()),
                Column::Boolean(cells().map(|cells| Some(cells.active)).collect()),
            ],
            newest: found
                .iter()
                .filter_map(|(id, record)| {
                    let written = whole_seconds(record.write_date?);
                    Some(Newest { written, id: *id })
                })
                .max(),
        }
    }
}

impl Source for Reader {
    fn start(&mut self, scan: Scan) -> Result<()> {
        self.call("start")?;
        (self.scan, self.after, self.left) = (scan, scan.after, scan.limit.unwrap_or(u64::MAX));
        let most = u32::try_from(self.page_size).unwrap_or(u32::MAX);
        self.size = PageSize::new(most, false, self.safe_page_size);
        self.size.rows = self.safe_page_size.unwrap_or(u64::from(most)).min(u64::from(most));
        Ok(())
    }

    fn next_page(&mut self) -> Result<Option<Page>> {
        self.request("next_page")?;
        let since = self.scan.since.map(whole_seconds);
        let late = |written: Option<NaiveDateTime>| since.is_none_or(|since| written.is_some_and(|at| at >= since));
        let limit = self.limit();
        let asked = |id, record: &Record| id > self.after && (self.scan.also == Some(id) || late(record.write_date));
        let mut page = self.page(asked, limit);
        let unreadable = page.ids.iter().position(|id| self.odoo.borrow().unreadable.contains(id));
        match unreadable {
            // It has asked for fewer records.
            Some(0) => return Err((self.cannot_send)(&page.ids[..1])),
            Some(place) => page = self.page(asked, place),
            None => {}
        }
        if unreadable.is_none() {
            self.size.adapt(limit as u64, page.len() as u64, 1, Duration::ZERO);
            self.safe_page_size = self.size.safe;
        }
        self.left -= page.len() as u64;
        self.after = page.ids.last().copied().unwrap_or(self.after);
        Ok((!page.is_empty()).then_some(page))
    }

    fn count(&mut self, ids: Option<&[i64]>) -> Result<u64> {
        self.request("count")?;
        Ok(match ids {
            None => self.counted.unwrap_or(self.visible(|_, _| true).count() as u64),
            Some(ids) => self.visible(|id, _| ids.contains(&id)).count() as u64,
        })
    }

    fn tally(&mut self, total: Option<u64>, _: bool, meanwhile: &mut dyn FnMut() -> Result<()>) -> Result<Tally> {
        let total = total.map_or_else(|| self.count(None), Ok)?;
        meanwhile()?;
        Ok(Tally { total, ..Tally::default() })
    }

    fn ids(&mut self, ranges: &[IdRange]) -> Result<Vec<i64>> {
        self.request("ids")?;
        assert_ascending(ranges);
        let ids = ranges.iter().flat_map(|range| self.ids_between(range.after, range.upto));
        Ok((self.tamper)(ids.take(self.window).collect()))
    }

    fn digest(&mut self, bounds: &[i64]) -> Result<Option<Vec<Digest>>> {
        if !self.digests {
            return Ok(None);
        }
        self.request("digest")?;
        Ok(Some(digests(bounds, |after, upto| self.ids_between(after, upto))))
    }

    fn read(&mut self, ids: &[i64]) -> Result<Page> {
        self.request("read")?;
        assert!(!ids.is_empty() && ids.len() <= self.page_size.max(1), "{ids:?}");
        let page = self.page(|id, _| ids.contains(&id), ids.len());
        let room = self.room.min(self.odoo.borrow().room);
        match ids.len() > room || page.ids.iter().any(|id| self.odoo.borrow().unreadable.contains(id)) {
            true => Err((self.cannot_send)(ids)),
            false => Ok(page),
        }
    }

    fn pause(&mut self, pause: Duration) -> Result<()> {
        self.request("pause")?;
        self.odoo.borrow_mut().now += TimeDelta::from_std(pause).unwrap_or_default();
        Ok(())
    }

    fn clock(&self) -> Option<DateTime<Utc>> {
        self.first_date
    }
}

/// A sink that keeps its rows in memory and panics on impossible arguments. A killed run keeps what
/// was committed.
pub struct Table {
    odoo: Shared,
    pub rows: BTreeMap<i64, Cells>,
    pub dry: bool,
    /// Ids of the rows that were written, in the order of writing.
    pub touched: Vec<i64>,
    /// Ids of the rows that were deleted.
    pub deleted: Vec<i64>,
    /// Fetched and total records, at each commit.
    pub progress: Vec<(u64, Option<u64>)>,
    /// The notices.
    pub notices: Vec<String>,
    /// What the table refused, and has not accepted since.
    pub rejects: BTreeMap<i64, Refused>,
    /// The rows and rejects at the last commit, or at the start of the run.
    committed: (BTreeMap<i64, Cells>, BTreeMap<i64, Refused>),
    /// The progress at the last commit.
    pub so_far: Option<Progress>,
    /// Number of the call that fails, from 1.
    pub fail_at: Option<usize>,
    /// Ids in one range of a digest.
    pub width: usize,
    /// Records that the table refuses.
    pub unfit: BTreeSet<i64>,
    /// Rows that cannot be deleted, because another table references them.
    pub kept: BTreeSet<i64>,
    /// Rows that are known to be outdated.
    pub outdated: BTreeSet<i64>,
    /// The most rejects of a run.
    pub max_rejects: usize,
    refused_now: BTreeSet<i64>,
    calls: usize,
}

impl Table {
    pub fn new(odoo: &Shared) -> Self {
        Table {
            odoo: Rc::clone(odoo),
            rows: BTreeMap::new(),
            dry: false,
            touched: Vec::new(),
            deleted: Vec::new(),
            progress: Vec::new(),
            notices: Vec::new(),
            rejects: BTreeMap::new(),
            committed: Default::default(),
            so_far: None,
            fail_at: None,
            width: 5,
            unfit: BTreeSet::new(),
            kept: BTreeSet::new(),
            outdated: BTreeSet::new(),
            max_rejects: usize::MAX,
            refused_now: BTreeSet::new(),
            calls: 0,
        }
    }

    /// Starts a new run with the same rows and rejects.
    pub fn reset(&mut self) {
        *self = Table {
            committed: (self.rows.clone(), self.rejects.clone()),
            rows: std::mem::take(&mut self.rows),
            rejects: std::mem::take(&mut self.rejects),
            width: self.width,
            unfit: std::mem::take(&mut self.unfit),
            kept: std::mem::take(&mut self.kept),
            outdated: std::mem::take(&mut self.outdated),
            max_rejects: self.max_rejects,
            ..Table::new(&self.odoo)
        };
    }

    /// Discards what was written after the last commit.
    pub fn roll_back(&mut self) {
        (self.rows, self.rejects) = self.committed.clone();
        self.deleted.clear();
    }

    /// Whether these rows fit. Names are unique.
    fn accepts(&self, rows: &BTreeMap<i64, Cells>) -> bool {
        let others = self.rows.iter().filter(|(id, _)| !rows.contains_key(id));
        let names: Vec<&str> = others.chain(rows).map(|(_, cells)| cells.name.as_str()).collect();
        names.iter().collect::<BTreeSet<_>>().len() == names.len() && rows.keys().all(|id| !self.unfit.contains(id))
    }

    fn accept(&mut self, rows: BTreeMap<i64, Cells>, written: &mut Written) {
        for (id, cells) in rows {
            if !self.dry {
                self.rejects.remove(&id);
                self.refused_now.remove(&id);
            }
            match self.rows.get(&id) {
                Some(row) if *row == cells => continue,
                Some(_) => written.updated += 1,
                None => written.inserted += 1,
            }
            if !self.dry {
                self.touched.push(id);
                self.rows.insert(id, cells);
            }
        }
    }

    fn refused(&self, id: i64) -> Refused {
        if self.rows.contains_key(&id) { Refused::Update } else { Refused::Insert }
    }

    fn check_limit(&self, error: &Error) -> Result<()> {
        match self.refused_now.len() > self.max_rejects {
            true => Err(error.clone()),
            false => Ok(()),
        }
    }

    fn call(&mut self) -> Result<()> {
        self.calls += 1;
        match self.fail_at == Some(self.calls) {
            true => Err(failure()),
            false => Ok(()),
        }
    }
}

impl Sink for Table {
    fn write(&mut self, page: &Page) -> Result<Written> {
        self.call()?;
        let [Column::Text(names), Column::Boolean(flags)] = page.columns.as_slice() else {
            unreachable!("the model has two columns")
        };
        assert!(page.ids.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", page.ids);
        let (mut written, mut sent) = (Written::default(), BTreeMap::new());
        for ((id, name), active) in page.ids.iter().zip(names.iter()).zip(flags) {
            let cells = Cells {
                name: String::from_utf8_lossy(name.unwrap_or_default()).into_owned(),
                active: active.unwrap_or_default(),
            };
            assert!(self.odoo.borrow().ever.contains(&(*id, cells.clone())), "{id} was never {cells:?}");
            sent.insert(*id, cells);
        }
        let mut parts = vec![sent];
        while let Some(mut part) = parts.pop() {
            if self.dry || self.accepts(&part) {
                self.accept(part, &mut written);
            } else if part.len() == 1 {
                written.rejected += 1;
                let rejects: Vec<_> = part.keys().map(|id| (*id, self.refused(*id))).collect();
                self.refused_now.extend(part.keys());
                self.rejects.extend(rejects);
            } else {
                let half = part.keys().nth(part.len() / 2).copied().unwrap_or_default();
                parts.push(part.split_off(&half));
                parts.push(part);
            }
        }
        self.check_limit(&failure())?;
        Ok(written)
    }

    fn set_aside(&mut self, id: i64, error: &Error) -> Result<()> {
        self.refused_now.insert(id);
        if !self.dry {
            self.rejects.insert(id, self.refused(id));
        }
        self.check_limit(error)
    }

    fn rejects(&mut self) -> Result<Vec<(i64, Refused)>> {
        Ok(match self.dry {
            true => self.refused_now.iter().map(|id| (*id, self.refused(*id))).collect(),
            false => self.rejects.iter().map(|(id, refused)| (*id, *refused)).collect(),
        })
    }

    fn forget(&mut self, ids: &[i64]) -> Result<()> {
        self.rejects.retain(|id, _| !ids.contains(id));
        self.refused_now.retain(|id| !ids.contains(id));
        Ok(())
    }

    fn outdated(&mut self) -> Result<Vec<i64>> {
        self.call()?;
        Ok(self.outdated.iter().copied().collect())
    }

    fn tally(&mut self) -> Result<Tally> {
        self.call()?;
        Ok(Tally { total: self.rows.len() as u64, ..Tally::default() })
    }

    fn ids(&mut self, range: IdRange) -> Result<Vec<i64>> {
        self.call()?;
        let ids = self.rows.keys().copied().filter(|id| range.contains(*id));
        Ok(ids.take(2).collect())
    }

    fn digest(&mut self) -> Result<Option<Digests>> {
        self.call()?;
        let rows = &self.rows;
        let greatest = rows.keys().next_back().copied().unwrap_or(0);
        let mut bounds: Vec<i64> = (0..greatest).step_by(self.width).collect();
        bounds.extend([greatest, i64::from(i32::MAX)]);
        bounds.dedup();
        let digests =
            digests(&bounds, |after, upto| rows.keys().copied().filter(|id| *id > after && *id <= upto).collect());
        Ok(Some(Digests { bounds, digests }))
    }

    fn delete(&mut self, ids: &[i64]) -> Result<u64> {
        self.call()?;
        for id in ids {
            // Only a restored backup brings an id back, so its record must not exist.
            let odoo = self.odoo.borrow();
            assert!(*id <= odoo.reassigned_upto || !odoo.records.contains_key(id), "{id} is in Odoo");
            assert!(self.rows.contains_key(id), "{id} is not in the mirror");
        }
        if self.dry {
            return Ok(ids.len() as u64);
        }
        let (kept, ids): (Vec<i64>, Vec<i64>) = ids.iter().partition(|id| self.kept.contains(id));
        self.refused_now.extend(&kept);
        self.rejects.extend(kept.into_iter().map(|id| (id, Refused::Delete)));
        for id in &ids {
            self.deleted.push(*id);
            self.rows.remove(id);
            self.forget(&[*id])?;
        }
        self.check_limit(&failure())?;
        Ok(ids.len() as u64)
    }

    fn commit(&mut self, progress: &Progress) -> Result<()> {
        self.call()?;
        if let Some(before) = self.so_far.filter(|before| before.mode == progress.mode) {
            assert_eq!(progress.bound, before.bound);
            let (position, before) = (progress.position, before.position);
            assert!(position.id >= before.id && position.newest >= before.newest, "{before:?} {position:?}");
            assert!(position.began == before.began || before.began.is_none(), "{before:?} {position:?}");
        }
        self.so_far = Some(*progress);
        self.progress.push((progress.fetched, progress.total));
        if !self.dry {
            self.committed = (self.rows.clone(), self.rejects.clone());
        }
        Ok(())
    }

    fn notice(&mut self, message: &str) {
        self.notices.push(message.to_owned());
    }
}

/// A mirror and its state between scheduled runs.
pub struct Product {
    pub odoo: Shared,
    pub table: Table,
    pub state: State,
    pub guard: Guard,
    pub patience: Duration,
    /// Number of the call to the sink that fails in the next run, from 1.
    pub sink_fails: Option<usize>,
    /// Whether a failed run was killed, and its failure is not recorded.
    pub killed: bool,
    /// The page size that worked after a larger page had failed.
    pub safe_page_size: Option<u64>,
    runs: i64,
    /// The clock at the start of the unfinished run, if Odoo sent one.
    began: Option<DateTime<Utc>>,
}

impl Product {
    /// With an empty mirror.
    pub fn new(odoo: &Shared) -> Self {
        Product {
            odoo: Rc::clone(odoo),
            table: Table::new(odoo),
            state: State {
                cursor: None,
                settled: None,
                is_clock: false,
                has_ids_only: false,
                has_token: false,
                full_at: None,
                overlap: LONGEST,
                reconcile_every: TimeDelta::seconds(300),
                unfinished: None,
            },
            guard: Guard::ratio(0.2),
            patience: Duration::MAX,
            sink_fails: None,
            killed: true,
            safe_page_size: None,
            runs: 0,
            began: None,
        }
    }

    /// One `call run_sync(mirror, mode)`, to its end or its failure.
    pub fn run(&mut self, reader: &mut Reader, requested: Requested) -> (Start, Result<Report>) {
        let start = plan_run(requested, &self.state, self.now());
        let plan = Plan {
            mirror: "m".into(),
            mode: start.mode,
            bound: start.bound,
            also: start.also,
            changes: None,
            resume: start.resumed.map_or_else(Position::default, |unfinished| unfinished.position),
            cursor: self.state.newest(),
            has_write_date: true,
            overlap: self.state.overlap,
            max_rows: None,
            fields_are_checked: true,
            patience: self.patience,
            dry_run: false,
            guard: self.guard,
            page_size: reader.page_size,
            flags_are_counted: false,
        };
        self.table.reset();
        self.table.fail_at = self.sink_fails.take();
        self.runs += 1;
        reader.safe_page_size = self.safe_page_size;
        let result = run(reader, &mut self.table, &plan);
        self.safe_page_size = reader.safe_page_size;

        // A run that became a full run keeps nothing of the run that it resumed.
        let turned = self.table.so_far.is_some_and(|so_far| so_far.mode != start.mode);
        assert_eq!(turned, !self.table.notices.is_empty());
        if start.resumed.is_none() || turned {
            self.began = reader.first_date;
        }
        match &result {
            Ok(report) => {
                if let (Some(cursor), Some(began)) = (report.cursor, self.began) {
                    assert!(cursor <= began, "{cursor} {began}");
                }
                if let Some(cursor) = report.cursor {
                    self.state.reach(cursor.naive_utc(), report.settled);
                }
                if report.progress.mode == Mode::Full {
                    self.state.full_at = Some(self.now());
                }
                self.state.unfinished = None;
            }
            Err(failed) => {
                self.table.roll_back();
                let so_far = self.table.so_far;
                // The failure of a killed run is not recorded. A complete scan leaves nothing to
                // resume.
                let scanned = failed.scanned.filter(|_| !self.killed);
                if let Some(Scanned { cursor: Some(cursor), settled, .. }) = scanned {
                    self.state.reach(cursor.naive_utc(), settled);
                }
                if scanned.is_some_and(|scanned| scanned.mode == Mode::Full) {
                    self.state.full_at = Some(self.now());
                }
                let refused = matches!(failed.error, Error::RefusedDeletion { .. });
                self.state.unfinished = (scanned.is_none() && !refused).then(|| Unfinished {
                    run: self.runs,
                    mode: so_far.map_or(plan.mode, |so_far| so_far.mode),
                    bound: so_far.map_or(plan.bound, |so_far| so_far.bound),
                    position: so_far.map_or(plan.resume, |so_far| so_far.position),
                });
            }
        }
        (start, result.map_err(|failed| failed.error))
    }

    /// An undisturbed run.
    pub fn sync(&mut self, requested: Requested) -> (Start, Report) {
        let (start, result) = self.run(&mut Reader::new(&self.odoo), requested);
        let report = result.unwrap_or_else(|error| unreachable!("{error:?}"));
        (start, report)
    }

    pub fn apply(&mut self, ops: &[Op]) {
        for op in ops {
            self.odoo.borrow_mut().apply(op);
        }
    }

    pub fn now(&self) -> NaiveDateTime {
        self.odoo.borrow().date().naive_utc()
    }

    pub fn is_equal(&self) -> bool {
        self.table.rows == self.odoo.borrow().rows()
    }
}
