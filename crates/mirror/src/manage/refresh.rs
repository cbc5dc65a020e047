//! Compares a mirror with Odoo's fields, adds some and drops others.

use super::structures::find_structures;
use super::{fields_of, masks_of_neighbours, warn_of_sensitive};
use crate::connection::Accounts;
use crate::definition::{Kind, MirrorRequest, active_field, define_fields, drift, has_write_date, nearest, omission};
use crate::refusal::{invalid, refused};
use crate::session::{Session, internal};
use crate::store::options::MirrorOptions;
use crate::store::statements::{quote_array, quote_literal};
use crate::store::{mirrors, tables, target};
use crate::{Mirror, Problem};
use ipai_odoo::Field;
use ipai_odoo::error::{Result, SqlState};
use ipai_odoo::retry::Policy;

/// The status of one field.
pub struct Refreshed {
    /// Odoo's name of the field.
    pub field: String,
    /// Its column, if it is mirrored.
    pub column: Option<String>,
    /// The SQL type of the column.
    pub column_type: Option<&'static str>,
    /// `ok`, `added`, `gone`, `changed` or `new`.
    pub status: &'static str,
    /// What the status means for the caller.
    pub note: Option<String>,
}

/// Compares a mirror with Odoo's fields, adds some and drops others, whose columns stay.
pub fn refresh(
    session: &mut dyn Session,
    accounts: &dyn Accounts,
    name: &str,
    add: Vec<String>,
    forget: &[String],
) -> Result<Vec<Refreshed>> {
    let mirror = mirrors::load(session, name)?;
    let connection = accounts.of_mirror(session, &mirror)?;
    let fetcher = connection.fetcher(session, Policy::NONE)?;
    let mut odoo = fields_of(&fetcher, &mirror.scope.model)?;
    find_structures(&fetcher, &mirror.scope.model, &mut odoo, &add)?;
    connection.store_findings(session, &fetcher)?;
    drop(fetcher);
    // Another session may have changed the mirror while Odoo worked.
    let mut mirror = mirrors::load_for_update(session, name)?;
    target::verify(session, name, true)?;
    let forgotten = forget_fields(&mut mirror, forget)?;
    let added = if add.is_empty() { add } else { add_fields(session, &mut mirror, &odoo, add)? };
    if !added.is_empty() {
        take_over_masks(session, &mut mirror, &added)?;
    }
    if !forgotten.is_empty() {
        target::check_owners(session, &mirror, &forgotten)?;
    }
    let found = drift(&mirror.fields, &odoo);
    let back = mirror.back(&found).next().is_some();
    mirror.drift = found;
    mirror.has_write_date = has_write_date(&odoo);
    mirrors::set_fields(session, &mirror, back)?;
    mirrors::set_active_field(session, name, active_field(&odoo))?;
    mirrors::set_relations(session, &mirror, &odoo)?;
    if !added.is_empty() {
        mirrors::renew_relations(session, &mirror)?;
    }
    Ok(compared(&mirror, &odoo, &added))
}

/// Removes fields from the mirror, and returns their columns.
fn forget_fields(mirror: &mut Mirror, forget: &[String]) -> Result<Vec<String>> {
    let mut forgotten = Vec::with_capacity(forget.len());
    for name in forget {
        let Some(place) = mirror.fields.iter().position(|map| map.field == *name) else {
            let near = nearest(name, mirror.fields.iter().map(|map| map.field.as_str()));
            let hint = match near.is_empty() {
                true => format!("select * from ipai.refresh_mirror({});", quote_literal(&mirror.name)),
                false => format!("Perhaps you mean {}.", near.join(" or ")),
            };
            return Err(refused(SqlState::UndefinedColumn, format!("field \"{name}\" is not mirrored"), hint));
        };
        if mirror.active_field() == Some(name) {
            return Err(invalid(
                format!("field \"{name}\" is always mirrored: it tells which records are archived"),
                "Leave it out of drop_fields.",
            ));
        }
        forgotten.push(mirror.fields.remove(place).column);
    }
    if mirror.fields.is_empty() {
        return Err(invalid("a mirror needs at least one field", "To give up the whole mirror: ipai.drop_mirror()."));
    }
    Ok(forgotten)
}

