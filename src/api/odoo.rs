//! Functions that ask Odoo.

use super::require;
use crate::connection::ServerAccounts;
use crate::json::JsonText;
use crate::report::or_raise;
use crate::session::{SpiSession, timestamptz};
use ipai_mirror::connection::{Accounts, Connection};
use ipai_mirror::definition::omission;
use ipai_mirror::manage::fields_of;
use ipai_mirror::store::mirrors;
use ipai_mirror::{Kind, check_connection, odoo_call};
use ipai_odoo::Addon;
use ipai_odoo::error::Result;
use ipai_odoo::retry::Policy;
use pgrx::datum::JsonB;
use pgrx::prelude::*;

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
        name!(protocol, &'static str),
        name!(secret, &'static str),
        name!(key_expires, Option<TimestampWithTimeZone>),
    ),
> {
    let check = || {
        let session = &mut SpiSession::of_function()?;
        let connection = open(session, server)?;
        let checked = check_connection::check_connection(session, &connection)?;
        let key_expires = checked.key_expires.map(timestamptz).transpose()?;
        Ok(checked.models.into_iter().map(move |model| {
            (
                connection.server.clone(),
                connection.url(),
                connection.account.dbname.clone(),
                checked.version.clone(),
                matches!(checked.server.addon, Addon::Present | Addon::Failing { .. }),
                connection.account.login.clone(),
                checked.uid,
                (checked.latency.as_secs_f64() * 10_000.0).round() / 10.0,
                model.model,
                model.readable,
                model.records,
                model.problem,
                model.hint,
                checked.server.addon_problem.clone(),
                checked.protocol,
                checked.secret,
                key_expires,
            )
        }))
    };
    TableIterator::new(or_raise(check()))
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
        let args = args.map(|args| args.parse("args")).transpose()?;
        let kwargs = kwargs.map(|kwargs| kwargs.parse("kwargs")).transpose()?;
        let session = &mut SpiSession::of_function()?;
        let connection = open(session, server)?;
        odoo_call::odoo_call(session, &connection, model, method, args, kwargs).map(JsonB)
    };
    or_raise(call())
}

const MODELS: &str = "select * from ipai.odoo_models() shows the models.";

fn open(session: &mut SpiSession, server: Option<String>) -> Result<Connection> {
    ServerAccounts.open(session, server.as_deref(), "Name one: select * from ipai.check_connection('...');")
}
