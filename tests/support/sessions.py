"""Runs statements in background sessions, and inspects the resources of their backends."""

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

#: The time limit in seconds for an immediate reaction. It is generous, for a loaded machine.
PROMPT_SECONDS = 2.0

#: Names of the threads that call Odoo: the reader, its network thread, and the thread that waits
#: for the system's resolver.
FETCHER, NETWORK, LOOKUP = "ipai_sync fetch", "ipai_sync net", "ipai_sync dns"

Connection = psycopg.Connection[dict[str, Any]]


@dataclass(frozen=True)
class Resources:
    """The resources that a backend must release."""

    threads: list[str]
    #: Sockets, pipes and event queues. Files are excluded: Postgres keeps some open at its
    #: discretion.
    descriptors: list[str]

    @staticmethod
    def of(pid: int) -> Resources:
        process = Path(f"/proc/{pid}")
        threads, links = [], []
        for thread in process.glob("task/*"):
            try:
                threads.append((thread / "comm").read_text().strip())
            except (FileNotFoundError, ProcessLookupError):
                # The kernel lists a thread for a short time after its end.
                continue
        for descriptor in process.glob("fd/*"):
            try:
                links.append(os.readlink(descriptor))
            except FileNotFoundError:
                continue
        return Resources(sorted(threads), sorted(link for link in links if not link.startswith("/")))


def idle_resources(pid: int) -> Resources:
    """Waits until the backend runs no thread of the extension, and returns its resources."""
    shell.wait_until(
        lambda: not {FETCHER, NETWORK} & set(Resources.of(pid).threads),
        f"backend {pid} to end its threads",
        seconds=PROMPT_SECONDS,
        every=0.01,
    )
    return Resources.of(pid)


def wait_for_release(before: Resources, pid: int) -> None:
    """Waits until the backend holds the same resources as before."""
    shell.wait_until(lambda: Resources.of(pid) == before, f"backend {pid} to hold only {before}", seconds=PROMPT_SECONDS, every=0.01)


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def wait_for_pages(supabase: Supabase, pages: int, mirror: str = "sample_metrics") -> None:
    """Waits until the mirror's current run has committed this number of pages."""

    def reached() -> bool:
        return any(
            run["pages"] >= pages
            for run in supabase.rows("select pages from ipai.sync_runs where state = 'running' and mirror = %s", mirror)
        )

    shell.wait_until(reached, f"{pages} committed pages of {mirror}", seconds=20, every=0.01)


@contextmanager
def running_statement(supabase: Supabase, connection: Connection, statement: str) -> Iterator[Future[Any]]:
    """Runs the statement on the connection; ends it if it outlives the block."""
    with ThreadPoolExecutor(1) as executor:
        future = executor.submit(connection.execute, statement)
        try:
            yield future
        finally:
            if not future.done():
                supabase.end(connection)


def statement_error(future: Future[Any], seconds: float = PROMPT_SECONDS) -> psycopg.Error:
    """Returns the error of a statement, which must end within `seconds`."""
    error = future.exception(timeout=seconds)
    assert isinstance(error, psycopg.Error), error
    return error
