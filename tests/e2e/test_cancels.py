"""Tests cancels, timeouts, terminations and vanished clients in each phase of a run.

The run must end promptly and release its resources.
"""

from __future__ import annotations

import os
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest

from harness import shell
from support.faulty import Exchange, FaultyOdoo, metric, never_respond, status, trickling, unreachable_address
from support.reliability import Section
from support.sessions import FETCHER, PROMPT_SECONDS, Connection, Resources, idle_resources, is_alive, wait_for_release
from support.supabase import Supabase

SECTION = Section("Cancels and time-outs")


@dataclass(frozen=True)
class Interruptions:
    """How often a run is interrupted in each phase, by kind of interruption."""

    cancels: int
    timeouts: int
    terminations: int
    clients: int

    @property
    def total(self) -> int:
        return self.cancels + self.timeouts + self.terminations + self.clients


FEW, THOUSAND = Interruptions(6, 2, 1, 1), Interruptions(100, 10, 8, 7)
#: Seconds within which the backend notices that its client has vanished.
NOTICED = 1.0
INTERVAL = "500ms"
#: Enough records that the decoding of their page takes a while.
MANY_RECORDS = [metric(number) for number in range(1, 3_001)]


@dataclass
class Phase:
    """A phase in which a run is interrupted, with its own server, mirror and session."""

    name: str
    begin: Callable[[FaultyOdoo], None]
    #: Returns whether the run is in this phase.
    reached: Callable[[Setup], bool]
    url: Callable[[FaultyOdoo], str] = lambda erp: erp.url
    records: list[dict[str, Any]] = field(default_factory=lambda: [metric(1), metric(2)])
    locked: bool = False


@dataclass
class Setup:
    phase: Phase
    supabase: Supabase
    erp: FaultyOdoo
    mirror: str
    table: str
    watcher: Connection
    connection: Connection
    sent: int = 0
    seconds: dict[str, list[float]] = field(default_factory=dict)

    @property
    def pid(self) -> int:
        return self.connection.info.backend_pid


def _is_waiting_for_page(setup: Setup) -> bool:
    return bool(setup.erp.received("search_read"))


def _blocked(setup: Setup) -> bool:
    row = setup.watcher.execute("select cardinality(pg_blocking_pids(%s)) as waits", [setup.pid]).fetchone()
    return bool(row and row["waits"])


class _LargePage:
    """Sends the same large page each time, and counts the sent pages."""

    def __init__(self) -> None:
        self._body: bytes | None = None
        self.times = 0

    def __call__(self, exchange: Exchange) -> None:
        if self._body is None:
            self._body = exchange.answer()
        exchange.send(200, {}, self._body)
        self.times += 1


_LARGE = _LargePage()


def _let_decode(erp: FaultyOdoo) -> None:
    _LARGE.times = 0
    erp.on("search_read", _LARGE, times=1)
    # The run may request the next page before it is interrupted.
    erp.on("search_read", never_respond)


def phases(unreachable: str) -> list[Phase]:
    return [
        # The start of the connection attempt is not observable. An earlier interruption would also
        # find the run waiting.
        Phase("connect", lambda erp: None, lambda setup: FETCHER in Resources.of(setup.pid).threads, lambda erp: unreachable),
        Phase(
            "TLS handshake",
            lambda erp: setattr(erp, "unresponsive", True),
            lambda setup: setup.erp.connections > 0,
            lambda erp: erp.https_url,
        ),
        Phase("headers", lambda erp: erp.on("search_read", never_respond), _is_waiting_for_page),
        Phase("body", lambda erp: erp.on("search_read", trickling), _is_waiting_for_page),
        Phase("decode", _let_decode, lambda setup: _LARGE.times > 0, records=MANY_RECORDS),
        Phase("upsert", lambda erp: None, _blocked, locked=True),
        Phase(
            "retry wait",
            lambda erp: erp.on("search_read", status(503, retry_after=25)),
            lambda setup: _is_waiting_for_page(setup) and setup.erp.connections == 0,
        ),
        Phase("ids", lambda erp: erp.on("search", never_respond), lambda setup: bool(setup.erp.received("search"))),
    ]


