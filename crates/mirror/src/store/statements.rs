//! The statements by which rows travel into the target table. Any sink sends these; only the sending differs.
//!
//! All names are quoted and qualified, and `only` keeps out what inherits from the table. A page goes as one array a column: one statement a page.

use crate::definition::{Constant, Kind, Mirror, Table, ACTIVE, ODOO_ID};

/// Statements for one mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statements {
    /// Writes a page; gives `inserted`, `updated` (bigint). Parameters: the ids, then the columns, as arrays; then the least and the greatest
    /// id.
    pub upsert: String,
    /// Inserts a page where there is no row yet, which costs less.
    pub insert: String,
    /// Whether there is no row with an id between `$1` and `$2`.
    pub vacant: String,
    /// Same parameters and result, but writes nothing.
    pub probe: String,
    /// Compares all ids in `($2, $3]` with the ids `$1`; gives `missing` and `gone`, one of them null in a row.
    pub compare: String,
    /// Up to 50,000 ids in `($1, $2]`.
    pub rest: String,
    /// The greatest id, or 0.
    pub greatest: String,
    /// The ranges `(after, upto]` of ids that lie before a row and have none, at most `$1` of them.
    pub holes: String,
    /// For the ids in `($1[n], $1[n + 1]]`: `n`, how many there are, their sum, and that of their squares; no row where there are none.
    /// None is beyond 2^31.
    pub digest: String,
    /// Deletes the rows with the ids `$1`.
    pub delete: String,
    /// Counts the mirrored rows: by the key's index alone, where that is fresh.
    pub total: String,
    /// Counts the mirrored rows, those that are not archived and those that are alerts; null where there is no such column.
    pub counts: String,
}

impl Statements {
    pub fn new(mirror: &Mirror) -> Self {
        let table = qualified(&mirror.target);
        let (sent, changed) = (sent_rows(mirror), changed_rows(mirror, &table));
        let columns = comma(mirror, |column| column.to_owned());
        let assignments = comma(mirror, |column| format!("{column} = excluded.{column}"));
        let key = key(mirror).join(", ");
        // Untyped, so that they take the types of their columns.
        let values: String = mirror
            .constants
            .iter()
            .map(|constant| format!("{}, ", quote_literal(&constant.value)))
            .collect();
        let mine = mine(mirror, "");
        Statements {
            // Comparing before writing: `on conflict do update ... where` would lock every unchanged row, which
            // costs WAL, a sequence value each, and time.
            upsert: format!(
                "with written as (\n  insert into {table} as t ({key}, {columns})\n  select {values}s.odoo_id, {}\n  {changed}\n  \
                 on conflict ({key}) do update set {assignments}\n  returning (t.xmax = 0) as inserted)\n\
                 select count(*) filter (where inserted) as inserted, count(*) filter (where not inserted) as updated \
                 from written",
                comma(mirror, |column| format!("s.{column}"))
            ),
            insert: format!(
                "insert into {table} as t ({key}, {columns})\n  select {values}s.odoo_id, {}\n  {sent}",
                comma(mirror, |column| format!("s.{column}"))
            ),
            vacant: format!("select not exists (select from only {table} where odoo_id between $1 and $2{mine})"),
            probe: format!(
                "select count(*) filter (where o.odoo_id is null) as inserted, \
                 count(*) filter (where o.odoo_id is not null) as updated\n  {changed}"
            ),
            compare: format!(
                "select s.id as missing, o.odoo_id as gone\n  from unnest($1::bigint[]) as s (id)\n  full join \
                 (select odoo_id from only {table} where odoo_id > $2 and odoo_id <= $3{mine}) as o on o.odoo_id = s.id\n  \
                 where s.id is null or o.odoo_id is null\n  order by 1, 2"
            ),
            rest: format!(
                "select odoo_id from only {table} where odoo_id > $1 and odoo_id <= $2{mine} order by odoo_id limit 50000"
            ),
            greatest: format!("select coalesce(max(odoo_id), 0) from only {table} where odoo_id is not null{mine}"),
            holes: format!(
                "select after, upto\n  from (select lag(odoo_id, 1, 0::bigint) over (order by odoo_id) as after, odoo_id - 1 as upto from only {table} \
                 where odoo_id > 0{mine}) as h\n  where after < upto\n  order by 1 limit $1"
            ),
            // Thresholds are inclusive below, ranges above.
            digest: format!(
                "select width_bucket(odoo_id - 1, $1::bigint[]), count(*), sum(odoo_id)::text, sum(odoo_id * odoo_id)::text\n  \
                 from only {table} where odoo_id > ($1::bigint[])[1] and odoo_id <= ($1::bigint[])[cardinality($1)]{mine}\n  group by 1"
            ),
            delete: format!("delete from only {table} where odoo_id = any ($1::bigint[]){mine}"),
            total: format!("select count(*) from only {table} where odoo_id is not null{mine}"),
            counts: format!(
                "select count(*), {}, {} from only {table} where odoo_id is not null{mine}",
                count_of(mirror.flag(ACTIVE)),
                count_of(mirror.alert_flag())
            ),
        }
    }
}

