"""Tests records that Odoo cannot send: they become rejects, and all others arrive."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from support.faulty import Behaviour, FaultyOdoo, close_connection, fault, for_records, metric, status
from support.supabase import Supabase

MEMORY_ERROR = fault(1, 'Traceback (most recent call last):\n  File "a.py", line 1, in a\n    b()\nMemoryError\n')
FULL = "'sample_metrics', 'full'"


@pytest.fixture(params=[False, True], ids=["plain", "addon"])
def erp(supabase: Supabase, request: pytest.FixtureRequest) -> Iterator[FaultyOdoo]:
    with FaultyOdoo((metric(number) for number in range(1, 31)), addon=request.param) as server:
        supabase.server(server.url, timeout="5")
        supabase.register(page_size=10)
        yield server


def break_records(erp: FaultyOdoo, *ids: int, behave: Behaviour = MEMORY_ERROR) -> None:
    """Makes Odoo unable to send these records, and able to send all others."""
    erp.clear_faults()
    for method in ("search_read", "export"):
        erp.on(method, for_records(ids, behave))


def change(erp: FaultyOdoo, odoo_id: int, second: int, **values: object) -> None:
    """Writes a record, after all that were written before."""
    (record,) = (record for record in erp.records if record["id"] == odoo_id)
    record |= {**values, "write_date": f"2030-01-01 00:00:{second:02}"}


def names(supabase: Supabase) -> dict[int, str]:
    return {row["odoo_id"]: row["name"] for row in supabase.mirror("odoo_id, name")}


def rejects(supabase: Supabase) -> list[tuple[int, str, str | None, str]]:
    """Returns id, what the mirror lacks, field and SQLSTATE of all rejects."""
    rows = supabase.rows("select odoo_id, refused, field, sqlstate from ipai.sync_rejects order by 1")
    return [(row["odoo_id"], row["refused"], row["field"], row["sqlstate"]) for row in rows]


def alerts(supabase: Supabase) -> list[str]:
    return [row["kind"] for row in supabase.rows("select kind from ipai.sync_alerts order by severity")]


@pytest.mark.parametrize(
    ("behave", "sqlstate"),
    [(MEMORY_ERROR, "38000"), (status(504), "08006"), (close_connection, "08006")],
    ids=["MemoryError", "504", "killed worker"],
)
def test_unreadable_record_is_set_aside_until_odoo_sends_it(supabase: Supabase, erp: FaultyOdoo, behave: Behaviour, sqlstate: str) -> None:
    break_records(erp, 15, behave=behave)
    run = supabase.run(FULL)
    assert (run["state"], run["fetched"], run["inserted"], run["odoo_count"], run["mirror_count"]) == ("succeeded", 29, 29, 30, 29)
    assert rejects(supabase) == [(15, "insert", None, sqlstate)]
    message = supabase.row("select message from ipai.sync_rejects")["message"]
    assert message.startswith("Odoo cannot send ipai.sample.metric id 15: ")
    assert supabase.row("select state, rows, delta, rejects from ipai.sync_status") == {
        "state": "ok",
        "rows": 29,
        "delta": 1,
        "rejects": 1,
    }
    assert alerts(supabase) == ["rejects"]
    # A record that has a row keeps it. Changes of others arrive in every mode.
    break_records(erp, 15, 20, behave=behave)
    old = names(supabase)[20]
    change(erp, 20, 0, name="unreadable")
    for second, mode in enumerate(["incremental", "full", "reconcile", "incremental"], 1):
        change(erp, 3 + second, second, name=f"renamed in mode {mode}")
        run = supabase.run(f"'sample_metrics', '{mode}'")
        assert (run["state"], run["mode"], run["deleted"]) == ("succeeded", mode, 0)
        assert rejects(supabase) == [(15, "insert", None, sqlstate), (20, "update", None, sqlstate)]
        wanted = {record["id"]: record["name"] for record in erp.records if record["id"] != 15} | {20: old}
        assert names(supabase) == wanted
    erp.clear_faults()
    supabase.run("'sample_metrics', 'incremental'")
    assert names(supabase) == {record["id"]: record["name"] for record in erp.records}
    assert (rejects(supabase), alerts(supabase)) == ([], [])


def test_value_of_another_type_is_set_aside_with_its_field(supabase: Supabase, erp: FaultyOdoo) -> None:
    supabase.run(FULL)
    change(erp, 7, 0, value="many", name="renamed")
    change(erp, 8, 1, name="renamed")
    run = supabase.run()
    assert (run["mode"], run["state"], run["updated"]) == ("incremental", "succeeded", 1)
    assert rejects(supabase) == [(7, "update", "value", "22000")]
    change(erp, 7, 2, value=7.0)
    supabase.run()
    assert (names(supabase)[7], rejects(supabase)) == ("renamed", [])


@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_odoo_that_can_send_no_record_fails_the_run(supabase: Supabase, erp: FaultyOdoo, mode: str) -> None:
    supabase.run(FULL)
    change(erp, 5, 0, name="renamed")
    break_records(erp, *range(1, 31))
    for _ in range(2):
        with pytest.raises(psycopg.Error, match=r"Odoo cannot send ipai\.sample\.metric id"):
            supabase.run(f"'sample_metrics', '{mode}'")
        assert (supabase.last_run()["state"], rejects(supabase)) == ("failed", [])
    erp.clear_faults()
    supabase.run()
    assert names(supabase)[5] == "renamed"


def test_more_unreadable_records_than_allowed_fail_the_run(supabase: Supabase, erp: FaultyOdoo) -> None:
    supabase.rows("select ipai.alter_mirror('sample_metrics', max_rejects => 2)")
    break_records(erp, 12, 13, 14)
    with pytest.raises(psycopg.Error, match=r"Odoo cannot send ipai\.sample\.metric id 14: "):
        supabase.run(FULL)
    supabase.rows("select ipai.alter_mirror('sample_metrics', max_rejects => 3)")
    supabase.run()
    assert [row[0] for row in rejects(supabase)] == [12, 13, 14]
    assert len(names(supabase)) == 27


def test_sync_in_a_transaction_sets_unreadable_records_aside(supabase: Supabase, erp: FaultyOdoo) -> None:
    break_records(erp, 1, 15)
    dry = supabase.row("select * from ipai.sync_mirror('sample_metrics', dry_run => true)")
    assert (dry["inserted"], rejects(supabase)) == (28, [])
    assert supabase.row("select * from ipai.sync_mirror('sample_metrics')")["inserted"] == 28
    assert [row[0] for row in rejects(supabase)] == [1, 15]


def test_unreadable_record_that_odoo_deletes_is_forgotten(supabase: Supabase, erp: FaultyOdoo) -> None:
    supabase.run(FULL)
    break_records(erp, 15)
    change(erp, 15, 0, name="renamed")
    supabase.run()
    assert rejects(supabase) == [(15, "update", None, "38000")]
    erp.records = [record for record in erp.records if record["id"] != 15]
    supabase.run()
    assert (len(names(supabase)), rejects(supabase)) == (29, [])
