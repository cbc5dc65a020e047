"""Tests crashes, locks and changed tables in the middle of a run.

The next run must complete, and the mirror must equal Odoo.
"""

from __future__ import annotations

import random
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from harness import postgres, shell
from harness.odoo import Odoo, generate_metrics
from harness.postgres import Installation
from support.comparison import assert_equal, odoo_rows, sql
from support.crashes import wait_for_recovery
from support.definitions import blocked_statement, execute
from support.faulty import FaultyOdoo, blocked_until, metric, respond_normally
from support.reliability import Section
from support.sessions import Connection, running_statement, statement_error, wait_for_pages
from support.supabase import Supabase

SECTION = Section("Crashes, locks and changed tables")

CALL = "call ipai.run_sync('sample_metrics')"
TABLE = "ipai.ipai_sample_metrics"
#: The mirror reads them in pages of 100.
METRICS = 3_000
RECORDS = [metric(number) for number in range(1, 11)]


@pytest.fixture(scope="module")
def erp() -> Iterator[Odoo]:
    with Odoo() as odoo:
        generate_metrics(odoo, METRICS)
        yield odoo


@pytest.fixture
def registered(supabase: Supabase, erp: Odoo) -> Supabase:
    supabase.server(erp.url)
    supabase.register(page_size=100)
    return supabase


def change(erp: Odoo, random: random.Random) -> None:
    """Edits a tenth of the records, deletes a few and creates a few."""
    sql(
        erp,
        f"""update ipai_sample_metric set name = 'Edit ' || {random.randrange(10**9)} || id, write_date = now() at time zone 'UTC'
            where id % 10 = {random.randrange(10)};
            delete from ipai_sample_metric where id in (select id from ipai_sample_metric where id % 97 = {random.randrange(97)} limit 20);
            insert into ipai_sample_metric (name, code, unit, active, write_date)
            select 'New ' || n, 'NEW', 'count', true, now() at time zone 'UTC' from generate_series(1, 10) as n""",
    )


def wait_for_end(call: Future[Any]) -> None:
    """Waits for the end of the session. The run may have completed before the crash."""
    error = call.exception(timeout=20)
    assert error is None or isinstance(error, psycopg.OperationalError), error


# Crashes ------------------------------------------------------------------------------------------


def stop_immediately(supabase: Supabase, connection: Connection) -> None:
    supabase.cluster.stop("immediate")
    supabase.cluster.start()


CRASHES = {
    "kill -9 of the backend": (Supabase.kill, CALL, 4),
    "immediate shutdown of Postgres": (stop_immediately, CALL, 3),
    "kill -9 of the backend, in the caller's transaction": (Supabase.kill, "select * from ipai.sync_mirror('sample_metrics')", 1),
}


@pytest.mark.parametrize("name", CRASHES)
def test_next_run_completes_after_a_crash(registered: Supabase, erp: Odoo, name: str) -> None:
    crash, statement, times = CRASHES[name]
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    slowest = 0.0
    began = time.monotonic()
    registered.connect().execute(CALL)
    usual = time.monotonic() - began
    with SECTION.trial(f"{name}, at random moments") as trial:
        for mode in [*("'sample_metrics', 'full'", "'sample_metrics'") * times][:times]:
            change(erp, chance)
            connection = registered.connect()
            before = {row["odoo_id"] for row in registered.mirror("odoo_id")}
            text = statement.replace("'sample_metrics'", mode) if statement == CALL else statement
            with running_statement(registered, connection, text) as call:
                time.sleep(chance.uniform(0, usual))
                crash(registered, connection)
                wait_for_end(call)
            wait_for_recovery(registered.cluster)
            # No row is missing except those whose records were deleted in Odoo.
            assert before - {row["odoo_id"] for row in registered.mirror("odoo_id")} <= before - {row[0] for row in odoo_rows(erp)}
            began = time.monotonic()
            registered.rows(CALL)
            slowest = max(slowest, time.monotonic() - began)
            assert registered.last_run()["state"] == "succeeded"
            assert_equal(registered, erp)
            assert registered.rows("select from pg_locks where locktype = 'advisory'") == []
        trial.record_outcome("the next run resumes, and the mirror equals Odoo")
        trial.seconds = slowest


