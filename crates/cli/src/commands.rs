//! The commands. Each takes its arguments, makes one call into the engine, and prints the result.

mod check;
mod define;
mod init;
mod odoo_call;
mod run;
mod show;

use crate::arguments::{Arguments, Command};
use crate::database::Database;
use crate::environment::Environment;
use crate::output::{error_json, error_text, print_json, with_commands};
use crate::progress::Screen;
use crate::session::{Console, WireSession};
use crate::settings::Settings;
use crate::{schema, signals};
use ipai_mirror::refusal::refused;
use ipai_mirror::session::Session;
use ipai_odoo::error::{Error, SqlState};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;

/// Exit status of a command that failed.
const FAILED: u8 = 1;
/// Exit status of wrong usage: arguments, settings or environment.
const USAGE: u8 = 2;
/// Exit status of a run that the deletion guard refused.
const REFUSED: u8 = 3;

/// What the commands share.
struct Context {
    as_json: bool,
    settings: Settings,
    screen: Arc<Screen>,
}

/// An error with the exit status that it leads to.
struct Failed {
    /// `None` if the output has told it already.
    error: Option<Error>,
    status: u8,
    /// The hint, in terms of the program.
    hint: Option<String>,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::RefusedDeletion { .. } => REFUSED,
            Error::MultipleMirrorsFailed { failures, .. }
                if failures.iter().all(|(_, error)| matches!(error, Error::RefusedDeletion { .. })) =>
            {
                REFUSED
            }
            _ => FAILED,
        };
        Failed { hint: error.hint(), error: Some(error), status }
    }
}

/// Findings in the output are the failure. For people, it ends on a sentence about them.
fn findings(context: &Context, message: String, hint: &str) -> Failed {
    let error = (!context.as_json).then(|| refused(SqlState::ObjectNotInState, message, hint));
    Failed { hint: error.as_ref().and_then(Error::hint), error, status: FAILED }
}

/// An error of the arguments or the settings.
fn usage(error: Error) -> Failed {
    Failed { status: USAGE, ..Failed::from(error) }
}

/// Runs a command and returns its exit status.
pub fn run(arguments: &Arguments) -> u8 {
    let screen = Arc::new(Screen::new(arguments.verbose, arguments.json));
    let Err(failed) = start(arguments, &screen).and_then(|context| execute(&arguments.command, &context)) else {
        return 0;
    };
    screen.clear();
    let hint = failed.hint.as_deref();
    match &failed.error {
        None => {}
        // It can only fail for a defect of serde.
        Some(error) if arguments.json => drop(print_json(&json!({"error": error_json(error, hint)}))),
        Some(error) => screen.print(&error_text(error, hint)),
    }
    failed.status
}

fn start(arguments: &Arguments, screen: &Arc<Screen>) -> std::result::Result<Context, Failed> {
    signals::install()?;
    let environment = Environment::load(Path::new("")).map_err(usage)?;
    let settings = Settings::load(arguments.config.as_deref(), &environment).map_err(usage)?;
    Ok(Context { as_json: arguments.json, settings, screen: Arc::clone(screen) })
}

fn execute(command: &Command, context: &Context) -> std::result::Result<(), Failed> {
    if command.calls_odoo() {
        // Settings that are wrong for all servers are wrong usage, and not the failure of a mirror.
        context.settings.server_names().map_err(usage)?;
    }
    match command {
        Command::Init { print_sql } => init::init(context, *print_sql),
        Command::Uninstall { yes } => init::uninstall(context, *yes),
        Command::Check { server } => check::check(context, server.as_deref()),
        Command::CreateMirror(arguments) => define::create(context, arguments),
        Command::AlterMirror { mirror, options } => define::alter(context, mirror, options),
        Command::RefreshMirror { mirror, add_fields, drop_fields } => {
            define::refresh(context, mirror, add_fields, drop_fields)
        }
        Command::DropMirror { mirror, drop_table } => define::drop(context, mirror, *drop_table),
        Command::Run(arguments) => run::run(context, arguments),
        Command::Follow { mirrors, every, during, metrics } => run::follow(context, mirrors, *every, *during, *metrics),
        Command::Status { mirror } => show::status(context, mirror.as_deref()),
        Command::Runs { mirror, limit } => show::runs(context, mirror.as_deref(), *limit),
        Command::Alerts => show::alerts(context),
        Command::OdooCall { model, method, args, kwargs, server } => {
            odoo_call::call(context, model, method, [args.as_deref(), kwargs.as_deref()], server.as_deref())
        }
    }
}

impl Context {
    /// The address of the database.
    fn database(&self) -> std::result::Result<Database, Failed> {
        let console: Arc<dyn Console> = Arc::clone(&self.screen) as Arc<dyn Console>;
        self.settings.database_url().and_then(|url| Database::parse(url, console)).map_err(usage)
    }

    /// Runs work in a session with a database that has the tables of this version, and commits.
    fn with_session<T>(
        &self,
        work: impl FnOnce(&mut WireSession) -> std::result::Result<T, Failed>,
    ) -> std::result::Result<T, Failed> {
        let mut session = self.database()?.connect()?;
        self.with(&mut session, work)
    }

    /// Runs work in a session, and words the hint of its error for the program.
    fn with<T>(
        &self,
        session: &mut WireSession,
        work: impl FnOnce(&mut WireSession) -> std::result::Result<T, Failed>,
    ) -> std::result::Result<T, Failed> {
        schema::require(session)?;
        session.commit()?;
        let done = work(session).and_then(|done| {
            session.commit()?;
            Ok(done)
        });
        done.map_err(|mut failed| {
            let _ = session.rollback();
            failed.hint = failed.hint.map(|hint| command_hint(session, &hint));
            failed
        })
    }
}

/// A hint with the commands of the program in place of the SQL functions of the extension.
fn command_hint(session: &mut WireSession, hint: &str) -> String {
    let session: &mut dyn Session = session;
    let worded = session.first("select ipai.command_hint($1, true)", &[hint.into()], |row| row.get::<String>(0));
    let _ = session.commit();
    // The hint is useful even so.
    with_commands(&worded.ok().flatten().unwrap_or_else(|| hint.to_owned()))
}

/// Parses an argument that holds JSON.
fn json_argument(name: &str, text: Option<&str>) -> std::result::Result<Option<serde_json::Value>, Failed> {
    let parse = |text: &str| {
        serde_json::from_str(text).map_err(|error| {
            usage(ipai_mirror::refusal::invalid(
                format!("invalid JSON in --{name}: {error}"),
                "Quote it for the shell: single quotes around the JSON, double quotes inside.",
            ))
        })
    };
    text.map(parse).transpose()
}

/// The local clock (UTC).
fn now() -> chrono::NaiveDateTime {
    chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()).naive_utc()
}
