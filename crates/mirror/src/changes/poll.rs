//! Asks the servers of several mirrors, and keeps the answers for the runs of the mirrors.

use crate::Mirror;
use crate::connection::{Accounts, Connection};
use crate::run_mirror::Host;
use crate::session::Session;
use crate::source::Fetcher;
use crate::source::changes::{Answer, Answered, Question, ask};
use crate::store::mirror_state::{self, Stored};
use crate::store::{mirrors, vault};
use ipai_odoo::Database;
use ipai_odoo::error::{Error, Result};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

/// How long an answer holds. Another session may apply newer changes in the meantime.
const ANSWER_HOLDS: Duration = Duration::from_secs(10);

/// Answers that no run has applied yet, by mirror.
#[derive(Default)]
pub struct Answers(HashMap<String, Given>);

struct Given {
    /// The fingerprint when the mirror was loaded: the page has the columns of this definition.
    fingerprint: String,
    /// The stored token when the mirror was loaded. A follower asks with newer ones.
    stored: Option<String>,
    at: Instant,
    database: Database,
    answer: Answer,
}

impl Answers {
    /// Takes the answer for a mirror with this state, if it still holds. Odoo chooses the tokens,
    /// and could repeat one after the mirror was defined anew.
    pub fn take(&mut self, mirror: &str, state: &Stored) -> Option<(Database, Answer)> {
        let given = self.0.remove(mirror)?;
        let holds = given.is_of(state) && given.at.elapsed() < ANSWER_HOLDS;
        holds.then_some((given.database, given.answer))
    }

    /// Keeps the answers for mirrors, given by name, fingerprint and stored token. `None`: the
    /// addon cannot tell, so each mirror gets the answer [`Answer::Untold`].
    fn keep(&mut self, mirrors: Vec<(String, String, Option<String>)>, answered: Option<Answered>) {
        let untold = || Answered { database: Database::default(), answers: Vec::new(), at: Instant::now() };
        let Answered { database, answers, at } = answered.unwrap_or_else(untold);
        let answers = answers.into_iter().chain(std::iter::repeat(Answer::Untold));
        for ((name, fingerprint, stored), answer) in mirrors.into_iter().zip(answers) {
            self.0.insert(name, Given { fingerprint, stored, at, database: database.clone(), answer });
        }
    }

    /// Forgets the answer for a mirror.
    pub fn remove(&mut self, mirror: &str) {
        self.0.remove(mirror);
    }

    /// The answer for a mirror with this state; `None` if it was not asked for.
    pub fn get(&self, mirror: &str, state: &Stored) -> Option<&Answer> {
        self.0.get(mirror).filter(|given| given.is_of(state)).map(|given| &given.answer)
    }
}

impl Given {
    fn is_of(&self, state: &Stored) -> bool {
        self.stored == state.token && self.fingerprint == state.fingerprint
    }
}

/// A mirror that can ask Odoo what has changed.
pub struct Candidate {
    /// The mirror, with the fields that it reads.
    pub mirror: Arc<Mirror>,
    /// What Odoo returned before.
    pub token: Option<String>,
    /// The state.
    pub stored: Stored,
    /// The Odoo server.
    pub connection: Connection,
}

/// Loads a mirror; `None` if its next run must not, or cannot, begin with what has changed. The
/// account may have been opened for another mirror of the same transaction.
///
/// # Errors
/// Those that concern the session. Any other error is for the run of the mirror to report.
pub fn candidate(session: &mut dyn Session, accounts: &dyn Accounts, name: &str) -> Result<Option<Candidate>> {
    let loaded = session.within(|session| {
        let mut mirror = mirrors::load(session, name)?;
        if mirror.masks.need_key() {
            mirror.masks.key = Some(vault::mask_key(session)?);
        }
        let stored = mirror_state::load(session, &mirror)?;
        if stored.state.unfinished.is_some() {
            return Ok(None);
        }
        let token = stored.token.clone();
        let connection = accounts.of_mirror(session, &mirror)?;
        let mirror = Arc::new(mirror.readable()?);
        let is_same_user = !stored.is_other_user(&connection.account.login);
        Ok(is_same_user.then_some(Candidate { mirror, token, stored, connection }))
    });
    match loaded {
        Err(error) if ends_all(&error) => Err(error),
        Err(_) => Ok(None),
        loaded => loaded,
    }
}

