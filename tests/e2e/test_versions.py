"""Tests the main job on a plain Postgres, with a real Odoo; `scripts/nightly` also on 16 and 18."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psycopg
import pytest

from harness import shell
from harness.odoo import MODEL, Odoo, generate_metrics
from harness.postgres import Cluster, Installation

pytestmark = pytest.mark.postgres17

METRICS = 5_000
RUNNING = "select pid, pages from ipai.sync_runs where state = 'running'"


@pytest.fixture(scope="module")
def odoo() -> Iterator[Odoo]:
    with Odoo() as server:
        generate_metrics(server, METRICS)
        # As in a typical Odoo, most records are older than the overlap window.
        server.pg.psql("update ipai_sample_metric set write_date = write_date - interval '1 day'", dbname=server.dbname, user="odoo")
        yield server


@pytest.fixture(scope="module")
def cluster(extension_pg: Installation, odoo: Odoo) -> Iterator[Cluster]:
    """A plain server with the extension and a mirror that has not run yet."""
    with Cluster(extension_pg) as server:
        server.psql(f"""
            create extension ipai_sync;
            create server odoo foreign data wrapper ipai_odoo options (url '{odoo.url}', dbname '{odoo.dbname}');
            create user mapping for postgres server odoo options (user '{odoo.admin_user}', password '{odoo.admin_password}');
            select ipai.create_mirror('{MODEL}', name => 'metrics', target => 'metrics', page_size => 500);
        """)
        yield server


def totals(odoo: Odoo, *domain: object) -> int:
    count: int = odoo.rpc(MODEL, "search_count", list(domain), context={"active_test": False})
    return count


def test_killed_first_run_is_resumed(cluster: Cluster, odoo: Odoo) -> None:
    call = shell.start(
        [cluster.installation.bindir / "psql", "-d", cluster.dsn(), "-c", "call ipai.run_sync()"], log=cluster.directory / "call"
    )
    shell.wait_until(lambda: cluster.psql(f"select 1 from ({RUNNING}) r where pages >= 2"), "the first pages")
    cluster.psql(f"select pg_terminate_backend(pid) from ({RUNNING}) r")
    shell.wait_until(lambda: call.poll() is not None, "the run ending")
    kept = int(cluster.psql("select count(*) from ipai.metrics"))
    assert 0 < kept < METRICS
    cluster.psql("call ipai.run_sync()")
    assert cluster.psql("select count(*) from ipai.metrics") == str(totals(odoo))
    assert cluster.psql("select max(resumes) from ipai.sync_runs") == "1"
    assert cluster.psql("select state, delta from ipai.sync_status") == "ok|0"


def test_changes_arrive_and_unchanged_rows_stay(cluster: Cluster, odoo: Odoo) -> None:
    edited, archived, deleted = odoo.rpc(MODEL, "search", [["unit", "=", "percent"]], limit=3, order="id")
    odoo.rpc(MODEL, "write", [edited], {"value": 99.5, "notes": "edited in Odoo"})
    odoo.rpc(MODEL, "write", [archived], {"active": False})
    odoo.rpc(MODEL, "unlink", [deleted])
    others = f"select md5(string_agg(odoo_id || ctid::text, '' order by odoo_id)) from ipai.metrics where odoo_id > {deleted}"
    before = cluster.psql(others)
    cluster.psql("call ipai.run_sync()")
    assert cluster.psql("select updated, deleted from ipai.sync_runs order by run desc limit 1") == "2|1"
    assert cluster.psql("select state, delta from ipai.sync_status") == "ok|0"
    assert cluster.psql(others) == before
    found = cluster.psql(
        f"select odoo_id, value, active from ipai.metrics where odoo_id in ({edited}, {archived}, {deleted}) order by odoo_id"
    )
    assert found.splitlines()[0] == f"{edited}|99.5|t"
    assert [line.split("|")[0::2] for line in found.splitlines()[1:]] == [[str(archived), "f"]]


def test_call_in_a_transaction_and_errors(cluster: Cluster) -> None:
    with psycopg.connect(cluster.dsn()) as session:
        assert session.execute("select delta from ipai.sync_mirror('metrics')").fetchone() == (0,)
        with contextlib.suppress(psycopg.Error):
            session.execute("select ipai.sync_mirror('missing')")
        session.rollback()
        with pytest.raises(psycopg.Error) as refused:
            session.execute("select ipai.sync_mirror('missing')")
    assert refused.value.diag.message_hint
