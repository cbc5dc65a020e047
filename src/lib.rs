//! The Postgres extension `ipai_sync`: the host of the engine inside the server. It is the only code that knows
//! pgrx. `docs/explanation/architecture.md` describes the layers.

mod api;
mod array;
mod connection;
mod cron_schedule;
mod guc;
mod interrupt;
mod json;
mod procedure;
mod report;
mod schedule;
mod session;
mod subtransaction;
mod time;
mod validator;
mod version;

#[cfg(feature = "pg_test")]
mod in_server_tests;

pgrx::pg_module_magic!();

mod sql {
    use pgrx::prelude::*;
    extension_sql_file!("../sql/10_tables.sql", name = "tables", bootstrap);
    // What these files name must be there before them: pgrx puts Rust's functions after files that do not say so.
    extension_sql_file!(
        "../sql/20_wrapper.sql",
        name = "wrapper",
        requires = ["tables", ipai_odoo_validator]
    );
    extension_sql_file!(
        "../sql/30_functions.sql",
        name = "functions",
        requires = [
            "wrapper",
            alter_mirror,
            check_connection,
            create_mirror,
            drop_mirror,
            odoo_call,
            odoo_fields,
            odoo_models,
            odoo_version,
            refresh_counts,
            refresh_mirror,
            run_sync,
            sync_mirror
        ]
    );
    extension_sql_file!("../sql/40_views.sql", name = "views", requires = ["tables"]);
    extension_sql_file!(
        "../sql/45_status.sql",
        name = "status",
        requires = ["views", cron_timezone, next_run]
    );
    extension_sql_file!(
        "../sql/50_schedule.sql",
        name = "schedule",
        requires = ["functions", "status"]
    );
    extension_sql_file!("../sql/60_supabase.sql", name = "supabase", requires = ["schedule"]);
    extension_sql_file!("../sql/70_doctor.sql", name = "doctor", requires = ["supabase"]);
    extension_sql_file!("../sql/90_grants.sql", name = "grants", finalize);
}

/// Called by Postgres when it loads the library.
#[pgrx::prelude::pg_guard]
pub extern "C-unwind" fn _PG_init() {
    guc::init();
}

/// Set-up that `cargo pgrx test` asks for.
#[cfg(all(test, feature = "pg_test"))]
pub mod pg_test {
    pub fn setup(_options: Vec<&str>) {}

    pub fn postgresql_conf_options() -> Vec<&'static str> {
        Vec::new()
    }
}
