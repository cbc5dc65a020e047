//! The statements of one mirror: templates in `store/sql`, filled with its columns and types.

use super::sql;
use crate::definition::{Constant, Kind, Mirror, Table};
pub use ipai_odoo::text::quote_literal;

/// The statements of one mirror; their files say what they return. The parameters of a page are its
/// ids, its columns, and but for `insert` its first and last id.
pub struct Statements {
    /// Writes the rows of a page that are new or differ.
    pub upsert: String,
    /// Inserts a page into a range without rows.
    pub insert: String,
    pub(super) range_is_empty: String,
    pub(super) probe: String,
    /// Deletes and inserts the rows of a page that differ. Its parameters are those of `upsert`.
    /// Its parts: names of other columns of the table go in between.
    replace: [String; 3],
    pub(super) altered: String,
    pub(super) ids: String,
    pub(super) greatest_id: String,
    pub(super) digests: String,
    /// Deletes rows, or marks them.
    pub(super) delete: String,
    pub(super) delete_marked: String,
    pub(super) counts: String,
}

impl Statements {
    /// Builds the statements of a mirror.
    pub fn new(mirror: &Mirror) -> Self {
        let columns = |prefix: &str| comma(mirror, |column, _| format!("{prefix}{column}"));
        // Untyped, so that they take the types of their columns.
        let constants = mirror.constants.iter();
        let values: String = constants.map(|constant| format!("{}, ", quote_literal(&constant.value))).collect();
        let of_marks = |sql: &'static str| if mirror.marks_deleted { sql } else { "" };
        let key = mirror.key().map(quote_ident).collect::<Vec<_>>();
        let parts = [
            ("changed", sql!("page_changed").trim_end().to_owned()),
            ("sent", sql!("page_sent").trim_end().to_owned()),
            ("table", qualified(&mirror.target)),
            ("only", only(mirror).to_owned()),
            ("key", key.join(", ")),
            ("columns", columns("")),
            ("columns_s", columns("s.")),
            ("columns_o", comma(mirror, compared)),
            ("altered", altered(mirror)),
            ("values", values),
            ("is_new", unused_name(mirror, "is_new")),
            ("assignments", comma(mirror, |column, _| format!("{column} = excluded.{column}"))),
            ("casts", casts(mirror)),
            ("arrays", arrays(mirror)),
            ("first", format!("${}", mirror.fields.len() + 2)),
            ("last", format!("${}", mirror.fields.len() + 3)),
            ("mine", mine(mirror, "")),
            ("mine_o", mine(mirror, "o.")),
            ("mine_t", mine(mirror, "t.")),
            ("live", live(mirror).to_owned()),
            ("marked", of_marks(" or o.deleted_at is not null").to_owned()),
            ("unmark", of_marks(", deleted_at = null").to_owned()),
            ("active", count_of(mirror.active_field().and_then(|field| mirror.flag(field)))),
            ("flagged", count_of(mirror.flag_column())),
        ];
        let parts: Vec<_> = parts.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let fill = |template: &str| fill(template, &parts);
        Statements {
            upsert: fill(sql!("page_upsert")),
            insert: fill(sql!("page_insert")),
            range_is_empty: fill(sql!("page_range_is_empty")),
            probe: fill(sql!("page_probe")),
            replace: replace_template().map(fill),
            altered: fill(sql!("page_altered")),
            ids: fill(sql!("ids")),
            greatest_id: fill(sql!("greatest_id")),
            digests: fill(sql!("id_digests")),
            delete: fill(if mirror.marks_deleted { sql!("rows_mark") } else { sql!("rows_delete") }),
            delete_marked: fill(sql!("rows_delete_marked")),
            counts: fill(sql!("rows_counts")),
        }
    }

    /// The statement that compares a list of ids with the list of the other side, which `other`
    /// holds. Its parameters are the time since when rows of `other` have changed, and whether ids
    /// that it lacks do not exist.
    pub(super) fn outdated_lists(mirror: &Mirror, other: &Mirror, [list, other_list]: [&str; 2]) -> String {
        fill(
            sql!("lists_outdated"),
            &[
                ("table", &qualified(&mirror.target)),
                ("only", only(mirror)),
                ("list", &quote_ident(list)),
                ("mine_t", &mine(mirror, "t.")),
                ("live", live(mirror)),
                ("other", &qualified(&other.target)),
                ("other_only", only(other)),
                ("other_list", &quote_ident(other_list)),
                ("other_mine_t", &mine(other, "t.")),
                ("other_live", live(other)),
            ],
        )
    }

    /// The statement that deletes and inserts rows. The columns `others` keep their values.
    pub(super) fn replace(&self, others: &[String]) -> String {
        let columns = |prefix: &str| others.iter().map(|name| format!(", {prefix}{}", quote_ident(name))).collect();
        let (names, kept): (String, String) = (columns(""), columns("d."));
        // Not filled a second time: a name that Odoo chose may look like a placeholder.
        let [begin, middle, end] = &self.replace;
        format!("{begin}{names}{middle}{kept}{end}")
    }
}