def test_odoo_restarts_during_a_run(registered: Supabase, erp: Odoo) -> None:
    chance = random.Random(7)
    registered.rows(CALL)
    change(erp, chance)
    connection = registered.connect()
    with SECTION.trial("Odoo is restarted in the middle of a run") as trial:
        with running_statement(registered, connection, CALL.replace(")", ", 'full')")) as call:
            wait_for_pages(registered, 2)
            erp.restart()
            error = call.exception(timeout=60)
        assert error is None or (isinstance(error, psycopg.Error) and error.sqlstate in ("08001", "08006")), error
        registered.rows(CALL)
        # It depends on seconds whether Odoo is back before the run's last retry.
        trial.record_outcome("the run retries for some seconds, then fails with 08001 or 08006; the next run resumes")
    assert_equal(registered, erp)


# A full disk --------------------------------------------------------------------------------------


@contextmanager
def small_disk(kilobytes: int) -> Iterator[Path]:
    """Mounts a file system of this size. It needs root or sudo, like the installation."""
    folder = Path(tempfile.mkdtemp(prefix="ipai_sync-", dir="/tmp"))
    folder.chmod(0o755)
    shell.run(shell.as_root(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "ipai_sync", folder]))
    try:
        below = folder / "space"
        below.mkdir()
        shutil.chown(below, shell.SERVICE_USER)
        yield below
    finally:
        shell.run(shell.as_root(["umount", "-l", folder]))
        folder.rmdir()


def test_full_disk_keeps_the_committed_pages(extension_pg: Installation, erp: Odoo) -> None:
    with small_disk(320) as disk, new_cluster(extension_pg) as supabase:
        supabase.cluster.psql(f"create tablespace small location '{disk}'")
        supabase.cluster.psql(f"alter table {TABLE} set tablespace small")
        supabase.server(erp.url)
        supabase.register(page_size=100)
        connection = supabase.connect()
        with SECTION.trial("the disk of the mirror is full") as trial:
            with pytest.raises(psycopg.errors.DiskFull) as raised:
                connection.execute(CALL)
            # The file's name follows in the message.
            message = str(raised.value.diag.message_primary).split('"')[0].strip()
            trial.record_outcome(f"53100: {message} …; with free space, the next run resumes")
        run = supabase.last_run()
        assert (run["state"], run["sqlstate"], run["position"] > 0) == ("failed", "53100", True)
        kept = len(supabase.mirror("odoo_id"))
        assert 0 < kept < METRICS
        # The next scheduled run fails too, and keeps the rows.
        with pytest.raises(psycopg.errors.DiskFull):
            connection.execute(CALL)
        assert len(supabase.mirror("odoo_id")) >= kept
        shell.run(shell.as_root(["mount", "-o", "remount,size=64m", disk.parent]))
        connection.execute(CALL)
        assert supabase.resumed_run()["inserted"] > 0
        assert_equal(supabase, erp)
        supabase.reset()
        supabase.cluster.stop("immediate")


# Locks and changed tables -------------------------------------------------------------------------


@contextmanager
def new_cluster(installation: Installation) -> Iterator[Supabase]:
    """A cluster for one test."""
    with postgres.supabase_cluster(installation) as cluster:
        cluster.psql("create extension ipai_sync")
        postgres.migrate(cluster)
        yield Supabase(cluster)


@pytest.fixture
def scripted(supabase: Supabase) -> Iterator[FaultyOdoo]:
    """A mirror of ten records in pages of two, and an Odoo in which all of them have changed."""
    with FaultyOdoo(RECORDS) as server:
        supabase.server(server.url)
        supabase.register(page_size=2)
        supabase.rows(CALL)
        server.records = [metric(number, name="Edited", write_date="2026-01-06 08:00:00") for number in range(1, 11)]
        yield server


