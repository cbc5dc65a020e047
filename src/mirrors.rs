//! The mirrors that are registered in `ipai.mirrors`.

use super::connection::literal;
use super::settings::Settings;
use super::time::{moment, timestamptz};
use super::{connection, runs, spi, version};
use ipai_odoo::error::{Error, Result};
use ipai_mirror::{nearest, sample_metrics, Constant, FieldMap, Mirror, Table};
use ipai_odoo::{Database, Scope};
use ipai_mirror::engine::{Guard, State};
use ipai_odoo::xmlrpc::Value;
use chrono::TimeDelta;
use pgrx::datum::JsonB;
use pgrx::prelude::*;
use pgrx::spi::SpiHeapTupleData;
use serde::Serialize;
use serde_json::Value as Json;

/// Most records asked for in one call, and the part of the rows that one run may delete, where nobody chose otherwise.
pub const PAGE_SIZE: u32 = 20_000;
pub const MAX_DELETE_RATIO: f64 = 0.2;

const COLUMNS: &str =
    "name, server, target_schema::text, target_table::text, model, domain::text, lang, company_ids, fields::text, \
                       page_size, max_delete_ratio, alert_field, constants::text, has_write_date, drift::text";

/// The mirror of this name. `sample_metrics` is known without being registered.
pub fn load(name: &str) -> Result<Mirror> {
    version::check()?;
    let sql = format!("select {COLUMNS} from ipai.mirrors where name = $1");
    match spi::query_now(&sql, &[name.into()], read)?.pop() {
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
    let mut mirrors = of_server(server)?;
    if mirrors.is_empty() {
        mirrors.push(built_in(server.to_owned()));
    }
    Ok(mirrors.into_iter().map(|mirror| mirror.scope).collect())
}

/// Registers the built-in mirror where it is not yet. Any other one that is not there has been dropped meanwhile.
pub fn register(mirror: &Mirror) -> Result<()> {
    if is_registered(&mirror.name)? {
        return Ok(());
    }
    if mirror.name != sample_metrics::NAME {
        return Err(unknown(&mirror.name)?);
    }
    if let Some(other) = into_table(&mirror.target)?.first() {
        return Err(Error::Duplicate {
            message: format!(
                "table \"{}\" is the target of mirror \"{}\"",
                mirror.target.display(),
                other.name
            ),
            hint: format!(
                "Use that mirror, or drop it first: select ipai.drop_mirror({});",
                literal(&other.name)
            ),
        });
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
    // Whoever was faster meant the same.
    insert(mirror).map(|_| ())
}

/// Whether there is a mirror of this name.
pub fn is_registered(name: &str) -> Result<bool> {
    version::check()?;
    let known = spi::query_now("select true from ipai.mirrors where name = $1", &[name.into()], |_| {
        Ok(())
    })?;
    Ok(!known.is_empty())
}

/// The one way into `ipai.mirrors`; what is not part of [`Mirror`] takes its default. False: the name is taken.
pub fn insert(mirror: &Mirror) -> Result<bool> {
    let domain: Vec<_> = mirror.scope.domain.iter().map(Value::to_json).collect();
    let inserted = spi::execute(
        "insert into ipai.mirrors (name, server, model, target_schema, target_table, fields, page_size, max_delete_ratio, \
         alert_field, domain, lang, company_ids, constants, has_write_date) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, \
         $11, $12, $13, $14) on conflict (name) do nothing returning true",
        &[
            mirror.name.as_str().into(),
            mirror.server.as_str().into(),
            mirror.scope.model.as_str().into(),
            mirror.target.schema.as_str().into(),
            mirror.target.name.as_str().into(),
            json(&mirror.fields)?.into(),
            i32::try_from(mirror.page_size).unwrap_or(i32::MAX).into(),
            mirror.max_delete_ratio.into(),
            mirror.alert_field.as_deref().into(),
            json(&domain)?.into(),
            mirror.scope.lang.as_deref().into(),
            mirror.scope.company_ids.clone().into(),
            JsonB(constants_to(&mirror.constants)).into(),
            mirror.has_write_date.into(),
        ],
        |_| Ok(()),
    )?;
    Ok(!inserted.is_empty())
}

/// The registered mirror, `sample_metrics` registered for this server (or the only one) where it is not yet.
pub fn load_registered(name: &str, server: Option<&str>) -> Result<Mirror> {
    if !is_registered(name)? {
        match server {
            Some(server) if name == sample_metrics::NAME => {
                connection::find(server)?;
                register(&built_in(server.to_owned()))?;
            }
            _ => register(&load(name)?)?,
        }
    }
    load(name)
}

/// Changes what is given, and leaves the rest.
pub fn alter(name: &str, settings: &Settings) -> Result<()> {
    if let Some(alert_field) = &settings.alert_field {
        // What was counted last was alerts of another kind: the next run counts anew.
        spi::execute(
            "update ipai.run_log l set mirror_alerts = null from ipai.mirrors m where m.name = $1 and m.alert_field is distinct from \
             nullif($2, '') and l.mirror = m.name and l.run = (select max(c.run) from ipai.run_log c where c.mirror = m.name and \
             c.odoo_count is not null)",
            &[name.into(), alert_field.as_str().into()],
            |_| Ok(()),
        )?;
    }
    spi::execute(
        // The cursor belongs to what was asked of which Odoo database. Where that changes it goes, also if it changes back later:
        // a run in between may have left other values.
        "update ipai.mirrors set cursor = case when (coalesce($2, server), coalesce($3, domain), case when $4 is null then lang else \
         nullif($4, '') end, coalesce($5, company_ids)) is not distinct from (server, domain, lang, company_ids) then cursor end, \
         settled_id = case when $7 is null then settled_id end, \
         server = coalesce($2, server), \
         domain = coalesce($3, domain), lang = case when $4 is null then lang else nullif($4, '') end, company_ids = \
         coalesce($5, company_ids), page_size = coalesce($6, page_size), overlap = coalesce($7, overlap), reconcile_every = \
         coalesce($8, reconcile_every), max_delete_ratio = coalesce($9, max_delete_ratio), enabled = coalesce($10, enabled), \
         alert_field = case when $11 is null then alert_field else nullif($11, '') end, late_after = coalesce($12, late_after), \
         max_failures = coalesce($13, max_failures), max_delta = coalesce($14, max_delta), max_alert_ratio = coalesce($15, \
         max_alert_ratio) where name = $1",
        &[
            name.into(),
            settings.server.as_deref().into(),
            settings.domain.clone().map(JsonB).into(),
            settings.lang.as_deref().into(),
            settings.company_ids.clone().into(),
            settings.page_size.into(),
            settings.overlap.into(),
            settings.reconcile_every.into(),
            settings.max_delete_ratio.into(),
            settings.enabled.into(),
            settings.alert_field.as_deref().into(),
            settings.late_after.into(),
            settings.max_failures.into(),
            settings.max_delta.into(),
            settings.max_alert_ratio.into(),
        ],
        |_| Ok(()),
    )?;
    Ok(())
}

/// Holds the mirror's row until the end of the transaction, and gives the mirror as it is then.
pub fn load_for_update(name: &str) -> Result<Mirror> {
    spi::execute(
        "select from ipai.mirrors where name = $1 for update",
        &[name.into()],
        |_| Ok(()),
    )?;
    load(name)
}

/// Fields and what became of them, after a look at Odoo. Another list of readable fields is another shape, and the next run full;
/// so it is where fields are `back`, whatever the shape.
pub fn set_fields(mirror: &Mirror, back: bool) -> Result<()> {
    spi::execute(
        "update ipai.mirrors set fields = $2, drift = $3, has_write_date = $4, cursor = case when not $5 then cursor end where name = $1 and (fields, drift, \
         has_write_date) is distinct from ($2, $3, $4)",
        &[
            mirror.name.as_str().into(),
            json(&mirror.fields)?.into(),
            json(&mirror.drift)?.into(),
            mirror.has_write_date.into(),
            back.into(),
        ],
        |_| Ok(()),
    )?;
    Ok(())
}

/// Notes what a run found that the fields have become; writes nothing where that is known.
pub fn set_drift(mirror: &Mirror) -> Result<()> {
    spi::execute(
        "update ipai.mirrors set drift = $2 where name = $1 and drift is distinct from $2",
        &[mirror.name.as_str().into(), json(&mirror.drift)?.into()],
        |_| Ok(()),
    )?;
    Ok(())
}

/// Forgets the mirror and its runs. Whoever was told of its alerts is told that they are over.
pub fn forget(name: &str) -> Result<()> {
    let told = spi::execute(
        "update ipai.mirrors set enabled = false where name = $1 and alerts <> '{}' returning true",
        &[name.into()],
        |_| Ok(()),
    )?;
    if !told.is_empty() {
        spi::execute("select ipai.notify_alerts()", &[], |_| Ok(()))?;
    }
    for table in ["run_log where mirror", "mirrors where name"] {
        spi::execute(&format!("delete from ipai.{table} = $1"), &[name.into()], |_| Ok(()))?;
    }
    Ok(())
}

/// The mirrors that share a table.
pub fn into_table(table: &Table) -> Result<Vec<Mirror>> {
    let sql =
        format!("select {COLUMNS} from ipai.mirrors where target_schema = $1 and target_table = $2 order by name");
    spi::query_now(&sql, &[table.schema.as_str().into(), table.name.as_str().into()], read)
}

/// The mirrors of a server.
pub fn of_server(server: &str) -> Result<Vec<Mirror>> {
    let sql = format!("select {COLUMNS} from ipai.mirrors where server = $1 order by name");
    spi::query(&sql, &[server.into()], read)
}

/// The mirrors that a run without a name is about.
pub fn enabled() -> Result<Vec<String>> {
    version::check()?;
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

/// What one run may do to what the mirror has.
pub struct Leave {
    pub guard: Guard,
    /// What is known of the Odoo database that filled the mirror.
    pub filled_from: Database,
    /// Whether a full run may read any other.
    pub any_database: bool,
}

/// A mirror that another Odoo user filled loses nothing by itself: this one may see less. One that another database filled is left
/// alone. Whoever gives a ratio means it, and whoever allows all means another database too.
pub fn leave(mirror: &Mirror, login: &str, max_delete_ratio: Option<f64>) -> Result<Leave> {
    let filled = spi::query_one(
        "select filled_as, filled_from, filled_company from ipai.mirrors where name = $1",
        &[mirror.name.as_str().into()],
        |row| {
            let database = Database {
                uuid: spi::optional(row, 2)?,
                company: spi::optional(row, 3)?.and_then(moment),
            };
            Ok((spi::optional::<String>(row, 1)?, database))
        },
    )?;
    let (filled_as, filled_from) = filled.unwrap_or_default();
    let guard = match (max_delete_ratio, filled_as.filter(|filled_as| filled_as != login)) {
        (Some(ratio), _) => Guard::ratio(ratio),
        (None, Some(_)) => Guard::NOTHING,
        (None, None) => Guard::ratio(mirror.max_delete_ratio),
    };
    Ok(Leave {
        guard,
        filled_from,
        any_database: max_delete_ratio.is_some_and(|ratio| ratio >= 1.0),
    })
}

/// Notes from which Odoo database the mirror is filled; writes nothing where that is known.
pub fn set_filled_from(name: &str, database: &Database) -> Result<()> {
    spi::execute(
        "update ipai.mirrors set filled_from = $2, filled_company = $3 where name = $1 and (filled_from, filled_company) is distinct \
         from ($2, $3)",
        &[
            name.into(),
            database.uuid.as_deref().into(),
            database.company.map(timestamptz).transpose()?.into(),
        ],
        |_| Ok(()),
    )?;
    Ok(())
}

/// Notes what a complete run reached; writes nothing where that is known. Without a `cursor`, and the record at it if that has
/// settled, the old ones stay.
pub fn set_reached(
    name: &str,
    cursor: Option<(TimestampWithTimeZone, Option<i64>)>,
    shape: &str,
    login: &str,
    database: &Database,
) -> Result<()> {
    spi::execute(
        "update ipai.mirrors m set cursor = n.cursor, settled_id = n.settled_id, shape = n.shape, filled_as = n.filled_as, filled_from = \
         n.filled_from, filled_company = n.filled_company from (select coalesce($2, cursor) as cursor, case when $2 is null then \
         settled_id else $6 end as settled_id, $3 as shape, $4 as filled_as, $5 as filled_from, $7 as filled_company from ipai.mirrors \
         where name = $1) n where m.name = $1 and (m.cursor, m.settled_id, m.shape, m.filled_as, m.filled_from, m.filled_company) is \
         distinct from (n.cursor, n.settled_id, n.shape, n.filled_as, n.filled_from, n.filled_company)",
        &[
            name.into(),
            cursor.map(|(cursor, _)| cursor).into(),
            shape.into(),
            login.into(),
            database.uuid.as_deref().into(),
            cursor.and_then(|(_, settled)| settled).into(),
            database.company.map(timestamptz).transpose()?.into(),
        ],
        |_| Ok(()),
    )?;
    Ok(())
}

/// What decides which rows and values a mirror has, as a hash: a cursor holds only for the shape it was reached with.
pub fn shape(mirror: &Mirror) -> Result<String> {
    let domain: Vec<_> = mirror.scope.domain.iter().map(Value::to_json).collect();
    let read: Vec<&FieldMap> = mirror.read_fields().collect();
    let shape = serde_json::json!([
        mirror.server,
        mirror.scope.model,
        domain,
        mirror.scope.lang,
        mirror.scope.company_ids,
        read,
        mirror.has_write_date,
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
         'full' and r.complete order by r.run desc limit 1), settled_id from ipai.mirrors where name = $1",
        &[name.into(), shape.into()],
        |row| {
            Ok(State {
                cursor: spi::optional(row, 1)?.and_then(moment),
                overlap: seconds(spi::column(row, 2)?),
                reconcile_every: seconds(spi::column(row, 3)?),
                full_at: spi::optional(row, 4)?.and_then(moment),
                settled: spi::optional(row, 5)?,
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

fn json(value: &impl Serialize) -> Result<JsonB> {
    serde_json::to_value(value).map(JsonB).map_err(|error| Error::Internal {
        cause: error.to_string(),
    })
}

fn constants_to(constants: &[Constant]) -> Json {
    let members = constants.iter();
    Json::Object(
        members
            .map(|constant| (constant.column.clone(), Json::String(constant.value.clone())))
            .collect(),
    )
}

fn constants_from(json: Json) -> Option<Vec<Constant>> {
    let Json::Object(members) = json else {
        return None;
    };
    let constants = members.into_iter().map(|(column, value)| match value {
        Json::String(value) => Some(Constant { column, value }),
        _ => None,
    });
    let mut constants: Vec<Constant> = constants.collect::<Option<_>>()?;
    // jsonb has an order of its own.
    constants.sort_by(|one, other| one.column.cmp(&other.column));
    Some(constants)
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
        constants: Vec::new(),
        drift: Vec::new(),
        has_write_date: true,
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
    let constants: String = spi::column(row, 13)?;
    let constants = serde_json::from_str(&constants).ok().and_then(constants_from);
    let drift: String = spi::column(row, 15)?;
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
        constants: constants.ok_or_else(|| broken("object of constants"))?,
        has_write_date: spi::column(row, 14)?,
        // Only a note of what runs have seen: the next one makes it again.
        drift: serde_json::from_str(&drift).unwrap_or_default(),
        name,
    })
}

/// The error for a mirror that there is not.
fn unknown(name: &str) -> Result<Error> {
    let mut names = spi::query("select name from ipai.mirrors order by 1", &[], |row| {
        spi::column::<String>(row, 1)
    })?;
    if !names.iter().any(|name| name == sample_metrics::NAME) {
        names.push(sample_metrics::NAME.to_owned());
    }
    Ok(Error::UndefinedObject {
        message: format!("mirror \"{name}\" does not exist"),
        hint: match nearest(name, names.iter().map(String::as_str)).as_slice() {
            [] => format!("There are: {}.", names.join(", ")),
            near => format!(
                "Perhaps you mean {}. There are: {}.",
                near.join(" or "),
                names.join(", ")
            ),
        },
    })
}
