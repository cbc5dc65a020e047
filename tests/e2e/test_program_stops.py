"""Tests stops of the program `ipai-sync` in each phase of a run, and poolers.

A stop loses nothing and leaves no lock, and the next run resumes the interrupted one.
"""

from __future__ import annotations

import json
import random
import signal
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Any

import psycopg
import pytest

from harness import shell
from support.faulty import FaultyOdoo, blocked_until, delayed, metric, respond_normally, status, trickling, unreachable_address
from support.pgbouncer import PgBouncer
from support.program import Ended, ProgramSupabase, Running
from support.proxy import Proxy
from support.sessions import PROMPT_SECONDS
from support.supabase import Supabase

ROWS = 10
TABLE = "ipai.ipai_sample_metrics"
SIGNALS = {"SIGINT": signal.SIGINT, "SIGTERM": signal.SIGTERM, "SIGKILL": signal.SIGKILL}
#: How a stop of the connection to the database is made.
CONNECTIONS = ("cut connection", "restarted PgBouncer")
#: How many stops there are in a normal run, and at night.
FEW, THOUSAND = 45, 1_000


@dataclass
class Setup:
    """The database behind a proxy and a pooler, and the simulated Odoo."""

    supabase: ProgramSupabase
    erp: FaultyOdoo
    proxy: Proxy
    pooler: PgBouncer
    unreachable: str
    silent: int
    stack: ExitStack
    #: Lets the responses that a phase holds back continue.
    gate: threading.Event = field(default_factory=threading.Event)
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def address(self, kind: str) -> str:
        if kind == "restarted PgBouncer":
            return self.pooler.dsn
        port = self.proxy.port if kind == "cut connection" else self.supabase.cluster.port
        return f"postgresql://postgres@127.0.0.1:{port}/postgres?sslmode=disable"

    def is_blocked(self) -> bool:
        return bool(self.supabase.rows("select from pg_locks where not granted and relation = %s::regclass", TABLE))


@dataclass(frozen=True)
class Phase:
    """A phase of a run in which the program is stopped."""

    name: str
    begin: Callable[[Setup], None]
    #: Returns whether the run is in this phase.
    reached: Callable[[Setup], bool]
    #: Whether a run has begun. Otherwise only a signal can stop the program.
    begins: bool = True


def _hold(method: str, after: int = 0) -> Callable[[Setup], None]:
    """Holds back the responses after the first ones."""

    def begin(setup: Setup) -> None:
        setup.erp.on(method, respond_normally, times=after)
        setup.erp.on(method, blocked_until(setup.gate))

    return begin


def _trickle(setup: Setup) -> None:
    setup.erp.on("search_read", respond_normally, times=2)
    setup.erp.on("search_read", trickling, times=1)


def _retry(setup: Setup) -> None:
    setup.erp.on("search_read", respond_normally, times=2)
    setup.erp.on("search_read", status(503, retry_after=25), times=1)


def _lock(setup: Setup) -> None:
    holder = setup.stack.enter_context(psycopg.connect(setup.supabase.cluster.dsn(user="postgres")))
    holder.execute(f"lock table {TABLE} in share mode")


def _slow(setup: Setup) -> None:
    for method in ("search_read", "search_count", "search"):
        setup.erp.on(method, delayed(0.01))


def _received(method: str, times: int = 1) -> Callable[[Setup], bool]:
    return lambda setup: len(setup.erp.received(method)) >= times


def _any_moment(setup: Setup) -> bool:
    time.sleep(random.uniform(0.05, 0.6))
    return True


PHASES = [
    Phase("connection to the database", lambda setup: None, lambda setup: _any_moment(setup), begins=False),
    Phase(
        "connection to Odoo",
        lambda setup: None,
        lambda setup: bool(setup.supabase.rows("select from ipai.sync_runs where state = 'running'")),
    ),
    Phase("headers of a page", _hold("search_read", after=2), _received("search_read", 3)),
    Phase("body of a page", _trickle, _received("search_read", 3)),
    Phase("wait for a retry", _retry, lambda setup: _received("search_read", 3)(setup) and setup.erp.connections == 0),
    Phase("statement that waits for a lock", _lock, Setup.is_blocked),
    Phase("count", _hold("search_count"), _received("search_count")),
    Phase("ids", _hold("search"), _received("search")),
    Phase("any moment", _slow, _any_moment),
]
STOPS = [(phase, kind) for phase in PHASES for kind in (*SIGNALS, *CONNECTIONS) if kind in SIGNALS or phase.begins]


@pytest.fixture
def setup(hosted_supabase: ProgramSupabase) -> Iterator[Setup]:
    with ExitStack() as stack:
        erp = stack.enter_context(FaultyOdoo([metric(number) for number in range(1, ROWS + 1)]))
        hosted_supabase.server(erp.url)
        hosted_supabase.register(page_size=2)
        silent = stack.enter_context(_silent_server())
        made = Setup(
            hosted_supabase,
            erp,
            stack.enter_context(Proxy(hosted_supabase.cluster.port, seed=1)),
            stack.enter_context(PgBouncer(hosted_supabase.cluster, "session")),
            stack.enter_context(unreachable_address()),
            silent,
            stack.enter_context(ExitStack()),
        )
        hosted_supabase.run()
        yield made