/// Questions to servers, all at the same time.
#[derive(Default)]
pub struct Polls(Vec<Asked>);

/// A question that a server has not answered.
struct Asked {
    connection: Connection,
    fetcher: Fetcher,
    answered: Receiver<Result<Option<Answered>>>,
    /// Name, fingerprint and stored token of each mirror.
    mirrors: Vec<(String, String, Option<String>)>,
    /// Whether an earlier poll waited for it.
    is_late: bool,
}

impl Polls {
    /// Asks each server what has changed for its mirrors, with one call, unless its last answer is
    /// outstanding. `budget`: how many milliseconds Odoo may search; 0 for no limit. The error of a
    /// server is returned with its name; the others are asked nevertheless.
    ///
    /// # Errors
    /// Those that concern the session.
    pub fn ask(&mut self, host: &mut Host<'_>, candidates: &[&Candidate], budget: u32) -> Result<Vec<(String, Error)>> {
        // An account that has changed must not be used any more.
        self.0.retain(|asked| candidates.iter().any(|candidate| candidate.connection == asked.connection));
        let mut failures = Vec::new();
        for (place, Candidate { connection, .. }) in candidates.iter().enumerate() {
            let is_asked = candidates[..place].iter().any(|other| other.connection.server == connection.server);
            if is_asked || self.is_waiting_for(&connection.server) {
                continue;
            }
            let of_server = candidates.iter().copied().filter(|other| other.connection == *connection);
            match ask_server(host, connection, &of_server.collect::<Vec<_>>(), budget) {
                Err(error) if ends_all(&error) => return Err(error),
                Err(error) => failures.push((connection.server.clone(), error)),
                Ok(asked) => self.0.push(asked),
            }
        }
        // Nothing is locked while Odoo is waited for.
        host.session.commit()?;
        Ok(failures)
    }

    /// Keeps the answers that arrive until a moment for the runs of the mirrors; `None` waits for
    /// all. A server that was waited for before is not waited for again.
    ///
    /// # Errors
    /// Those that concern the session.
    pub fn receive(&mut self, host: &mut Host<'_>, until: Option<Instant>) -> Result<Vec<(String, Error)>> {
        let mut failures = Vec::new();
        for mut asked in std::mem::take(&mut self.0) {
            let answered = match until {
                None => asked.fetcher.wait(&asked.answered).map(Some),
                Some(_) if asked.is_late => asked.fetcher.wait_until(&asked.answered, Instant::now()),
                Some(until) => asked.fetcher.wait_until(&asked.answered, until),
            };
            match answered.and_then(Option::transpose) {
                Ok(None) => {
                    asked.is_late = true;
                    self.0.push(asked);
                }
                Err(error) if ends_all(&error) => return Err(error),
                Err(error) => failures.push((asked.connection.server, error)),
                Ok(Some(answered)) => {
                    host.fetchers.leave(asked.connection, asked.fetcher);
                    host.answers.keep(asked.mirrors, answered);
                }
            }
        }
        Ok(failures)
    }

    /// Whether all servers have answered.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a server has not answered yet.
    pub fn is_waiting_for(&self, server: &str) -> bool {
        self.0.iter().any(|asked| asked.connection.server == server)
    }
}

fn ask_server(host: &mut Host<'_>, connection: &Connection, candidates: &[&Candidate], budget: u32) -> Result<Asked> {
    let fetcher = host.fetchers.take(host.session, connection)?;
    let question =
        |candidate: &&Candidate| Question { mirror: Arc::clone(&candidate.mirror), token: candidate.token.clone() };
    let answered = ask(&fetcher, candidates.iter().map(question).collect(), budget)?;
    let mirrors = candidates.iter().map(|Candidate { mirror, stored, .. }| {
        (mirror.name.clone(), stored.fingerprint.clone(), stored.token.clone())
    });
    Ok(Asked { connection: connection.clone(), fetcher, answered, mirrors: mirrors.collect(), is_late: false })
}

/// Whether an error concerns the session or the caller, and not one mirror or server.
pub fn ends_all(error: &Error) -> bool {
    error.is_of_session() || error.sqlstate() == "57014"
}
