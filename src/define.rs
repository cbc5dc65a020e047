//! Mirrors are made, changed and dropped, as the caller: he owns the tables.

use super::connection::{self, literal, Connection};
use super::settings::Settings;
use super::{cron, interrupt, lock, logins, mirrors, spi, target};
use ipai_odoo::error::{Error, Result};
use ipai_mirror::source::Fetcher;
use ipai_mirror::{
    by_default, ddl, define, drift, has_write_date, nearest, sample_metrics, sql, Constant, Defined, FieldMap, Kind,
    Mirror, Problem, Table, MirrorRequest, OWN_COLUMNS,
};
use ipai_odoo::retry::Policy;
use ipai_odoo::{Field, Scope};
use pgrx::prelude::*;
use serde_json::Value as Json;

/// What `create_mirror` is asked for.
pub struct Request {
    pub model: String,
    /// `schema.table`; a bare name is one in schema ipai.
    pub target: Option<String>,
    pub name: Option<String>,
    pub fields: Option<Vec<String>>,
    pub columns: Option<Json>,
    pub constants: Option<Json>,
    pub settings: Settings,
}

/// Makes the table, where it is not there, and registers the mirror.
pub fn create(request: Request) -> Result<(Mirror, Vec<Defined>)> {
    let target = table_named(&request.target.unwrap_or_else(|| request.model.replace('.', "_")))?;
    let name = request
        .name
        .unwrap_or_else(|| match target == sample_metrics::target() {
            true => sample_metrics::NAME.to_owned(),
            false => target.name.clone(),
        });
    check_name(&name, &target)?;
    let server = match &request.settings.server {
        Some(server) => server.clone(),
        None => connection::only_server("Name one with the argument server.")?,
    };
    let constants = constants(request.constants.as_ref())?;
    let place = Place::find(&target, constants)?;
    let mut columns = columns(request.columns.as_ref())?;
    let mut fields = request.fields;
    if let (Some(_), None) = (&place.columns, &columns) {
        let Some(other) = place.others.iter().find(|other| other.scope.model == request.model) else {
            return Err(in_the_way(&target));
        };
        // A second mirror of the same model is like the first.
        let like = |map: &&FieldMap| fields.as_ref().is_none_or(|fields| fields.contains(&map.field));
        let maps: Vec<&FieldMap> = other.fields.iter().filter(like).collect();
        columns = Some(maps.iter().map(|map| (map.field.clone(), map.column.clone())).collect());
        fields = fields.or_else(|| Some(maps.iter().map(|map| map.field.clone()).collect()));
    }

    let connection = Connection::open(&server)?;
    let fetcher = connection.fetcher(Policy::NONE, interrupt::tick)?;
    let odoo = fields_of(&fetcher, &request.model)?;
    let wish = MirrorRequest {
        model: request.model.clone(),
        fields,
        columns: columns.unwrap_or_default(),
        constants: place.constants.iter().map(|(constant, _)| constant.clone()).collect(),
        table: place.columns.clone(),
    };
    let defined = define(&wish, &odoo)?;
    let mut mirror = Mirror {
        name,
        server,
        target,
        scope: Scope {
            model: request.model,
            domain: Vec::new(),
            lang: None,
            company_ids: Vec::new(),
        },
        fields: defined.iter().map(|defined| defined.map.clone()).collect(),
        drift: Vec::new(),
        constants: wish.constants,
        has_write_date: has_write_date(&odoo),
        page_size: mirrors::PAGE_SIZE,
        max_delete_ratio: mirrors::MAX_DELETE_RATIO,
        alert_field: None,
    };
    request.settings.apply(&mut mirror)?;
    // Odoo has the last word on domain, language and companies.
    let scope = mirror.scope.clone();
    fetcher.run(move |client| client.search_count(&scope, Vec::new()))?;
    let label = match place.columns {
        None => Some(label_of(&fetcher, &mirror.scope.model)?),
        Some(_) => None,
    };
    logins::remember_of(&connection, &fetcher)?;
    // No lock while Odoo is waited for.
    drop(fetcher);
    // While Odoo was asked, somebody else may have made something of these names.
    lock::to_define()?;
    check_name(&mirror.name, &mirror.target)?;
    let now = Place::find(&mirror.target, place.constants)?;
    if now.columns != place.columns {
        return Err(in_the_way(&mirror.target));
    }
    if let Some(label) = label {
        make_table(&mirror, &label, &now.constants, &defined)?;
    }
    target::check(&mirror, false)?;
    if !mirrors::insert(&mirror)? {
        return Err(taken(&mirror.name));
    }
    mirrors::alter(&mirror.name, &request.settings)?;
    Ok((mirror, defined))
}

