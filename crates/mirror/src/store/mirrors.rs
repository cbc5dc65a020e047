//! The mirrors that are registered in `ipai.mirrors`.

use super::options::MirrorOptions;
use super::sql;
use crate::definition::{Masks, nearest};
use crate::refusal::{invalid, refused};
use crate::session::{Param, Row, Session, internal};
use crate::{Constant, FieldMap, Mirror, Table};
use ipai_odoo::error::{Error, Result, SqlState};
use ipai_odoo::value::Value;
use ipai_odoo::{Field, Scope};
use serde::Serialize;
use std::collections::BTreeMap;

/// Default of the most records that one call reads.
pub const PAGE_SIZE: u32 = 20_000;
/// Default of the share of the rows that one run may delete.
pub const MAX_DELETE_RATIO: f64 = 0.2;

/// Default of the most records that the table may refuse before a run fails.
pub const MAX_REJECTS: u32 = 100;

/// The mirror of this name, with the present names of its table and its server.
pub fn load(session: &mut dyn Session, name: &str) -> Result<Mirror> {
    session.first("select ipai.follow_objects($1)", &[name.into()], |_| Ok(()))?;
    match select(session, "where m.name = $1", &[name.into()])?.pop() {
        Some(mirror) => Ok(mirror),
        None => Err(unknown(session, name)?),
    }
}

/// Whether a mirror of this name is registered.
pub fn is_registered(session: &mut dyn Session, name: &str) -> Result<bool> {
    session.is_true("select true from ipai.mirrors where name = $1", &[name.into()])
}

/// Inserts a mirror with the defaults of all options. False: the name is taken.
pub fn insert(session: &mut dyn Session, mirror: &Mirror) -> Result<bool> {
    let fields = json(&mirror.fields)?;
    let constants = mirror.constants.iter().map(|constant| (&constant.column, &constant.value));
    let constants = json(&constants.collect::<BTreeMap<_, _>>())?;
    let params = [
        (&mirror.name).into(),
        mirror.server.as_deref().into(),
        (&mirror.scope.model).into(),
        (&mirror.target.schema).into(),
        (&mirror.target.name).into(),
        (&fields).into(),
        (&constants).into(),
        mirror.has_write_date.into(),
    ];
    Ok(session.change(sql!("mirror_insert"), &params, |_| Ok(()))?.is_some())
}

/// Registers the table and the server that have the names of the mirror now.
pub fn register(session: &mut dyn Session, name: &str) -> Result<()> {
    session.run("select ipai.register_mirror($1)", &[name.into()]).map(drop)
}

/// Registers another server for the mirror.
pub fn register_server(session: &mut dyn Session, name: &str, server: Option<i64>) -> Result<()> {
    let sql = "update ipai.mirror_objects set server = $2::oid where mirror = $1";
    session.run(sql, &[name.into(), server.into()]).map(drop)
}

/// Changes the options that are given.
pub fn alter(session: &mut dyn Session, name: &str, options: &MirrorOptions) -> Result<()> {
    let domain = options.domain.as_ref().map(serde_json::Value::to_string);
    let masks = options.masks.as_ref().map(serde_json::Value::to_string);
    let no_companies = Param::Text(None);
    let params = [
        name.into(),
        options.server.as_deref().into(),
        domain.as_deref().into(),
        options.lang.as_deref().into(),
        options.company_ids.as_deref().map_or(no_companies, Param::Bigints),
        options.page_size.into(),
        options.overlap.as_deref().into(),
        options.reconcile_every.as_deref().into(),
        options.max_delete_ratio.into(),
        options.enabled.into(),
        options.flag_field.as_deref().into(),
        options.late_after.as_deref().into(),
        options.max_failures.into(),
        options.max_delta.into(),
        options.max_flagged_ratio.into(),
        options.keep_runs.as_deref().into(),
        options.max_rejects.into(),
        masks.as_deref().into(),
        options.on_delete.as_deref().into(),
    ];
    session.run(sql!("mirror_alter"), &params).map(drop)
}

/// Locks the row of the mirror until the end of the transaction, and then loads the mirror.
pub fn load_for_update(session: &mut dyn Session, name: &str) -> Result<Mirror> {
    session.run(sql!("mirror_lock"), &[name.into()])?;
    load(session, name)
}

/// Stores the fields and their drift, after Odoo was asked. Another list of readable fields is
/// another fingerprint, so the next run is full; it is full as well if fields are `back`.
pub fn set_fields(session: &mut dyn Session, mirror: &Mirror, back: bool) -> Result<()> {
    let (fields, drift) = (json(&mirror.fields)?, json(&mirror.drift)?);
    let params = [(&mirror.name).into(), (&fields).into(), (&drift).into(), mirror.has_write_date.into(), back.into()];
    session.run(sql!("mirror_set_fields"), &params).map(drop)
}

/// Stores by which field the model archives records, if it does. Returns whether that is new.
pub fn set_active_field(session: &mut dyn Session, name: &str, field: Option<&Field>) -> Result<bool> {
    let field = field.map_or("", |field| field.name.as_str());
    Ok(session.run(sql!("mirror_set_active_field"), &[name.into(), field.into()])? > 0)
}

/// Stores to which models the mirrored fields refer, of the fields that Odoo has now.
pub fn set_relations(session: &mut dyn Session, mirror: &Mirror, odoo: &[Field]) -> Result<()> {
    let refers = |field: &&Field| matches!(field.kind.as_str(), "many2one" | "many2many");
    let is_mirrored = |field: &&Field| mirror.fields.iter().any(|map| map.field == field.name);
    let related = odoo.iter().filter(refers).filter(is_mirrored);
    let related: BTreeMap<_, _> = related.filter_map(|field| Some((&field.name, field.relation.as_ref()?))).collect();
    let sql = "update ipai.mirrors set relations = $2::jsonb where name = $1 and relations <> $2::jsonb";
    session.run(sql, &[(&mirror.name).into(), (&json(&related)?).into()]).map(drop)
}

