//! The fetching thread: it talks to Odoo while the backend's own thread writes, or waits and can be cancelled.
//!
//! Only the backend's thread calls Postgres. This one blocks all signals, is cancelled by channel and joined when
//! its handle is dropped, by whatever way the backend leaves. No static holds it.

use crate::error::{Error, Result};
use crate::http::{Endpoint, Http};
use crate::mirror::{Mirror, Page, PageBuilder};
use crate::odoo::retry::Policy;
use crate::odoo::{domain, Account, Addon, Client, Database, Known, Wanted};
use crate::sync::{Digest, Scan, Source, SECOND};
use crate::xmlrpc::{RowVisitor, Scalar};
use chrono::{DateTime, Utc};
use std::sync::mpsc::{channel, sync_channel, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::watch;

mod pace;

use pace::Pace;

/// What the waiting side does ten times a second: an error (or an unwinding) ends the wait.
pub type Tick = fn() -> Result<()>;

const TICK: Duration = Duration::from_millis(100);

/// A client of Odoo on a thread of its own.
pub struct Fetcher {
    jobs: Option<Sender<Job>>,
    cancel: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
    tick: Tick,
    /// Odoo's clock at its first answer, told by the thread.
    first_date: Arc<OnceLock<DateTime<Utc>>>,
}

type Job = Box<dyn FnOnce(&mut Client<Http>) + Send>;

/// True once the thread is to end.
type Stop = watch::Receiver<bool>;

impl Fetcher {
    /// Starts the thread; connects to nothing yet. `known` is what is remembered.
    pub fn start(endpoint: Endpoint, account: Account, retries: Policy, known: Known, tick: Tick) -> Result<Self> {
        let (jobs, queue) = channel::<Job>();
        let (cancel, cancelled) = watch::channel(false);
        let (ready, started) = sync_channel(1);
        let first_date = Arc::new(OnceLock::new());
        let told = Arc::clone(&first_date);
        let work = move || {
            let http = match Http::new(endpoint, cancelled) {
                Ok(http) => http,
                Err(error) => {
                    let _ = ready.send(Err(error));
                    return;
                }
            };
            let mut client = Client::new(http, account, retries, known, told);
            let _ = ready.send(Ok(()));
            for job in queue {
                job(&mut client);
            }
        };
        let builder = std::thread::Builder::new().name("ipai_sync fetch".to_owned());
        let thread = with_signals_blocked(|| builder.spawn(work)).map_err(|error| Error::Internal {
            cause: format!("cannot start a thread: {error}"),
        })?;
        let fetcher = Fetcher {
            jobs: Some(jobs),
            cancel,
            thread: Some(thread),
            tick,
            first_date,
        };
        fetcher.wait(&started)??;
        Ok(fetcher)
    }

    /// Runs `work` on the thread and waits for its result.
    pub fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Client<Http>) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        let result = self.begin(work)?;
        self.wait(&result)?
    }

    /// Runs `work` on the thread, after what it has to do already.
    fn begin<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Client<Http>) -> Result<R> + Send + 'static,
    ) -> Result<Receiver<Result<R>>> {
        let (done, result) = sync_channel(1);
        self.submit(move |client| {
            let _ = done.send(work(client));
        })?;
        Ok(result)
    }

    /// Tells a job whether to stop.
    fn stop(&self) -> Stop {
        self.cancel.subscribe()
    }

    fn submit(&self, job: impl FnOnce(&mut Client<Http>) + Send + 'static) -> Result<()> {
        let sent = self.jobs.as_ref().map(|jobs| jobs.send(Box::new(job)));
        match sent {
            Some(Ok(())) => Ok(()),
            _ => Err(ended()),
        }
    }

    fn wait<R>(&self, result: &Receiver<R>) -> Result<R> {
        loop {
            (self.tick)()?;
            match result.recv_timeout(TICK) {
                Ok(result) => return Ok(result),
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return Err(ended()),
            }
        }
    }
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        self.jobs = None;
        self.cancel.send_replace(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Blocks every signal while `start` runs: a thread started inside inherits the mask, so that Postgres's handlers
/// only ever run on the backend's own thread.
pub(crate) fn with_signals_blocked<R>(start: impl FnOnce() -> R) -> R {
    // SAFETY: the sets live on this stack and the old mask is restored on the same thread.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
        let result = start();
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut());
        result
    }
}

