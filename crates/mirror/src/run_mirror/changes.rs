//! Asks Odoo what has changed since the token of the mirror, before a run reads anything.

use super::{Host, Run};
use crate::engine::{Changes, Mode, Plan, Start};
use crate::source::Fetcher;
use crate::source::changes::{Answer, Question, ask};
use crate::store::runs;
use ipai_odoo::Database;
use ipai_odoo::error::{Error, Result};
use std::sync::Arc;

impl Run {
    /// What has changed; `None` if the run must find that out itself. Odoo may report so much that
    /// the run becomes one that reads everything.
    pub(super) fn ask_for_changes(
        &mut self,
        host: &mut Host<'_>,
        fetcher: &Fetcher,
        filled_from: &Database,
        login: &str,
    ) -> Result<Option<Changes>> {
        if self.request.dry_run || self.request.is_limited() {
            return Ok(None);
        }
        match (self.start.mode, self.stored.token.clone()) {
            (Mode::Full, _) => {
                self.token = match self.start.resumed {
                    Some(_) => self.stored.unfinished_token.clone(),
                    None => self.first_token(fetcher)?,
                };
                self.keep_token(host)?;
                Ok(None)
            }
            (Mode::Incremental | Mode::Reconcile | Mode::Live, Some(token))
                if self.start.resumed.is_none() && !self.stored.is_other_user(login) =>
            {
                self.changes_since(host, fetcher, filled_from, token)
            }
            (Mode::Incremental, _) if !self.mirror.has_write_date => {
                self.start.mode = Mode::Reconcile;
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    fn changes_since(
        &mut self,
        host: &mut Host<'_>,
        fetcher: &Fetcher,
        filled_from: &Database,
        token: String,
    ) -> Result<Option<Changes>> {
        let answered = match host.answers.take(&self.mirror.name, &self.stored) {
            Some(given) => Some(given),
            None => self.ask(fetcher, Some(token))?,
        };
        let Some((database, answer)) = answered else { return self.untold() };
        if database.is_same_as(filled_from) == Some(false) {
            return Err(Error::OtherDatabase { mirror: self.mirror.name.clone() });
        }
        match answer {
            Answer::Changes { token, changes } => {
                self.token = Some(token);
                Ok(Some(changes))
            }
            Answer::Everything { token } => {
                self.start = Start { mode: Mode::Full, bound: None, also: None, resumed: None };
                self.token = Some(token);
                self.keep_token(host)?;
                Ok(None)
            }
            Answer::Later | Answer::Untold => self.untold(),
        }
    }

    /// The run of a follower leaves the mirror as it is. Any other run goes by the write dates, or
    /// compares ids.
    fn untold(&mut self) -> Result<Option<Changes>> {
        if self.start.mode == Mode::Live {
            return Ok(Some(Changes::default()));
        }
        if !self.mirror.has_write_date {
            self.start.mode = Mode::Reconcile;
        }
        Ok(None)
    }

    /// The token of a run that begins now and reads everything.
    fn first_token(&self, fetcher: &Fetcher) -> Result<Option<String>> {
        // Shows as well whether the addon can tell changes.
        fetcher.run(|client| client.identify().map(drop))?;
        Ok(match self.ask(fetcher, None)? {
            Some((_, Answer::Everything { token })) => Some(token),
            _ => None,
        })
    }

    fn ask(&self, fetcher: &Fetcher, token: Option<String>) -> Result<Option<(Database, Answer)>> {
        let question = Question { mirror: Arc::new(self.mirror.readable()?), token };
        let answered = fetcher.wait(&ask(fetcher, vec![question], 0)?)??;
        Ok(answered.and_then(|answered| Some((answered.database, answered.answers.into_iter().next()?))))
    }

    /// The page that Odoo sent has a column for each field that the run has read until now. Without
    /// it, the run reads the changed records by their ids.
    pub(super) fn forget_page(plan: &mut Plan) {
        if let Some(changes) = &mut plan.changes {
            changes.page = None;
        }
    }

    fn keep_token(&self, host: &mut Host<'_>) -> Result<()> {
        if let (Some(number), Some(token)) = (self.number, &self.token) {
            runs::set_token(host.session, number, token)?;
            host.session.commit()?;
        }
        Ok(())
    }
}
