"""Tests a real Odoo whose table is rewritten during a run, or holds what Python cannot.

PostgreSQL's rewriting ALTER TABLE is not MVCC-safe: a transaction that took its snapshot before,
and waited for the lock, finds the table empty. An upgrade of an Odoo module does that.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from harness import shell
from harness.odoo import MODULE, Odoo, generate_metrics
from support.comparison import assert_equal
from support.supabase import Supabase

#: Fewer rows than a run may delete without a limit.
ROWS = 60
#: The volatile default rewrites the table. The column is gone before the commit.
REWRITE = """
    alter table ipai_sample_metric add column ipai_rewritten float8 default random();
    alter table ipai_sample_metric drop column ipai_rewritten
"""


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "addon"])
def erp(request: pytest.FixtureRequest) -> Iterator[Odoo]:
    with Odoo((MODULE, "ipai_sync") if request.param else (MODULE,)) as odoo:
        generate_metrics(odoo, ROWS)
        yield odoo


@contextmanager
def rewriting(erp: Odoo, seconds: float) -> Iterator[None]:
    """Rewrites the table again and again, each time in a transaction that holds its lock."""
    ends = time.monotonic() + seconds
    locked = threading.Event()

    def rewrite() -> None:
        with psycopg.connect(erp.pg.dsn(user="odoo", dbname=erp.dbname)) as connection:
            while time.monotonic() < ends:
                connection.execute(REWRITE)
                locked.set()
                shell.wait_until(lambda: has_waiting(erp) or time.monotonic() > ends, "a request that waits", every=0.02)
                connection.commit()

    thread = threading.Thread(target=rewrite)
    thread.start()
    locked.wait()
    try:
        yield
    finally:
        thread.join()


def has_waiting(erp: Odoo) -> bool:
    """Whether a request of Odoo waits for the table."""
    with psycopg.connect(erp.pg.dsn(user="odoo", dbname=erp.dbname), autocommit=True) as connection:
        return (
            connection.execute("select 1 from pg_locks where not granted and relation = 'ipai_sample_metric'::regclass").fetchone()
            is not None
        )


def odoo_ids(erp: Odoo) -> list[int]:
    return sorted(erp.rpc("ipai.sample.metric", "search", [], context={"active_test": False}))


@pytest.mark.parametrize("mode", ["full", "reconcile", "incremental"])
def test_run_during_a_rewrite_deletes_no_row(supabase: Supabase, erp: Odoo, mode: str) -> None:
    supabase.server(erp.url)
    supabase.rows("call ipai.run_sync('sample_metrics')")
    with rewriting(erp, 2):
        supabase.rows(f"call ipai.run_sync('sample_metrics', '{mode}')")
    assert [row["odoo_id"] for row in supabase.mirror("odoo_id")] == odoo_ids(erp)
    assert [run["deleted"] for run in supabase.rows("select deleted from ipai.sync_runs")] == [0, 0]
    supabase.rows("call ipai.run_sync('sample_metrics', 'full')")
    assert [row["odoo_id"] for row in supabase.mirror("odoo_id")] == odoo_ids(erp)


def test_follower_deletes_no_row_during_a_rewrite(supabase: Supabase, erp: Odoo) -> None:
    supabase.server(erp.url)
    supabase.rows("call ipai.run_sync('sample_metrics')")
    before = odoo_ids(erp)
    # So that the addon exports rows, and not only digests, while the table is rewritten.
    erp.pg.psql("update ipai_sample_metric set value = value + 1, write_date = now() at time zone 'UTC'", dbname=erp.dbname)
    with rewriting(erp, 3):
        supabase.rows("call ipai.follow_sync(array['sample_metrics'], every => '0.1 seconds', during => '2.5 seconds')")
    assert [row["odoo_id"] for row in supabase.mirror("odoo_id")] == before
    assert sum(run["deleted"] for run in supabase.rows("select deleted from ipai.sync_runs")) == 0
    supabase.rows("call ipai.follow_sync(array['sample_metrics'], during => '1 millisecond')")
    assert_equal(supabase, erp)


def test_date_that_python_cannot_hold_is_set_aside(supabase: Supabase, erp: Odoo) -> None:
    supabase.server(erp.url)
    broken = odoo_ids(erp)[6]
    set_date = "update ipai_sample_metric set date = {} where id = " + str(broken)
    erp.pg.psql(set_date.format("'20026-01-01'"), dbname=erp.dbname, user="odoo")
    try:
        supabase.rows("call ipai.run_sync('sample_metrics', 'full')")
    finally:
        erp.pg.psql(set_date.format("'2026-01-01'"), dbname=erp.dbname, user="odoo")
    reject = supabase.row("select odoo_id, field, message from ipai.sync_rejects")
    assert (reject["odoo_id"], reject["field"]) == (broken, "date")
    assert reject["message"].startswith(f'Odoo cannot send field "date" of ipai.sample.metric id {broken}: Odoo answered with an error: ')
    assert [row["odoo_id"] for row in supabase.mirror("odoo_id")] == [odoo_id for odoo_id in odoo_ids(erp) if odoo_id != broken]
    supabase.rows("call ipai.run_sync('sample_metrics')")
    assert [row["odoo_id"] for row in supabase.mirror("odoo_id")] == odoo_ids(erp)
