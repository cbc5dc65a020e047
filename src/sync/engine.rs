//! The only loop: pages from the source into the sink, then the compare of ids, then the deletions.

use super::reconcile::Guard;
use super::report::{Mode, Report};
use super::{cursor, reconcile, Difference, Digest, Position, Scan, Sink, SoFar, Source};
use crate::error::Result;
use crate::mirror::Page;
use chrono::{NaiveDateTime, TimeDelta};
use std::time::Instant;

/// What a run is asked to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Name of the mirror, for messages.
    pub mirror: String,
    pub mode: Mode,
    /// Read only what was written at or after this moment (UTC); `None` reads everything.
    pub bound: Option<NaiveDateTime>,
    /// Read this record too, whenever it was written: it tells whether the database is still the one that it was.
    pub also: Option<i64>,
    /// Where an unfinished run stopped.
    pub resume: Position,
    /// The greatest write date that Odoo is known to have had: if all are older now, its database was restored.
    pub cursor: Option<NaiveDateTime>,
    /// How long a transaction in Odoo may last.
    pub overlap: TimeDelta,
    /// Read at most so many records; nothing is deleted then.
    pub max_rows: Option<u64>,
    /// Change nothing: the sink is dry.
    pub dry_run: bool,
    /// What may be deleted.
    pub guard: Guard,
}

impl Plan {
    /// Whether the mirror is to be what Odoo has now, whatever it was.
    pub fn reads_all(&self) -> bool {
        self.mode == Mode::Full && self.max_rows.is_none()
    }
}

/// Runs `plan`. Pages only upsert; deletions come last, and only after a complete answer.
pub fn run(source: &mut dyn Source, sink: &mut dyn Sink, plan: &Plan) -> Result<Report> {
    let mut run = Run::new(source, sink, plan);
    run.scan(plan)?;
    if plan.max_rows.is_some() {
        let odoo_count = run.ask(|source| source.count())?;
        return run.report(odoo_count);
    }
    if run.restored(plan) {
        run.so_far.mode = Mode::Full;
        run.so_far.bound = None;
        run.so_far.position = Position::default();
        // Whoever goes on with this run must know that everything is to be read.
        run.checkpoint()?;
        run.sink.notice(&format!(
            "{}: Odoo has nothing as new as the last run saw. Its database was restored, or the newest record was deleted: \
             everything is read again.",
            plan.mirror
        ));
        run.scan(plan)?;
    }
    let mut counts = None;
    if !run.so_far.mode.compares() {
        // Equal counts are no proof, but all that such a run pays for; others compare every id.
        let (theirs, ours) = run.counts()?;
        if theirs == ours {
            return run.complete(plan, theirs);
        }
        counts = Some((theirs, ours));
    }
    let scanned = run.so_far.inserted;
    // A dry run has written nothing, so that what it read is missing still: counted, not read again.
    let found = reconcile::compare(&mut run, !plan.dry_run, counts)?;
    if plan.dry_run {
        run.so_far.inserted = scanned.max(found.missing);
    } else {
        let rows = run.put(|sink| sink.count())?;
        plan.guard.check(&plan.mirror, found.gone.len() as u64, rows)?;
    }
    // After everything that the source is asked for: where it fails, nothing is deleted.
    run.deleted = run.put(|sink| sink.delete(&found.gone))?;
    run.complete(plan, found.odoo_count)
}

/// A run under way: both ends, and what passed between them.
pub(super) struct Run<'a> {
    source: &'a mut dyn Source,
    sink: &'a mut dyn Sink,
    so_far: SoFar,
    deleted: u64,
    dry: bool,
}

impl<'a> Run<'a> {
    fn new(source: &'a mut dyn Source, sink: &'a mut dyn Sink, plan: &Plan) -> Self {
        Run {
            source,
            sink,
            so_far: SoFar {
                mode: plan.mode,
                bound: plan.bound,
                position: plan.resume,
                ..SoFar::default()
            },
            deleted: 0,
            dry: plan.dry_run,
        }
    }

    /// Reads page after page from the position to the end.
    fn scan(&mut self, plan: &Plan) -> Result<()> {
        if self.so_far.mode == Mode::Full && self.so_far.position.id == 0 {
            self.so_far.total = Some(self.ask(|source| source.count())?);
        }
        let scan = Scan {
            since: self.so_far.bound,
            also: plan.also.filter(|_| self.so_far.bound.is_some()),
            after: self.so_far.position.id,
            newest: plan.cursor,
            limit: plan.max_rows,
            count: plan.max_rows.is_none(),
            compare: self.so_far.mode.compares(),
        };
        self.ask(|source| source.start(scan))?;
        self.put(|sink| sink.begun())?;
        if scan.since.is_some() {
            // While the source works on the first page, and counts. Where nothing is new, the sink has not to count again.
            self.put(|sink| sink.count())?;
        }
        while let Some(page) = self.ask(|source| source.next_page())? {
            let position = &mut self.so_far.position;
            if position.id == 0 {
                // Where Odoo does not tell its clock, the greatest write date of the first page stands for it. A resumed
                // run keeps what the run knew that it goes on with.
                let written = page.newest.map(|newest| newest.written.and_utc());
                position.began = self.source.first_date().or(written);
            }
            let last = page.ids.last().copied();
            self.write(&page, last)?;
        }
        Ok(())
    }

