"""Tests a name lookup that hangs.

The system's resolver cannot be interrupted, so a cancel must not wait for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import psycopg
import pytest

from harness import paths, postgres, shell
from harness.postgres import Installation
from support.faulty import FaultyOdoo, metric
from support.reliability import Section
from support.sessions import (
    FETCHER,
    LOOKUP,
    NETWORK,
    PROMPT_SECONDS,
    Connection,
    Resources,
    idle_resources,
    is_alive,
    running_statement,
    statement_error,
)
from support.supabase import Supabase

SECTION = Section("Name lookups")
SYNC = "select * from ipai.sync_sample_metrics()"
#: Seconds until the lookup returns.
LOOKUP_SECONDS = 5
NAME = "odoo.hangs.invalid"

#: Replaces the C library's function for this name.
RESOLVER = f"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found) {{
    if (name && strcmp(name, "{NAME}") == 0) {{
        sleep({LOOKUP_SECONDS});
        return EAI_AGAIN;
    }}
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) = dlsym(RTLD_NEXT, "getaddrinfo");
    return real(name, service, hints, found);
}}
"""


@pytest.fixture(scope="module")
def slow_lookup(extension_pg: Installation) -> Iterator[Supabase]:
    """A cluster whose backends hang in the lookup of one name."""
    shell.apt_install("gcc", "libc6-dev")
    directory = paths.run_dir()
    library = directory / "resolver.so"
    shell.run(["gcc", "-shared", "-fPIC", "-o", library, "-xc", "-", "-ldl"], stdin=RESOLVER)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LD_PRELOAD", str(library))
        cluster = postgres.supabase_cluster(extension_pg)
        with cluster as started:
            environment.delenv("LD_PRELOAD")
            started.psql("create extension ipai_sync")
            postgres.migrate(started)
            yield Supabase(started)


@pytest.fixture
def erp(slow_lookup: Supabase) -> Iterator[FaultyOdoo]:
    """A scripted Odoo. The server's url has the name whose lookup hangs instead."""
    with FaultyOdoo([metric(1), metric(2)]) as server:
        slow_lookup.server(server.url)
        slow_lookup.row(SYNC)
        slow_lookup.set_url(f"https://{NAME}")
        yield server
        slow_lookup.reset()


def cancel(supabase: Supabase, connection: Connection) -> None:
    supabase.row("select pg_cancel_backend(%s)", connection.info.backend_pid)


def terminate(supabase: Supabase, connection: Connection) -> None:
    supabase.row("select pg_terminate_backend(%s)", connection.info.backend_pid)


def looks_up(pid: int) -> bool:
    return LOOKUP in Resources.of(pid).threads


@pytest.mark.parametrize(
    ("what", "end", "sqlstate"), [("cancelled", cancel, "57014"), ("terminated", terminate, "57P01")], ids=["cancel", "terminate"]
)
def test_cancel_and_termination_do_not_wait_for_the_resolver(
    slow_lookup: Supabase, erp: FaultyOdoo, what: str, end: Callable[[Supabase, Connection], None], sqlstate: str
) -> None:
    connection = slow_lookup.connect()
    pid = connection.info.backend_pid
    with SECTION.trial(f"a name lookup that hangs, {what}") as trial, running_statement(slow_lookup, connection, SYNC) as call:
        shell.wait_until(lambda: looks_up(pid), "the lookup", seconds=10, every=0.01)
        trial.restart_clock()
        end(slow_lookup, connection)
        error = statement_error(call)
        assert error.sqlstate == sqlstate
        took = time.monotonic()
        if end is terminate:
            shell.wait_until(lambda: not is_alive(pid), "the backend's end", seconds=PROMPT_SECONDS)
            trial.record_outcome("57P01: the backend ends")
            return
        # The kernel lists a thread for a short time after its end.
        shell.wait_until(lambda: not {FETCHER, NETWORK} & {*Resources.of(pid).threads}, "our threads' end", seconds=1, every=0.01)
        assert looks_up(pid)
        trial.record_outcome("57014: the lookup's thread ends with the resolver's time-out")
    # The thread ends by itself. The session works before and after that.
    slow_lookup.set_url(erp.url)
    row = connection.execute(SYNC).fetchone()
    assert row and row["delta"] == 0
    shell.wait_until(lambda: not looks_up(pid), "the lookup's end", seconds=LOOKUP_SECONDS + PROMPT_SECONDS)
    assert time.monotonic() - took < LOOKUP_SECONDS + PROMPT_SECONDS
    assert idle_resources(pid).threads == ["postgres"]


def test_slow_lookup_exceeds_connect_timeout(slow_lookup: Supabase, erp: FaultyOdoo) -> None:
    slow_lookup.rows("alter server odoo options (add connect_timeout '1')")
    with SECTION.trial("a name lookup that takes longer than connect_timeout") as trial:
        with pytest.raises(psycopg.OperationalError) as caught:
            slow_lookup.row(SYNC)
        trial.record_outcome(caught.value)
        assert caught.value.sqlstate == "08001"


@pytest.mark.whole_file
def test_page_matches_the_recorded_outcomes() -> None:
    SECTION.compare()
