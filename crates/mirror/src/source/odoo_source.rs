//! The engine's source: one mirror's records, read by the fetching thread.

use super::fetcher::Fetcher;
use super::page_reader::{PageReader, Reading, everything, read_by_ids};
use crate::engine::{Digest, IdRange, Scan, Source, Tally};
use crate::{Mirror, Page};
use chrono::{DateTime, NaiveDateTime, Utc};
use ipai_odoo::error::{Error, Result};
use ipai_odoo::http::Http;
use ipai_odoo::{Addon, Client, Database, ServerInfo, domain};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

/// Ids that one call lists: 1.6 MB of XML.
const IDS_PER_CALL: u64 = 50_000;

/// A mirror's records in Odoo.
pub struct OdooSource {
    // Dropped before the fetcher, which frees a thread that waits to hand over a page.
    pages: Option<Receiver<Result<Option<Page>>>>,
    fetcher: Fetcher,
    reading: Reading,
}

/// What a run learned about the Odoo server.
pub struct Findings {
    /// What to store about the server.
    pub server: ServerInfo,
    /// The identity of the database, as far as the run asked for it.
    pub database: Database,
    /// Why the run stopped using the addon, if it did.
    pub addon_failure: Option<Error>,
    /// When an API key of the user expires, if the run has asked.
    pub key_expires: Option<Option<NaiveDateTime>>,
}

impl Findings {
    /// Why the run did not use the addon to its end, although Odoo has it.
    pub fn degraded(&self) -> Option<String> {
        match self.server.addon {
            Addon::Failing { .. } => self.server.addon_problem.clone(),
            Addon::Present => self.addon_failure.as_ref().map(Error::to_string),
            Addon::Unknown | Addon::Missing | Addon::Unwanted => None,
        }
    }
}

impl OdooSource {
    /// Refuses to read from another database than `filled_from`, if Odoo shows which one it is.
    pub fn new(fetcher: Fetcher, mirror: Arc<Mirror>, filled_from: &Database) -> Self {
        let reading = Reading {
            mirror,
            filled_from: filled_from.clone(),
            cancelled: fetcher.cancel.subscribe(),
            safe_page_size: Arc::default(),
        };
        OdooSource { pages: None, fetcher, reading }
    }

    /// Starts with the page size that worked in earlier runs; 0 if no page has failed.
    pub fn with_safe_page_size(mut self, size: u32) -> Self {
        self.reading.safe_page_size = Arc::new(AtomicU32::new(size));
        self
    }

    /// The page size that worked after a larger page had failed; 0 without a failure.
    pub fn safe_page_size(&self) -> u32 {
        self.reading.safe_page_size.load(Ordering::Relaxed)
    }

    /// What the run has learned about the server so far.
    pub fn findings(&self) -> Result<Findings> {
        self.fetcher.run(|client| {
            Ok(Findings {
                server: client.server_info().clone(),
                database: client.database().clone(),
                addon_failure: client.addon_failure().cloned(),
                key_expires: client.key_expires(),
            })
        })
    }

    /// Ends the scan, and returns the fetching thread.
    pub fn into_fetcher(self) -> Fetcher {
        self.fetcher
    }

    fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Client<Http>, &Reading) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        let reading = self.reading.clone();
        self.fetcher.run(move |client| work(client, &reading))
    }
}

impl Source for OdooSource {
    fn start(&mut self, scan: Scan) -> Result<()> {
        // One page waits here while the caller writes another and the thread reads a third.
        let (sender, pages) = sync_channel(1);
        let reading = self.reading.clone();
        self.fetcher.submit(move |client| {
            let mut reader = match PageReader::new(client, reading, scan) {
                Ok(reader) => reader,
                Err(error) => return drop(sender.send(Err(error))),
            };
            loop {
                let page = reader.next();
                let is_last = !matches!(page, Ok(Some(_)));
                // Sending fails if the caller no longer waits.
                if sender.send(page).is_err() || is_last {
                    return;
                }
            }
        })?;
        self.pages = Some(pages);
        Ok(())
    }

