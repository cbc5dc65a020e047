//! Plans a scheduled run: its mode, its lower bound, and whether it resumes an interrupted run.

use super::cursor::SECOND;
use super::report::{Mode, Position, Report};
use chrono::{NaiveDateTime, TimeDelta};

/// The mode that the caller asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requested {
    /// Incremental, or full if a full run is due.
    Auto,
    Incremental,
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
    /// The cursor of the last complete run (UTC). `None` before the first run, and after a change of the
    /// mirror's fields, domain, language, companies or server.
    pub cursor: Option<NaiveDateTime>,
    /// The record at the cursor, if the last complete run began after the overlap window of this record. No
    /// transaction can write an older date any more, so a run reads this record and newer ones. Without this,
    /// every run would read a bulk change again until something else is written.
    pub settled: Option<i64>,
    /// When the last complete full run ended (UTC).
    pub full_at: Option<NaiveDateTime>,
    /// The overlap window: changes of transactions that last longer may be missed.
    pub overlap: TimeDelta,
    /// How often mode `auto` reads everything.
    pub reconcile_every: TimeDelta,
    /// The last run, if it did not succeed.
    pub unfinished: Option<Unfinished>,
}

/// An interrupted or failed run with the mirror's current definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unfinished {
    pub run: i64,
    pub mode: Mode,
    pub bound: Option<NaiveDateTime>,
    pub position: Position,
}

/// The start of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    pub mode: Mode,
    pub bound: Option<NaiveDateTime>,
    /// A record that is read whatever its write date. If it is as new as the cursor, the database was not restored.
    pub also: Option<i64>,
    /// The run that this one resumes.
    pub resumed: Option<Unfinished>,
}

impl Start {
    /// The position from which the run reads.
    pub fn position(&self) -> Position {
        self.resumed
            .map_or(Position::default(), |unfinished| unfinished.position)
    }

    /// Whether to start an incremental run immediately. A resumed run skips ids that it read before the
    /// interruption; this follow-up run picks up changes made to them since. Without a cursor (the model has no
    /// write dates) the next full run does.
    pub fn needs_follow_up(&self, report: &Report) -> bool {
        self.resumed.is_some() && report.cursor.is_some()
    }
}

