//! The arguments of the program.

use chrono::{Datelike, NaiveDate, NaiveDateTime};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Mirrors Odoo models into tables of a Postgres, and keeps them equal to Odoo.
///
/// DATABASE_URL names the database; ODOO_URL, ODOO_DB, ODOO_USER and ODOO_PASSWORD name Odoo. They
/// come from the environment or the file .env. Several Odoo servers go into ipai-sync.toml.
///
/// Exit status: 0 all well, 1 a mirror or the command failed, 2 wrong usage, 3 the deletion guard
/// refused a run.
#[derive(Debug, Parser)]
#[command(name = "ipai-sync", version, propagate_version = true)]
pub struct Arguments {
    /// The file with the settings [default: ipai-sync.toml, if it exists]
    #[arg(long, global = true, value_name = "PATH")]
    pub config: Option<PathBuf>,
    /// Print JSON for machines to the standard output
    #[arg(long, global = true)]
    pub json: bool,
    /// Show notices, and each page of a run
    #[arg(long, short, global = true)]
    pub verbose: bool,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create the schema ipai with its tables and views, or upgrade it
    Init {
        /// Print the SQL instead, for a migration of your own
        #[arg(long)]
        print_sql: bool,
    },
    /// Check the database and the Odoo servers: what is wrong, and the command that mends it
    Check {
        /// Check only this Odoo server
        #[arg(long, value_name = "NAME")]
        server: Option<String>,
    },
    /// Create a mirror of a model, and its table
    CreateMirror(CreateMirror),
    /// Change options of a mirror
    AlterMirror {
        /// Name of the mirror
        mirror: String,
        /// The options
        #[command(flatten)]
        options: Options,
    },
    /// Compare the fields of a mirror with Odoo's, add some and drop others
    RefreshMirror {
        /// Name of the mirror
        mirror: String,
        /// Fields to add
        #[arg(long, value_name = "FIELD,...", value_delimiter = ',')]
        add_fields: Vec<String>,
        /// Fields to drop; their columns stay
        #[arg(long, value_name = "FIELD,...", value_delimiter = ',')]
        drop_fields: Vec<String>,
    },
    /// Remove a mirror and its log; the table stays
    DropMirror {
        /// Name of the mirror
        mirror: String,
        /// Drop the table too
        #[arg(long)]
        drop_table: bool,
    },
    /// Sync mirrors with Odoo: the named ones, or all enabled ones
    Run(Run),
    /// Apply the changes of mirrors as they happen in Odoo, until stopped
    Follow {
        /// Names of mirrors [default: all enabled mirrors]
        #[arg(value_name = "MIRROR")]
        mirrors: Vec<String>,
        /// Seconds from one poll to the next
        #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = seconds)]
        every: f64,
        /// Seconds to follow [default: until stopped]
        #[arg(long, value_name = "SECONDS", value_parser = seconds)]
        during: Option<f64>,
        /// Serve figures to Prometheus at this address, such as 127.0.0.1:9464
        #[arg(long, value_name = "ADDRESS")]
        metrics: Option<SocketAddr>,
    },
    /// Show the health of the mirrors
    Status {
        /// Name of a mirror
        mirror: Option<String>,
    },
    /// Show the last runs
    Runs {
        /// Name of a mirror
        mirror: Option<String>,
        /// The most runs to show
        #[arg(long, value_name = "RUNS", default_value_t = 20, value_parser = clap::value_parser!(i64).range(1..))]
        limit: i64,
    },
    /// Show what needs attention; exit status 1 if anything does
    Alerts,
    /// Call a method of a model in Odoo
    OdooCall {
        /// Technical name of the model, such as res.partner
        model: String,
        /// Name of the method
        method: String,
        /// The positional arguments as a JSON array
        #[arg(long, value_name = "JSON")]
        args: Option<String>,
        /// The named arguments as a JSON object
        #[arg(long, value_name = "JSON")]
        kwargs: Option<String>,
        /// The Odoo server
        #[arg(long, value_name = "NAME")]
        server: Option<String>,
    },
    /// Remove what init created; the mirror tables stay
    Uninstall {
        /// Confirm that the mirrors' definitions and log are removed
        #[arg(long)]
        yes: bool,
    },
}

impl Command {
    /// Whether the command needs an Odoo server.
    pub fn calls_odoo(&self) -> bool {
        matches!(
            self,
            Command::Check { .. }
                | Command::CreateMirror(_)
                | Command::RefreshMirror { .. }
                | Command::Run(_)
                | Command::Follow { .. }
                | Command::OdooCall { .. }
        )
    }
}

/// The arguments of `create-mirror`.
#[derive(Debug, Args)]
pub struct CreateMirror {
    /// Technical name of the model, such as res.partner
    pub model: String,
    /// schema.table; a bare name is one in schema ipai [default: the model with underscores]
    #[arg(long, value_name = "TABLE")]
    pub target: Option<String>,
    /// Name of the mirror [default: that of the table]
    #[arg(long)]
    pub name: Option<String>,
    /// The fields [default: those that Odoo stores, without binary and sensitive ones]
    #[arg(long, value_name = "FIELD,...", value_delimiter = ',')]
    pub fields: Option<Vec<String>>,
    /// Fields and their columns as a JSON object: {"field": "column"}
    #[arg(long, value_name = "JSON")]
    pub columns: Option<String>,
    /// Constant columns and their values as a JSON object: {"tenant": "acme"}
    #[arg(long, value_name = "JSON")]
    pub constants: Option<String>,
    /// The options.
    #[command(flatten)]
    pub options: Options,
}

