"""Tests pages that Odoo cannot send: because of their size, of one record, or of one field."""

from __future__ import annotations

import time
import xmlrpc.client
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import cast

import psycopg
import pytest

from support.faulty import (
    Behaviour,
    Exchange,
    FaultyOdoo,
    Record,
    Request,
    close_connection,
    encode_export,
    fault,
    metric,
    respond_normally,
    result,
    status,
)
from support.reliability import Section
from support.supabase import Supabase

SECTION = Section("Odoo cannot send a page, or looks empty")

CALL = "call ipai.run_sync('sample_metrics', 'full')"
RECORDS = [metric(number) for number in range(1, 41)]
MEMORY_ERROR = fault(1, 'Traceback (most recent call last):\n  File "a.py", line 1, in a\n    b()\nMemoryError\n')
NONE = fault(
    1,
    'Traceback (most recent call last):\n  File "http.py", line 1, in xmlrpc_2\n    dumps()\n'
    "TypeError: cannot marshal None unless allow_none is enabled\n",
)


@pytest.fixture(params=[False, True], ids=["plain", "addon"])
def erp(supabase: Supabase, request: pytest.FixtureRequest) -> Iterator[FaultyOdoo]:
    with FaultyOdoo(map(dict, RECORDS), addon=request.param) as server:
        supabase.server(server.url, timeout="5")
        supabase.register(page_size=20)
        yield server


def method(erp: FaultyOdoo) -> str:
    return "export" if erp.addon else "search_read"


def asked_for(request: Request) -> int:
    """Returns how many records a page asks for; 0 for a list of ids."""
    if request.method == "export":
        return 0 if request.args[2] == ["id"] else int(request.args[3])
    return int(request.kwargs["limit"])


def above(records: int, behave: Behaviour) -> Behaviour:
    return lambda exchange: (behave if asked_for(exchange.request) > records else respond_normally)(exchange)


def names(supabase: Supabase) -> dict[int, str]:
    return {row["odoo_id"]: row["name"] for row in supabase.mirror("odoo_id, name")}


def is_equal(supabase: Supabase, erp: FaultyOdoo) -> bool:
    return names(supabase) == {record["id"]: record["name"] for record in erp.records}


def safe_page_size(supabase: Supabase) -> int | None:
    row = supabase.row("select safe_page_size from ipai.mirror_state where mirror = 'sample_metrics'")
    return cast(int | None, row["safe_page_size"])


@pytest.mark.parametrize("behave", [MEMORY_ERROR, status(504), close_connection], ids=["MemoryError", "504", "killed worker"])
def test_size_that_worked_is_the_first_of_the_next_run(supabase: Supabase, erp: FaultyOdoo, behave: Behaviour) -> None:
    erp.on(method(erp), above(5, behave))
    for _ in range(3):
        supabase.rows(CALL)
        assert is_equal(supabase, erp)
    assert safe_page_size(supabase) == 5
    requests = erp.received(method(erp))
    supabase.rows(CALL)
    assert asked_for(erp.received(method(erp))[len(requests)]) == 5
    # Once larger pages work again, the size is forgotten.
    erp.clear_faults()
    supabase.rows(CALL)
    supabase.rows(CALL)
    assert safe_page_size(supabase) is None and is_equal(supabase, erp)


@pytest.mark.parametrize(
    ("behave", "message"),
    [
        (close_connection, "Odoo cannot send ipai.sample.metric id 1: the connection to Odoo failed: "),
        (status(504), "Odoo cannot send ipai.sample.metric id 1: Odoo answered HTTP status 504"),
        (MEMORY_ERROR, "Odoo cannot send ipai.sample.metric id 1: Odoo could not complete the call: it ran out of memory"),
    ],
    ids=["killed worker", "504", "MemoryError"],
)
def test_error_names_the_record_that_odoo_cannot_send(supabase: Supabase, erp: FaultyOdoo, behave: Behaviour, message: str) -> None:
    erp.on(method(erp), behave)
    if erp.addon:
        # The run goes on without the addon.
        supabase.rows(CALL)
        assert is_equal(supabase, erp) and not supabase.rows("select from ipai.sync_rejects")
        return
    for _ in range(2):
        with pytest.raises(psycopg.Error) as raised:
            supabase.rows(CALL)
        assert (raised.value.diag.message_primary or "").startswith(message)
    # The second run begins with a single record.
    assert safe_page_size(supabase) == 1
    erp.clear_faults()
    supabase.rows(CALL)
    assert is_equal(supabase, erp)


