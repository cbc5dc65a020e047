"""Tests `call ipai.run_sync(...)`: after a run the mirror equals Odoo's table."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import psycopg
import pytest

from harness import shell
from harness.odoo import Odoo, api_key
from support.comparison import MODEL, assert_equal, differences, ids, odoo_rows, sql
from support.crashes import wait_for_recovery
from support.faulty import FaultyOdoo, close_connection, metric, never_respond, recorded, respond_normally, status
from support.sessions import PROMPT_SECONDS, running_statement, statement_error
from support.supabase import ROWS, Supabase

pytestmark = [pytest.mark.both_hosts, pytest.mark.both_protocols]

CALL = "call ipai.run_sync('sample_metrics')"
PAGE = 100


@pytest.fixture
def registered(supabase: Supabase, erp: Odoo) -> Supabase:
    """An empty mirror of metrics whose write_dates are one minute apart and in the past.

    Few of them are within the overlap window of the last one.
    """
    sql(erp, "update ipai_sample_metric set write_date = timestamp '2025-01-01' + id * interval '1 minute'")
    supabase.server(erp.url, dbname=erp.dbname)
    supabase.register(page_size=PAGE)
    return supabase


@pytest.fixture
def mirrored(registered: Supabase, erp: Odoo) -> Supabase:
    """A mirror that equals Odoo."""
    run = registered.run()
    assert (run["mode"], run["state"]) == ("full", "succeeded")
    assert_equal(registered, erp)
    return registered


def incremental(supabase: Supabase) -> dict[str, Any]:
    """Runs the mirror; the run must be incremental and read few records."""
    run = supabase.run()
    assert (run["state"], run["mode"], run["odoo_count"]) == ("succeeded", "incremental", run["mirror_count"])
    assert run["fetched"] < ROWS / 10
    return run


def until_position(supabase: Supabase, position: int) -> dict[str, Any]:
    """Waits until the current run has committed every row up to this id, and returns its row."""

    def reached() -> bool:
        return bool(supabase.rows("select 1 from ipai.run_log where state = 'running' and position >= %s", position))

    shell.wait_until(reached, f"everything up to id {position} committed", seconds=30, every=0.01)
    return supabase.last_run()


# Changes in Odoo ----------------------------------------------------------------------------------


def test_first_run_reads_every_record(registered: Supabase, erp: Odoo) -> None:
    run = registered.run()
    assert_equal(registered, erp)
    total = len(odoo_rows(erp))
    assert total >= ROWS
    assert (run["mode"], run["state"], run["bound"], run["resumes"]) == ("full", "succeeded", None, None)
    assert (run["total"], run["fetched"], run["inserted"], run["odoo_count"], run["mirror_count"]) == (total,) * 5
    assert (run["updated"], run["unchanged"], run["deleted"], run["pages"]) == (0, 0, 0, -(-total // PAGE))
    assert run["cursor_before"] is None
    assert run["cursor_after"] == run["newest"] < run["odoo_clock"]


def test_run_without_changes_reads_the_overlap_window_only_once(mirrored: Supabase, erp: Odoo) -> None:
    before = mirrored.mirror("id, xmin::text, xmax::text, ctid::text, updated_at")
    # A run that begins within the overlap window of the newest record leaves settled_id null.
    mirrored.rows("update ipai.mirror_state set settled_id = null")
    # The overlap window of ten minutes has elapsed and holds 11 records, one for each minute. The
    # next run knows that it needs only the newest one.
    for records in (11, 1, 1):
        run = incremental(mirrored)
        assert (run["fetched"], run["unchanged"]) == (records, records)
        assert run["cursor_after"] == run["cursor_before"]
    assert mirrored.mirror("id, xmin::text, xmax::text, ctid::text, updated_at") == before
    assert_equal(mirrored, erp)


def test_changed_overlap_is_read_again(mirrored: Supabase) -> None:
    assert incremental(mirrored)["fetched"] == 1
    mirrored.row("select ipai.alter_mirror('sample_metrics', overlap => '20 minutes')")
    assert [incremental(mirrored)["fetched"] for _ in range(2)] == [21, 1]


def test_one_run_copies_edits_archiving_deletions_and_new_records(mirrored: Supabase, erp: Odoo) -> None:
    # The edited records are not adjacent, and some have low ids.
    edited, archived, deleted = ids(erp, "active and value <> 99.5", 5), ids(erp, "active and id > 300", 3), ids(erp, "id % 60 = 7", 10)
    revived = ids(erp, "not active and id > 500", 2)
    erp.rpc(MODEL, "write", edited, {"value": 99.5, "unit": "percent", "notes": "über <b>&amp;</b> \r\n 🚀"})
    erp.rpc(MODEL, "write", archived, {"active": False})
    erp.rpc(MODEL, "write", revived, {"active": True})
    erp.rpc(MODEL, "unlink", deleted)
    erp.rpc(MODEL, "create", {"name": "New", "code": "NEW", "value": 1, "unit": "count"})
    run = incremental(mirrored)
    assert (run["inserted"], run["updated"], run["deleted"]) == (1, 10, len(deleted))
    assert_equal(mirrored, erp)
    assert mirrored.row("select verdict, delta from ipai.sample_metrics_count_delta") == {"verdict": "ok", "delta": 0}


def test_record_committed_late_is_copied(mirrored: Supabase, erp: Odoo) -> None:
    """The transaction began before the last run and commits after it.

    Its records have an older write_date, and one a lower id.
    """
    with psycopg.connect(erp.pg.dsn(erp.dbname)) as transaction:
        transaction.execute(
            """insert into ipai_sample_metric
                   (name, code, date, value, unit, active, is_alert, create_uid, write_uid, create_date, write_date)
               values ('Late', 'LATE', '2026-01-06', 5, 'percent', true, true, 1, 1, now() at time zone 'UTC', now() at time zone 'UTC')"""
        )
        edited = ids(erp, "active and id < 1000 and name <> 'Late edit'", 1)
        transaction.execute(
            "update ipai_sample_metric set name = 'Late edit', write_date = now() at time zone 'UTC' where id = any (%s)", [edited]
        )
        # Odoo shows write_dates in whole seconds, so the newer record needs a later second.
        time.sleep(1.1)
        newer = erp.rpc(MODEL, "create", {"name": "Newer", "code": "NEWER", "value": 1, "unit": "count"})
        cursor = incremental(mirrored)["cursor_after"]
        assert mirrored.rows("select 1 from ipai.ipai_sample_metrics where code = 'LATE'") == []
        transaction.commit()
    run = incremental(mirrored)
    (row,) = mirrored.rows("select odoo_id from ipai.ipai_sample_metrics where code = 'LATE'")
    assert row["odoo_id"] < newer
    assert run["newest"] <= cursor
    assert (run["inserted"], run["updated"]) == (1, 1)
    assert_equal(mirrored, erp)
    # The next host finds Odoo without it.
    sql(erp, "delete from ipai_sample_metric where code = 'LATE'")


def test_edit_behind_a_running_run_is_copied_by_the_next(registered: Supabase, erp: Odoo) -> None:
    edited = ids(erp, "active and name <> 'edited meanwhile'", 2)
    assert max(edited) < PAGE
    with running_statement(registered, registered.connect(), CALL) as call:
        until_position(registered, 3 * PAGE)
        erp.rpc(MODEL, "write", edited, {"name": "edited meanwhile"})
        assert registered.last_run()["state"] == "running"
        call.result(timeout=60)
    # The run had read these records before their edit.
    assert [record[:2] for record, _ in differences(registered, erp)] == [(number, "edited meanwhile") for number in edited]
    run = incremental(registered)
    assert run["updated"] == len(edited)
    assert_equal(registered, erp)


def test_records_of_one_second_are_copied_across_pages_and_runs(mirrored: Supabase, erp: Odoo) -> None:
    # Without an overlap only `>=` finds records of the cursor's own second.
    mirrored.rows("update ipai.mirrors set overlap = '0'")
    write = "update ipai_sample_metric set name = name || '!', write_date = timestamp '2026-01-05 08:00:00' + {} * interval '1 us'"
    sql(erp, write.format("id") + f" where id <= {2 * PAGE + 25}")
    run = mirrored.run()
    assert (run["mode"], run["pages"] >= 3, run["updated"] > 2 * PAGE) == ("incremental", True, True)
    assert run["cursor_after"] == datetime.fromisoformat("2026-01-05T08:00:00+00:00")
    assert_equal(mirrored, erp)
    # As if the run before had begun too early to settle the record.
    mirrored.rows("update ipai.mirror_state set settled_id = null")
    sql(erp, write.format("(999000 + id)") + f" where id between {PAGE - 5} and {PAGE + 5}")
    assert mirrored.run()["updated"] == 11
    assert_equal(mirrored, erp)


def test_full_run_copies_the_deletion_of_a_brand_partner(mirrored: Supabase, erp: Odoo) -> None:
    """Odoo clears the field in its table without a change of write_date."""

    def delete_brand(name: str) -> list[int]:
        brand = erp.rpc("res.partner", "create", {"name": name})
        edited = ids(erp, "active", 4)
        erp.rpc(MODEL, "write", edited, {"brand_id": brand})
        incremental(mirrored)
        # Before the overlap window.
        sql(erp, f"update ipai_sample_metric set write_date = '2025-01-01' where brand_id = {brand}")
        mirrored.run("'sample_metrics', 'full'")
        assert_equal(mirrored, erp)
        erp.rpc("res.partner", "unlink", [brand])
        return edited

    edited = delete_brand("Brand to be deleted")
    assert incremental(mirrored)["updated"] == 0
    assert [record[0] for record, _ in differences(mirrored, erp)] == edited
    run = mirrored.run("'sample_metrics', 'full'")
    assert (run["mode"], run["updated"]) == ("full", 4)
    assert_equal(mirrored, erp)

    delete_brand("Another brand")
    mirrored.rows("update ipai.mirrors set reconcile_every = '10 milliseconds'")
    run = mirrored.run()
    assert (run["mode"], run["updated"]) == ("full", 4)
    assert_equal(mirrored, erp)


def test_reconcile_detects_changes_that_equal_counts_hide(mirrored: Supabase, erp: Odoo) -> None:
    (deleted,) = ids(erp, "active and id > 700", 1)
    erp.rpc(MODEL, "unlink", [deleted])
    sql(
        erp,
        """insert into ipai_sample_metric (name, code, value, unit, active, is_alert, create_uid, write_uid, create_date, write_date)
           values ('Imported', 'IMPORTED', 1, 'count', true, false, 1, 1, '2024-05-05', '2024-05-05')""",
    )
    assert incremental(mirrored)["inserted"] == 0
    assert len(differences(mirrored, erp)) == 2
    run = mirrored.run("'sample_metrics', mode => 'reconcile'")
    assert (run["mode"], run["inserted"], run["deleted"]) == ("reconcile", 1, 1)
    assert_equal(mirrored, erp)


def test_write_date_in_the_future_does_not_stop_later_changes(mirrored: Supabase, erp: Odoo) -> None:
    future, edited = ids(erp, "active and name not like 'From %'", 2)
    sql(erp, f"update ipai_sample_metric set name = 'From the future', write_date = '2061-01-01' where id = {future}")
    run = incremental(mirrored)
    assert (run["updated"], run["newest"].year) == (1, 2061)
    assert run["cursor_after"] == run["odoo_clock"]
    erp.rpc(MODEL, "write", [edited], {"name": "From today"})
    assert incremental(mirrored)["updated"] == 1
    assert_equal(mirrored, erp)
    # The same after a correction of the write_date.
    erp.rpc(MODEL, "write", [future], {"name": "From today, too"})
    assert incremental(mirrored)["updated"] == 1
    assert_equal(mirrored, erp)


def test_restored_odoo_database_is_detected_and_read_completely(mirrored: Supabase, erp: Odoo) -> None:
    edited, archived = ids(erp, "active and id < 1000", 5), ids(erp, "active and id > 900", 2)
    sql(erp, "create table backup as select * from ipai_sample_metric")
    erp.rpc(MODEL, "write", edited, {"name": "lost by the restore"})
    erp.rpc(MODEL, "write", archived, {"active": False})
    lost = erp.rpc(MODEL, "create", {"name": "Lost", "code": "LOST", "value": 1, "unit": "count"})
    incremental(mirrored)
    assert_equal(mirrored, erp)
    sql(
        erp,
        f"""update ipai_sample_metric m set name = b.name, active = b.active, write_date = b.write_date from backup b where b.id = m.id;
            delete from ipai_sample_metric where id = {lost};
            drop table backup""",
    )
    connection = mirrored.connect()
    notices: list[str | None] = []
    connection.add_notice_handler(lambda notice: notices.append(notice.message_primary))
    connection.execute(CALL)
    assert any("restored" in (notice or "") for notice in notices)
    run = mirrored.last_run()
    assert (run["mode"], run["updated"], run["deleted"], run["bound"]) == ("full", 7, 1, None)
    assert run["cursor_after"] < run["cursor_before"]
    assert_equal(mirrored, erp)
    assert incremental(mirrored)["updated"] == 0


# Refused deletions --------------------------------------------------------------------------------


@pytest.fixture
def hide(erp: Odoo) -> Iterator[Callable[[str], None]]:
    """Returns a function that creates a record rule with this domain."""
    rules: list[int] = []

    def make(domain: str) -> None:
        (model,) = erp.rpc("ir.model", "search", [("model", "=", MODEL)])
        rules.append(erp.rpc("ir.rule", "create", {"name": "Test", "model_id": model, "domain_force": domain}))

    yield make
    for rule in rules:
        if erp.rpc("ir.rule", "search", [("id", "=", rule)]):
            erp.rpc("ir.rule", "unlink", [rule])


def test_records_hidden_by_a_record_rule_are_not_deleted(mirrored: Supabase, erp: Odoo, hide: Callable[[str], None]) -> None:
    before = mirrored.mirror()
    hide("[('unit', '!=', 'percent')]")
    hidden = int(erp.pg.psql("select count(*) from ipai_sample_metric where unit = 'percent'", dbname=erp.dbname))
    assert hidden > 0.3 * len(before)
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState) as refused:
        mirrored.run()
    diag = refused.value.diag
    assert diag.message_primary == f'refused to delete {hidden} of the {len(before)} rows of mirror "sample_metrics"'
    documented = "call ipai.run_sync('sample_metrics', max_delete_ratio => 1)"
    assert mirrored.hint(documented) in (diag.message_hint or "")
    assert mirrored.mirror() == before
    run = mirrored.last_run()
    assert (run["state"], run["sqlstate"], run["message"], run["deleted"]) == ("refused", "55000", diag.message_primary, 0)
    assert (mirrored.hint(run["hint"]), run["detail"]) == (diag.message_hint, diag.message_detail)
    assert run["finished_at"] and run["cursor_after"] is None
    # Following the hint resolves the refusal.
    mirrored.rows(documented)
    run = mirrored.last_run()
    assert (run["state"], run["deleted"], run["odoo_count"] - run["mirror_count"]) == ("succeeded", hidden, 0)
    assert len(mirrored.mirror("odoo_id")) == len(before) - hidden


def test_records_visible_again_leave_the_mirror_unchanged(mirrored: Supabase, erp: Odoo, hide: Callable[[str], None]) -> None:
    hide("[('unit', '!=', 'percent')]")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        mirrored.run()
    erp.rpc("ir.rule", "unlink", erp.rpc("ir.rule", "search", [("name", "=", "Test")]))
    before = mirrored.mirror("id, xmin::text")
    assert mirrored.run()["state"] == "succeeded"
    assert mirrored.mirror("id, xmin::text") == before
    assert_equal(mirrored, erp)


def test_another_odoo_user_who_sees_less_deletes_nothing(mirrored: Supabase, erp: Odoo, hide: Callable[[str], None]) -> None:
    few = ids(erp, "active and id > 400", 3)
    reader, password = f"reader {erp.rpc('res.users', 'search_count', [])}", "reader password"
    hide(f"[('id', 'not in', {few})] if user.login == '{reader}' else [(1, '=', 1)]")
    erp.create_user(reader, password)
    mirrored.set_login(reader, api_key(reader, password) if mirrored.uses_json2() else password)
    edited = ids(erp, "active and name <> 'seen by both'", 2)
    erp.rpc(MODEL, "write", edited, {"name": "seen by both"})
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        mirrored.run()
    assert mirrored.last_run()["state"] == "refused"
    assert_equal(mirrored, erp)
    mirrored.rows("call ipai.run_sync('sample_metrics', max_delete_ratio => 1)")
    assert mirrored.last_run()["deleted"] == len(few)
    assert [record[0] for record, _ in differences(mirrored, erp)] == few
    # Further deletions of this user are within the limit.
    erp.rpc(MODEL, "unlink", edited)
    assert mirrored.run()["deleted"] == len(edited)


# A killed backend ---------------------------------------------------------------------------------


def test_killed_first_run_is_resumed(registered: Supabase, erp: Odoo) -> None:
    connection = registered.connect()
    with running_statement(registered, connection, CALL) as call:
        until_position(registered, 5 * PAGE)
        registered.kill(connection)
        assert isinstance(call.exception(timeout=10), psycopg.OperationalError)
    wait_for_recovery(registered.cluster)
    killed = registered.last_run()
    assert (killed["state"], killed["finished_at"], killed["cursor_after"]) == ("dead", None, None)
    assert len(registered.mirror("odoo_id")) == killed["fetched"] < ROWS
    registered.run()
    run = registered.resumed_run()
    assert (run["state"], run["resumes"]) == ("succeeded", killed["run"])
    assert run["fetched"] == run["odoo_count"] - killed["fetched"] < ROWS - 4 * PAGE
    assert_equal(registered, erp)
    assert incremental(registered)["resumes"] is None


# Requests to a scripted Odoo ----------------------------------------------------------------------

RECORDS = [metric(number) for number in range(1, 6)]


@pytest.fixture
def scripted(supabase: Supabase) -> Iterator[FaultyOdoo]:
    with FaultyOdoo(RECORDS) as server:
        supabase.server(server.url)
        yield server


def test_run_without_changes_needs_one_page_and_one_count(supabase: Supabase, scripted: FaultyOdoo) -> None:
    supabase.run()
    before = supabase.mirror("id, xmin::text, xmax::text, ctid::text, updated_at")
    cases: list[tuple[str, int, list[Any]]] = [
        # The overlap window: ten minutes before the newest write_date.
        ("null", 5, [["write_date", ">=", "2026-01-05 07:50:00"]]),
        # After the window has elapsed: newer records, and the newest one to detect a restored
        # database.
        ("settled_id", 1, ["|", ["id", "in", [5]], ["write_date", ">=", "2026-01-05 08:00:01"]]),
    ]
    for settled, fetched, domain in cases:
        supabase.rows(f"update ipai.mirror_state set settled_id = {settled}")
        scripted.requests.clear()
        run = supabase.run()
        assert (run["mode"], run["fetched"], run["unchanged"]) == ("incremental", fetched, fetched)
        assert [request.method for request in scripted.requests] == ["search_read", "search_count"]
        (request,) = scripted.received("search_read")
        assert request.domain == [["id", ">", 0], *domain]
    assert supabase.mirror("id, xmin::text, xmax::text, ctid::text, updated_at") == before


def test_run_sync_accepts_every_mode(supabase: Supabase, scripted: FaultyOdoo) -> None:
    """Tests every mode, by position and by name. Null means auto."""
    assert supabase.run("'sample_metrics', 'auto'")["mode"] == "full"
    for arguments, mode in {
        "'sample_metrics'": "incremental",
        "'sample_metrics', 'auto'": "incremental",
        "'sample_metrics', null": "incremental",
        "'sample_metrics', mode => 'incremental'": "incremental",
        "'sample_metrics', 'reconcile'": "reconcile",
        "mirror => 'sample_metrics', mode => 'full', max_delete_ratio => 0.5": "full",
    }.items():
        run = supabase.run(arguments)
        assert (run["mode"], run["state"], run["mirror_count"]) == (mode, "succeeded", 5)


@pytest.mark.slow
def test_reconcile_reads_many_ids_in_windows(supabase: Supabase, scripted: FaultyOdoo) -> None:
    """The run requests the next window while it compares one, and reads the missing records."""
    many, deleted, missing = 130_000, {7, 49_999, 70_001, 129_999}, {2, 50_001, 100_001, 100_002, 130_001}
    supabase.run()
    supabase.rows(
        "insert into ipai.ipai_sample_metrics (odoo_id, name, code, date, value, unit)"
        " select n, 'Metric ' || n, 'METRIC', '2026-01-05', n, 'count' from generate_series(1, %s) n where n %% 10 <> 0 and n <> all (%s)"
        " on conflict do nothing",
        many,
        list(missing),
    )
    supabase.rows("delete from ipai.ipai_sample_metrics where odoo_id = 2")
    # Counting the gaps would need more calls than reading the windows.
    scripted.records = [metric(number) for number in range(1, many + 2) if number % 10 and number not in deleted]
    ids = [record["id"] for record in scripted.records]
    # The first request of the second window fails.
    scripted.on("search", respond_normally, times=1)
    scripted.on("search", status(503), times=1)
    scripted.requests.clear()
    run = supabase.run("'sample_metrics', 'reconcile'")
    assert (run["inserted"], run["updated"], run["deleted"], run["odoo_count"]) == (len(missing), 0, len(deleted), len(ids))
    assert supabase.row("select count(*) as rows, sum(odoo_id) as ids from ipai.ipai_sample_metrics") == {"rows": len(ids), "ids": sum(ids)}
    windows = [request.domain[0][2] for request in scripted.received("search")]
    # The windows are in order, the second one is repeated, and the last one is empty.
    assert windows == [0, ids[49_999], ids[49_999], ids[99_999], ids[-1]]
    # An error of a window requested in advance fails the run.
    scripted.on("search", respond_normally, times=1)
    scripted.on("search", close_connection)
    with pytest.raises(psycopg.Error) as raised:
        supabase.rows("call ipai.run_sync('sample_metrics', 'reconcile')")
    assert raised.value.sqlstate == "08006"
    scripted.clear_faults()
    supabase.run("'sample_metrics', 'reconcile'")
    # The run resumes after the records that the failed run has read.
    assert supabase.resumed_run()["fetched"] == 0


def test_incremental_first_run_is_full(supabase: Supabase, scripted: FaultyOdoo) -> None:
    assert supabase.run("'sample_metrics', 'incremental'")["mode"] == "full"


def test_auto_is_full_when_a_full_run_is_due(supabase: Supabase, scripted: FaultyOdoo) -> None:
    supabase.run()
    assert supabase.run()["mode"] == "incremental"
    supabase.rows("update ipai.mirrors set reconcile_every = '10 milliseconds'")
    assert supabase.run("'sample_metrics', 'incremental'")["mode"] == "incremental"
    assert supabase.run()["mode"] == "full"


def test_sync_in_a_transaction_sets_the_cursor(supabase: Supabase, scripted: FaultyOdoo) -> None:
    supabase.rows("select * from ipai.sync_sample_metrics()")
    assert supabase.run()["mode"] == "incremental"


@pytest.mark.parametrize(
    ("arguments", "sqlstate", "message"),
    [
        ("'sample_metrics', 'weekly'", "22023", "mode"),
        ("'sample_metrics', ''", "22023", "mode"),
        ("'sample_metrics', 'FULL'", "22023", "mode"),
        ("'sample_metrics', 'full', -0.1", "22023", "max_delete_ratio must be between 0 and 1"),
        ("'sample_metrics', max_delete_ratio => 1.1", "22023", "max_delete_ratio must be between 0 and 1"),
        ("'sample_metrics', max_delete_ratio => 'NaN'", "22023", "max_delete_ratio must be between 0 and 1"),
        ("'nope'", "42704", 'mirror "nope" does not exist'),
        ("''", "42704", 'mirror "" does not exist'),
    ],
)
def test_run_sync_refuses_invalid_arguments(supabase: Supabase, scripted: FaultyOdoo, arguments: str, sqlstate: str, message: str) -> None:
    with pytest.raises(psycopg.Error) as raised:
        supabase.rows(f"call ipai.run_sync({arguments})")
    assert raised.value.sqlstate == sqlstate
    assert message in (raised.value.diag.message_primary or "")
    assert raised.value.diag.message_hint
    assert scripted.requests == []
    assert supabase.rows("select 1 from ipai.run_log") == []


# Callers that cannot commit -----------------------------------------------------------------------

CANNOT_COMMIT = {
    "a transaction block": f"begin; {CALL}",
    "a string of statements": f"{CALL}; select 1",
    "the end of a string of statements": f"select 1; {CALL}",
    "a savepoint": f"begin; savepoint here; {CALL}",
    "a function": "select pg_temp.calling()",
    "a procedure with a setting": "call pg_temp.calling_with_a_setting()",
    "a procedure with the rights of its owner": "call pg_temp.calling_as_owner()",
    "a block in a transaction": f"begin; do $$ begin {CALL}; end $$",
    "a block that catches errors": f"do $$ begin {CALL}; exception when others then raise; end $$",
}


@pytest.mark.extension_only("transactions of the caller")
@pytest.mark.parametrize("statement", CANNOT_COMMIT.values(), ids=CANNOT_COMMIT.keys())
def test_run_sync_that_cannot_commit_fails_before_any_request(supabase: Supabase, scripted: FaultyOdoo, statement: str) -> None:
    supabase.register()
    connection = supabase.connect()
    connection.execute(
        f"""create function pg_temp.calling() returns void language plpgsql as $$ begin {CALL}; end $$;
            create procedure pg_temp.calling_with_a_setting() language plpgsql set work_mem = '4MB' as $$ begin {CALL}; end $$;
            create procedure pg_temp.calling_as_owner() language plpgsql security definer as $$ begin {CALL}; end $$"""
    )
    with pytest.raises(psycopg.errors.InvalidTransactionTermination) as raised:
        connection.execute(statement)
    connection.execute("rollback")
    assert raised.value.sqlstate == "2D000"
    assert scripted.requests == []
    assert supabase.rows("select 1 from ipai.run_log") == []
    # The session is usable and holds no lock.
    assert supabase.rows("select 1 from pg_locks where locktype = 'advisory'") == []
    connection.execute(CALL)
    assert supabase.last_run()["state"] == "succeeded"


@pytest.mark.extension_only("transactions of the caller")
def test_outermost_do_block_can_call_run_sync(supabase: Supabase, scripted: FaultyOdoo) -> None:
    """Postgres lets an outermost DO block commit."""
    supabase.register(page_size=2)
    supabase.rows(f"do $$ begin {CALL}; {CALL}; end $$")
    runs = supabase.rows("select mode, state, mirror_count from ipai.sync_runs order by run")
    assert [tuple(run.values()) for run in runs] == [("full", "succeeded", 5), ("incremental", "succeeded", 5)]
    scripted.on("search_read", status(404))
    with pytest.raises(psycopg.errors.ProtocolViolation):
        supabase.rows(f"do $$ begin {CALL}; end $$")
    assert supabase.last_run()["state"] == "failed"
    assert supabase.rows("select 1 from pg_locks where locktype = 'advisory'") == []


@pytest.mark.extension_only("transactions of the caller")
def test_hint_explains_how_to_call_run_sync(supabase: Supabase, scripted: FaultyOdoo) -> None:
    with pytest.raises(psycopg.errors.InvalidTransactionTermination) as raised:
        supabase.rows(f"begin; {CALL}")
    assert "run_sync" in (raised.value.diag.message_primary or "")
    assert "the only statement" in (raised.value.diag.message_hint or "")
    assert "ipai.sync_mirror()" in (raised.value.diag.message_hint or "")


# Selection of mirrors -----------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", ["", "null", "mode => 'full'"])
def test_run_sync_without_a_name_runs_every_enabled_mirror(supabase: Supabase, scripted: FaultyOdoo, arguments: str) -> None:
    supabase.register()
    other = supabase.add_mirror("other")
    disabled = supabase.add_mirror("disabled", enabled=False)
    supabase.rows(f"call ipai.run_sync({arguments})")
    assert [row["mirror"] for row in supabase.rows("select mirror from ipai.sync_runs order by run")] == ["other", "sample_metrics"]
    assert supabase.row(f"select count(*) from {other}")["count"] == len(supabase.mirror()) == 5
    assert supabase.row(f"select count(*) from {disabled}") == {"count": 0}
    # A disabled mirror runs if the caller names it.
    supabase.rows("call ipai.run_sync('disabled')")
    assert supabase.row(f"select count(*) from {disabled}") == {"count": 5}


def test_run_sync_registers_the_built_in_mirror_if_none_exists(supabase: Supabase, scripted: FaultyOdoo) -> None:
    supabase.rows("call ipai.run_sync()")
    assert supabase.last_run()["mirror_count"] == 5


def test_run_sync_runs_nothing_if_every_mirror_is_disabled(supabase: Supabase, scripted: FaultyOdoo) -> None:
    supabase.register(enabled=False)
    supabase.rows("call ipai.run_sync()")
    assert scripted.requests == []
    assert supabase.rows("select 1 from ipai.run_log") == []


def test_failed_mirror_does_not_stop_the_others(supabase: Supabase, scripted: FaultyOdoo) -> None:
    supabase.register()
    supabase.add_mirror("aaa")
    supabase.add_mirror("zzz")
    supabase.rows("update ipai.mirrors set model = 'ipai.not.installed' where name = 'aaa'")
    with pytest.raises(psycopg.errors.UndefinedObject) as raised:
        supabase.rows("call ipai.run_sync()")
    assert raised.value.diag.message_primary == "1 of 3 mirrors failed: aaa"
    assert 'aaa: Odoo has no model "ipai.not.installed" (42704)' in (raised.value.diag.message_detail or "")
    states = supabase.rows("select mirror, state from ipai.sync_runs order by run")
    assert [(row["mirror"], row["state"]) for row in states] == [
        ("aaa", "failed"),
        ("sample_metrics", "succeeded"),
        ("zzz", "succeeded"),
    ]


def test_cancel_ends_the_whole_call(supabase: Supabase, scripted: FaultyOdoo) -> None:
    supabase.register()
    supabase.add_mirror("aaa")
    scripted.on("search_read", never_respond)
    connection = supabase.connect()
    with running_statement(supabase, connection, "call ipai.run_sync()") as call:
        shell.wait_until(lambda: bool(scripted.received("search_read")), "the run waiting for Odoo", seconds=10)
        supabase.cancel(connection)
        assert statement_error(call).sqlstate == "57014"
    assert [(run["mirror"], run["state"]) for run in supabase.rows("select * from ipai.sync_runs")] == [("aaa", "cancelled")]


# Concurrent runs ----------------------------------------------------------------------------------


def test_second_concurrent_run_fails_immediately(supabase: Supabase, scripted: FaultyOdoo) -> None:
    supabase.register()
    scripted.on("search_read", never_respond)
    connection = supabase.connect()
    with running_statement(supabase, connection, CALL) as call:
        shell.wait_until(lambda: bool(scripted.received("search_read")), "the run waiting for Odoo", seconds=10)
        requests = len(scripted.requests)
        for statement in (CALL, "call ipai.run_sync()", "select * from ipai.sync_sample_metrics()"):
            began = time.monotonic()
            with pytest.raises(psycopg.errors.LockNotAvailable) as refused:
                supabase.rows(statement)
            assert time.monotonic() - began < PROMPT_SECONDS
            assert refused.value.sqlstate == "55P03"
        # The refused calls sent no request and logged no run.
        assert len(scripted.requests) == requests
        assert supabase.row("select count(*), min(state) as state from ipai.sync_runs") == {"count": 1, "state": "running"}
        supabase.cancel(connection)
        statement_error(call)
    scripted.clear_faults()
    assert supabase.run()["state"] == "succeeded"


def test_runs_of_two_mirrors_do_not_wait_for_each_other(supabase: Supabase, scripted: FaultyOdoo) -> None:
    supabase.register()
    supabase.add_mirror("other")
    scripted.on("search_read", never_respond, times=1)
    connection = supabase.connect()
    with running_statement(supabase, connection, CALL) as call:
        shell.wait_until(lambda: bool(scripted.received("search_read")), "the run waiting for Odoo", seconds=10)
        supabase.rows("call ipai.run_sync('other')")
        assert supabase.last_run("other")["state"] == "succeeded"
        supabase.cancel(connection)
        statement_error(call)


# Privileges ---------------------------------------------------------------------------------------


@pytest.mark.extension_only("roles and user mappings")
def test_service_role_runs_mirrors_but_other_api_roles_cannot(supabase: Supabase, scripted: FaultyOdoo) -> None:
    supabase.rows("create user mapping for public server odoo options (user 'admin', password_secret 'odoo_password')")
    supabase.rows("grant usage on foreign server odoo to service_role")
    connection = supabase.connect()
    connection.execute("set role service_role")
    connection.execute(CALL)
    assert supabase.last_run()["mirror_count"] == 5
    for role in ("anon", "authenticated"):
        connection.execute(f"set role {role}")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(CALL)


@pytest.mark.extension_only("roles; it runs no mirror")
def test_service_role_cannot_change_mirror_definitions(supabase: Supabase, scripted: FaultyOdoo) -> None:
    supabase.register()
    connection = supabase.connect()
    connection.execute("set role service_role")
    for statement in (
        "update ipai.mirrors set target_table = 'elsewhere'",
        "update ipai.mirrors set fields = '[]'",
        "update ipai.mirrors set server = 'elsewhere'",
        "delete from ipai.mirrors",
        "insert into ipai.mirrors select * from ipai.mirrors",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)


# The run log --------------------------------------------------------------------------------------


@pytest.mark.extension_only("calls refresh_counts, which the program has no command for")
def test_old_runs_are_deleted_except_the_last_full_run(supabase: Supabase, scripted: FaultyOdoo) -> None:
    """The last full run stays, because it determines when the next one is due."""

    def age(days: int) -> None:
        shift = f"started_at = started_at - interval '{days} days', finished_at = finished_at - interval '{days} days'"
        supabase.cluster.psql(f"update ipai.run_log set {shift}")

    supabase.rows("call ipai.run_sync('sample_metrics', 'full')")
    full = supabase.run("'sample_metrics', 'full'")["run"]
    scripted.on("search_read", status(404), times=1)
    with pytest.raises(psycopg.Error):
        supabase.run("'sample_metrics', 'incremental'")
    supabase.run("'sample_metrics', 'incremental'")
    supabase.rows("select * from ipai.refresh_counts()")
    flags = supabase.row("select max(run) as run from ipai.run_log")["run"]
    age(29)
    kept = supabase.run("'sample_metrics', 'incremental'")["run"]
    assert supabase.row("select count(*) from ipai.run_log") == {"count": 6}
    age(2)
    last = supabase.run("'sample_metrics', 'incremental'")["run"]
    assert [row["run"] for row in supabase.rows("select run from ipai.run_log order by run")] == [full, flags, kept, last]
    # keep_runs applies only to the mirror that it is set for.
    supabase.add_mirror("other")
    supabase.rows("select ipai.alter_mirror('sample_metrics', keep_runs => '1 day')")
    supabase.rows("call ipai.run_sync('other')")
    assert supabase.row("select count(*) from ipai.run_log") == {"count": 5}
    supabase.run("'sample_metrics', 'incremental'")
    left = supabase.rows("select run from ipai.run_log where mirror = 'sample_metrics' and run < %s order by run", last)
    assert [row["run"] for row in left] == [full, flags]


def test_run_log_never_contains_the_password(supabase: Supabase) -> None:
    password = "Geheim-§-123"
    with FaultyOdoo(RECORDS, password=password) as server:
        supabase.server(server.url, password=password)
        if supabase.uses_json2():
            password = server.api_key
        supabase.register(page_size=2)
        for behaviour in (
            recorded("object_wrong_password"),
            recorded("fault_access_error_read_portal"),
            lambda exchange: exchange.send(200, {}, f"<html>{password}</html>".encode()),
            status(404, body=password.encode()),
        ):
            server.on("search_read", respond_normally, times=1)
            server.on(None, behaviour)
            with pytest.raises(psycopg.Error):
                supabase.run()
            server.clear_faults()
        supabase.run()
    log = supabase.rows("select l::text from ipai.run_log l")
    assert len(log) == 5
    assert not [row for row in log if password in row["l"]]
    assert password not in supabase.cluster.log.read_text(errors="replace")
