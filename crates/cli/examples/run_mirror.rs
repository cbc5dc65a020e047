//! Runs one mirror over the wire protocol, for the end-to-end tests:
//! `run_mirror NAME [MODE]`. Addresses and credentials come from the environment.

use chrono::{DateTime, Utc};
use ipai_cli::session::WireSession;
use ipai_mirror::connection::{Accounts, Connection, Fetchers};
use ipai_mirror::engine::Requested;
use ipai_mirror::run_mirror::{Finished, Host, RunRequest, RunScope, run_mirror};
use ipai_mirror::session::{Session, internal};
use ipai_odoo::Account;
use ipai_odoo::error::Result;
use ipai_odoo::options::ServerOptions;
use ipai_odoo::secret::Secret;
use std::process::ExitCode;
use std::time::SystemTime;

/// The Odoo account that the environment names.
struct Environment;

impl Accounts for Environment {
    fn open(&self, _: &mut dyn Session, server: Option<&str>, _: &str) -> Result<Connection> {
        let options = [("url", "ODOO_URL"), ("dbname", "ODOO_DB")];
        let pairs = options.map(|(option, name)| Ok((option.to_owned(), variable(name)?)));
        let options = ServerOptions::parse(&pairs.into_iter().collect::<Result<Vec<_>>>()?)?;
        Ok(Connection {
            server: server.unwrap_or_default().to_owned(),
            use_addon: options.addon,
            protocol: options.protocol,
            endpoint: options.endpoint,
            account: Account {
                dbname: options.dbname,
                login: variable("ODOO_USER")?,
                password: Secret::new(variable("ODOO_PASSWORD")?),
            },
        })
    }
}

fn variable(name: &str) -> Result<String> {
    std::env::var(name).map_err(|error| internal(format!("{name}: {error}")))
}

fn main() -> ExitCode {
    let Err(error) = run() else {
        return ExitCode::SUCCESS;
    };
    eprintln!("ERROR:  {}: {error}", error.sqlstate());
    for (level, text) in [("DETAIL", error.detail()), ("HINT", error.hint())] {
        if let Some(text) = text {
            eprintln!("{level}:  {text}");
        }
    }
    ExitCode::FAILURE
}

fn run() -> Result<Finished> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().ok_or_else(|| internal("no mirror"))?;
    let mode = arguments.next().unwrap_or_else(|| "auto".to_owned());
    let requested = Requested::from_name(&mode).ok_or_else(|| internal("no such mode"))?;
    let config = variable("DATABASE_URL")?.parse().map_err(internal)?;
    let mut session = WireSession::open(&config, || Ok(()))?;
    let mut host = Host {
        session: &mut session,
        accounts: &Environment,
        fetchers: Fetchers::default(),
        guard: |work| work(),
        now: || DateTime::<Utc>::from(SystemTime::now()).naive_utc(),
    };
    let request = RunRequest { scope: RunScope::Planned(requested), dry_run: false, max_delete_ratio: None };
    run_mirror(&mut host, &name, request)
}
