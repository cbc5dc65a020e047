//! Checks the connection to an Odoo server, step by step, and which mirrored models it can read.

use crate::Mirror;
use crate::connection::Connection;
use crate::session::{Session, signed};
use crate::source::Fetcher;
use crate::store::mirrors;
use chrono::NaiveDateTime;
use ipai_odoo::ServerInfo;
use ipai_odoo::error::{Error, Result};
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// What a check found out about a server.
pub struct Checked {
    /// Version of Odoo, for example `19.0`.
    pub version: String,
    /// Time of one small request.
    pub latency: Duration,
    /// Id of the Odoo user.
    pub uid: i64,
    /// What else Odoo told about the server.
    pub server: ServerInfo,
    /// Name of the protocol.
    pub protocol: &'static str,
    /// The kind of secret: `API key` or `password`.
    pub secret: &'static str,
    /// When the first of the user's API keys expires (UTC), if Odoo tells it.
    pub key_expires: Option<NaiveDateTime>,
    /// The mirrored models; one without a name if there is none.
    pub models: Vec<CheckedModel>,
}

/// What a check found out about a mirrored model.
#[derive(Default)]
pub struct CheckedModel {
    /// Name of the model, or `None` for several models of which Odoo lists that they can be read.
    pub model: Option<String>,
    /// Whether the Odoo user may read it.
    pub readable: Option<bool>,
    /// Number of records.
    pub records: Option<i64>,
    /// The error.
    pub problem: Option<String>,
    /// The next action.
    pub hint: Option<String>,
}

/// The most mirrors whose records a check counts. More would take Odoo many seconds.
const COUNTED_AT_MOST: usize = 20;

/// Connects, logs in and counts the records of each mirrored model.
pub fn check_connection(session: &mut dyn Session, connection: &Connection) -> Result<Checked> {
    let mirrors = mirrors::of_server(session, &connection.server)?;
    let fetcher = connection.fresh_fetcher(session)?;
    let asked = Instant::now();
    let version = fetcher.run(|client| client.version())?;
    let latency = asked.elapsed();
    let uid = fetcher.run(|client| client.authenticate())?;
    fetcher.run(|client| client.look_for_addon())?;
    connection.store_findings(session, &fetcher)?;
    let (server, protocol) = fetcher.run(|client| Ok((client.server_info().clone(), client.wire().name())))?;
    let (secret, key_expires) = match connection.account.has_api_key() {
        true => ("API key", fetcher.run(|client| client.read_key_expiry())?),
        false => ("password", None),
    };
    let models = check_models(&fetcher, mirrors)?;
    Ok(Checked { version, latency, uid, server, protocol, secret, key_expires, models })
}

fn check_models(fetcher: &Fetcher, mirrors: Vec<Mirror>) -> Result<Vec<CheckedModel>> {
    if mirrors.is_empty() {
        return Ok(vec![CheckedModel::default()]);
    }
    let listed = match mirrors.len() > COUNTED_AT_MOST {
        true => readable_models(fetcher)?,
        false => HashSet::new(),
    };
    let (well, others): (Vec<_>, Vec<_>) = mirrors.into_iter().partition(|mirror| listed.contains(&mirror.scope.model));
    let check = |mirror: Mirror| {
        let model = mirror.scope.model.clone();
        match fetcher.run(move |client| client.search_count(&mirror.scope, Vec::new())) {
            // An Odoo that is no longer reachable is an error. Other failures are findings.
            Err(error) if !is_finding(&error) => Err(error),
            counted => Ok(CheckedModel { model: Some(model), ..CheckedModel::from(counted) }),
        }
    };
    let mut models = others.into_iter().map(check).collect::<Result<Vec<_>>>()?;
    if !well.is_empty() {
        let hint = format!(
            "Odoo lets the user read the models of {} mirrors. To count their records: select * from \
             ipai.refresh_counts();",
            well.len()
        );
        models.insert(0, CheckedModel { readable: Some(true), hint: Some(hint), ..CheckedModel::default() });
    }
    Ok(models)
}

impl From<Result<u64>> for CheckedModel {
    fn from(counted: Result<u64>) -> Self {
        match counted {
            Ok(count) => CheckedModel { readable: Some(true), records: Some(signed(count)), ..CheckedModel::default() },
            Err(error) => CheckedModel {
                readable: Some(false),
                problem: Some(error.to_string()),
                hint: error.hint(),
                ..CheckedModel::default()
            },
        }
    }
}

/// The models that Odoo lists as readable, in one call. An Odoo that does not list them to this
/// user is asked for each model.
fn readable_models(fetcher: &Fetcher) -> Result<HashSet<String>> {
    match fetcher.run(|client| client.models()) {
        Err(error) if !is_finding(&error) => Err(error),
        models => Ok(models.unwrap_or_default().into_iter().map(|(model, _)| model).collect()),
    }
}

fn is_finding(error: &Error) -> bool {
    matches!(
        error,
        Error::OdooAccess(_) | Error::UnknownModel { .. } | Error::UnknownField { .. } | Error::OdooFault { .. }
    )
}
