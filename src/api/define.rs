//! Functions that make, change and drop mirrors.

use super::{argument, given, MIRRORS};
use ipai_odoo::error::Result;
use crate::define::{self, Request};
use crate::json::JsonText;
use crate::report::or_raise;
use crate::settings::Settings;
use pgrx::datum::Interval;
use pgrx::prelude::*;

type Defined = (String, String, String, String, &'static str, String);

/// Makes a mirror of a model.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::type_complexity, clippy::too_many_arguments)]
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
    alert_field: default!(Option<String>, "NULL"),
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
    let create = || -> Result<Vec<Defined>> {
        let request = Request {
            model: given(
                odoo_model,
                "odoo_model",
                "select * from ipai.odoo_models() shows the models.",
            )?,
            target,
            name,
            fields: fields.map(|fields| all(fields, "fields")).transpose()?,
            columns: columns.map(|columns| columns.parse("columns")).transpose()?,
            constants: constants.map(|constants| constants.parse("constants")).transpose()?,
            settings: Settings {
                server,
                domain: domain.map(|domain| domain.parse("domain")).transpose()?,
                lang,
                company_ids: company_ids.map(|ids| all(ids, "company_ids")).transpose()?,
                page_size,
                overlap,
                reconcile_every,
                max_delete_ratio,
                enabled,
                alert_field,
                ..Settings::default()
            },
        };
        let (mirror, defined) = define::create(request)?;
        let row = |defined: ipai_mirror::Defined| {
            let map = defined.map;
            let target = mirror.target.display();
            (
                mirror.name.clone(),
                target,
                map.field,
                map.column,
                map.kind.sql(),
                defined.label,
            )
        };
        Ok(defined.into_iter().map(row).collect())
    };
    TableIterator::new(or_raise(create()))
}

/// Changes options of a mirror; null leaves one as it is.
// A name of its own: the library may be newer than the SQL that calls it, and version 0.1.0 had two arguments.
#[pg_extern(name = "alter_mirror")]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::too_many_arguments)]
fn alter_mirror_options(
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
    alert_field: default!(Option<String>, "NULL"),
    late_after: default!(Option<Interval>, "NULL"),
    max_failures: default!(Option<i32>, "NULL"),
    max_delta: default!(Option<i64>, "NULL"),
    max_alert_ratio: default!(Option<f64>, "NULL"),
) {
    let alter = || {
        let settings = Settings {
            server,
            domain: domain.map(|domain| domain.parse("domain")).transpose()?,
            lang,
            company_ids: company_ids.map(|ids| all(ids, "company_ids")).transpose()?,
            page_size,
            overlap,
            reconcile_every,
            max_delete_ratio,
            enabled,
            alert_field,
            late_after,
            max_failures,
            max_delta,
            max_alert_ratio,
        };
        define::alter(&given(mirror, "mirror", MIRRORS)?, &settings)
    };
    or_raise(alter());
}

/// Lets the script of version 0.1.0 load, from which an update begins; until then it says that one is needed.
#[pg_extern(sql = false)]
fn alter_mirror(mirror: Option<String>, server: Option<String>) {
    let settings = Settings {
        server,
        ..Settings::default()
    };
    or_raise(given(mirror, "mirror", MIRRORS).and_then(|mirror| define::alter(&mirror, &settings)));
}

/// Forgets a mirror and its runs.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn drop_mirror(mirror: Option<String>, drop_table: default!(Option<bool>, "false")) {
    let drop = || {
        let drop_table = drop_table.ok_or_else(|| argument("drop_table must not be null", "It is true or false."))?;
        define::drop_mirror(&given(mirror, "mirror", MIRRORS)?, drop_table)
    };
    or_raise(drop());
}

type Refreshed = (
    String,
    Option<String>,
    Option<&'static str>,
    &'static str,
    Option<String>,
);

/// Compares the fields of a mirror with Odoo's, adds some and forgets others.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::type_complexity)]
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
    let refresh = || -> Result<Vec<Refreshed>> {
        let mirror = given(mirror, "mirror", MIRRORS)?;
        let add = add_fields.map_or_else(|| Ok(Vec::new()), |fields| all(fields, "add_fields"))?;
        let drop = drop_fields.map_or_else(|| Ok(Vec::new()), |fields| all(fields, "drop_fields"))?;
        let rows = define::refresh(&mirror, add, &drop)?.into_iter();
        Ok(rows
            .map(|row| (row.field, row.column, row.column_type, row.status, row.note))
            .collect())
    };
    TableIterator::new(or_raise(refresh()))
}

/// The elements of an array that may hold no null.
fn all<T>(elements: Vec<Option<T>>, name: &str) -> Result<Vec<T>> {
    let elements: Option<Vec<T>> = elements.into_iter().collect();
    elements.ok_or_else(|| argument(&format!("{name} holds a null"), "Leave it out."))
}
