//! The loop of a run: pages from the source into the sink, then the comparison of ids.

use super::changes::{self, Changes};
use super::deletion::{self, Guard};
use super::report::{Counts, Mode, Progress, Report, Scanned, Tally};
use super::{Position, Scan, Sink, Source, rejects};
use crate::Page;
use chrono::{NaiveDateTime, TimeDelta};
use ipai_odoo::error::{Error, Result, SqlState};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// What a run does.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Name of the mirror, for messages.
    pub mirror: String,
    /// How the run finds changes.
    pub mode: Mode,
    /// The lower bound (UTC): the run reads records written at or after it. Without one, a full run
    /// reads all, and any other run none: the model has no write dates.
    pub bound: Option<NaiveDateTime>,
    /// A record that is read whatever its write date. It shows whether the database was restored.
    pub also: Option<i64>,
    /// The position of the interrupted run that this run resumes.
    pub resume: Position,
    /// What Odoo reports as changed. If it does, the run does not scan.
    pub changes: Option<Changes>,
    /// The newest write date that earlier runs saw. A restored database has only older ones.
    pub cursor: Option<NaiveDateTime>,
    /// Whether the model has the field `write_date`.
    pub has_write_date: bool,
    /// The overlap window: how long a transaction in Odoo may last.
    pub overlap: TimeDelta,
    /// Read at most this many records, and delete nothing.
    pub max_rows: Option<u64>,
    /// Whether Odoo was asked for the fields. If not, an error that a changed field may cause ends
    /// the run.
    pub fields_are_checked: bool,
    /// How long calls may fail before the run sets no more records aside. Each may take as long as
    /// the time-out of the server.
    pub patience: Duration,
    /// Change nothing: the sink is dry.
    pub dry_run: bool,
    /// What the run may delete.
    pub guard: Guard,
    /// Most records that one call reads by their ids.
    pub page_size: usize,
    /// Whether the flags were counted after the last run that changed rows.
    pub flags_are_counted: bool,
}

impl Plan {
    /// Whether the mirror will hold exactly what Odoo has now, whatever it held before.
    pub fn reads_all(&self) -> bool {
        self.mode == Mode::Full && self.max_rows.is_none()
    }
}

/// A run that ended in an error.
#[derive(Debug, Clone, PartialEq)]
pub struct Failed {
    /// The error.
    pub error: Error,
    /// What the scan reached, if it was complete.
    pub scanned: Option<Scanned>,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Failed { error, scanned: None }
    }
}

/// Runs `plan`. Pages only upsert. Deletions come last, and only after a complete scan.
pub fn run(source: &mut dyn Source, sink: &mut dyn Sink, plan: &Plan) -> std::result::Result<Report, Failed> {
    let progress = Progress { mode: plan.mode, bound: plan.bound, position: plan.resume, ..Progress::default() };
    let mut run = Run { source, sink, plan, progress, unreadable: BTreeSet::new(), lost: Duration::ZERO };
    let mut records = match &plan.changes {
        Some(reported) => changes::apply(&mut run, reported).map(|()| None)?,
        None => run.scan()?,
    };
    if plan.max_rows.is_some() {
        let counts = run.counts(None, true)?;
        return Ok(run.report(counts, false));
    }
    if run.database_was_restored() {
        run.restart_as_full()?;
        records = run.scan()?;
    }
    compare(&mut run, records).map_err(|error| Failed { error, scanned: Some(run.scanned()) })
}

/// Compares the counts of both sides, and the ids where that is necessary. `records` is the number
/// of records if the run has read all of them.
fn compare(run: &mut Run<'_>, records: Option<u64>) -> Result<Report> {
    let (plan, mode) = (run.plan, run.progress.mode);
    if plan.changes.is_none() && matches!(mode, Mode::Incremental | Mode::Reconcile) {
        run.read_outdated()?;
    }
    let digest = plan.changes.as_ref().and_then(|changes| changes.digest);
    let compares_ids = match (mode, digest) {
        (Mode::Reconcile, _) => true,
        (Mode::Full, _) => plan.dry_run || records.is_none(),
        (_, Some(digest)) => !changes::agrees(run, digest)?,
        (_, None) => false,
    };
    if !compares_ids {
        run.retry_rejects()?;
        // Without a change since they were counted, the flags are what they were.
        let has_changed = run.progress.inserted + run.progress.updated > 0;
        let flags = mode == Mode::Full || mode != Mode::Live && (has_changed || !plan.flags_are_counted);
        let counts = run.counts(digest.map(|digest| digest.count), flags)?;
        // As many rows as records were read: each row is one of them. In an incremental run equal
        // counts are no proof, but they are all that it pays for.
        let rejects = run.rejects()?;
        let expected = |records: u64| rejects::expected_rows(records, &rejects) == Some(counts.mirror.total);
        let has_other_rows = mode == Mode::Full && !records.is_some_and(expected);
        if !has_other_rows && expected(counts.odoo.total) {
            return Ok(run.report(counts, true));
        }
    }
    let records = deletion::reconcile(run)?;
    // Rows that were in the way of others may be gone.
    run.retry_rejects()?;
    let counts = run.counts(Some(records), mode != Mode::Live)?;
    Ok(run.report(counts, true))
}

