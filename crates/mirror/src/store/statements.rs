//! The statements of one mirror. Column names and types come from its definition; the texts are templates in
//! `store/sql`.

use super::sql;
use crate::definition::{ACTIVE, Constant, Kind, Mirror, ODOO_ID, Table};

/// The statements of one mirror. A page's parameters are its ids, then its columns, then its first and last id.
pub struct Statements {
    /// Writes a page: returns the numbers of inserted and updated rows.
    pub upsert: String,
    /// Inserts a page none of whose rows exists. (Its parameters end with the columns.)
    pub insert: String,
    /// Whether no row has an id from `$1` to `$2`.
    pub range_is_empty: String,
    /// Returns what `upsert` would, and changes nothing.
    pub probe: String,
    /// The first ids in `($1, $2]`.
    pub ids: String,
    /// The greatest id, or 0.
    pub greatest_id: String,
    /// Digests of the ids between the bounds `$1`.
    pub digests: String,
    /// Deletes the rows with the ids `$1`.
    pub delete: String,
    /// The number of rows.
    pub total: String,
    /// The numbers of rows, of rows that are not archived, and of rows with the flag set.
    pub counts: String,
}

impl Statements {
    pub fn new(mirror: &Mirror) -> Self {
        let columns = |prefix: &str| comma(mirror, |column| format!("{prefix}{column}"));
        // Untyped, so that they take the types of their columns.
        let constants = mirror.constants.iter();
        let values: String = constants
            .map(|constant| format!("{}, ", quote_literal(&constant.value)))
            .collect();
        let fill = |template: &str| {
            fill(
                template,
                &[
                    ("changed", sql!("page_changed").trim_end()),
                    ("sent", sql!("page_sent").trim_end()),
                    ("table", &qualified(&mirror.target)),
                    ("key", &key(mirror).join(", ")),
                    ("columns", &columns("")),
                    ("columns_s", &columns("s.")),
                    ("columns_o", &columns("o.")),
                    ("values", &values),
                    (
                        "assignments",
                        &comma(mirror, |column| format!("{column} = excluded.{column}")),
                    ),
                    ("casts", &casts(mirror)),
                    ("arrays", &arrays(mirror)),
                    ("first", &format!("${}", mirror.fields.len() + 2)),
                    ("last", &format!("${}", mirror.fields.len() + 3)),
                    ("mine", &mine(mirror, "")),
                    ("mine_o", &mine(mirror, "o.")),
                    ("active", &count_of(mirror.flag(ACTIVE))),
                    ("flagged", &count_of(mirror.flag_column())),
                ],
            )
        };
        Statements {
            upsert: fill(sql!("page_upsert")),
            insert: fill(sql!("page_insert")),
            range_is_empty: fill(sql!("page_range_is_empty")),
            probe: fill(sql!("page_probe")),
            ids: fill(sql!("ids")),
            greatest_id: fill(sql!("greatest_id")),
            digests: fill(sql!("id_digests")),
            delete: fill(sql!("rows_delete")),
            total: fill(sql!("rows_total")),
            counts: fill(sql!("rows_counts")),
        }
    }
}

/// Replaces `{name}` by its value, once: values are never searched for further names, except for those of the
/// two parts that are templates themselves.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(start) = rest.find('{') {
        let (before, from) = rest.split_at(start);
        filled.push_str(before);
        let found = from.find('}').and_then(|end| {
            values
                .iter()
                .find(|(name, _)| *name == &from[1..end])
                .map(|found| (end, found))
        });
        match found {
            Some((end, (name, value))) => {
                match *name {
                    "changed" | "sent" => filled.push_str(&fill(value, values)),
                    _ => filled.push_str(value),
                }
                rest = &from[end + 1..];
            }
            None => {
                filled.push('{');
                rest = &from[1..];
            }
        }
    }
    filled.push_str(rest);
    filled
}

/// The arrays of a page's columns.
fn arrays(mirror: &Mirror) -> String {
    let fields = mirror.fields.iter().enumerate();
    let arrays = fields.map(|(index, map)| format!("${}::{}[]", index + 2, carrier(map.kind)));
    arrays.collect::<Vec<_>>().join(", ")
}

/// The columns of a page, cast from their carriers to their types.
fn casts(mirror: &Mirror) -> String {
    comma_with_kind(mirror, |column, kind| match carrier(kind) == kind.sql() {
        true => format!("r.{column}"),
        false => format!("r.{column}::{} as {column}", kind.sql()),
    })
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
            flag_field: None,
        }
    }

    #[test]
    fn statements_quote_every_name_and_carry_every_kind() {
        let mirror = Mirror {
            fields: vec![
                field("select", Kind::Text),
                field("a\"b", Kind::Numeric),
                field("{key}", Kind::BigintArray),
                field("Größe", Kind::Timestamptz),
            ],
            ..any()
        };
        let found = Statements::new(&mirror);
        let table = r#""my schema"."t""; drop table t; --""#;
        for part in [
            format!(r#"insert into {table} as t ("odoo_id", "select", "a""b", "{{key}}", "Größe")"#),
            r#"select s.odoo_id, s."select", s."a""b", s."{key}", s."Größe""#.to_owned(),
            r#"select r.odoo_id, r."select", r."a""b"::numeric as "a""b", r."{key}"::bigint[] as "{key}", r."Größe""#
                .to_owned(),
            "from unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::timestamptz[])".to_owned(),
            format!("left join only {table} as o"),
            "on o.odoo_id = s.odoo_id and o.odoo_id between $6 and $7".to_owned(),
            r#"or (o."select", o."a""b", o."{key}", o."Größe") is distinct from (s."select", s."a""b", s."{key}", s."Größe")"#
                .to_owned(),
            r#"on conflict ("odoo_id") do update set "select" = excluded."select", "a""b" = excluded."a""b""#.to_owned(),
        ] {
            assert!(found.upsert.contains(&part), "{part}\n{}", found.upsert);
        }
        for statement in [
            &found.insert,
            &found.range_is_empty,
            &found.probe,
            &found.ids,
            &found.greatest_id,
            &found.digests,
            &found.delete,
            &found.total,
            &found.counts,
        ] {
            assert!(statement.contains(table), "{statement}");
        }
    }

    #[test]
    fn template_values_are_not_searched_for_names() {
        let values = [("a", "{b}"), ("b", "x")];
        assert_eq!(fill("{a} {b} {c} {", &values), "{b} x {c} {");
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
            &found.ids,
            &found.greatest_id,
            &found.digests,
            &found.range_is_empty,
            &found.total,
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
