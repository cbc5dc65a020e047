//! Tests of the choice of columns and of drift, with the fields of real Odoo servers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::{
    Constant, Defined, Drift, FieldMap, Kind, MirrorRequest, Problem, Table, define, define_fields, drift, omission,
};
use crate::store::tables::{column_statements, table_statements};
use ipai_odoo::Field;
use ipai_odoo::value::{Limits, Value};
use ipai_odoo::xmlrpc::decode;
use std::path::Path;

fn recorded(name: &str) -> Vec<Field> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus").join(name);
    let body = std::fs::read(path).unwrap();
    let Ok(Ok(Value::Struct(fields))) = decode(&body, &Limits::default()) else { panic!("{name} is not a struct") };
    fields.into_iter().map(|(name, attributes)| Field::read(name, &attributes)).collect()
}

fn partner() -> Vec<Field> {
    recorded("odoo18/fields_get_partner.xml")
}

fn request(fields: &[&str]) -> MirrorRequest {
    MirrorRequest {
        model: "res.partner".into(),
        fields: Some(fields.iter().map(|field| (*field).to_owned()).collect()),
        ..MirrorRequest::default()
    }
}

fn columns(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(one, other)| ((*one).to_owned(), (*other).to_owned())).collect()
}

fn maps(defined: &[Defined]) -> Vec<(&str, &str, &str)> {
    defined
        .iter()
        .map(|defined| (defined.map.field.as_str(), defined.map.column.as_str(), defined.map.kind.sql()))
        .collect()
}

/// SQLSTATE, message and hint of a refused request.
fn refused(request: &MirrorRequest) -> (String, String, String) {
    let error = define(request, &partner()).unwrap_err();
    (error.sqlstate().to_owned(), error.to_string(), error.hint().unwrap())
}

#[test]
fn each_type_of_odoo_has_a_column_type() {
    for (file, version) in [("odoo18", 18), ("odoo19", 19)] {
        for field in recorded(&format!("{file}/fields_get_partner.xml")) {
            let kind = Kind::of(&field).map(Kind::sql);
            let expected = match field.kind.as_str() {
                "char" | "text" | "html" | "selection" | "reference" => "text",
                "integer" => "integer",
                "many2one" => "bigint",
                "float" if field.has_digits => "numeric",
                "float" => "double precision",
                "monetary" => "numeric",
                "boolean" => "boolean",
                "date" => "date",
                "datetime" => "timestamptz",
                "many2many" | "one2many" => "bigint[]",
                "json" | "properties" => "jsonb",
                "binary" => "bytea",
                other => panic!("Odoo {version} has the type {other}: {}", field.name),
            };
            assert_eq!(kind, Some(expected), "{}", field.name);
        }
    }
    let unknown = Field { kind: "hologram".into(), ..Field::default() };
    assert_eq!(Kind::of(&unknown), None);
    assert!(!Kind::Jsonb.takes(&unknown));
}

#[test]
fn default_fields_are_stored_and_small() {
    let fields = partner();
    let is_default = |field: &&Field| omission("res.partner", field).is_none();
    let taken: Vec<&str> = fields.iter().filter(is_default).map(|field| field.name.as_str()).collect();
    for field in ["name", "email", "parent_id", "category_id", "active", "write_date", "partner_latitude"] {
        assert!(taken.contains(&field), "{field}");
    }
    // The key, a list of children, an image and two computed fields.
    for field in ["id", "child_ids", "image_1920", "display_name", "tz_offset"] {
        assert!(fields.iter().any(|other| other.name == field), "{field}");
        assert!(!taken.contains(&field), "{field}");
    }
    let all = MirrorRequest { fields: None, ..request(&[]) };
    let mut found: Vec<String> = define(&all, &fields).unwrap().into_iter().map(|defined| defined.map.field).collect();
    found.sort();
    let mut taken: Vec<String> = taken.into_iter().map(str::to_owned).collect();
    taken.sort();
    assert_eq!(found, taken);
}

#[test]
fn requested_fields_keep_their_order() {
    let request = MirrorRequest {
        columns: columns(&[("name", "title")]),
        ..request(&["parent_id", "name", "child_ids", "image_128"])
    };
    let defined = define(&request, &partner()).unwrap();
    assert_eq!(
        maps(&defined),
        [
            ("parent_id", "parent_id", "bigint"),
            ("name", "title", "text"),
            ("child_ids", "child_ids", "bigint[]"),
            ("image_128", "image_128", "bytea"),
            ("active", "active", "boolean"),
        ]
    );
    assert_eq!(defined[0].label, "Related Company");
}

