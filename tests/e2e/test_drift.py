"""Fields that go and come back, options that change there and back, and runs that are cut in between: afterwards the mirror holds what Odoo
has, in all rows."""

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
from support.faulty import Behaviour, blocked_until, metric, never_respond, recorded, respond_normally
from support.sessions import running_statement, statement_error
from support.supabase import Supabase

CALL = "call ipai.run_sync('metrics')"
RECORDS = 10
#: Pages of two records, of which two are committed before a run is stopped.
COMMITTED = 4


def noted(word: str) -> list[dict[str, Any]]:
    """Records written days apart, so that an incremental run reads the last one only."""
    return [metric(number, notes=f"{word} {number}", write_date=f"2026-01-{number:02} 08:00:00") for number in range(1, RECORDS + 1)]


@pytest.fixture
def erp(supabase: Supabase) -> Iterator[ScriptedOdoo]:
    with ScriptedOdoo(noted("old")) as server:
        supabase.server(server.url)
        yield server


@pytest.fixture
def metrics(supabase: Supabase, erp: ScriptedOdoo) -> Supabase:
    """A mirror in step with Odoo, which next runs incrementally."""
    supabase.rows(create_statement("metrics", "public.metrics", fields="name,notes,brand_id,write_date", more=", page_size => 2"))
    assert supabase.sync("metrics")["mode"] == "full"
    assert notes(supabase) == kept("old")
    run = supabase.sync("metrics")
    assert (run["mode"], run["fetched"]) == ("incremental", 1)
    return supabase


def notes(supabase: Supabase) -> list[str | None]:
    return [row["notes"] for row in supabase.rows("select notes from public.metrics order by odoo_id")]


def kept(word: str, upto: int = RECORDS) -> list[str]:
    return [f"{word} {number}" for number in range(1, upto + 1)]


def drift(supabase: Supabase) -> Any:
    return supabase.row("select drift from ipai.mirror_state where mirror = 'metrics'")["drift"]


def alerts(supabase: Supabase) -> list[str]:
    return [row["kind"] for row in supabase.rows("select kind from ipai.sync_alerts where mirror = 'metrics'")]


GONE = [{"field": "notes", "problem": "gone"}]


def drifted(supabase: Supabase, erp: ScriptedOdoo) -> None:
    """Odoo loses the field, which a complete full run notices."""
    erp.missing_fields = {"notes"}
    supabase.sync("metrics", "full")
    assert (drift(supabase), alerts(supabase)) == (GONE, ["drift"])
    # What it will have when it comes back: no write_date tells.
    erp.records = noted("new")


def all_filled(supabase: Supabase, run: dict[str, Any]) -> None:
    """The run has read everything, from the beginning."""
    assert (run["mode"], run["state"], run["fetched"]) == ("full", "succeeded", RECORDS)
    assert notes(supabase) == kept("new")
    assert (drift(supabase), alerts(supabase)) == ([], [])
    assert supabase.sync("metrics")["mode"] == "incremental"


@contextmanager
def under_way(supabase: Supabase, erp: ScriptedOdoo, then: Behaviour, statement: str = CALL) -> Iterator[Future[Any]]:
    """A run that has committed two pages and waits for the third."""
    erp.on("search_read", respond_normally, times=2)
    erp.on("search_read", then)
    before = supabase.rows("select coalesce(max(run), 0) as run from ipai.run_log")[0]["run"]
    with running_statement(supabase, supabase.connect(), statement) as call:
        committed = "select 1 from ipai.run_log where run > %s and pages = 2"
        shell.wait_until(lambda: call.done() or supabase.rows(committed, before), "two pages committed", seconds=10, every=0.02)
        assert not call.done(), call.exception()
        yield call


