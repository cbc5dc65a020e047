"""Tests that a sync writes only changed rows, and that dry runs write nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, cast

import psycopg
import pytest

from harness import shell
from harness.odoo import Odoo, generate_metrics
from harness.postgres import client_environment
from support.faulty import FaultyOdoo, delayed, metric
from support.supabase import Supabase

pytestmark = pytest.mark.both_hosts

SYNC = "select * from ipai.sync_sample_metrics()"
TABLE = "ipai.ipai_sample_metrics"

RECORDS = [
    metric(1),
    metric(2, name="Kapé <&> ☕", notes="first line\r\nsecond line", value=0.1 + 0.2),
    metric(3, date=False, value=0.0, write_date="2026-01-06 00:00:00"),
    metric(5, brand_id=7, store_id=8, unit="percent", value=99.5, is_alert=True, write_date="2026-01-06 09:30:00"),
    metric(8, active=False, notes="", write_date="2026-01-07 10:00:00"),
]


@pytest.fixture
def erp() -> Iterator[FaultyOdoo]:
    with FaultyOdoo(RECORDS) as server:
        yield server


@pytest.fixture
def connected(supabase: Supabase, erp: FaultyOdoo) -> Supabase:
    supabase.server(erp.url)
    return supabase


@pytest.fixture
def mirrored(connected: Supabase) -> Supabase:
    """A mirror that equals Odoo."""
    assert connected.row(SYNC)["inserted"] == len(RECORDS)
    return connected


def state(supabase: Supabase) -> dict[str, Any]:
    """Returns everything that any write or row lock in the mirror would change."""
    rows = supabase.rows(f"select id, odoo_id, xmin::text, xmax::text, ctid::text, updated_at from {TABLE} order by id")
    return {"rows": rows, "sequence": supabase.row(f"select last_value, is_called from {TABLE}_id_seq")}


# Unchanged ----------------------------------------------------------------------------------------


def test_sync_without_changes_writes_no_row(mirrored: Supabase) -> None:
    mirrored.rows(f"insert into {TABLE} (name, code, unit) values ('local', 'LOCAL', 'count')")
    before = state(mirrored)
    run = mirrored.row(SYNC)
    assert (run["fetched"], run["unchanged"], run["inserted"], run["updated"], run["deleted"]) == (5, 5, 0, 0, 0)
    assert state(mirrored) == before


def test_sync_since_a_date_without_changes_writes_no_row(mirrored: Supabase) -> None:
    before = state(mirrored)
    run = mirrored.row("select * from ipai.sync_sample_metrics('2026-01-06')")
    assert (run["fetched"], run["unchanged"], run["inserted"], run["updated"], run["deleted"]) == (3, 3, 0, 0, 0)
    assert state(mirrored) == before


def test_sync_of_a_real_odoo_without_changes_writes_no_row(supabase: Supabase, odoo: Odoo) -> None:
    generate_metrics(odoo, 2_000)
    supabase.server(odoo.url, dbname=odoo.dbname)
    records = supabase.row(SYNC)["fetched"]
    assert records >= 2_000
    before = state(supabase)
    run = supabase.row(SYNC)
    assert (run["fetched"], run["unchanged"], run["inserted"], run["updated"], run["deleted"]) == (records, records, 0, 0, 0)
    assert state(supabase) == before


def test_changed_record_updates_only_its_row(mirrored: Supabase, erp: FaultyOdoo) -> None:
    before = {row["odoo_id"]: row for row in state(mirrored)["rows"]}
    erp.records[0] = metric(1, value=42.0)
    run = mirrored.row(SYNC)
    after = {row["odoo_id"]: row for row in state(mirrored)["rows"]}
    assert (run["unchanged"], run["updated"]) == (4, 1)
    assert [odoo_id for odoo_id in after if after[odoo_id] != before[odoo_id]] == [1]


def filenodes(supabase: Supabase) -> dict[str, str]:
    """Returns the names of all relations by their file nodes."""
    rows = supabase.rows("select pg_relation_filenode(oid)::text as filenode, relname as name from pg_class where relfilenode > 0")
    return {row["filenode"]: row["name"] for row in rows}


def wal_position(connection: psycopg.Connection[dict[str, Any]]) -> str:
    # The flush position, because pg_waldump reads the files.
    row = connection.execute("select pg_current_wal_flush_lsn()::text as lsn").fetchone()
    assert row
    return cast(str, row["lsn"])


@pytest.mark.parametrize("mode", ["full", "incremental", "reconcile"])
def test_run_without_changes_writes_no_wal_of_the_table(mirrored: Supabase, mode: str) -> None:
    connection, names = mirrored.connect(), filenodes(mirrored)
    start = wal_position(connection)
    assert mirrored.run(f"'sample_metrics', '{mode}'")["unchanged"] > 0 or mode == "reconcile"
    written = {names.get(node, node) for _, nodes in wal(mirrored, start, wal_position(connection)) for node in nodes}
    assert "run_log" in written
    assert not [name for name in written if name.startswith("ipai_sample_metrics")]


@pytest.mark.extension_only("the transaction id of the caller")
def test_sync_without_changes_writes_only_the_run_log(mirrored: Supabase) -> None:
    connection, names = mirrored.connect(), filenodes(mirrored)
    start = wal_position(connection)
    with connection.transaction():
        connection.execute(SYNC)
        row = connection.execute("select pg_current_xact_id()::xid::text as xid").fetchone()
        assert row
    records = wal(mirrored, start, wal_position(connection))
    # Other processes also write WAL. Records of the transaction have its id; records of page
    # pruning have the relation's file node.
    touched = {names.get(node, node) for xid, nodes in records if xid == row["xid"] for node in nodes}
    indexes = {"run_log_pkey", *(f"run_log_{name}_idx" for name in ("run", "full", "counts", "flags", "complete", "open"))}
    assert touched == {"run_log"} | indexes | (touched & {"run_log_run_seq"})


def wal(supabase: Supabase, start: str, end: str) -> list[tuple[str, list[str]]]:
    """Returns the transaction id and the file nodes of each WAL record between two positions."""
    cluster = supabase.cluster
    program = cluster.installation.bindir / "pg_waldump"
    dump = shell.run(
        [program, "--path", cluster.data / "pg_wal", "--start", start, "--end", end], capture=True, env=client_environment()
    ).stdout
    records = []
    for line in dump.splitlines():
        # pg_waldump also prints the position of the first complete record.
        if not line.startswith("rmgr:"):
            continue
        xid = re.search(r"\btx: +(\d+)", line)
        assert xid, line
        records.append((xid[1], re.findall(r"\brel \d+/\d+/(\d+)", line)))
    assert records
    return records


# Dry runs -----------------------------------------------------------------------------------------


@pytest.mark.extension_only("transactions of the caller")
def test_first_dry_run_counts_without_writing(connected: Supabase) -> None:
    connection = connected.connect()
    before = state(connected)
    with connection.transaction():
        # A write would fail in this transaction.
        connection.execute("set transaction read only")
        run = connection.execute("select * from ipai.sync_sample_metrics(dry_run => true)").fetchone()
        assigned = connection.execute("select pg_current_xact_id_if_assigned() as xid").fetchone()
    assert run and assigned
    assert (run["run"], run["dry_run"], run["fetched"], run["inserted"]) == (None, True, 5, 5)
    assert (run["odoo_count"], run["mirror_count"], run["delta"]) == (5, 0, 5)
    assert assigned["xid"] is None
    assert state(connected) == before
    assert (
        connected.rows(
            "select from ipai.run_log union all select from ipai.odoo_logins union all select from ipai.mirror_state where cursor is not null"
        )
        == []
    )


def test_dry_run_reports_the_changes_without_making_them(mirrored: Supabase, erp: FaultyOdoo) -> None:
    erp.records = [metric(1, name="renamed"), *RECORDS[1:4], metric(9)]
    before = state(mirrored)
    predicted = mirrored.row("select * from ipai.sync_sample_metrics(dry_run => true)")
    assert state(mirrored) == before
    actual = mirrored.row(SYNC)
    counts = ("fetched", "inserted", "updated", "unchanged", "deleted")
    assert [predicted[name] for name in counts] == [5, 1, 1, 3, 1]
    assert [actual[name] for name in counts] == [5, 1, 1, 3, 1]
    assert (predicted["delta"], actual["delta"]) == (0, 0)


@pytest.mark.extension_only("arguments that are null")
def test_dry_run_must_not_be_null(connected: Supabase, erp: FaultyOdoo) -> None:
    """A null variable must not turn a dry run into a real one."""
    for statement in (
        "select * from ipai.sync_sample_metrics(dry_run => null)",
        "select * from ipai.sync_mirror('sample_metrics', null, null, null)",
    ):
        with pytest.raises(psycopg.errors.InvalidParameterValue) as raised:
            connected.rows(statement)
        assert raised.value.diag.message_primary == "dry_run must not be null"
        assert raised.value.diag.message_hint == "It is true or false."
    assert erp.requests == []
    assert connected.rows("select * from ipai.run_log") == []


@pytest.mark.extension_only("transactions of the caller")
def test_dry_run_does_not_wait_for_a_sync(mirrored: Supabase) -> None:
    other = mirrored.connect()
    with other.transaction():
        other.execute(SYNC)
        assert mirrored.row("select * from ipai.sync_sample_metrics(dry_run => true)")["unchanged"] == 5


def test_dry_run_warns_of_refused_deletions(connected: Supabase, erp: FaultyOdoo) -> None:
    erp.records = [metric(odoo_id) for odoo_id in range(1, 202)]
    connected.row(SYNC)
    erp.records = erp.records[:100]
    connection = connected.connect()
    notices = collect_notices(connection)
    run = connection.execute("select * from ipai.sync_sample_metrics(dry_run => true)").fetchone()
    assert run and run["deleted"] == 101
    assert notices == [("WARNING", "a real run would refuse to delete 101 rows: 100 are allowed")]


def collect_notices(connection: psycopg.Connection[Any]) -> list[tuple[str | None, str | None]]:
    """Collects severity and message of the connection's later notices."""
    notices: list[tuple[str | None, str | None]] = []
    # psycopg frees a notice after its handlers have run.
    connection.add_notice_handler(lambda notice: notices.append((notice.severity_nonlocalized, notice.message_primary)))
    return notices


