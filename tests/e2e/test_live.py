"""Tests runs that read what Odoo reports as changed, with a real Odoo."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from harness.odoo import MODULES, Odoo, generate_metrics
from support.comparison import MODEL, assert_equal
from support.crashes import crash
from support.supabase import ROWS, Supabase

pytestmark = [pytest.mark.both_hosts, pytest.mark.both_protocols]

#: Values that no record has.
NUMBERS = itertools.count(1_000_000)

SAMPLE = {"name": "Live ☕", "code": "LIVE", "unit": "count", "value": 4.5}


@pytest.fixture(scope="module")
def erp() -> Iterator[Odoo]:
    """An Odoo with the addon, and the metrics."""
    with Odoo(modules=MODULES) as odoo:
        generate_metrics(odoo, ROWS)
        yield odoo


@pytest.fixture
def mirrored(supabase: Supabase, erp: Odoo) -> Supabase:
    """A mirror that a full run has filled."""
    supabase.fill_from(erp)
    return supabase


@pytest.fixture
def odoo_sql(erp: Odoo) -> Iterator[psycopg.Connection[Any]]:
    """A connection to Odoo's database."""
    with psycopg.connect(erp.pg.dsn(erp.dbname), autocommit=True) as connection:
        yield connection


def token(supabase: Supabase) -> str | None:
    found: str | None = supabase.row("select token from ipai.mirror_state where mirror = 'sample_metrics'")["token"]
    return found


def incremental(supabase: Supabase) -> dict[str, Any]:
    """Runs the mirror. The run must know what has changed: it has no lower bound."""
    run = supabase.run("'sample_metrics', 'incremental'")
    assert (run["mode"], run["state"], run["bound"]) == ("incremental", "succeeded", None)
    return run


def test_full_run_keeps_a_token(mirrored: Supabase) -> None:
    assert token(mirrored)


def test_run_without_changes_reads_nothing(mirrored: Supabase) -> None:
    run = incremental(mirrored)
    assert (run["fetched"], run["updated"]) == (0, 0) and run["odoo_count"] == run["mirror_count"] > ROWS - 10


def test_changes_are_read_alone(mirrored: Supabase, erp: Odoo) -> None:
    created = erp.rpc(MODEL, "create", SAMPLE)
    written, archived, deleted = erp.rpc(MODEL, "search", [], limit=3)
    erp.rpc(MODEL, "write", [written], {"value": next(NUMBERS)})
    erp.rpc(MODEL, "write", [archived], {"active": False})
    erp.rpc(MODEL, "unlink", [deleted])
    run = incremental(mirrored)
    assert (run["fetched"], run["inserted"], run["updated"], run["deleted"]) == (3, 1, 2, 1)
    assert_equal(mirrored, erp)
    assert incremental(mirrored)["fetched"] == 0
    erp.rpc(MODEL, "unlink", [created])


def test_raw_update_arrives_with_the_next_run(mirrored: Supabase, erp: Odoo, odoo_sql: psycopg.Connection[Any]) -> None:
    odoo_sql.execute("update ipai_sample_metric set value = value + 1 where id in (select min(id) from ipai_sample_metric)")
    run = incremental(mirrored)
    assert (run["fetched"], run["updated"]) == (1, 1)
    assert_equal(mirrored, erp)


def test_late_commit_with_savepoints_arrives_after_its_commit(mirrored: Supabase, erp: Odoo) -> None:
    with psycopg.connect(erp.pg.dsn(erp.dbname)) as late:
        late.execute("update ipai_sample_metric set value = value + 1 where id = (select min(id) from ipai_sample_metric)")
        with late.transaction():
            late.execute("update ipai_sample_metric set value = value + 1 where id = (select max(id) from ipai_sample_metric)")
        erp.rpc(MODEL, "write", [erp.rpc(MODEL, "search", [], limit=1, offset=5)[0]], {"notes": f"in between {next(NUMBERS)}"})
        assert incremental(mirrored)["updated"] == 1
        assert incremental(mirrored)["updated"] == 0
        late.commit()
    assert incremental(mirrored)["updated"] == 2
    assert_equal(mirrored, erp)


def test_restarted_postgres_makes_the_next_run_full(mirrored: Supabase, erp: Odoo, odoo_sql: psycopg.Connection[Any]) -> None:
    odoo_sql.execute("update ipai_sample_metric set value = value + 2 where id in (select max(id) from ipai_sample_metric)")
    erp.pg.restart()
    run = mirrored.run("'sample_metrics', 'incremental'")
    assert (run["mode"], run["updated"]) == ("full", 1)
    assert incremental(mirrored)["fetched"] == 0