# Kinds of interruptions ---------------------------------------------------------------------------


@contextmanager
def run_in_phase(setup: Setup, executor: ThreadPoolExecutor) -> Iterator[Future[Any]]:
    # Requests and connections of the previous run must not be mistaken for those of this one.
    setup.erp.wait_until_disconnected(PROMPT_SECONDS)
    setup.erp.requests.clear()
    setup.phase.begin(setup.erp)
    try:
        call = executor.submit(setup.connection.execute, f"select * from ipai.sync_mirror('{setup.mirror}')")
        shell.wait_until(lambda: call.done() or setup.phase.reached(setup), f"the phase {setup.phase.name}", seconds=60, every=0.002)
        yield call
    finally:
        setup.erp.clear_faults()


def assert_interrupted(setup: Setup, kind: str, call: Future[Any], began: float, sqlstates: set[str]) -> None:
    error = call.exception(timeout=PROMPT_SECONDS + 3)
    setup.seconds.setdefault(kind, []).append(time.monotonic() - began)
    assert isinstance(error, psycopg.Error) and error.sqlstate in sqlstates, (setup.phase.name, kind, error)


def cancel(setup: Setup, executor: ThreadPoolExecutor, before: Resources) -> None:
    with run_in_phase(setup, executor) as call:
        began = time.monotonic()
        setup.watcher.execute("select pg_cancel_backend(%s)", [setup.pid])
        assert_interrupted(setup, "pg_cancel_backend", call, began, {"57014"})
        wait_for_release(before, setup.pid)


def time_out(setup: Setup, executor: ThreadPoolExecutor, before: Resources) -> None:
    limit = 0.3
    setup.connection.execute(f"set statement_timeout = {limit * 1000:.0f}")
    began = time.monotonic()
    try:
        with run_in_phase(setup, executor) as call:
            assert_interrupted(setup, "statement_timeout", call, began + limit, {"57014"})
            wait_for_release(before, setup.pid)
    finally:
        setup.connection.execute("reset statement_timeout")


def terminate(setup: Setup, executor: ThreadPoolExecutor, before: Resources) -> None:
    pid = setup.pid
    with run_in_phase(setup, executor) as call:
        began = time.monotonic()
        setup.watcher.execute("select pg_terminate_backend(%s)", [pid])
        assert_interrupted(setup, "pg_terminate_backend", call, began, {"57P01"})
        shell.wait_until(lambda: not is_alive(pid), "the backend's end", seconds=PROMPT_SECONDS)
    setup.connection = setup.supabase.connect()


def close_client(setup: Setup, executor: ThreadPoolExecutor, before: Resources) -> None:
    pid = setup.pid
    if setup.phase.locked:
        # While it executes a statement, Postgres checks the client only with this setting.
        setup.connection.execute(f"set client_connection_check_interval = '{INTERVAL}'")
    with run_in_phase(setup, executor) as call:
        began = time.monotonic()
        with socket.socket(fileno=os.dup(setup.connection.fileno())) as client:
            client.shutdown(socket.SHUT_RDWR)
        shell.wait_until(lambda: not is_alive(pid), "the backend's end", seconds=PROMPT_SECONDS, every=0.002)
        setup.seconds.setdefault("client gone", []).append(time.monotonic() - began)
        assert isinstance(call.exception(timeout=PROMPT_SECONDS), psycopg.OperationalError)
    setup.connection = setup.supabase.connect()


# All phases ---------------------------------------------------------------------------------------


