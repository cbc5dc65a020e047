//! Checks the target table before anything is asked of Odoo.

use super::{connection::ident, spi};
use ipai_odoo::error::{Error, Result};
use ipai_mirror::{sample_metrics, Mirror, Table};
use pgrx::pg_sys;

/// Whether the current user can keep this mirror: the table is there, has the columns and the key, and he may write
/// it and sees all of its rows.
pub fn check(mirror: &Mirror, dry_run: bool) -> Result<()> {
    let table = mirror.target.display();
    let oid = find(mirror)?;
    let lacking = spi::query(
        "select w.name from unnest($2::text[]) with ordinality as w (name, place) where not exists (select from \
         pg_catalog.pg_attribute a where a.attrelid = $1 and a.attname = w.name and a.attnum > 0 and not \
         a.attisdropped) order by w.place",
        &[oid.into(), columns(mirror).into()],
        |row| spi::column::<String>(row, 1),
    )?;
    if !lacking.is_empty() {
        return Err(Error::UndefinedColumn {
            message: format!("table \"{table}\" lacks the column {}", lacking.join(", ")),
            hint: format!("Add it, or correct the fields of mirror \"{}\".", mirror.name),
        });
    }
    privileges(&table, oid, dry_run)?;
    let key = key(mirror);
    let found = spi::query(
        "select (select c.conname::text from pg_catalog.pg_constraint c where c.conindid = i.indexrelid and not i.indimmediate limit 1) \
         from pg_catalog.pg_index i where i.indrelid = $1 and i.indisunique and i.indisvalid and i.indpred is null and i.indexprs \
         is null and (select pg_catalog.array_agg(a.attname::text order by a.attname::text collate \"C\") from \
         pg_catalog.pg_attribute a where a.attrelid = i.indrelid and a.attnum = any (i.indkey[0:i.indnkeyatts - 1])) = (select \
         pg_catalog.array_agg(k order by k collate \"C\") from unnest($2::text[]) as k)",
        &[oid.into(), key.clone().into()],
        |row| spi::optional::<String>(row, 1),
    )?;
    let names = key.iter().map(|column| ident(column)).collect::<Vec<_>>().join(", ");
    let qualified = format!("{}.{}", ident(&mirror.target.schema), ident(&mirror.target.name));
    let plain = format!("create unique index on {qualified} ({names});");
    // Beside a deferrable one Postgres upserts by no other index either.
    if let Some(deferrable) = found.iter().flatten().next() {
        return Err(Error::UndefinedObject {
            message: format!("the unique constraint of table \"{table}\" on {names} is deferrable"),
            hint: format!("alter table {qualified} drop constraint {}; {plain}", ident(deferrable)),
        });
    }
    match found.is_empty() {
        false => Ok(()),
        true => Err(Error::UndefinedObject {
            message: format!("table \"{table}\" has no unique index on {names}"),
            hint: plain,
        }),
    }
}

/// The columns of a table with their types; `None` where there is no such table.
pub fn existing_columns(table: &Table) -> Result<Option<Vec<(String, String)>>> {
    let found = spi::query_now(
        "select c.oid, c.relkind = 'r' and not c.relispartition from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where \
         n.nspname = $1 and c.relname = $2",
        &[table.schema.as_str().into(), table.name.as_str().into()],
        |row| Ok((spi::column::<pg_sys::Oid>(row, 1)?, spi::column::<bool>(row, 2)?)),
    )?;
    match found.first().copied() {
        None => Ok(None),
        Some((_, false)) => Err(Error::DuplicateTable {
            message: format!("\"{}\" already exists and is no table", table.display()),
            hint: "Name another target.".to_owned(),
        }),
        Some((oid, true)) => spi::query_now(
            "select a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod) from pg_catalog.pg_attribute a where \
             a.attrelid = $1 and a.attnum > 0 and not a.attisdropped order by a.attnum",
            &[oid.into()],
            |row| Ok((spi::column(row, 1)?, spi::column(row, 2)?)),
        )
        .map(Some),
    }
}

fn find(mirror: &Mirror) -> Result<pg_sys::Oid> {
    let oid = spi::query_one(
        "select c.oid from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where n.nspname = \
         $1 and c.relname = $2 and c.relkind = 'r'",
        &[mirror.target.schema.as_str().into(), mirror.target.name.as_str().into()],
        |row| spi::column(row, 1),
    )?;
    oid.ok_or_else(|| Error::UndefinedTable {
        message: format!("table \"{}\" does not exist", mirror.target.display()),
        hint: match mirror.name.as_str() {
            sample_metrics::NAME => format!(
                "The migration {} makes it: supabase db push, or psql -f.",
                sample_metrics::MIGRATION
            ),
            _ => "Make it again, or drop the mirror.".to_owned(),
        },
    })
}

fn key(mirror: &Mirror) -> Vec<String> {
    let constants = mirror.constants.iter().map(|constant| constant.column.clone());
    constants.chain(["odoo_id".to_owned()]).collect()
}

fn columns(mirror: &Mirror) -> Vec<String> {
    let own = mirror.fields.iter().map(|map| map.column.clone());
    key(mirror).into_iter().chain(own).collect()
}

fn privileges(table: &str, oid: pg_sys::Oid, dry_run: bool) -> Result<()> {
    let wanted = if dry_run {
        "select"
    } else {
        "select, insert, update, delete"
    };
    let lacking = spi::query(
        "select p.privilege from pg_catalog.string_to_table($2, ', ') as p (privilege) where not \
         pg_catalog.has_table_privilege($1, p.privilege)",
        &[oid.into(), wanted.into()],
        |row| spi::column::<String>(row, 1),
    )?;
    if !lacking.is_empty() {
        return Err(Error::Permission {
            message: format!("permission denied for table \"{table}\""),
            hint: format!(
                "The role that syncs needs {wanted}. Missing: {}. Sync as the owner of the table, or as service_role.",
                lacking.join(", ")
            ),
        });
    }
    let restricted = spi::query_one("select pg_catalog.row_security_active($1)", &[oid.into()], |row| {
        spi::column::<bool>(row, 1)
    })?;
    match restricted {
        Some(false) => Ok(()),
        // Rows that this role cannot see would count as missing, and could never be deleted.
        _ => Err(Error::Permission {
            message: format!("row-level security hides rows of table \"{table}\" from this role"),
            hint:
                "Sync as the owner of the table, or as a role that bypasses row-level security, such as service_role."
                    .to_owned(),
        }),
    }
}
