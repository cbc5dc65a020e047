//! The mirrors that are registered in `ipai.mirrors`.

use super::connection::literal;
use super::time::moment;
use super::{connection, runs, spi};
use crate::error::{Error, Result};
use crate::mirror::{sample_metrics, FieldMap, Mirror, Table};
use crate::odoo::Scope;
use crate::sync::{Guard, State};
use crate::xmlrpc::Value;
use chrono::TimeDelta;
use pgrx::datum::JsonB;
use pgrx::prelude::*;
use pgrx::spi::SpiHeapTupleData;

/// Records asked for in one call, and the part of the rows that one run may delete, where nobody chose otherwise.
const PAGE_SIZE: u32 = 5_000;
const MAX_DELETE_RATIO: f64 = 0.2;

const COLUMNS: &str =
    "name, server, target_schema::text, target_table::text, model, domain::text, lang, company_ids, fields::text, \
                       page_size, max_delete_ratio, alert_field";

/// The mirror of this name. `sample_metrics` is known without being registered.
pub fn load(name: &str) -> Result<Mirror> {
    let sql = format!("select {COLUMNS} from ipai.mirrors where name = $1");
    match spi::query_one(&sql, &[name.into()], read)? {
        Some(mirror) => Ok(mirror),
        None if name == sample_metrics::NAME => {
            let choose = format!("select ipai.alter_mirror({}, server => '...');", literal(name));
            Ok(built_in(connection::only_server(&choose)?))
        }
        None => Err(unknown(name)?),
    }
}

/// What is mirrored from a server; before the first mirror, what the built-in one will read.
pub fn scopes(server: &str) -> Result<Vec<Scope>> {
    let sql = format!("select {COLUMNS} from ipai.mirrors where server = $1 order by name");
    let mut mirrors = spi::query(&sql, &[server.into()], read)?;
    if mirrors.is_empty() {
        mirrors.push(built_in(server.to_owned()));
    }
    Ok(mirrors.into_iter().map(|mirror| mirror.scope).collect())
}

/// Registers the mirror where it is not yet.
pub fn register(mirror: &Mirror) -> Result<()> {
    let known = spi::query_one(
        "select true from ipai.mirrors where name = $1",
        &[mirror.name.as_str().into()],
        |_| Ok(()),
    )?;
    if known.is_some() {
        return Ok(());
    }
    let allowed = spi::query_one(
        "select pg_catalog.has_table_privilege('ipai.mirrors', 'insert')",
        &[],
        |row| spi::column::<bool>(row, 1),
    )?;
    if allowed != Some(true) {
        return Err(Error::Permission {
            message: format!(
                "mirror \"{}\" is not registered, and this role may not register it",
                mirror.name
            ),
            hint: format!(
                "As the owner (on Supabase: postgres), once: select ipai.alter_mirror({}, server => {});",
                literal(&mirror.name),
                literal(&mirror.server)
            ),
        });
    }
    let fields = serde_json::to_value(&mirror.fields).map_err(|error| Error::Internal {
        cause: error.to_string(),
    })?;
    spi::execute(
        "insert into ipai.mirrors (name, server, model, target_schema, target_table, fields, page_size, \
         max_delete_ratio, alert_field) values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict (name) do nothing",
        &[
            mirror.name.as_str().into(),
            mirror.server.as_str().into(),
            mirror.scope.model.as_str().into(),
            mirror.target.schema.as_str().into(),
            mirror.target.name.as_str().into(),
            JsonB(fields).into(),
            i32::try_from(mirror.page_size).unwrap_or(i32::MAX).into(),
            mirror.max_delete_ratio.into(),
            mirror.alert_field.as_deref().into(),
        ],
        |_| Ok(()),
    )?;
    Ok(())
}

/// Binds the mirror to another server; registers `sample_metrics` where it is not yet.
pub fn set_server(name: &str, server: &str) -> Result<()> {
    connection::find(server)?;
    if name == sample_metrics::NAME {
        register(&built_in(server.to_owned()))?;
    }
    // The cursor belongs to the Odoo database it was read from.
    let changed = spi::execute(
        "update ipai.mirrors set server = $2, cursor = case when server = $2 then cursor end where name = $1 returning \
         true",
        &[name.into(), server.into()],
        |_| Ok(()),
    )?;
    match changed.is_empty() {
        true => Err(unknown(name)?),
        false => Ok(()),
    }
}

/// The mirrors that a run without a name is about.
pub fn enabled() -> Result<Vec<String>> {
    let registered = spi::query("select name, enabled from ipai.mirrors order by 1", &[], |row| {
        Ok((spi::column::<String>(row, 1)?, spi::column::<bool>(row, 2)?))
    })?;
    if registered.is_empty() {
        return Ok(vec![sample_metrics::NAME.to_owned()]);
    }
    Ok(registered
        .into_iter()
        .filter(|(_, enabled)| *enabled)
        .map(|(name, _)| name)
        .collect())
}

/// What one run may delete. A mirror that another Odoo user filled loses nothing by itself: this one may see less.
pub fn guard(mirror: &Mirror, login: &str, max_delete_ratio: Option<f64>) -> Result<Guard> {
    let filled_as = spi::query_one(
        "select filled_as from ipai.mirrors where name = $1",
        &[mirror.name.as_str().into()],
        |row| spi::optional::<String>(row, 1),
    )?;
    let other = filled_as.flatten().filter(|filled_as| filled_as != login);
    Ok(match (max_delete_ratio, other) {
        (Some(ratio), _) => Guard::ratio(ratio),
        (None, Some(_)) => Guard::NOTHING,
        (None, None) => Guard::ratio(mirror.max_delete_ratio),
    })
}

