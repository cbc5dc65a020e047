use super::*;
use crate::FieldMap;
use ipai_odoo::Scope;

#[test]
fn names_are_quoted() {
    assert_eq!(quote_ident("value"), "\"value\"");
    assert_eq!(quote_ident("a\"; drop table x; --"), "\"a\"\"; drop table x; --\"");
}

fn field(column: &str, kind: Kind) -> FieldMap {
    FieldMap { field: column.to_owned(), column: column.to_owned(), kind }
}

fn any() -> Mirror {
    Mirror {
        name: "any".to_owned(),
        server: Some("any".to_owned()),
        target: Table { schema: "my schema".to_owned(), name: "t\"; drop table t; --".to_owned() },
        scope: Scope { model: "any".to_owned(), domain: Vec::new(), lang: None, company_ids: Vec::new() },
        fields: Vec::new(),
        constants: Vec::new(),
        drift: Vec::new(),
        has_write_date: true,
        page_size: 1,
        max_delete_ratio: 0.2,
        max_rejects: 100,
        is_partitioned: false,
        flag_field: None,
        masks: Default::default(),
        marks_deleted: false,
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
        r#"or (o."select" collate pg_catalog."C", o."a""b", o."{key}", o."Größe") is distinct from (s."select","#
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
    let constant = |column: &str, value: &str| Constant { column: column.to_owned(), value: value.to_owned() };
    let mirror = Mirror {
        constants: vec![constant("tenant", "o'hara\\"), constant("year", "2026")],
        fields: vec![field("active", Kind::Boolean)],
        ..any()
    };
    let mine = r#"and "tenant" = E'o''hara\\' and "year" = '2026'"#;
    let found = Statements::new(&mirror);
    for statement in [&found.greatest_id, &found.digests, &found.range_is_empty, &found.delete, &found.counts] {
        assert!(statement.contains(mine), "{statement}");
    }
    assert!(found.ids.contains(r#"and t."tenant" = E'o''hara\\' and t."year" = '2026'"#), "{}", found.ids);
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

#[test]
fn rows_of_partitions_are_those_of_the_mirror() {
    let plain = Mirror { fields: vec![field("is_new", Kind::Text)], ..any() };
    let partitioned = Statements::new(&Mirror { is_partitioned: true, ..plain.clone() });
    let plain = Statements::new(&plain);
    for (one, other) in [(&plain.counts, &partitioned.counts), (&plain.upsert, &partitioned.upsert)] {
        assert_eq!(one.replace("only ", ""), *other);
        assert_ne!(one, other);
    }
    // A column may have any name.
    assert!(plain.upsert.contains("as is_new_"), "{}", plain.upsert);
}

#[test]
fn names_that_look_like_placeholders_stay_names() {
    let names = ["{others}", "{others_d}", "{changed}", "{key}"];
    let mirror = Mirror { fields: names.map(|name| field(name, Kind::Text)).to_vec(), ..any() };
    let statements = Statements::new(&mirror);
    let replace = statements.replace(&["b\"c".to_owned(), "{table}".to_owned()]);
    for statement in [&statements.upsert, &statements.insert, &statements.probe, &replace] {
        for name in names {
            assert!(statement.contains(&format!("\"{name}\"")), "{name}: {statement}");
        }
    }
    assert!(replace.contains("\"{key}\", \"b\"\"c\", \"{table}\")"), "{replace}");
    assert!(replace.contains("s.\"{key}\", d.\"b\"\"c\", d.\"{table}\"\n"), "{replace}");
}

#[test]
fn marked_rows_are_no_rows_but_keep_their_ids() {
    let mirror = Mirror { fields: vec![field("name", Kind::Text)], ..any() };
    let (deleting, marking) = (Statements::new(&mirror), Statements::new(&Mirror { marks_deleted: true, ..mirror }));
    for statement in [&marking.ids, &marking.greatest_id, &marking.digests, &marking.counts, &marking.delete] {
        assert!(statement.contains("and deleted_at is null"), "{statement}");
    }
    // A page with the id of a marked row is no page into an empty range.
    assert_eq!(marking.range_is_empty, deleting.range_is_empty);
    for statement in [&marking.upsert, &marking.probe, &marking.replace(&[])] {
        assert!(statement.contains("is distinct from (s.\"name\") or o.deleted_at is not null"), "{statement}");
    }
    assert!(marking.upsert.contains("\"name\" = excluded.\"name\", deleted_at = null"), "{}", marking.upsert);
    assert!(marking.delete.contains("set deleted_at = now()"), "{}", marking.delete);
    for statement in [&deleting.ids, &deleting.digests, &deleting.counts, &deleting.upsert, &deleting.delete] {
        assert!(!statement.contains("deleted_at"), "{statement}");
    }
}