def test_crash_of_odoos_postgres_makes_the_next_run_full(mirrored: Supabase, erp: Odoo, odoo_sql: psycopg.Connection[Any]) -> None:
    """After a crash, Postgres assigns numbers again of transactions that were not on disk."""
    # Rolled back and read-only transactions need not be on disk.
    odoo_sql.execute("alter system set wal_writer_delay = '10s'")
    odoo_sql.execute("select pg_reload_conf()")
    for _ in range(20):
        odoo_sql.execute("select txid_current()")
    assert incremental(mirrored)["fetched"] == 0
    crash(erp.pg)
    with psycopg.connect(erp.pg.dsn(erp.dbname), autocommit=True) as again:
        again.execute("update ipai_sample_metric set value = value + 3 where id in (select max(id) from ipai_sample_metric)")
        for _ in range(40):
            again.execute("select txid_current()")
    run = mirrored.run("'sample_metrics', 'incremental'")
    assert (run["mode"], run["updated"]) == ("full", 1)
    assert_equal(mirrored, erp)
    assert incremental(mirrored)["fetched"] == 0


def test_bulk_change_makes_the_next_run_full(mirrored: Supabase, erp: Odoo, odoo_sql: psycopg.Connection[Any]) -> None:
    odoo_sql.execute(
        "insert into ipai_sample_metric (name, code, unit, value, active) select 'Bulk', 'BULK', 'count', n, true from generate_series(1, 5001) n"
    )
    run = mirrored.run("'sample_metrics', 'incremental'")
    assert (run["mode"], run["inserted"]) == ("full", 5001)
    odoo_sql.execute("delete from ipai_sample_metric where code = 'BULK'")
    run = mirrored.run("'sample_metrics', 'incremental', 1")
    assert run["deleted"] == 5001
    assert_equal(mirrored, erp)


def test_changed_definition_forgets_the_token(mirrored: Supabase) -> None:
    mirrored.rows("""select ipai.alter_mirror('sample_metrics', domain => '[["code", "!=", "LIVE"]]')""")
    assert mirrored.run("'sample_metrics', 'incremental'")["mode"] == "full"
    assert incremental(mirrored)["fetched"] == 0


def test_row_leaves_the_domain_while_another_enters(mirrored: Supabase, erp: Odoo) -> None:
    leaving, entering = (erp.rpc(MODEL, "create", {**SAMPLE, "code": code}) for code in ("IN", "OUT"))
    mirrored.rows("""select ipai.alter_mirror('sample_metrics', domain => '[["code", "!=", "OUT"]]')""")
    mirrored.run()
    erp.rpc(MODEL, "write", [leaving], {"code": "OUT"})
    erp.rpc(MODEL, "write", [entering], {"code": "IN"})
    run = incremental(mirrored)
    assert (run["inserted"], run["deleted"]) == (1, 1)
    ids = {row["odoo_id"] for row in mirrored.mirror("odoo_id")}
    assert entering in ids and leaving not in ids
    erp.rpc(MODEL, "unlink", [leaving, entering])


def test_run_of_all_mirrors_asks_once(mirrored: Supabase, erp: Odoo) -> None:
    for name in ("one", "two", "three"):
        mirrored.add_mirror(name)
    mirrored.rows("call ipai.run_sync()")
    before = requests(erp)
    mirrored.rows("call ipai.run_sync()")
    assert requests(erp) == before + 1
    runs = mirrored.rows(
        "select distinct on (mirror) mirror, mode, fetched, odoo_count, mirror_count, state from ipai.sync_runs order by mirror, run desc"
    )
    assert {(run["mode"], run["fetched"], run["odoo_count"] - run["mirror_count"], run["state"]) for run in runs} == {
        ("incremental", 0, 0, "succeeded")
    }
    assert len(runs) == 4
    erp.rpc(MODEL, "write", [erp.rpc(MODEL, "search", [], limit=1)[0]], {"value": next(NUMBERS)})
    mirrored.rows("call ipai.run_sync()")
    runs = mirrored.rows("select distinct on (mirror) mirror, updated from ipai.sync_runs order by mirror, run desc")
    assert [run["updated"] for run in runs] == [1] * 4


def requests(erp: Odoo) -> int:
    """Returns how many calls Odoo has answered."""
    return erp.log.read_text().count('"POST /')
