"""Cancels, time-outs, terminations and clients that hang up, in each phase of a run: it ends promptly and leaves nothing behind."""

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
class Ends:
    """How often a run is ended in each phase, and how."""

    cancels: int
    timeouts: int
    terminations: int
    clients: int

    @property
    def total(self) -> int:
        return self.cancels + self.timeouts + self.terminations + self.clients


FEW, THOUSAND = Ends(6, 2, 1, 1), Ends(100, 10, 8, 7)
#: Seconds within which a client that is gone is noticed.
NOTICED = 1.0
INTERVAL = "500ms"
#: One page of it takes a while to decode.
MANY = [metric(number) for number in range(1, 3_001)]


@dataclass
class Phase:
    """A phase in which a run is kept, or caught; with a server, a mirror and a session of its own."""

    name: str
    begin: Callable[[FaultyOdoo], None]
    #: Whether the run is in this phase.
    reached: Callable[[Rig], bool]
    url: Callable[[FaultyOdoo], str] = lambda erp: erp.url
    records: list[dict[str, Any]] = field(default_factory=lambda: [metric(1), metric(2)])
    locked: bool = False


@dataclass
class Rig:
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


def _asked(rig: Rig) -> bool:
    return bool(rig.erp.received("search_read"))


def _blocked(rig: Rig) -> bool:
    row = rig.watcher.execute("select cardinality(pg_blocking_pids(%s)) as waits", [rig.pid]).fetchone()
    return bool(row and row["waits"])


class _Sent:
    """Sends the same large page each time, made once, and tells when it is out."""

    def __init__(self) -> None:
        self._body: bytes | None = None
        self.times = 0

    def __call__(self, exchange: Exchange) -> None:
        if self._body is None:
            self._body = exchange.answer()
        exchange.send(200, {}, self._body)
        self.times += 1


_LARGE = _Sent()


def _let_decode(erp: FaultyOdoo) -> None:
    _LARGE.times = 0
    erp.on("search_read", _LARGE, times=1)
    # Should it be quicker than the end that comes for it.
    erp.on("search_read", never_respond)


def phases(unreachable: str) -> list[Phase]:
    return [
        # Nothing tells when it began to connect; before that, the end would find it waiting as well.
        Phase("connect", lambda erp: None, lambda rig: FETCHER in Resources.of(rig.pid).threads, lambda erp: unreachable),
        Phase(
            "TLS handshake", lambda erp: setattr(erp, "unresponsive", True), lambda rig: rig.erp.connections > 0, lambda erp: erp.https_url
        ),
        Phase("headers", lambda erp: erp.on("search_read", never_respond), _asked),
        Phase("body", lambda erp: erp.on("search_read", trickling), _asked),
        Phase("decode", _let_decode, lambda rig: _LARGE.times > 0, records=MANY),
        Phase("upsert", lambda erp: None, _blocked, locked=True),
        Phase(
            "retry wait",
            lambda erp: erp.on("search_read", status(503, retry_after=25)),
            lambda rig: _asked(rig) and rig.erp.connections == 0,
        ),
        Phase("ids", lambda erp: erp.on("search", never_respond), lambda rig: bool(rig.erp.received("search"))),
    ]


# One end --------------------------------------------------------------------------------------------------------------------------------


@contextmanager
def under_way(rig: Rig, executor: ThreadPoolExecutor) -> Iterator[Future[Any]]:
    # What is still there of the one before would be taken for this one.
    rig.erp.wait_until_disconnected(PROMPT_SECONDS)
    rig.erp.requests.clear()
    rig.phase.begin(rig.erp)
    try:
        call = executor.submit(rig.connection.execute, f"select * from ipai.sync_mirror('{rig.mirror}')")
        shell.wait_until(lambda: call.done() or rig.phase.reached(rig), f"the phase {rig.phase.name}", seconds=60, every=0.002)
        yield call
    finally:
        rig.erp.clear_faults()


def over(rig: Rig, kind: str, call: Future[Any], began: float, sqlstates: set[str]) -> None:
    error = call.exception(timeout=PROMPT_SECONDS + 3)
    rig.seconds.setdefault(kind, []).append(time.monotonic() - began)
    assert isinstance(error, psycopg.Error) and error.sqlstate in sqlstates, (rig.phase.name, kind, error)


def cancel(rig: Rig, executor: ThreadPoolExecutor, before: Resources) -> None:
    with under_way(rig, executor) as call:
        began = time.monotonic()
        rig.watcher.execute("select pg_cancel_backend(%s)", [rig.pid])
        over(rig, "pg_cancel_backend", call, began, {"57014"})
        wait_for_release(before, rig.pid)


def time_out(rig: Rig, executor: ThreadPoolExecutor, before: Resources) -> None:
    limit = 0.3
    rig.connection.execute(f"set statement_timeout = {limit * 1000:.0f}")
    began = time.monotonic()
    try:
        with under_way(rig, executor) as call:
            over(rig, "statement_timeout", call, began + limit, {"57014"})
            wait_for_release(before, rig.pid)
    finally:
        rig.connection.execute("reset statement_timeout")