fn ended() -> Error {
    Error::Internal {
        cause: "the fetching thread ended".to_owned(),
    }
}

/// One mirror's records, read from Odoo.
pub struct OdooSource {
    // Before the fetcher: dropping it frees a thread that waits to hand over a page.
    pages: Option<Receiver<Result<Page>>>,
    /// What is counted while the last pages are written.
    counted: Option<Receiver<Result<Option<u64>>>>,
    ahead: Option<Ahead>,
    fetcher: Fetcher,
    mirror: Arc<Mirror>,
    /// The database that the mirror was filled from, where any other one is to be refused.
    filled_from: Database,
}

/// Ids asked for in one call: 1.6 MB of XML.
const WINDOW: u32 = 50_000;

/// What was learned of Odoo in a run.
pub struct Learned {
    pub known: Known,
    /// Which database it is, as far as that was asked.
    pub database: Database,
    /// Why its addon was given up, if it was.
    pub addon_failure: Option<Error>,
}

/// Ids that Odoo lists while those before them are compared.
struct Ahead {
    after: i64,
    upto: i64,
    ids: Receiver<Result<Vec<i64>>>,
}

impl OdooSource {
    pub fn new(fetcher: Fetcher, mirror: Arc<Mirror>) -> Self {
        OdooSource {
            pages: None,
            counted: None,
            ahead: None,
            fetcher,
            mirror,
            filled_from: Database::default(),
        }
    }

    /// Refuses to read from any other database than this, where Odoo tells which it is.
    pub fn only_from(mut self, database: &Database) -> Self {
        self.filled_from = database.clone();
        self
    }

    /// What is known of Odoo by now.
    pub fn learned(&self) -> Result<Learned> {
        self.fetcher.run(|client| {
            Ok(Learned {
                known: client.known().clone(),
                database: client.database().clone(),
                addon_failure: client.addon_failure().cloned(),
            })
        })
    }

    /// How many records have this boolean field set.
    pub fn count_where(&mut self, field: &str) -> Result<u64> {
        self.count_of(vec![domain::after(0), domain::term(field, "=", true)])
    }

    fn ask_for_ids(&self, after: i64, upto: i64) -> Result<Receiver<Result<Vec<i64>>>> {
        let mirror = Arc::clone(&self.mirror);
        let wanted = Wanted {
            since: None,
            also: None,
            after,
            upto: (upto < i64::MAX).then_some(upto),
            limit: u64::from(WINDOW),
        };
        let filled_from = self.filled_from.clone();
        self.fetcher.begin(move |client| {
            check_database(client, &mirror, &filled_from)?;
            let ids = match by_addon(client, |client| client.export_ids(&mirror.scope, &wanted))? {
                Some(ids) => ids,
                None => client.search(&mirror.scope, &wanted)?,
            };
            // A bulk page has told it anew.
            refuse_other(client, &mirror, &filled_from)?;
            Ok(ids)
        })
    }

    fn count_of(&mut self, terms: Vec<domain::Term>) -> Result<u64> {
        let mirror = Arc::clone(&self.mirror);
        self.fetcher
            .run(move |client| client.search_count(&mirror.scope, terms))
    }
}