# Partial syncs ------------------------------------------------------------------------------------


def test_max_rows_reads_the_first_records_and_deletes_nothing(mirrored: Supabase, erp: FaultyOdoo) -> None:
    cursor = mirrored.row("select cursor from ipai.mirror_state")
    erp.records = [metric(2, name="changed"), metric(3, name="changed"), metric(5, name="changed")]
    erp.requests.clear()
    run = mirrored.row("select * from ipai.sync_sample_metrics(max_rows => 2)")
    assert (run["mode"], run["fetched"], run["updated"], run["deleted"]) == ("full", 2, 2, 0)
    assert (run["odoo_count"], run["mirror_count"], run["delta"]) == (3, 5, -2)
    assert [row["name"] == "changed" for row in mirrored.mirror("name")] == [False, True, True, False, False]
    assert [request.kwargs["limit"] for request in erp.received("search_read")] == [2]
    assert erp.received("search") == []
    assert mirrored.row("select cursor from ipai.mirror_state") == cursor


def test_max_rows_above_the_page_size_reads_several_pages(mirrored: Supabase, erp: FaultyOdoo) -> None:
    mirrored.rows("update ipai.mirrors set page_size = 2")
    erp.requests.clear()
    run = mirrored.row("select * from ipai.sync_sample_metrics(max_rows => 3)")
    assert run["fetched"] == 3
    assert [request.kwargs["limit"] for request in erp.received("search_read")] == [2, 1]