def edited(supabase: Supabase, table: str = TABLE) -> int:
    return int(supabase.row(f"select count(*) from {table} where name = 'Edited'")["count"])


def test_deadlock_fails_the_run_without_damage(supabase: Supabase, scripted: FaultyOdoo) -> None:
    user = supabase.connect("supabase_admin")
    # Postgres must choose the run as the victim of the deadlock.
    user.execute("set deadlock_timeout = '60s'")
    # One page, because the order of writes within a page is undefined.
    supabase.register(page_size=10)
    others = f"select from {TABLE} where odoo_id <> 5 for update"
    with SECTION.trial("a deadlock with another session") as trial, user.transaction():
        execute(user, f"select from {TABLE} where odoo_id = 5 for update")
        with blocked_statement(supabase, CALL, user) as call, running_statement(supabase, user, others) as winner:
            error = statement_error(call, 20)
            trial.record_outcome(error)
            winner.result(timeout=20)
    assert error.sqlstate == "40P01"
    run = supabase.last_run()
    assert (run["state"], run["sqlstate"], run["position"], edited(supabase)) == ("failed", "40P01", 0, 0)
    supabase.rows(CALL)
    assert edited(supabase) == 10


def test_run_waits_for_a_lock_of_another_session(supabase: Supabase, scripted: FaultyOdoo) -> None:
    user = supabase.connect()
    with SECTION.trial("another session holds a row for a while") as trial:
        execute(user, "begin")
        execute(user, f"select from {TABLE} where odoo_id = 4 for update")
        with blocked_statement(supabase, CALL, user) as call:
            execute(user, "commit")
            call.result(timeout=20)
        trial.record_outcome("the run waits for the lock, and completes")
    assert edited(supabase) == 10


@pytest.mark.parametrize("lock", [f"select from {TABLE} where odoo_id = 4 for update", f"lock table {TABLE}"], ids=["a row", "the table"])
def test_lock_timeout_fails_the_run(supabase: Supabase, scripted: FaultyOdoo, lock: str) -> None:
    user, connection = supabase.connect(), supabase.connect()
    connection.execute("set lock_timeout = '300ms'")
    with SECTION.trial(f"lock_timeout, another session holds {'the table' if 'table' in lock else 'a row'}") as trial, user.transaction():
        execute(user, lock)
        with pytest.raises(psycopg.errors.LockNotAvailable) as raised:
            connection.execute(CALL)
        trial.record_outcome(raised.value)
    run = supabase.last_run()
    assert (run["state"], run["sqlstate"]) == ("failed", "55P03")
    connection.execute(CALL)
    assert edited(supabase) == 10


# Each change is made to a separate mirror's table while a run waits for its third page, and
# reverted afterwards. The last part is the SQLSTATE of the run, or "rejects" if it has some.
TABLE_CHANGES: dict[str, tuple[str, str, str | None]] = {
    "the table is dropped": ("drop table {table}", "create table {table} (like ipai.ipai_sample_metrics including all)", "42P01"),
    "a column is dropped": ("alter table {table} drop column notes", "alter table {table} add column notes text", "42703"),
    "a column gets another type": (
        "alter table {table} alter column value drop default, alter column value type int[] using '{{}}'",
        "alter table {table} alter column value type double precision using 0",
        "42883",
    ),
    "a column is renamed": ("alter table {table} rename column name to title", "alter table {table} rename column title to name", "42703"),
    "a required column is added": (
        "alter table {table} add column demanded text not null default 'x'; alter table {table} alter column demanded drop default",
        "alter table {table} drop column demanded",
        "rejects",
    ),
    "a column is added": ("alter table {table} add column more text", "alter table {table} drop column more", None),
    "the key is dropped": (
        "alter table {table} drop constraint other_rows_odoo_id_key",
        "alter table {table} add unique (odoo_id)",
        "42P10",
    ),
    "the table is renamed": ("alter table {table} rename to elsewhere", "alter table ipai.elsewhere rename to other_rows", "42P01"),
    "rows are deleted": ("delete from {table} where odoo_id in (1, 9)", "select", None),
    "the table is emptied": ("truncate {table}", "select", None),
    "the privilege is revoked": ("revoke insert on {table} from postgres", "grant insert on {table} to postgres", "42501"),
    "a trigger refuses rows": (
        "create function public.refuse() returns trigger language plpgsql as $$ begin raise 'not today'; end $$; "
        "create trigger refuse before update on {table} for each row execute function public.refuse()",
        "drop function public.refuse() cascade",
        "rejects",
    ),
    "an index is created": ("create index on {table} (name)", "select", None),
}


