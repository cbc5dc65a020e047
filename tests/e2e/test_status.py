"""Tests `ipai.sync_status`, `ipai.sync_alerts` and the notifications of changed alerts."""

from __future__ import annotations

import json
import threading
import xmlrpc.client
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from harness import shell
from support.faulty import Exchange, FaultyOdoo, blocked_until, metric, never_respond, recorded, respond_normally
from support.sessions import PROMPT_SECONDS, Connection, running_statement, statement_error
from support.supabase import Supabase

CALL = "call ipai.run_sync('sample_metrics')"
RECORDS = [metric(1), metric(2), metric(3, active=False), metric(4)]
DENIED = recorded("fault_access_error_read_portal")
#: A schedule that is not due while a test runs.
NEW_YEAR = "0 0 1 1 *"


@pytest.fixture
def erp(supabase: Supabase) -> Iterator[FaultyOdoo]:
    with FaultyOdoo(RECORDS) as server:
        supabase.server(server.url)
        yield server


@pytest.fixture
def registered(supabase: Supabase, erp: FaultyOdoo) -> Supabase:
    """Registers a mirror that has never run."""
    supabase.register()
    return supabase


@pytest.fixture
def mirrored(registered: Supabase) -> Supabase:
    """Registers a mirror whose rows equal Odoo's records, without any alert."""
    registered.run()
    assert alerts(registered) == []
    return registered


def status(supabase: Supabase, mirror: str = "sample_metrics") -> dict[str, Any]:
    return supabase.row("select * from ipai.sync_status where mirror = %s", mirror)


def alerts(supabase: Supabase) -> list[str]:
    """Returns the kinds of the current alerts, in order."""
    return [row["kind"] for row in supabase.rows("select kind from ipai.sync_alerts")]


def alert(supabase: Supabase, kind: str) -> dict[str, Any]:
    """Returns the only alert, which must have this kind."""
    row = supabase.row("select * from ipai.sync_alerts")
    assert (row["kind"], row["mirror"]) == (kind, "sample_metrics")
    assert row["message"] and row["hint"]
    return row


def set_option(supabase: Supabase, **options: object) -> None:
    for name, value in options.items():
        supabase.rows(f"select ipai.alter_mirror('sample_metrics', {name} => %s)", value)


def fail(supabase: Supabase) -> dict[str, Any]:
    """Makes a run fail, and returns its row of the run log."""
    with pytest.raises(psycopg.Error):
        supabase.run()
    return supabase.last_run()


def age(supabase: Supabase, by: str) -> None:
    """Moves all recorded times into the past by this interval."""
    supabase.rows("update ipai.run_log set started_at = started_at - %s::interval, finished_at = finished_at - %s::interval", by, by)
    supabase.rows("update ipai.mirrors set created_at = created_at - %s::interval, scheduled_at = scheduled_at - %s::interval", by, by)


# Status -------------------------------------------------------------------------------------------


def test_status_of_a_mirror_that_never_ran(registered: Supabase) -> None:
    row = status(registered)
    assert {name: row.pop(name) for name in ("mirror", "server", "model", "target", "enabled", "state", "failures", "late", "rejects")} == {
        **{"mirror": "sample_metrics", "server": "odoo", "model": "ipai.sample.metric", "target": "ipai.ipai_sample_metrics"},
        **{"enabled": True, "state": "never", "failures": 0, "late": False, "rejects": 0},
    }
    assert set(row.values()) == {None}


def test_status_of_a_healthy_mirror(mirrored: Supabase) -> None:
    row, run = status(mirrored), mirrored.last_run()
    assert (row["state"], row["last_success"], row["rows"], row["delta"]) == ("ok", run["finished_at"], 4, 0)
    assert timedelta(0) < row["age"] < timedelta(minutes=1)
    assert (row["failures"], row["last_error"], row["run"], row["progress"]) == (0, None, None, None)


def test_status_shows_progress_of_a_running_run(registered: Supabase, erp: FaultyOdoo) -> None:
    set_option(registered, page_size=1)
    gate = threading.Event()
    erp.on("search_read", respond_normally, times=2)
    erp.on("search_read", blocked_until(gate))
    with running_statement(registered, registered.connect(), CALL) as call:
        shell.wait_until(lambda: status(registered)["progress"] == "2 of 4 records, 50 %", "two pages", seconds=10, every=0.02)
        row = status(registered)
        assert (row["state"], row["run"], row["last_success"]) == ("running", registered.last_run()["run"], None)
        gate.set()
        call.result(timeout=30)
    row = status(registered)
    assert (row["state"], row["run"], row["progress"]) == ("ok", None, None)


def test_a_disabled_mirror_raises_no_alert(registered: Supabase, erp: FaultyOdoo) -> None:
    erp.on("search_read", DENIED)
    fail(registered)
    assert alerts(registered) == ["failing"]
    set_option(registered, enabled=False)
    row = status(registered)
    assert (row["state"], row["enabled"], row["failures"]) == ("disabled", False, 1)
    assert alerts(registered) == []


@pytest.mark.parametrize(("sync", "counts"), [("", True), ("'2026-01-01'", False), ("max_rows => 1", False), ("dry_run => true", False)])
def test_complete_sync_in_a_transaction_counts_as_success(registered: Supabase, sync: str, counts: bool) -> None:
    registered.rows(f"select * from ipai.sync_sample_metrics({sync})")
    row = status(registered)
    assert (row["state"], row["last_success"] is not None) == (("ok", True) if counts else ("never", False))


