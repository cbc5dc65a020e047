"""Tests interrupted runs: committed pages stay, the end is logged, and the next call resumes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from harness import shell
from support.crashes import wait_for_recovery
from support.definitions import ScriptedOdoo, create_statement
from support.faulty import Exchange, FaultyOdoo, blocked_until, metric, never_respond, recorded, respond_normally, status, web_page
from support.sessions import Connection, idle_resources, is_alive, running_statement, statement_error, wait_for_release
from support.supabase import Supabase

pytestmark = [pytest.mark.both_hosts, pytest.mark.postgres17]

CALL = "call ipai.run_sync('sample_metrics')"
#: Loads the extension's library into the session, and changes nothing.
LOAD = "select * from ipai.sync_mirror('sample_metrics', dry_run => true)"
#: Five pages of two records each. Two pages are committed before the interruption.
RECORDS = [metric(number, write_date=f"2026-01-05 08:00:{number:02}") for number in range(1, 11)]
COMMITTED = [1, 2, 3, 4]


@pytest.fixture
def erp(supabase: Supabase) -> Iterator[FaultyOdoo]:
    with FaultyOdoo(RECORDS) as server:
        supabase.server(server.url)
        supabase.register(page_size=2)
        yield server


def respond_to_two_pages(erp: FaultyOdoo, then: Callable[[Exchange], None], page: str = "search_read") -> None:
    erp.on(page, respond_normally, times=2)
    erp.on(page, then)


def wait_for_two_pages(supabase: Supabase) -> dict[str, Any]:
    """Waits until the current run has committed two pages, and returns its row."""

    def reached() -> bool:
        return any(run["pages"] == 2 for run in supabase.rows("select pages from ipai.sync_runs where state = 'running'"))

    shell.wait_until(reached, "two pages committed", seconds=10, every=0.02)
    return supabase.last_run()


def mirrored(supabase: Supabase) -> list[int]:
    return [row["odoo_id"] for row in supabase.mirror("odoo_id")]


def logged_run(supabase: Supabase, run: int) -> dict[str, Any]:
    return supabase.row("select * from ipai.run_log where run = %s", run)


def assert_resumes(supabase: Supabase, erp: FaultyOdoo, stopped: dict[str, Any], connection: Connection | None = None) -> None:
    """Resumes the run: it must read only the remaining records.

    The follow-up run finds no record that was written meanwhile.
    """
    erp.clear_faults()
    erp.requests.clear()
    (connection or supabase.connect()).execute(CALL)
    run = supabase.resumed_run()
    assert (run["state"], run["resumes"], run["fetched"], run["inserted"]) == ("succeeded", stopped["run"], 6, 6)
    assert (run["odoo_count"], run["mirror_count"], run["position"]) == (10, 10, 10)
    # A resumed run keeps the first run's value of Odoo's clock, so the follow-up run reads later
    # changes.
    assert run["odoo_clock"] == stopped["odoo_clock"]
    follow_up = supabase.last_run()
    assert (follow_up["inserted"], follow_up["updated"], follow_up["deleted"]) == (0, 0, 0)
    assert [term for term in erp.received("search_read")[0].domain if term[0] == "id"] == [["id", ">", 4]]
    assert mirrored(supabase) == list(range(1, 11))


# Pages --------------------------------------------------------------------------------------------


def test_committed_pages_and_progress_are_visible_during_a_run(supabase: Supabase, erp: FaultyOdoo) -> None:
    gate = threading.Event()
    respond_to_two_pages(erp, blocked_until(gate))
    connection = supabase.connect()
    with running_statement(supabase, connection, CALL) as call:
        run = wait_for_two_pages(supabase)
        assert mirrored(supabase) == COMMITTED
        assert (run["mode"], run["resumes"], run["bound"]) == ("full", None, None)
        assert supabase.rows("select pid from pg_locks where locktype = 'advisory'") == [{"pid": run["pid"]}]
        assert (run["position"], run["fetched"], run["inserted"], run["total"]) == (4, 4, 4, 10)
        assert (run["finished_at"], run["cursor_after"], run["odoo_count"]) == (None, None, None)
        gate.set()
        call.result(timeout=10)
    run = supabase.last_run()
    assert (run["state"], run["pages"], run["position"], run["fetched"]) == ("succeeded", 5, 10, 10)
    assert run["started_at"] < run["finished_at"]
    assert run["seconds_waiting"] > 0 and run["seconds_writing"] > 0
    assert run["cursor_after"] == run["newest"]
    assert supabase.row("select cursor from ipai.mirror_state") == {"cursor": run["cursor_after"]}


# A killed backend ---------------------------------------------------------------------------------


def test_killed_first_run_is_dead_and_resumed(supabase: Supabase, erp: FaultyOdoo) -> None:
    respond_to_two_pages(erp, never_respond)
    connection = supabase.connect()
    with running_statement(supabase, connection, CALL) as call:
        stopped = wait_for_two_pages(supabase)
        before = logged_run(supabase, stopped["run"])
        supabase.kill(connection)
        assert isinstance(call.exception(timeout=10), psycopg.OperationalError)
    wait_for_recovery(supabase.cluster)
    assert mirrored(supabase) == COMMITTED
    assert supabase.last_run() == {**stopped, "state": "dead"}
    assert_resumes(supabase, erp, stopped)
    # The killed run's row is unchanged; the view derives the state `dead`.
    assert logged_run(supabase, stopped["run"]) == before
    assert before["state"] == "running"


def test_terminated_run_is_dead_and_resumed(supabase: Supabase, erp: FaultyOdoo) -> None:
    gate = threading.Event()
    respond_to_two_pages(erp, blocked_until(gate))
    connection = supabase.connect()
    with running_statement(supabase, connection, CALL) as call:
        stopped = wait_for_two_pages(supabase)
        supabase.terminate(connection)
        # The program learns of it when Odoo responds.
        gate.set()
        assert statement_error(call).sqlstate == supabase.lost_connection
    shell.wait_until(lambda: not is_alive(stopped["pid"]), "the backend's end", seconds=5)
    assert supabase.last_run()["state"] == "dead"
    assert_resumes(supabase, erp, stopped)


# Errors -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Interruption:
    """An interruption after two pages.

    The third response of Odoo, the statement executed then, and the error that is raised and
    logged.
    """

    third_page: Callable[[Exchange], None]
    sqlstate: str
    message: str
    state: str = "failed"
    then: str | None = None
    setting: str | None = None


INTERRUPTIONS = {
    "a cancel": Interruption(
        never_respond, "57014", "canceling statement due to user request", "cancelled", then="select pg_cancel_backend(%s)"
    ),
    "statement_timeout": Interruption(
        never_respond, "57014", "canceling statement due to statement timeout", "failed", setting="statement_timeout = '1500ms'"
    ),
    "no more access": Interruption(recorded("fault_access_error_read_portal"), "42501", "Odoo denies access: "),
    "another password": Interruption(recorded("object_wrong_password"), "28P01", "Odoo authentication failed"),
    "a page of HTML": Interruption(web_page(b"<html>log in</html>"), "08P01", "the answer is not valid: "),
    "a client error": Interruption(status(404), "08P01", "Odoo answered HTTP status 404"),
}


#: Signals stop the program: see test_program_stops.py.
OF_BACKENDS = pytest.mark.extension_only("a cancel of a backend, and settings of the caller's session")


@pytest.mark.parametrize(
    "interruption",
    [pytest.param(case, id=name, marks=OF_BACKENDS if case.sqlstate == "57014" else ()) for name, case in INTERRUPTIONS.items()],
)
def test_interrupted_run_is_logged_released_and_resumed(supabase: Supabase, erp: FaultyOdoo, interruption: Interruption) -> None:
    connection = supabase.connect()
    pid = connection.info.backend_pid
    connection.execute(LOAD)
    before = idle_resources(pid)
    respond_to_two_pages(erp, interruption.third_page)
    if interruption.setting:
        connection.execute(f"set {interruption.setting}")
    with running_statement(supabase, connection, CALL) as call:
        if interruption.then:
            wait_for_two_pages(supabase)
            supabase.row(interruption.then, pid)
        error = statement_error(call, 10)
    wait_for_release(before, pid)
    assert error.sqlstate == interruption.sqlstate
    assert interruption.message in (error.diag.message_primary or "")
    run = supabase.last_run()
    assert (run["state"], run["sqlstate"], run["message"]) == (interruption.state, interruption.sqlstate, error.diag.message_primary)
    assert (run["detail"], run["hint"] and supabase.hint(run["hint"])) == (error.diag.message_detail, error.diag.message_hint)
    assert run["finished_at"] > run["started_at"]
    assert (run["pages"], run["position"], run["fetched"], run["inserted"]) == (2, 4, 4, 4)
    assert (run["cursor_after"], supabase.row("select cursor from ipai.mirror_state")["cursor"]) == (None, None)
    assert mirrored(supabase) == COMMITTED
    assert supabase.rows("select * from pg_locks where locktype = 'advisory'") == []
    connection.execute("reset statement_timeout")
    assert_resumes(supabase, erp, run, connection)
    wait_for_release(before, pid)


@pytest.mark.extension_only("a setting of the caller's session")
def test_timeout_in_this_database_fails_the_run_and_releases_its_lock(supabase: Supabase, erp: FaultyOdoo) -> None:
    """Another session locks the table while the run compares ids."""
    # A row without a record, so that the run lists the ids.
    supabase.rows("insert into ipai.ipai_sample_metrics (odoo_id, name, code, unit) values (99, 'gone', 'X', 'count')")
    gate = threading.Event()
    erp.on("search", blocked_until(gate))
    connection = supabase.connect()
    connection.execute("set statement_timeout = '3s'")
    blocker = supabase.connect()
    with running_statement(supabase, connection, CALL) as call:
        shell.wait_until(lambda: bool(erp.received("search")), "the run comparing ids", seconds=10, every=0.02)
        with blocker.transaction():
            blocker.execute("lock table ipai.ipai_sample_metrics in access exclusive mode")
            gate.set()
            error = statement_error(call, 10)
    assert isinstance(error, psycopg.errors.QueryCanceled), error
    run = supabase.last_run()
    assert (run["state"], run["sqlstate"], run["message"]) == ("failed", "57014", error.diag.message_primary)
    assert supabase.rows("select * from pg_locks where locktype = 'advisory'") == []
    assert supabase.run()["state"] == "succeeded"


def test_refused_page_is_rolled_back_without_the_others(supabase: Supabase, erp: FaultyOdoo) -> None:
    supabase.rows("select ipai.alter_mirror('sample_metrics', max_rejects => 0)")
    supabase.rows("alter table ipai.ipai_sample_metrics add constraint not_six check (odoo_id <> 6)")
    try:
        with pytest.raises(psycopg.errors.CheckViolation) as raised:
            supabase.rows(CALL)
    finally:
        supabase.rows("alter table ipai.ipai_sample_metrics drop constraint not_six")
    run = supabase.last_run()
    assert (run["state"], run["sqlstate"], run["position"], run["pages"]) == ("failed", "23514", 4, 2)
    assert run["message"] == raised.value.diag.message_primary
    # Record 5 of the same page was rolled back too.
    assert mirrored(supabase) == COMMITTED
    assert_resumes(supabase, erp, run)


@pytest.mark.extension_only("the resources of a backend after many calls")
def test_repeated_failures_in_one_session_leak_nothing(supabase: Supabase, erp: FaultyOdoo) -> None:
    connection = supabase.connect()
    connection.execute(LOAD)
    before = idle_resources(connection.info.backend_pid)
    erp.on("search_read", respond_normally, times=1)
    erp.on("search_read", recorded("fault_access_error_read_portal"))
    for _ in range(20):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(CALL)
        wait_for_release(before, connection.info.backend_pid)
    assert supabase.row("select count(*) from ipai.sync_runs where state = 'failed'") == {"count": 20}
    erp.clear_faults()
    connection.execute(CALL)
    assert supabase.last_run()["mirror_count"] == 10


def test_repeatedly_failed_run_is_resumed(supabase: Supabase, erp: FaultyOdoo) -> None:
    for pages in (1, 2, 3, 4):
        erp.clear_faults()
        erp.requests.clear()
        erp.on("search_read", respond_normally, times=1)
        erp.on("search_read", recorded("fault_access_error_read_portal"))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            supabase.rows(CALL)
        assert len(mirrored(supabase)) == 2 * pages
    erp.clear_faults()
    supabase.run()
    run = supabase.resumed_run()
    assert (run["fetched"], run["resumes"], run["mirror_count"]) == (2, 4, 10)


# What a resumed run keeps -------------------------------------------------------------------------


def stop_after_two_pages(supabase: Supabase, erp: FaultyOdoo, page: str = "search_read") -> dict[str, Any]:
    # A fault would make the run continue without the addon.
    respond_to_two_pages(erp, status(404), page)
    with pytest.raises(psycopg.errors.ProtocolViolation, match="HTTP status 404"):
        supabase.rows(CALL)
    erp.clear_faults()
    erp.requests.clear()
    return supabase.last_run()


@pytest.mark.parametrize("addon", [False, True])
def test_resuming_call_copies_changes_to_earlier_pages(supabase: Supabase, erp: FaultyOdoo, addon: bool) -> None:
    erp.addon = addon
    stopped = stop_after_two_pages(supabase, erp, "export" if addon else "search_read")
    # The write_date is after the start of the first run, whose value of Odoo's clock the resumed
    # run keeps.
    written = stopped["odoo_clock"].strftime("%Y-%m-%d %H:%M:%S")
    erp.records = [metric(1, name="edited meanwhile", write_date=written), *RECORDS[1:]]
    assert supabase.run()["updated"] == 1
    run = supabase.resumed_run()
    assert (run["resumes"], run["updated"]) == (stopped["run"], 0)
    assert supabase.mirror("name")[0] == {"name": "edited meanwhile"}


def test_model_without_write_date_needs_no_follow_up_run(supabase: Supabase) -> None:
    with ScriptedOdoo(RECORDS) as erp:
        erp.missing_fields = {"write_date"}
        supabase.server(erp.url)
        supabase.rows(create_statement("undated", "undated", fields="name", more=", page_size => 2"))
        respond_to_two_pages(erp, recorded("fault_access_error_read_portal"))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            supabase.rows("call ipai.run_sync('undated')")
        stopped = supabase.last_run("undated")
        assert (stopped["position"], stopped["odoo_clock"] is None) == (4, False)
        erp.clear_faults()
        supabase.rows("call ipai.run_sync('undated')")
        run = supabase.last_run("undated")
        assert (run["state"], run["resumes"], run["mode"], run["fetched"]) == ("succeeded", stopped["run"], "full", 6)


def test_repeatedly_interrupted_calls_finish(supabase: Supabase, erp: FaultyOdoo) -> None:
    """A scheduler's time limit interrupts every call after four more pages.

    This includes pages of records that were written meanwhile.
    """
    supabase.rows("select ipai.alter_mirror('sample_metrics', overlap => '0 s')")
    stopped = stop_after_two_pages(supabase, erp)
    written = stopped["odoo_clock"].strftime("%Y-%m-%d %H:%M:%S")
    erp.records = [{**record, "name": "edited", "write_date": written} for record in RECORDS]
    # Later writes have a newer write_date.
    shell.wait_until(lambda: datetime.now(UTC) - stopped["odoo_clock"] > timedelta(seconds=2), "a newer second", seconds=5)
    for _ in range(10):
        erp.clear_faults()
        erp.on("search_read", respond_normally, times=4)
        erp.on("search_read", recorded("fault_access_error_read_portal"))
        try:
            supabase.rows(CALL)
            break
        except psycopg.errors.InsufficientPrivilege:
            pass
    runs = supabase.rows("select mode, state, resumes is not null as resumed from ipai.sync_runs order by run")
    assert [(run["mode"], run["state"], run["resumed"]) for run in runs] == [
        ("full", "failed", False),
        ("full", "succeeded", True),
        ("incremental", "failed", False),
        ("incremental", "failed", False),
        ("incremental", "succeeded", True),
        ("incremental", "succeeded", False),
    ]
    assert supabase.rows("select distinct name from ipai.ipai_sample_metrics") == [{"name": "edited"}]


def test_resumed_incremental_run_keeps_its_lower_bound(supabase: Supabase, erp: FaultyOdoo) -> None:
    supabase.run()
    erp.records = [{**record, "name": "renamed", "write_date": "2026-01-06 09:00:00"} for record in RECORDS]
    stopped = stop_after_two_pages(supabase, erp)
    assert (stopped["mode"], stopped["position"], stopped["updated"]) == ("incremental", 4, 4)
    supabase.run()
    run = supabase.resumed_run()
    assert (run["mode"], run["resumes"], run["bound"], run["fetched"]) == ("incremental", stopped["run"], stopped["bound"], 6)
    assert {row["name"] for row in supabase.mirror("name")} == {"renamed"}


def test_mode_full_does_not_resume(supabase: Supabase, erp: FaultyOdoo) -> None:
    stop_after_two_pages(supabase, erp)
    run = supabase.run("'sample_metrics', 'full'")
    assert (run["resumes"], run["fetched"], run["unchanged"], run["inserted"]) == (None, 10, 4, 6)


@pytest.mark.parametrize(
    "change", ["""domain = '[["id", "<", 9]]'""", "lang = 'fr_FR'", "company_ids = '{1}'"], ids=["domain", "language", "companies"]
)
def test_run_with_another_fingerprint_is_not_resumed(supabase: Supabase, erp: FaultyOdoo, change: str) -> None:
    stop_after_two_pages(supabase, erp)
    erp.records = RECORDS[:8]
    supabase.rows(f"update ipai.mirrors set {change}")
    erp.requests.clear()
    run = supabase.run()
    assert (run["mode"], run["resumes"], run["fetched"], run["mirror_count"]) == ("full", None, 8, 8)


def test_changed_fingerprint_makes_the_next_run_full(supabase: Supabase, erp: FaultyOdoo) -> None:
    supabase.run()
    supabase.rows("update ipai.mirrors set lang = 'fr_FR'")
    run = supabase.run("'sample_metrics', 'incremental'")
    assert (run["mode"], run["bound"], run["fetched"]) == ("full", None, 10)
    assert supabase.run()["mode"] == "incremental"


def test_run_is_not_resumed_after_a_complete_sync(supabase: Supabase, erp: FaultyOdoo) -> None:
    stop_after_two_pages(supabase, erp)
    supabase.rows("select * from ipai.sync_sample_metrics()")
    assert supabase.run()["resumes"] is None


# Refused deletions --------------------------------------------------------------------------------


def test_refused_runs_copy_new_and_changed_records(supabase: Supabase, erp: FaultyOdoo) -> None:
    """A refused run deletes nothing, but it copies new and changed records."""
    erp.records = [metric(number) for number in range(1, 302)]
    supabase.rows("update ipai.mirrors set page_size = 100")
    supabase.run()
    erp.records = erp.records[:200]
    for hour, name in ((9, "first edit"), (10, "second edit")):
        erp.records[0] = metric(1, name=name, write_date=f"2026-01-06 {hour:02}:00:00")
        erp.records[100] = metric(101, name=name, write_date=f"2026-01-06 {hour:02}:00:00")
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            supabase.rows(CALL)
        run = supabase.last_run()
        assert (run["state"], run["sqlstate"], run["deleted"]) == ("refused", "55000", 0)
        rows = supabase.mirror("odoo_id, name")
        assert len(rows) == 301
        assert [row["name"] for row in rows if row["odoo_id"] in (1, 101)] == [name, name]