@pytest.mark.extension_only("a time zone of the caller's session")
@pytest.mark.parametrize("zone", ["UTC", "Asia/Manila", "America/Los_Angeles"])
def test_since_means_midnight_utc_in_every_time_zone(mirrored: Supabase, erp: FaultyOdoo, zone: str) -> None:
    connection = mirrored.connect(options=f"-c timezone={zone}")
    cursor = mirrored.row("select cursor from ipai.mirror_state")
    erp.requests.clear()
    run = connection.execute("select * from ipai.sync_sample_metrics('2026-01-06')").fetchone()
    assert run and (run["mode"], run["fetched"]) == ("since", 3)
    assert ["write_date", ">=", "2026-01-06 00:00:00"] in erp.received("search_read")[0].domain
    assert mirrored.row("select cursor from ipai.mirror_state") == cursor
    recorded = mirrored.row("select bound from ipai.sync_runs order by run desc limit 1")
    assert recorded["bound"] == datetime.fromisoformat("2026-01-06T00:00:00+00:00")


def test_sync_since_a_date_reconciles_ids_if_counts_differ(mirrored: Supabase, erp: FaultyOdoo) -> None:
    # The records have an older write_date: their transactions began before the date and committed
    # late.
    erp.records = [*RECORDS[1:], metric(6), metric(7)]
    run = mirrored.row("select * from ipai.sync_sample_metrics('2026-01-06')")
    assert (run["inserted"], run["deleted"], run["delta"]) == (2, 1, 0)
    assert [row["odoo_id"] for row in mirrored.mirror("odoo_id")] == [2, 3, 5, 6, 7, 8]


