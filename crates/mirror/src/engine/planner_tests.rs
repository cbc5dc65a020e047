use super::*;

fn at(hour: i64) -> NaiveDateTime {
    NaiveDateTime::default() + TimeDelta::hours(hour)
}

/// Filled by a full run that ended an hour ago; it is hour 10.
fn state() -> State {
    State {
        cursor: Some(at(8)),
        settled: None,
        is_clock: false,
        has_ids_only: false,
        has_token: false,
        full_at: Some(at(9)),
        overlap: TimeDelta::minutes(10),
        reconcile_every: TimeDelta::days(1),
        unfinished: None,
    }
}

fn unfinished(mode: Mode, id: i64) -> Option<Unfinished> {
    let position = Position { id, ..Position::default() };
    let bound = (mode != Mode::Full).then(|| at(3));
    Some(Unfinished { run: 7, mode, bound, position })
}

fn chosen(requested: Requested, state: &State) -> (Mode, Option<NaiveDateTime>, Option<i64>) {
    let start = plan_run(requested, state, at(10));
    (start.mode, start.bound, start.resumed.map(|unfinished| unfinished.run))
}

#[test]
fn auto_is_incremental_with_an_overlap() {
    let bound = Some(at(8) - TimeDelta::minutes(10));
    assert_eq!(chosen(Requested::Auto, &state()), (Mode::Incremental, bound, None));
    assert_eq!(chosen(Requested::Incremental, &state()), (Mode::Incremental, bound, None));
    assert_eq!(chosen(Requested::Reconcile, &state()), (Mode::Reconcile, bound, None));
    assert_eq!(chosen(Requested::Full, &state()), (Mode::Full, None, None));
}

#[test]
fn settled_changes_are_not_read_again() {
    let state = State { settled: Some(77), ..state() };
    let start = plan_run(Requested::Auto, &state, at(10));
    let second = at(8) + TimeDelta::seconds(1);
    assert_eq!((start.bound, start.also), (Some(second), Some(77)));
    assert_eq!(plan_run(Requested::Full, &state, at(10)).also, None);
    for (bound, also) in [(at(3), None), (second, Some(77))] {
        let mut state = state.clone();
        state.unfinished =
            unfinished(Mode::Incremental, 500).map(|unfinished| Unfinished { bound: Some(bound), ..unfinished });
        let start = plan_run(Requested::Auto, &state, at(10));
        assert_eq!((start.bound, start.also), (Some(bound), also));
    }
}

#[test]
fn model_without_write_dates_compares_ids_until_a_full_run_is_due() {
    let state = State { cursor: None, has_ids_only: true, ..state() };
    for requested in [Requested::Auto, Requested::Incremental, Requested::Reconcile] {
        assert_eq!(chosen(requested, &state), (Mode::Reconcile, None, None));
    }
    assert_eq!(chosen(Requested::Full, &state), (Mode::Full, None, None));
    let due = State { full_at: Some(at(-20)), ..state };
    assert_eq!(chosen(Requested::Auto, &due), (Mode::Full, None, None));
}

#[test]
fn run_without_a_cursor_is_full() {
    let state = State { cursor: None, ..state() };
    for requested in [Requested::Auto, Requested::Incremental, Requested::Reconcile, Requested::Full] {
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
    let first_load = State { cursor: None, full_at: None, unfinished: unfinished(Mode::Full, 500), ..state() };
    assert_eq!(chosen(Requested::Auto, &first_load), (Mode::Full, None, Some(7)));
    let incremental = State { unfinished: unfinished(Mode::Incremental, 500), ..state() };
    assert_eq!(chosen(Requested::Auto, &incremental), (Mode::Incremental, Some(at(3)), Some(7)));
    assert_eq!(chosen(Requested::Reconcile, &incremental).2, None);
}

#[test]
fn interrupted_full_run_is_resumed_first() {
    for (id, resumed) in [(500, Some(7)), (0, None)] {
        let state = State { unfinished: unfinished(Mode::Full, id), ..state() };
        assert_eq!(chosen(Requested::Auto, &state), (Mode::Full, None, resumed));
        assert_eq!(chosen(Requested::Incremental, &state), (Mode::Full, None, resumed));
        assert_eq!(chosen(Requested::Reconcile, &state), (Mode::Full, None, resumed));
    }
}

#[test]
fn requested_full_run_starts_anew() {
    let state = State { unfinished: unfinished(Mode::Full, 500), ..state() };
    assert_eq!(chosen(Requested::Full, &state), (Mode::Full, None, None));
}

#[test]
fn run_that_wrote_nothing_is_not_resumed() {
    let state = State { unfinished: unfinished(Mode::Incremental, 0), ..state() };
    assert_eq!(chosen(Requested::Auto, &state).2, None);
}
