//! Imports go one way, and only `src/pg` knows Postgres. `docs/explanation/architecture.md` explains the rooms.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

/// Each room and the rooms that it may use.
const ROOMS: [(&str, &[&str]); 11] = [
    ("error", &[]),
    ("secret", &[]),
    ("schedule", &[]),
    ("xmlrpc", &["error"]),
    ("odoo", &["error", "secret", "xmlrpc"]),
    ("mirror", &["error", "odoo", "xmlrpc"]),
    ("sync", &["error", "mirror"]),
    ("http", &["error", "odoo"]),
    ("options", &["error", "http", "secret"]),
    ("fetch", &["error", "http", "mirror", "odoo", "sync", "xmlrpc"]),
    (
        "pg",
        &[
            "error", "fetch", "http", "mirror", "odoo", "options", "schedule", "secret", "sync", "xmlrpc",
        ],
    ),
];

/// Rooms that know Postgres.
const WITH_PGRX: &[&str] = &["pg", "lib"];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// `src/odoo/client.rs` and `src/odoo.rs` are of room `odoo`; so is `src/odoo_tests.rs`.
fn room(path: &Path) -> String {
    let inside = path.strip_prefix(source()).unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").trim_end_matches("_tests").to_owned()
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The code without its comments.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or(""));
    lines.collect::<Vec<_>>().join("\n")
}

/// The rooms named in `crate::room`, however they are grouped.
fn uses(code: &str) -> Vec<String> {
    let word = |text: &str| -> String { text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect() };
    let mut rooms = Vec::new();
    for (start, _) in code.match_indices("crate::") {
        let rest = &code[start + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(group) => {
                let group = group.split(';').next().unwrap_or("");
                rooms.extend(group.split(',').map(|name| word(name.trim())));
            }
            None => rooms.push(word(rest)),
        }
    }
    rooms
}

#[test]
fn every_file_is_in_a_room() {
    for path in sources(&source()) {
        let room = room(&path);
        assert!(
            room == "lib" || ROOMS.iter().any(|(name, _)| *name == room),
            "{} is in no room",
            path.display()
        );
    }
}

#[test]
fn imports_go_one_way() {
    let mut seen = 0;
    for path in sources(&source()) {
        let room = room(&path);
        let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
            continue;
        };
        for used in uses(&code(&path)) {
            seen += 1;
            assert!(
                used == room || allowed.contains(&used.as_str()),
                "{} uses {used}, which room {room} may not",
                path.display()
            );
        }
    }
    assert!(
        seen > 50,
        "only {seen} imports were found: is this test still reading them?"
    );
}

#[test]
fn only_the_postgres_room_knows_pgrx() {
    for path in sources(&source()) {
        let knows = ["pgrx", "pg_sys"].iter().any(|word| code(&path).contains(word));
        assert!(
            !knows || WITH_PGRX.contains(&room(&path).as_str()),
            "{} mentions pgrx",
            path.display()
        );
    }
}