def cut(supabase: Supabase, erp: ScriptedOdoo, statement: str = CALL) -> dict[str, Any]:
    """A run that is cancelled after two pages. Odoo is well again afterwards."""
    with under_way(supabase, erp, never_respond, statement) as call:
        supabase.rows("select pg_cancel_backend(pid) from ipai.run_log where state = 'running'")
        assert isinstance(statement_error(call), psycopg.errors.QueryCanceled)
    erp.clear_faults()
    run = supabase.last_run("metrics")
    assert (run["state"], run["mode"], run["position"]) == ("cancelled", "full", COMMITTED)
    return run


# Fields that come back ------------------------------------------------------------------------------------------------------------------


def test_what_a_run_without_a_field_has_read_is_read_again_once_it_is_back(metrics: Supabase, erp: ScriptedOdoo) -> None:
    erp.missing_fields = {"notes"}
    cut(metrics, erp, "call ipai.run_sync('metrics', 'full')")
    assert drift(metrics) == GONE
    erp.missing_fields, erp.records = set(), noted("new")
    all_filled(metrics, metrics.sync("metrics"))


def test_a_first_load_without_a_field_is_not_gone_on_with_once_it_is_back(supabase: Supabase, erp: ScriptedOdoo) -> None:
    supabase.rows(create_statement("metrics", "public.metrics", fields="name,notes,write_date", more=", page_size => 2"))
    erp.missing_fields = {"notes"}
    cut(supabase, erp)
    assert notes(supabase) == [None] * COMMITTED
    erp.missing_fields, erp.records = set(), noted("new")
    all_filled(supabase, supabase.sync("metrics"))


def test_a_run_without_a_field_is_gone_on_with_while_it_is_gone(metrics: Supabase, erp: ScriptedOdoo) -> None:
    erp.missing_fields = {"notes"}
    stopped = cut(metrics, erp, "call ipai.run_sync('metrics', 'full')")
    metrics.sync("metrics")
    run = metrics.resumed_run("metrics")
    assert (run["mode"], run["resumes"], run["fetched"]) == ("full", stopped["run"], RECORDS - COMMITTED)
    assert (drift(metrics), notes(metrics)) == (GONE, kept("old"))
    erp.missing_fields, erp.records = set(), noted("new")
    # The others follow by themselves; the field waits for a full run.
    assert metrics.sync("metrics")["mode"] == "incremental"
    assert notes(metrics) == kept("old")
    all_filled(metrics, metrics.sync("metrics", "full"))


def test_a_field_that_goes_while_a_run_is_cut_is_left_out_from_then_on(metrics: Supabase, erp: ScriptedOdoo) -> None:
    cut(metrics, erp, "call ipai.run_sync('metrics', 'full')")
    erp.missing_fields = {"notes"}
    run = metrics.sync("metrics")
    assert (run["mode"], drift(metrics), notes(metrics)) == ("full", GONE, kept("old"))
    erp.missing_fields, erp.records = set(), noted("new")
    all_filled(metrics, metrics.sync("metrics", "full"))


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_a_sync_that_stops_at_a_number_of_rows_clears_no_drift(metrics: Supabase, erp: ScriptedOdoo, rows: int) -> None:
    drifted(metrics, erp)
    erp.missing_fields = set()
    report = metrics.row("select * from ipai.sync_mirror('metrics', max_rows => %s)", rows)
    assert report["fetched"] == min(rows, RECORDS)
    assert (drift(metrics), alerts(metrics), notes(metrics)) == (GONE, ["drift"], kept("old"))
    assert metrics.sync("metrics")["mode"] == "incremental"
    all_filled(metrics, metrics.sync("metrics", "full"))


def test_a_sync_since_a_day_clears_no_drift(metrics: Supabase, erp: ScriptedOdoo) -> None:
    drifted(metrics, erp)
    erp.missing_fields = set()
    assert metrics.row("select * from ipai.sync_mirror('metrics', '2026-01-09')")["fetched"] == 2
    assert (drift(metrics), notes(metrics)) == (GONE, kept("old"))
    # A dry run neither.
    metrics.rows("select * from ipai.sync_mirror('metrics', dry_run => true)")
    assert drift(metrics) == GONE
    # A complete one does.
    assert metrics.row("select * from ipai.sync_mirror('metrics')")["updated"] == RECORDS
    assert (drift(metrics), notes(metrics)) == ([], kept("new"))


