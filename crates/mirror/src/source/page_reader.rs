//! Reads the pages of a scan, one call (or two) a page, on the fetching thread.

use super::blame::blame;
use super::page_size::PageSize;
use crate::engine::{IdRange, SECOND, Scan, validate_ids};
use crate::{Mirror, Page, PageBuilder};
use ipai_odoo::domain::IDS_PER_REQUEST;
use ipai_odoo::error::{Error, Result};
use ipai_odoo::http::Http;
use ipai_odoo::{Addon, Client, Database, domain};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// What is read, and from which database.
#[derive(Clone)]
pub(super) struct Reading {
    pub mirror: Arc<Mirror>,
    /// The database that the mirror was filled from. Any other is refused.
    pub filled_from: Database,
    /// True once the thread must end.
    pub cancelled: watch::Receiver<bool>,
    /// The page size that worked after a larger page had failed; 0 without such a failure.
    pub safe_page_size: Arc<AtomicU32>,
}

impl Reading {
    /// Refuses another database than the mirror's, as far as it is known which one this is.
    pub fn refuse_other_database(&self, client: &Client<Http>) -> Result<()> {
        match client.database().is_same_as(&self.filled_from) {
            Some(false) => Err(Error::OtherDatabase { mirror: self.mirror.name.clone() }),
            _ => Ok(()),
        }
    }

    /// Refuses another database. Asks Odoo once if nothing else shows which database it is.
    pub fn verify_database(&self, client: &mut Client<Http>) -> Result<()> {
        client.identify_for(&self.filled_from)?;
        self.refuse_other_database(client)
    }

    fn page(&self, after: i64, most: u64) -> PageBuilder<'_> {
        PageBuilder::new(&self.mirror, after, most).cancelled_by(&self.cancelled)
    }
}

/// The page size of a new run. `safe`: the size that worked after a larger page had failed; 0
/// without a failure.
fn page_size(mirror: &Mirror, safe: u32) -> PageSize {
    PageSize::new(mirror.page_size, mirror.has_files(), Some(u64::from(safe)).filter(|safe| *safe > 0))
}

/// Records of the first page of a new run.
pub fn first_page_size(mirror: &Mirror, safe: u32) -> usize {
    usize::try_from(page_size(mirror, safe).rows).unwrap_or(usize::MAX)
}

pub(super) struct PageReader<'c> {
    client: &'c mut Client<Http>,
    reading: Reading,
    /// Its `after` moves: every record up to this id was read.
    scan: Scan,
    page_size: PageSize,
    /// Records that the scan may still read; none after its end.
    left: u64,
    /// A record that was asked for alone, without an answer. Odoo may have been down.
    suspect: Option<i64>,
}

impl<'c> PageReader<'c> {
    pub fn new(client: &'c mut Client<Http>, reading: Reading, scan: Scan) -> Result<Self> {
        let filled_as = reading.filled_from.uuid.as_ref();
        let known = client.server_info();
        if scan.since.is_none() {
            client.identify()?;
        } else {
            // What an earlier run learned may be out of date.
            let may_differ = match known.addon {
                Addon::Missing => false,
                Addon::Failing { is_due } => is_due,
                _ => filled_as.is_some() && known.uuid.as_ref() != filled_as,
            };
            if may_differ {
                client.look_for_addon()?;
            }
        }
        reading.refuse_other_database(client)?;
        Ok(PageReader {
            client,
            scan,
            page_size: page_size(&reading.mirror, reading.safe_page_size.load(Ordering::Relaxed)),
            left: scan.limit.unwrap_or(u64::MAX),
            suspect: None,
            reading,
        })
    }

