//! The mirrors that are registered in `ipai.mirrors`.

use super::{connection, spi};
use crate::error::{Error, Result};
use crate::mirror::{sample_metrics, FieldMap, Mirror, Table};
use crate::odoo::Scope;
use crate::xmlrpc::Value;
use pgrx::datum::JsonB;
use pgrx::prelude::*;
use pgrx::spi::SpiHeapTupleData;

/// Records asked for in one call, and the part of the rows that one run may delete, where nobody chose otherwise.
const PAGE_SIZE: u32 = 5_000;
const MAX_DELETE_RATIO: f64 = 0.2;

const COLUMNS: &str =
    "name, server, target_schema::text, target_table::text, model, domain, lang, company_ids, fields, \
                       page_size, max_delete_ratio";

/// The mirror of this name. `sample_metrics` is known without being registered.
pub fn load(name: &str) -> Result<Mirror> {
    let sql = format!("select {COLUMNS} from ipai.mirrors where name = $1");
    match spi::query_one(&sql, &[name.into()], read)? {
        Some(mirror) => Ok(mirror),
        None if name == sample_metrics::NAME => {
            let choose = format!("select ipai.alter_mirror('{name}', server => '...');");
            Ok(built_in(connection::only_server(&choose)?))
        }
        None => Err(unknown(name)?),
    }
}

/// The models that are mirrored from a server.
pub fn models(server: &str) -> Result<Vec<String>> {
    spi::query(
        "select distinct model from ipai.mirrors where server = $1 order by 1",
        &[server.into()],
        |row| spi::column(row, 1),
    )
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
    let fields = serde_json::to_value(&mirror.fields).map_err(|error| Error::Internal {
        cause: error.to_string(),
    })?;
    spi::execute(
        "insert into ipai.mirrors (name, server, model, target_schema, target_table, fields, page_size, \
         max_delete_ratio) values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (name) do nothing",
        &[
            mirror.name.as_str().into(),
            mirror.server.as_str().into(),
            mirror.scope.model.as_str().into(),
            mirror.target.schema.as_str().into(),
            mirror.target.name.as_str().into(),
            JsonB(fields).into(),
            i32::try_from(mirror.page_size).unwrap_or(i32::MAX).into(),
            mirror.max_delete_ratio.into(),
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

/// Moves the cursor; writes nothing where it stays.
pub fn set_cursor(name: &str, cursor: TimestampWithTimeZone) -> Result<()> {
    spi::execute(
        "update ipai.mirrors set cursor = $2 where name = $1 and cursor is distinct from $2",
        &[name.into(), cursor.into()],
        |_| Ok(()),
    )?;
    Ok(())
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
    }
}

fn read(row: &SpiHeapTupleData<'_>) -> Result<Mirror> {
    let name: String = spi::column(row, 1)?;
    let broken = |what: &str| Error::InvalidArgument {
        message: format!("mirror \"{name}\" has an invalid {what}"),
        hint: "Correct it in ipai.mirrors.".to_owned(),
    };
    let domain: JsonB = spi::column(row, 6)?;
    let Value::Array(domain) = Value::from_json(domain.0) else {
        return Err(broken("domain"));
    };
    let fields: JsonB = spi::column(row, 9)?;
    let fields: Vec<FieldMap> = serde_json::from_value(fields.0).map_err(|_| broken("list of fields"))?;
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