/// Gives each field a column: the existing column of that name, or a new one.
fn add_fields(session: &mut dyn Session, mirror: &mut Mirror, odoo: &[Field], add: Vec<String>) -> Result<Vec<String>> {
    if let Some(name) = add.iter().find(|name| mirror.fields.iter().any(|map| map.field == **name)) {
        let hint = format!("select * from ipai.refresh_mirror({});", quote_literal(&mirror.name));
        return Err(refused(SqlState::DuplicateObject, format!("field \"{name}\" is mirrored already"), hint));
    }
    let table = target::existing_columns(session, &mirror.target)?.unwrap_or_default();
    let (there, missing): (Vec<String>, Vec<String>) =
        add.iter().cloned().partition(|name| table.iter().any(|(column, _)| column == name));
    for (fields, table) in [(there, Some(table)), (missing, None)] {
        let is_new = table.is_none();
        let wanted = MirrorRequest {
            model: mirror.scope.model.clone(),
            constants: mirror.constants.clone(),
            table,
            ..MirrorRequest::default()
        };
        let defined = define_fields(&wanted, &fields, odoo)?;
        warn_of_sensitive(session, mirror, &defined, odoo);
        for defined in defined {
            if mirror.fields.iter().any(|map| map.column == defined.map.column) {
                return Err(refused(
                    SqlState::DuplicateObject,
                    format!("column \"{}\" holds another field already", defined.map.column),
                    "Rename the column, or mirror the model anew with another map of columns.",
                ));
            }
            if is_new {
                tables::add_column(session, &mirror.target, &defined)?;
            }
            mirror.fields.push(defined.map);
        }
    }
    Ok(add)
}

/// Masks added fields as other mirrors of the same model and table do.
fn take_over_masks(session: &mut dyn Session, mirror: &mut Mirror, added: &[String]) -> Result<()> {
    let others = mirrors::into_table(session, &mirror.target)?;
    let masks = masks_of_neighbours(&others, mirror).into_iter().filter(|(field, _)| added.contains(field));
    let known = mirror.masks.fields.len();
    mirror.masks.fields.extend(masks);
    if mirror.masks.fields.len() == known {
        return Ok(());
    }
    let masks = serde_json::to_value(&mirror.masks.fields).map_err(internal)?;
    mirrors::alter(session, &mirror.name, &MirrorOptions { masks: Some(masks), ..MirrorOptions::default() })
}

fn compared(mirror: &Mirror, odoo: &[Field], added: &[String]) -> Vec<Refreshed> {
    let mirrored = mirror.fields.iter().map(|map| {
        let drift = mirror.drift.iter().find(|drift| drift.field == map.field);
        let (status, note) = match drift.map(|drift| &drift.problem) {
            None if added.contains(&map.field) => ("added", "the next run fills it for all rows".to_owned()),
            None => ("ok", String::new()),
            Some(Problem::Gone) => {
                ("gone", "Odoo no longer has it, or this user may not read it; the column keeps its values".to_owned())
            }
            Some(Problem::Changed { kind }) => {
                ("changed", format!("it is of type {kind} now; the column keeps its values"))
            }
            Some(Problem::Uncarried) => {
                ("changed", "XML-RPC cannot carry its values; the next full run reads it again".to_owned())
            }
            Some(Problem::Altered) => ("changed", "the table changes the values that runs write".to_owned()),
        };
        let (column, column_type) = (Some(map.column.clone()), Some(map.kind.sql()));
        let note = Some(note).filter(|note| !note.is_empty());
        Refreshed { field: map.field.clone(), column, column_type, status, note }
    });
    let is_default = |field: &&Field| omission(&mirror.scope.model, field).is_none();
    let unmirrored =
        odoo.iter().filter(|field| is_default(field) && !mirror.fields.iter().any(|map| map.field == field.name));
    let new = unmirrored.map(|field| Refreshed {
        field: field.name.clone(),
        column: None,
        column_type: Kind::of(field).map(Kind::sql),
        status: "new",
        note: Some(format!("add_fields => {} mirrors it", quote_array(&field.name))),
    });
    mirrored.chain(new).collect()
}