    /// The next page that is not empty; `None` after the last.
    pub fn next(&mut self) -> Result<Option<Page>> {
        let mut calls = 0;
        while self.left > 0 {
            calls += 1;
            if calls > CALLS_PER_PAGE {
                let cause = format!("{CALLS_PER_PAGE} pages in a row list records that cannot be read");
                return Err(Error::Malformed { cause });
            }
            if self.reading.mirror.has_lists() && !self.client.has_addon() {
                self.page_size.cap(IDS_PER_REQUEST as u64);
            }
            let (limit, began) = (self.left.min(self.page_size.rows), Instant::now());
            let (page, covered) = match self.fetch(limit) {
                Ok(answer) => answer,
                Err(error) => {
                    self.ask_for_less(error, limit, began.elapsed())?;
                    continue;
                }
            };
            self.page_size.adapt(limit, covered.len() as u64, self.client.received(), self.client.took());
            self.remember_page_size();
            self.verify_database(&page)?;
            let records = covered.len() as u64;
            self.scan.after = covered.last().copied().unwrap_or(self.scan.after);
            self.left = self.left.saturating_sub(records);
            if self.is_end(records, limit) {
                self.left = 0;
            }
            if !page.is_empty() {
                return Ok(Some(page));
            }
        }
        Ok(None)
    }

    /// Reads a page. Returns the ids that the call covered as well, also of records deleted since.
    fn fetch(&mut self, limit: u64) -> Result<(Page, Vec<i64>)> {
        let reading = &self.reading;
        let (scope, fields) = (&reading.mirror.scope, reading.mirror.wanted_fields());
        let after = self.scan.after;
        let terms = domain::page(after, self.scan.since, self.scan.also);
        let page = || reading.page(after, limit);
        let exported = self.client.by_addon(|client| client.export(scope, &fields, terms.clone(), limit, page()))?;
        let page = match exported {
            Some(page) => page.finish(),
            None if reading.mirror.has_lists() => {
                let ids = self.client.search(scope, terms, limit)?;
                validate_ids(&ids, &[IdRange { after, ..IdRange::ALL }])?;
                return Ok((read_listed(self.client, reading, after, &ids)?, ids));
            }
            None => self.client.search_read(scope, &fields, terms, Some(limit), page)?.finish(),
        };
        let covered = page.ids.clone();
        Ok((page, covered))
    }

    /// Prepares the next attempt to read a page, after an error. Returns the error if there is
    /// none: Odoo is down, or a single record causes it.
    fn ask_for_less(&mut self, error: Error, limit: u64, took: Duration) -> Result<()> {
        let terms = domain::page(self.scan.after, self.scan.since, self.scan.also);
        match blame(self.client, &self.reading.mirror, terms, limit, error) {
            Error::Records { error, .. } if self.page_size.shrink(limit, took, error.may_be_of_size()) => {}
            Error::Value { .. } if self.page_size.shrink(limit, took, false) => {}
            Error::Records { error, .. } if matches!(*error, Error::Limit { .. }) && self.client.has_addon() => {
                self.client.give_up_addon(*error);
            }
            Error::Records { id, error, .. } if error.is_of_exchange() && self.suspect.replace(id) != Some(id) => {}
            error => return Err(error),
        }
        self.remember_page_size();
        Ok(())
    }

    fn remember_page_size(&self) {
        let size = self.page_size.safe.and_then(|size| u32::try_from(size).ok()).unwrap_or(0);
        self.reading.safe_page_size.store(size, Ordering::Relaxed);
    }

    fn verify_database(&mut self, page: &Page) -> Result<()> {
        // A page with the newest record that earlier runs saw comes from the same database.
        let newest = page.newest.zip(self.scan.newest);
        let is_unchanged = newest.is_some_and(|(newest, known)| (newest.written - known).abs() < SECOND);
        match is_unchanged || page.is_empty() {
            true => self.reading.refuse_other_database(self.client)?,
            false => self.reading.verify_database(self.client)?,
        }
        // If any database may be read, this is it: another one may replace it at any time.
        self.reading.filled_from = self.reading.filled_from.with(self.client.database());
        Ok(())
    }