def test_counting_does_not_count_as_a_run(registered: Supabase) -> None:
    registered.rows("select * from ipai.refresh_counts('sample_metrics')")
    row = status(registered)
    assert (row["state"], row["last_success"], row["rows"], row["delta"]) == ("never", None, 0, 4)


# Failing ------------------------------------------------------------------------------------------


def test_failed_runs_raise_an_alert_until_a_run_succeeds(mirrored: Supabase, erp: FaultyOdoo) -> None:
    success = status(mirrored)["last_success"]
    erp.on("search_read", DENIED)
    first, second = fail(mirrored), fail(mirrored)
    row = status(mirrored)
    assert (row["state"], row["failures"], row["failing_since"], row["last_success"]) == ("failing", 2, first["finished_at"], success)
    assert (row["last_failed_run"], row["last_error"], row["last_sqlstate"], row["last_error_at"]) == (
        *(second["run"], second["message"], second["sqlstate"]),
        second["finished_at"],
    )
    current = alert(mirrored, "failing")
    assert (current["severity"], current["since"]) == (1, first["finished_at"])
    assert current["message"] == f"the last 2 runs failed; last error: {second['message']}"
    assert (second["hint"] or "") in current["hint"]
    erp.clear_faults()
    mirrored.run()
    row = status(mirrored)
    assert (row["state"], row["failures"], row["failing_since"], row["last_error"], row["last_sqlstate"], row["last_error_at"]) == (
        *("ok", 0),
        *[None] * 4,
    )
    assert alerts(mirrored) == []


def test_max_failures_suppresses_the_failing_alert(mirrored: Supabase, erp: FaultyOdoo) -> None:
    set_option(mirrored, max_failures=1)
    erp.on("search_read", DENIED)
    fail(mirrored)
    assert (status(mirrored)["state"], alerts(mirrored)) == ("failing", [])
    fail(mirrored)
    assert alerts(mirrored) == ["failing"]
    set_option(mirrored, max_failures=2)
    assert alerts(mirrored) == []


def test_cancelled_run_does_not_change_the_failure_count(mirrored: Supabase, erp: FaultyOdoo) -> None:
    erp.on("search_read", DENIED, times=1)
    failed = fail(mirrored)
    erp.requests.clear()
    erp.on("search_read", never_respond, times=1)
    with running_statement(mirrored, mirrored.connect(), CALL) as call:
        shell.wait_until(lambda: erp.received("search_read"), "the run waiting for Odoo", seconds=10, every=0.02)
        mirrored.rows("select pg_cancel_backend(pid) from ipai.run_log where state = 'running'")
        assert isinstance(statement_error(call), psycopg.errors.QueryCanceled)
    assert mirrored.last_run()["state"] == "cancelled"
    row = status(mirrored)
    assert (row["state"], row["failures"], row["last_failed_run"]) == ("failing", 1, failed["run"])
    erp.on("search_read", DENIED, times=1)
    fail(mirrored)
    assert status(mirrored)["failures"] == 2
    mirrored.run()
    assert (status(mirrored)["failures"], alerts(mirrored)) == (0, [])


def test_killed_run_counts_as_failed(mirrored: Supabase, erp: FaultyOdoo) -> None:
    erp.requests.clear()
    erp.on("search_read", never_respond, times=1)
    with running_statement(mirrored, mirrored.connect(), CALL) as call:
        shell.wait_until(lambda: erp.received("search_read"), "the run waiting for Odoo", seconds=10, every=0.02)
        mirrored.rows("select pg_terminate_backend(pid) from ipai.run_log where state = 'running'")
        call.exception(timeout=PROMPT_SECONDS)
    shell.wait_until(lambda: status(mirrored)["state"] == "failing", "the end of the session", seconds=PROMPT_SECONDS, every=0.02)
    row, run = status(mirrored), mirrored.last_run()
    assert run["state"] == "dead"
    assert (row["failures"], row["last_failed_run"], row["last_sqlstate"], row["last_error_at"]) == (1, run["run"], None, run["started_at"])
    assert alert(mirrored, "failing")["message"] == "the last run failed: the session of the run was killed"
    mirrored.run()
    assert (status(mirrored)["state"], alerts(mirrored)) == ("ok", [])


# Refused ------------------------------------------------------------------------------------------


def test_hint_of_a_refused_deletion_clears_its_alert(registered: Supabase, erp: FaultyOdoo) -> None:
    erp.records = [metric(number) for number in range(1, 301)]
    registered.run()
    erp.records = erp.records[:150]
    refused = fail(registered)
    assert refused["state"] == "refused"
    row = status(registered)
    assert (row["state"], row["failures"], row["last_sqlstate"]) == ("failing", 1, "55000")
    current = alert(registered, "refused")
    assert (current["message"], current["hint"], current["since"]) == (refused["message"], refused["hint"], refused["finished_at"])
    # The alert reports the failure of the last run.
    erp.on("search_read", DENIED, times=1)
    fail(registered)
    assert alerts(registered) == ["failing"]
    fail(registered)
    assert alert(registered, "refused")["since"] == refused["finished_at"]
    documented = "call ipai.run_sync('sample_metrics', max_delete_ratio => 1)"
    assert documented in current["hint"]
    registered.rows(documented)
    assert (status(registered)["state"], alerts(registered)) == ("ok", [])


# Late ---------------------------------------------------------------------------------------------


