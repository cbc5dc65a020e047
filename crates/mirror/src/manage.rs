//! Creates, alters and drops mirrors. Runs as the caller, who owns the tables.

mod arguments;
mod refresh;
mod scope;
mod structures;
mod view;

pub use refresh::{Refreshed, refresh};

use crate::connection::Accounts;
use crate::definition::{Defined, Mask, MirrorRequest, active_field, define, has_write_date, nearest, sensitive};
use crate::refusal::{invalid, refused};
use crate::session::{Session, internal};
use crate::source::Fetcher;
use crate::store::options::MirrorOptions;
use crate::store::tables::{self, TypedConstant};
use crate::store::target::Access;
use crate::store::{cron, exposure, lock, mirrors, target, vault};
use crate::{FieldMap, Mirror, Table};
use arguments::{columns, constants, normalize_constant, table_named};
use ipai_odoo::error::{Error, Result, SqlState};
use ipai_odoo::retry::Policy;
use ipai_odoo::{Field, Scope};
use scope::check_scope;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use structures::find_structures;
use view::refuse_view;

/// The arguments of `create_mirror`.
pub struct Request {
    /// The model in Odoo.
    pub model: String,
    /// `schema.table`; a bare name is one in schema ipai.
    pub target: Option<String>,
    /// The name of the mirror; by default the name of the table.
    pub name: Option<String>,
    /// The fields; by default those that Odoo stores.
    pub fields: Option<Vec<String>>,
    /// A JSON object of fields and their columns.
    pub columns: Option<Json>,
    /// A JSON object of constant columns and their values.
    pub constants: Option<Json>,
    /// The options.
    pub options: MirrorOptions,
}

/// Creates the table if it does not exist, and registers the mirror.
pub fn create(
    session: &mut dyn Session,
    accounts: &dyn Accounts,
    mut request: Request,
) -> Result<(Mirror, Vec<Defined>)> {
    let target = table_named(session, &request.target.unwrap_or_else(|| request.model.replace('.', "_")))?;
    let name = request.name.unwrap_or_else(|| target.name.clone());
    check_name(session, &name)?;
    let constants = constants(request.constants.as_ref())?;
    let place = Place::find(session, &target, constants)?;
    let mut columns = columns(request.columns.as_ref())?;
    let mut fields = request.fields;
    if let (Some(_), None) = (&place.columns, &columns) {
        let Some(other) = place.others.iter().find(|other| other.scope.model == request.model) else {
            return Err(in_the_way(&target));
        };
        // A second mirror of the same model takes the fields of the first.
        let like = |map: &&FieldMap| fields.as_ref().is_none_or(|fields| fields.contains(&map.field));
        let maps: Vec<&FieldMap> = other.fields.iter().filter(like).collect();
        columns = Some(maps.iter().map(|map| (map.field.clone(), map.column.clone())).collect());
        fields = fields.or_else(|| Some(maps.iter().map(|map| map.field.clone()).collect()));
    }

    let connection = accounts.open(session, request.options.server.as_deref(), "Name one with the argument server.")?;
    let fetcher = connection.fetcher(session, Policy::NONE)?;
    let mut odoo = fields_of(&fetcher, &request.model)?;
    refuse_view(&fetcher, &request.model, &odoo)?;
    let mapped = columns.iter().flatten().map(|(field, _)| field.clone());
    let named: Vec<String> = fields.iter().flatten().cloned().chain(mapped).collect();
    find_structures(&fetcher, &request.model, &mut odoo, &named)?;
    let wanted = MirrorRequest {
        model: request.model.clone(),
        fields,
        columns: columns.unwrap_or_default(),
        constants: place.constants.iter().map(|(constant, _)| constant.clone()).collect(),
        table: place.columns.clone(),
    };
    let defined = define(&wanted, &odoo)?;
    let mut mirror = Mirror {
        name,
        server: Some(connection.server.clone()),
        target,
        scope: Scope { model: request.model, domain: Vec::new(), lang: None, company_ids: Vec::new() },
        fields: defined.iter().map(|defined| defined.map.clone()).collect(),
        // Runs load it.
        is_partitioned: false,
        drift: Vec::new(),
        constants: wanted.constants,
        has_write_date: has_write_date(&odoo),
        page_size: mirrors::PAGE_SIZE,
        max_delete_ratio: mirrors::MAX_DELETE_RATIO,
        max_rejects: mirrors::MAX_REJECTS,
        flag_field: None,
        masks: Default::default(),
        marks_deleted: false,
    };
    let masks = masks_of_neighbours(&place.others, &mirror);
    if request.options.masks.is_none() && !masks.is_empty() {
        request.options.masks = Some(serde_json::to_value(masks).map_err(internal)?);
    }
    request.options.apply(session, &mut mirror)?;
    check_mask_key(session, &mirror)?;
    check_scope(&fetcher, &mirror.scope)?;
    let label = match place.columns {
        None => Some(label_of(&fetcher, &mirror.scope.model)?),
        Some(_) => None,
    };
    connection.store_findings(session, &fetcher)?;
    // Nothing is locked while Odoo works.
    drop(fetcher);
    // Another session may have used these names in the meantime.
    lock::to_define(session)?;
    check_name(session, &mirror.name)?;
    let now = Place::find(session, &mirror.target, place.constants)?;
    if now.columns != place.columns {
        return Err(in_the_way(&mirror.target));
    }
    if let Some(label) = label {
        tables::create(session, &mirror, &label, &now.constants, &defined)?;
    }
    if mirror.marks_deleted {
        tables::add_deletion_mark(session, &mirror)?;
    }
    target::check(session, &mirror, false)?;
    if !mirrors::insert(session, &mirror)? {
        return Err(taken(&mirror.name));
    }
    mirrors::alter(session, &mirror.name, &request.options)?;
    mirrors::set_active_field(session, &mirror.name, active_field(&odoo))?;
    mirrors::register(session, &mirror.name)?;
    target::check_owners(session, &mirror, &[])?;
    let present = now.columns.iter().flatten().map(|(column, _)| column.clone());
    target::warn_of_owners(session, &mirror, &present.collect::<Vec<_>>())?;
    mirrors::set_relations(session, &mirror, &odoo)?;
    if mirror.marks_deleted {
        mirrors::renew_relations(session, &mirror)?;
    }
    exposure::warn(session, &mirror.target)?;
    warn_of_sensitive(session, &mirror, &defined, &odoo);
    Ok((mirror, defined))
}