/// Where a mirror is to go.
struct Place {
    /// The columns of the table, where it is there.
    columns: Option<Vec<(String, String)>>,
    /// The mirror's constants, with the types that a new table gives them.
    constants: Vec<(Constant, &'static str)>,
    /// The mirrors that are there already.
    others: Vec<Mirror>,
}

impl Place {
    fn find(target: &Table, mut constants: Vec<(Constant, &'static str)>) -> Result<Self> {
        let columns = target::existing_columns(target)?;
        for (constant, _) in &mut constants {
            as_the_column_holds_it(constant, target, columns.as_deref().unwrap_or_default())?;
        }
        let others = mirrors::into_table(target)?;
        check_neighbours(target, &constants, &others)?;
        Ok(Place {
            columns,
            constants,
            others,
        })
    }
}

/// Changes options of a mirror.
pub fn alter(name: &str, settings: &Settings) -> Result<()> {
    let mut mirror = mirrors::load_registered(name, settings.server.as_deref())?;
    if let Some(server) = &settings.server {
        connection::find(server)?;
    }
    settings.apply(&mut mirror)?;
    if settings.change_scope() {
        let connection = Connection::open(&mirror.server)?;
        let fetcher = connection.fetcher(Policy::NONE, interrupt::tick)?;
        let scope = mirror.scope.clone();
        fetcher.run(move |client| client.search_count(&scope, Vec::new()))?;
    }
    mirrors::alter(name, settings)
}

/// Forgets a mirror, and drops its table where that is wanted.
pub fn drop_mirror(name: &str, drop_table: bool) -> Result<()> {
    lock::for_transaction(name)?;
    let mirror = mirrors::load(name)?;
    lock::to_define()?;
    let others = mirrors::into_table(&mirror.target)?;
    let others: Vec<&str> = others
        .iter()
        .map(|other| other.name.as_str())
        .filter(|other| *other != name)
        .collect();
    if drop_table && !others.is_empty() {
        return Err(Error::InUse {
            message: format!(
                "table \"{}\" is also the target of {}",
                mirror.target.display(),
                others.join(", ")
            ),
            hint: "Drop those mirrors first, or drop this one without its table and delete its rows.".to_owned(),
        });
    }
    cron::forget(name)?;
    mirrors::forget(name)?;
    if drop_table {
        run_ddl(&format!("drop table {}", sql::qualified(&mirror.target)))?;
    }
    Ok(())
}

/// What has become of one field.
pub struct Refreshed {
    pub field: String,
    pub column: Option<String>,
    pub column_type: Option<&'static str>,
    pub status: &'static str,
    pub note: Option<String>,
}

/// Compares a mirror with Odoo's fields, adds some and forgets others, whose columns stay.
pub fn refresh(name: &str, add: Vec<String>, forget: &[String]) -> Result<Vec<Refreshed>> {
    let mirror = mirrors::load_registered(name, None)?;
    let connection = Connection::open(&mirror.server)?;
    let fetcher = connection.fetcher(Policy::NONE, interrupt::tick)?;
    let odoo = fields_of(&fetcher, &mirror.scope.model)?;
    logins::remember_of(&connection, &fetcher)?;
    drop(fetcher);
    // As another session may have left it, while Odoo was asked.
    let mut mirror = mirrors::load_for_update(name)?;
    forget_fields(&mut mirror, forget)?;
    let added = match add.is_empty() {
        true => Vec::new(),
        false => add_fields(&mut mirror, &odoo, add)?,
    };
    let found = drift(&mirror.fields, &odoo);
    let back = mirror.back(&found).next().is_some();
    mirror.drift = found;
    mirror.has_write_date = has_write_date(&odoo);
    mirrors::set_fields(&mirror, back)?;
    Ok(compared(&mirror, &odoo, &added))
}

fn forget_fields(mirror: &mut Mirror, forget: &[String]) -> Result<()> {
    for name in forget {
        let Some(place) = mirror.fields.iter().position(|map| map.field == *name) else {
            let near = nearest(name, mirror.fields.iter().map(|map| map.field.as_str()));
            return Err(Error::UndefinedColumn {
                message: format!("field \"{name}\" is not mirrored"),
                hint: match near.is_empty() {
                    true => format!("select * from ipai.refresh_mirror({});", literal(&mirror.name)),
                    false => format!("Perhaps you mean {}.", near.join(" or ")),
                },
            });
        };
        mirror.fields.remove(place);
    }
    match mirror.fields.is_empty() {
        true => Err(invalid(
            "a mirror needs at least one field".to_owned(),
            "To give up the whole mirror: ipai.drop_mirror().",
        )),
        false => Ok(()),
    }
}

/// Gives each field a column: the one that is there, or a new one.
fn add_fields(mirror: &mut Mirror, odoo: &[Field], add: Vec<String>) -> Result<Vec<String>> {
    if let Some(name) = add
        .iter()
        .find(|name| mirror.fields.iter().any(|map| map.field == **name))
    {
        return Err(Error::Duplicate {
            message: format!("field \"{name}\" is mirrored already"),
            hint: format!("select * from ipai.refresh_mirror({});", literal(&mirror.name)),
        });
    }
    let table = target::existing_columns(&mirror.target)?.unwrap_or_default();
    let (there, missing): (Vec<String>, Vec<String>) = add
        .iter()
        .cloned()
        .partition(|name| table.iter().any(|(column, _)| column == name));
    for (fields, table) in [(there, Some(table)), (missing, None)] {
        if fields.is_empty() {
            continue;
        }
        let is_new = table.is_none();
        let wish = MirrorRequest {
            model: mirror.scope.model.clone(),
            fields: Some(fields),
            columns: Vec::new(),
            constants: mirror.constants.clone(),
            table,
        };
        for defined in define(&wish, odoo)? {
            if mirror.fields.iter().any(|map| map.column == defined.map.column) {
                return Err(Error::Duplicate {
                    message: format!("column \"{}\" holds another field already", defined.map.column),
                    hint: "Rename the column, or mirror the model anew with another map of columns.".to_owned(),
                });
            }
            if is_new {
                for statement in ddl::add_column(&mirror.target, &defined) {
                    run_ddl(&statement)?;
                }
            }
            mirror.fields.push(defined.map);
        }
    }
    Ok(add)
}

fn compared(mirror: &Mirror, odoo: &[Field], added: &[String]) -> Vec<Refreshed> {
    let mut rows: Vec<Refreshed> = mirror
        .fields
        .iter()
        .map(|map| {
            let drift = mirror.drift.iter().find(|drift| drift.field == map.field);
            let (status, note) = match drift.map(|drift| &drift.problem) {
                None if added.contains(&map.field) => ("added", Some("the next run fills it for all rows".to_owned())),
                None => ("ok", None),
                Some(Problem::Gone) => (
                    "gone",
                    Some(
                        "Odoo no longer has it, or this user may not read it; the column keeps what it has".to_owned(),
                    ),
                ),
                Some(Problem::Changed { kind }) => (
                    "changed",
                    Some(format!("it is of type {kind} now; the column keeps what it has")),
                ),
            };
            Refreshed {
                field: map.field.clone(),
                column: Some(map.column.clone()),
                column_type: Some(map.kind.sql()),
                status,
                note,
            }
        })
        .collect();
    let unmirrored = odoo
        .iter()
        .filter(|field| by_default(field) && !mirror.fields.iter().any(|map| map.field == field.name));
    rows.extend(unmirrored.map(|field| Refreshed {
        field: field.name.clone(),
        column: None,
        column_type: Kind::of(field).map(Kind::sql),
        status: "new",
        note: Some(format!("add_fields => '{{{}}}' mirrors it", field.name)),
    }));
    rows
}

/// The fields of a model; for one that there is not, with the names that may be meant.
pub fn fields_of(fetcher: &Fetcher, model: &str) -> Result<Vec<Field>> {
    let asked = model.to_owned();
    match fetcher.run(move |client| client.fields(&asked, &[])) {
        Err(Error::UnknownModel { model, .. }) => {
            // An answer to the question who was meant is worth nothing more.
            let models = fetcher.run(|client| client.models()).unwrap_or_default();
            Err(Error::UnknownModel {
                near: nearest(&model, models.iter().map(|(name, _)| name.as_str())),
                model,
            })
        }
        other => other,
    }
}

/// What people call the model.
fn label_of(fetcher: &Fetcher, model: &str) -> Result<String> {
    let models = match fetcher.run(|client| client.models()) {
        Err(Error::UnknownMethod { .. } | Error::OdooAccess { .. } | Error::OdooFault { .. }) => Vec::new(),
        other => other?,
    };
    let found = models.into_iter().find(|(name, _)| name == model);
    Ok(found.map_or_else(|| model.to_owned(), |(_, label)| label))
}

fn make_table(mirror: &Mirror, label: &str, constants: &[(Constant, &'static str)], defined: &[Defined]) -> Result<()> {
    let table = &mirror.target;
    make_keeper(&table.schema)?;
    let constants: Vec<_> = constants
        .iter()
        .map(|(constant, kind)| ddl::ConstantColumn {
            name: &constant.column,
            kind,
        })
        .collect();
    for statement in ddl::create_table(table, &mirror.scope.model, label, &constants, defined) {
        run_ddl(&statement)?;
    }
    restrict(table)
}

/// The trigger function of the schema's mirrors. It runs as whoever writes a row, so another one's is not used.
fn make_keeper(schema: &str) -> Result<()> {
    let trusted = spi::execute(
        "select (p.proowner = (select r.oid from pg_catalog.pg_roles r where r.rolname = current_user) or o.rolsuper) and \
         p.prorettype = 'pg_catalog.trigger'::pg_catalog.regtype and not p.prosecdef and \
         pg_catalog.has_function_privilege(p.oid, 'execute') from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = \
         p.pronamespace join pg_catalog.pg_roles o on o.oid = p.proowner where n.nspname = $1 and p.proname = $2 and p.pronargs = 0",
        &[schema.into(), ddl::KEEPER.into()],
        |row| spi::column::<bool>(row, 1),
    )?;
    match trusted.first() {
        Some(true) => Ok(()),
        Some(false) => Err(Error::Permission {
            message: format!("function {schema}.{}() belongs to another role", ddl::KEEPER),
            hint: "A mirror's trigger runs as whoever syncs it. Mirror into another schema, or make the mirror as the owner of \
                   that function."
                .to_owned(),
        }),
        None => {
            for statement in ddl::create_keeper(schema) {
                run_ddl(&statement)?;
            }
            let name = format!("{}.{}()", sql::quote_ident(schema), ddl::KEEPER);
            let acl = "select a.grantee, p.proowner from pg_catalog.pg_proc p, pg_catalog.aclexplode(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) a where p.oid = \
                       $1::pg_catalog.regprocedure";
            revoke(&format!("function {name}"), acl, &name)
        }
    }
}

/// Takes every privilege away that somebody but the owner has, by default privileges. `acl` gives grantees and the owner of the
/// object `name`.
fn revoke(object: &str, acl: &str, name: &str) -> Result<()> {
    let sql = format!(
        "select distinct case x.grantee when 0 then 'public' else pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(x.grantee)) end \
         from ({acl}) as x (grantee, owner) where x.grantee <> x.owner"
    );
    for grantee in spi::query(&sql, &[name.into()], |row| spi::column::<String>(row, 1))? {
        run_ddl(&format!("revoke all on {object} from {grantee}"))?;
    }
    Ok(())
}

/// Takes away what default privileges gave, and lets `service_role` sync, where there is one.
fn restrict(table: &Table) -> Result<()> {
    let name = sql::qualified(table);
    let acl =
        "select a.grantee, c.relowner from pg_catalog.pg_class c, pg_catalog.aclexplode(c.relacl) a where c.oid = \
               $1::pg_catalog.regclass";
    revoke(&format!("table {name}"), acl, &name)?;
    let service_role = spi::query_one(
        "select true from pg_catalog.pg_roles where rolname = 'service_role'",
        &[],
        |_| Ok(()),
    )?;
    match service_role {
        Some(()) => run_ddl(&format!(
            "grant select, insert, update, delete on table {name} to service_role"
        )),
        None => Ok(()),
    }
}

fn run_ddl(statement: &str) -> Result<()> {
    Spi::run(statement).map_err(spi::internal)
}

/// Every mirror into a table has constants in the same columns, and other ones: else they would delete each other's rows.
fn check_neighbours(target: &Table, constants: &[(Constant, &str)], others: &[Mirror]) -> Result<()> {
    for other in others {
        let theirs = other.constants.iter().map(|constant| constant.column.as_str());
        let same = theirs.eq(constants.iter().map(|(constant, _)| constant.column.as_str()));
        if constants.is_empty() || !same {
            return Err(Error::InvalidArgument {
                message: format!(
                    "table \"{}\" is the target of mirror \"{}\" already",
                    target.display(),
                    other.name
                ),
                hint: match other.constants.is_empty() {
                    true => {
                        "Name another target. Mirrors can share a table only if each has constant columns.".to_owned()
                    }
                    false => format!(
                        "Mirrors that share it tell their rows apart by constants in the same columns: {}.",
                        other
                            .constants
                            .iter()
                            .map(|constant| constant.column.as_str())
                            .collect::<Vec<_>>()
                            .join(", ")
                    ),
                },
            });
        }
        if other
            .constants
            .iter()
            .eq(constants.iter().map(|(constant, _)| constant))
        {
            return Err(Error::InvalidArgument {
                message: format!("mirror \"{}\" has the same constants", other.name),
                hint: "Give this one another value in at least one of them.".to_owned(),
            });
        }
    }
    Ok(())
}

fn check_name(name: &str, target: &Table) -> Result<()> {
    if name.is_empty() || name.len() > 40 || name.starts_with("now ") {
        return Err(invalid(
            format!("\"{name}\" cannot be the name of a mirror"),
            "It has 1 to 40 bytes. Give one with the argument name.",
        ));
    }
    if name == sample_metrics::NAME && *target != sample_metrics::target() {
        return Err(invalid(
            format!(
                "\"{name}\" is the name of the mirror into {}",
                sample_metrics::target().display()
            ),
            "Give another one with the argument name.",
        ));
    }
    match mirrors::is_registered(name)? {
        true => Err(taken(name)),
        false => Ok(()),
    }
}

fn taken(name: &str) -> Error {
    Error::Duplicate {
        message: format!("mirror \"{name}\" already exists"),
        hint: "Give another name with the argument name, or change the mirror with ipai.alter_mirror().".to_owned(),
    }
}

/// `schema.table`, as SQL reads it.
fn table_named(text: &str) -> Result<Table> {
    let parts = spi::query_one(
        "select case when $1 ~ '^\\s*(\"([^\"]|\"\")+\"|[^\".\\s]+)(\\s*\\.\\s*(\"([^\"]|\"\")+\"|[^\".\\s]+))?\\s*$' then \
         pg_catalog.parse_ident($1) end",
        &[text.into()],
        |row| spi::optional::<Vec<String>>(row, 1),
    )?;
    let fits = |part: &String| part.len() <= 63;
    match parts.flatten().filter(|parts| parts.iter().all(fits)).as_deref() {
        Some([name]) => Ok(Table {
            schema: "ipai".to_owned(),
            name: name.clone(),
        }),
        Some([schema, name]) => Ok(Table {
            schema: schema.clone(),
            name: name.clone(),
        }),
        _ => Err(invalid(
            "target is not the name of a table".to_owned(),
            "It is schema.table, or the name of a table in schema ipai, each of at most 63 bytes; names with capitals or spaces in double \
             quotes.",
        )),
    }
}

fn columns(json: Option<&Json>) -> Result<Option<Vec<(String, String)>>> {
    let members = match json {
        None => return Ok(None),
        Some(Json::Object(members)) => members
            .iter()
            .map(|(field, column)| column.as_str().map(|column| (field.clone(), column.to_owned()))),
        Some(_) => return Err(not_columns()),
    };
    members.collect::<Option<_>>().map(Some).ok_or_else(not_columns)
}

fn not_columns() -> Error {
    invalid(
        "columns is not a map of columns".to_owned(),
        "It is a JSON object, '{\"field\": \"column\"}'; '{}' where the columns of the table have the fields' names.",
    )
}

/// The constant columns with the types that a new table gives them, by name, so that the same ones are equal.
fn constants(json: Option<&Json>) -> Result<Vec<(Constant, &'static str)>> {
    let refused = || {
        invalid(
            "constants is not an object of constant columns".to_owned(),
            "It is a JSON object of column names and values, '{\"tenant\": \"acme\"}'; values are texts, whole numbers or \
             booleans.",
        )
    };
    let members = match json {
        None => return Ok(Vec::new()),
        Some(Json::Object(members)) => members,
        Some(_) => return Err(refused()),
    };
    let mut constants = Vec::with_capacity(members.len());
    for (column, value) in members {
        let (value, kind) = match value {
            Json::String(text) => (text.clone(), "text"),
            Json::Bool(flag) => (flag.to_string(), "boolean"),
            Json::Number(number) if number.is_i64() => (number.to_string(), "bigint"),
            _ => return Err(refused()),
        };
        let own = OWN_COLUMNS.contains(&column.as_str());
        if own || column.is_empty() || column.len() > 63 {
            return Err(refused());
        }
        constants.push((
            Constant {
                column: column.clone(),
                value,
            },
            kind,
        ));
    }
    constants.sort_by(|(one, _), (other, _)| one.column.cmp(&other.column));
    Ok(constants)
}

/// Types of which a value has one spelling: two that are equal must not pass for two mirrors.
const CONSTANT_TYPES: [&str; 7] = [
    "text",
    "character varying",
    "smallint",
    "integer",
    "bigint",
    "boolean",
    "uuid",
];

fn as_the_column_holds_it(constant: &mut Constant, target: &Table, columns: &[(String, String)]) -> Result<()> {
    let Some((_, kind)) = columns.iter().find(|(column, _)| *column == constant.column) else {
        return Ok(());
    };
    let loose = spi::query_one(
        "select true from pg_catalog.pg_attribute a join pg_catalog.pg_collation c on c.oid = a.attcollation where a.attrelid = \
         $1::pg_catalog.regclass and a.attname = $2 and not c.collisdeterministic",
        &[sql::qualified(target).into(), constant.column.as_str().into()],
        |_| Ok(()),
    )?;
    if loose.is_some() || !CONSTANT_TYPES.contains(&kind.as_str()) {
        return Err(invalid(
            format!(
                "column \"{}\" of type {kind} cannot tell mirrors apart",
                constant.column
            ),
            "A constant column has one of the types text, smallint, integer, bigint, boolean and uuid, and no collation for which different texts are equal.",
        ));
    }
    let sql = format!("select ({}::{kind})::text", sql::quote_literal(&constant.value));
    if let Some(Some(value)) = spi::query_one(&sql, &[], |row| spi::optional::<String>(row, 1))? {
        constant.value = value;
    }
    Ok(())
}

fn in_the_way(target: &Table) -> Error {
    Error::DuplicateTable {
        message: format!("table \"{}\" already exists", target.display()),
        hint: "Name another target, or mirror into this table by saying which columns hold the fields: columns => \
               '{\"field\": \"column\"}', or '{}' where they have the same names."
            .to_owned(),
    }
}

fn invalid(message: String, hint: &str) -> Error {
    Error::InvalidArgument {
        message,
        hint: hint.to_owned(),
    }
}