#[test]
fn field_that_tells_archived_records_is_always_mirrored() {
    let fields = |names: &[&str]| {
        let renamed = |name: &&str| Field { name: (*name).into(), kind: "boolean".into(), ..Field::default() };
        let name = Field { name: "name".into(), kind: "char".into(), stored: true, ..Field::default() };
        names.iter().map(renamed).chain([name]).collect::<Vec<_>>()
    };
    let mirrored = |request: &MirrorRequest, odoo: &[Field]| {
        define(request, odoo).unwrap().into_iter().map(|one| (one.map.field, one.map.column)).collect::<Vec<_>>()
    };
    let name = ("name".to_owned(), "name".to_owned());
    let only_name = vec![name.clone()];
    let pair = |field: &str, column: &str| vec![name.clone(), (field.to_owned(), column.to_owned())];
    // Odoo looks at `active` first.
    assert_eq!(mirrored(&request(&["name"]), &fields(&["active", "x_active"])), pair("active", "active"));
    assert_eq!(mirrored(&request(&["name"]), &fields(&["x_active"])), pair("x_active", "x_active"));
    assert_eq!(mirrored(&request(&["name"]), &fields(&["x_state"])), only_name);
    // A table of the user's own may lack the column, or call it otherwise.
    let into = |table: &[(&str, &str)], pairs: &[(&str, &str)]| MirrorRequest {
        table: Some(columns(table)),
        columns: columns(pairs),
        ..request(&["name"])
    };
    let odoo = fields(&["active"]);
    assert_eq!(mirrored(&into(&[("name", "text"), ("active", "boolean")], &[]), &odoo), pair("active", "active"));
    assert_eq!(
        mirrored(&into(&[("name", "text"), ("used", "boolean")], &[("active", "used")]), &odoo),
        pair("active", "used")
    );
    assert_eq!(mirrored(&into(&[("name", "text"), ("active", "text")], &[]), &odoo), only_name);
    assert_eq!(mirrored(&into(&[("name", "text")], &[]), &odoo), only_name);
}

