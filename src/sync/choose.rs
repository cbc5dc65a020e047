//! What a scheduled run does, from what the last ones left.

use super::cursor::SECOND;
use super::report::{Mode, Position, Report};
use chrono::{NaiveDateTime, TimeDelta};

/// What the caller asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requested {
    /// Incremental, or full when that is due.
    Auto,
    Incremental,
    Reconcile,
    /// Everything, from the beginning.
    Full,
}

impl Requested {
    /// `None` for a name that is none.
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

/// What is known of a mirror before a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Where the last complete run left the cursor (UTC); `None` before the first, and when the mirror's fields, domain,
    /// language, companies or server have changed since.
    pub cursor: Option<NaiveDateTime>,
    /// The record that stands at the cursor, where the last complete run began so long after it was written that no
    /// transaction under way can write an older date any more: this record and newer ones are all there is to read. Without it
    /// a bulk change would be read again and again, until something else is written.
    pub settled: Option<i64>,
    /// When the last complete full run ended (UTC).
    pub full_at: Option<NaiveDateTime>,
    /// How far behind the cursor an incremental run begins: transactions of Odoo that last longer may be missed.
    pub overlap: TimeDelta,
    /// How often `auto` reads everything.
    pub reconcile_every: TimeDelta,
    /// The last run, where it did not end well.
    pub unfinished: Option<Unfinished>,
}

/// A run that was killed, cancelled or failed, of the mirror as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unfinished {
    pub run: i64,
    pub mode: Mode,
    pub bound: Option<NaiveDateTime>,
    pub position: Position,
}

/// How a run begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    pub mode: Mode,
    pub bound: Option<NaiveDateTime>,
    /// A record to be read whenever it was written. A database that has it as new as the cursor was not restored.
    pub also: Option<i64>,
    /// The run that this one goes on with.
    pub resumed: Option<Unfinished>,
}

impl Start {
    /// Where it begins to read.
    pub fn position(&self) -> Position {
        self.resumed
            .map_or(Position::default(), |unfinished| unfinished.position)
    }

    /// Whether an incremental run is to follow at once. What a run went on with had passed records that may have been written since: the
    /// cursor is at when that one began, so that the next run reads them, and nobody has to wait for it. Where there is no cursor, because
    /// the model has no write dates, the next full run does.
    pub fn is_followed(&self, report: &Report) -> bool {
        self.resumed.is_some() && report.cursor.is_some()
    }
}

/// `now` is the local clock (UTC): it only decides whether a full run is due, never what is read.
pub fn choose(requested: Requested, state: &State, now: NaiveDateTime) -> Start {
    let due = state
        .full_at
        .is_none_or(|full_at| now - full_at >= state.reconcile_every);
    // An unfinished full run is owed: it may have been begun because Odoo's database was restored, and the next write in
    // Odoo would hide that from an incremental run.
    let owed = state.unfinished.is_some_and(|unfinished| unfinished.mode == Mode::Full);
    let mode = match (requested, state.cursor) {
        (Requested::Full, _) | (_, None) => Mode::Full,
        _ if owed => Mode::Full,
        (Requested::Auto, _) if due => Mode::Full,
        (Requested::Auto | Requested::Incremental, _) => Mode::Incremental,
        (Requested::Reconcile, _) => Mode::Reconcile,
    };
    // Whoever asks for everything wants it from the beginning.
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
        // Where the run begins later than the cursor. One that is resumed may begin where an earlier one began.
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
        let start = choose(requested, state, at(10));
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
    fn what_has_settled_is_not_read_again() {
        let state = State {
            settled: Some(77),
            ..state()
        };
        let start = choose(Requested::Auto, &state, at(10));
        let second = at(8) + TimeDelta::seconds(1);
        assert_eq!((start.bound, start.also), (Some(second), Some(77)));
        assert_eq!(choose(Requested::Full, &state, at(10)).also, None);
        for (bound, also) in [(at(3), None), (second, Some(77))] {
            let mut state = state.clone();
            state.unfinished = unfinished(Mode::Incremental, 500).map(|unfinished| Unfinished {
                bound: Some(bound),
                ..unfinished
            });
            let start = choose(Requested::Auto, &state, at(10));
            assert_eq!((start.bound, start.also), (Some(bound), also));
        }
    }

    #[test]
    fn without_a_cursor_everything_is_read() {
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
    fn auto_reads_everything_when_that_is_due() {
        for full_at in [None, Some(at(10) - TimeDelta::days(1))] {
            let state = State { full_at, ..state() };
            assert_eq!(chosen(Requested::Auto, &state).0, Mode::Full);
            assert_eq!(chosen(Requested::Incremental, &state).0, Mode::Incremental);
        }
    }

    #[test]
    fn an_unfinished_run_of_the_same_mode_goes_on_with_its_bound() {
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
    fn a_full_run_is_ended_before_any_other() {
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
    fn a_full_run_that_was_asked_for_begins_anew() {
        let state = State {
            unfinished: unfinished(Mode::Full, 500),
            ..state()
        };
        assert_eq!(chosen(Requested::Full, &state), (Mode::Full, None, None));
    }

    #[test]
    fn a_run_that_wrote_nothing_is_not_gone_on_with() {
        let state = State {
            unfinished: unfinished(Mode::Incremental, 0),
            ..state()
        };
        assert_eq!(chosen(Requested::Auto, &state).2, None);
    }
}
