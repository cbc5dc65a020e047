"""Tests the engine outside of the server, in a database without the extension.

The program `run_mirror` of crates/cli stands in for a command line.
"""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness import extension, paths, postgres, shell
from harness.odoo import Odoo
from harness.postgres import Installation
from support.comparison import MODEL, assert_equal, ids, odoo_rows
from support.faulty import Exchange, FaultyOdoo, metric, never_respond, recorded, respond_normally
from support.supabase import ROWS, Supabase

MIRROR = "sample_metrics"


@pytest.fixture(scope="module")
def programs() -> dict[str, Path]:
    """The test `session` and the example `run_mirror` of crates/cli."""
    pg = Installation.default()
    # As the layer `pure` builds them: with these features cargo compiles nothing twice.
    targets = ["--workspace", "--test", "session", "--example", "run_mirror", *extension.test_features(pg)]
    built = shell.run(
        ["cargo", "build", "--quiet", "--message-format", "json", *targets],
        cwd=paths.PROJECT,
        env=extension.environment(pg),
        capture=True,
    )
    messages = [json.loads(line) for line in built.stdout.splitlines()]
    return {message["target"]["name"]: Path(message["executable"]) for message in messages if message.get("executable")}


@pytest.fixture(scope="module")
def _database() -> Iterator[Supabase]:
    with postgres.supabase_cluster(Installation.default()) as cluster:
        cluster.psql("create schema ipai", user="postgres")
        core = [*sorted((extension.SQL / "core/tables").glob("*.sql")), *sorted((extension.SQL / "core/objects").glob("*.sql"))]
        for path in core:
            cluster.psql_file(path, user="postgres", one_transaction=True)
        postgres.migrate(cluster)
        yield Supabase(cluster)


@pytest.fixture
def database(_database: Supabase) -> Supabase:
    """A database with sql/core and without the extension, with an empty mirror."""
    tables = (
        "ipai.ipai_sample_metrics, ipai.mirrors, ipai.mirror_state, ipai.mirror_objects, ipai.run_log, ipai.sync_rejects, ipai.odoo_logins"
    )
    _database.cluster.psql(
        f"truncate {tables}; select ipai.register_sample_metrics(); update ipai.mirrors set page_size = 500, max_rejects = 100"
    )
    return _database


@dataclass
class Program:
    """Runs the mirror from one Odoo."""

    path: Path
    database: Supabase
    odoo: FaultyOdoo | Odoo
    env: dict[str, str | None] = field(init=False)

    def __post_init__(self) -> None:
        login, password = (
            (self.odoo.login, self.odoo.password) if isinstance(self.odoo, FaultyOdoo) else (self.odoo.admin_user, self.odoo.admin_password)
        )
        self.env = {
            "DATABASE_URL": self.database.cluster.dsn(user="postgres"),
            "ODOO_URL": self.odoo.url,
            "ODOO_DB": self.odoo.dbname,
            "ODOO_USER": login,
            "ODOO_PASSWORD": password,
        }

    def run(self, mode: str = "auto") -> dict[str, Any]:
        """Runs the mirror, and returns the row of the last run."""
        shell.run([self.path, MIRROR, mode], env=self.env, capture=True)
        return self.database.last_run()

    def fail(self) -> str:
        """Returns what a run that fails prints."""
        failed = shell.run([self.path, MIRROR], env=self.env, check=False, capture=True)
        assert failed.returncode == 1, failed
        return failed.stderr

    def start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen([self.path, MIRROR], env=shell.environment(self.env), stderr=subprocess.DEVNULL)


@pytest.fixture
def faulty() -> Iterator[FaultyOdoo]:
    """Ten records, written a second apart."""
    records = [metric(number, notes="it's \\N", write_date=f"2026-01-05 08:00:{number:02}") for number in range(1, 11)]
    with FaultyOdoo(records) as server:
        yield server


