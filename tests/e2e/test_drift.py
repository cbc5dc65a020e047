"""Tests drift, changed options, and interrupted runs in between.

Afterwards every row of the mirror must equal its record in Odoo.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from harness import shell
from support.definitions import ScriptedOdoo, blocked_statement, create_statement, execute, expect_error
from support.faulty import RECORDED, Behaviour, Exchange, blocked_until, metric, never_respond, recorded, respond_normally
from support.sessions import running_statement, statement_error
from support.supabase import Supabase

pytestmark = pytest.mark.no_mirrors

CALL = "call ipai.run_sync('metrics')"
RECORDS = 10
#: The rows of the two committed pages of an interrupted run; a page has two records.
COMMITTED = 4


def make_records(word: str) -> list[dict[str, Any]]:
    """Returns records with a day between their write_dates.

    An incremental run reads only the last one.
    """
    return [metric(number, notes=f"{word} {number}", write_date=f"2026-01-{number:02} 08:00:00") for number in range(1, RECORDS + 1)]


@pytest.fixture
def erp(supabase: Supabase) -> Iterator[ScriptedOdoo]:
    with ScriptedOdoo(make_records("old")) as server:
        supabase.server(server.url)
        yield server


@pytest.fixture
def metrics(supabase: Supabase, erp: ScriptedOdoo) -> Supabase:
    """A mirror that equals Odoo and whose next run is incremental."""
    supabase.rows(create_statement("metrics", "public.metrics", fields="name,notes,brand_id,write_date", more=", page_size => 2"))
    assert supabase.sync("metrics")["mode"] == "full"
    assert notes(supabase) == expected_notes("old")
    run = supabase.sync("metrics")
    assert (run["mode"], run["fetched"]) == ("incremental", 1)
    return supabase


def notes(supabase: Supabase) -> list[str | None]:
    return [row["notes"] for row in supabase.rows("select notes from public.metrics order by odoo_id")]


def expected_notes(word: str, upto: int = RECORDS) -> list[str]:
    return [f"{word} {number}" for number in range(1, upto + 1)]


def drift(supabase: Supabase) -> Any:
    return supabase.row("select drift from ipai.mirror_state where mirror = 'metrics'")["drift"]


def alerts(supabase: Supabase) -> list[str]:
    return [row["kind"] for row in supabase.rows("select kind from ipai.sync_alerts where mirror = 'metrics'")]


GONE = [{"field": "notes", "problem": "gone"}]


def lose_field(supabase: Supabase, erp: ScriptedOdoo) -> None:
    """Removes the field from Odoo, and lets a full run detect the drift."""
    erp.missing_fields = {"notes"}
    supabase.sync("metrics", "full")
    assert (drift(supabase), alerts(supabase)) == (GONE, ["drift"])
    # The values that the field will have when it returns. No write_date changes.
    erp.records = make_records("new")


def assert_full_run(supabase: Supabase, run: dict[str, Any]) -> None:
    """Checks that the run has read every record from the beginning."""
    assert (run["mode"], run["state"], run["fetched"]) == ("full", "succeeded", RECORDS)
    assert notes(supabase) == expected_notes("new")
    assert (drift(supabase), alerts(supabase)) == ([], [])
    assert supabase.sync("metrics")["mode"] == "incremental"


@contextmanager
def waiting_for_page_three(supabase: Supabase, erp: ScriptedOdoo, then: Behaviour, statement: str = CALL) -> Iterator[Future[Any]]:
    """Yields a run that has committed two pages and waits for the third."""
    erp.on("search_read", respond_normally, times=2)
    erp.on("search_read", then)
    before = supabase.rows("select coalesce(max(run), 0) as run from ipai.run_log")[0]["run"]
    with running_statement(supabase, supabase.connect(), statement) as call:
        committed = "select 1 from ipai.run_log where run > %s and pages = 2"
        shell.wait_until(lambda: call.done() or supabase.rows(committed, before), "two pages committed", seconds=10, every=0.02)
        assert not call.done(), call.exception()
        yield call


def cancel_run(supabase: Supabase, erp: ScriptedOdoo, statement: str = CALL) -> dict[str, Any]:
    """Cancels a run after two pages, and returns its row. Odoo works again afterwards."""
    with waiting_for_page_three(supabase, erp, never_respond, statement) as call:
        supabase.rows("select pg_cancel_backend(pid) from ipai.run_log where state = 'running'")
        assert isinstance(statement_error(call), psycopg.errors.QueryCanceled)
    erp.clear_faults()
    run = supabase.last_run("metrics")
    assert (run["state"], run["mode"], run["position"]) == ("cancelled", "full", COMMITTED)
    return run


# Fields that return -------------------------------------------------------------------------------


def test_returned_field_makes_the_next_run_full(metrics: Supabase, erp: ScriptedOdoo) -> None:
    erp.missing_fields = {"notes"}
    cancel_run(metrics, erp, "call ipai.run_sync('metrics', 'full')")
    assert drift(metrics) == GONE
    erp.missing_fields, erp.records = set(), make_records("new")
    assert_full_run(metrics, metrics.sync("metrics"))


def test_first_run_is_not_resumed_after_a_field_returned(supabase: Supabase, erp: ScriptedOdoo) -> None:
    supabase.rows(create_statement("metrics", "public.metrics", fields="name,notes,write_date", more=", page_size => 2"))
    erp.missing_fields = {"notes"}
    cancel_run(supabase, erp)
    assert notes(supabase) == [None] * COMMITTED
    erp.missing_fields, erp.records = set(), make_records("new")
    assert_full_run(supabase, supabase.sync("metrics"))


def test_interrupted_run_is_resumed_while_the_field_is_missing(metrics: Supabase, erp: ScriptedOdoo) -> None:
    erp.missing_fields = {"notes"}
    stopped = cancel_run(metrics, erp, "call ipai.run_sync('metrics', 'full')")
    metrics.sync("metrics")
    run = metrics.resumed_run("metrics")
    assert (run["mode"], run["resumes"], run["fetched"]) == ("full", stopped["run"], RECORDS - COMMITTED)
    assert (drift(metrics), notes(metrics)) == (GONE, expected_notes("old"))
    erp.missing_fields, erp.records = set(), make_records("new")
    # An incremental run copies the other fields; the missing field needs a full run.
    assert metrics.sync("metrics")["mode"] == "incremental"
    assert notes(metrics) == expected_notes("old")
    assert_full_run(metrics, metrics.sync("metrics", "full"))


def test_field_removed_after_an_interruption_is_omitted(metrics: Supabase, erp: ScriptedOdoo) -> None:
    cancel_run(metrics, erp, "call ipai.run_sync('metrics', 'full')")
    erp.missing_fields = {"notes"}
    run = metrics.sync("metrics")
    assert (run["mode"], drift(metrics), notes(metrics)) == ("full", GONE, expected_notes("old"))
    erp.missing_fields, erp.records = set(), make_records("new")
    assert_full_run(metrics, metrics.sync("metrics", "full"))


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_sync_with_max_rows_does_not_clear_drift(metrics: Supabase, erp: ScriptedOdoo, rows: int) -> None:
    lose_field(metrics, erp)
    erp.missing_fields = set()
    report = metrics.row("select * from ipai.sync_mirror('metrics', max_rows => %s)", rows)
    assert report["fetched"] == min(rows, RECORDS)
    assert (drift(metrics), alerts(metrics), notes(metrics)) == (GONE, ["drift"], expected_notes("old"))
    assert metrics.sync("metrics")["mode"] == "incremental"
    assert_full_run(metrics, metrics.sync("metrics", "full"))


def test_sync_since_a_date_does_not_clear_drift(metrics: Supabase, erp: ScriptedOdoo) -> None:
    lose_field(metrics, erp)
    erp.missing_fields = set()
    assert metrics.row("select * from ipai.sync_mirror('metrics', '2026-01-09')")["fetched"] == 2
    assert (drift(metrics), notes(metrics)) == (GONE, expected_notes("old"))
    # A dry run does not clear the drift either.
    metrics.rows("select * from ipai.sync_mirror('metrics', dry_run => true)")
    assert drift(metrics) == GONE
    # A complete sync clears the drift.
    assert metrics.row("select * from ipai.sync_mirror('metrics')")["updated"] == RECORDS
    assert (drift(metrics), notes(metrics)) == ([], expected_notes("new"))


@pytest.mark.parametrize("mode", ["full", "incremental", "reconcile"])
def test_refresh_during_a_run_makes_the_next_run_full(metrics: Supabase, erp: ScriptedOdoo, mode: str) -> None:
    lose_field(metrics, erp)
    gate = threading.Event()
    if mode != "full":
        # A new write_date makes the run read every record.
        erp.records = [{**record, "write_date": "2026-02-01 08:00:00"} for record in erp.records]
    with waiting_for_page_three(metrics, erp, blocked_until(gate), f"call ipai.run_sync('metrics', '{mode}')") as call:
        erp.missing_fields = set()
        rows = metrics.rows("select * from ipai.refresh_mirror('metrics')")
        assert {row["status"] for row in rows if row["column"]} == {"ok"}
        assert drift(metrics) == []
        gate.set()
        call.result(timeout=30)
    erp.clear_faults()
    assert metrics.last_run("metrics")["state"] == "succeeded"
    assert notes(metrics) == expected_notes("old")
    assert_full_run(metrics, metrics.sync("metrics"))


def test_field_added_during_a_run_is_filled_by_the_next(metrics: Supabase, erp: ScriptedOdoo) -> None:
    gate = threading.Event()
    with waiting_for_page_three(metrics, erp, blocked_until(gate), "call ipai.run_sync('metrics', 'full')") as call:
        metrics.rows("select * from ipai.refresh_mirror('metrics', '{value}')")
        gate.set()
        call.result(timeout=30)
    erp.clear_faults()
    assert metrics.row("select count(value) from public.metrics") == {"count": 0}
    run = metrics.sync("metrics")
    assert (run["mode"], run["fetched"]) == ("full", RECORDS)
    assert metrics.row("select sum(value) from public.metrics") == {"sum": 55}


@pytest.mark.parametrize("outcome", ["commit", "rollback"])
def test_concurrent_refreshes_add_all_their_fields(metrics: Supabase, erp: ScriptedOdoo, outcome: str) -> None:
    first = metrics.connect()
    with first.transaction():
        execute(first, "select * from ipai.refresh_mirror('metrics', '{value}')")
        with blocked_statement(metrics, "select * from ipai.refresh_mirror('metrics', '{unit,code}')", first) as call:
            execute(first, outcome)
            rows = call.result(timeout=10).fetchall()
    value = ["value"] if outcome == "commit" else []
    assert {row["field"]: row["status"] for row in rows if row["column"] and row["status"] != "ok"} == {"unit": "added", "code": "added"}
    fields = metrics.row("select fields from ipai.mirrors")["fields"]
    assert [entry["field"] for entry in fields] == ["name", "notes", "brand_id", "write_date", "active", *value, "unit", "code"]
    run = metrics.sync("metrics")
    assert (run["mode"], run["updated"]) == ("full", RECORDS)
    columns = ", ".join(["count(unit) as unit", "count(code) as code", *(f"count({name}) as {name}" for name in value)])
    assert set(metrics.row(f"select {columns} from public.metrics").values()) == {RECORDS}


def test_concurrent_refreshes_add_the_same_field_once(metrics: Supabase) -> None:
    first = metrics.connect()
    add = "select * from ipai.refresh_mirror('metrics', '{value}')"
    with first.transaction():
        execute(first, add)
        with blocked_statement(metrics, add, first) as call:
            execute(first, "commit")
            error = call.exception(timeout=10)
    assert isinstance(error, psycopg.errors.DuplicateObject) and error.diag.message_hint, error
    fields = metrics.row("select fields from ipai.mirrors")["fields"]
    assert [entry["field"] for entry in fields].count("value") == 1


#: Malformed values that a role with the privilege could write into the column.
MALFORMED_DRIFT = [
    "[1]",
    "[null]",
    '["notes"]',
    '[{"field": 1}]',
    '[{"problem": "gone"}]',
    '[{"field": "notes", "problem": "lost"}]',
    "[[], {}]",
]


@pytest.mark.parametrize("written", MALFORMED_DRIFT)
def test_malformed_drift_breaks_no_function_and_no_view(metrics: Supabase, erp: ScriptedOdoo, written: str) -> None:
    connection = metrics.connect()
    connection.execute("set role service_role")

    def write() -> None:
        connection.execute("update ipai.mirror_state set drift = %s where mirror = 'metrics'", [written])
        assert drift(metrics) == json.loads(written)
        for view in ("sync_status", "sync_alerts", "sync_count_delta"):
            metrics.rows(f"select * from ipai.{view}")
        metrics.rows("select ipai.notify_alerts()")

    write()
    assert metrics.sync("metrics")["mode"] == "incremental"
    for statement in (
        "select * from ipai.sync_mirror('metrics')",
        "select * from ipai.refresh_mirror('metrics')",
    ):
        write()
        metrics.rows(statement)
        assert (statement, drift(metrics), alerts(metrics)) == (statement, [], [])
    write()
    metrics.rows("select ipai.alter_mirror('metrics', page_size => 3)")
    metrics.rows("select * from ipai.refresh_counts('metrics')")
    metrics.rows("select * from ipai.check_connection()")
    assert metrics.sync("metrics", "full")["unchanged"] == RECORDS
    metrics.rows("select ipai.drop_mirror('metrics')")


# Changed options ----------------------------------------------------------------------------------

#: Options, and the calls that restore their defaults.
REVERSED_OPTIONS = [
    ("lang => 'fr_FR'", "lang => ''"),
    ("company_ids => '{3}'", "company_ids => '{}'"),
    ('domain => \'[["id", ">", 0]]\'', "domain => '[]'"),
    ("server => 'same'", "server => 'odoo'"),
]


def alter(supabase: Supabase, change: str) -> None:
    supabase.rows(f"select ipai.alter_mirror('metrics', {change})")


@pytest.mark.parametrize(("there", "back"), REVERSED_OPTIONS, ids=[there.split(" ")[0] for there, _ in REVERSED_OPTIONS])
def test_rows_read_with_other_options_are_read_again(metrics: Supabase, erp: ScriptedOdoo, there: str, back: str) -> None:
    metrics.server(erp.url, name="same")
    alter(metrics, there)
    erp.records = make_records("elsewhere")
    cancel_run(metrics, erp)
    assert notes(metrics) == [*expected_notes("elsewhere", COMMITTED), *expected_notes("old")[COMMITTED:]]
    alter(metrics, back)
    erp.records = make_records("new")
    run = metrics.sync("metrics")
    assert run["resumes"] is None
    assert_full_run(metrics, run)


def test_run_is_not_resumed_after_options_changed_and_returned(metrics: Supabase, erp: ScriptedOdoo) -> None:
    """Rows committed before the change are outdated, although the definition is the same again."""
    erp.records = make_records("before")
    cancel_run(metrics, erp, "call ipai.run_sync('metrics', 'full')")
    alter(metrics, "lang => 'fr_FR'")
    erp.records = make_records("elsewhere")
    cancel_run(metrics, erp)
    alter(metrics, "lang => ''")
    erp.records = make_records("new")
    run = metrics.sync("metrics")
    assert run["resumes"] is None
    assert_full_run(metrics, run)


def test_option_changed_during_a_run_makes_the_next_full(metrics: Supabase, erp: ScriptedOdoo) -> None:
    gate = threading.Event()
    erp.records = make_records("other")
    with waiting_for_page_three(metrics, erp, blocked_until(gate), "call ipai.run_sync('metrics', 'full')") as call:
        alter(metrics, "lang => 'fr_FR'")
        gate.set()
        call.result(timeout=30)
    erp.clear_faults()
    erp.records = make_records("new")
    assert_full_run(metrics, metrics.sync("metrics"))


def test_unchanged_option_keeps_the_next_run_incremental(metrics: Supabase) -> None:
    for _, back in REVERSED_OPTIONS:
        alter(metrics, back)
        assert metrics.sync("metrics")["mode"] == "incremental"


# Invalid values -----------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [[7], [7, 8], ["7", "Brand"], [7, "Brand", "more"], [], [[7, "Brand"]], [True, "Brand"]])
def test_reject_names_the_field_with_an_invalid_list(metrics: Supabase, erp: ScriptedOdoo, value: list[Any]) -> None:
    rows = "select odoo_id, name, brand_id, xmin::text from public.metrics order by 1"
    before = metrics.rows(rows)
    erp.records[1].update(brand_id=value, name="with a list", write_date="2026-02-01 08:00:00")
    for call in ("call ipai.run_sync('metrics')", "call ipai.run_sync('metrics', 'full')", "select * from ipai.sync_mirror('metrics')"):
        metrics.rows(call)
        reject = metrics.row("select odoo_id, refused, field, sqlstate, message from ipai.sync_rejects")
        message = reject.pop("message")
        assert (call, reject) == (call, {"odoo_id": 2, "refused": "update", "field": "brand_id", "sqlstate": "22000"})
        assert "ipai.sample.metric id 2" in message and '"brand_id"' in message, message
        assert metrics.rows(rows) == before
    erp.records[1].update(brand_id=[7, "Brand"])
    metrics.sync("metrics")
    assert metrics.row("select name, brand_id from public.metrics where odoo_id = 2") == {"name": "with a list", "brand_id": 7}


# Interrupted runs and notifications ---------------------------------------------------------------


def test_statement_timeout_fails_the_run(metrics: Supabase, erp: ScriptedOdoo) -> None:
    erp.on("search_read", never_respond)
    connection = metrics.connect()
    connection.execute("set statement_timeout = '500ms'")
    for failures in (1, 2):
        with pytest.raises(psycopg.errors.QueryCanceled, match="statement timeout"):
            execute(connection, CALL)
        run = metrics.last_run("metrics")
        assert (run["state"], run["sqlstate"], run["finished_at"] is not None) == ("failed", "57014", True)
        assert "statement timeout" in run["message"]
        assert metrics.row("select state, failures from ipai.sync_status") == {"state": "failing", "failures": failures}
        assert alerts(metrics) == ["failing"]
    # The session can continue, because the run has released its lock.
    erp.clear_faults()
    connection.execute("set statement_timeout = 0")
    execute(connection, CALL)
    assert (metrics.last_run("metrics")["state"], alerts(metrics)) == ("succeeded", [])


def test_cancelled_run_is_no_failure(metrics: Supabase, erp: ScriptedOdoo) -> None:
    cancel_run(metrics, erp, "call ipai.run_sync('metrics', 'full')")
    assert metrics.last_run("metrics")["sqlstate"] == "57014"
    assert metrics.row("select state, failures from ipai.sync_status") == {"state": "ok", "failures": 0}
    assert alerts(metrics) == []


@pytest.mark.parametrize("table", [False, True], ids=["table stays", "with its table"])
def test_drop_mirror_notifies_that_its_alerts_are_cleared(metrics: Supabase, erp: ScriptedOdoo, table: bool) -> None:
    listener = metrics.connect()
    listener.execute("listen ipai_sync_alerts")

    def notifications() -> list[Any]:
        return [json.loads(notify.payload) for notify in listener.notifies(timeout=0.3)]

    erp.on("search_read", recorded("fault_access_error_read_portal"))
    assert expect_error(metrics, CALL).sqlstate == "42501"
    (raised,) = notifications()
    assert [(alert["mirror"], alert["kind"]) for alert in raised["raised"]] == [("metrics", "failing")]
    # A rolled-back drop must not notify.
    with metrics.connect() as connection, connection.transaction(force_rollback=True):
        execute(connection, "select ipai.drop_mirror('metrics')")
    assert notifications() == []
    metrics.rows(f"select ipai.drop_mirror('metrics', {table})")
    assert notifications() == [{"raised": [], "cleared": [{"mirror": "metrics", "kind": "failing"}]}]
    assert metrics.rows("select from ipai.mirrors union all select from ipai.run_log") == []


def test_drop_mirror_without_alerts_does_not_notify(metrics: Supabase) -> None:
    listener = metrics.connect()
    listener.execute("listen ipai_sync_alerts")
    metrics.rows("select ipai.drop_mirror('metrics')")
    assert list(listener.notifies(timeout=0.3)) == []


def test_restarted_run_cancelled_before_its_first_page_has_no_position(metrics: Supabase, erp: ScriptedOdoo) -> None:
    erp.missing_fields = {"notes"}
    cancel_run(metrics, erp, "call ipai.run_sync('metrics', 'full')")
    erp.missing_fields, erp.records = set(), make_records("new")
    erp.on("search_read", never_respond)
    requests = len(erp.received("search_read"))
    with running_statement(metrics, metrics.connect(), "call ipai.run_sync('metrics')") as call:
        shell.wait_until(lambda: len(erp.received("search_read")) > requests, "the first page", seconds=10, every=0.02)
        metrics.rows("select pg_cancel_backend(pid) from ipai.run_log where state = 'running'")
        assert isinstance(statement_error(call), psycopg.errors.QueryCanceled)
    erp.clear_faults()
    run = metrics.last_run("metrics")
    assert (run["state"], run["pages"], run["position"], run["resumes"]) == ("cancelled", 0, 0, None)
    assert_full_run(metrics, metrics.sync("metrics"))


def test_refresh_after_an_interrupted_run_makes_the_next_full(metrics: Supabase, erp: ScriptedOdoo) -> None:
    erp.missing_fields = {"notes"}
    cancel_run(metrics, erp, "call ipai.run_sync('metrics', 'full')")
    erp.missing_fields, erp.records = set(), make_records("new")
    metrics.rows("select * from ipai.refresh_mirror('metrics')")
    assert_full_run(metrics, metrics.sync("metrics"))


@pytest.mark.parametrize("written", ["[1]", '[{"field": "notes", "problem": "lost"}]'])
def test_full_run_clears_malformed_drift(metrics: Supabase, written: str) -> None:
    metrics.rows("update ipai.mirror_state set drift = %s where mirror = 'metrics'", written)
    metrics.sync("metrics", "full")
    assert (drift(metrics), alerts(metrics)) == ([], [])


def test_run_that_deleted_rows_does_not_start_again(supabase: Supabase) -> None:
    """The deletion guard holds for the whole run, also if it finds drift after its deletions."""
    with ScriptedOdoo([metric(number, write_date="2026-01-05 08:00:00") for number in range(1, 251)]) as server:
        supabase.server(server.url)
        supabase.rows(create_statement("metrics", "public.metrics", fields="name,notes,active,write_date"))
        supabase.sync("metrics")
        server.records = server.records[60:]

        def fail_counting_the_active(exchange: Exchange) -> None:
            if ["active", "=", True] in exchange.request.domain and not server.missing_fields:
                server.missing_fields = {"notes"}
                server.records = server.records[60:]
                exchange.send(200, {}, (RECORDED / "fault_unknown_field_in_domain.xml").read_bytes())
            else:
                exchange.send(200, {}, exchange.answer())

        server.on("search_count", fail_counting_the_active)
        error = expect_error(supabase, "call ipai.run_sync('metrics', 'reconcile')")
        assert error.sqlstate == "42703"
        run = supabase.last_run("metrics")
        assert (run["state"], run["deleted"]) == ("failed", 60)
        assert supabase.row("select count(*) from public.metrics") == {"count": 190}
        # The next run has a guard of its own.
        assert supabase.sync("metrics", "reconcile")["mirror_count"] == 130
