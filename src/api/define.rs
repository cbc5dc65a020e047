//! Functions that create, alter and drop mirrors.

use super::{MIRRORS, require};
use crate::connection::ServerAccounts;
use crate::json::JsonText;
use crate::report::or_raise;
use crate::session::SpiSession;
use ipai_mirror::definition::Defined;
use ipai_mirror::manage::{self, Request};
use ipai_mirror::refusal::invalid;
use ipai_mirror::session::internal;
use ipai_mirror::store::options::MirrorOptions;
use ipai_odoo::error::Result;
use pgrx::datum::Interval;
use pgrx::prelude::*;

/// Creates a mirror of a model.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::too_many_arguments)]
fn create_mirror(
    odoo_model: Option<String>,
    target: default!(Option<String>, "NULL"),
    fields: default!(Option<Vec<Option<String>>>, "NULL"),
    domain: default!(Option<JsonText>, "NULL"),
    server: default!(Option<String>, "NULL"),
    name: default!(Option<String>, "NULL"),
    columns: default!(Option<JsonText>, "NULL"),
    constants: default!(Option<JsonText>, "NULL"),
    lang: default!(Option<String>, "NULL"),
    company_ids: default!(Option<Vec<Option<i64>>>, "NULL"),
    page_size: default!(Option<i32>, "NULL"),
    max_delete_ratio: default!(Option<f64>, "NULL"),
    overlap: default!(Option<Interval>, "NULL"),
    reconcile_every: default!(Option<Interval>, "NULL"),
    enabled: default!(Option<bool>, "NULL"),
    flag_field: default!(Option<String>, "NULL"),
    max_rejects: default!(Option<i32>, "NULL"),
    masks: default!(Option<JsonText>, "NULL"),
    on_delete: default!(Option<String>, "NULL"),
) -> TableIterator<
    'static,
    (
        name!(mirror, String),
        name!(target, String),
        name!(field, String),
        name!(column, String),
        name!(column_type, &'static str),
        name!(label, String),
    ),
> {
    let create = || {
        let request = Request {
            model: require(odoo_model, "odoo_model", "select * from ipai.odoo_models() shows the models.")?,
            target,
            name,
            fields: fields.map(|fields| all(fields, "fields")).transpose()?,
            columns: columns.map(|columns| columns.parse("columns")).transpose()?,
            constants: constants.map(|constants| constants.parse("constants")).transpose()?,
            options: MirrorOptions {
                server,
                domain: domain.map(|domain| domain.parse("domain")).transpose()?,
                lang,
                company_ids: company_ids.map(|ids| all(ids, "company_ids")).transpose()?,
                page_size,
                overlap: interval_text(overlap)?,
                reconcile_every: interval_text(reconcile_every)?,
                max_delete_ratio,
                enabled,
                flag_field,
                max_rejects,
                masks: masks.map(|masks| masks.parse("masks")).transpose()?,
                on_delete,
                ..MirrorOptions::default()
            },
        };
        let (mirror, defined) = manage::create(&mut SpiSession::of_function()?, &ServerAccounts, request)?;
        let (name, target) = (mirror.name, mirror.target.display());
        Ok(defined.into_iter().map(move |Defined { map, label, .. }| {
            (name.clone(), target.clone(), map.field, map.column, map.kind.sql(), label)
        }))
    };
    TableIterator::new(or_raise(create()))
}

/// Changes options of a mirror. Null keeps an option.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::too_many_arguments)]
fn alter_mirror(
    mirror: Option<String>,
    server: default!(Option<String>, "NULL"),
    domain: default!(Option<JsonText>, "NULL"),
    lang: default!(Option<String>, "NULL"),
    company_ids: default!(Option<Vec<Option<i64>>>, "NULL"),
    page_size: default!(Option<i32>, "NULL"),
    overlap: default!(Option<Interval>, "NULL"),
    reconcile_every: default!(Option<Interval>, "NULL"),
    max_delete_ratio: default!(Option<f64>, "NULL"),
    enabled: default!(Option<bool>, "NULL"),
    flag_field: default!(Option<String>, "NULL"),
    late_after: default!(Option<Interval>, "NULL"),
    max_failures: default!(Option<i32>, "NULL"),
    max_delta: default!(Option<i64>, "NULL"),
    max_flagged_ratio: default!(Option<f64>, "NULL"),
    keep_runs: default!(Option<Interval>, "NULL"),
    max_rejects: default!(Option<i32>, "NULL"),
    masks: default!(Option<JsonText>, "NULL"),
    on_delete: default!(Option<String>, "NULL"),
) {
    let alter = || {
        let options = MirrorOptions {
            server,
            domain: domain.map(|domain| domain.parse("domain")).transpose()?,
            lang,
            company_ids: company_ids.map(|ids| all(ids, "company_ids")).transpose()?,
            page_size,
            overlap: interval_text(overlap)?,
            reconcile_every: interval_text(reconcile_every)?,
            max_delete_ratio,
            enabled,
            flag_field,
            late_after: interval_text(late_after)?,
            max_failures,
            max_delta,
            max_flagged_ratio,
            keep_runs: interval_text(keep_runs)?,
            max_rejects,
            masks: masks.map(|masks| masks.parse("masks")).transpose()?,
            on_delete,
        };
        manage::alter(&mut SpiSession::of_function()?, &ServerAccounts, &require(mirror, "mirror", MIRRORS)?, &options)
    };
    or_raise(alter());
}

/// Drops a mirror and its runs.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn drop_mirror(mirror: Option<String>, drop_table: default!(Option<bool>, "false")) {
    let drop = || {
        let drop_table = drop_table.ok_or_else(|| invalid("drop_table must not be null", "It is true or false."))?;
        manage::drop_mirror(&mut SpiSession::of_function()?, &require(mirror, "mirror", MIRRORS)?, drop_table)
    };
    or_raise(drop());
}

/// Compares the fields of a mirror with Odoo's, adds some and drops others.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn refresh_mirror(
    mirror: Option<String>,
    add_fields: default!(Option<Vec<Option<String>>>, "NULL"),
    drop_fields: default!(Option<Vec<Option<String>>>, "NULL"),
) -> TableIterator<
    'static,
    (
        name!(field, String),
        name!(column, Option<String>),
        name!(column_type, Option<&'static str>),
        name!(status, &'static str),
        name!(note, Option<String>),
    ),
> {
    let refresh = || {
        let mirror = require(mirror, "mirror", MIRRORS)?;
        let add = add_fields.map_or_else(|| Ok(Vec::new()), |fields| all(fields, "add_fields"))?;
        let drop = drop_fields.map_or_else(|| Ok(Vec::new()), |fields| all(fields, "drop_fields"))?;
        let rows = manage::refresh(&mut SpiSession::of_function()?, &ServerAccounts, &mirror, add, &drop)?;
        Ok(rows.into_iter().map(|row| (row.field, row.column, row.column_type, row.status, row.note)))
    };
    TableIterator::new(or_raise(refresh()))
}

/// Refuses an array with a null.
fn all<T>(elements: Vec<Option<T>>, name: &str) -> Result<Vec<T>> {
    let elements: Option<Vec<T>> = elements.into_iter().collect();
    elements.ok_or_else(|| invalid(format!("{name} holds a null"), "Leave it out."))
}

/// An interval as a text that Postgres reads.
fn interval_text(interval: Option<Interval>) -> Result<Option<String>> {
    let Some(interval) = interval else {
        return Ok(None);
    };
    Spi::get_one_with_args("select $1::text", &[interval.into()]).map_err(internal)
}