@pytest.mark.parametrize("name", TABLE_CHANGES)
def test_table_is_changed_during_a_run(supabase: Supabase, scripted: FaultyOdoo, name: str) -> None:
    do, undo, outcome = TABLE_CHANGES[name]
    table = supabase.add_mirror("other")
    supabase.rows("update ipai.mirrors set page_size = 2 where name = 'other'")
    call_other = "call ipai.run_sync('other', 'full')"
    edits, scripted.records = scripted.records, RECORDS
    supabase.rows(call_other)
    scripted.records = edits
    gate = threading.Event()
    scripted.on("search_read", respond_normally, times=2)
    scripted.on("search_read", blocked_until(gate))
    with SECTION.trial(f"{name} in the middle of a run") as trial:
        with running_statement(supabase, supabase.connect(), call_other) as call:
            wait_for_pages(supabase, 2, "other")
            supabase.cluster.psql(do.format(table=table), user="postgres")
            gate.set()
            error = call.exception(timeout=20)
        assert error is None or isinstance(error, psycopg.Error), error
        rejects = supabase.row("select count(*) from ipai.sync_rejects")["count"]
        assert (error.sqlstate if error else "rejects" if rejects else None) == outcome, error
        trial.record_outcome(error or ("the run completes, with rejects" if rejects else "the run completes"))
    run = supabase.last_run("other")
    assert (run["state"], run["sqlstate"]) == (("failed", outcome) if error else ("succeeded", None))
    supabase.cluster.psql(f"{undo.format(table=table)}; select ipai.register_mirror('other')", user="postgres")
    scripted.clear_faults()
    supabase.rows(call_other)
    supabase.rows(call_other)
    assert supabase.last_run("other")["state"] == "succeeded"
    found = {row["odoo_id"]: (row["name"], float(row["value"])) for row in supabase.rows(f"select * from {table}")}
    assert found == {record["id"]: (record["name"], record["value"]) for record in edits}
    assert supabase.rows("select from ipai.sync_rejects") == []


def test_extension_is_dropped_during_a_run(extension_pg: Installation) -> None:
    gate = threading.Event()
    with new_cluster(extension_pg) as supabase, FaultyOdoo(RECORDS) as erp:
        supabase.server(erp.url)
        supabase.register(page_size=2)
        erp.on("search_read", respond_normally, times=2)
        erp.on("search_read", blocked_until(gate))
        connection = supabase.connect()
        with SECTION.trial("the extension is dropped in the middle of a run") as trial:
            with running_statement(supabase, connection, CALL) as call:
                wait_for_pages(supabase, 2)
                supabase.cluster.psql("drop extension ipai_sync cascade")
                gate.set()
                error = statement_error(call, 20)
            trial.record_outcome(error)
        assert error.sqlstate == "42883"
        # The session is usable, and the table keeps its rows.
        assert [row["odoo_id"] for row in execute(connection, f"select odoo_id from {TABLE} order by 1")] == [1, 2, 3, 4]
        assert supabase.rows("select from pg_locks where locktype = 'advisory'") == []
        supabase.cluster.psql("create extension ipai_sync; delete from vault.secrets")
        supabase.server(erp.url)
        erp.clear_faults()
        connection.execute(CALL)
        assert len(supabase.mirror()) == 10


@pytest.mark.whole_file
def test_page_matches_the_recorded_outcomes() -> None:
    SECTION.compare()
