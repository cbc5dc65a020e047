//! Records the runs of mirrors of which Odoo reports no change, with one statement.

use super::Candidate;
use crate::engine::{Counts, Mode, Progress, Report, Tally};
use crate::run_mirror::Finished;
use crate::session::{Session, signed};
use crate::store::statements::Statements;
use crate::store::target::{self, Access};
use crate::store::{counts, sql};
use ipai_odoo::error::Result;

/// A run that found nothing to do.
pub struct Unchanged {
    /// Name of the mirror.
    pub mirror: String,
    /// Its run.
    pub finished: Finished,
}

/// Records a run of each mirror of which Odoo reports no change, and returns them. It leaves those
/// out whose last run failed, that have rejects, whose rows the last run counted otherwise, or that
/// another session runs: these need a run of their own.
pub fn record_unchanged(session: &mut dyn Session, candidates: &[&Candidate]) -> Result<Vec<Unchanged>> {
    let (mut names, mut tokens, mut rows) = (Vec::new(), Vec::new(), Vec::new());
    for candidate in candidates.iter().filter(|candidate| candidate.stored.flags_are_counted) {
        let Some(token) = candidate.token.clone() else { continue };
        // An error is for the run of the mirror to report.
        let Ok(counted) = session.within(|session| count(session, candidate)) else { continue };
        names.push(candidate.mirror.name.clone());
        tokens.push(token);
        rows.push(signed(counted.total));
    }
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let params = [names.as_slice().into(), tokens.as_slice().into(), rows.as_slice().into()];
    let mut recorded = Vec::new();
    session.execute(sql!("runs_unchanged"), &params, &mut |row| {
        let total = row.count(2)?;
        let tally = Tally { total, ..Tally::default() };
        let report = Report {
            progress: Progress { mode: Mode::Incremental, ..Progress::default() },
            counts: Counts { odoo: tally, mirror: tally, by_flag: false },
            complete: true,
            cursor: None,
            settled: None,
        };
        recorded.push(Unchanged { mirror: row.get(0)?, finished: Finished { run: Some(row.get(1)?), report } });
        Ok(())
    })?;
    session.commit()?;
    Ok(recorded)
}

fn count(session: &mut dyn Session, candidate: &Candidate) -> Result<Tally> {
    let table = target::verify(session, &candidate.mirror.name, false)?;
    target::lock(session, &candidate.mirror.target, table, Access::Read)?;
    counts::of_mirror(session, &Statements::new(&candidate.mirror))
}
