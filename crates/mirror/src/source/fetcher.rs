//! The fetching thread: calls Odoo while the caller's thread writes, or waits and can be cancelled.
//!
//! Only the caller's thread uses the database. The fetching thread blocks all signals, is cancelled
//! through a channel, and is joined when its handle is dropped. No static holds it.

use crate::session::Tick;
use chrono::{DateTime, Utc};
use ipai_odoo::error::{Error, Result};
use ipai_odoo::http::{Endpoint, Http};
use ipai_odoo::retry::Policy;
use ipai_odoo::{Account, Client, ServerInfo};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::watch;

const TICK: Duration = Duration::from_millis(100);

/// A client of Odoo on a thread of its own.
pub struct Fetcher {
    jobs: Option<Sender<Job>>,
    /// True once the thread must end.
    pub(super) cancel: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
    tick: Tick,
    /// Odoo's clock at its first answer, if it had one.
    pub(super) clock: Arc<OnceLock<DateTime<Utc>>>,
}

type Job = Box<dyn FnOnce(&mut Client<Http>) + Send>;

impl Fetcher {
    /// Starts the thread, which connects with its first job. `known`: facts from earlier runs.
    pub fn start(endpoint: Endpoint, account: Account, retries: Policy, known: ServerInfo, tick: Tick) -> Result<Self> {
        let (jobs, queue) = channel::<Job>();
        let (cancel, cancelled) = watch::channel(false);
        let clock = Arc::new(OnceLock::new());
        let http = Http::new(endpoint, cancelled)?;
        let mut client = Client::new(http, account, retries, known, Arc::clone(&clock));
        let work = move || queue.into_iter().for_each(|job| job(&mut client));
        let builder = std::thread::Builder::new().name("ipai_sync fetch".to_owned());
        let thread = with_signals_blocked(|| builder.spawn(work))
            .map_err(|error| Error::Internal { cause: format!("cannot start a thread: {error}") })?;
        Ok(Fetcher { jobs: Some(jobs), cancel, thread: Some(thread), tick, clock })
    }

    /// Begins another run on the same connection.
    pub fn begin_run(&mut self) -> Result<()> {
        self.clock = Arc::default();
        let clock = Arc::clone(&self.clock);
        self.submit(move |client| client.begin_run(clock))
    }

    /// Runs `work` on the thread and waits for its result.
    pub fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Client<Http>) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        self.wait(&self.begin(work)?)?
    }

    /// Runs `work` on the thread, and returns where its result will arrive.
    pub fn begin<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Client<Http>) -> R + Send + 'static,
    ) -> Result<Receiver<R>> {
        let (done, result) = sync_channel(1);
        self.submit(move |client| drop(done.send(work(client))))?;
        Ok(result)
    }

    pub(super) fn submit(&self, job: impl FnOnce(&mut Client<Http>) + Send + 'static) -> Result<()> {
        let jobs = self.jobs.as_ref().ok_or_else(ended)?;
        jobs.send(Box::new(job)).map_err(|_| ended())
    }

    /// Waits for a result.
    pub fn wait<R>(&self, result: &Receiver<R>) -> Result<R> {
        loop {
            if let Some(result) = self.wait_until(result, Instant::now() + TICK)? {
                return Ok(result);
            }
        }
    }

    /// Waits until a moment; `None` if there is no result by then.
    pub fn wait_until<R>(&self, result: &Receiver<R>, until: Instant) -> Result<Option<R>> {
        loop {
            (self.tick)()?;
            let left = until.saturating_duration_since(Instant::now());
            match result.recv_timeout(left.min(TICK)) {
                Err(RecvTimeoutError::Timeout) if left > TICK => {}
                Err(RecvTimeoutError::Timeout) => return Ok(None),
                result => return result.map(Some).map_err(|_| ended()),
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

/// Blocks every signal while `start` runs. A thread that starts inside inherits the mask, so
/// Postgres's signal handlers only ever run on the backend's own thread.
pub fn with_signals_blocked<R>(start: impl FnOnce() -> R) -> R {
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
    Error::Internal { cause: "the fetching thread ended".to_owned() }
}