def test_error_names_the_field_that_odoo_cannot_read(supabase: Supabase) -> None:
    def invalid_date(exchange: Exchange) -> None:
        request = exchange.request
        rows = cast(list[Record], xmlrpc.client.loads(exchange.answer())[0][0])
        broken = any(row["id"] == 7 for row in rows) and "date" in request.kwargs["fields"]
        (fault(1, "Traceback (most recent call last):\nValueError: year 20026 is out of range") if broken else respond_normally)(exchange)

    with FaultyOdoo(map(dict, RECORDS)) as erp:
        supabase.server(erp.url)
        supabase.register(page_size=20)
        for name in ("read", "search_read"):
            erp.on(name, invalid_date)
        supabase.rows("select ipai.alter_mirror('sample_metrics', max_rejects => 0)")
        with pytest.raises(psycopg.Error) as raised:
            supabase.rows(CALL)
        message = (
            'Odoo cannot send field "date" of ipai.sample.metric id 7: Odoo answered with an error: ValueError: year 20026 is out of range'
        )
        assert (raised.value.diag.message_primary, raised.value.sqlstate) == (message, "38000")
        assert sorted(names(supabase)) == [1, 2, 3, 4, 5, 6]
        supabase.rows("select ipai.alter_mirror('sample_metrics', max_rejects => 1)")
        supabase.rows(CALL)
        assert supabase.row("select odoo_id, field, sqlstate, message from ipai.sync_rejects") == {
            "odoo_id": 7,
            "field": "date",
            "sqlstate": "38000",
            "message": message,
        }
        assert len(names(supabase)) == 39


def test_odoo_that_is_down_blames_no_record(supabase: Supabase, erp: FaultyOdoo) -> None:
    supabase.rows(CALL)
    erp.on(None, status(503))
    with pytest.raises(psycopg.Error) as raised:
        supabase.rows(CALL)
    assert "cannot send" not in (raised.value.diag.message_primary or "") and raised.value.sqlstate == "08006"
    assert safe_page_size(supabase) is None


ALERT = "select message from ipai.sync_alerts where kind = 'drift'"


def test_field_with_null_inside_is_left_out_until_a_full_run_can_read_it(supabase: Supabase) -> None:
    with FaultyOdoo(map(dict, RECORDS)) as erp:
        supabase.server(erp.url)
        supabase.register(page_size=20)
        connection = supabase.connect()
        erp.records[2]["notes"] = "before"
        connection.execute(CALL)
        warnings: list[str] = []
        connection.add_notice_handler(
            lambda notice: warnings.append(notice.message_primary or "") if notice.severity == "WARNING" else None
        )
        for record in erp.records:
            record.update(name=f"{record['name']}, renamed", notes="after")
        for name in ("read", "search_read"):
            erp.on(name, lambda exchange: (NONE if "notes" in exchange.request.kwargs.get("fields", ()) else respond_normally)(exchange))
        for statement in (CALL, "select * from ipai.sync_mirror('sample_metrics')"):
            connection.execute(statement)
            assert is_equal(supabase, erp)
        assert warnings == ['this run leaves out field "notes" of model "ipai.sample.metric": XML-RPC cannot carry its values'] * 2
        for mode in ("incremental", "reconcile"):
            # The next full run tries the field again, and not each run.
            erp.records[1].update(name=f"Changed for {mode}", write_date=f"{datetime.now(UTC):%F %T}")
            connection.execute(f"call ipai.run_sync('sample_metrics', '{mode}')")
            assert is_equal(supabase, erp)
            assert supabase.row(ALERT) == {"message": 'XML-RPC cannot carry values of field "notes"'}
        assert len(warnings) == 2
        assert {row["notes"] for row in supabase.mirror("notes")} == {None, "before"}
        # The field is read again once its values can be carried.
        erp.clear_faults()
        connection.execute(CALL)
        assert {row["notes"] for row in supabase.mirror("notes")} == {"after"}
        assert supabase.rows(ALERT) == []


def empty(exchange: Exchange) -> None:
    """Answers as Odoo does while it rewrites the table: there is no record."""
    request = exchange.request
    answers = {
        "search_count": 0,
        "search": [],
        "search_read": [],
        "export": encode_export([], [*metric(1)], exchange.server.uuid),
        "digest": [[0, "0", "0"] for _ in (request.args[2][1:] if request.method == "digest" else ())],
    }
    exchange.send(200, {}, result(answers[request.method]))


@pytest.mark.parametrize("mode", ["full", "reconcile", "incremental"])
def test_table_that_odoo_rewrites_loses_no_row(supabase: Supabase, erp: FaultyOdoo, mode: str) -> None:
    supabase.rows(CALL)
    ends = time.monotonic() + 2.5
    for name in ("search_count", "search", "search_read", "export", "digest"):
        erp.on(name, lambda exchange: (empty if time.monotonic() < ends else respond_normally)(exchange))
    with SECTION.trial(f"a table that is rewritten looks empty for 2.5 s, {mode}: {'addon' if erp.addon else 'plain'}") as trial:
        supabase.rows(f"call ipai.run_sync('sample_metrics', '{mode}')")
        trial.record_outcome("no row is deleted")
    assert is_equal(supabase, erp)
    supabase.rows(CALL)
    assert is_equal(supabase, erp)


@pytest.mark.whole_file
def test_page_matches_the_recorded_outcomes() -> None:
    SECTION.compare()
