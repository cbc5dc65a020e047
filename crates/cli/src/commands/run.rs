//! `run`.

use super::{Context, Failed, now, usage};
use crate::arguments::{Run, RunMode};
use crate::output::{error_json, error_text, print_json, print_line};
use crate::{metrics, signals};
use ipai_mirror::changes::Answers;
use ipai_mirror::connection::Fetchers;
use ipai_mirror::engine::Requested;
use ipai_mirror::follow::{self, FollowRequest};
use ipai_mirror::run_mirror::{Finished, Host, RunRequest, RunScope};
use ipai_mirror::run_mirrors;
use ipai_mirror::session::{Session, signed};
use ipai_odoo::error::Result;
use serde_json::json;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Runs mirrors, and prints a line for each.
pub fn run(context: &Context, arguments: &Run) -> std::result::Result<(), Failed> {
    let request = RunRequest {
        scope: scope(arguments),
        dry_run: arguments.dry_run,
        max_delete_ratio: arguments.max_delete_ratio.map(run_mirrors::ratio).transpose().map_err(usage)?,
    };
    let mut session = context.database()?.connect_for_runs()?;
    context.with(&mut session, |session| {
        let names = run_mirrors::chosen(session, &arguments.mirrors)?;
        session.commit()?;
        let is_only = arguments.mirrors.len() == 1;
        let mut host = host(context, session);
        let mut began = Instant::now();
        let mut ended = |mirror: &str, result: &Result<Finished>| {
            context.screen.clear();
            let shown = show(context, mirror, request, result, began.elapsed().as_secs_f64(), is_only);
            began = Instant::now();
            // That the output cannot be written does not end the runs.
            let _ = shown;
        };
        Ok(run_mirrors::run_mirrors(&mut host, &names, request, is_only, &mut ended)?)
    })
}

/// Follows mirrors until a signal, and prints a line for each run.
pub fn follow(
    context: &Context,
    mirrors: &[String],
    every: f64,
    during: Option<f64>,
    address: Option<SocketAddr>,
) -> std::result::Result<(), Failed> {
    let request = FollowRequest {
        mirrors: (!mirrors.is_empty()).then(|| mirrors.to_vec()),
        every: Duration::from_secs_f64(every),
        during: during.map(Duration::from_secs_f64),
    };
    let run = RunRequest { scope: RunScope::Live, dry_run: false, max_delete_ratio: None };
    let mut session = context.database()?.connect_for_runs()?;
    context.with(&mut session, |session| {
        if let Some(address) = address {
            metrics::serve(address, context.database()?)?;
        }
        let mut began = Instant::now();
        let mut ended = |mirror: &str, result: &Result<Finished>| {
            context.screen.clear();
            let _ = show(context, mirror, run, result, began.elapsed().as_secs_f64(), false);
            began = Instant::now();
        };
        match follow::follow(&mut host(context, session), request, &mut ended) {
            // An operator stops a follower by a signal. It is no failure.
            Err(error) if signals::has_stopped() && error.sqlstate() == "57014" => Ok(()),
            ended => Ok(ended?),
        }
    })
}

/// This process as the host of runs.
fn host<'h>(context: &'h Context, session: &'h mut dyn Session) -> Host<'h> {
    Host {
        session,
        accounts: &context.settings,
        fetchers: Fetchers::default(),
        answers: Answers::default(),
        guard: |work| work(),
        now,
    }
}

fn scope(arguments: &Run) -> RunScope {
    if arguments.since.is_some() || arguments.limit.is_some() {
        return RunScope::Records { since: arguments.since, max_rows: arguments.limit };
    }
    RunScope::Planned(match arguments.mode {
        _ if arguments.full => Requested::Full,
        RunMode::Auto => Requested::Auto,
        RunMode::Incremental => Requested::Incremental,
        RunMode::Reconcile => Requested::Reconcile,
        RunMode::Full => Requested::Full,
    })
}

/// Prints how a run ended. The only mirror's error is printed by the caller.
fn show(
    context: &Context,
    mirror: &str,
    request: RunRequest,
    result: &Result<Finished>,
    seconds: f64,
    is_only: bool,
) -> Result<()> {
    let finished = match result {
        Err(_) if is_only => return Ok(()),
        Err(error) if context.as_json => {
            return print_json(&json!({"mirror": mirror, "error": error_json(error, error.hint().as_deref())}));
        }
        Err(error) => {
            context.screen.print(&format!("{mirror}: {}", error_text(error, error.hint().as_deref())));
            return Ok(());
        }
        Ok(finished) => finished,
    };
    let (report, progress) = (&finished.report, &finished.report.progress);
    let (odoo, ours) = (signed(report.counts.odoo.total), signed(report.counts.mirror.total));
    let mode = progress.mode.name();
    if context.as_json {
        return print_json(&json!({
            "run": finished.run,
            "mirror": mirror,
            "mode": mode,
            "dry_run": request.dry_run,
            "fetched": progress.fetched,
            "inserted": progress.inserted,
            "updated": progress.updated,
            "unchanged": progress.unchanged(),
            "deleted": progress.deleted,
            "odoo_count": odoo,
            "mirror_count": ours,
            "delta": odoo - ours,
            "seconds": (seconds * 1_000.0).round() / 1_000.0,
        }));
    }
    let dry = if request.dry_run { " (dry run, nothing was written)" } else { "" };
    print_line(&format!(
        "{mirror}: {mode}, {} read, {} inserted, {} updated, {} deleted; Odoo has {odoo}, the mirror {ours}; {seconds:.1} s{dry}",
        progress.fetched, progress.inserted, progress.updated, progress.deleted
    ));
    Ok(())
}