@pytest.mark.parametrize("mode", ["full", "incremental", "reconcile"])
def test_a_refresh_while_a_run_is_under_way_makes_the_next_one_full(metrics: Supabase, erp: ScriptedOdoo, mode: str) -> None:
    drifted(metrics, erp)
    gate = threading.Event()
    if mode != "full":
        # Written now, so that it has as much to read.
        erp.records = [{**record, "write_date": "2026-02-01 08:00:00"} for record in erp.records]
    with under_way(metrics, erp, blocked_until(gate), f"call ipai.run_sync('metrics', '{mode}')") as call:
        erp.missing_fields = set()
        rows = metrics.rows("select * from ipai.refresh_mirror('metrics')")
        assert {row["status"] for row in rows if row["column"]} == {"ok"}
        assert drift(metrics) == []
        gate.set()
        call.result(timeout=30)
    erp.clear_faults()
    assert metrics.last_run("metrics")["state"] == "succeeded"
    assert notes(metrics) == kept("old")
    all_filled(metrics, metrics.sync("metrics"))


def test_a_field_that_is_added_while_a_run_is_under_way_is_filled_by_the_next(metrics: Supabase, erp: ScriptedOdoo) -> None:
    gate = threading.Event()
    with under_way(metrics, erp, blocked_until(gate), "call ipai.run_sync('metrics', 'full')") as call:
        metrics.rows("select * from ipai.refresh_mirror('metrics', '{value}')")
        gate.set()
        call.result(timeout=30)
    erp.clear_faults()
    assert metrics.row("select count(value) from public.metrics") == {"count": 0}
    run = metrics.sync("metrics")
    assert (run["mode"], run["fetched"]) == ("full", RECORDS)
    assert metrics.row("select sum(value) from public.metrics") == {"sum": 55}


@pytest.mark.parametrize("outcome", ["commit", "rollback"])
def test_two_who_add_fields_at_once_both_do(metrics: Supabase, erp: ScriptedOdoo, outcome: str) -> None:
    first = metrics.connect()
    with first.transaction():
        execute(first, "select * from ipai.refresh_mirror('metrics', '{value}')")
        with blocked_statement(metrics, "select * from ipai.refresh_mirror('metrics', '{unit,code}')", first) as call:
            execute(first, outcome)
            rows = call.result(timeout=10).fetchall()
    value = ["value"] if outcome == "commit" else []
    assert {row["field"]: row["status"] for row in rows if row["column"] and row["status"] != "ok"} == {"unit": "added", "code": "added"}
    fields = metrics.row("select fields from ipai.mirrors")["fields"]
    assert [entry["field"] for entry in fields] == ["name", "notes", "brand_id", "write_date", *value, "unit", "code"]
    run = metrics.sync("metrics")
    assert (run["mode"], run["updated"]) == ("full", RECORDS)
    columns = ", ".join(["count(unit) as unit", "count(code) as code", *(f"count({name}) as {name}" for name in value)])
    assert set(metrics.row(f"select {columns} from public.metrics").values()) == {RECORDS}


def test_a_field_that_two_add_at_once_is_added_once(metrics: Supabase) -> None:
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


#: What somebody may write there who may write there.
NO_DRIFT = ["[1]", "[null]", '["notes"]', '[{"field": 1}]', '[{"problem": "gone"}]', '[{"field": "notes", "problem": "lost"}]', "[[], {}]"]


@pytest.mark.parametrize("written", NO_DRIFT)
def test_a_note_of_drift_that_is_none_breaks_nothing(metrics: Supabase, erp: ScriptedOdoo, written: str) -> None:
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


# Options there and back -----------------------------------------------------------------------------------------------------------------

#: Options, and how they are without.
THERE_AND_BACK = [
    ("lang => 'fr_FR'", "lang => ''"),
    ("company_ids => '{3}'", "company_ids => '{}'"),
    ('domain => \'[["id", ">", 0]]\'', "domain => '[]'"),
    ("server => 'same'", "server => 'odoo'"),
]


