//! The only loop: pages from the source into the sink, then the compare of ids, then the deletions.

use super::report::{Mode, Report};
use super::{cursor, reconcile, Difference, Scan, Sink, Source};
use crate::error::Result;
use crate::mirror::Page;
use chrono::NaiveDateTime;
use std::time::{Duration, Instant};

/// What a run is asked to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Name of the mirror, for messages.
    pub mirror: String,
    /// Read only what was written at or after this moment (UTC); `None` reads everything.
    pub since: Option<NaiveDateTime>,
    /// Read at most so many records; nothing is deleted then.
    pub max_rows: Option<u64>,
    /// Change nothing: the sink is dry.
    pub dry_run: bool,
    /// Largest part of the rows (0 to 1) that may be deleted.
    pub max_delete_ratio: f64,
}

/// Runs `plan`. On an error, what was written so far is left to the sink's transaction; deletions come last, and
/// only after a complete answer.
pub fn run(source: &mut dyn Source, sink: &mut dyn Sink, plan: &Plan) -> Result<Report> {
    let mode = plan.since.map_or(Mode::Full, |_| Mode::Since);
    let mut run = Run::new(source, sink);
    if mode == Mode::Full {
        run.total = Some(run.ask(|source| source.count())?);
    }
    run.ask(|source| {
        source.start(Scan {
            since: plan.since,
            limit: plan.max_rows,
        })
    })?;
    while let Some(page) = run.ask(|source| source.next_page())? {
        run.write(&page)?;
    }
    if plan.max_rows.is_some() {
        let odoo_count = run.ask(|source| source.count())?;
        return run.report(mode, odoo_count);
    }
    if mode == Mode::Since {
        // Equal counts are no proof, but all that an incremental run pays for; full runs compare every id.
        let odoo_count = run.ask(|source| source.count())?;
        if odoo_count == run.put(|sink| sink.count())? {
            return run.report(mode, odoo_count);
        }
    }
    let scanned = run.inserted;
    // A dry run has written nothing, so that what it read is missing still: counted, not read again.
    let found = reconcile::compare(&mut run, !plan.dry_run)?;
    if plan.dry_run {
        run.inserted = scanned.max(found.missing);
    } else {
        let rows = run.put(|sink| sink.count())?;
        reconcile::guard(&plan.mirror, found.gone.len() as u64, rows, plan.max_delete_ratio)?;
    }
    let began = run.ask(|source| source.first_date())?;
    // After everything that the source is asked for: where it fails, nothing is deleted.
    run.deleted = run.put(|sink| sink.delete(&found.gone))?;
    let mut report = run.report(mode, found.odoo_count)?;
    if mode == Mode::Full && !plan.dry_run {
        report.cursor = cursor::after_full_run(run.written, began, run.first_written);
    }
    Ok(report)
}

/// A run under way: both ends, and what passed between them.
pub(super) struct Run<'a> {
    source: &'a mut dyn Source,
    sink: &'a mut dyn Sink,
    /// Records to expect, where that is known.
    total: Option<u64>,
    fetched: u64,
    inserted: u64,
    updated: u64,
    deleted: u64,
    /// The greatest write date seen.
    written: Option<NaiveDateTime>,
    /// The greatest write date of the first page.
    first_written: Option<NaiveDateTime>,
    waiting: Duration,
    writing: Duration,
}

impl<'a> Run<'a> {
    fn new(source: &'a mut dyn Source, sink: &'a mut dyn Sink) -> Self {
        Run {
            source,
            sink,
            total: None,
            fetched: 0,
            inserted: 0,
            updated: 0,
            deleted: 0,
            written: None,
            first_written: None,
            waiting: Duration::ZERO,
            writing: Duration::ZERO,
        }
    }

    /// Asks the source, on the clock of waiting.
    pub(super) fn ask<R>(&mut self, call: impl FnOnce(&mut dyn Source) -> Result<R>) -> Result<R> {
        let began = Instant::now();
        let result = call(self.source);
        self.waiting += began.elapsed();
        result
    }

    /// Uses the sink, on the clock of writing.
    fn put<R>(&mut self, call: impl FnOnce(&mut dyn Sink) -> Result<R>) -> Result<R> {
        let began = Instant::now();
        let result = call(self.sink);
        self.writing += began.elapsed();
        result
    }

    /// The way of every page, however it was asked for.
    pub(super) fn write(&mut self, page: &Page) -> Result<()> {
        let written = self.put(|sink| sink.write(page))?;
        if self.fetched == 0 {
            self.first_written = page.written;
        }
        self.fetched += page.len() as u64;
        self.inserted += written.inserted;
        self.updated += written.updated;
        self.written = self.written.max(page.written);
        self.sink.progress(self.fetched, self.total);
        Ok(())
    }

    pub(super) fn compare(&mut self, after: i64, upto: i64, ids: &[i64]) -> Result<Difference> {
        self.put(|sink| sink.compare(after, upto, ids))
    }

    fn report(&mut self, mode: Mode, odoo_count: u64) -> Result<Report> {
        let mirror_count = self.put(|sink| sink.count())?;
        Ok(Report {
            mode,
            fetched: self.fetched,
            inserted: self.inserted,
            updated: self.updated,
            unchanged: self.fetched.saturating_sub(self.inserted + self.updated),
            deleted: self.deleted,
            odoo_count,
            mirror_count,
            cursor: None,
            waiting: self.waiting,
            writing: self.writing,
        })
    }
}