struct Place {
    /// The columns of the table, if it exists.
    columns: Option<Vec<(String, String)>>,
    /// The mirror's constants, with the types that a new table gives them.
    constants: Vec<TypedConstant>,
    /// The mirrors that already use this table.
    others: Vec<Mirror>,
}

impl Place {
    fn find(session: &mut dyn Session, target: &Table, mut constants: Vec<TypedConstant>) -> Result<Self> {
        let columns = target::existing_columns(session, target)?;
        for (constant, _) in &mut constants {
            normalize_constant(session, constant, target, columns.as_deref().unwrap_or_default())?;
        }
        let others = mirrors::into_table(session, target)?;
        check_neighbours(target, &constants, &others)?;
        Ok(Place { columns, constants, others })
    }
}

/// Changes options of a mirror.
pub fn alter(session: &mut dyn Session, accounts: &dyn Accounts, name: &str, options: &MirrorOptions) -> Result<()> {
    let mut mirror = mirrors::load(session, name)?;
    if let Some(server) = &options.server {
        let oid = accounts.server_oid(session, server)?;
        mirrors::register_server(session, name, oid)?;
    }
    let before = mirror.clone();
    options.apply(session, &mut mirror)?;
    check_mask_key(session, &mirror)?;
    if options.changes_scope() {
        let connection = accounts.of_mirror(session, &mirror)?;
        let fetcher = connection.fetcher(session, Policy::NONE)?;
        check_scope(&fetcher, &mirror.scope)?;
    }
    if options.on_delete.is_some() {
        change_marks(session, &before, &mirror)?;
    }
    if options.masks.is_some() {
        target::check_owners(session, &mirror, &[])?;
    }
    mirrors::alter(session, name, options)
}

/// The masks that other mirrors of the same model and table have on columns that this one fills.
fn masks_of_neighbours(others: &[Mirror], mirror: &Mirror) -> BTreeMap<String, Mask> {
    let alike = others.iter().filter(|other| other.scope.model == mirror.scope.model && other.name != mirror.name);
    let mask = |other: &Mirror, map: &FieldMap| Some((map.field.clone(), other.masks.of(&map.field)?));
    let masks = |other: &Mirror| -> Vec<_> {
        let shared = other.fields.iter().filter(|map| mirror.fields.contains(map));
        shared.filter_map(|map| mask(other, map)).collect()
    };
    alike.flat_map(masks).collect()
}

/// Prepares the table for marks, or deletes the rows that are marked: runs that delete rows do not
/// know marks. The guard allowed these deletions when the rows were marked.
fn change_marks(session: &mut dyn Session, before: &Mirror, mirror: &Mirror) -> Result<()> {
    if !before.marks_deleted && !mirror.marks_deleted {
        return Ok(());
    }
    // A run in progress would mark rows afterwards.
    lock::for_transaction(session, &mirror.name)?;
    let table = target::verify(session, &mirror.name, true)?;
    target::lock(session, &mirror.target, table, Access::Write)?;
    if mirror.marks_deleted {
        tables::add_deletion_mark(session, mirror)?;
        return mirrors::renew_relations(session, mirror);
    }
    target::check(session, before, false)?;
    let deleted = tables::delete_marked(session, mirror)?;
    if deleted > 0 {
        session.notice(&format!("{}: deleted {deleted} marked rows", mirror.name));
    }
    Ok(())
}

/// Checks that the key of the masks can be read, if they need one.
fn check_mask_key(session: &mut dyn Session, mirror: &Mirror) -> Result<()> {
    if mirror.masks.need_key() { vault::mask_key(session).map(drop) } else { Ok(()) }
}