/// The template of `replace`, divided where the names of other columns go.
fn replace_template() -> [&'static str; 3] {
    let template = sql!("page_replace");
    let (begin, rest) = template.split_once("{others}").unwrap_or((template, ""));
    let (middle, end) = rest.split_once("{others_d}").unwrap_or((rest, ""));
    [begin, middle, end]
}

/// A name that no column of the mirror has.
fn unused_name(mirror: &Mirror, name: &str) -> String {
    let mut name = name.to_owned();
    while mirror.fields.iter().any(|map| map.column == name) {
        name.push('_');
    }
    name
}

/// Replaces each `{name}` by its value. Values are not searched for names, except for the two that
/// are templates themselves.
pub(super) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(start) = rest.find('{') {
        let (before, from) = rest.split_at(start);
        filled.push_str(before);
        let named = from[1..].split_once('}');
        let found = named.and_then(|(name, after)| Some((values.iter().find(|(other, _)| *other == name)?, after)));
        let (value, after) = match found {
            Some(((name, value), after)) if matches!(*name, "changed" | "sent") => (&*fill(value, values), after),
            Some(((_, value), after)) => (*value, after),
            None => ("{", &from[1..]),
        };
        filled.push_str(value);
        rest = after;
    }
    filled.push_str(rest);
    filled
}

fn arrays(mirror: &Mirror) -> String {
    let parameters = (2..).zip(&mirror.fields);
    parameters.map(|(number, map)| format!("${number}::{}[]", carrier(map.kind))).collect::<Vec<_>>().join(", ")
}

/// A column of the table as it is compared: texts bytewise. A nondeterministic collation would
/// treat a change of case as no change.
fn compared(column: &str, kind: Kind) -> String {
    match kind {
        Kind::Text => format!("o.{column} collate pg_catalog.\"C\""),
        _ => format!("o.{column}"),
    }
}

/// For each column its number if a row differs from the page, or else null.
fn altered(mirror: &Mirror) -> String {
    let numbered = (1..).zip(&mirror.fields).map(|(number, map)| {
        let column = quote_ident(&map.column);
        let differs = format!("{} is distinct from s.{column}", compared(&column, map.kind));
        format!("case when bool_or({differs}) then {number}::bigint end")
    });
    numbered.collect::<Vec<_>>().join(", ")
}

/// The columns of a page, cast from their carriers to their types.
fn casts(mirror: &Mirror) -> String {
    comma(mirror, |column, kind| match kind.sql() {
        sql if sql == carrier(kind) => format!("r.{column}"),
        sql => format!("r.{column}::{sql} as {column}"),
    })
}

/// The rows of child tables are not those of the mirror; partitions are.
fn only(mirror: &Mirror) -> &'static str {
    if mirror.is_partitioned { "" } else { "only " }
}

/// A condition ` and ...` for the rows that are not marked as deleted.
fn live(mirror: &Mirror) -> &'static str {
    if mirror.marks_deleted { " and deleted_at is null" } else { "" }
}

/// A condition ` and ...` for the rows of this mirror. `table` is an alias with its dot, or empty.
fn mine(mirror: &Mirror, table: &str) -> String {
    let condition = |constant: &Constant| {
        let (column, value) = (quote_ident(&constant.column), quote_literal(&constant.value));
        format!(" and {table}{column} = {value}")
    };
    mirror.constants.iter().map(condition).collect()
}

fn count_of(flag: Option<&str>) -> String {
    flag.map_or("null::bigint".to_owned(), |column| format!("count(*) filter (where {})", quote_ident(column)))
}

/// The carrier: the element type of the array that transports a column. Arrays of arrays would need
/// one length, and decimal numbers are exact as text.
pub fn carrier(kind: Kind) -> &'static str {
    match kind {
        Kind::Numeric | Kind::Jsonb | Kind::BigintArray => "text",
        other => other.sql(),
    }
}

/// An array literal of one name, quoted for SQL. JSON quotes the element as Postgres reads it.
pub fn quote_array(name: &str) -> String {
    let element = match name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        true => name.to_owned(),
        false => serde_json::Value::from(name).to_string(),
    };
    quote_literal(&format!("{{{element}}}"))
}

/// A table as SQL writes it, quoted.
pub fn qualified(table: &Table) -> String {
    format!("{}.{}", quote_ident(&table.schema), quote_ident(&table.name))
}

/// A quoted name. It is always quoted, because keywords differ between versions of Postgres.
pub fn quote_ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn comma(mirror: &Mirror, part: impl Fn(&str, Kind) -> String) -> String {
    let parts = mirror.fields.iter().map(|map| part(&quote_ident(&map.column), map.kind));
    parts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
#[path = "statements_tests.rs"]
mod tests;
