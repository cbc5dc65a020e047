//! The program `ipai-sync`: the engine outside of the server, for a Postgres that loads no
//! extension.
//!
//! The engine and its SQL are those of `ipai_mirror`. This crate has what a program needs around
//! them: arguments, settings, a session over the wire protocol, signals and output.

mod accounts;
pub mod arguments;
mod commands;
mod database;
mod environment;
mod metrics;
mod output;
mod progress;
mod schema;
pub mod session;
mod settings;
mod signals;

use arguments::Arguments;
use clap::Parser;
use std::process::ExitCode;

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let status = commands::run(&arguments);
    ExitCode::from(status)
}