/// The columns that tell the rows of a table apart, quoted: the mirror's constants and the id in Odoo.
pub fn key(mirror: &Mirror) -> Vec<String> {
    let constants = mirror.constants.iter().map(|constant| constant.column.as_str());
    constants.chain([ODOO_ID]).map(quote_ident).collect()
}

/// ` and ...`: only the rows of this mirror. `table` is an alias with its dot, or nothing.
fn mine(mirror: &Mirror, table: &str) -> String {
    let condition = |constant: &Constant| {
        let (column, value) = (quote_ident(&constant.column), quote_literal(&constant.value));
        format!(" and {table}{column} = {value}")
    };
    mirror.constants.iter().map(condition).collect()
}

/// `from ... where ...`: the rows `s` of the page that are new or differ from the row `o` of the table.
fn changed_rows(mirror: &Mirror, table: &str) -> String {
    let columns = mirror.fields.len();
    format!(
        "{}\n  left join only {table} as o on o.odoo_id = s.odoo_id and o.odoo_id between ${} and ${}{}\n  \
         where o.odoo_id is null\n     or ({}) is distinct from ({})",
        sent_rows(mirror),
        // Without these a merge join would read the table from its beginning for each page.
        columns + 2,
        columns + 3,
        mine(mirror, "o."),
        comma(mirror, |column| format!("o.{column}")),
        comma(mirror, |column| format!("s.{column}")),
    )
}

/// A page as rows `s`: `$1` has the ids, the next ones the columns.
fn sent_rows(mirror: &Mirror) -> String {
    let arrays: Vec<String> = mirror
        .fields
        .iter()
        .enumerate()
        .map(|(index, map)| format!("${}::{}[]", index + 2, carrier(map.kind)))
        .collect();
    let casts = comma_with_kind(mirror, |column, kind| match carrier(kind) == kind.sql() {
        true => format!("r.{column}"),
        false => format!("r.{column}::{} as {column}", kind.sql()),
    });
    format!(
        "from (select r.odoo_id, {casts}\n        from unnest($1::bigint[], {})\n          as r (odoo_id, {})) as s",
        arrays.join(", "),
        comma(mirror, |column| column.to_owned()),
    )
}

fn count_of(flag: Option<&str>) -> String {
    flag.map_or("null::bigint".to_owned(), |column| {
        format!("count(*) filter (where {})", quote_ident(column))
    })
}

/// The element type that carries a kind: arrays of arrays would need one length, and decimal text is exact.
pub fn carrier(kind: Kind) -> &'static str {
    match kind {
        Kind::Numeric | Kind::Jsonb | Kind::BigintArray => "text",
        other => other.sql(),
    }
}

pub fn qualified(table: &Table) -> String {
    format!("{}.{}", quote_ident(&table.schema), quote_ident(&table.name))
}

/// Always quoted: shorter than knowing every keyword of every version.
pub fn quote_ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL reads it, whatever `standard_conforming_strings` says.
pub fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    match quoted.contains('\\') {
        true => format!("E'{}'", quoted.replace('\\', "\\\\")),
        false => format!("'{quoted}'"),
    }
}

fn comma(mirror: &Mirror, part: impl Fn(&str) -> String) -> String {
    comma_with_kind(mirror, |column, _| part(column))
}

