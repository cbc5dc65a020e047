"""Sessions at work in the background, and what they hold."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from harness import shell
from support.supabase import Supabase

#: Seconds within which a session must be back: far more than it takes, for a loaded machine.
PROMPT_SECONDS = 2.0

#: Names of the threads that call Odoo: the one that reads, its network, and where that waits for the system's resolver.
FETCHER, NETWORK, LOOKUP = "ipai_sync fetch", "ipai_sync net", "ipai_sync dns"

Connection = psycopg.Connection[dict[str, Any]]


def wait_for_recovery(supabase: Supabase) -> None:
    """After the sudden death of one backend Postgres ends all others and starts anew: waits for that."""

    def answers() -> bool:
        try:
            return bool(supabase.rows("select 1"))
        except psycopg.OperationalError:
            return False

    shell.wait_until(answers, "Postgres taking connections again", seconds=120)


@dataclass(frozen=True)
class Resources:
    """What a backend could fail to give back."""

    threads: list[str]
    #: Sockets, pipes, event queues; not files, of which Postgres keeps some open as it likes.
    descriptors: list[str]

    @staticmethod
    def of(pid: int) -> Resources:
        process = Path(f"/proc/{pid}")
        threads, links = [], []
        for thread in process.glob("task/*"):
            try:
                threads.append((thread / "comm").read_text().strip())
            except (FileNotFoundError, ProcessLookupError):
                # The kernel lists a thread a moment longer than it lives.
                continue
        for descriptor in process.glob("fd/*"):
            try:
                links.append(os.readlink(descriptor))
            except FileNotFoundError:
                continue
        return Resources(sorted(threads), sorted(link for link in links if not link.startswith("/")))


def idle_resources(pid: int) -> Resources:
    """What a backend holds that is not syncing. The kernel lists a thread a moment longer than it lives."""
    shell.wait_until(
        lambda: not {FETCHER, NETWORK} & set(Resources.of(pid).threads),
        f"backend {pid} without our threads",
        seconds=PROMPT_SECONDS,
        every=0.01,
    )
    return Resources.of(pid)


def wait_for_release(before: Resources, pid: int) -> None:
    """Returns once the backend holds what it held before. The kernel lists a thread a moment longer than it lives."""
    shell.wait_until(lambda: Resources.of(pid) == before, f"backend {pid} holding nothing but {before}", seconds=PROMPT_SECONDS, every=0.01)


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def wait_for_pages(supabase: Supabase, pages: int, mirror: str = "sample_metrics") -> None:
    """Returns once the run that is under way has committed so many pages."""

    def reached() -> bool:
        return any(
            run["pages"] >= pages
            for run in supabase.rows("select pages from ipai.sync_runs where state = 'running' and mirror = %s", mirror)
        )

    shell.wait_until(reached, f"{pages} pages of {mirror} committed", seconds=20, every=0.01)


@contextmanager
def running_statement(supabase: Supabase, connection: Connection, statement: str) -> Iterator[Future[Any]]:
    """The statement, running on the connection; ended by force if it is still running at the end of the `with` block."""
    with ThreadPoolExecutor(1) as executor:
        future = executor.submit(connection.execute, statement)
        try:
            yield future
        finally:
            if not future.done():
                supabase.row("select pg_terminate_backend(%s)", connection.info.backend_pid)


def statement_error(future: Future[Any], seconds: float = PROMPT_SECONDS) -> psycopg.Error:
    """The error by which a statement ends, within some seconds."""
    error = future.exception(timeout=seconds)
    assert isinstance(error, psycopg.Error), error
    return error
