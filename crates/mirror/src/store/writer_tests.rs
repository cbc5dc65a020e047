use super::*;
use ipai_odoo::error::PostgresError;

#[test]
fn only_errors_about_rows_make_rejects() {
    let concerns = |sqlstate: &str| {
        let error = PostgresError { sqlstate: sqlstate.to_owned(), ..PostgresError::default() };
        concerns_data(&Error::Postgres(Box::new(error)))
    };
    // A value, a constraint, a trigger, an index; codes that triggers make up.
    for sqlstate in ["22001", "22P02", "23505", "23503", "23514", "P0001", "44000", "54000", "21000", "45000", "IP001"]
    {
        assert!(concerns(sqlstate), "{sqlstate}");
    }
    // A cancel, a lost connection, privileges, definitions, a full disk, memory, locks, defects.
    for sqlstate in [
        "57014", "57P01", "08006", "42501", "42P01", "42703", "53100", "53200", "40P01", "40001", "55P03", "XX000",
        "54023",
    ] {
        assert!(!concerns(sqlstate), "{sqlstate}");
    }
    assert!(!concerns_data(&Error::ClientGone) && !concerns_data(&Error::Cancelled));
}