/// The most records to expect where Odoo counts this many: some arrive during a run, and a model
/// may count fewer than it shows.
pub(super) fn plausible(counted: u64) -> u64 {
    counted.saturating_mul(2).saturating_add(100_000)
}

pub(super) struct Run<'a> {
    source: &'a mut dyn Source,
    sink: &'a mut dyn Sink,
    pub(super) plan: &'a Plan,
    pub(super) progress: Progress,
    /// Records that this run has tried to read, and Odoo cannot send.
    pub(super) unreadable: BTreeSet<i64>,
    /// Time spent in calls that failed.
    pub(super) lost: Duration,
}

impl Run<'_> {
    /// Reads the records of the plan. Returns their number if these are all of Odoo's.
    fn scan(&mut self) -> Result<Option<u64>> {
        if self.progress.bound.is_none() && self.progress.mode != Mode::Full {
            return Ok(None);
        }
        let reads_all = self.progress.bound.is_none() && self.progress.position.id == 0;
        if self.progress.mode == Mode::Full && self.progress.position.id == 0 {
            self.progress.total = Some(self.timed_source(|source| source.count(None))?);
        }
        let (read_before, mut passed) = (self.progress.fetched, 0);
        // An interrupted run may have passed records that Odoo cannot send, and read none.
        let Position { id, began, newest } = self.progress.position;
        let mut is_first = id == 0 || began.is_none() && newest.is_none();
        // `max_rows` bounds a run as well.
        let mut most = self.plan.max_rows.unwrap_or(plausible(self.progress.total.unwrap_or(0)));
        self.start_scan()?;
        // A table that Odoo is rewriting looks empty. If the scan ends too early, it asks again.
        let mut expected = self.progress.total.filter(|_| self.plan.max_rows.is_none());
        loop {
            let page = match self.timed_source(|source| source.next_page()) {
                Ok(Some(page)) => page,
                Ok(None) => {
                    let read = self.progress.fetched - read_before + passed;
                    if expected.take().is_none_or(|expected| read >= expected) {
                        break;
                    }
                    self.start_scan()?;
                    continue;
                }
                Err(error) => {
                    self.pass_over(error)?;
                    passed += 1;
                    continue;
                }
            };
            if std::mem::take(&mut is_first) {
                // If Odoo sends no `Date`, the newest write date of the first page stands in for
                // its clock. A resumed run keeps the clock of the run that it resumes.
                let newest = page.newest.map(|newest| newest.written.and_utc());
                self.progress.position.began = self.source.clock().or(newest);
            }
            let last = page.ids.last().copied();
            self.write(&page, last)?;
            let read = self.progress.fetched - read_before;
            if read > most {
                most = self.count_anew(read)?;
                self.start_scan()?;
            }
        }
        if self.progress.position.id == 0 {
            self.progress.position.began = self.source.clock();
        }
        Ok(reads_all.then_some(self.progress.fetched - read_before + passed))
    }

    /// Reads the records that have changed without a new write date, as far as the mirror shows it.
    fn read_outdated(&mut self) -> Result<()> {
        let ids = self.timed_sink(|sink| sink.outdated())?;
        deletion::read(self, &ids, &mut |run, page| run.write(&page, None))
    }

    /// Sets aside the next record of the scan, which Odoo cannot send, and reads on behind it.
    fn pass_over(&mut self, error: Error) -> Result<()> {
        if error.record().is_some_and(|(_, id)| id <= self.progress.position.id) {
            return Err(error);
        }
        let id = self.set_aside(error)?;
        let position = &mut self.progress.position;
        if position.id == 0 {
            position.began = self.source.clock();
        }
        position.id = id;
        self.commit()?;
        self.start_scan()
    }

    /// Starts to read after the position.
    fn start_scan(&mut self) -> Result<()> {
        let scan = Scan {
            since: self.progress.bound,
            also: self.plan.also.filter(|_| self.progress.bound.is_some()),
            after: self.progress.position.id,
            newest: self.plan.cursor,
            limit: self.plan.max_rows.map(|most| most.saturating_sub(self.progress.fetched)),
        };
        self.timed_source(|source| source.start(scan))
    }

    /// Asks for Odoo's count after it sent this many records, and returns how many it may send. An
    /// Odoo that sends ever more records must not fill the disk.
    pub(super) fn count_anew(&mut self, records: u64) -> Result<u64> {
        let counted = self.timed_source(|source| source.count(None))?;
        let most = plausible(counted);
        if records <= most {
            return Ok(most);
        }
        let message = format!("Odoo sends more records than it counts for mirror \"{}\"", self.plan.mirror);
        Err(Error::user(SqlState::LimitExceeded, message)
            .with_detail(format!("This run received {records} records, and Odoo counts {counted} in all."))
            .with_hint(
                "Check in Odoo why search_read and search_count of the model differ. The rows written so far are \
                 kept; after Odoo is repaired, a full run deletes those that do not exist there.",
            ))
    }

    /// Whether Odoo lacks what an earlier run saw.
    fn database_was_restored(&self) -> bool {
        let newest = self.progress.position.newest.map(|newest| newest.written);
        self.progress.mode != Mode::Since
            && self.plan.changes.is_none()
            && self.progress.bound.is_some()
            && self.plan.cursor.is_some_and(|cursor| newest < Some(cursor))
    }

    fn restart_as_full(&mut self) -> Result<()> {
        self.progress = Progress { mode: Mode::Full, bound: None, position: Position::default(), ..self.progress };
        // A run that resumes this one must read everything.
        self.commit()?;
        self.sink.notice(&format!(
            "{}: Odoo has no record as new as the last run saw. Its database was restored, or the newest record was \
             deleted or cannot be read: this run reads everything again.",
            self.plan.mirror
        ));
        Ok(())
    }

    /// Calls the source and adds the time to the seconds spent waiting.
    pub(super) fn timed_source<R>(&mut self, call: impl FnOnce(&mut dyn Source) -> Result<R>) -> Result<R> {
        let began = Instant::now();
        let result = call(self.source);
        let took = began.elapsed();
        self.progress.waiting += took;
        if result.is_err() {
            self.lost += took;
        }
        result
    }

    /// Calls the sink and adds the time to the seconds spent writing.
    pub(super) fn timed_sink<R>(&mut self, call: impl FnOnce(&mut dyn Sink) -> Result<R>) -> Result<R> {
        let began = Instant::now();
        let result = call(self.sink);
        self.progress.writing += began.elapsed();
        result
    }

    /// Writes a page and commits it. `last` becomes the position; only pages of the scan have one.
    pub(super) fn write(&mut self, page: &Page, last: Option<i64>) -> Result<()> {
        let written = self.timed_sink(|sink| sink.write(page))?;
        let position = &mut self.progress.position;
        position.newest = position.newest.max(page.newest);
        position.id = last.unwrap_or(position.id);
        self.progress.pages += 1;
        self.progress.fetched += page.len() as u64;
        self.progress.inserted += written.inserted;
        self.progress.updated += written.updated;
        self.progress.rejected += written.rejected;
        self.commit()
    }

    pub(super) fn commit(&mut self) -> Result<()> {
        let progress = self.progress;
        self.timed_sink(|sink| sink.commit(&progress))
    }

    /// Counts both sides. This database counts while Odoo does.
    fn counts(&mut self, total: Option<u64>, flags: bool) -> Result<Counts> {
        let (began, mut mirror) = (Instant::now(), Tally::default());
        let sink = &mut *self.sink;
        let odoo = self.source.tally(total, flags, &mut || {
            mirror = sink.tally()?;
            Ok(())
        })?;
        if !flags {
            mirror = Tally { total: mirror.total, ..Tally::default() };
        }
        self.progress.waiting += began.elapsed();
        Ok(Counts { odoo, mirror, by_flag: flags })
    }

    /// The report. `complete`: the run read everything that it planned to read.
    fn report(&self, counts: Counts, complete: bool) -> Report {
        let Scanned { cursor, settled, .. } = match complete {
            true => self.scanned(),
            false => Scanned::default(),
        };
        Report { progress: self.progress, counts, complete, cursor, settled }
    }

    /// What a complete scan reached.
    fn scanned(&self) -> Scanned {
        let (mode, position) = (self.progress.mode, self.progress.position);
        let has_cursor = match &self.plan.changes {
            // They may all be older than what earlier runs saw.
            Some(_) => position.newest.map(|newest| newest.written) > self.plan.cursor,
            // Only a full run shows that no record has a write date.
            None => position.newest.is_some() || mode == Mode::Full && self.plan.has_write_date,
        };
        let reached = Some(position).filter(|_| has_cursor && mode != Mode::Since && !self.plan.dry_run);
        Scanned {
            mode,
            cursor: reached.and_then(|position| position.cursor()),
            settled: reached.and_then(|position| position.settled(self.plan.overlap)),
        }
    }
}