#[test]
fn invalid_requests_are_refused_with_suggestions() {
    let (state, message, hint) = refused(&request(&["name", "emial"]));
    assert_eq!((state.as_str(), message.as_str()), ("42703", "Odoo has no field \"emial\" in model \"res.partner\""));
    assert!(hint.contains("email"), "{hint}");
    let evil = "x'\"; --";
    let field = Field { name: evil.into(), kind: "char".into(), stored: true, ..Field::default() };
    let reserved = MirrorRequest { columns: columns(&[(evil, "odoo_id")]), ..request(&[evil]) };
    let hint = define(&reserved, &[field]).unwrap_err().hint().unwrap();
    assert_eq!(hint, r#"Map the field to another column: columns => E'{"x''\\"; --": "odoo_x''\\"; --"}'."#);
    let (_, _, hint) = refused(&request(&["xyzzyx"]));
    assert!(hint.contains("spelling"), "{hint}");
    let constant = Constant { column: "tenant".into(), value: "acme".into() };
    for (request, words) in [
        (request(&["id"]), "odoo_id"),
        (request(&[]), "at least one"),
        (request(&["name", "email", "name"]), "twice"),
        (MirrorRequest { columns: columns(&[("name", "email")]), ..request(&["name", "email"]) }, "two fields"),
        (MirrorRequest { columns: columns(&[("name", "odoo_id")]), ..request(&["name"]) }, "is reserved"),
        (MirrorRequest { columns: columns(&[("name", "deleted_at")]), ..request(&["name"]) }, "is reserved"),
        (
            MirrorRequest { columns: columns(&[("name", "tenant")]), constants: vec![constant], ..request(&["name"]) },
            "is reserved",
        ),
        (MirrorRequest { columns: columns(&[("nmae", "x")]), ..request(&["name"]) }, "not mirrored"),
        (MirrorRequest { columns: columns(&[("name", "")]), ..request(&["name"]) }, "invalid column name"),
        (MirrorRequest { columns: vec![("name".into(), "ä".repeat(32))], ..request(&["name"]) }, "invalid column name"),
    ] {
        let (state, message, _) = refused(&request);
        assert_eq!(state, "22023", "{message}");
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn existing_columns_keep_types_that_fit() {
    let table = columns(&[
        ("odoo_id", "bigint"),
        ("name", "character varying"),
        ("ref", "character varying(5)"),
        ("color", "bigint"),
        ("partner_latitude", "double precision"),
        ("partner_longitude", "numeric(10,7)"),
        ("since", "timestamp without time zone"),
        ("write_date", "timestamp with time zone"),
        ("comment", "jsonb"),
    ]);
    let into = |fields: &[&str], pairs: &[(&str, &str)]| MirrorRequest {
        table: Some(table.clone()),
        columns: columns(pairs),
        ..request(fields)
    };
    let defined =
        define(&into(&["name", "color", "partner_latitude", "write_date", "comment"], &[]), &partner()).unwrap();
    assert_eq!(
        maps(&defined).iter().map(|(.., kind)| *kind).collect::<Vec<_>>(),
        ["text", "bigint", "double precision", "timestamptz", "jsonb"]
    );
    // These types change values, so every run would write the rows again.
    for (field, column) in
        [("partner_longitude", "partner_longitude"), ("create_date", "since"), ("ref", "ref"), ("name", "color")]
    {
        let (state, message, hint) = refused(&into(&[field], &[(field, column)]));
        assert_eq!(state, "22023");
        assert!(message.contains("cannot hold"), "{message}");
        assert!(hint.contains("Use a column of type"), "{hint}");
    }
    let (state, _, hint) = refused(&into(&["email"], &[("email", "nmae")]));
    assert_eq!((state.as_str(), hint.contains("name")), ("42703", true), "{hint}");
    // Without fields, the request means the fields in columns, else those that have a column.
    let some = MirrorRequest { fields: None, ..into(&[], &[("email", "name")]) };
    assert_eq!(maps(&define(&some, &partner()).unwrap()), [("email", "name", "text")]);
    let table = table.iter().filter(|(name, _)| name != "partner_longitude" && name != "ref").cloned().collect();
    let all = MirrorRequest { fields: None, table: Some(table), ..request(&[]) };
    let found: Vec<String> = define(&all, &partner()).unwrap().into_iter().map(|one| one.map.column).collect();
    assert_eq!(found.len(), 5, "{found:?}");
}

#[test]
fn missing_and_incompatible_fields_are_drift() {
    let defined = define(&request(&["name", "color", "email", "parent_id"]), &partner()).unwrap();
    let fields: Vec<FieldMap> = defined.into_iter().map(|defined| defined.map).collect();
    assert_eq!(drift(&fields, &partner()), []);
    let mut odoo = partner();
    odoo.retain(|field| field.name != "email");
    for field in &mut odoo {
        match field.name.as_str() {
            "color" => field.kind = "char".into(),
            // The column can hold this type.
            "name" => field.kind = "html".into(),
            _ => {}
        }
    }
    let found = drift(&fields, &odoo);
    let problem = |field: &str, problem| Drift { field: field.to_owned(), problem };
    let expected = [problem("color", Problem::Changed { kind: "char".into() }), problem("email", Problem::Gone)];
    assert_eq!(found, expected);
    let json = serde_json::to_string(&found).unwrap();
    assert_eq!(json, r#"[{"field":"color","problem":"changed","type":"char"},{"field":"email","problem":"gone"}]"#);
    assert_eq!(serde_json::from_str::<Vec<Drift>>(&json).unwrap(), found);
}

#[test]
fn drifted_fields_are_omitted_until_a_full_run() {
    let names = ["name".to_owned(), "color".to_owned()];
    let defined = define_fields(&request(&[]), &names, &partner()).unwrap();
    let gone = |field: &str| Drift { field: field.to_owned(), problem: Problem::Gone };
    let mut mirror = crate::page::builder_tests::mirror(defined.into_iter().map(|defined| defined.map).collect());
    assert_eq!(mirror.readable().unwrap().fields.len(), 2);
    mirror.drift = vec![gone("color")];
    assert_eq!(mirror.readable().unwrap().wanted_fields(), ["name", "write_date"]);
    let after = |found: Vec<Drift>, all: bool| {
        let mut mirror = mirror.clone();
        assert_eq!(mirror.replace_drift(found, all, false), [gone("color")]);
        mirror.drift
    };
    assert_eq!(after(vec![gone("name")], false), [gone("name"), gone("color")]);
    assert_eq!(after(vec![gone("color")], false), [gone("color")]);
    assert_eq!(after(vec![gone("name")], true), [gone("name")]);
    // What a run could not read, a later full run tries again, but not one that resumes it.
    let kept = |problem: Problem, all: bool, resumes: bool| {
        let mut mirror = mirror.clone();
        mirror.drift = vec![Drift { field: "color".to_owned(), problem }];
        mirror.replace_drift(Vec::new(), all, resumes);
        mirror.drift.len()
    };
    let cases = [(false, false), (true, true), (true, false)];
    assert_eq!(cases.map(|(all, resumes)| kept(Problem::Uncarried, all, resumes)), [1, 1, 0]);
    assert_eq!(cases.map(|(all, resumes)| kept(Problem::Altered, all, resumes)), [1, 1, 1]);
    mirror.drift.push(gone("name"));
    assert_eq!(mirror.readable().unwrap_err().sqlstate(), "42703");
}

#[test]
fn new_table_has_key_types_and_comments() {
    let table = Table { schema: "my ipai".into(), name: "o'brien".into() };
    let names = ["name".to_owned(), "category_id".to_owned()];
    let mut defined = define_fields(&request(&[]), &names, &partner()).unwrap();
    defined[0].help = Some("The person's name".into());
    let constants = [(Constant { column: "tenant".into(), value: "acme".into() }, "text")];
    let statements = table_statements(&table, "res.partner", "Contact", &constants, &defined);
    assert_eq!(
        statements[0],
        r#"create table "my ipai"."o'brien" (
  "tenant" text not null,
  "odoo_id" bigint not null,
  "name" text,
  "category_id" bigint[],
  inserted_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key ("tenant", "odoo_id")
)"#
    );
    assert!(statements.contains(&r#"alter table "my ipai"."o'brien" enable row level security"#.to_owned()));
    assert!(
        statements
            .contains(&r#"comment on column "my ipai"."o'brien"."name" is 'Name: The person''s name'"#.to_owned())
    );
    assert_eq!(
        column_statements(&table, &defined[1]),
        [
            r#"alter table "my ipai"."o'brien" add column "category_id" bigint[]"#,
            r#"comment on column "my ipai"."o'brien"."category_id" is 'Tags'"#,
        ]
    );
}