    /// Whether Odoo has lost what the last run saw.
    fn restored(&self, plan: &Plan) -> bool {
        self.so_far.mode.has_cursor()
            && self.so_far.bound.is_some()
            && plan
                .cursor
                .is_some_and(|cursor| self.so_far.position.newest.map(|newest| newest.written) < Some(cursor))
    }

    /// Asks the source, on the clock of waiting.
    pub(super) fn ask<R>(&mut self, call: impl FnOnce(&mut dyn Source) -> Result<R>) -> Result<R> {
        let began = Instant::now();
        let result = call(self.source);
        self.so_far.waiting += began.elapsed();
        result
    }

    /// Uses the sink, on the clock of writing.
    fn put<R>(&mut self, call: impl FnOnce(&mut dyn Sink) -> Result<R>) -> Result<R> {
        let began = Instant::now();
        let result = call(self.sink);
        self.so_far.writing += began.elapsed();
        result
    }

    /// The way of every page, however it was asked for. `last` moves the position: only pages of the scan do.
    pub(super) fn write(&mut self, page: &Page, last: Option<i64>) -> Result<()> {
        let written = self.put(|sink| sink.write(page))?;
        let position = &mut self.so_far.position;
        position.newest = position.newest.max(page.newest);
        position.id = last.unwrap_or(position.id);
        self.so_far.pages += 1;
        self.so_far.fetched += page.len() as u64;
        self.so_far.inserted += written.inserted;
        self.so_far.updated += written.updated;
        self.checkpoint()
    }

    fn checkpoint(&mut self) -> Result<()> {
        let so_far = self.so_far;
        self.put(|sink| sink.checkpoint(&so_far))
    }

    pub(super) fn compare(&mut self, after: i64, upto: i64, ids: &[i64]) -> Result<Difference> {
        self.put(|sink| sink.compare(after, upto, ids))
    }

    pub(super) fn rest(&mut self, after: i64, upto: i64) -> Result<Vec<i64>> {
        self.put(|sink| sink.rest(after, upto))
    }

    pub(super) fn greatest(&mut self) -> Result<i64> {
        self.put(|sink| sink.greatest())
    }

    pub(super) fn holes(&mut self, most: usize) -> Result<Option<Vec<(i64, i64)>>> {
        self.put(|sink| sink.holes(most))
    }

    /// Odoo's count and the mirror's.
    pub(super) fn counts(&mut self) -> Result<(u64, u64)> {
        Ok((self.ask(|source| source.count())?, self.count()?))
    }

    /// The mirror's count.
    pub(super) fn count(&mut self) -> Result<u64> {
        self.put(|sink| sink.count())
    }

    pub(super) fn digest(&mut self, bounds: &[i64]) -> Result<Vec<Digest>> {
        self.put(|sink| sink.digest(bounds))
    }

    /// Most ids that one call brings.
    pub(super) fn window(&self) -> usize {
        self.source.window().max(1)
    }

    /// Most ids that are read in one call.
    pub(super) fn page_size(&self) -> usize {
        self.source.page_size().max(1)
    }

    /// The report of a run that saw everything it was to see.
    fn complete(&mut self, plan: &Plan, odoo_count: u64) -> Result<Report> {
        let mut report = self.report(odoo_count)?;
        report.complete = true;
        if self.so_far.mode.has_cursor() && !self.dry {
            let position = &self.so_far.position;
            report.cursor = cursor::after_run(position.newest, position.began);
            report.settled = cursor::settled(position.newest, position.began, plan.overlap);
        }
        Ok(report)
    }

    fn report(&mut self, odoo_count: u64) -> Result<Report> {
        let mirror_count = self.put(|sink| sink.count())?;
        let so_far = self.so_far;
        Ok(Report {
            mode: so_far.mode,
            pages: so_far.pages,
            fetched: so_far.fetched,
            inserted: so_far.inserted,
            updated: so_far.updated,
            unchanged: so_far.fetched.saturating_sub(so_far.inserted + so_far.updated),
            deleted: self.deleted,
            odoo_count,
            mirror_count,
            complete: false,
            cursor: None,
            settled: None,
            waiting: so_far.waiting,
            writing: so_far.writing,
        })
    }
}
