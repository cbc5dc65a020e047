//! Defines the settings of the extension.

use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting};

static KEEP_RUNS_DAYS: GucSetting<i32> = GucSetting::<i32>::new(30);

/// Registers the settings. Postgres calls this when it loads the library.
pub fn init() {
    GucRegistry::define_int_guc(
        c"ipai_sync.keep_runs_days",
        c"Days for which ipai.sync_runs keeps runs.",
        c"The next run of a mirror deletes its older runs. Set it for the database: alter database ... set.",
        &KEEP_RUNS_DAYS,
        1,
        36_500,
        GucContext::Userset,
        GucFlags::default(),
    );
}

/// Number of days for which runs are kept.
pub fn keep_runs_days() -> i32 {
    KEEP_RUNS_DAYS.get()
}
