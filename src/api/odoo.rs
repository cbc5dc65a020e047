//! Functions that ask Odoo.

use super::require;
use crate::connection::ServerAccounts;
use crate::json::JsonText;
use crate::report::or_raise;
use crate::session::SpiSession;
use ipai_mirror::connection::{Accounts, Connection};
use ipai_mirror::definition::omission;
use ipai_mirror::manage::fields_of;
use ipai_mirror::refusal::invalid;
use ipai_mirror::session::{Session, signed};
use ipai_mirror::source::Fetcher;
use ipai_mirror::store::mirrors;
use ipai_mirror::{Kind, Mirror};
use ipai_odoo::Addon;
use ipai_odoo::error::{Error, Result};
use ipai_odoo::retry::Policy;
use ipai_odoo::xmlrpc::Value;
use pgrx::datum::JsonB;
use pgrx::prelude::*;
use std::collections::HashSet;
use std::time::Instant;

/// Version of the Odoo server, for example `19.0`.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn odoo_version(server: default!(Option<String>, "NULL")) -> String {
    let version = || {
        let session = &mut SpiSession::of_function()?;
        let connection = open(session, server)?;
        connection.fresh_fetcher(session)?.run(|client| client.version())
    };
    or_raise(version())
}

/// Connects, logs in and counts the records of each mirrored model.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn check_connection(
    server: default!(Option<String>, "NULL"),
) -> TableIterator<
    'static,
    (
        name!(server, String),
        name!(url, String),
        name!(dbname, String),
        name!(odoo_version, String),
        name!(addon, bool),
        name!(login, String),
        name!(uid, i64),
        name!(latency_ms, f64),
        name!(model, Option<String>),
        name!(readable, Option<bool>),
        name!(records, Option<i64>),
        name!(problem, Option<String>),
        name!(hint, Option<String>),
        name!(addon_problem, Option<String>),
    ),
> {
    let check = || {
        let session = &mut SpiSession::of_function()?;
        let connection = open(session, server)?;
        let mirrors = mirrors::of_server(session, &connection.server)?;
        let fetcher = connection.fresh_fetcher(session)?;
        let asked = Instant::now();
        let version = fetcher.run(|client| client.version())?;
        let latency = asked.elapsed();
        let uid = fetcher.run(|client| client.authenticate())?;
        fetcher.run(|client| client.look_for_addon())?;
        connection.store_findings(session, &fetcher)?;
        let known = fetcher.run(|client| Ok(client.server_info().clone()))?;
        let row = |model: Option<String>, found: Found| {
            (
                connection.server.clone(),
                connection.url(),
                connection.account.dbname.clone(),
                version.clone(),
                matches!(known.addon, Addon::Present | Addon::Failing { .. }),
                connection.account.login.clone(),
                uid,
                (latency.as_secs_f64() * 10_000.0).round() / 10.0,
                model,
                found.readable,
                found.records,
                found.problem,
                found.hint,
                known.addon_problem.clone(),
            )
        };
        if mirrors.is_empty() {
            return Ok(vec![row(None, Found::default())]);
        }
        let listed = match mirrors.len() > COUNTED_AT_MOST {
            true => readable_models(&fetcher)?,
            false => HashSet::new(),
        };
        let (well, others): (Vec<_>, Vec<_>) =
            mirrors.into_iter().partition(|mirror| listed.contains(&mirror.scope.model));
        let check = |mirror: Mirror| {
            let model = mirror.scope.model.clone();
            match fetcher.run(move |client| client.search_count(&mirror.scope, Vec::new())) {
                // An Odoo that is no longer reachable is an error. Other failures are findings.
                Err(error) if !is_finding(&error) => Err(error),
                counted => Ok(row(Some(model), Found::from(counted))),
            }
        };
        let mut rows = others.into_iter().map(check).collect::<Result<Vec<_>>>()?;
        if !well.is_empty() {
            let hint = format!(
                "Odoo lets the user read the models of {} mirrors. To count their records: select * from \
                 ipai.refresh_counts();",
                well.len()
            );
            rows.insert(0, row(None, Found { readable: Some(true), hint: Some(hint), ..Found::default() }));
        }
        Ok(rows)
    };
    TableIterator::new(or_raise(check()))
}

/// What `check_connection` found out about a model.
#[derive(Default)]
struct Found {
    readable: Option<bool>,
    records: Option<i64>,
    problem: Option<String>,
    hint: Option<String>,
}

impl From<Result<u64>> for Found {
    fn from(counted: Result<u64>) -> Self {
        match counted {
            Ok(count) => Found { readable: Some(true), records: Some(signed(count)), ..Found::default() },
            Err(error) => {
                Found { readable: Some(false), records: None, problem: Some(error.to_string()), hint: error.hint() }
            }
        }
    }
}

/// The most mirrors whose records `check_connection` counts. More would take Odoo many seconds.
const COUNTED_AT_MOST: usize = 20;

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
        Error::OdooAccess { .. } | Error::UnknownModel { .. } | Error::UnknownField { .. } | Error::OdooFault { .. }
    )
}

