//! Functions that ask Odoo.

use super::{argument, require};
use crate::connection::ServerAccounts;
use crate::json::JsonText;
use crate::report::or_raise;
use crate::session::SpiSession;
use crate::version;
use ipai_mirror::connection::{Accounts, Connection};
use ipai_mirror::definition::by_default;
use ipai_mirror::manage::fields_of;
use ipai_mirror::session::{Session, signed};
use ipai_mirror::store::mirrors;
use ipai_mirror::{Kind, Mirror};
use ipai_odoo::Addon;
use ipai_odoo::error::{Error, Result};
use ipai_odoo::retry::Policy;
use ipai_odoo::xmlrpc::Value;
use pgrx::datum::JsonB;
use pgrx::prelude::*;
use std::time::Instant;

/// Version of the Odoo server, for example `19.0`.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn odoo_version(server: default!(Option<String>, "NULL")) -> String {
    or_raise(version_of(server))
}

fn version_of(server: Option<String>) -> Result<String> {
    let session = &mut SpiSession::of_function();
    let connection = open(session, server)?;
    let fetcher = connection.fresh_fetcher(session)?;
    fetcher.run(|client| client.version())
}

type Check = (
    String,
    String,
    String,
    String,
    bool,
    String,
    i64,
    f64,
    Option<String>,
    Option<bool>,
    Option<i64>,
    Option<String>,
    Option<String>,
);

/// Connects, logs in and counts the records of each mirrored model.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::type_complexity)]
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
    ),
> {
    TableIterator::new(or_raise(check(server)))
}

fn check(server: Option<String>) -> Result<Vec<Check>> {
    let session = &mut SpiSession::of_function();
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
    let row = |model: Option<String>, counted: Option<Result<u64>>| {
        let failure = counted.as_ref().and_then(|counted| counted.as_ref().err());
        (
            connection.server.clone(),
            connection.url(),
            connection.account.dbname.clone(),
            version.clone(),
            known.addon == Addon::Present,
            connection.account.login.clone(),
            uid,
            (latency.as_secs_f64() * 10_000.0).round() / 10.0,
            model,
            counted.as_ref().map(Result::is_ok),
            counted.as_ref().and_then(|counted| counted.as_ref().ok()).map(|count| signed(*count)),
            failure.map(Error::to_string),
            failure.and_then(Error::hint),
        )
    };
    if mirrors.is_empty() {
        return Ok(vec![row(None, None)]);
    }
    let check = |mirror: Mirror| {
        let model = mirror.scope.model.clone();
        match fetcher.run(move |client| client.search_count(&mirror.scope, Vec::new())) {
            // An Odoo that is no longer reachable is an error. Other failures are findings.
            Err(error)
                if !matches!(
                    error,
                    Error::OdooAccess { .. }
                        | Error::UnknownModel { .. }
                        | Error::UnknownField { .. }
                        | Error::OdooFault { .. }
                ) =>
            {
                Err(error)
            }
            counted => Ok(row(Some(model), Some(counted))),
        }
    };
    mirrors.into_iter().map(check).collect()
}

/// The models that the Odoo user may read.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::type_complexity)]
fn odoo_models(
    server: default!(Option<String>, "NULL"),
) -> TableIterator<'static, (name!(model, String), name!(label, String), name!(mirrored_as, Vec<String>))> {
    TableIterator::new(or_raise(models(server)))
}

fn models(server: Option<String>) -> Result<Vec<(String, String, Vec<String>)>> {
    let session = &mut SpiSession::of_function();
    let connection = open(session, server)?;
    let mirrors = mirrors::of_server(session, &connection.server)?;
    let fetcher = connection.fetcher(session, Policy::NONE)?;
    let models = fetcher.run(|client| client.models())?;
    connection.store_findings(session, &fetcher)?;
    let row = |(model, label): (String, String)| {
        let names = mirrors.iter().filter(|mirror| mirror.scope.model == model);
        let names = names.map(|mirror| mirror.name.clone()).collect();
        (model, label, names)
    };
    Ok(models.into_iter().map(row).collect())
}

type FieldRow = (String, String, String, bool, bool, Option<String>, Option<&'static str>, bool, Vec<String>);

/// The fields of a model that the Odoo user may read.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::type_complexity)]
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
    ),
> {
    TableIterator::new(or_raise(fields(server, model)))
}

fn fields(server: Option<String>, model: Option<String>) -> Result<Vec<FieldRow>> {
    let model = require(model, "model", MODELS)?;
    let session = &mut SpiSession::of_function();
    let connection = open(session, server)?;
    let mut mirrors = mirrors::of_server(session, &connection.server)?;
    mirrors.retain(|mirror| mirror.scope.model == model);
    let fetcher = connection.fetcher(session, Policy::NONE)?;
    let row = |field: ipai_odoo::Field| {
        let columns = mirrors.iter().flat_map(|mirror| {
            let maps = mirror.fields.iter().filter(|map| map.field == field.name);
            maps.map(|map| format!("{}.{}", mirror.name, map.column))
        });
        (
            field.name.clone(),
            field.label.clone(),
            field.kind.clone(),
            field.stored,
            field.required,
            field.relation.clone(),
            Kind::of(&field).map(Kind::sql),
            by_default(&field),
            columns.collect(),
        )
    };
    let fields = fields_of(&fetcher, &model)?;
    connection.store_findings(session, &fetcher)?;
    Ok(fields.into_iter().map(row).collect())
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
    or_raise(call(server, model, method, args, kwargs))
}

fn call(
    server: Option<String>,
    model: Option<String>,
    method: Option<String>,
    args: Option<JsonText>,
    kwargs: Option<JsonText>,
) -> Result<JsonB> {
    let (model, method) =
        (require(model, "model", MODELS)?, require(method, "method", "It is the name of a method of the model.")?);
    let args = match args.map(|args| args.parse("args")).transpose()?.map(Value::from_json) {
        None => Vec::new(),
        Some(Value::Array(args)) => args,
        Some(_) => {
            return Err(argument(
                "args must be a JSON array",
                "It holds the arguments by position: '[[1, 2], \"x\"]'.",
            ));
        }
    };
    let kwargs = match kwargs.map(|kwargs| kwargs.parse("kwargs")).transpose()?.map(Value::from_json) {
        None => Vec::new(),
        Some(Value::Struct(kwargs)) => kwargs,
        Some(_) => {
            return Err(argument("kwargs must be a JSON object", "It holds the arguments by name: '{\"limit\": 10}'."));
        }
    };
    let session = &mut SpiSession::of_function();
    let connection = open(session, server)?;
    let fetcher = connection.fetcher(session, Policy::SYNC)?;
    let called = (model.clone(), method.clone());
    // Before the call: nothing may fail after Odoo executed it.
    fetcher.run(|client| client.prove_login())?;
    connection.store_findings(session, &fetcher)?;
    let result = fetcher.run(move |client| client.call_once(&model, &method, args, kwargs))?;
    match result {
        Some(value) => Ok(JsonB(value.to_json())),
        None => {
            let error = Error::NoneReturned { model: called.0, method: called.1 };
            session.warning(&error.to_string(), &error.hint().unwrap_or_default());
            Ok(JsonB(serde_json::Value::Null))
        }
    }
}

const MODELS: &str = "select * from ipai.odoo_models() shows the models.";

/// The connection of this server, or of the only server.
fn open(session: &mut SpiSession, server: Option<String>) -> Result<Connection> {
    version::check(session)?;
    ServerAccounts.open(session, server.as_deref(), "Name one: select * from ipai.check_connection('...');")
}
