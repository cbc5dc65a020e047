"""Tests the extension on a physical read replica."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator

import psycopg
import pytest

from harness import paths, shell
from harness.postgres import Cluster
from support.faulty import FaultyOdoo, blocked_until, metric
from support.pages import blocks, printed
from support.sessions import running_statement
from support.supabase import Supabase


@pytest.fixture
def erp(supabase: Supabase) -> Iterator[FaultyOdoo]:
    with FaultyOdoo([metric(1), metric(2)]) as server:
        supabase.server(server.url)
        supabase.register()
        yield server


@pytest.fixture
def replica(supabase: Supabase, erp: FaultyOdoo) -> Iterator[Cluster]:
    primary = supabase.cluster
    folder = paths.run_dir()
    shutil.chown(folder, shell.SERVICE_USER)
    command = [
        primary.installation.bindir / "pg_basebackup",
        "-D",
        folder / "data",
        "-R",
        "-c",
        "fast",
        "-d",
        primary.dsn(user="supabase_admin"),
    ]
    shell.run([str(word) for word in command], user=shell.SERVICE_USER, capture=True)
    with Cluster(primary.installation, superuser="supabase_admin", template=folder / "data", settings={"wal_level": "logical"}) as standby:
        yield standby
    shutil.rmtree(folder)


def assert_prints(cluster: Cluster, block: str) -> None:
    """Asserts that the statement in the first line prints the other lines."""
    statement, _, output = block.partition("\n")
    assert printed(cluster, statement).strip() == output.strip()


def wait_for(supabase: Supabase, replica: Cluster) -> None:
    position = supabase.row("select pg_current_wal_flush_lsn()::text as position")["position"]
    replayed = f"select pg_last_wal_replay_lsn() >= '{position}'"
    shell.wait_until(lambda: replica.psql(replayed) == "t", "the replica", seconds=30, every=0.05)


PAGE = "explanation/scale-out.md"
STATUS = "select state, failures from ipai.sync_status where mirror = 'sample_metrics'"


def test_replica_shows_a_run_of_the_primary_as_running(supabase: Supabase, erp: FaultyOdoo, replica: Cluster) -> None:
    supabase.run()
    gate = threading.Event()
    erp.on("search_read", blocked_until(gate))
    with running_statement(supabase, supabase.connect(), "call ipai.run_sync('sample_metrics')") as call:
        shell.wait_until(lambda: supabase.last_run()["state"] == "running", "a run", seconds=10, every=0.02)
        wait_for(supabase, replica)
        assert replica.psql(STATUS) == "running|0"
        assert replica.psql("select kind from ipai.sync_alerts") == ""
        assert_prints(replica, blocks(PAGE, "")[0])
        gate.set()
        call.result(timeout=30)
    wait_for(supabase, replica)
    assert replica.psql(STATUS) == "ok|0"


def test_statements_of_the_page(supabase: Supabase, replica: Cluster) -> None:
    assert_prints(replica, blocks(PAGE, "")[1])
    for statement in blocks(PAGE, "sql"):
        supabase.rows(statement)
    supabase.rows("drop publication mirrors; alter role postgres reset all")


@pytest.mark.parametrize(
    "call",
    [
        "call ipai.run_sync()",
        "call ipai.run_sync('sample_metrics')",
        "select * from ipai.sync_mirror('sample_metrics')",
        "select * from ipai.refresh_counts('sample_metrics')",
    ],
)
def test_replica_refuses_runs(erp: FaultyOdoo, replica: Cluster, call: str) -> None:
    with psycopg.connect(replica.dsn(user="postgres"), autocommit=True) as connection, pytest.raises(psycopg.Error) as error:
        connection.execute(call)
    assert error.value.sqlstate == "25006"
    assert error.value.diag.message_primary == "this server is a read replica"
    assert "primary" in (error.value.diag.message_hint or "")
    assert erp.requests == []