/// The models that the Odoo user may read.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn odoo_models(
    server: default!(Option<String>, "NULL"),
) -> TableIterator<'static, (name!(model, String), name!(label, String), name!(mirrored_as, Vec<String>))> {
    let models = || {
        let session = &mut SpiSession::of_function()?;
        let connection = open(session, server)?;
        let mirrors = mirrors::of_server(session, &connection.server)?;
        let fetcher = connection.fetcher(session, Policy::NONE)?;
        let models = fetcher.run(|client| client.models())?;
        connection.store_findings(session, &fetcher)?;
        Ok(models.into_iter().map(move |(model, label)| {
            let names = mirrors.iter().filter(|mirror| mirror.scope.model == model);
            let names = names.map(|mirror| mirror.name.clone()).collect();
            (model, label, names)
        }))
    };
    TableIterator::new(or_raise(models()))
}

/// The fields of a model that the Odoo user may read.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn odoo_fields(
    server: default!(Option<String>, "NULL"),
    model: default!(Option<String>, "NULL"),
) -> TableIterator<
    'static,
    (
        name!(field, String),
        name!(label, String),
        name!(odoo_type, String),
        name!(stored, bool),
        name!(required, bool),
        name!(relation, Option<String>),
        name!(column_type, Option<&'static str>),
        name!(by_default, bool),
        name!(mirrored_as, Vec<String>),
        name!(note, Option<String>),
    ),
> {
    let fields = || {
        let model = require(model, "model", MODELS)?;
        let session = &mut SpiSession::of_function()?;
        let connection = open(session, server)?;
        let mut mirrors = mirrors::of_server(session, &connection.server)?;
        mirrors.retain(|mirror| mirror.scope.model == model);
        let fetcher = connection.fetcher(session, Policy::NONE)?;
        let fields = fields_of(&fetcher, &model)?;
        connection.store_findings(session, &fetcher)?;
        Ok(fields.into_iter().map(move |field| {
            let columns = mirrors.iter().flat_map(|mirror| {
                let maps = mirror.fields.iter().filter(|map| map.field == field.name);
                maps.map(|map| format!("{}.{}", mirror.name, map.column))
            });
            let (mirrored_as, column_type) = (columns.collect(), Kind::of(&field).map(Kind::sql));
            let omission = omission(&model, &field);
            let note = omission.as_ref().map(|reason| format!("left out by default: {reason}"));
            let (name, label, kind, relation) = (field.name, field.label, field.kind, field.relation);
            let (stored, required, is_default) = (field.stored, field.required, omission.is_none());
            (name, label, kind, stored, required, relation, column_type, is_default, mirrored_as, note)
        }))
    };
    TableIterator::new(or_raise(fields()))
}

/// Calls a method of a model.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn odoo_call(
    server: Option<String>,
    model: Option<String>,
    method: Option<String>,
    args: default!(Option<JsonText>, "'[]'"),
    kwargs: default!(Option<JsonText>, "'{}'"),
) -> JsonB {
    let call = || {
        let model = require(model, "model", MODELS)?;
        let method = require(method, "method", "It is the name of a method of the model.")?;
        let args = match args.map(|args| args.parse("args")).transpose()?.map(Value::from_json) {
            None => Vec::new(),
            Some(Value::Array(args)) => args,
            Some(_) => {
                let hint = "It holds the arguments by position: '[[1, 2], \"x\"]'.";
                return Err(invalid("args must be a JSON array", hint));
            }
        };
        let kwargs = match kwargs.map(|kwargs| kwargs.parse("kwargs")).transpose()?.map(Value::from_json) {
            None => Vec::new(),
            Some(Value::Struct(kwargs)) => kwargs,
            Some(_) => {
                let hint = "It holds the arguments by name: '{\"limit\": 10}'.";
                return Err(invalid("kwargs must be a JSON object", hint));
            }
        };
        let session = &mut SpiSession::of_function()?;
        let connection = open(session, server)?;
        let fetcher = connection.fetcher(session, Policy::SYNC)?;
        // Before the call: nothing may fail after Odoo executed it.
        fetcher.run(|client| client.prove_login())?;
        connection.store_findings(session, &fetcher)?;
        let none = Error::NoneReturned { model: model.clone(), method: method.clone() };
        let result = fetcher.run(move |client| client.call_once(&model, &method, args, kwargs))?;
        if result.is_none() {
            session.warning(&none.to_string(), &none.hint().unwrap_or_default());
        }
        Ok(JsonB(result.map_or(serde_json::Value::Null, |value| value.to_json())))
    };
    or_raise(call())
}

const MODELS: &str = "select * from ipai.odoo_models() shows the models.";

fn open(session: &mut SpiSession, server: Option<String>) -> Result<Connection> {
    ServerAccounts.open(session, server.as_deref(), "Name one: select * from ipai.check_connection('...');")
}