def alter(supabase: Supabase, change: str) -> None:
    supabase.rows(f"select ipai.alter_mirror('metrics', {change})")


@pytest.mark.parametrize(("there", "back"), THERE_AND_BACK, ids=[there.split(" ")[0] for there, _ in THERE_AND_BACK])
def test_what_a_cut_run_read_otherwise_is_read_again(metrics: Supabase, erp: ScriptedOdoo, there: str, back: str) -> None:
    metrics.server(erp.url, name="same")
    alter(metrics, there)
    erp.records = noted("elsewhere")
    cut(metrics, erp)
    assert notes(metrics) == [*kept("elsewhere", COMMITTED), *kept("old")[COMMITTED:]]
    alter(metrics, back)
    erp.records = noted("new")
    run = metrics.sync("metrics")
    assert run["resumes"] is None
    all_filled(metrics, run)


def test_a_cut_run_is_not_gone_on_with_after_a_change_there_and_back(metrics: Supabase, erp: ScriptedOdoo) -> None:
    """What was committed before the change is of another time; in between, another run has read otherwise."""
    erp.records = noted("before")
    cut(metrics, erp, "call ipai.run_sync('metrics', 'full')")
    alter(metrics, "lang => 'fr_FR'")
    erp.records = noted("elsewhere")
    cut(metrics, erp)
    alter(metrics, "lang => ''")
    erp.records = noted("new")
    run = metrics.sync("metrics")
    assert run["resumes"] is None
    all_filled(metrics, run)


def test_a_change_while_a_run_is_under_way_makes_the_next_one_full(metrics: Supabase, erp: ScriptedOdoo) -> None:
    gate = threading.Event()
    erp.records = noted("other")
    with under_way(metrics, erp, blocked_until(gate), "call ipai.run_sync('metrics', 'full')") as call:
        alter(metrics, "lang => 'fr_FR'")
        gate.set()
        call.result(timeout=30)
    erp.clear_faults()
    erp.records = noted("new")
    all_filled(metrics, metrics.sync("metrics"))


def test_a_change_that_is_none_goes_on_incrementally(metrics: Supabase) -> None:
    for _, back in THERE_AND_BACK:
        alter(metrics, back)
        assert metrics.sync("metrics")["mode"] == "incremental"


# Values that are none -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [[7], [7, 8], ["7", "Brand"], [7, "Brand", "more"], [], [[7, "Brand"]], [True, "Brand"]])
def test_a_list_that_is_no_record_is_named(metrics: Supabase, erp: ScriptedOdoo, value: list[Any]) -> None:
    rows = "select odoo_id, name, brand_id, xmin::text from public.metrics order by 1"
    before = metrics.rows(rows)
    erp.records[1].update(brand_id=value, name="with a list", write_date="2026-02-01 08:00:00")
    for call in ("call ipai.run_sync('metrics')", "call ipai.run_sync('metrics', 'full')", "select * from ipai.sync_mirror('metrics')"):
        found = expect_error(metrics, call)
        assert (call, found.sqlstate) == (call, "22000")
        message = found.message_primary or ""
        assert "ipai.sample.metric id 2" in message and '"brand_id"' in message, message
        assert found.message_hint
        assert metrics.rows(rows) == before
    erp.records[1].update(brand_id=[7, "Brand"])
    metrics.sync("metrics")
    assert metrics.row("select name, brand_id from public.metrics where odoo_id = 2") == {"name": "with a list", "brand_id": 7}


# Runs that are cut, and who hears of it ---------------------------------------------------------------------------------------------------


def test_a_run_that_a_timeout_cuts_has_failed(metrics: Supabase, erp: ScriptedOdoo) -> None:
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
    # Whoever wants to go on can: nothing is held.
    erp.clear_faults()
    connection.execute("set statement_timeout = 0")
    execute(connection, CALL)
    assert (metrics.last_run("metrics")["state"], alerts(metrics)) == ("succeeded", [])