# Reports ------------------------------------------------------------------------------------------


def test_sync_returns_one_row_with_its_counts(connected: Supabase, erp: FaultyOdoo) -> None:
    connection = connected.connect()
    cursor = connection.execute(SYNC)
    types = connected.rows("select oid, typname from pg_type where typnamespace = 'pg_catalog'::regnamespace")
    names = {row["oid"]: row["typname"] for row in types}
    assert cursor.description
    assert [(column.name, names[column.type_code]) for column in cursor.description] == [
        ("run", "int8"),
        ("mirror", "text"),
        ("mode", "text"),
        ("dry_run", "bool"),
        ("fetched", "int8"),
        ("inserted", "int8"),
        ("updated", "int8"),
        ("unchanged", "int8"),
        ("deleted", "int8"),
        ("odoo_count", "int8"),
        ("mirror_count", "int8"),
        ("delta", "int8"),
        ("seconds", "float8"),
    ]
    run = cursor.fetchone()
    assert run and 0 < run.pop("seconds") < 60
    assert run == {
        **{"run": 1, "mirror": "sample_metrics", "mode": "full", "dry_run": False},
        **{"fetched": 5, "inserted": 5, "updated": 0, "unchanged": 0, "deleted": 0, "odoo_count": 5, "mirror_count": 5, "delta": 0},
    }
    assert cursor.fetchone() is None
    # The request includes archived records, uses keyset pagination, and reads bare ids for
    # many2one. The second request returns no more records.
    request, end = erp.received("search_read")
    assert end.domain == [["id", ">", 8]]
    assert (request.domain, request.kwargs["order"], request.kwargs["load"]) == ([["id", ">", 0]], "id", "")
    assert request.kwargs["context"] == {"active_test": False}


def test_run_log_has_the_same_counts(mirrored: Supabase) -> None:
    run = mirrored.row(SYNC)
    logged = mirrored.row("select * from ipai.sync_runs where run = %s", run["run"])
    same = ("run", "mirror", "mode", "fetched", "inserted", "updated", "unchanged", "deleted", "odoo_count", "mirror_count")
    assert [logged[name] for name in same] == [run[name] for name in same]
    assert (logged["state"], logged["bound"]) == ("succeeded", None)
    assert logged["started_at"] < logged["finished_at"]


@pytest.mark.extension_only("transactions of the caller")
def test_rolled_back_sync_leaves_nothing(connected: Supabase) -> None:
    connection = connected.connect()
    connection.execute("begin")
    connection.execute(SYNC)
    connection.execute("rollback")
    assert connected.mirror() == []
    assert (
        connected.rows(
            "select from ipai.run_log union all select from ipai.odoo_logins union all select from ipai.mirror_state where cursor is not null"
        )
        == []
    )


@pytest.mark.extension_only("notices; test_program.py tests the program's progress")
def test_long_sync_reports_its_progress(mirrored: Supabase, erp: FaultyOdoo) -> None:
    mirrored.rows("update ipai.mirrors set page_size = 2")
    # Progress notices are at least two seconds apart.
    erp.on("search_read", delayed(2.1), times=1)
    connection = mirrored.connect()
    notices = collect_notices(connection)
    connection.execute(SYNC)
    ((severity, message),) = notices
    assert severity == "NOTICE" and message
    assert re.fullmatch(r"sample_metrics: 2 of 5 records \(40 %\), 1 records/s, about 3 s left", message)


def test_short_sync_reports_no_progress(mirrored: Supabase) -> None:
    connection = mirrored.connect()
    notices = collect_notices(connection)
    connection.execute(SYNC)
    assert notices == []