def test_scheduled_run_that_does_not_start_is_late(mirrored: Supabase, erp: FaultyOdoo) -> None:
    mirrored.rows("select ipai.schedule_sync('sample_metrics', %s)", NEW_YEAR)
    row = status(mirrored)
    assert (row["state"], row["schedule"], row["late"]) == ("ok", NEW_YEAR, False)
    kept = mirrored.row("select scheduled_at, max_age from ipai.mirrors")
    # The interval contains a leap day or not, depending on the year of the test.
    assert kept["max_age"] in (timedelta(days=365), timedelta(days=366))
    assert row["next_due"] == kept["scheduled_at"] + kept["max_age"]
    # The schedule's interval of at most 366 days has passed.
    age(mirrored, "367 days")
    row = status(mirrored)
    assert (row["state"], row["late"]) == ("late", True)
    current = alert(mirrored, "late")
    assert (current["severity"], current["since"]) == (2, row["next_due"])
    assert NEW_YEAR in current["message"]
    for call in ("call ipai.run_sync('sample_metrics');", "select * from ipai.restore_schedules();"):
        assert call in current["hint"]
    mirrored.run()
    assert (status(mirrored)["state"], alerts(mirrored)) == ("ok", [])


def test_expected_run_of_another_scheduler_is_late(mirrored: Supabase, erp: FaultyOdoo) -> None:
    due = mirrored.row("select ipai.expect_sync('sample_metrics', %s) as due", NEW_YEAR)["due"]
    row = status(mirrored)
    assert (row["state"], row["schedule"], row["next_due"]) == ("ok", NEW_YEAR, due)
    assert mirrored.rows("select from cron.job") == []
    age(mirrored, "367 days")
    current = alert(mirrored, "late")
    assert NEW_YEAR in current["message"] and "call ipai.run_sync('sample_metrics');" in current["hint"]
    assert "cron.job_run_details" not in current["hint"] and "restore_schedules" not in current["hint"]
    mirrored.run()
    assert (status(mirrored)["state"], alerts(mirrored)) == ("ok", [])
    # A null schedule removes the expectation.
    age(mirrored, "367 days")
    assert alerts(mirrored) == ["late"]
    assert mirrored.row("select ipai.expect_sync('sample_metrics', null) as due") == {"due": None}
    assert (status(mirrored)["schedule"], alerts(mirrored)) == (None, [])


def test_late_after_sets_the_tolerated_delay(mirrored: Supabase) -> None:
    mirrored.rows("select ipai.schedule_sync('sample_metrics', %s)", NEW_YEAR)
    age(mirrored, "367 days")
    set_option(mirrored, late_after="368 days")
    assert (status(mirrored)["late"], alerts(mirrored)) == (False, [])
    mirrored.rows("update ipai.mirrors set late_after = '200000 years'")
    assert (status(mirrored)["late"], alerts(mirrored)) == (False, [])
    set_option(mirrored, late_after="0")
    assert (status(mirrored)["late"], alerts(mirrored)) == (True, ["late"])


def test_unscheduled_running_and_disabled_mirrors_are_not_late(mirrored: Supabase, erp: FaultyOdoo) -> None:
    age(mirrored, "367 days")
    assert (status(mirrored)["next_due"], status(mirrored)["late"]) == (None, False)
    mirrored.rows("select ipai.schedule_sync('sample_metrics', %s)", NEW_YEAR)
    # The interval starts when the mirror is scheduled.
    assert not status(mirrored)["late"]
    age(mirrored, "367 days")
    assert status(mirrored)["late"]
    gate = threading.Event()
    erp.on("search_read", blocked_until(gate))
    with running_statement(mirrored, mirrored.connect(), CALL) as call:
        shell.wait_until(lambda: status(mirrored)["state"] == "running", "the run", seconds=10, every=0.02)
        assert (status(mirrored)["late"], alerts(mirrored)) == (False, [])
        gate.set()
        call.result(timeout=30)
    age(mirrored, "367 days")
    assert status(mirrored)["late"]
    set_option(mirrored, enabled=False)
    assert (status(mirrored)["late"], alerts(mirrored)) == (False, [])
    set_option(mirrored, enabled=True)
    mirrored.rows("select ipai.unschedule_sync('sample_metrics')")
    assert (status(mirrored)["next_due"], alerts(mirrored)) == (None, [])


def test_invalid_schedule_does_not_break_the_views(mirrored: Supabase) -> None:
    """An invalid schedule in the table does not break the views for other mirrors."""
    mirrored.add_mirror("other")
    mirrored.rows("update ipai.mirrors set schedule = 'every day', scheduled_at = now() - interval '1 year' where name = 'other'")
    assert (status(mirrored, "other")["next_due"], status(mirrored, "other")["late"]) == (None, False)
    assert alerts(mirrored) == []


def test_mirror_without_a_schedule_is_late_after_max_age(mirrored: Supabase) -> None:
    """A mirror can be late without a schedule that the database knows."""
    mirrored.rows("update ipai.mirrors set max_age = '1 hour'")
    assert (status(mirrored)["schedule"], status(mirrored)["late"], alerts(mirrored)) == (None, False, [])
    age(mirrored, "74 minutes")
    assert (status(mirrored)["late"], alerts(mirrored)) == (False, [])
    age(mirrored, "2 minutes")
    assert (status(mirrored)["state"], alerts(mirrored)) == ("late", ["late"])
    assert "schedule" not in alert(mirrored, "late")["message"]


