"""Tests timeouts and cancels on a server whose messages are not in English."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from harness import extension, paths, postgres, shell, versions
from harness.postgres import Installation
from support.faulty import FaultyOdoo, metric, never_respond
from support.sessions import running_statement
from support.supabase import Supabase

CALL = "call ipai.run_sync('sample_metrics')"

LOCALE = "de_DE.UTF-8"


@pytest.fixture(scope="module")
def german(extension_pg: Installation) -> Iterator[Supabase]:
    """A cluster with German messages."""
    shell.apt_install("locales")
    copy = versions.target().relocated("german", under=paths.run_dir())
    extension.copy(extension_pg, copy)
    copy.localedir.symlink_to(versions.target().localedir)
    compiled = paths.run_dir()
    shell.run(["localedef", "-i", "de_DE", "-f", "UTF-8", compiled / LOCALE])
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LOCPATH", str(compiled))
        with postgres.supabase_cluster(copy, settings={"lc_messages": LOCALE}) as cluster:
            cluster.psql("create extension ipai_sync")
            postgres.migrate(cluster)
            yield Supabase(cluster)


@pytest.fixture
def erp(german: Supabase) -> Iterator[FaultyOdoo]:
    with FaultyOdoo([metric(1)]) as server:
        german.server(server.url)
        server.on("search_read", never_respond)
        yield server
    german.reset()


def test_timeout_fails_the_run_in_every_language(german: Supabase, erp: FaultyOdoo) -> None:
    connection = german.connect()
    connection.execute("set statement_timeout = '1s'")
    with pytest.raises(psycopg.errors.QueryCanceled) as raised:
        connection.execute(CALL)
    assert raised.value.diag.message_primary is not None and "Zeitüberschreitung" in raised.value.diag.message_primary
    run = german.last_run()
    assert (run["state"], run["sqlstate"], run["message"]) == ("failed", "57014", raised.value.diag.message_primary)


def test_cancel_is_recorded_in_every_language(german: Supabase, erp: FaultyOdoo) -> None:
    connection = german.connect()
    with running_statement(german, connection, CALL) as call:
        shell.wait_until(lambda: bool(erp.received("search_read")), "the run waiting for Odoo", seconds=10)
        german.row("select pg_cancel_backend(%s)", connection.info.backend_pid)
        assert isinstance(call.exception(timeout=10), psycopg.errors.QueryCanceled)
    assert german.last_run()["state"] == "cancelled"


def test_timeout_of_a_function_has_a_hint_in_every_language(german: Supabase, erp: FaultyOdoo) -> None:
    connection = german.connect()
    connection.execute("set statement_timeout = '1s'")
    with pytest.raises(psycopg.errors.QueryCanceled) as raised:
        connection.execute("select * from ipai.sync_sample_metrics()")
    assert "in the background" in str(raised.value.diag.message_hint)
