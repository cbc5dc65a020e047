//! Plans a scheduled run: its mode, its lower bound, and whether it resumes an interrupted run.

use super::{Mode, NO_RECORD, Position, Report, SECOND};
use chrono::{NaiveDateTime, TimeDelta};

/// The mode that the caller asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requested {
    /// Incremental, or full if a full run is due.
    Auto,
    /// Records written since the cursor.
    Incremental,
    /// Records written since the cursor, and all ids compared.
    Reconcile,
    /// Everything, from the beginning.
    Full,
}

impl Requested {
    /// `None` if there is no such mode.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "auto" => Some(Requested::Auto),
            "incremental" => Some(Requested::Incremental),
            "reconcile" => Some(Requested::Reconcile),
            "full" => Some(Requested::Full),
            _ => None,
        }
    }
}

/// The state of a mirror before a run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    /// The cursor of the last complete run (UTC). `None` before the first run, and after a change
    /// of the mirror's fields, domain, language, companies or server.
    pub cursor: Option<NaiveDateTime>,
    /// The record at the cursor, once no older change can arrive ([`Position::settled`]). Without
    /// it, every run would read a bulk change again until something else is written.
    pub settled: Option<i64>,
    /// Whether the cursor is Odoo's clock, because the last full run saw no write date.
    pub is_clock: bool,
    /// Whether the model has no field `write_date`, and a complete run has read it with the
    /// mirror's current definition. Then only ids can be compared.
    pub has_ids_only: bool,
    /// Whether Odoo's addon can tell what has changed since the last run.
    pub has_token: bool,
    /// When the last complete full run ended (UTC).
    pub full_at: Option<NaiveDateTime>,
    /// The overlap window: changes of transactions that last longer may be missed.
    pub overlap: TimeDelta,
    /// How often mode `auto` reads everything.
    pub reconcile_every: TimeDelta,
    /// The last run, if it did not succeed.
    pub unfinished: Option<Unfinished>,
}

impl State {
    /// The newest write date that earlier runs saw.
    pub fn newest(&self) -> Option<NaiveDateTime> {
        self.cursor.filter(|_| !self.is_clock)
    }

    /// Takes over the cursor that a complete scan reached, and the record at it.
    pub fn reach(&mut self, cursor: NaiveDateTime, settled: Option<i64>) {
        self.cursor = Some(cursor);
        self.is_clock = settled == Some(NO_RECORD);
        self.settled = settled.filter(|id| *id != NO_RECORD);
    }
}

/// An interrupted or failed run with the mirror's current definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unfinished {
    /// Its number.
    pub run: i64,
    /// Its mode.
    pub mode: Mode,
    /// Its lower bound (UTC).
    pub bound: Option<NaiveDateTime>,
    /// How far it read.
    pub position: Position,
}

/// The start of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// The mode of the run.
    pub mode: Mode,
    /// The lower bound (UTC). Without one, a full run reads everything, and a run in mode reconcile
    /// only compares ids.
    pub bound: Option<NaiveDateTime>,
    /// A record that is read whatever its write date. It shows whether the database was restored.
    pub also: Option<i64>,
    /// The run that this one resumes.
    pub resumed: Option<Unfinished>,
}

impl Start {
    /// The position from which the run reads.
    pub fn position(&self) -> Position {
        self.resumed.map(|unfinished| unfinished.position).unwrap_or_default()
    }

    /// Whether to start an incremental run immediately. A resumed run skips ids that it read before
    /// the interruption; this follow-up run picks up changes made to them since. Without a cursor
    /// (the model has no write dates) the next full run does.
    pub fn needs_follow_up(&self, report: &Report) -> bool {
        self.resumed.is_some() && report.cursor.is_some()
    }
}

/// Plans a run. `now`, the local clock (UTC), only decides whether a full run is due.
pub fn plan_run(requested: Requested, state: &State, now: NaiveDateTime) -> Start {
    let due = state.full_at.is_none_or(|full_at| now - full_at >= state.reconcile_every);
    // An interrupted full run comes first: it may have started because Odoo's database was
    // restored, and the next write in Odoo would hide that from an incremental run.
    let owed = state.unfinished.is_some_and(|unfinished| unfinished.mode == Mode::Full);
    let mode = match requested {
        _ if owed || state.cursor.is_none() && !state.has_ids_only => Mode::Full,
        Requested::Full => Mode::Full,
        Requested::Auto if due => Mode::Full,
        Requested::Auto | Requested::Incremental if !state.has_ids_only || state.has_token => Mode::Incremental,
        Requested::Auto | Requested::Incremental | Requested::Reconcile => Mode::Reconcile,
    };
    // A full run on request starts from the beginning.
    let resumed = state
        .unfinished
        .filter(|unfinished| requested != Requested::Full && unfinished.mode == mode && unfinished.position.id > 0);
    let bound = match resumed {
        Some(unfinished) => unfinished.bound,
        None if mode == Mode::Full => None,
        None => state.cursor.and_then(|cursor| match state.settled {
            Some(_) => cursor.checked_add_signed(SECOND),
            None => cursor.checked_sub_signed(state.overlap),
        }),
    };
    // A resumed run may have a lower bound before the cursor. It reads that record anyway.
    let also = state.settled.filter(|_| bound > state.cursor);
    Start { mode, bound, also, resumed }
}

#[cfg(test)]
#[path = "planner_tests.rs"]
mod tests;