/// Creates the functions of `ipai.relate_mirrors` anew if there are any for this mirror's table.
/// They return its columns.
pub fn renew_relations(session: &mut dyn Session, mirror: &Mirror) -> Result<()> {
    let params = [(&mirror.target.schema).into(), (&mirror.target.name).into()];
    if session.is_true(sql!("relations_exist"), &params)? {
        session.first("select count(*) from ipai.relate_mirrors($1)", &[(&mirror.name).into()], |_| Ok(()))?;
    }
    Ok(())
}

/// Drops the functions that `ipai.relate_mirrors` made for this table, as far as their mirrors or
/// fields no longer exist.
pub fn drop_relations(session: &mut dyn Session, table: &Table) -> Result<()> {
    let params = [(&table.schema).into(), (&table.name).into()];
    session.first(sql!("relations_drop"), &params, |_| Ok(())).map(drop)
}

/// Stores the drift that a run found. Writes nothing if it is known.
pub fn set_drift(session: &mut dyn Session, mirror: &Mirror) -> Result<()> {
    let drift = json(&mirror.drift)?;
    let params = [(&mirror.name).into(), (&drift).into()];
    session.run(sql!("mirror_set_drift"), &params).map(drop)
}

/// Deletes the mirror and its runs. Listeners are notified that its alerts are cleared.
pub fn forget(session: &mut dyn Session, name: &str) -> Result<()> {
    if session.run(sql!("mirror_disable"), &[name.into()])? > 0 {
        session.run("select ipai.notify_alerts()", &[])?;
    }
    session.run("delete from ipai.run_log where mirror = $1", &[name.into()])?;
    session.run("delete from ipai.mirrors where name = $1", &[name.into()]).map(drop)
}

/// The mirrors that share a table.
pub fn into_table(session: &mut dyn Session, table: &Table) -> Result<Vec<Mirror>> {
    let params = [(&table.schema).into(), (&table.name).into()];
    select(session, "where m.target_schema = $1 and m.target_table = $2 order by m.name", &params)
}

/// The mirrors of a server. A mirror without a server has the only one.
pub fn of_server(session: &mut dyn Session, server: &str) -> Result<Vec<Mirror>> {
    select(session, "where coalesce(m.server, $1) = $1 order by m.name", &[server.into()])
}

/// The mirrors that a run without a name syncs.
pub fn enabled(session: &mut dyn Session) -> Result<Vec<String>> {
    session.all("select name from ipai.mirrors where enabled order by 1", &[], |row| row.get(0))
}

fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(internal)
}

fn select(session: &mut dyn Session, condition: &str, params: &[Param<'_>]) -> Result<Vec<Mirror>> {
    session.all(&format!("{} {condition}", sql!("mirrors")), params, read)
}

fn read(row: &dyn Row) -> Result<Mirror> {
    let name: String = row.get(0)?;
    let invalid = |what| invalid(format!("mirror \"{name}\" has an invalid {what}"), "Correct it in ipai.mirrors.");
    // As text: jsonb holds numbers that do not fit into serde's.
    let domain: String = row.get(5)?;
    let domain = serde_json::from_str(&domain).map(Value::from_json);
    let Ok(Value::Array(domain)) = domain else {
        return Err(invalid("domain"));
    };
    let fields: String = row.get(8)?;
    let fields: Vec<FieldMap> = serde_json::from_str(&fields).map_err(|_| invalid("list of fields"))?;
    // Sorted by column: jsonb has an order of its own.
    let constants = serde_json::from_str::<BTreeMap<String, String>>(&row.get::<String>(12)?);
    let constant = |(column, value)| Constant { column, value };
    let drift: String = row.get(14)?;
    let masks = serde_json::from_str(&row.get::<String>(17)?).map_err(|_| invalid("object of masks"))?;
    Ok(Mirror {
        server: row.optional(1)?,
        target: Table { schema: row.get(2)?, name: row.get(3)? },
        is_partitioned: row.get(16)?,
        scope: Scope { model: row.get(4)?, domain, lang: row.optional(6)?, company_ids: row.get(7)? },
        fields,
        page_size: u32::try_from(row.get::<i32>(9)?).map_err(|_| invalid("page size"))?,
        max_delete_ratio: row.get(10)?,
        max_rejects: u32::try_from(row.get::<i32>(15)?).map_err(|_| invalid("number of rejects"))?,
        flag_field: row.optional(11)?,
        constants: constants.map_err(|_| invalid("object of constants"))?.into_iter().map(constant).collect(),
        has_write_date: row.get(13)?,
        // It only records what runs found: the next full run finds it again.
        drift: serde_json::from_str(&drift).unwrap_or_default(),
        masks: Masks { fields: masks, key: None },
        marks_deleted: row.get(18)?,
        name,
    })
}

fn unknown(session: &mut dyn Session, name: &str) -> Result<Error> {
    let names = session.all("select name from ipai.mirrors order by 1", &[], |row| row.get::<String>(0))?;
    let near = nearest(name, names.iter().map(String::as_str)).join(" or ");
    let names = names.join(", ");
    let hint = match (names.as_str(), near.as_str()) {
        ("", _) => {
            "Create a mirror with ipai.create_mirror(), or apply the migrations of the sample mirror.".to_owned()
        }
        (_, "") => format!("Use the name of a mirror: {names}."),
        _ => format!("Perhaps you mean {near}. Use the name of a mirror: {names}."),
    };
    Ok(refused(SqlState::UndefinedObject, format!("mirror \"{name}\" does not exist"), hint))
}