/// The options of a mirror. An empty value removes lang and flag-field.
#[derive(Debug, Args, Default)]
pub struct Options {
    /// The Odoo server
    #[arg(long, value_name = "NAME")]
    pub server: Option<String>,
    /// Which records to mirror: a domain of Odoo as JSON
    #[arg(long, value_name = "JSON", allow_hyphen_values = true)]
    pub domain: Option<String>,
    /// Language of translated values, such as en_US
    #[arg(long)]
    pub lang: Option<String>,
    /// Ids of Odoo's companies
    #[arg(long, value_name = "ID,...", value_delimiter = ',')]
    pub company_ids: Option<Vec<i64>>,
    /// The most records in one request
    #[arg(long, value_name = "RECORDS")]
    pub page_size: Option<i32>,
    /// Largest share of the rows (0 to 1) that one run may delete
    #[arg(long, value_name = "RATIO")]
    pub max_delete_ratio: Option<f64>,
    /// How far before the cursor a run starts, such as "10 minutes"
    #[arg(long, value_name = "INTERVAL")]
    pub overlap: Option<String>,
    /// How often all records are read, such as "1 day"
    #[arg(long, value_name = "INTERVAL")]
    pub reconcile_every: Option<String>,
    /// Whether `run` without names includes the mirror
    #[arg(long, value_name = "BOOLEAN")]
    pub enabled: Option<bool>,
    /// A boolean field whose true values are counted
    #[arg(long, value_name = "FIELD")]
    pub flag_field: Option<String>,
    /// How late a run may be before an alert, such as "15 minutes"
    #[arg(long, value_name = "INTERVAL")]
    pub late_after: Option<String>,
    /// Consecutive failures before an alert
    #[arg(long, value_name = "RUNS")]
    pub max_failures: Option<i32>,
    /// Difference of the counts before an alert
    #[arg(long, value_name = "ROWS")]
    pub max_delta: Option<i64>,
    /// Share of flagged rows (0 to 1) before an alert
    #[arg(long, value_name = "RATIO")]
    pub max_flagged_ratio: Option<f64>,
    /// How long the log keeps runs, such as "30 days"
    #[arg(long, value_name = "INTERVAL")]
    pub keep_runs: Option<String>,
    /// The most records that a run may set aside before it fails
    #[arg(long, value_name = "RECORDS")]
    pub max_rejects: Option<i32>,
    /// Fields to mask as a JSON object: {"email": "hmac", "phone": "redact"}
    #[arg(long, value_name = "JSON")]
    pub masks: Option<String>,
    /// What a run does with rows whose records no longer exist: delete or mark
    #[arg(long, value_name = "ACTION")]
    pub on_delete: Option<String>,
}

/// The arguments of `run`.
#[derive(Debug, Args)]
pub struct Run {
    /// Names of mirrors [default: all enabled mirrors]
    #[arg(value_name = "MIRROR")]
    pub mirrors: Vec<String>,
    /// Read only the records written since a date or moment (UTC), such as 2026-01-06
    #[arg(long, value_name = "DATE", value_parser = moment, conflicts_with_all = ["mode", "full"])]
    pub since: Option<NaiveDateTime>,
    /// Read at most so many records, and delete nothing
    #[arg(long, value_name = "RECORDS", value_parser = clap::value_parser!(u64).range(1..), conflicts_with_all = ["mode", "full"])]
    pub limit: Option<u64>,
    /// Report what would change, and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// How to find changes
    #[arg(long, value_enum, default_value_t = RunMode::Auto)]
    pub mode: RunMode,
    /// Read all records: --mode full
    #[arg(long, conflicts_with = "mode")]
    pub full: bool,
    /// Largest share of the rows (0 to 1) that this run may delete
    #[arg(long, value_name = "RATIO")]
    pub max_delete_ratio: Option<f64>,
}

/// Parses a number of seconds.
fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.1..=86_400.0).contains(seconds));
    seconds.ok_or_else(|| "give a number of seconds from 0.1 to 86400".to_owned())
}

/// Parses a date, which is its midnight, or a moment, both in UTC.
fn moment(text: &str) -> Result<NaiveDateTime, String> {
    let day = || text.parse::<NaiveDate>().ok()?.and_hms_opt(0, 0, 0);
    let formats = ["%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"];
    let parse = |format: &&str| NaiveDateTime::parse_from_str(text.trim_end_matches('Z'), format).ok();
    let found = day().or_else(|| formats.iter().find_map(parse));
    let known = found.filter(|moment| (1..=9999).contains(&moment.year()));
    known.ok_or_else(|| "give a date such as 2026-01-06, or a moment such as \"2026-01-06 12:00\" (UTC)".to_owned())
}

/// How a run finds changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RunMode {
    /// Incremental, and full when that is due
    Auto,
    /// What was written since the last run
    Incremental,
    /// Incremental, and all ids compared
    Reconcile,
    /// Everything
    Full,
}

#[cfg(test)]
#[path = "arguments_tests.rs"]
mod tests;
