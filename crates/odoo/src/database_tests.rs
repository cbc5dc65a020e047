//! Tests of the comparison of databases.

use super::*;

fn database(uuid: &str, company: &str) -> Database {
    Database {
        uuid: Some(uuid.to_owned()).filter(|uuid| !uuid.is_empty()),
        company: NaiveDateTime::parse_from_str(company, "%Y-%m-%d %H:%M:%S").ok(),
    }
}

#[test]
fn uuid_decides_before_the_company() {
    let (one, two) = ("2026-01-06 10:00:00", "2026-01-06 10:00:01");
    let others = [
        (database("a", one), database("b", one)),
        (database("a", one), database("", two)),
        (database("", one), database("", two)),
    ];
    for (one, other) in others {
        assert_eq!((one.is_same_as(&other), other.is_same_as(&one)), (Some(false), Some(false)), "{one:?} {other:?}");
    }
    let same = [
        (database("a", one), database("a", two)),
        (database("a", one), database("", one)),
        (database("a", ""), database("", one)),
        (database("", one), database("b", "")),
        (Database::default(), database("b", two)),
    ];
    for (one, other) in same {
        assert!(one.is_same_as(&other) != Some(false) && other.is_same_as(&one) != Some(false), "{one:?} {other:?}");
    }
}