@pytest.mark.parametrize("max_age", ["0", "-1 hour", "101 years"])
def test_max_age_out_of_range_is_refused(mirrored: Supabase, max_age: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        mirrored.rows("update ipai.mirrors set max_age = %s::interval", max_age)


#: Schedules, and the longest interval between two of their runs.
INTERVALS = [
    ("* * * * *", timedelta(minutes=1)),
    ("*/15 * * * *", timedelta(minutes=15)),
    (" */25\t* * * * ", timedelta(minutes=25)),
    ("30 seconds", timedelta(seconds=30)),
    ("2 hours", timedelta(hours=2)),
    ("@hourly", timedelta(hours=1)),
    ("5 * * * *", timedelta(hours=1)),
    ("0,20,50 * * * *", timedelta(minutes=30)),
    ("0 3 * * *", timedelta(days=1)),
    ("0 3,4 * * *", timedelta(hours=23)),
    ("@Daily", timedelta(days=1)),
    ("@weekly", timedelta(days=7)),
    # From Friday to Monday, in whole days.
    ("* 9-17 * * 1-5", timedelta(days=3)),
    ("0 0 * * mon,WED", timedelta(days=5)),
    ("0 0 * * 0-7", timedelta(days=1)),
    ("0 12 1 * *", timedelta(days=31)),
    ("0 12 $ * *", timedelta(days=31)),
    # cron runs if either the day of the month or the weekday matches.
    ("0 12 1 * 1", timedelta(days=7)),
    ("0 0 1 jan-dec/3 *", timedelta(days=93)),
    ("0 0 1 1 *", timedelta(days=366)),
    ("0 0 29 2 *", None),
    # From February 15 to March 15 in a leap year.
    ("0 0 15,30 * *", timedelta(days=29)),
    ("0 0 */2 * *", timedelta(days=2)),
    ("0 0 2-30/7 * *", timedelta(days=8)),
    # Both days must match.
    ("0 0 */2 * 1", None),
    ("0 0 31 * *", None),
    *((invalid, None) for invalid in ("@reboot", "every day", "61 * * * *", "* * * * 8", "*/0 * * * *", "1/2 * * * *", "a b c d e")),
    *((invalid, None) for invalid in ("* * * *", "* * * * * *", "", "99999 days", "0 seconds", "1-,2 * * * *", None)),
]


def test_longest_interval_of_a_schedule(supabase: Supabase) -> None:
    found = [(schedule, supabase.row("select ipai.schedule_interval(%s) as longest", schedule)["longest"]) for schedule, _ in INTERVALS]
    assert found == INTERVALS


# Never --------------------------------------------------------------------------------------------


def test_mirror_that_never_runs_raises_an_alert(registered: Supabase, erp: FaultyOdoo) -> None:
    assert alerts(registered) == []
    age(registered, "16 minutes")
    current = alert(registered, "never")
    assert current["since"] == registered.row("select created_at from ipai.mirrors")["created_at"]
    assert "call ipai.run_sync('sample_metrics');" in current["hint"]
    # The first run is in progress.
    gate = threading.Event()
    erp.on("search_read", blocked_until(gate))
    with running_statement(registered, registered.connect(), CALL) as call:
        shell.wait_until(lambda: status(registered)["state"] == "running", "the run", seconds=10, every=0.02)
        assert alerts(registered) == []
        gate.set()
        call.result(timeout=30)
    assert alerts(registered) == []


def test_failed_first_run_raises_only_the_failing_alert(registered: Supabase, erp: FaultyOdoo) -> None:
    age(registered, "1 day")
    erp.on("search_read", DENIED)
    fail(registered)
    assert alerts(registered) == ["failing"]
    # `max_failures` suppresses the alert `failing`, so the mirror has the alert `never` again.
    set_option(registered, max_failures=1)
    assert alerts(registered) == ["never"]


# Delta --------------------------------------------------------------------------------------------


def test_count_delta_raises_an_alert_until_counts_agree(mirrored: Supabase, erp: FaultyOdoo) -> None:
    erp.records = RECORDS[:2]
    mirrored.rows("select * from ipai.refresh_counts('sample_metrics')")
    assert (status(mirrored)["rows"], status(mirrored)["delta"]) == (4, -2)
    current = alert(mirrored, "delta")
    assert current["message"] == "Odoo has 2 records, the mirror has 4 rows"
    assert current["since"] == mirrored.row("select checked_at from ipai.sync_count_delta")["checked_at"]
    set_option(mirrored, max_delta=2)
    assert alerts(mirrored) == []
    set_option(mirrored, max_delta=1)
    assert alerts(mirrored) == ["delta"]
    # The hint is a statement that resolves the alert.
    assert current["hint"] == "call ipai.run_sync('sample_metrics', 'reconcile');"
    mirrored.rows(current["hint"])
    assert alerts(mirrored) == []


# Drift --------------------------------------------------------------------------------------------

TYPES = {
    **dict.fromkeys(("name", "code"), "char"),
    **dict.fromkeys(("brand_id", "store_id"), "many2one"),
    **dict.fromkeys(("is_alert", "active"), "boolean"),
    **{"id": "integer", "date": "date", "value": "float", "unit": "selection", "notes": "text", "write_date": "datetime"},
}


def fields(exchange: Exchange, **changes: str | None) -> None:
    """Responds to fields_get with changed types. A field with type None is missing."""
    types = {name: kind for name, kind in {**TYPES, **changes}.items() if kind}
    answer = {name: {"type": kind, "string": name, "store": True, "required": False, "readonly": False} for name, kind in types.items()}
    exchange.send(200, {}, xmlrpc.client.dumps((answer,), methodresponse=True).encode())


def test_field_drift_raises_an_alert_until_the_fields_return(mirrored: Supabase, erp: FaultyOdoo) -> None:
    erp.on("fields_get", lambda exchange: fields(exchange, notes=None, date="char"))
    mirrored.run("'sample_metrics', 'full'")
    current = alert(mirrored, "drift")
    assert 'Odoo no longer has field "notes"' in current["message"]
    assert 'field "date" now has type char' in current["message"]
    assert "select * from ipai.refresh_mirror('sample_metrics');" in current["hint"]
    erp.clear_faults()
    erp.on("fields_get", fields)
    mirrored.run("'sample_metrics', 'full'")
    assert alerts(mirrored) == []


# Flagged ------------------------------------------------------------------------------------------


def test_many_flagged_rows_raise_an_alert(registered: Supabase, erp: FaultyOdoo) -> None:
    erp.records = [metric(number, is_alert=number <= 4) for number in range(1, 13)]
    registered.run()
    current = alert(registered, "flagged")
    assert current["message"] == "is_alert is true in 4 of 12 rows; the threshold is 25.0 %"
    look, silence = current["hint"].removeprefix("Look at the rows: ").split(" To raise the threshold: ")
    assert len(registered.rows(look)) == 4
    # The hint is a statement that resolves the alert.
    registered.rows(silence)
    assert registered.row("select max_flagged_ratio from ipai.mirrors") == {"max_flagged_ratio": 0.4}
    assert alerts(registered) == []
    erp.records = [metric(number, is_alert=number <= 5, write_date="2026-01-06 08:00:00") for number in range(1, 13)]
    registered.run()
    assert alerts(registered) == ["flagged"]
    erp.records = [metric(number, is_alert=number <= 1, write_date="2026-01-07 08:00:00") for number in range(1, 13)]
    registered.run()
    assert alerts(registered) == []


def test_flagged_alert_requires_at_least_ten_rows(registered: Supabase, erp: FaultyOdoo) -> None:
    # Archived rows count too.
    erp.records = [metric(number, is_alert=True, active=number < 5) for number in range(1, 10)]
    registered.run()
    assert alerts(registered) == []
    erp.records.append(metric(10, is_alert=True, write_date="2026-01-06 08:00:00"))
    registered.run()
    assert alert(registered, "flagged")["message"] == "is_alert is true in 10 of 10 rows; the threshold is 25.0 %"
    set_option(registered, max_flagged_ratio=1)
    assert alerts(registered) == []


# Deletions ----------------------------------------------------------------------------------------


def test_deletions_just_under_the_guard_raise_an_alert(registered: Supabase, erp: FaultyOdoo) -> None:
    erp.records = [metric(number) for number in range(1, 1_001)]
    registered.run()
    for raised in ([], [], ["deletions"]):
        erp.records = erp.records[90:]
        registered.run("'sample_metrics', 'reconcile'")
        assert (registered.last_run()["deleted"], alerts(registered)) == (90, raised)
    current = alert(registered, "deletions")
    assert current["message"] == "runs deleted 270 of 1000 rows within 24 hours; the threshold is 200"
    first = registered.row("select started_at from ipai.sync_runs where deleted > 0 order by run limit 1")
    assert (current["severity"], current["since"]) == (8, first["started_at"])
    look, stop = (current["hint"].partition(text)[2].partition(";")[0] for text in ("runs: ", "mirror: "))
    assert len(registered.rows(look)) == 3
    with psycopg.connect(registered.cluster.dsn(user="postgres")) as connection:
        connection.execute(stop)
        assert connection.execute("select from ipai.sync_alerts").fetchall() == []
        connection.rollback()
    # A higher threshold, and time, clear the alert.
    set_option(registered, max_delete_ratio=0.27)
    assert alerts(registered) == []
    set_option(registered, max_delete_ratio=0.2)
    age(registered, "23 hours")
    assert alerts(registered) == ["deletions"]
    age(registered, "1 hour")
    assert alerts(registered) == []


def test_deletions_that_the_caller_permitted_raise_no_alert(registered: Supabase, erp: FaultyOdoo) -> None:
    erp.records = [metric(number) for number in range(1, 301)]
    registered.run()
    erp.records = erp.records[:50]
    registered.run("'sample_metrics', max_delete_ratio => 1")
    assert (registered.last_run()["deleted"], alerts(registered)) == (250, [])


# Order of the alerts ------------------------------------------------------------------------------


def test_alerts_are_ordered_by_severity(mirrored: Supabase) -> None:
    """One mirror has several alerts, and other mirrors have the remaining kinds."""
    for name in ("refused", "never"):
        mirrored.add_mirror(name)
    mirrored.rows("select ipai.schedule_sync('sample_metrics', %s)", NEW_YEAR)
    age(mirrored, "367 days")
    mirrored.rows(
        """insert into ipai.run_log (mirror, mode, state, finished_at, message, odoo_count, mirror_count, mirror_flagged, flags)
           values ('sample_metrics', 'incremental', 'failed', now(), 'broken', null, null, null, null),
                  ('sample_metrics', 'counts', 'succeeded', now(), null, 20, 30, 10, '{is_alert}'),
                  ('refused', 'full', 'refused', now(), 'refused to delete', null, null, null, null)"""
    )
    mirrored.rows("update ipai.run_log set deleted = 101 where message = 'broken'")
    mirrored.rows("insert into ipai.sync_rejects values ('sample_metrics', 7, 'insert', 'value', '23514', 'too small')")
    mirrored.rows(
        """update ipai.mirror_state
           set drift = '[{"field": "a", "problem": "gone"}]', degraded = 'it is old', degraded_since = now()
           where mirror = 'sample_metrics'"""
    )
    rows = mirrored.rows("select severity, kind, mirror from ipai.sync_alerts")
    assert [(row["severity"], row["kind"], row["mirror"]) for row in rows] == [
        (1, "failing", "sample_metrics"),
        (2, "late", "sample_metrics"),
        (3, "never", "never"),
        (4, "delta", "sample_metrics"),
        (5, "drift", "sample_metrics"),
        (6, "refused", "refused"),
        (7, "flagged", "sample_metrics"),
        (8, "deletions", "sample_metrics"),
        (9, "rejects", "sample_metrics"),
        (10, "degraded", "sample_metrics"),
    ]


# NOTIFY -------------------------------------------------------------------------------------------

NOTIFY = "select ipai.notify_alerts() as changes"


class Listener:
    """A session that listens for the notifications of alerts."""

    def __init__(self, supabase: Supabase) -> None:
        self.connection = supabase.connect()
        self.connection.execute("listen ipai_sync_alerts")

    def received(self) -> list[dict[str, Any]]:
        """Returns the payloads received since the last call."""
        payloads = [notify.payload for notify in self.connection.notifies(timeout=0.2)]
        assert all(len(payload.encode()) < 7_900 for payload in payloads)
        return [json.loads(payload) for payload in payloads]


@pytest.fixture
def listener(mirrored: Supabase) -> Listener:
    return Listener(mirrored)


def test_run_notifies_the_alerts_that_it_changes(mirrored: Supabase, erp: FaultyOdoo, listener: Listener) -> None:
    mirrored.run()
    assert listener.received() == []
    erp.on("search_read", DENIED)
    fail(mirrored)
    raised = {"mirror": "sample_metrics", "kind": "failing", "severity": 1}
    assert listener.received() == [{"raised": [raised], "cleared": []}]
    # An alert that stays raised is not notified again.
    fail(mirrored)
    assert mirrored.row(NOTIFY) == {"changes": 0}
    assert listener.received() == []
    erp.clear_faults()
    mirrored.run()
    assert listener.received() == [{"raised": [], "cleared": [{"mirror": "sample_metrics", "kind": "failing"}]}]


def test_notify_alerts_notifies_alerts_that_time_raised(mirrored: Supabase, listener: Listener) -> None:
    mirrored.add_mirror("never")
    mirrored.rows("select ipai.schedule_sync('sample_metrics', %s)", NEW_YEAR)
    age(mirrored, "367 days")
    assert mirrored.row(NOTIFY) == {"changes": 2}
    (payload,) = listener.received()
    assert [(change["mirror"], change["kind"]) for change in payload["raised"]] == [("sample_metrics", "late"), ("never", "never")]
    # Only the changed alerts are notified.
    mirrored.rows("""update ipai.mirror_state set drift = '[{"field": "a", "problem": "gone"}]' where mirror = 'sample_metrics'""")
    mirrored.rows("select ipai.unschedule_sync('sample_metrics')")
    assert mirrored.row(NOTIFY) == {"changes": 2}
    (payload,) = listener.received()
    assert [change["kind"] for change in payload["raised"]] == ["drift"]
    assert payload["cleared"] == [{"mirror": "sample_metrics", "kind": "late"}]


def test_sync_in_a_transaction_does_not_notify(mirrored: Supabase, erp: FaultyOdoo, listener: Listener) -> None:
    erp.on("search_read", DENIED, times=1)
    fail(mirrored)
    assert len(listener.received()) == 1
    mirrored.rows("select * from ipai.sync_sample_metrics()")
    assert (alerts(mirrored), listener.received()) == ([], [])
    # The next call of notify_alerts notifies the change.
    assert mirrored.row(NOTIFY) == {"changes": 1}


def test_rolled_back_notification_is_sent_by_the_next_call(mirrored: Supabase, listener: Listener) -> None:
    mirrored.add_mirror("never")
    age(mirrored, "1 day")
    connection = mirrored.connect()
    with connection.transaction(force_rollback=True):
        connection.execute(NOTIFY)
    assert listener.received() == []
    assert mirrored.row(NOTIFY) == {"changes": 1}
    assert len(listener.received()) == 1


def test_alerts_of_a_locked_mirror_are_notified_later(mirrored: Supabase, listener: Listener) -> None:
    for name in ("one", "two"):
        mirrored.add_mirror(name)
    age(mirrored, "1 day")
    connection = mirrored.connect()
    with connection.transaction():
        connection.execute("update ipai.mirror_state set settled_id = null where mirror = 'one'")
        assert mirrored.row(NOTIFY) == {"changes": 1}
        (payload,) = listener.received()
        assert [change["mirror"] for change in payload["raised"]] == ["two"]
    assert mirrored.row(NOTIFY) == {"changes": 1}
    (payload,) = listener.received()
    assert [change["mirror"] for change in payload["raised"]] == ["one"]


def add_failed_mirrors(supabase: Supabase, mirrors: int, name: str, message: str = "x") -> None:
    """Creates mirrors, each with one failed run."""
    supabase.rows(
        """with registered as (
               insert into ipai.mirrors (name, model, target_schema, target_table, fields)
               select %s || n, 'ipai.sample.metric', 'ipai', 't' || n, '[]' from generate_series(1, %s) n
               returning name)
           insert into ipai.mirror_state (mirror) select name from registered""",
        *(name, mirrors),
    )
    supabase.rows(
        """insert into ipai.run_log (mirror, mode, state, finished_at, message)
           select %s || n, 'full', 'failed', now(), %s from generate_series(1, %s) n""",
        *(name, message, mirrors),
    )


def test_one_payload_holds_fifty_alerts(mirrored: Supabase, listener: Listener) -> None:
    add_failed_mirrors(mirrored, 50, "m", "ä" * 200)
    assert mirrored.row(NOTIFY) == {"changes": 50}
    (payload,) = listener.received()
    assert len(payload["raised"]) == 50
    assert payload["raised"][0] == {"mirror": "m1", "kind": "failing", "severity": 1}


def test_long_payload_is_replaced_by_counts(mirrored: Supabase, listener: Listener) -> None:
    add_failed_mirrors(mirrored, 200, "a mirror with a rather long name ")
    assert mirrored.row(NOTIFY) == {"changes": 200}
    assert listener.received() == [{"truncated": True, "counts": {"raised": 200, "cleared": 0}}]
    mirrored.rows("delete from ipai.run_log where mirror like 'a mirror%%'")
    assert mirrored.row(NOTIFY) == {"changes": 200}
    assert listener.received() == [{"truncated": True, "counts": {"raised": 0, "cleared": 200}}]


#: Triggers that raise when alerts are stored: immediately, or at commit as a full NOTIFY queue
#: does.
RAISING_TRIGGERS = {
    "immediately": "create trigger poison before update of alerts on ipai.mirror_state for each row execute function public.poison()",
    "at commit": """create constraint trigger poison after update of alerts on ipai.mirror_state deferrable initially deferred
                        for each row execute function public.poison()""",
}


@contextmanager
def raising_trigger(supabase: Supabase, body: str, trigger: str) -> Iterator[None]:
    """Creates the trigger, whose function has this body, for the duration of the block."""
    supabase.cluster.psql(f"create function public.poison() returns trigger language plpgsql as $$ begin {body} end $$; {trigger}")
    try:
        yield
    finally:
        supabase.cluster.psql("drop function public.poison() cascade")


@pytest.mark.parametrize("trigger", RAISING_TRIGGERS.values(), ids=RAISING_TRIGGERS.keys())
def test_failed_notification_does_not_fail_a_run(mirrored: Supabase, erp: FaultyOdoo, listener: Listener, trigger: str) -> None:
    erp.records = RECORDS[2:]
    mirrored.rows("select * from ipai.refresh_counts('sample_metrics')")
    assert mirrored.row(NOTIFY) == {"changes": 1}
    assert len(listener.received()) == 1
    connection = mirrored.connect()
    warnings: list[str] = []
    connection.add_notice_handler(lambda notice: warnings.append(f"{notice.severity}: {notice.message_primary}"))
    with raising_trigger(mirrored, "raise 'no more room';", trigger):
        connection.execute(CALL)
        run = mirrored.last_run()
        assert (run["state"], run["odoo_count"], run["mirror_count"]) == ("succeeded", 2, 2)
        assert warnings == ["WARNING: listeners were not notified of changed alerts: no more room"]
        # A failed notification does not replace the run's own error, and the session stays usable.
        erp.on("search_read", DENIED, times=1)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(CALL)
        assert (mirrored.last_run()["state"], len(warnings)) == ("failed", 2)
        assert listener.received() == []
    assert mirrored.rows("select 1 from pg_locks where locktype = 'advisory'") == []
    # The next call notifies the changes.
    assert mirrored.row(NOTIFY) == {"changes": 2}
    (payload,) = listener.received()
    assert ([change["kind"] for change in payload["raised"]], [change["kind"] for change in payload["cleared"]]) == (["failing"], ["delta"])


def test_cancel_during_the_notification_cancels_the_call(mirrored: Supabase, erp: FaultyOdoo) -> None:
    erp.on("search_read", DENIED, times=1)
    with (
        raising_trigger(mirrored, "perform pg_sleep(30); return new;", RAISING_TRIGGERS["immediately"]),
        running_statement(mirrored, mirrored.connect(), "call ipai.run_sync()") as call,
    ):
        cancel = "select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'PgSleep'"
        shell.wait_until(lambda: mirrored.rows(cancel), "the notification", seconds=10, every=0.02)
        assert isinstance(statement_error(call), psycopg.errors.QueryCanceled)
    assert mirrored.rows("select mirror, state from ipai.sync_runs where run > 1") == [{"mirror": "sample_metrics", "state": "failed"}]


# Privileges ---------------------------------------------------------------------------------------


def as_role(supabase: Supabase, role: str) -> Connection:
    connection = supabase.connect()
    connection.execute(f"set role {role}")
    return connection


def test_service_role_reads_the_views_and_notifies(mirrored: Supabase, listener: Listener) -> None:
    mirrored.add_mirror("never")
    mirrored.rows("select ipai.schedule_sync('sample_metrics', %s)", NEW_YEAR)
    age(mirrored, "367 days")
    connection = as_role(mirrored, "service_role")
    assert len(connection.execute("select * from ipai.sync_status").fetchall()) == 2
    assert len(connection.execute("select * from ipai.sync_alerts").fetchall()) == 2
    assert connection.execute(NOTIFY).fetchone() == {"changes": 2}
    assert len(listener.received()) == 1
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("select * from ipai.restore_schedules()")


@pytest.mark.parametrize("role", ["anon", "authenticated"])
def test_other_api_roles_neither_read_the_views_nor_notify(mirrored: Supabase, role: str) -> None:
    connection = as_role(mirrored, role)
    for statement in ("select * from ipai.sync_status", "select * from ipai.sync_alerts", NOTIFY):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)