/// Plans a run. `now` is the local clock (UTC); it only decides whether a full run is due, never what is read.
pub fn plan_run(requested: Requested, state: &State, now: NaiveDateTime) -> Start {
    let due = state
        .full_at
        .is_none_or(|full_at| now - full_at >= state.reconcile_every);
    // An interrupted full run comes first: it may have started because Odoo's database was restored, and the next
    // write in Odoo would hide that from an incremental run.
    let owed = state.unfinished.is_some_and(|unfinished| unfinished.mode == Mode::Full);
    let mode = match (requested, state.cursor) {
        (Requested::Full, _) | (_, None) => Mode::Full,
        _ if owed => Mode::Full,
        (Requested::Auto, _) if due => Mode::Full,
        (Requested::Auto | Requested::Incremental, _) => Mode::Incremental,
        (Requested::Reconcile, _) => Mode::Reconcile,
    };
    // A full run on request starts from the beginning.
    let resumed = state
        .unfinished
        .filter(|unfinished| requested != Requested::Full && unfinished.mode == mode && unfinished.position.id > 0);
    let bound = match (mode, resumed) {
        (_, Some(unfinished)) => unfinished.bound,
        (Mode::Full, None) => None,
        (_, None) => state.cursor.and_then(|cursor| match state.settled {
            Some(_) => cursor.checked_add_signed(SECOND),
            None => cursor.checked_sub_signed(state.overlap),
        }),
    };
    Start {
        mode,
        bound,
        // Only if the lower bound is later than the cursor. A resumed run may have an earlier one.
        also: state.settled.filter(|_| bound > state.cursor),
        resumed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64) -> NaiveDateTime {
        NaiveDateTime::default() + TimeDelta::hours(hour)
    }

    /// Filled by a full run that ended an hour ago; it is hour 10.
    fn state() -> State {
        State {
            cursor: Some(at(8)),
            settled: None,
            full_at: Some(at(9)),
            overlap: TimeDelta::minutes(10),
            reconcile_every: TimeDelta::days(1),
            unfinished: None,
        }
    }

    fn unfinished(mode: Mode, id: i64) -> Option<Unfinished> {
        let position = Position {
            id,
            ..Position::default()
        };
        let bound = (mode != Mode::Full).then(|| at(3));
        Some(Unfinished {
            run: 7,
            mode,
            bound,
            position,
        })
    }

    fn chosen(requested: Requested, state: &State) -> (Mode, Option<NaiveDateTime>, Option<i64>) {
        let start = plan_run(requested, state, at(10));
        (start.mode, start.bound, start.resumed.map(|unfinished| unfinished.run))
    }

    #[test]
    fn auto_is_incremental_with_an_overlap() {
        let bound = Some(at(8) - TimeDelta::minutes(10));
        assert_eq!(chosen(Requested::Auto, &state()), (Mode::Incremental, bound, None));
        assert_eq!(
            chosen(Requested::Incremental, &state()),
            (Mode::Incremental, bound, None)
        );
        assert_eq!(chosen(Requested::Reconcile, &state()), (Mode::Reconcile, bound, None));
        assert_eq!(chosen(Requested::Full, &state()), (Mode::Full, None, None));
    }

    #[test]
    fn settled_changes_are_not_read_again() {
        let state = State {
            settled: Some(77),
            ..state()
        };
        let start = plan_run(Requested::Auto, &state, at(10));
        let second = at(8) + TimeDelta::seconds(1);
        assert_eq!((start.bound, start.also), (Some(second), Some(77)));
        assert_eq!(plan_run(Requested::Full, &state, at(10)).also, None);
        for (bound, also) in [(at(3), None), (second, Some(77))] {
            let mut state = state.clone();
            state.unfinished = unfinished(Mode::Incremental, 500).map(|unfinished| Unfinished {
                bound: Some(bound),
                ..unfinished
            });
            let start = plan_run(Requested::Auto, &state, at(10));
            assert_eq!((start.bound, start.also), (Some(bound), also));
        }
    }

    #[test]
    fn run_without_a_cursor_is_full() {
        let state = State {
            cursor: None,
            ..state()
        };
        for requested in [
            Requested::Auto,
            Requested::Incremental,
            Requested::Reconcile,
            Requested::Full,
        ] {
            assert_eq!(chosen(requested, &state), (Mode::Full, None, None));
        }
    }

    #[test]
    fn auto_is_full_when_a_full_run_is_due() {
        for full_at in [None, Some(at(10) - TimeDelta::days(1))] {
            let state = State { full_at, ..state() };
            assert_eq!(chosen(Requested::Auto, &state).0, Mode::Full);
            assert_eq!(chosen(Requested::Incremental, &state).0, Mode::Incremental);
        }
    }

    #[test]
    fn interrupted_run_of_the_same_mode_is_resumed() {
        let first_load = State {
            cursor: None,
            full_at: None,
            unfinished: unfinished(Mode::Full, 500),
            ..state()
        };
        assert_eq!(chosen(Requested::Auto, &first_load), (Mode::Full, None, Some(7)));
        let incremental = State {
            unfinished: unfinished(Mode::Incremental, 500),
            ..state()
        };
        assert_eq!(
            chosen(Requested::Auto, &incremental),
            (Mode::Incremental, Some(at(3)), Some(7))
        );
        assert_eq!(chosen(Requested::Reconcile, &incremental).2, None);
    }

    #[test]
    fn interrupted_full_run_is_resumed_first() {
        for (id, resumed) in [(500, Some(7)), (0, None)] {
            let state = State {
                unfinished: unfinished(Mode::Full, id),
                ..state()
            };
            assert_eq!(chosen(Requested::Auto, &state), (Mode::Full, None, resumed));
            assert_eq!(chosen(Requested::Incremental, &state), (Mode::Full, None, resumed));
            assert_eq!(chosen(Requested::Reconcile, &state), (Mode::Full, None, resumed));
        }
    }

    #[test]
    fn requested_full_run_starts_anew() {
        let state = State {
            unfinished: unfinished(Mode::Full, 500),
            ..state()
        };
        assert_eq!(chosen(Requested::Full, &state), (Mode::Full, None, None));
    }

    #[test]
    fn run_that_wrote_nothing_is_not_resumed() {
        let state = State {
            unfinished: unfinished(Mode::Incremental, 0),
            ..state()
        };
        assert_eq!(chosen(Requested::Auto, &state).2, None);
    }
}