    fn next_page(&mut self) -> Result<Option<Page>> {
        match &self.pages {
            Some(pages) => self.fetcher.wait(pages)?,
            None => Ok(None),
        }
    }

    fn count(&mut self, ids: Option<&[i64]>) -> Result<u64> {
        // The thread of a scan waits to hand over a page, and counts only when the scan is over.
        self.pages = None;
        let terms = vec![ids.map_or_else(everything, domain::one_of)];
        self.run(move |client, reading| client.search_count(&reading.mirror.scope, terms))
    }

    fn tally(&mut self, total: Option<u64>, flags: bool, meanwhile: &mut dyn FnMut() -> Result<()>) -> Result<Tally> {
        let mirror = Arc::clone(&self.reading.mirror);
        let active = mirror.active_field().filter(|_| flags);
        let flag = mirror.flag_field.clone().filter(|_| flags && mirror.flag_column().is_some());
        let flags = [active, flag.as_deref()].map(|field| field.map(|field| domain::term(field, "=", true)));
        let asked = [total.is_none(), active.is_some(), flag.is_some()];
        let all = total.is_none().then(|| vec![everything()]);
        let terms = all.into_iter().chain(flags.into_iter().flatten().map(|flag| vec![everything(), flag])).collect();
        let (sender, counts) = sync_channel(1);
        self.fetcher.submit(move |client| {
            // Sending fails if the caller no longer waits.
            drop(sender.send(client.search_counts(&mirror.scope, terms)));
        })?;
        meanwhile()?;
        let mut counts = self.fetcher.wait(&counts)??.into_iter();
        let [counted, active, flagged] = asked.map(|asked| asked.then(|| counts.next()).flatten());
        Ok(Tally { total: total.or(counted).unwrap_or_default(), active, flagged })
    }

    fn ids(&mut self, ranges: &[IdRange]) -> Result<Vec<i64>> {
        let ranges: Vec<(i64, i64)> = ranges.iter().map(|range| (range.after, range.upto)).collect();
        self.run(move |client, reading| {
            reading.verify_database(client)?;
            let scope = &reading.mirror.scope;
            let ids = match by_addon(client, |client| client.export_ids(scope, &ranges, IDS_PER_CALL))? {
                Some(ids) => ids,
                None => client.search(scope, domain::among(&ranges), IDS_PER_CALL)?,
            };
            // A bulk page names its database.
            reading.refuse_other_database(client)?;
            Ok(ids)
        })
    }

    fn digest(&mut self, bounds: &[i64]) -> Result<Option<Vec<Digest>>> {
        let bounds = bounds.to_vec();
        let digests = self.run(move |client, reading| {
            reading.verify_database(client)?;
            by_addon(client, |client| client.digest(&reading.mirror.scope, &bounds))
        })?;
        let digest =
            |[count, sum, squares]: [i128; 3]| Digest { count: u64::try_from(count).unwrap_or(0), sum, squares };
        Ok(digests.map(|digests| digests.into_iter().map(digest).collect()))
    }

    fn read(&mut self, ids: &[i64]) -> Result<Page> {
        let ids = ids.to_vec();
        self.run(move |client, reading| read_by_ids(client, reading, &ids))
    }

    fn pause(&mut self, pause: Duration) -> Result<()> {
        self.run(move |client, _| client.pause(pause))
    }

    fn clock(&self) -> Option<DateTime<Utc>> {
        self.fetcher.clock.get().copied()
    }
}

/// Calls the addon, and stops using it if Odoo cannot send the answer, which cannot be divided.
fn by_addon<R>(client: &mut Client<Http>, work: impl FnOnce(&mut Client<Http>) -> Result<R>) -> Result<Option<R>> {
    match client.by_addon(work) {
        Err(error) if error.fewer_records_may_help() && client.has_addon() => {
            client.give_up_addon(error);
            Ok(None)
        }
        result => result,
    }
}