def test_views_check_the_privileges_of_the_caller(mirrored: Supabase) -> None:
    mirrored.rows("grant usage on schema ipai to authenticated; grant select on ipai.sync_status, ipai.sync_alerts to authenticated")
    try:
        connection = as_role(mirrored, "authenticated")
        for view in ("sync_status", "sync_alerts"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied for"):
                connection.execute(f"select * from ipai.{view}")
    finally:
        mirrored.rows("revoke select on ipai.sync_status, ipai.sync_alerts from authenticated")


# Many mirrors and runs ----------------------------------------------------------------------------

MIRRORS, RUNS = 50, 2_000
#: Upper limits of the blocks read: some for each of 50 mirrors, and one for each failure of two.
BLOCKS = {"sync_count_delta": 500, "sample_metrics_count_delta": 50, "sync_status": 7_000, "sync_alerts": 7_000}


@pytest.fixture(scope="module")
def many_runs(_supabase: Supabase) -> Iterator[Supabase]:
    """Creates 50 mirrors with up to 2,000 runs each.

    Mirror m1 has failed 1,999 times since its only success, m2 every time. m3 was killed 100 times
    and has not run since.
    """
    supabase = _supabase
    supabase.rows(
        """insert into ipai.mirrors (name, server, model, target_schema, target_table, fields, page_size, max_delete_ratio, schedule,
                                     scheduled_at, created_at)
           select 'm' || n, 'odoo', 'res.partner', 'ipai', 't' || n, '[]', 100, 0.2, '*/15 * * * *', now() - interval '60 days',
                  now() - interval '60 days'
           from generate_series(1, %s) n""",
        MIRRORS,
    )
    supabase.rows(
        """insert into ipai.run_log (mirror, mode, state, started_at, finished_at, complete, odoo_count, mirror_count, odoo_active,
                                     mirror_active, message, hint, sqlstate, fingerprint)
           select 'm' || m, 'incremental', state, at, case state when 'running' then null else at + interval '3 s' end,
                  state = 'succeeded', count, count, count, count, case state when 'failed' then repeat('An error. ', 10) end,
                  case state when 'failed' then 'Do something.' end, case state when 'failed' then '28P01' end, md5(m::text)
           from generate_series(1, %s) n, generate_series(1, %s) m,
                lateral (select now() - (2000 - n) * interval '15 minutes' as at,
                                case when m = 2 or m = 1 and n > 1 or m > 40 and n %% 10 = 0 then 'failed'
                                     when m = 3 and n between 1001 and 1100 then 'running'
                                     else 'succeeded' end as state) s,
                lateral (select case state when 'succeeded' then 1000 end as count) c
           where m <> 3 or n <= 1100
           order by n, m""",
        *(RUNS, MIRRORS),
    )
    supabase.rows(
        "insert into ipai.followers (server, mirrors, since, polled_at) select 'odoo', array_agg(name), now(), now() from ipai.mirrors"
    )
    # The run log has no statistics yet, as after a restore.
    yield supabase
    supabase.reset()


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", []):
        yield from nodes(part)


def blocks_read(supabase: Supabase, view: str) -> int:
    """Returns the blocks that a query of the view reads. It must not scan the whole run log."""
    row = supabase.row(f"explain (analyze, buffers, format json) select * from ipai.{view}")
    plan = row["QUERY PLAN"][0]["Plan"]
    read = [node["Node Type"] for node in nodes(plan) if node.get("Relation Name") == "run_log"]
    assert read
    assert "Seq Scan" not in read
    # JIT compilation would take longer than the query.
    assert "JIT" not in row["QUERY PLAN"][0]
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


@pytest.mark.parametrize("known", ["nothing known", "analyzed", "vacuumed"])
def test_views_do_not_scan_the_whole_run_log(many_runs: Supabase, known: str) -> None:
    if known != "nothing known":
        many_runs.cluster.psql("vacuum analyze ipai.run_log, ipai.mirrors" if known == "vacuumed" else "analyze ipai.run_log, ipai.mirrors")
    read = {view: blocks_read(many_runs, view) for view in BLOCKS}
    assert all(read[view] < BLOCKS[view] for view in BLOCKS), read
    assert many_runs.row("select state, failures, last_success is not null as once from ipai.sync_status where mirror = 'm1'") == {
        **{"state": "failing", "failures": RUNS - 1, "once": True},
    }
    assert many_runs.row("select state, failures, last_success from ipai.sync_status where mirror = 'm2'") == {
        **{"state": "failing", "failures": RUNS, "last_success": None},
    }
    assert status(many_runs, "m3")["failures"] == 100
    assert status(many_runs, "m4")["state"] == "ok"
