//! Records the runs of mirrors of which Odoo reports no change, with one statement.

use super::{Candidate, ends_all};
use crate::engine::{Counts, Mode, Progress, Report, Tally};
use crate::run_mirror::Finished;
use crate::session::{Session, signed};
use crate::store::statements::Statements;
use crate::store::{counts, sql, target};
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
    let are_counted = candidates.iter().copied().filter(|candidate| candidate.stored.flags_are_counted);
    for (candidate, counted) in count(session, &are_counted.collect::<Vec<_>>())? {
        let Some(token) = candidate.token.clone() else { continue };
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

/// Counts the rows of each mirror. Leaves out those that cannot be counted: the error is for the
/// run of the mirror to report.
fn count<'c>(session: &mut dyn Session, candidates: &[&'c Candidate]) -> Result<Vec<(&'c Candidate, Tally)>> {
    if candidates.is_empty() {
        return Ok(Vec::new());
    }
    let counted = session.within(|session| {
        let names: Vec<_> = candidates.iter().map(|candidate| candidate.mirror.name.clone()).collect();
        target::verify_all(session, &names)?;
        let count = |candidate: &&'c Candidate| {
            Ok((*candidate, counts::of_mirror(session, &Statements::new(&candidate.mirror))?))
        };
        candidates.iter().map(count).collect()
    });
    match counted {
        Err(error) if ends_all(&error) => Err(error),
        Err(_) if candidates.len() < 2 => Ok(Vec::new()),
        // Bisects: one mirror that fails must not cost the others a run of their own.
        Err(_) => {
            let (first, second) = candidates.split_at(candidates.len() / 2);
            Ok([count(session, first)?, count(session, second)?].concat())
        }
        counted => counted,
    }
}
