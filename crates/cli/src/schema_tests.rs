//! Tests the SQL that the program applies.
#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn migration_has_every_script_once_and_in_order() {
    let migration = migration();
    let place = |text: &str| {
        assert_eq!(migration.matches(text).count(), 1, "{text}");
        migration.find(text).unwrap()
    };
    let order = [
        "create schema if not exists ipai;",
        "create table ipai.mirrors (",
        "create table ipai.run_log (",
        "create or replace view ipai.sync_status ",
        "create or replace function ipai.doctor(",
        "create or replace function ipai.schema_version()",
        "\nselect ipai.register_sample_metrics();",
    ];
    assert!(order.windows(2).all(|pair| place(pair[0]) < place(pair[1])));
    assert!(migration.contains(&format!("select '{VERSION}'::text")));
}

#[test]
fn names_of_created_objects_are_found() {
    let sql = "create table ipai.mirrors (\n  x\n);\ncreate or replace function ipai.f(a text) returns text\n\
               create or replace view ipai.v with (security_invoker = on) as";
    assert_eq!(named(sql, "create table ipai."), ["ipai.mirrors"]);
    assert_eq!(named(sql, "create or replace function ipai."), ["ipai.f"]);
    assert_eq!(named(sql, "create or replace view ipai."), ["ipai.v"]);
}

#[test]
fn versions_are_compared_as_numbers() {
    assert!(is_older("0.9.0", "0.10.0") && is_older("0.2.0", "1.0.0"));
    assert!(!is_older("0.2.0", "0.2.0") && !is_older("1.0.0", "0.99.9"));
}
