//! The Postgres extension `ipai_sync`: the host of the engine inside the server. It is the only
//! code that knows pgrx. `docs/explanation/architecture.md` describes the layers.

mod api;
mod array;
mod connection;
mod json;
mod procedure;
mod report;
mod session;
mod subtransaction;

#[cfg(feature = "pg_test")]
mod in_server_tests;

pgrx::pg_module_magic!();

mod sql {
    use pgrx::prelude::*;
    // The order of `extension.script()`. Files that require no Rust function come before those.
    extension_sql_file!("../sql/core/tables/05_requirements.sql", name = "requirements", bootstrap);
    extension_sql_file!("../sql/core/tables/10_mirrors.sql", name = "mirrors", requires = ["requirements"]);
    extension_sql_file!("../sql/core/tables/15_mirror_state.sql", name = "mirror_state", requires = ["mirrors"]);
    extension_sql_file!(
        "../sql/core/tables/17_mirror_objects.sql",
        name = "mirror_objects",
        requires = ["mirror_state"]
    );
    extension_sql_file!("../sql/core/tables/20_run_log.sql", name = "run_log", requires = ["mirror_objects"]);
    extension_sql_file!("../sql/core/tables/25_sync_rejects.sql", name = "sync_rejects", requires = ["run_log"]);
    extension_sql_file!("../sql/core/tables/30_odoo_logins.sql", name = "odoo_logins", requires = ["sync_rejects"]);
    extension_sql_file!("../sql/core/tables/35_followers.sql", name = "followers", requires = ["odoo_logins"]);
    extension_sql_file!("../sql/extension/once/10_wrapper.sql", name = "wrapper", requires = ["followers"]);
    extension_sql_file!("../sql/extension/once/20_dump.sql", name = "dump", requires = ["wrapper"]);
    extension_sql_file!("../sql/core/objects/10_table_comments.sql", name = "comments", requires = ["dump"]);
    extension_sql_file!("../sql/core/objects/15_trust.sql", name = "trust", requires = ["comments"]);
    extension_sql_file!("../sql/core/objects/18_command_hint.sql", name = "command_hint", requires = ["trust"]);
    extension_sql_file!("../sql/core/objects/20_runs.sql", name = "runs", requires = ["command_hint"]);
    extension_sql_file!("../sql/core/objects/30_status.sql", name = "status", requires = ["runs"]);
    extension_sql_file!("../sql/core/objects/40_sample_metrics.sql", name = "sample_metrics", requires = ["status"]);
    extension_sql_file!("../sql/core/objects/50_claims_helpers.sql", name = "claims", requires = ["sample_metrics"]);
    extension_sql_file!("../sql/core/objects/60_protection.sql", name = "protection", requires = ["claims"]);
    extension_sql_file!(
        "../sql/core/objects/65_expected_schedule.sql",
        name = "expected_schedule",
        requires = ["protection"]
    );
    extension_sql_file!("../sql/core/objects/70_relations.sql", name = "relations", requires = ["expected_schedule"]);
    extension_sql_file!("../sql/core/objects/80_doctor.sql", name = "doctor", requires = ["relations"]);
    extension_sql_file!("../sql/core/objects/90_grants.sql", name = "core_grants", requires = ["doctor"]);
    extension_sql_file!(
        "../sql/extension/objects/20_wrapper.sql",
        name = "wrapper_objects",
        requires = ["core_grants", ipai_odoo_validator]
    );
    extension_sql_file!(
        "../sql/extension/objects/30_functions.sql",
        name = "functions",
        requires = [
            "wrapper_objects",
            alter_mirror,
            check_connection,
            create_mirror,
            drop_mirror,
            follow_sync,
            odoo_call,
            odoo_fields,
            odoo_models,
            odoo_version,
            refresh_counts,
            refresh_mirror,
            rotate_odoo_key,
            run_sync,
            sync_mirror
        ]
    );
    extension_sql_file!("../sql/extension/objects/40_schedule.sql", name = "schedule", requires = ["functions"]);
    extension_sql_file!("../sql/extension/objects/50_vault.sql", name = "vault", requires = ["schedule"]);
    extension_sql_file!("../sql/extension/objects/60_passwords.sql", name = "passwords", requires = ["vault"]);
    extension_sql_file!("../sql/extension/objects/90_grants.sql", name = "grants", requires = ["passwords"]);
    extension_sql_file!("../sql/core/rows/10_sample_metrics.sql", name = "sample_metrics_rows", finalize);
}

/// Set-up that `cargo pgrx test` asks for.
#[cfg(all(test, feature = "pg_test"))]
pub mod pg_test {
    /// Called once, before the tests.
    pub fn setup(_options: Vec<&str>) {}

    /// MirrorOptions of the server.
    pub fn postgresql_conf_options() -> Vec<&'static str> {
        Vec::new()
    }
}
