//! Follows mirrors: asks Odoo again and again what has changed, and applies it at once
//! (`docs/explanation/change-capture.md`).

mod followed;

use crate::changes::{Polls, ends_all};
use crate::connection::{Accounts, Fetchers, OpenedOnce};
use crate::run_mirror::{Host, RunRequest, RunScope, run_mirror};
use crate::run_mirrors::Ended;
use crate::session::Session;
use crate::store::followers::Version;
use crate::store::{alerts, followers, lock, mirrors, runs};
use followed::{Followed, Step};
use ipai_odoo::error::{Error, LockHolder, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// How a follower works.
#[derive(Debug, Clone)]
pub struct FollowRequest {
    /// The mirrors; `None` for those scheduled as live, or else all enabled ones.
    pub mirrors: Option<Vec<String>>,
    /// From the start of one poll to the start of the next.
    pub every: Duration,
    /// How long to follow; `None` until the caller cancels.
    pub during: Option<Duration>,
}

/// How often a poll without a change is recorded, and the accounts are looked up again.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// How often alerts are evaluated.
const ALERTS: Duration = Duration::from_secs(30);
/// How long a poll of several servers waits for their answers, and how soon it looks again for one
/// that is outstanding.
const ANSWER_WAIT: Duration = Duration::from_secs(2);
const ANSWER_CHECK: Duration = Duration::from_secs(1);
/// The longest time from one poll to the next.
const LONGEST_WAIT: Duration = Duration::from_secs(86_400);
/// How long one wait lasts before the caller may cancel.
const TICK: Duration = Duration::from_millis(100);

/// A follower at work.
struct Follower {
    request: FollowRequest,
    mirrors: BTreeMap<String, Followed>,
    /// The servers whose lock the session holds, with the time and the problem last recorded.
    servers: BTreeMap<String, (Instant, Option<Error>)>,
    /// The servers whose lock another session holds.
    taken: BTreeSet<String>,
    polls: Polls,
    /// The servers that have answered the last poll, or have failed.
    asked: BTreeSet<String>,
    /// When the accounts were last looked up again.
    checked: Instant,
    /// When alerts were last evaluated, if a run has ended since.
    alerted: Instant,
    has_run: bool,
}

/// Follows mirrors. A mirror or a server that fails is tried again with growing pauses, and does
/// not hold up the others.
///
/// # Errors
/// A cancel by the caller, and errors of the session.
pub fn follow(host: &mut Host<'_>, request: FollowRequest, ended: &mut Ended<'_>) -> Result<()> {
    lock::require_primary(host.session)?;
    for name in request.mirrors.iter().flatten() {
        // Fails if there is no such mirror.
        host.session.within(|session| mirrors::load(session, name))?;
    }
    let now = Instant::now();
    let mut follower = Follower {
        request,
        mirrors: BTreeMap::new(),
        servers: BTreeMap::new(),
        taken: BTreeSet::new(),
        polls: Polls::default(),
        asked: BTreeSet::new(),
        checked: now,
        alerted: now,
        has_run: false,
    };
    // A server that is away must not hold up the mirrors of the others.
    host.fetchers = Fetchers::without_retries();
    let followed = host.guarded(|host| follower.follow(host, ended));
    // Without a time limit, a cancel is how following ends.
    let is_stopped = follower.request.during.is_none() && is_cancelled(&followed);
    if followed.is_err() {
        // A second attempt succeeds if the first one only cleaned up.
        host.session.rollback().or_else(|_| host.session.rollback())?;
    }
    let released = follower.release(host, is_stopped);
    followed.and(released)
}

impl Follower {
    fn follow(&mut self, host: &mut Host<'_>, ended: &mut Ended<'_>) -> Result<()> {
        let began = Instant::now();
        let end = self.request.during.and_then(|during| began.checked_add(during));
        let is_over = || end.is_some_and(|end| end <= Instant::now());
        let every = self.request.every.min(LONGEST_WAIT);
        loop {
            let polled = Instant::now();
            let failures = self.poll(host)?;
            let is_done = self.apply(host, &failures, ended)?;
            self.record(host, &failures)?;
            if self.has_run && (self.alerted.elapsed() >= ALERTS || is_over()) {
                (self.alerted, self.has_run) = (Instant::now(), false);
                alerts::notify(host.session)?;
            }
            if is_over() {
                return Ok(());
            }
            let pause = if self.polls.is_empty() { every } else { every.min(ANSWER_CHECK) };
            let next = if is_done { polled + pause } else { polled };
            wait(host.session, end.map_or(next, |end| end.min(next)))?;
        }
    }

    /// Asks Odoo what has changed for the mirrors that are due.
    fn poll(&mut self, host: &mut Host<'_>) -> Result<Vec<(String, Error)>> {
        let known = followers::versions(host.session, self.request.mirrors.as_deref())?;
        host.session.commit()?;
        let accounts = OpenedOnce::new(host.accounts);
        if self.checked.elapsed() >= HEARTBEAT {
            self.checked = Instant::now();
            self.check_accounts(host.session, &accounts)?;
        }
        self.mirrors.retain(|name, _| known.iter().any(|known| known.mirror == *name));
        for Version { mirror, server, version } in known {
            let followed = self.mirrors.entry(mirror.clone()).or_default();
            followed.refresh(host.session, &accounts, &mirror, server, version)?;
            followed.plan((host.now)());
            let Some(server) = followed.server().filter(|server| !self.servers.contains_key(*server)) else { continue };
            if lock::follow(host.session, server)? {
                let long_ago = Instant::now().checked_sub(HEARTBEAT).unwrap_or_else(Instant::now);
                self.taken.remove(server);
                self.servers.insert(server.to_owned(), (long_ago, None));
            } else if self.taken.insert(server.to_owned()) {
                warn_of_other_follower(host.session, server)?;
            }
        }
        host.session.commit()?;
        let servers = &self.servers;
        let due = self.mirrors.values().filter(|followed| followed.is_due());
        let candidates: Vec<_> = due
            .filter_map(|followed| followed.candidate.as_ref())
            .filter(|candidate| servers.contains_key(&candidate.connection.server))
            .collect();
        self.asked = candidates.iter().map(|candidate| candidate.connection.server.clone()).collect();
        // A twentieth of the time.
        let budget = u32::try_from(self.request.every.as_millis() / 20).unwrap_or(u32::MAX).clamp(50, 1_000);
        let mut failures = self.polls.ask(host, &candidates, budget)?;
        let until = (self.servers.len() > 1).then(|| Instant::now() + ANSWER_WAIT);
        failures.extend(self.polls.receive(host, until)?);
        self.asked.retain(|server| !self.polls.is_waiting_for(server));
        Ok(failures)
    }

    /// Lets mirrors be loaded anew if the address, login or password of their server has changed,
    /// or must not be used any more.
    fn check_accounts(&mut self, session: &mut dyn Session, accounts: &dyn Accounts) -> Result<()> {
        for server in self.servers.keys() {
            let opened = session.within(|session| accounts.open(session, Some(server), ""));
            if opened.as_ref().is_err_and(ends_all) {
                return opened.map(drop);
            }
            for followed in self.mirrors.values_mut().filter(|followed| followed.server() == Some(server)) {
                followed.check_account(opened.as_ref().ok());
            }
        }
        Ok(())
    }

    /// Runs the mirrors that have changed, and those of which Odoo cannot tell. At most one of them
    /// may read everything: the others must not wait for more. Returns whether none is left.
    fn apply(&mut self, host: &mut Host<'_>, failures: &[(String, Error)], ended: &mut Ended<'_>) -> Result<bool> {
        let servers = &self.servers;
        let (mut long_runs, mut is_done) = (0, true);
        for (name, followed) in self.mirrors.iter_mut().filter(|(_, followed)| followed.is_due()) {
            if followed.server().is_some_and(|server| !servers.contains_key(server)) {
                // Another session follows it.
                continue;
            }
            if followed.server().is_some_and(|server| self.polls.is_waiting_for(server)) {
                continue;
            }
            let failure = failures.iter().find(|(server, _)| Some(server.as_str()) == followed.server());
            let stored = followed.candidate.as_ref().map(|candidate| &candidate.stored);
            let answer = stored.and_then(|stored| host.answers.get(name, stored)).cloned();
            let scope = match followed.step(answer.as_ref(), failure.is_some()) {
                Step::Nothing => {
                    host.answers.remove(name);
                    continue;
                }
                Step::Run(scope) => scope,
                Step::LongRun(requested) => {
                    long_runs += 1;
                    if long_runs > 1 {
                        followed.try_with_next_poll();
                        is_done = false;
                        continue;
                    }
                    RunScope::Planned(requested)
                }
            };
            let result = run_mirror(host, name, RunRequest { scope, dry_run: false, max_delete_ratio: None });
            host.answers.remove(name);
            if !matches!(result, Err(Error::Busy { .. })) {
                self.has_run = true;
                ended(name, &result);
            }
            match result {
                Err(error) if ends_all(&error) => return Err(error),
                Err(Error::Busy { .. }) => followed.try_with_next_poll(),
                Err(_) => followed.failed(),
                Ok(finished) => {
                    followed.succeeded();
                    if let (RunScope::Live, Some(run)) = (scope, finished.run) {
                        runs::absorb(host.session, run, name)?;
                        host.session.commit()?;
                    }
                }
            }
        }
        Ok(is_done)
    }

    /// Records the polls, rarely: a poll without a change writes nothing by itself. A server that
    /// is not asked during a pause after a failure has not been polled.
    fn record(&mut self, host: &mut Host<'_>, failures: &[(String, Error)]) -> Result<()> {
        let asked = &self.asked;
        for (server, (recorded, problem)) in self.servers.iter_mut().filter(|(server, _)| asked.contains(*server)) {
            let failure = failures.iter().find(|(failed, _)| failed == server).map(|(_, error)| error);
            if recorded.elapsed() < HEARTBEAT && failure == problem.as_ref() {
                continue;
            }
            let of_server = self.mirrors.iter().filter(|(_, followed)| followed.server() == Some(server));
            let names: Vec<String> = of_server.map(|(name, _)| name.clone()).collect();
            followers::store(host.session, server, &names, failure)?;
            host.session.commit()?;
            (*recorded, *problem) = (Instant::now(), failure.cloned());
        }
        Ok(())
    }

    /// Releases the locks. `is_stopped`: an operator has ended following.
    fn release(&self, host: &mut Host<'_>, is_stopped: bool) -> Result<()> {
        for server in self.servers.keys() {
            host.session.within(|session| {
                if is_stopped {
                    followers::forget(session, server)?;
                }
                lock::unfollow(session, server)
            })?;
        }
        host.session.commit()
    }
}

fn is_cancelled(followed: &Result<()>) -> bool {
    followed.as_ref().is_err_and(|error| error.sqlstate() == "57014" && !error.is_timeout())
}

/// Any session can hold the lock, for which Postgres has no privilege.
fn warn_of_other_follower(session: &mut dyn Session, server: &str) -> Result<()> {
    let hint = match lock::other_follower(session, server)? {
        Some(LockHolder { pid, detail }) => {
            format!("{detail} If process {pid} is not a follower, end it: select pg_terminate_backend({pid});")
        }
        None => "This session takes over when the other one ends.".to_owned(),
    };
    session.warning(&format!("another session follows Odoo server \"{server}\""), &hint);
    Ok(())
}

/// Waits without a transaction, in steps that the caller may end.
fn wait(session: &mut dyn Session, until: Instant) -> Result<()> {
    let tick = session.ticker();
    loop {
        tick()?;
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(TICK));
    }
}