def test_a_run_that_a_person_cancels_is_no_failure(metrics: Supabase, erp: ScriptedOdoo) -> None:
    cut(metrics, erp, "call ipai.run_sync('metrics', 'full')")
    assert metrics.last_run("metrics")["sqlstate"] == "57014"
    assert metrics.row("select state, failures from ipai.sync_status") == {"state": "ok", "failures": 0}
    assert alerts(metrics) == []


@pytest.mark.parametrize("table", [False, True], ids=["table stays", "with its table"])
def test_who_was_told_of_a_mirror_is_told_when_it_is_dropped(metrics: Supabase, erp: ScriptedOdoo, table: bool) -> None:
    listener = metrics.connect()
    listener.execute("listen ipai_sync_alerts")

    def told() -> list[Any]:
        return [json.loads(notify.payload) for notify in listener.notifies(timeout=0.3)]

    erp.on("search_read", recorded("fault_access_error_read_portal"))
    assert expect_error(metrics, CALL).sqlstate == "42501"
    (raised,) = told()
    assert [(alert["mirror"], alert["kind"]) for alert in raised["raised"]] == [("metrics", "failing")]
    # Not before it is.
    with metrics.connect() as connection, connection.transaction(force_rollback=True):
        execute(connection, "select ipai.drop_mirror('metrics')")
    assert told() == []
    metrics.rows(f"select ipai.drop_mirror('metrics', {table})")
    assert told() == [{"raised": [], "cleared": [{"mirror": "metrics", "kind": "failing"}]}]
    assert metrics.rows("select from ipai.mirrors union all select from ipai.run_log") == []


def test_nobody_is_told_of_a_dropped_mirror_that_was_well(metrics: Supabase) -> None:
    listener = metrics.connect()
    listener.execute("listen ipai_sync_alerts")
    metrics.rows("select ipai.drop_mirror('metrics')")
    assert list(listener.notifies(timeout=0.3)) == []


def test_a_run_that_begins_anew_and_is_cut_at_once_has_read_nothing(metrics: Supabase, erp: ScriptedOdoo) -> None:
    erp.missing_fields = {"notes"}
    cut(metrics, erp, "call ipai.run_sync('metrics', 'full')")
    erp.missing_fields, erp.records = set(), noted("new")
    erp.on("search_read", never_respond)
    asked = len(erp.received("search_read"))
    with running_statement(metrics, metrics.connect(), "call ipai.run_sync('metrics')") as call:
        shell.wait_until(lambda: len(erp.received("search_read")) > asked, "the first page", seconds=10, every=0.02)
        metrics.rows("select pg_cancel_backend(pid) from ipai.run_log where state = 'running'")
        assert isinstance(statement_error(call), psycopg.errors.QueryCanceled)
    erp.clear_faults()
    run = metrics.last_run("metrics")
    assert (run["state"], run["pages"], run["position"], run["resumes"]) == ("cancelled", 0, 0, None)
    all_filled(metrics, metrics.sync("metrics"))


def test_a_refresh_after_a_cut_run_that_knew_makes_the_next_one_full(metrics: Supabase, erp: ScriptedOdoo) -> None:
    erp.missing_fields = {"notes"}
    cut(metrics, erp, "call ipai.run_sync('metrics', 'full')")
    erp.missing_fields, erp.records = set(), noted("new")
    metrics.rows("select * from ipai.refresh_mirror('metrics')")
    all_filled(metrics, metrics.sync("metrics"))


@pytest.mark.parametrize("written", ["[1]", '[{"field": "notes", "problem": "lost"}]'])
def test_a_full_run_clears_a_note_of_drift_that_is_none(metrics: Supabase, written: str) -> None:
    metrics.rows("update ipai.mirror_state set drift = %s where mirror = 'metrics'", written)
    metrics.sync("metrics", "full")
    assert (drift(metrics), alerts(metrics)) == ([], [])
