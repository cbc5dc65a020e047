//! Runs mirrors one after another: those of a call of `ipai.run_sync` or of the program.

use crate::changes::{Candidate, Polls, Unchanged, candidate, record_unchanged};
use crate::connection::OpenedOnce;
use crate::engine::{Mode, Requested, plan_run};
use crate::refusal::invalid;
use crate::run_mirror::{Finished, Host, RunRequest, RunScope, run_mirror};
use crate::session::Session;
use crate::source::changes::Answer;
use crate::store::{alerts, lock, mirror_state, mirrors};
use ipai_odoo::error::{Error, Result};

/// Called with each mirror whose run has ended.
pub type Ended<'e> = dyn FnMut(&str, &Result<Finished>) + 'e;

/// The mirrors of these names, or all enabled mirrors.
pub fn chosen(session: &mut dyn Session, names: &[String]) -> Result<Vec<String>> {
    lock::require_primary(session)?;
    let chosen = match names {
        [] => mirrors::enabled(session)?,
        names => names.to_vec(),
    };
    if chosen.is_empty() {
        session.warning("there is no enabled mirror", "Create one with ipai.create_mirror().");
    }
    Ok(chosen)
}

/// Checks a share of the rows that a run may delete.
pub fn ratio(ratio: f64) -> Result<f64> {
    if (0.0..=1.0).contains(&ratio) {
        return Ok(ratio);
    }
    let hint = "0.2 allows a fifth of the rows to be deleted in one run, 1 allows all.";
    Err(invalid("max_delete_ratio must be between 0 and 1", hint))
}

/// Runs the mirrors and notifies of changed alerts. A mirror that fails does not stop the others,
/// but a cancel does. If `is_only`, the error of the only mirror is returned as it is.
pub fn run_mirrors(
    host: &mut Host<'_>,
    names: &[String],
    request: RunRequest,
    is_only: bool,
    ended: &mut Ended<'_>,
) -> Result<()> {
    let (mut failures, mut fatal) = (Vec::new(), None);
    let unchanged = match request.scope {
        RunScope::Planned(requested) if !is_only && !request.dry_run => run_unchanged(host, names, requested)?,
        _ => Vec::new(),
    };
    for run in &unchanged {
        ended(&run.mirror, &Ok(run.finished.clone()));
    }
    for name in names.iter().filter(|name| unchanged.iter().all(|run| run.mirror != **name)) {
        let result = run_mirror(host, name, request);
        ended(name, &result);
        let Err(error) = result else { continue };
        if error.is_of_session() {
            return Err(error);
        }
        if is_only || error.sqlstate() == "57014" {
            fatal = Some(error);
            break;
        }
        failures.push((name.clone(), error));
    }
    if !request.dry_run {
        // Once, because it looks at all mirrors.
        alerts::notify(host.session)?;
    }
    match fatal {
        Some(error) => Err(error),
        None if failures.is_empty() => Ok(()),
        None => Err(Error::MultipleMirrorsFailed { failures, total: names.len() }),
    }
}

/// Asks each server once what has changed, and records a run of each mirror without a change. What
/// Odoo reports of the others waits for their runs.
fn run_unchanged(host: &mut Host<'_>, names: &[String], requested: Requested) -> Result<Vec<Unchanged>> {
    let mut candidates = Vec::new();
    let accounts = OpenedOnce::new(host.accounts);
    let with_token = mirror_state::with_token(host.session)?;
    for name in names.iter().filter(|name| with_token.contains(name)) {
        let planned = candidate(host.session, &accounts, name)?
            .filter(|candidate| plan_run(requested, &candidate.stored.state, (host.now)()).mode == Mode::Incremental);
        candidates.extend(planned);
    }
    host.session.commit()?;
    let all: Vec<_> = candidates.iter().collect();
    // What fails is tried again, and reported, by the run of the mirror.
    let mut polls = Polls::default();
    polls.ask(host, &all, 0)?;
    polls.receive(host, None)?;
    let answer = |candidate: &Candidate| host.answers.get(&candidate.mirror.name, &candidate.stored);
    let is_unchanged = |candidate: &&Candidate| answer(candidate).is_some_and(Answer::is_same);
    let unchanged: Vec<_> = all.into_iter().filter(is_unchanged).collect();
    record_unchanged(host.session, &unchanged)
}
