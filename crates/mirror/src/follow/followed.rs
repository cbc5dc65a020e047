//! One mirror that a follower keeps up to date.

use crate::changes::{Candidate, candidate};
use crate::connection::{Accounts, Connection};
use crate::engine::{Mode, Requested, plan_run};
use crate::run_mirror::RunScope;
use crate::session::Session;
use crate::source::changes::Answer;
use chrono::NaiveDateTime;
use ipai_odoo::error::Result;
use std::time::{Duration, Instant};

/// How often a mirror runs of which Odoo cannot tell what has changed.
const WITHOUT_TOKEN: Duration = Duration::from_secs(15);
/// The longest pause after a failed run.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// The longest pause of a server that does not answer. Following resumes this soon once it does.
const LONGEST_OUTAGE: Duration = Duration::from_secs(30);

/// What the follower knows of a mirror.
#[derive(Default)]
pub(super) struct Followed {
    /// The mirror, as its last version had it; `None` if it cannot ask Odoo what has changed.
    pub candidate: Option<Candidate>,
    server: Option<String>,
    version: String,
    /// Whether a full run is due, or an interrupted one must be resumed.
    needs_run: bool,
    failures: u32,
    not_before: Option<Instant>,
}

/// What to do with a mirror now.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Nothing,
    Run(RunScope),
    /// A run that may read everything.
    LongRun(Requested),
}

impl Followed {
    /// Loads the mirror, unless it is known in this version.
    pub fn refresh(
        &mut self,
        session: &mut dyn Session,
        accounts: &dyn Accounts,
        name: &str,
        server: Option<String>,
        version: String,
    ) -> Result<()> {
        // What keeps a mirror from asking may end without a new version, as another session's run,
        // or an old password.
        if self.version != version || (self.candidate.is_none() || self.failures > 0) && self.is_due() {
            let could_ask = self.candidate.is_some();
            self.candidate = candidate(session, accounts, name)?;
            let known = self.candidate.as_ref().map(|candidate| candidate.connection.server.clone());
            self.server = known.or(server).or(self.server.take());
            self.version = version;
            if !could_ask && self.candidate.is_some() && self.failures == 0 {
                self.not_before = None;
            }
        }
        Ok(())
    }

    /// Lets the mirror be loaded anew unless this is its connection.
    pub fn check_account(&mut self, opened: Option<&Connection>) {
        if self.candidate.as_ref().is_some_and(|candidate| opened != Some(&candidate.connection)) {
            self.version.clear();
        }
    }

    /// Plans the next run.
    pub fn plan(&mut self, now: NaiveDateTime) {
        self.needs_run = match &self.candidate {
            Some(candidate) => plan_run(Requested::Auto, &candidate.stored.state, now).mode == Mode::Full,
            None => true,
        };
    }

    /// The Odoo server, if it is known.
    pub fn server(&self) -> Option<&str> {
        self.server.as_deref()
    }

    /// Whether it is time to look at the mirror.
    pub fn is_due(&self) -> bool {
        self.not_before.is_none_or(|moment| moment <= Instant::now())
    }

    /// What to do after a poll. `has_failed`: the server did not answer.
    pub fn step(&mut self, answer: Option<&Answer>, has_failed: bool) -> Step {
        if has_failed {
            self.pause(LONGEST_OUTAGE);
            return Step::Nothing;
        }
        if self.needs_run {
            if self.candidate.is_none() {
                self.not_before = Some(Instant::now() + WITHOUT_TOKEN);
            }
            return Step::LongRun(Requested::Auto);
        }
        match answer {
            Some(same @ Answer::Changes { token, .. }) if same.is_same() => {
                if let Some(candidate) = &mut self.candidate {
                    candidate.token = Some(token.clone());
                }
                self.succeeded();
                Step::Nothing
            }
            Some(Answer::Changes { .. }) => Step::Run(RunScope::Live),
            Some(Answer::Everything { .. }) => Step::LongRun(Requested::Full),
            // Without an answer, the next poll asks for the mirror.
            Some(Answer::Later) | None => Step::Nothing,
            Some(Answer::Untold) => {
                self.not_before = Some(Instant::now() + WITHOUT_TOKEN);
                Step::Run(RunScope::Planned(Requested::Auto))
            }
        }
    }

    /// A run has failed.
    pub fn failed(&mut self) {
        self.pause(LONGEST_PAUSE);
    }

    /// Doubles the pause with each failure.
    fn pause(&mut self, longest: Duration) {
        self.failures += 1;
        let pause = Duration::from_secs(1 << self.failures.min(9)).min(longest);
        self.not_before = Some(Instant::now() + pause);
    }

    /// Another session runs the mirror, or the follower is busy with another one.
    pub fn try_with_next_poll(&mut self) {
        self.not_before = None;
    }

    pub fn succeeded(&mut self) {
        self.failures = 0;
        if self.candidate.is_none() {
            // The run may have completed an interrupted one, which need not change the version.
            self.version.clear();
        }
    }
}
