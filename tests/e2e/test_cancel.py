"""Tests that a cancel, a timeout or a vanished client ends a sync that waits for Odoo.

The sync must end promptly and release its resources.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import psycopg
import pytest

from harness import shell
from harness.postgres import client_environment
from support.faulty import FaultyOdoo, metric, never_respond, status, trickling, unreachable_address
from support.sessions import FETCHER, PROMPT_SECONDS, Connection, Resources, idle_resources, is_alive, wait_for_release
from support.supabase import Supabase

SYNC = "select * from ipai.sync_sample_metrics()"
RECORDS = [metric(1), metric(2)]


@pytest.fixture
def erp(supabase: Supabase) -> Iterator[FaultyOdoo]:
    """A scripted Odoo with a registered mirror and a stored login."""
    with FaultyOdoo(RECORDS) as server:
        supabase.server(server.url)
        supabase.row(SYNC)
        server.requests.clear()
        yield server


# Ways to keep a sync waiting ----------------------------------------------------------------------


@dataclass(frozen=True)
class Stall:
    """A way to keep a sync waiting, and the condition that it waits.

    `url` replaces the usual address.
    """

    begin: Callable[[FaultyOdoo], None]
    reached: Callable[[FaultyOdoo], bool]
    url: Callable[[FaultyOdoo], str] = lambda erp: erp.url


def _is_waiting_for_page(erp: FaultyOdoo) -> bool:
    return bool(erp.received("search_read"))


STALLS = {
    "no answer": Stall(lambda erp: erp.on("search_read", never_respond), _is_waiting_for_page),
    "an answer byte by byte": Stall(lambda erp: erp.on("search_read", trickling), _is_waiting_for_page),
    "no answer in the TLS handshake": Stall(
        lambda erp: setattr(erp, "unresponsive", True), lambda erp: erp.connections > 0, lambda erp: erp.https_url
    ),
    # The response with status 503 is complete, so the sync waits before its retry.
    "a pause before a retry": Stall(
        lambda erp: erp.on("search_read", status(503, retry_after=25)), lambda erp: _is_waiting_for_page(erp) and erp.connections == 0
    ),
}


@pytest.fixture(params=STALLS.values(), ids=list(STALLS))
def stall(request: pytest.FixtureRequest) -> Stall:
    return cast(Stall, request.param)


def set_url(supabase: Supabase, url: str) -> None:
    supabase.set_url(url)


# Sessions -----------------------------------------------------------------------------------------


@contextmanager
def waiting_sync(supabase: Supabase, erp: FaultyOdoo, stall: Stall, connection: Connection) -> Iterator[Callable[..., psycopg.Error]]:
    """Runs a sync that waits for Odoo.

    Yields a function that returns the sync's error, which must come within some seconds. After the
    block Odoo works again.
    """
    erp.requests.clear()
    stall.begin(erp)
    set_url(supabase, stall.url(erp))
    with ThreadPoolExecutor(1) as executor:
        running = executor.submit(connection.execute, SYNC)

        def sync_error(seconds: float = PROMPT_SECONDS) -> psycopg.Error:
            error = running.exception(timeout=seconds)
            assert isinstance(error, psycopg.Error)
            return error

        try:
            shell.wait_until(lambda: running.done() or stall.reached(erp), "the sync waiting for Odoo", seconds=10, every=0.01)
            assert not running.done(), running.exception()
            yield sync_error
        finally:
            erp.clear_faults()
            set_url(supabase, erp.url)
            if not running.done():
                supabase.row("select pg_terminate_backend(%s)", connection.info.backend_pid)


def assert_usable(erp: FaultyOdoo, connection: Connection) -> None:
    """Checks that the session can lock the mirror and sync again."""
    erp.records = [*RECORDS, metric(3)]
    run = connection.execute(SYNC).fetchone()
    assert run and run["delta"] == 0 and run["mirror_count"] == 3
    # The server sees that all connections are closed.
    erp.wait_until_disconnected(PROMPT_SECONDS)


# Cancel, timeout, termination ---------------------------------------------------------------------


def test_cancelled_sync_ends_promptly_and_releases_its_resources(supabase: Supabase, erp: FaultyOdoo, stall: Stall) -> None:
    connection = supabase.connect()
    pid = connection.info.backend_pid
    connection.execute(SYNC)
    before = idle_resources(pid)
    assert before.threads == ["postgres"]
    with waiting_sync(supabase, erp, stall, connection) as sync_error:
        assert FETCHER in Resources.of(pid).threads
        assert supabase.row("select pg_cancel_backend(%s) as sent", pid) == {"sent": True}
        error = sync_error()
        assert (error.sqlstate, error.diag.message_primary) == ("57014", "canceling statement due to user request")
        wait_for_release(before, pid)
    assert_usable(erp, connection)
    wait_for_release(before, pid)


def test_statement_timeout_ends_a_sync_promptly(supabase: Supabase, erp: FaultyOdoo, stall: Stall) -> None:
    connection = supabase.connect()
    pid = connection.info.backend_pid
    connection.execute(SYNC)
    before = idle_resources(pid)
    # The function's own statement_timeout must not replace the session's.
    connection.execute("set statement_timeout = '1500ms'")
    began = time.monotonic()
    with waiting_sync(supabase, erp, stall, connection) as sync_error:
        error = sync_error(1.5 + PROMPT_SECONDS)
        assert 1.4 < time.monotonic() - began < 1.5 + PROMPT_SECONDS
        assert (error.sqlstate, error.diag.message_primary) == ("57014", "canceling statement due to statement timeout")
        wait_for_release(before, pid)
    connection.execute("reset statement_timeout")
    assert_usable(erp, connection)


def test_terminated_backend_ends_promptly(supabase: Supabase, erp: FaultyOdoo, stall: Stall) -> None:
    connection = supabase.connect()
    pid = connection.info.backend_pid
    with waiting_sync(supabase, erp, stall, connection) as sync_error:
        supabase.row("select pg_terminate_backend(%s)", pid)
        assert sync_error().sqlstate == "57P01"
        shell.wait_until(lambda: not is_alive(pid), "the backend's end", seconds=PROMPT_SECONDS)
    assert_usable(erp, supabase.connect())


def test_connecting_sync_is_cancelled_promptly(supabase: Supabase, erp: FaultyOdoo) -> None:
    with unreachable_address() as url:
        # The start of the connection attempt is not observable. An earlier cancel would also find
        # the sync waiting.
        unreachable = Stall(lambda erp: None, lambda erp: FETCHER in Resources.of(pid).threads, lambda erp: url)
        connection = supabase.connect()
        pid = connection.info.backend_pid
        connection.execute(SYNC)
        before = idle_resources(pid)
        with waiting_sync(supabase, erp, unreachable, connection) as sync_error:
            supabase.row("select pg_cancel_backend(%s)", pid)
            assert sync_error().sqlstate == "57014"
            wait_for_release(before, pid)
        assert_usable(erp, connection)


def test_repeated_cancels_in_one_session_leak_nothing(supabase: Supabase, erp: FaultyOdoo) -> None:
    connection = supabase.connect()
    pid = connection.info.backend_pid
    connection.execute(SYNC)
    before = idle_resources(pid)
    for _ in range(20):
        with waiting_sync(supabase, erp, STALLS["no answer"], connection) as sync_error:
            supabase.row("select pg_cancel_backend(%s)", pid)
            assert sync_error().sqlstate == "57014"
            wait_for_release(before, pid)
    assert_usable(erp, connection)
    wait_for_release(before, pid)


def test_transaction_is_usable_after_a_cancel_in_a_savepoint(supabase: Supabase, erp: FaultyOdoo) -> None:
    connection = supabase.connect()
    connection.execute("begin; savepoint before_sync")
    with waiting_sync(supabase, erp, STALLS["no answer"], connection) as sync_error:
        supabase.row("select pg_cancel_backend(%s)", connection.info.backend_pid)
        assert sync_error().sqlstate == "57014"
    connection.execute("rollback to before_sync")
    assert_usable(erp, connection)
    connection.execute("commit")


# psql ---------------------------------------------------------------------------------------------


class Terminal:
    """psql on a pseudo-terminal."""

    def __init__(self, supabase: Supabase) -> None:
        screen, terminal = os.openpty()
        self._screen = screen
        self._seen = ""
        psql = supabase.cluster.installation.bindir / "psql"
        self.process = subprocess.Popen(
            [psql, "-X", "--no-readline", "-P", "pager=off", supabase.cluster.dsn(user="postgres")],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env=shell.environment({**client_environment(), "TERM": "dumb"}),
            # Ctrl-C becomes a signal only with a controlling terminal.
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(terminal)

    def type(self, text: str) -> None:
        os.write(self._screen, text.encode())

    def expect(self, text: str, seconds: float = PROMPT_SECONDS) -> None:
        """Waits until psql shows this text after the previously expected text."""
        deadline = time.monotonic() + seconds
        while text not in self._seen:
            assert select.select([self._screen], [], [], max(deadline - time.monotonic(), 0))[0], f"{text!r} not within {self._seen!r}"
            self._seen += os.read(self._screen, 4096).decode(errors="replace")
        self._seen = self._seen.split(text, 1)[1]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._screen)


@pytest.fixture
def terminal(supabase: Supabase) -> Iterator[Terminal]:
    terminal = Terminal(supabase)
    try:
        yield terminal
    finally:
        terminal.close()


def backend_pid(terminal: Terminal, supabase: Supabase) -> int:
    terminal.type("set application_name = 'on a terminal';\n")
    terminal.expect("SET", seconds=10)
    return int(supabase.row("select pid from pg_stat_activity where application_name = 'on a terminal'")["pid"])


def test_ctrl_c_in_psql_cancels_the_sync_only(supabase: Supabase, erp: FaultyOdoo, terminal: Terminal) -> None:
    pid = backend_pid(terminal, supabase)
    erp.on("search_read", never_respond)
    terminal.type(f"{SYNC};\n")
    shell.wait_until(lambda: _is_waiting_for_page(erp), "the sync waiting for Odoo", seconds=10)
    terminal.type("\x03")
    terminal.expect("ERROR:  canceling statement due to user request")
    assert idle_resources(pid).threads == ["postgres"]
    erp.clear_faults()
    terminal.type("\\x\n" + f"{SYNC};\n")
    terminal.expect("delta        | 0", seconds=10)
    terminal.type("select pg_backend_pid() as still;\n")
    terminal.expect(f"still | {pid}")


def test_backend_of_a_killed_client_ends_promptly(supabase: Supabase, erp: FaultyOdoo, stall: Stall, terminal: Terminal) -> None:
    pid = backend_pid(terminal, supabase)
    stall.begin(erp)
    set_url(supabase, stall.url(erp))
    terminal.type(f"{SYNC};\n")
    shell.wait_until(lambda: stall.reached(erp), "the sync waiting for Odoo", seconds=10)
    assert is_alive(pid)
    terminal.process.send_signal(signal.SIGKILL)
    shell.wait_until(lambda: not is_alive(pid), "the backend's end", seconds=PROMPT_SECONDS)
    erp.clear_faults()
    set_url(supabase, erp.url)
    assert_usable(erp, supabase.connect())


# Concurrent syncs ---------------------------------------------------------------------------------


def test_second_concurrent_sync_fails_immediately(supabase: Supabase, erp: FaultyOdoo) -> None:
    connection = supabase.connect()
    with waiting_sync(supabase, erp, STALLS["no answer"], connection) as sync_error:
        began = time.monotonic()
        requests = len(erp.requests)
        with pytest.raises(psycopg.errors.LockNotAvailable) as refused:
            supabase.rows(SYNC)
        assert time.monotonic() - began < PROMPT_SECONDS
        assert refused.value.sqlstate == "55P03"
        assert refused.value.diag.message_primary == 'mirror "sample_metrics" is in use: another session syncs or changes it'
        assert "Wait until the other session has finished, then try again." in (refused.value.diag.message_hint or "")
        # The refused sync sent no request.
        assert len(erp.requests) == requests
        supabase.row("select pg_cancel_backend(%s)", connection.info.backend_pid)
        sync_error()
    assert_usable(erp, supabase.connect())


def test_mirror_is_locked_until_the_syncing_transaction_ends(supabase: Supabase, erp: FaultyOdoo) -> None:
    connection = supabase.connect()
    connection.execute("begin")
    connection.execute(SYNC)
    with pytest.raises(psycopg.errors.LockNotAvailable):
        supabase.rows(SYNC)
    connection.execute("rollback")
    supabase.rows(SYNC)
