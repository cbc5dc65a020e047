//! Asks the addon `ipai_sync` which records of several mirrors have changed since a token
//! (`docs/explanation/change-capture.md`).

use super::{Call, Client, unexpected};
use crate::error::{Error, Result};
use crate::value::{LARGEST, RowVisitor, Value};
use crate::{Scope, Transport, Wire, bulk_page, domain};
use base64::prelude::{BASE64_STANDARD, Engine};
use flate2::Compression;
use flate2::read::{ZlibDecoder, ZlibEncoder};
use serde::Deserialize;
use std::io::Read;

/// What one mirror asks.
#[derive(Debug, Clone)]
pub struct ChangeQuery<'q> {
    /// The model and which of its records.
    pub scope: &'q Scope,
    /// The fields to read of changed records.
    pub fields: &'q [String],
    /// What Odoo returned when it was asked before. Only the addon reads it.
    pub token: Option<&'q str>,
}

/// What has changed for one mirror.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum ChangeAnswer {
    /// Nothing since the token.
    Same {
        /// The token for the next time.
        token: String,
    },
    /// These records, perhaps.
    Changed {
        /// The token for the next time.
        token: String,
        /// Ids ascending, also of records that the domain no longer shows.
        ids: Vec<i64>,
        /// The bulk page of those that the domain shows; `None` if it would be too large.
        page: Option<String>,
        /// Count, sum and sum of squares of all ids of the domain.
        digest: (u64, String, String),
    },
    /// More records than an answer lists.
    Many {
        /// The token for the next time.
        token: String,
    },
    /// There was no token, or it says nothing any more: Odoo's Postgres was restarted or replaced.
    Unknown {
        /// The token for a run that begins now and reads everything.
        token: String,
    },
    /// The addon did not examine the tables of the mirror this time. The token stays valid.
    Later,
    /// The records are not rows of a table, or Odoo reads from a standby.
    Unsupported {
        /// Why, for an operator.
        reason: String,
    },
    /// Odoo refuses to read the mirror.
    Error {
        /// Why, for an operator.
        message: String,
    },
}

#[derive(Deserialize)]
struct Changes {
    uuid: Option<String>,
    mirrors: Vec<ChangeAnswer>,
}

impl ChangeAnswer {
    fn token(&self) -> Option<&str> {
        match self {
            Self::Same { token } | Self::Changed { token, .. } | Self::Many { token } | Self::Unknown { token } => {
                Some(token)
            }
            Self::Later | Self::Unsupported { .. } | Self::Error { .. } => None,
        }
    }
}

/// The longest token, in bytes. The mirror stores it.
const LONGEST_TOKEN: usize = 100_000;
/// The most ids of an answer: many times what the addon lists.
const MOST_IDS: usize = 100_000;

/// The addon's model.
const MODEL: &str = "ipai.sync";

impl<T: Transport> Client<T> {
    /// Asks what has changed for each mirror, with one call. `budget`: how many milliseconds Odoo
    /// may search; 0 for no limit. `None` without an addon that can tell.
    pub fn changes(&mut self, asked: &[ChangeQuery<'_>], budget: u32) -> Result<Option<Vec<ChangeAnswer>>> {
        if self.has_changes == Some(false) {
            return Ok(None);
        }
        let answers = self.by_addon(|client| match client.ask_for_changes(asked, budget) {
            // The addon is older than this method.
            Err(Error::UnknownMethod { .. }) => {
                client.has_changes = Some(false);
                Ok(None)
            }
            answers => answers.map(Some),
        });
        answers.map(Option::flatten)
    }

    fn ask_for_changes(&mut self, asked: &[ChangeQuery<'_>], budget: u32) -> Result<Vec<ChangeAnswer>> {
        let mirrors = asked.iter().map(|query| {
            // Some models (`ir.attachment`) show other records without a term about ids.
            let domain = query.scope.domain([domain::after(0)]).to_json();
            serde_json::json!([query.scope.model, domain, query.fields, query.scope.context().to_json(), query.token])
        });
        let mirrors = serde_json::Value::from_iter(mirrors).to_string();
        let args = vec![("mirrors", Value::String(packed(&mirrors)?)), ("budget", i64::from(budget).into())];
        let answer = self.call(&Call::for_changes(MODEL, "changes").with(args, Vec::new()))?;
        let text = unpacked(answer.as_str().ok_or_else(|| unexpected("changes", "a text"))?)?;
        let changes: Changes = serde_json::from_slice(&text).map_err(|_| unexpected("changes", "a list of answers"))?;
        if changes.mirrors.len() != asked.len() {
            return Err(unexpected("changes", "one answer for each mirror"));
        }
        let is_token = |token: &str| token.len() <= LONGEST_TOKEN && !token.contains(char::is_control);
        if !changes.mirrors.iter().filter_map(ChangeAnswer::token).all(is_token) {
            return Err(unexpected("changes", "a valid token"));
        }
        let is_long =
            |answer: &ChangeAnswer| matches!(answer, ChangeAnswer::Changed { ids, .. } if ids.len() > MOST_IDS);
        if changes.mirrors.iter().any(is_long) {
            return Err(unexpected("changes", &format!("at most {MOST_IDS} ids")));
        }
        self.set_uuid(changes.uuid.as_deref());
        Ok(changes.mirrors)
    }

    /// Decodes the page of an answer.
    pub fn decode_page<V: RowVisitor>(&self, page: &str, mut rows: V) -> Result<V> {
        bulk_page::decode_rows(page, LARGEST, self.wire() == Wire::Json2, &mut rows)?;
        Ok(rows)
    }
}

/// Base64 of zlib of a text: a request names the fields of each mirror.
fn packed(text: &str) -> Result<String> {
    let mut packed = Vec::new();
    let read = ZlibEncoder::new(text.as_bytes(), Compression::fast()).read_to_end(&mut packed);
    read.map_err(|error| Error::internal("cannot compress a request", &error))?;
    Ok(BASE64_STANDARD.encode(packed))
}

/// The text in base64 of zlib.
fn unpacked(packed: &str) -> Result<Vec<u8>> {
    let malformed = || unexpected("changes", "a compressed text");
    let packed = BASE64_STANDARD.decode(packed).map_err(|_| malformed())?;
    let mut text = Vec::new();
    let read = ZlibDecoder::new(packed.as_slice()).take(LARGEST as u64 + 1).read_to_end(&mut text);
    read.map_err(|_| malformed())?;
    if text.len() > LARGEST { Err(crate::value::over_limit(LARGEST)) } else { Ok(text) }
}

#[cfg(test)]
#[path = "changes_tests.rs"]
mod tests;