@pytest.fixture
def program(programs: dict[str, Path], database: Supabase, faulty: FaultyOdoo) -> Program:
    """The program with the simulated Odoo: pages of two records."""
    database.rows("update ipai.mirrors set page_size = 2")
    return Program(programs["run_mirror"], database, faulty)


def versions(database: Supabase) -> list[dict[str, Any]]:
    return database.mirror("odoo_id, xmin::text, xmax::text, ctid::text, updated_at")


def mirrored(database: Supabase) -> list[int]:
    return [row["odoo_id"] for row in database.mirror("odoo_id")]


# The session ------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["tcp", "socket"])
def test_session_passes_its_own_tests(programs: dict[str, Path], _database: Supabase, host: str) -> None:
    cluster = _database.cluster
    address = f"host={cluster.host if host == 'tcp' else cluster.directory} port={cluster.port} user=postgres dbname=postgres"
    tests = shell.run(
        [programs["session"], "--include-ignored"],
        env={"IPAI_TEST_DATABASE": f"{address} sslmode=disable", "RUST_BACKTRACE": None},
        check=False,
        capture=True,
    )
    assert tests.returncode == 0 and " 0 ignored;" in tests.stdout, tests.stdout + tests.stderr


# Runs -------------------------------------------------------------------------------------------


