"""A name lookup that hangs: nothing can end the system's resolver, so whoever cancels must not have to wait for it."""

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
#: Seconds that the resolver hangs.
HANGS = 5
NAME = "odoo.hangs.invalid"

#: What stands before the C library's function, for this name only.
RESOLVER = f"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found) {{
    if (name && strcmp(name, "{NAME}") == 0) {{
        sleep({HANGS});
        return EAI_AGAIN;
    }}
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) = dlsym(RTLD_NEXT, "getaddrinfo");
    return real(name, service, hints, found);
}}
"""


@pytest.fixture(scope="module")
def hanging(extension_pg: Installation) -> Iterator[Supabase]:
    """A cluster whose backends wait for the lookup of one name."""
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
def erp(hanging: Supabase) -> Iterator[FaultyOdoo]:
    """Well, and not what the server names: that is a name whose lookup hangs."""
    with FaultyOdoo([metric(1), metric(2)]) as server:
        hanging.server(server.url)
        hanging.row(SYNC)
        hanging.rows(f"alter server odoo options (set url 'https://{NAME}')")
        yield server
        hanging.reset()


def cancel(supabase: Supabase, connection: Connection) -> None:
    supabase.row("select pg_cancel_backend(%s)", connection.info.backend_pid)


def terminate(supabase: Supabase, connection: Connection) -> None:
    supabase.row("select pg_terminate_backend(%s)", connection.info.backend_pid)


def looks_up(pid: int) -> bool:
    return LOOKUP in Resources.of(pid).threads


@pytest.mark.parametrize(
    ("what", "end", "sqlstate"), [("cancelled", cancel, "57014"), ("terminated", terminate, "57P01")], ids=["cancel", "terminate"]
)
def test_an_end_does_not_wait_for_the_resolver(
    hanging: Supabase, erp: FaultyOdoo, what: str, end: Callable[[Supabase, Connection], None], sqlstate: str
) -> None:
    connection = hanging.connect()
    pid = connection.info.backend_pid
    with SECTION.trial(f"a name lookup that hangs, {what}") as trial, running_statement(hanging, connection, SYNC) as call:
        shell.wait_until(lambda: looks_up(pid), "the lookup", seconds=10, every=0.01)
        trial.restart_clock()
        end(hanging, connection)
        error = statement_error(call)
        assert error.sqlstate == sqlstate
        took = time.monotonic()
        if end is terminate:
            shell.wait_until(lambda: not is_alive(pid), "the backend's end", seconds=PROMPT_SECONDS)
            trial.record_outcome("57P01: the backend ends")
            return
        # The kernel lists a thread a moment longer than it lives.
        shell.wait_until(lambda: not {FETCHER, NETWORK} & {*Resources.of(pid).threads}, "our threads' end", seconds=1, every=0.01)
        assert looks_up(pid)
        trial.record_outcome("57014: the lookup's thread ends with the resolver's time-out")
    # It goes by itself, and the session works meanwhile as well as then.
    hanging.rows(f"alter server odoo options (set url '{erp.url}')")
    row = connection.execute(SYNC).fetchone()
    assert row and row["delta"] == 0
    shell.wait_until(lambda: not looks_up(pid), "the lookup's end", seconds=HANGS + PROMPT_SECONDS)
    assert time.monotonic() - took < HANGS + PROMPT_SECONDS
    assert idle_resources(pid).threads == ["postgres"]


def test_a_name_that_is_not_found_in_time_is_told(hanging: Supabase, erp: FaultyOdoo) -> None:
    hanging.rows("alter server odoo options (add connect_timeout '1')")
    with SECTION.trial("a name lookup that takes longer than connect_timeout") as trial:
        with pytest.raises(psycopg.OperationalError) as caught:
            hanging.row(SYNC)
        trial.record_outcome(caught.value)
        assert caught.value.sqlstate == "08001"


@pytest.mark.whole_file
def test_page_matches_the_recorded_outcomes() -> None:
    SECTION.compare()