@contextmanager
def _silent_server() -> Iterator[int]:
    """Yields the port of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        yield server.getsockname()[1]


def change(erp: FaultyOdoo, number: int) -> None:
    """Edits every record, deletes one and creates one."""
    written = f"2026-02-{1 + number // 86_400:02} {number // 3_600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}"
    records = [{**record, "name": f"Edit {number}", "write_date": written} for record in erp.records[1:]]
    erp.records = [*records, metric(erp.records[-1]["id"] + 1, write_date=written)]


def mirrored(supabase: Supabase) -> dict[int, str]:
    return {row["odoo_id"]: row["name"] for row in supabase.mirror("odoo_id, name")}


def start(setup: Setup, phase: Phase, kind: str) -> Running:
    supabase = setup.supabase
    address = setup.address(kind)
    if not phase.begins:
        address = f"postgresql://postgres@127.0.0.1:{setup.silent}/postgres?sslmode=disable"
    supabase.set_url(setup.unreachable if phase.name == "connection to Odoo" else setup.erp.url)
    return supabase.start("--json", "run", "sample_metrics", env={"DATABASE_URL": address})


def stop(setup: Setup, running: Running, kind: str) -> Ended:
    """Stops the program, which must end promptly."""
    began = time.monotonic()
    if kind in SIGNALS:
        running.process.send_signal(SIGNALS[kind])
    else:
        # Odoo does not respond meanwhile.
        setup.proxy.cut() if kind == "cut connection" else setup.pooler.restart()
    killer = threading.Timer(20, running.process.kill)
    killer.start()
    try:
        ended = running.wait()
    finally:
        killer.cancel()
    setup.seconds.setdefault(kind, []).append(time.monotonic() - began)
    return ended


def assert_stopped(setup: Setup, phase: Phase, kind: str, ended: Ended, runs_before: int) -> None:
    """Checks how the program and its run have ended."""
    supabase = setup.supabase
    unlocked = "select from pg_locks where locktype = 'advisory'"
    shell.wait_until(lambda: not supabase.rows(unlocked), "the lock of the mirror to be released", seconds=PROMPT_SECONDS + 3, every=0.01)
    run = supabase.last_run()
    has_run = run["run"] > runs_before
    if ended.status == 0 or (phase.name == "any moment" and not has_run):
        assert phase.name == "any moment"
        return
    assert has_run == phase.begins
    if kind == "SIGKILL":
        assert ended.status == -signal.SIGKILL
    else:
        error = json.loads(ended.stdout.splitlines()[-1])["error"]
        assert (ended.status, error["sqlstate"]) == (1, "57014" if kind in SIGNALS else "08006"), error
        assert kind not in SIGNALS or error["hint"]
    if has_run and (phase.name != "any moment" or run["state"] != "succeeded"):
        assert run["state"] == ("cancelled" if kind in ("SIGINT", "SIGTERM") else "dead")


def trial(setup: Setup, number: int, phase: Phase, kind: str) -> None:
    supabase, erp = setup.supabase, setup.erp
    change(erp, number)
    expected = {record["id"]: record["name"] for record in erp.records}
    before = mirrored(supabase)
    last = supabase.last_run()["run"]
    erp.requests.clear()
    setup.gate.clear()
    phase.begin(setup)
    running = start(setup, phase, kind)
    shell.wait_until(lambda: running.process.poll() is not None or phase.reached(setup), f"the phase {phase.name}", seconds=30, every=0.01)
    # What was committed is not lost.
    committed = mirrored(supabase)
    ended = stop(setup, running, kind)
    setup.stack.close()
    assert_stopped(setup, phase, kind, ended, last)
    after = mirrored(supabase)
    assert all(after.get(key) == name for key, name in committed.items() if expected.get(key) == name)
    assert before.keys() - after.keys() <= before.keys() - expected.keys()
    stopped = supabase.last_run()
    setup.gate.set()
    erp.clear_faults()
    erp.wait_until_disconnected(10)
    supabase.set_url(erp.url)
    supabase.run()
    assert mirrored(supabase) == expected
    # A run that has read every record is not resumed: the next one finds the missing ids.
    if stopped["run"] > last and stopped["pages"] and stopped["position"] < max(expected):
        assert supabase.rows("select state from ipai.sync_runs where resumes = %s", stopped["run"]) == [{"state": "succeeded"}]


@pytest.mark.parametrize("times", [pytest.param(FEW, id="few"), pytest.param(THOUSAND, id="a thousand", marks=pytest.mark.slow)])
def test_stopped_run_loses_nothing_and_is_resumed(setup: Setup, times: int) -> None:
    random.seed(times)
    for number, (phase, kind) in enumerate(islice(cycle(STOPS), times), start=1):
        try:
            trial(setup, number, phase, kind)
        except BaseException as error:
            error.add_note(f"stop {number}: {kind} in the phase {phase.name}")
            raise
    for kind, seconds in setup.seconds.items():
        print(f"{kind:20} {len(seconds):4} median {statistics.median(seconds):.3f} s  max {max(seconds):.3f} s")
        assert max(seconds) < PROMPT_SECONDS, (kind, max(seconds))
    assert sum(map(len, setup.seconds.values())) == times >= len(STOPS)


# The server ---------------------------------------------------------------------------------------


def _terminate(supabase: ProgramSupabase) -> None:
    supabase.rows("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'ipai-sync'")


def _stop_immediately(supabase: ProgramSupabase) -> None:
    supabase.cluster.stop("immediate")


@pytest.mark.parametrize("end", [_terminate, _stop_immediately])
def test_lost_database_ends_the_program_while_odoo_is_silent(setup: Setup, end: Callable[[ProgramSupabase], None]) -> None:
    supabase = setup.supabase
    change(setup.erp, 1)
    expected = {record["id"]: record["name"] for record in setup.erp.records}
    setup.erp.requests.clear()
    _hold("search_read", after=2)(setup)
    running = supabase.start("--json", "run", "sample_metrics")
    try:
        shell.wait_until(lambda: len(setup.erp.received("search_read")) == 3, "the third page", seconds=20, every=0.01)
        shell.wait_until(lambda: supabase.last_run()["pages"] == 2, "the commit of the second page", seconds=20, every=0.01)
        end(supabase)
        began = time.monotonic()
        shell.wait_until(lambda: running.process.poll() is not None, "the end of the program", seconds=20, every=0.01)
        seconds = time.monotonic() - began
    finally:
        running.process.kill()
        supabase.cluster.restart()
    ended = running.wait()
    error = json.loads(ended.stdout)["error"]
    assert (ended.status, error["sqlstate"], error["message"]) == (1, "08006", "the connection to the database was lost")
    assert error["detail"] and error["hint"], error
    assert seconds < PROMPT_SECONDS
    lost = supabase.last_run()
    assert lost["state"] == "dead"
    setup.erp.clear_faults()
    setup.gate.set()
    supabase.run()
    assert mirrored(supabase) == expected
    (resumed,) = supabase.rows("select state, fetched from ipai.sync_runs where resumes = %s", lost["run"])
    assert resumed == {"state": "succeeded", "fetched": ROWS - 4}


def test_lost_database_ends_a_follower_between_two_polls(setup: Setup) -> None:
    supabase = setup.supabase
    running = supabase.start("--json", "follow", "--every", "60")
    try:
        shell.wait_until(lambda: supabase.rows("select from ipai.followers"), "the record of the first poll", seconds=20, every=0.01)
        _terminate(supabase)
        shell.wait_until(lambda: running.process.poll() is not None, "the end of the program", seconds=PROMPT_SECONDS, every=0.01)
    finally:
        running.process.kill()
    ended = running.wait()
    error = json.loads(ended.stdout.splitlines()[-1])["error"]
    assert (ended.status, error["sqlstate"]) == (1, "08006"), error


# Poolers ------------------------------------------------------------------------------------------


def test_pooler_in_transaction_mode_is_refused(setup: Setup) -> None:
    with PgBouncer(setup.supabase.cluster, "transaction") as pooler:
        change(setup.erp, 1)
        ended = setup.supabase.start("--json", "run", env={"DATABASE_URL": pooler.dsn}).wait()
    error = json.loads(ended.stdout)["error"]
    assert (ended.status, error["sqlstate"], error["message"]) == (1, "0A000", "the connection pooler is in transaction mode")
    assert "Session pooler" in error["hint"] and "5432" in error["hint"]
    assert setup.supabase.rows("select from pg_locks where locktype = 'advisory'") == []
    assert len(setup.supabase.rows("select from ipai.sync_runs")) == 1


def test_pooler_in_session_mode_is_used_by_every_command(setup: Setup) -> None:
    supabase = setup.supabase

    def output(*arguments: str) -> Any:
        ended = supabase.start("--json", *arguments, env={"DATABASE_URL": setup.pooler.dsn}).wait()
        assert ended.status == 0, ended
        return json.loads(ended.stdout)

    assert output("init")["result"] == "unchanged"
    change(setup.erp, 1)
    run = output("run", "sample_metrics")
    assert (run["mode"], run["updated"], run["inserted"], run["deleted"]) == ("incremental", ROWS - 1, 1, 1)
    assert output("alter-mirror", "sample_metrics", "--page-size", "3") == {}
    assert output("status")[0]["state"] == "ok"
    # Nothing of a run stays with the pooler's connections to the server.
    settings = {}
    with psycopg.connect(setup.pooler.dsn, autocommit=True) as connection:
        for name in (
            *("search_path", "statement_timeout", "idle_session_timeout", "client_connection_check_interval"),
            *("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count", "tcp_user_timeout"),
        ):
            row = connection.execute(f"show {name}").fetchone()
            assert row
            settings[name] = row[0]
    with psycopg.connect(supabase.cluster.dsn(user="postgres"), autocommit=True) as connection:
        for name, value in settings.items():
            assert connection.execute(f"show {name}").fetchone() == (value,), name