impl Source for OdooSource {
    fn start(&mut self, scan: Scan) -> Result<()> {
        // Room for one page: while it waits here another one is written, the next one is decoded, and the answer after that may be on its way.
        let (sender, pages) = sync_channel(1);
        let (count, counted) = sync_channel(1);
        let mirror = Arc::clone(&self.mirror);
        let (filled_from, stop) = (self.filled_from.clone(), self.fetcher.stop());
        self.fetcher.submit(
            move |client| match read_pages(client, &mirror, scan, &filled_from, &stop, &sender) {
                Ok(()) => {
                    let wanted = scan.count && !(scan.compare && client.has_addon());
                    let counted = wanted.then(|| client.search_count(&mirror.scope, everything()));
                    let _ = count.send(counted.transpose());
                }
                Err(error) => {
                    let _ = sender.send(Err(error));
                }
            },
        )?;
        self.pages = Some(pages);
        self.counted = Some(counted);
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

    fn count(&mut self) -> Result<u64> {
        if let Some(counted) = self.counted.take() {
            if let Some(count) = self.fetcher.wait(&counted)?? {
                return Ok(count);
            }
        }
        self.count_of(everything())
    }

    fn count_among(&mut self, ids: &[i64]) -> Result<u64> {
        self.count_of(vec![domain::one_of(ids)])
    }

    fn count_between(&mut self, ranges: &[(i64, i64)]) -> Result<u64> {
        self.count_of(domain::between(ranges))
    }

    fn ids(&mut self, after: i64, upto: i64) -> Result<Vec<i64>> {
        let asked = match self.ahead.take() {
            Some(ahead) if (ahead.after, ahead.upto) == (after, upto) => ahead.ids,
            _ => self.ask_for_ids(after, upto)?,
        };
        let ids = self.fetcher.wait(&asked)??;
        // After a full window another one is wanted.
        if let Some(last) = ids
            .last()
            .copied()
            .filter(|last| ids.len() >= WINDOW as usize && *last < upto)
        {
            self.ahead = Some(Ahead {
                after: last,
                upto,
                ids: self.ask_for_ids(last, upto)?,
            });
        }
        Ok(ids)
    }

    fn ids_among(&mut self, ranges: &[(i64, i64)]) -> Result<Vec<i64>> {
        let (mirror, filled_from) = (Arc::clone(&self.mirror), self.filled_from.clone());
        let ranges = ranges.to_vec();
        self.fetcher.run(move |client| {
            check_database(client, &mirror, &filled_from)?;
            client.search_between(&mirror.scope, &ranges)
        })
    }

    fn digest(&mut self, bounds: &[i64]) -> Result<Option<Vec<Digest>>> {
        let (mirror, filled_from) = (Arc::clone(&self.mirror), self.filled_from.clone());
        let bounds = bounds.to_vec();
        let digests = self.fetcher.run(move |client| {
            check_database(client, &mirror, &filled_from)?;
            by_addon(client, |client| client.digest(&mirror.scope, &bounds))
        })?;
        let digest = |[count, sum, squares]: [i128; 3]| Digest {
            count: u64::try_from(count).unwrap_or(0),
            sum,
            squares,
        };
        Ok(digests.map(|digests| digests.into_iter().map(digest).collect()))
    }

    fn read(&mut self, ids: &[i64]) -> Result<Page> {
        let mirror = Arc::clone(&self.mirror);
        let (ids, stop) = (ids.to_vec(), self.fetcher.stop());
        self.fetcher.run(move |client| {
            let fields = mirror.wanted_fields();
            if mirror.has_lists() {
                let ids = client.search_among(&mirror.scope, &ids)?;
                return read_by_id(client, &mirror, &fields, i64::MIN, &ids, &stop);
            }
            let page = || Stoppable::new(&mirror, i64::MIN, ids.len() as u64, &stop);
            let page = client.search_read_ids(&mirror.scope, &fields, &ids, page)?.finish();
            among(&page, &ids)?;
            Ok(page)
        })
    }

    fn window(&self) -> usize {
        WINDOW as usize
    }

    fn page_size(&self) -> usize {
        self.mirror.page_size as usize
    }

    fn first_date(&self) -> Option<DateTime<Utc>> {
        self.fetcher.first_date.get().copied()
    }
}

/// Sends page after page, and an empty one after the last.
fn read_pages(
    client: &mut Client<Http>,
    mirror: &Mirror,
    scan: Scan,
    filled_from: &Database,
    stop: &Stop,
    pages: &SyncSender<Result<Page>>,
) -> Result<()> {
    if scan.since.is_none() {
        // Where everything is read the calls do not count.
        client.identify()?;
    }
    let filled_as = filled_from.uuid.as_ref();
    let known = client.known();
    if scan.since.is_some() && filled_as.is_some() && known.addon != Addon::Missing && known.uuid.as_ref() != filled_as
    {
        // What is remembered may be of another time.
        client.look_for_addon()?;
    }
    refuse_other(client, mirror, filled_from)?;
    // Where any may be read, it is one: another may take its place at any time.
    let mut only_from = filled_from.clone();
    let fields = mirror.wanted_fields();
    let mut pace = Pace::new(mirror.page_size);
    let mut left = scan.limit.unwrap_or(u64::MAX);
    let mut after = scan.after;
    let (mut read, mut most) = (0_u64, most_of(0));
    // Where everything is read, what comes after a page is known before it is decoded: Odoo need not wait for that.
    let mut look_ahead = scan.since.is_none() && scan.limit.is_none();
    loop {
        let limit = left.min(pace.rows());
        let wanted = Wanted {
            since: scan.since,
            also: scan.also,
            after,
            upto: None,
            limit,
        };
        let mut guess = None;
        let next = |received, took, last| {
            // Otherwise Odoo may be asked for a count first.
            let is_next = look_ahead && read + limit <= most;
            is_next.then(|| {
                pace.saw(received, took);
                guess = Some(last);
                Wanted {
                    after: last,
                    limit: pace.rows(),
                    ..wanted
                }
            })
        };
        let (page, rows, last) = match read_page(client, mirror, &fields, &wanted, stop, next) {
            Err(Error::Limit { .. }) if pace.shrink() => continue,
            Err(error @ Error::Limit { .. }) if client.has_addon() => {
                client.give_up_addon(error);
                continue;
            }
            read => read?,
        };
        match guess {
            Some(guess) => look_ahead = guess == last,
            None => pace.saw(client.received(), client.took()),
        }
        // What ends with the newest record that is known, as an unchanged database does, is not of another one.
        let newest = page.newest.zip(scan.newest);
        let unchanged = newest.is_some_and(|(newest, known)| (newest.written - known).abs() < SECOND);
        match unchanged || page.is_empty() {
            true => refuse_other(client, mirror, &only_from)?,
            false => check_database(client, mirror, &only_from)?,
        }
        only_from = only_from.with(client.database());
        after = last;
        left = left.saturating_sub(rows);
        read += rows;
        if read > most {
            // Now and then, so that it costs nothing.
            let counted = client.search_count(&mirror.scope, everything())?;
            if read > most_of(counted) {
                return Err(Error::Malformed {
                    cause: format!("page after page brings records, far more than the {counted} that are counted"),
                });
            }
            most = most_of(counted).max(read.saturating_mul(2));
        }
        // A failed send: nobody waits any more.
        if !page.is_empty() && pages.send(Ok(page)).is_err() {
            return Ok(());
        }
        // A model may filter what it found after Odoo cut it to the limit, so that only an empty page is surely the end. For
        // a few changes that question would cost as much as their answer: what a short page hides, the next full run finds.
        let ended = match scan.since {
            Some(_) => rows < limit,
            // The more were asked for, the more was surely filtered.
            None => rows == 0 && (limit >= left.min(u64::from(mirror.page_size)) || !pace.stretch()),
        };
        if ended || left == 0 {
            let _ = pages.send(Ok(Page::default()));
            return Ok(());
        }
    }
}

/// By the addon, which is given up where its answer is too large, too: no less can be asked for.
fn by_addon<R>(client: &mut Client<Http>, work: impl FnOnce(&mut Client<Http>) -> Result<R>) -> Result<Option<R>> {
    match client.by_addon(work) {
        Err(error @ Error::Limit { .. }) if client.has_addon() => {
            client.give_up_addon(error);
            Ok(None)
        }
        result => result,
    }
}

/// With a term about ids, as wherever ids are asked for: models may show other records where there is none (ir.attachment).
fn everything() -> Vec<domain::Term> {
    vec![domain::after(0)]
}

/// Refuses another database than the mirror's, as far as is known which it is.
fn refuse_other(client: &Client<Http>, mirror: &Mirror, filled_from: &Database) -> Result<()> {
    match client.database().is_other_than(filled_from) {
        true => Err(Error::OtherDatabase {
            mirror: mirror.name.clone(),
        }),
        false => Ok(()),
    }
}

/// The same; where nothing else tells, Odoo is asked, once.
fn check_database(client: &mut Client<Http>, mirror: &Mirror, filled_from: &Database) -> Result<()> {
    client.identify_for(filled_from)?;
    refuse_other(client, mirror, filled_from)
}

/// How many records a scan may bring where so many are counted: some come while it goes on, and a model may count less than it shows.
fn most_of(counted: u64) -> u64 {
    counted.saturating_mul(2).saturating_add(20_000)
}

/// One page, how many records it is about, and the last of their ids.
fn read_page(
    client: &mut Client<Http>,
    mirror: &Mirror,
    fields: &[String],
    wanted: &Wanted,
    stop: &Stop,
    next: impl FnMut(usize, Duration, i64) -> Option<Wanted>,
) -> Result<(Page, u64, i64)> {
    let page = || Stoppable::new(mirror, wanted.after, wanted.limit, stop);
    let export = |client: &mut Client<Http>| client.export(&mirror.scope, fields, wanted, page());
    let page = match client.by_addon(export)? {
        Some(page) => page,
        None if mirror.has_lists() => {
            let ids = client.search(&mirror.scope, wanted)?;
            let page = read_by_id(client, mirror, fields, wanted.after, &ids, stop)?;
            return Ok((page, ids.len() as u64, ids.last().copied().unwrap_or(wanted.after)));
        }
        None => client.search_read(&mirror.scope, fields, wanted, page, next)?,
    };
    let page = page.finish();
    let (rows, last) = (page.len() as u64, page.ids.last().copied());
    Ok((page, rows, last.unwrap_or(wanted.after)))
}

/// The second of two calls, for records with lists of ids: `search_read` would leave archived ones out of the lists.
fn read_by_id(
    client: &mut Client<Http>,
    mirror: &Mirror,
    fields: &[String],
    after: i64,
    ids: &[i64],
    stop: &Stop,
) -> Result<Page> {
    let page = || Stoppable::new(mirror, after, ids.len() as u64, stop);
    if ids.is_empty() {
        return Ok(page().finish());
    }
    let page = client.read(&mirror.scope, fields, ids, page)?.finish();
    among(&page, ids)?;
    Ok(page)
}

/// A page that is left where the run is cancelled: decoding one may take a second or more.
struct Stoppable<'a> {
    page: PageBuilder<'a>,
    stop: &'a Stop,
}

impl<'a> Stoppable<'a> {
    fn new(mirror: &'a Mirror, after: i64, most: u64, stop: &'a Stop) -> Self {
        Stoppable {
            page: PageBuilder::new(mirror, after, most),
            stop,
        }
    }

    fn finish(self) -> Page {
        self.page.finish()
    }
}

impl RowVisitor for Stoppable<'_> {
    fn column(&mut self, member: &str) -> Option<usize> {
        self.page.column(member)
    }

    fn value(&mut self, column: usize, value: Scalar<'_>) -> Result<()> {
        self.page.value(column, value)
    }

    fn end_row(&mut self) -> Result<()> {
        match *self.stop.borrow() {
            true => Err(Error::Cancelled),
            false => self.page.end_row(),
        }
    }
}

/// Refuses records that were not asked for. Both are in ascending order.
fn among(page: &Page, ids: &[i64]) -> Result<()> {
    match page.ids.iter().all(|id| ids.binary_search(id).is_ok()) {
        true => Ok(()),
        false => Err(Error::Malformed {
            cause: "there are other records than those asked for".to_owned(),
        }),
    }
}
