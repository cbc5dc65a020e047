//! Asks Odoo's addon what has changed for several mirrors, with one call.

use super::Fetcher;
use super::page_reader::require_subset;
use crate::engine::{Changes, Digest, IdRange, validate_ids};
use crate::{Mirror, PageBuilder};
use chrono::{DateTime, Utc};
use ipai_odoo::error::{Error, Result};
use ipai_odoo::http::Http;
use ipai_odoo::{ChangeAnswer, ChangeQuery, Client, Database};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Instant;

/// A mirror, and what Odoo returned when it was asked before.
#[derive(Debug, Clone)]
pub struct Question {
    /// The mirror, with the fields that it reads.
    pub mirror: Arc<Mirror>,
    /// The token of the mirror; `None` before its first one.
    pub token: Option<String>,
}

/// What Odoo answers for one mirror.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Exactly this has changed.
    Changes {
        /// The token that describes the mirror after the changes.
        token: String,
        /// What has changed.
        changes: Changes,
    },
    /// Too much has changed, or Odoo does not know what. A run that reads everything and begins now
    /// may keep this token.
    Everything {
        /// The token.
        token: String,
    },
    /// Not this time. The token stays valid.
    Later,
    /// Odoo does not tell, for this mirror.
    Untold,
}

impl Answer {
    /// Whether nothing has changed.
    pub fn is_same(&self) -> bool {
        matches!(self, Answer::Changes { changes, .. } if *changes == Changes::default())
    }
}

/// What Odoo answers to several questions.
pub struct Answered {
    /// The database that gave the answers.
    pub database: Database,
    /// The answers, in the order of the questions.
    pub answers: Vec<Answer>,
    /// When they arrived.
    pub at: Instant,
}

/// Asks, and returns where the answers will arrive: `None` without an addon that can tell.
/// `budget`: how many milliseconds Odoo may search; 0 for no limit.
pub fn ask(fetcher: &Fetcher, questions: Vec<Question>, budget: u32) -> Result<Receiver<Result<Option<Answered>>>> {
    let clock = Arc::clone(&fetcher.clock);
    fetcher.begin(move |client| {
        let fields: Vec<_> = questions.iter().map(|question| question.mirror.wanted_fields()).collect();
        let queries = questions.iter().zip(&fields).map(|(question, fields)| ChangeQuery {
            scope: &question.mirror.scope,
            fields,
            token: question.token.as_deref(),
        });
        let Some(answers) = client.changes(&queries.collect::<Vec<_>>(), budget)? else { return Ok(None) };
        let answers = questions
            .iter()
            .zip(answers)
            .map(|(question, answer)| read(client, &question.mirror, answer, clock.get().copied()));
        let answers = answers.collect::<Result<_>>()?;
        Ok(Some(Answered { database: client.database().clone(), answers, at: Instant::now() }))
    })
}

fn read(client: &Client<Http>, mirror: &Mirror, answer: ChangeAnswer, clock: Option<DateTime<Utc>>) -> Result<Answer> {
    Ok(match answer {
        ChangeAnswer::Same { token } => Answer::Changes { token, changes: Changes::default() },
        ChangeAnswer::Changed { token, mut ids, page, digest: (count, sum, squares) } => {
            validate_ids(&ids, &[IdRange { after: i64::MIN, ..IdRange::ALL }])?;
            // No run compares or deletes other rows.
            ids.retain(|id| IdRange::ALL.contains(*id));
            let rows = |page: String| {
                let rows = PageBuilder::new(mirror, i64::MIN, ids.len() as u64);
                require_subset(client.decode_page(&page, rows)?.finish(), &ids)
            };
            // Read by their ids, the records that do not fit are named one by one.
            let page = match page.map(rows).transpose() {
                Err(Error::Value { .. }) => None,
                page => page?,
            };
            let number = |text: &str| text.parse().map_err(|_| malformed("a sum of ids is not a number"));
            let digest = Digest { count, sum: number(&sum)?, squares: number(&squares)? };
            Answer::Changes { token, changes: Changes { ids, page, digest: Some(digest), clock } }
        }
        ChangeAnswer::Many { token } | ChangeAnswer::Unknown { token } => Answer::Everything { token },
        ChangeAnswer::Later => Answer::Later,
        // The run itself reports what Odoo refuses.
        ChangeAnswer::Unsupported { .. } | ChangeAnswer::Error { .. } => Answer::Untold,
    })
}

fn malformed(cause: &str) -> Error {
    Error::Malformed { cause: cause.to_owned() }
}