    /// Whether a page with this number of records was the last one. A model may filter records
    /// after Odoo applied the limit, so only an empty page is surely the end. For an incremental
    /// scan that extra call would cost as much as the changes: it ends with a short page, and the
    /// next full run finds the records that a short page hides.
    fn is_end(&mut self, records: u64, limit: u64) -> bool {
        match self.scan.since {
            Some(_) => records < limit,
            // A larger page is less likely to be filtered to nothing.
            None => records == 0 && (limit >= self.left.min(self.page_size.most) || !self.page_size.maximize()),
        }
    }
}

/// Calls for one page that is not empty. An answer may be too large, or its records deleted since.
const CALLS_PER_PAGE: u32 = 100;

/// A term for all records. Some models (`ir.attachment`) show others without a term about ids.
pub(super) fn everything() -> domain::Term {
    domain::after(0)
}

/// Reads the records with these ids that still exist.
///
/// # Errors
/// [`Error::Records`] if fewer records may succeed.
pub(super) fn read_by_ids(client: &mut Client<Http>, reading: &Reading, ids: &[i64]) -> Result<Page> {
    let mut is_suspect = false;
    loop {
        let error = match try_read_by_ids(client, reading, ids) {
            Err(Error::NoneReturned { .. }) if client.has_addon() => match export_by_ids(client, reading, ids)? {
                Some(page) => return Ok(page),
                None => continue,
            },
            Err(error) => blame(client, &reading.mirror, vec![domain::one_of(ids)], ids.len() as u64, error),
            page => return page,
        };
        match error {
            // Odoo may have been down when it was asked for this record.
            Error::Records { number: 1, error, .. } if error.is_of_exchange() && !is_suspect => is_suspect = true,
            error => return Err(error),
        }
    }
}

fn try_read_by_ids(client: &mut Client<Http>, reading: &Reading, ids: &[i64]) -> Result<Page> {
    let (scope, fields) = (&reading.mirror.scope, reading.mirror.wanted_fields());
    if reading.mirror.has_lists() {
        let found = client.search(scope, [domain::one_of(ids)], ids.len() as u64)?;
        return require_subset(read_listed(client, reading, i64::MIN, &found)?, ids);
    }
    let page = || reading.page(i64::MIN, ids.len() as u64);
    require_subset(client.search_read(scope, &fields, [domain::one_of(ids)], None, page)?.finish(), ids)
}

/// Reads records by the addon, which can send what XML-RPC cannot carry. `None`: it fails.
fn export_by_ids(client: &mut Client<Http>, reading: &Reading, ids: &[i64]) -> Result<Option<Page>> {
    let (scope, fields, number) = (&reading.mirror.scope, reading.mirror.wanted_fields(), ids.len() as u64);
    let page = reading.page(i64::MIN, number);
    let terms = vec![domain::one_of(ids)];
    let exported = client.by_addon(|client| client.export(scope, &fields, terms, number, page))?;
    exported.map(|page| require_subset(page.finish(), ids)).transpose()
}

/// Reads listed records. Unlike `search_read`, `read` keeps archived records in lists of ids.
fn read_listed(client: &mut Client<Http>, reading: &Reading, after: i64, ids: &[i64]) -> Result<Page> {
    let (scope, fields) = (&reading.mirror.scope, reading.mirror.wanted_fields());
    let page = || reading.page(after, ids.len() as u64);
    if ids.is_empty() {
        return Ok(page().finish());
    }
    require_subset(client.read(scope, &fields, ids, page)?.finish(), ids)
}

/// Refuses records that were not asked for. Both lists are in ascending order.
pub(super) fn require_subset(page: Page, ids: &[i64]) -> Result<Page> {
    match page.ids.iter().all(|id| ids.binary_search(id).is_ok()) {
        true => Ok(page),
        false => Err(Error::Malformed { cause: "there are other records than those asked for".to_owned() }),
    }
}