def terminate(rig: Rig, executor: ThreadPoolExecutor, before: Resources) -> None:
    pid = rig.pid
    with under_way(rig, executor) as call:
        began = time.monotonic()
        rig.watcher.execute("select pg_terminate_backend(%s)", [pid])
        over(rig, "pg_terminate_backend", call, began, {"57P01"})
        shell.wait_until(lambda: not is_alive(pid), "the backend's end", seconds=PROMPT_SECONDS)
    rig.connection = rig.supabase.connect()


def hang_up(rig: Rig, executor: ThreadPoolExecutor, before: Resources) -> None:
    pid = rig.pid
    if rig.phase.locked:
        # While a statement of its own is executed, Postgres looks after the client only where it is told to.
        rig.connection.execute(f"set client_connection_check_interval = '{INTERVAL}'")
    with under_way(rig, executor) as call:
        began = time.monotonic()
        with socket.socket(fileno=os.dup(rig.connection.fileno())) as ours:
            ours.shutdown(socket.SHUT_RDWR)
        shell.wait_until(lambda: not is_alive(pid), "the backend's end", seconds=PROMPT_SECONDS, every=0.002)
        rig.seconds.setdefault("client gone", []).append(time.monotonic() - began)
        assert isinstance(call.exception(timeout=PROMPT_SECONDS), psycopg.OperationalError)
    rig.connection = rig.supabase.connect()


# All of them ----------------------------------------------------------------------------------------------------------------------------


def work(rig: Rig, ends: Ends) -> None:
    """All ends of a phase, one after the other, and then a sync that is well."""
    erp, supabase = rig.erp, rig.supabase
    row = f"select * from ipai.sync_mirror('{rig.mirror}')"
    with ThreadPoolExecutor(1) as executor, ExitStack() as stack:
        if rig.phase.locked:
            holder = stack.enter_context(psycopg.connect(supabase.cluster.dsn(user="postgres")))
            holder.execute(f"lock table {rig.table} in share mode")
        for end, times in ((cancel, ends.cancels), (time_out, ends.timeouts), (terminate, ends.terminations), (hang_up, ends.clients)):
            # The first one loads what a session loads once.
            with under_way(rig, executor) as call:
                rig.watcher.execute("select pg_cancel_backend(%s)", [rig.pid])
                assert isinstance(call.exception(timeout=PROMPT_SECONDS + 3), psycopg.Error)
            before = idle_resources(rig.pid)
            for _ in range(times):
                end(rig, executor, before)
    erp.clear_faults()
    supabase.rows(f"alter server {rig.mirror} options (set url '{erp.url}')")
    found = rig.connection.execute(row).fetchone()
    assert found and found["delta"] == 0, rig.phase.name
    erp.wait_until_disconnected(PROMPT_SECONDS)


def note(phase: Phase, kind: str, slowest: float) -> None:
    """Writes the row of the page."""
    with SECTION.trial(f"{kind} in the phase {phase.name}") as trial:
        outcome = "the backend ends" if kind in ("client gone", "pg_terminate_backend") else "57014: nothing is left behind"
        setting = f", where client_connection_check_interval is {INTERVAL}" if phase.locked and kind == "client gone" else ""
        trial.record_outcome(outcome + setting)
        trial.seconds = slowest


@pytest.mark.parametrize("ends", [pytest.param(FEW, id="few"), pytest.param(THOUSAND, id="a thousand", marks=pytest.mark.slow)])
def test_a_run_ends_promptly_in_every_phase(supabase: Supabase, ends: Ends) -> None:
    with ExitStack() as stack:
        url = stack.enter_context(unreachable_address())
        supabase.server(stack.enter_context(FaultyOdoo()).url)
        supabase.register()
        rigs = []
        for number, phase in enumerate(phases(url)):
            erp = stack.enter_context(FaultyOdoo(phase.records))
            name = f"p{number}"
            supabase.server(erp.url, name=name)
            table = supabase.add_mirror(name, server=name)
            supabase.rows("update ipai.mirrors set page_size = 10000 where name = %s", name)
            rig = Rig(phase, supabase, erp, name, table, supabase.connect(), supabase.connect())
            # The login is remembered from here on.
            rig.connection.execute(f"select * from ipai.sync_mirror('{name}')")
            supabase.rows(f"truncate {table}")
            supabase.rows(f"alter server {name} options (set url '{phase.url(erp)}')")
            rigs.append(rig)
        # Side by side, as they do not wait for one another.
        with ThreadPoolExecutor(len(rigs)) as executor:
            for future in [executor.submit(work, rig, ends) for rig in rigs]:
                future.result()
        assert supabase.rows("select from pg_locks where locktype = 'advisory'") == []
    total = 0
    for rig in rigs:
        for kind, seconds in rig.seconds.items():
            total += len(seconds)
            print(f"{rig.phase.name:14} {kind:22} {len(seconds):4} median {statistics.median(seconds):.3f} s  max {max(seconds):.3f} s")
            assert max(seconds) < (NOTICED if kind == "client gone" else PROMPT_SECONDS), (rig.phase.name, kind, max(seconds))
            if ends is FEW:
                note(rig.phase, kind, max(seconds))
    whole = [second for rig in rigs for seconds in rig.seconds.values() for second in seconds]
    print(f"all            {total} median {statistics.median(whole):.3f} s  max {max(whole):.3f} s")
    assert total == len(rigs) * ends.total


@pytest.mark.whole_file
def test_page_matches_the_recorded_outcomes() -> None:
    SECTION.compare()