/// Moves the cursor; writes nothing where it stays.
pub fn set_cursor(name: &str, cursor: TimestampWithTimeZone, shape: &str, login: &str) -> Result<()> {
    spi::execute(
        "update ipai.mirrors set cursor = $2, shape = $3, filled_as = $4 where name = $1 and (cursor, shape, filled_as) is distinct \
         from ($2, $3, $4)",
        &[name.into(), cursor.into(), shape.into(), login.into()],
        |_| Ok(()),
    )?;
    Ok(())
}

/// What decides which rows and values a mirror has, as a hash: a cursor holds only for the shape it was reached with.
pub fn shape(mirror: &Mirror) -> Result<String> {
    let domain: Vec<_> = mirror.scope.domain.iter().map(Value::to_json).collect();
    let shape = serde_json::json!([
        mirror.server,
        mirror.scope.model,
        domain,
        mirror.scope.lang,
        mirror.scope.company_ids,
        mirror.fields,
    ]);
    let hash = spi::query_one(
        "select pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to($1, 'UTF8')), 'hex')",
        &[shape.to_string().into()],
        |row| spi::column(row, 1),
    )?;
    hash.ok_or_else(|| Error::Internal {
        cause: "no hash".to_owned(),
    })
}

/// What earlier runs left.
pub fn state(name: &str, shape: &str) -> Result<State> {
    let state = spi::query_one(
        "select case when shape = $2 then cursor end, extract(epoch from overlap)::float8, \
         extract(epoch from reconcile_every)::float8, (select r.finished_at from ipai.run_log r where r.mirror = name and r.mode = \
         'full' and r.complete order by r.run desc limit 1) from ipai.mirrors where name = $1",
        &[name.into(), shape.into()],
        |row| {
            Ok(State {
                cursor: spi::optional(row, 1)?.and_then(moment),
                overlap: seconds(spi::column(row, 2)?),
                reconcile_every: seconds(spi::column(row, 3)?),
                full_at: spi::optional(row, 4)?.and_then(moment),
                unfinished: None,
            })
        },
    )?;
    let mut state = state.ok_or_else(|| Error::Internal {
        cause: "the mirror is not registered".to_owned(),
    })?;
    state.unfinished = runs::unfinished(name, shape)?;
    Ok(state)
}

fn seconds(seconds: f64) -> TimeDelta {
    // Bounded, so that no sum with a moment of Odoo overflows.
    TimeDelta::seconds(seconds.clamp(0.0, 1e11) as i64)
}

fn built_in(server: String) -> Mirror {
    Mirror {
        name: sample_metrics::NAME.to_owned(),
        server,
        target: sample_metrics::target(),
        scope: Scope {
            model: sample_metrics::MODEL.to_owned(),
            domain: Vec::new(),
            lang: None,
            company_ids: Vec::new(),
        },
        fields: sample_metrics::fields(),
        page_size: PAGE_SIZE,
        max_delete_ratio: MAX_DELETE_RATIO,
        alert_field: Some(sample_metrics::ALERT_FIELD.to_owned()),
    }
}

fn read(row: &SpiHeapTupleData<'_>) -> Result<Mirror> {
    let name: String = spi::column(row, 1)?;
    let broken = |what: &str| Error::InvalidArgument {
        message: format!("mirror \"{name}\" has an invalid {what}"),
        hint: "Correct it in ipai.mirrors.".to_owned(),
    };
    // As text: not everything that jsonb holds fits into serde's numbers.
    let domain: String = spi::column(row, 6)?;
    let domain = serde_json::from_str(&domain).map(Value::from_json);
    let Ok(Value::Array(domain)) = domain else {
        return Err(broken("domain"));
    };
    let fields: String = spi::column(row, 9)?;
    let fields: Vec<FieldMap> = serde_json::from_str(&fields).map_err(|_| broken("list of fields"))?;
    Ok(Mirror {
        server: spi::column(row, 2)?,
        target: Table {
            schema: spi::column(row, 3)?,
            name: spi::column(row, 4)?,
        },
        scope: Scope {
            model: spi::column(row, 5)?,
            domain,
            lang: spi::optional(row, 7)?,
            company_ids: spi::column(row, 8)?,
        },
        fields,
        page_size: u32::try_from(spi::column::<i32>(row, 10)?).map_err(|_| broken("page size"))?,
        max_delete_ratio: spi::column(row, 11)?,
        alert_field: spi::optional(row, 12)?,
        name,
    })
}

fn unknown(name: &str) -> Result<Error> {
    let mut names = spi::query("select name from ipai.mirrors order by 1", &[], |row| {
        spi::column::<String>(row, 1)
    })?;
    if !names.iter().any(|name| name == sample_metrics::NAME) {
        names.push(sample_metrics::NAME.to_owned());
    }
    Ok(Error::UndefinedObject {
        message: format!("mirror \"{name}\" does not exist"),
        hint: format!("There are: {}.", names.join(", ")),
    })
}
