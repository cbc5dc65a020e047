"""Tests that concurrent sessions wait only as long as necessary, or fail immediately."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from harness import shell
from support.definitions import ScriptedOdoo, execute
from support.faulty import blocked_until, delayed, metric, respond_normally
from support.reliability import Section
from support.sessions import PROMPT_SECONDS, Connection, running_statement, wait_for_pages
from support.supabase import Supabase

SECTION = Section("Concurrent sessions")

CALL = "call ipai.run_sync('sample_metrics')"
TABLE = "ipai.ipai_sample_metrics"
RECORDS = [metric(number) for number in range(1, 101)]


@pytest.fixture
def erp(supabase: Supabase) -> Iterator[ScriptedOdoo]:
    with ScriptedOdoo(RECORDS) as server:
        supabase.server(server.url)
        supabase.register(page_size=10)
        yield server


def edit(erp: ScriptedOdoo, name: str) -> None:
    # Each edit has a later write_date than the one before.
    hour = 1 + max(int(record["write_date"][11:13]) for record in erp.records)
    erp.records = [metric(record["id"], name=name, write_date=f"2026-01-06 {hour:02}:00:00") for record in erp.records]


def names(supabase: Supabase, table: str = TABLE) -> set[str]:
    return {row["name"] for row in supabase.rows(f"select distinct name from {table}")}


def assert_released(supabase: Supabase) -> None:
    assert supabase.rows("select from pg_locks where locktype = 'advisory'") == []
    assert supabase.rows("select from ipai.sync_runs where state in ('running', 'dead')") == []


def call(connection: Connection, statement: str) -> str | None:
    """Executes a statement, and returns the SQLSTATE of its error or None."""
    try:
        connection.execute(statement)
    except psycopg.Error as error:
        return error.sqlstate
    return None


def run_concurrently(connections: list[Connection], statements: list[str]) -> list[str | None]:
    with ThreadPoolExecutor(len(connections)) as executor:
        return list(executor.map(call, connections, statements))


@pytest.mark.parametrize("statement", [CALL, "select * from ipai.sync_mirror('sample_metrics')"], ids=["run_sync", "sync_mirror"])
def test_only_one_of_concurrent_runs_of_a_mirror_works(supabase: Supabase, erp: ScriptedOdoo, statement: str) -> None:
    supabase.rows(CALL)
    edit(erp, "Edited")
    erp.on("search_count", delayed(0.5))
    sessions = [supabase.connect() for _ in range(8)]
    which = "run_sync" if statement == CALL else "sync_mirror"
    with SECTION.trial(f"eight {which} of one mirror") as trial:
        outcomes = run_concurrently(sessions, [statement] * 8)
        assert outcomes.count(None) == 1 and set(outcomes) == {None, "55P03"}
        trial.record_outcome("one run works, the others fail with 55P03")
    assert names(supabase) == {"Edited"}
    assert_released(supabase)


def test_runs_of_ten_mirrors_are_concurrent(supabase: Supabase, erp: ScriptedOdoo) -> None:
    tables = [TABLE, *(supabase.add_mirror(f"m{number}") for number in range(9))]
    mirrors = ["sample_metrics", *(f"m{number}" for number in range(9))]
    sessions = [supabase.connect() for _ in mirrors]
    with SECTION.trial("ten mirrors with one run each") as trial:
        for name in ("Metric", "Edited", "Edited again"):
            if name != "Metric":
                edit(erp, name)
            assert run_concurrently(sessions, [f"call ipai.run_sync('{mirror}')" for mirror in mirrors]) == [None] * 10
            for table in tables:
                rows = supabase.rows(f"select odoo_id, name from {table} order by 1")
                assert [(row["odoo_id"], row["name"]) for row in rows] == [(record["id"], record["name"]) for record in erp.records]
        trial.record_outcome("all complete")
    with SECTION.trial("ten mirrors, ten sessions that each run all of them") as trial:
        edit(erp, "Once more")
        outcomes = run_concurrently(sessions, ["call ipai.run_sync()"] * 10)
        assert set(outcomes) <= {None, "55P03"}
        trial.record_outcome("each mirror has one run, concurrent runs of a mirror fail with 55P03")
    # A run of each mirror has started after the edit and has completed.
    assert [names(supabase, table) for table in tables] == [{"Once more"}] * 10
    assert_released(supabase)


def test_error_names_the_session_that_holds_the_lock(supabase: Supabase, erp: ScriptedOdoo) -> None:
    """Postgres has no privilege for advisory locks."""
    supabase.cluster.psql("create role stranger login")
    try:
        stranger = supabase.connect("stranger", application_name="it's mine")
        execute(stranger, "select pg_advisory_lock(hashtext('ipai_sync'), hashtext('sample_metrics'))")
        for user in ("postgres", "supabase_admin"):
            session = supabase.connect(user)
            with pytest.raises(psycopg.errors.LockNotAvailable) as busy:
                execute(session, "select * from ipai.sync_mirror('sample_metrics')")
            detail, pid = busy.value.diag.message_detail or "", stranger.info.backend_pid
            assert detail.startswith(f"Process {pid} holds the lock as role stranger, application 'it''s mine'.")
            assert "Its last statement started at" in detail
        with pytest.raises(psycopg.errors.LockNotAvailable):
            supabase.rows(CALL)
        assert supabase.rows("select detail from ipai.sync_runs") == []
        # The hint is a statement that ends the session.
        supabase.rows((busy.value.diag.message_hint or "").rpartition(": ")[2])
        shell.wait_until(lambda: call(supabase.connect(), CALL) is None, "the end of the session", seconds=PROMPT_SECONDS)
    finally:
        supabase.cluster.psql("drop role stranger")


#: Statements executed while a run waits for its third page, and their SQLSTATE. None of them waits.
CONCURRENT_STATEMENTS = {
    "alter_mirror": ("select ipai.alter_mirror('sample_metrics', page_size => 3)", None),
    "alter_mirror of the language": ("select ipai.alter_mirror('sample_metrics', lang => 'fr_FR')", None),
    "refresh_mirror": ("select * from ipai.refresh_mirror('sample_metrics')", None),
    "drop_mirror": ("select ipai.drop_mirror('sample_metrics')", "55P03"),
    "sync_mirror": ("select * from ipai.sync_mirror('sample_metrics')", "55P03"),
    "run_sync": (CALL, "55P03"),
    "refresh_counts": ("select * from ipai.refresh_counts('sample_metrics')", None),
    "check_connection": ("select * from ipai.check_connection()", None),
}


@pytest.mark.parametrize("name", CONCURRENT_STATEMENTS)
def test_other_functions_do_not_wait_for_a_run(supabase: Supabase, erp: ScriptedOdoo, name: str) -> None:
    statement, sqlstate = CONCURRENT_STATEMENTS[name]
    supabase.rows(CALL)
    edit(erp, "Edited")
    gate = threading.Event()
    erp.on("search_read", respond_normally, times=2)
    erp.on("search_read", blocked_until(gate))
    with running_statement(supabase, supabase.connect(), CALL) as run:
        wait_for_pages(supabase, 2)
        with SECTION.trial(f"{name} while the mirror runs") as trial:
            ended = call(supabase.connect(), statement)
            trial.record_outcome("done without waiting" if ended is None else f"{ended}: fails without waiting")
        assert ended == sqlstate
        assert trial.seconds is not None and trial.seconds < PROMPT_SECONDS
        gate.set()
        run.result(timeout=20)
    erp.clear_faults()
    supabase.rows(CALL)
    assert names(supabase) == {"Edited"}
    assert supabase.last_run()["mirror_count"] == len(RECORDS)
    assert_released(supabase)


def test_long_snapshot_of_a_reader_blocks_no_run(supabase: Supabase, erp: ScriptedOdoo) -> None:
    supabase.rows(CALL)
    reader = supabase.connect()
    rows = f"select odoo_id, name from {TABLE} order by 1"
    with SECTION.trial("a reader with a long snapshot") as trial:
        execute(reader, "begin transaction isolation level repeatable read")
        before = execute(reader, rows)
        edit(erp, "Edited")
        erp.records = erp.records[10:]
        began = time.monotonic()
        for mode in ("auto", "full", "reconcile"):
            supabase.rows(f"call ipai.run_sync('sample_metrics', '{mode}')")
        assert time.monotonic() - began < 10
        assert supabase.last_run()["mirror_count"] == 90
        # No session waited, and the reader still sees its snapshot.
        assert execute(reader, rows) == before
        execute(reader, "commit")
        trial.record_outcome("neither waits; the reader sees its snapshot")
    assert len(execute(reader, rows)) == 90 and names(supabase) == {"Edited"}


def test_row_that_a_user_inserts_concurrently_is_updated(supabase: Supabase, erp: ScriptedOdoo) -> None:
    """The run saw no row with this id, so it inserts one."""
    user, session = supabase.connect(), supabase.connect()
    execute(user, "begin")
    execute(user, f"insert into {TABLE} (odoo_id, name, code, unit) values (17, 'A user was here', 'X', 'count')")
    with SECTION.trial("a user inserts a row of the page") as trial, ThreadPoolExecutor(1) as executor:
        run = executor.submit(call, session, CALL)
        pid = session.info.backend_pid
        shell.wait_until(lambda: supabase.row("select cardinality(pg_blocking_pids(%s)) as n", pid)["n"], "the run waiting for the user")
        execute(user, "commit")
        assert run.result(timeout=20) is None
        trial.record_outcome("the run completes")
    assert supabase.last_run()["mirror_count"] == 100
    assert supabase.row(f"select name from {TABLE} where odoo_id = 17") == {"name": "Metric 17"}


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_sync_with_an_old_snapshot_fails_and_can_be_repeated(supabase: Supabase, erp: ScriptedOdoo, level: str) -> None:
    supabase.rows(CALL)
    session = supabase.connect()
    execute(session, f"begin transaction isolation level {level}")
    execute(session, f"select from {TABLE}")
    edit(erp, "Edited")
    supabase.rows(CALL)
    edit(erp, "Edited again")
    with SECTION.trial(f"sync_mirror in a transaction ({level}) older than another's run") as trial:
        with pytest.raises(psycopg.errors.SerializationFailure) as raised:
            execute(session, "select * from ipai.sync_mirror('sample_metrics')")
        trial.record_outcome(f"{raised.value.sqlstate}: {raised.value.diag.message_primary}")
    execute(session, "rollback")
    assert names(supabase) == {"Edited"}
    execute(session, "select * from ipai.sync_mirror('sample_metrics')")
    assert names(supabase) == {"Edited again"}


@pytest.mark.whole_file
def test_page_matches_the_recorded_outcomes() -> None:
    SECTION.compare()