/// Drops a mirror, and its table if the caller wants that.
pub fn drop_mirror(session: &mut dyn Session, name: &str, drop_table: bool) -> Result<()> {
    lock::for_transaction(session, name)?;
    let mirror = mirrors::load(session, name)?;
    lock::to_define(session)?;
    let others = mirrors::into_table(session, &mirror.target)?;
    let others: Vec<&str> = others.iter().map(|other| other.name.as_str()).filter(|other| *other != name).collect();
    if drop_table && !others.is_empty() {
        return Err(refused(
            SqlState::ObjectInUse,
            format!("table \"{}\" is also the target of {}", mirror.target.display(), others.join(", ")),
            "Drop those mirrors first, or drop this one without its table and delete its rows.",
        ));
    }
    cron::forget(session, name)?;
    mirrors::forget(session, name)?;
    mirrors::drop_relations(session, &mirror.target)?;
    if drop_table {
        tables::drop_table(session, &mirror.target)?;
    }
    Ok(())
}

/// Warns of fields without a mask that a mirror has only because the caller named them.
fn warn_of_sensitive(session: &mut dyn Session, mirror: &Mirror, defined: &[Defined], odoo: &[Field]) {
    let model = &mirror.scope.model;
    let unmasked = defined.iter().filter(|defined| mirror.masks.of(&defined.map.field).is_none());
    for field in unmasked.filter_map(|defined| odoo.iter().find(|field| field.name == defined.map.field)) {
        if let Some(what) = sensitive(model, field) {
            session.warning(
                &format!("field \"{}\" of model \"{model}\" looks like {what}", field.name),
                "All roles that may read the table will see it. Leave it out, or mask it with ipai.alter_mirror().",
            );
        }
    }
}

/// The fields of a model. The error for an unknown model suggests similar names.
pub fn fields_of(fetcher: &Fetcher, model: &str) -> Result<Vec<Field>> {
    let asked = model.to_owned();
    match fetcher.run(move |client| client.fields(&asked, &[])) {
        Err(Error::UnknownModel { model, .. }) => {
            // The suggestion is optional: a failure here does not hide the error.
            let models = fetcher.run(|client| client.models()).unwrap_or_default();
            Err(Error::UnknownModel { near: nearest(&model, models.iter().map(|(name, _)| name.as_str())), model })
        }
        other => other.map_err(|error| error.of_model(model)),
    }
}

fn label_of(fetcher: &Fetcher, model: &str) -> Result<String> {
    let models = match fetcher.run(|client| client.models()) {
        Err(Error::UnknownMethod { .. } | Error::OdooAccess { .. } | Error::OdooFault { .. }) => Vec::new(),
        other => other?,
    };
    let found = models.into_iter().find(|(name, _)| name == model);
    Ok(found.map_or_else(|| model.to_owned(), |(_, label)| label))
}

/// Checks that mirrors of one table have different values in the same constant columns. Otherwise
/// they would delete each other's rows.
fn check_neighbours(target: &Table, constants: &[TypedConstant], others: &[Mirror]) -> Result<()> {
    for other in others {
        let theirs: Vec<&str> = other.constants.iter().map(|constant| constant.column.as_str()).collect();
        let is_same = theirs.iter().eq(constants.iter().map(|(constant, _)| &constant.column));
        if constants.is_empty() || !is_same {
            let message = format!("table \"{}\" is the target of mirror \"{}\" already", target.display(), other.name);
            let hint = match theirs.is_empty() {
                true => "Name another target. Mirrors can share a table only if each has constant columns.".to_owned(),
                false => format!(
                    "Mirrors that share it tell their rows apart by constants in the same columns: {}.",
                    theirs.join(", ")
                ),
            };
            return Err(invalid(message, hint));
        }
        if other.constants.iter().eq(constants.iter().map(|(constant, _)| constant)) {
            return Err(invalid(
                format!("mirror \"{}\" has the same constants", other.name),
                "Give this one another value in at least one of them.",
            ));
        }
    }
    Ok(())
}

fn check_name(session: &mut dyn Session, name: &str) -> Result<()> {
    if name.is_empty() || name.len() > 40 || name.starts_with("now ") {
        return Err(invalid(
            format!("\"{name}\" cannot be the name of a mirror"),
            "It has 1 to 40 bytes. Give one with the argument name.",
        ));
    }
    if mirrors::is_registered(session, name)? { Err(taken(name)) } else { Ok(()) }
}

fn taken(name: &str) -> Error {
    let hint = "Give another name with the argument name, or change the mirror with ipai.alter_mirror().";
    refused(SqlState::DuplicateObject, format!("mirror \"{name}\" already exists"), hint)
}

fn in_the_way(target: &Table) -> Error {
    refused(
        SqlState::DuplicateTable,
        format!("table \"{}\" already exists", target.display()),
        "Name another target, or mirror into this table by saying which columns hold the fields: columns => \
         '{\"field\": \"column\"}', or '{}' where they have the same names.",
    )
}