fn comma_with_kind(mirror: &Mirror, part: impl Fn(&str, Kind) -> String) -> String {
    let parts: Vec<String> = mirror
        .fields
        .iter()
        .map(|map| part(&quote_ident(&map.column), map.kind))
        .collect();
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FieldMap;
    use ipai_odoo::Scope;

    #[test]
    fn names_are_quoted() {
        assert_eq!(quote_ident("value"), "\"value\"");
        assert_eq!(quote_ident("a\"; drop table x; --"), "\"a\"\"; drop table x; --\"");
    }

    fn field(column: &str, kind: Kind) -> FieldMap {
        FieldMap {
            field: column.to_owned(),
            column: column.to_owned(),
            kind,
        }
    }

    fn any() -> Mirror {
        Mirror {
            name: "any".to_owned(),
            server: "any".to_owned(),
            target: Table {
                schema: "my schema".to_owned(),
                name: "t\"; drop table t; --".to_owned(),
            },
            scope: Scope {
                model: "any".to_owned(),
                domain: Vec::new(),
                lang: None,
                company_ids: Vec::new(),
            },
            fields: Vec::new(),
            constants: Vec::new(),
            drift: Vec::new(),
            has_write_date: true,
            page_size: 1,
            max_delete_ratio: 0.2,
            alert_field: None,
        }
    }

    #[test]
    fn statements_quote_every_name_and_carry_every_kind() {
        let mirror = Mirror {
            fields: vec![
                field("select", Kind::Text),
                field("a\"b", Kind::Numeric),
                field("$1", Kind::BigintArray),
                field("Größe", Kind::Timestamptz),
            ],
            ..any()
        };
        let table = r#""my schema"."t""; drop table t; --""#;
        let sent = r#"from (select r.odoo_id, r."select", r."a""b"::numeric as "a""b", r."$1"::bigint[] as "$1", r."Größe"
        from unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::timestamptz[])
          as r (odoo_id, "select", "a""b", "$1", "Größe")) as s"#;
        let changed = format!(
            r#"{sent}
  left join only {table} as o on o.odoo_id = s.odoo_id and o.odoo_id between $6 and $7
  where o.odoo_id is null
     or (o."select", o."a""b", o."$1", o."Größe") is distinct from (s."select", s."a""b", s."$1", s."Größe")"#
        );
        let expected = Statements {
            upsert: format!(
                r#"with written as (
  insert into {table} as t ("odoo_id", "select", "a""b", "$1", "Größe")
  select s.odoo_id, s."select", s."a""b", s."$1", s."Größe"
  {changed}
  on conflict ("odoo_id") do update set "select" = excluded."select", "a""b" = excluded."a""b", "$1" = excluded."$1", "Größe" = excluded."Größe"
  returning (t.xmax = 0) as inserted)
select count(*) filter (where inserted) as inserted, count(*) filter (where not inserted) as updated from written"#
            ),
            insert: format!(
                r#"insert into {table} as t ("odoo_id", "select", "a""b", "$1", "Größe")
  select s.odoo_id, s."select", s."a""b", s."$1", s."Größe"
  {sent}"#
            ),
            vacant: format!("select not exists (select from only {table} where odoo_id between $1 and $2)"),
            probe: format!(
                "select count(*) filter (where o.odoo_id is null) as inserted, count(*) filter (where o.odoo_id is not \
                 null) as updated\n  {changed}"
            ),
            compare: format!(
                "select s.id as missing, o.odoo_id as gone
  from unnest($1::bigint[]) as s (id)
  full join (select odoo_id from only {table} where odoo_id > $2 and odoo_id <= $3) as o on o.odoo_id = s.id
  where s.id is null or o.odoo_id is null
  order by 1, 2"
            ),
            delete: format!("delete from only {table} where odoo_id = any ($1::bigint[])"),
            rest: format!(
                "select odoo_id from only {table} where odoo_id > $1 and odoo_id <= $2 order by odoo_id limit 50000"
            ),
            greatest: format!("select coalesce(max(odoo_id), 0) from only {table} where odoo_id is not null"),
            holes: format!(
                "select after, upto
  from (select lag(odoo_id, 1, 0::bigint) over (order by odoo_id) as after, odoo_id - 1 as upto from only {table} where odoo_id > 0) as h
  where after < upto
  order by 1 limit $1"
            ),
            digest: format!(
                "select width_bucket(odoo_id - 1, $1::bigint[]), count(*), sum(odoo_id)::text, sum(odoo_id * odoo_id)::text
  from only {table} where odoo_id > ($1::bigint[])[1] and odoo_id <= ($1::bigint[])[cardinality($1)]
  group by 1"
            ),
            total: format!("select count(*) from only {table} where odoo_id is not null"),
            counts: format!("select count(*), null::bigint, null::bigint from only {table} where odoo_id is not null"),
        };
        let found = Statements::new(&mirror);
        for (found, expected) in [
            (&found.upsert, &expected.upsert),
            (&found.insert, &expected.insert),
            (&found.vacant, &expected.vacant),
            (&found.probe, &expected.probe),
            (&found.compare, &expected.compare),
            (&found.delete, &expected.delete),
            (&found.rest, &expected.rest),
            (&found.greatest, &expected.greatest),
            (&found.holes, &expected.holes),
            (&found.digest, &expected.digest),
            (&found.total, &expected.total),
            (&found.counts, &expected.counts),
        ] {
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn constants_are_part_of_the_key_and_of_every_condition() {
        let constant = |column: &str, value: &str| Constant {
            column: column.to_owned(),
            value: value.to_owned(),
        };
        let mirror = Mirror {
            constants: vec![constant("tenant", "o'hara\\"), constant("year", "2026")],
            fields: vec![field("active", Kind::Boolean)],
            ..any()
        };
        let mine = r#"and "tenant" = E'o''hara\\' and "year" = '2026'"#;
        let found = Statements::new(&mirror);
        for statement in [
            &found.compare,
            &found.rest,
            &found.greatest,
            &found.holes,
            &found.digest,
            &found.delete,
            &found.counts,
        ] {
            assert!(statement.contains(mine), "{statement}");
        }
        let joined = r#"on o.odoo_id = s.odoo_id and o.odoo_id between $3 and $4 and o."tenant" = E'o''hara\\' and o."year" = '2026'"#;
        assert!(found.probe.contains(joined), "{}", found.probe);
        for part in [
            joined,
            r#"as t ("tenant", "year", "odoo_id", "active")"#,
            r#"select E'o''hara\\', '2026', s.odoo_id, s."active""#,
            r#"on conflict ("tenant", "year", "odoo_id") do update set "active" = excluded."active""#,
        ] {
            assert!(found.upsert.contains(part), "{}", found.upsert);
        }
    }
}