def test_mirror_equals_a_real_odoo_after_each_run(programs: dict[str, Path], database: Supabase, erp: Odoo) -> None:
    program = Program(programs["run_mirror"], database, erp)
    first = program.run()
    assert (first["mode"], first["state"], first["pages"], first["inserted"]) == ("full", "succeeded", ROWS // 500, ROWS)
    assert_equal(database, erp)
    before = versions(database)
    second = program.run("full")
    assert (second["fetched"], second["unchanged"], second["inserted"], second["updated"]) == (ROWS, ROWS, 0, 0)
    assert versions(database) == before
    edited, deleted = ids(erp, "active", 7), ids(erp, "not active", 3)
    erp.rpc(MODEL, "write", edited, {"notes": "über <b>&amp;</b> \n 🚀", "date": False})
    erp.rpc(MODEL, "unlink", deleted)
    changed = program.run()
    assert (changed["mode"], changed["updated"], changed["deleted"]) == ("incremental", 7, 3)
    assert_equal(database, erp)
    assert (changed["odoo_count"], changed["mirror_count"]) == (len(odoo_rows(erp)),) * 2


def test_incremental_run_brings_a_change_and_a_deletion(program: Program, database: Supabase, faulty: FaultyOdoo) -> None:
    assert program.run()["inserted"] == 10
    before = {row["odoo_id"]: row for row in versions(database)}
    faulty.records[4] |= {"value": 0.1, "notes": False, "write_date": "2026-01-05 09:00:00"}
    del faulty.records[9]
    run = program.run()
    assert (run["mode"], run["inserted"], run["updated"], run["deleted"]) == ("incremental", 0, 1, 1)
    after = {row["odoo_id"]: row for row in versions(database)}
    assert mirrored(database) == list(range(1, 10))
    assert [key for key in after if after[key] != before[key]] == [5]
    row = database.row("select value, notes from ipai.ipai_sample_metrics where odoo_id = 5")
    assert row == {"value": 0.1, "notes": None}
    # The run released its lock, and left the login for the next run.
    assert database.rows("select from pg_locks where locktype = 'advisory'") == []
    assert len(faulty.received("authenticate")) == 1


def test_failed_run_is_recorded_and_resumed(program: Program, database: Supabase, faulty: FaultyOdoo) -> None:
    faulty.on("search_read", respond_normally, times=2)
    faulty.on("search_read", recorded("fault_access_error_read_portal"))
    printed = program.fail()
    assert printed.startswith('ERROR:  42501: cannot read model "ipai.sample.metric": Odoo denies access')
    failed = database.last_run()
    assert (failed["state"], failed["sqlstate"], failed["position"]) == ("failed", "42501", 4)
    assert mirrored(database) == [1, 2, 3, 4]
    faulty.clear_faults()
    program.run()
    run = database.resumed_run()
    assert (run["resumes"], run["fetched"], run["inserted"], run["odoo_count"]) == (failed["run"], 6, 6, 10)
    assert mirrored(database) == list(range(1, 11))


def test_refused_record_is_set_aside_over_the_wire(program: Program, database: Supabase, faulty: FaultyOdoo) -> None:
    faulty.records[3]["unit"] = "furlong"
    program.run()
    assert mirrored(database) == [1, 2, 3, 5, 6, 7, 8, 9, 10]
    (reject,) = database.rows("select odoo_id, refused, field, sqlstate from ipai.sync_rejects")
    assert reject == {"odoo_id": 4, "refused": "insert", "field": "unit", "sqlstate": "23514"}
    faulty.records[3]["unit"] = "count"
    program.run()
    assert (len(mirrored(database)), database.rows("select from ipai.sync_rejects")) == (10, [])


def test_no_transaction_waits_for_odoo_after_a_retry(program: Program, database: Supabase, faulty: FaultyOdoo) -> None:
    faulty.records[3]["unit"] = "furlong"
    program.run()
    faulty.take_calls()
    faulty.on("search_count", never_respond)
    process = program.start()
    try:
        shell.wait_until(lambda: bool(faulty.received("search_count")), "the request for the count", seconds=20)
        (waiting,) = database.rows("select state, xact_start from pg_stat_activity where pid = %s", database.last_run()["pid"])
        assert waiting == {"state": "idle", "xact_start": None}
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def test_refused_record_is_named_and_its_page_is_undone(program: Program, database: Supabase, faulty: FaultyOdoo) -> None:
    faulty.records[3]["unit"] = "furlong"
    database.rows("update ipai.mirrors set max_rejects = 0")
    printed = program.fail()
    assert printed.startswith('ERROR:  23514: record 4 of ipai.sample.metric does not fit into the mirror, field "unit"')
    assert "ipai_sample_metrics_unit_check" in printed
    assert mirrored(database) == [1, 2]
    assert database.last_run()["sqlstate"] == "23514"


def test_killed_program_leaves_a_dead_run_and_no_lock(program: Program, database: Supabase, faulty: FaultyOdoo) -> None:
    faulty.on("search_read", respond_normally, times=2)
    faulty.on("search_read", never_respond)
    process = program.start()
    try:
        shell.wait_until(lambda: mirrored(database) == [1, 2, 3, 4], "two committed pages", seconds=20)
        # Nothing is open or locked while the run waits for Odoo, except for the lock of the run.
        shell.wait_until(lambda: len(faulty.received("search_read")) == 3, "the third request", seconds=20)
        (waiting,) = database.rows("select state, xact_start from pg_stat_activity where pid = %s", database.last_run()["pid"])
        assert waiting == {"state": "idle", "xact_start": None}
        locks = database.rows("select locktype from pg_locks where pid = %s", database.last_run()["pid"])
        assert locks == [{"locktype": "advisory"}]
        second = program.fail()
        assert second.startswith('ERROR:  55P03: mirror "sample_metrics" is in use')
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    shell.wait_until(lambda: database.last_run()["state"] == "dead", "the run to be shown as dead", seconds=10)
    faulty.clear_faults()
    program.run()
    assert database.resumed_run()["inserted"] == 6


def test_terminated_backend_fails_the_run_as_a_lost_database(program: Program, database: Supabase, faulty: FaultyOdoo) -> None:
    def terminate(exchange: Exchange) -> None:
        database.rows("select pg_terminate_backend(%s)", database.last_run()["pid"])
        respond_normally(exchange)

    faulty.on("search_read", respond_normally, times=2)
    faulty.on("search_read", terminate, times=1)
    assert program.fail().startswith("ERROR:  08006: the connection to the database was lost")
    assert database.last_run()["state"] == "dead"
    program.run()
    assert database.resumed_run()["inserted"] == 6