def interrupt_phase(setup: Setup, interruptions: Interruptions) -> None:
    """Interrupts the runs of a phase one after the other, and then runs a successful sync."""
    erp, supabase = setup.erp, setup.supabase
    row = f"select * from ipai.sync_mirror('{setup.mirror}')"
    with ThreadPoolExecutor(1) as executor, ExitStack() as stack:
        if setup.phase.locked:
            holder = stack.enter_context(psycopg.connect(supabase.cluster.dsn(user="postgres")))
            holder.execute(f"lock table {setup.table} in share mode")
        for end, times in (
            (cancel, interruptions.cancels),
            (time_out, interruptions.timeouts),
            (terminate, interruptions.terminations),
            (close_client, interruptions.clients),
        ):
            # The first run loads what a session loads once.
            with run_in_phase(setup, executor) as call:
                setup.watcher.execute("select pg_cancel_backend(%s)", [setup.pid])
                assert isinstance(call.exception(timeout=PROMPT_SECONDS + 3), psycopg.Error)
            before = idle_resources(setup.pid)
            for _ in range(times):
                end(setup, executor, before)
    erp.clear_faults()
    supabase.set_url(erp.url, setup.mirror)
    found = setup.connection.execute(row).fetchone()
    assert found and found["delta"] == 0, setup.phase.name
    erp.wait_until_disconnected(PROMPT_SECONDS)


def record_row(phase: Phase, kind: str, slowest: float) -> None:
    """Records the row of the page."""
    with SECTION.trial(f"{kind} in the phase {phase.name}") as trial:
        outcome = "the backend ends" if kind in ("client gone", "pg_terminate_backend") else "57014: every resource is released"
        setting = f", where client_connection_check_interval is {INTERVAL}" if phase.locked and kind == "client gone" else ""
        trial.record_outcome(outcome + setting)
        trial.seconds = slowest


@pytest.mark.parametrize("interruptions", [pytest.param(FEW, id="few"), pytest.param(THOUSAND, id="a thousand", marks=pytest.mark.slow)])
def test_run_ends_promptly_in_every_phase(supabase: Supabase, interruptions: Interruptions) -> None:
    with ExitStack() as stack:
        url = stack.enter_context(unreachable_address())
        supabase.server(stack.enter_context(FaultyOdoo()).url)
        supabase.register()
        setups = []
        for number, phase in enumerate(phases(url)):
            erp = stack.enter_context(FaultyOdoo(phase.records))
            name = f"p{number}"
            supabase.server(erp.url, name=name)
            table = supabase.add_mirror(name, server=name)
            supabase.rows("update ipai.mirrors set page_size = 10000 where name = %s", name)
            setup = Setup(phase, supabase, erp, name, table, supabase.connect(), supabase.connect())
            # The first sync stores the login.
            setup.connection.execute(f"select * from ipai.sync_mirror('{name}')")
            supabase.rows(f"truncate {table}")
            if phase.name == "ids":
                # A row without a record, so that the run lists the ids.
                supabase.rows(f"insert into {table} (odoo_id, name, code, unit) values (2000000000, 'gone', 'X', 'count')")
            supabase.set_url(phase.url(erp), name)
            setups.append(setup)
        # The phases run concurrently, because their mirrors are independent.
        with ThreadPoolExecutor(len(setups)) as executor:
            for future in [executor.submit(interrupt_phase, setup, interruptions) for setup in setups]:
                future.result()
        assert supabase.rows("select from pg_locks where locktype = 'advisory'") == []
    total = 0
    for setup in setups:
        for kind, seconds in setup.seconds.items():
            total += len(seconds)
            print(f"{setup.phase.name:14} {kind:22} {len(seconds):4} median {statistics.median(seconds):.3f} s  max {max(seconds):.3f} s")
            assert max(seconds) < (NOTICED if kind == "client gone" else PROMPT_SECONDS), (setup.phase.name, kind, max(seconds))
            if interruptions is FEW:
                record_row(setup.phase, kind, max(seconds))
    whole = [second for setup in setups for seconds in setup.seconds.values() for second in seconds]
    print(f"all            {total} median {statistics.median(whole):.3f} s  max {max(whole):.3f} s")
    assert total == len(setups) * interruptions.total


@pytest.mark.whole_file
def test_page_matches_the_recorded_outcomes() -> None:
    SECTION.compare()
