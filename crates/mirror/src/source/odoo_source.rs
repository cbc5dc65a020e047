//! The engine's source: one mirror's records, read by the fetching thread.

use super::fetcher::Fetcher;
use super::page_reader::{PageReader, Reading, everything, read_by_ids};
use crate::engine::{Digest, IdRange, Scan, Source};
use crate::{Mirror, Page};
use chrono::{DateTime, Utc};
use ipai_odoo::error::{Error, Result};
use ipai_odoo::http::Http;
use ipai_odoo::{Client, Database, ServerInfo, domain};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

/// Ids that one call lists: 1.6 MB of XML.
const IDS_PER_CALL: u64 = 50_000;

/// A mirror's records in Odoo.
pub struct OdooSource {
    // Before the fetcher, so that it is dropped first: that frees a thread that waits to hand over
    // a page.
    pages: Option<Receiver<Result<Page>>>,
    fetcher: Fetcher,
    mirror: Arc<Mirror>,
    /// The database that the mirror was filled from. Any other is refused.
    filled_from: Database,
}

/// What a run learned about the Odoo server.
pub struct Findings {
    /// What to store about the server.
    pub server: ServerInfo,
    /// The identity of the database, as far as the run asked for it.
    pub database: Database,
    /// Why the run stopped using the addon, if it did.
    pub addon_failure: Option<Error>,
}

impl OdooSource {
    /// Refuses to read from another database than `filled_from`, if Odoo shows which one it is.
    pub fn new(fetcher: Fetcher, mirror: Arc<Mirror>, filled_from: &Database) -> Self {
        OdooSource { pages: None, fetcher, mirror, filled_from: filled_from.clone() }
    }

    /// What the run has learned about the server so far.
    pub fn findings(&self) -> Result<Findings> {
        self.fetcher.run(|client| {
            Ok(Findings {
                server: client.server_info().clone(),
                database: client.database().clone(),
                addon_failure: client.addon_failure().cloned(),
            })
        })
    }

    /// Counts the records that have each of these boolean fields set. Odoo works while the caller
    /// runs `meanwhile`.
    pub fn count_flags<R>(
        &mut self,
        fields: Vec<String>,
        meanwhile: impl FnOnce() -> Result<R>,
    ) -> Result<(Vec<u64>, R)> {
        let mirror = Arc::clone(&self.mirror);
        let (sender, counts) = sync_channel(1);
        self.fetcher.submit(move |client| {
            let count = |field: &String| {
                let terms = vec![domain::after(0), domain::term(field, "=", true)];
                client.search_count(&mirror.scope, terms)
            };
            // Sending fails if the caller no longer waits.
            let _ = sender.send(fields.iter().map(count).collect::<Result<Vec<u64>>>());
        })?;
        let other = meanwhile()?;
        Ok((self.fetcher.wait(&counts)??, other))
    }

    fn count_of(&mut self, terms: Vec<domain::Term>) -> Result<u64> {
        let mirror = Arc::clone(&self.mirror);
        self.fetcher.run(move |client| client.search_count(&mirror.scope, terms))
    }

    /// Runs `work` on the fetching thread, in the database that the mirror was filled from.
    fn verified<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Client<Http>, &Reading) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        let reading = self.reading();
        self.fetcher.run(move |client| {
            reading.verify_database(client)?;
            work(client, &reading)
        })
    }

    fn reading(&self) -> Reading {
        Reading { mirror: Arc::clone(&self.mirror), filled_from: self.filled_from.clone(), stop: self.fetcher.stop() }
    }
}

impl Source for OdooSource {
    fn start(&mut self, scan: Scan) -> Result<()> {
        // Room for one page: one page waits here while the caller writes another and the thread
        // reads a third.
        let (sender, pages) = sync_channel(1);
        let reading = self.reading();
        self.fetcher.submit(move |client| {
            let mut reader = match PageReader::new(client, reading, scan) {
                Ok(reader) => reader,
                Err(error) => return drop(sender.send(Err(error))),
            };
            loop {
                let page = reader.next().map(Option::unwrap_or_default);
                let is_last = page.as_ref().map_or(true, Page::is_empty);
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
        let Some(pages) = &self.pages else {
            return Ok(None);
        };
        let page = self.fetcher.wait(pages)??;
        if page.is_empty() {
            self.pages = None;
            return Ok(None);
        }
        Ok(Some(page))
    }

    fn count(&mut self, ids: Option<&[i64]>) -> Result<u64> {
        self.count_of(ids.map_or_else(everything, |ids| vec![domain::one_of(ids)]))
    }

    fn ids(&mut self, ranges: &[IdRange]) -> Result<Vec<i64>> {
        let ranges: Vec<(i64, i64)> = ranges.iter().map(|range| (range.after, range.upto)).collect();
        self.verified(move |client, reading| {
            let scope = &reading.mirror.scope;
            let exported = by_addon(client, |client| client.export_ids(scope, &ranges, IDS_PER_CALL))?;
            let ids = match exported {
                Some(ids) => ids,
                None => client.search(scope, domain::among(&ranges), Some(IDS_PER_CALL))?,
            };
            // A bulk page names its database.
            reading.refuse_other_database(client)?;
            Ok(ids)
        })
    }

    fn digest(&mut self, bounds: &[i64]) -> Result<Option<Vec<Digest>>> {
        let bounds = bounds.to_vec();
        let digests = self.verified(move |client, reading| {
            by_addon(client, |client| client.digest(&reading.mirror.scope, &bounds))
        })?;
        let digest =
            |[count, sum, squares]: [i128; 3]| Digest { count: u64::try_from(count).unwrap_or(0), sum, squares };
        Ok(digests.map(|digests| digests.into_iter().map(digest).collect()))
    }

    fn read(&mut self, ids: &[i64]) -> Result<Page> {
        let (reading, ids) = (self.reading(), ids.to_vec());
        self.fetcher.run(move |client| read_by_ids(client, &reading, &ids))
    }

    fn clock(&self) -> Option<DateTime<Utc>> {
        self.fetcher.clock()
    }
}

/// Calls the addon, and stops using it if its answer is over the size limit: a smaller answer
/// cannot be asked for.
fn by_addon<R>(client: &mut Client<Http>, work: impl FnOnce(&mut Client<Http>) -> Result<R>) -> Result<Option<R>> {
    match client.by_addon(work) {
        Err(error @ Error::Limit { .. }) if client.has_addon() => {
            client.give_up_addon(error);
            Ok(None)
        }
        result => result,
    }
}
