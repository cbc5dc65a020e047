"""Tests that objects of other roles are not trusted, and that granted privileges suffice.

Also tests the error of a library that is newer than the extension's SQL objects.
"""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.rows import dict_row

from harness import extension, paths, postgres
from harness.postgres import Cluster, Installation
from support import earlier
from support.definitions import ScriptedOdoo, catalog_snapshot, create_statement, execute, expect_error
from support.faulty import Behaviour, FaultyOdoo, close_connection, metric, never_respond, returning, status, truncated
from support.sessions import Connection
from support.supabase import Supabase


@pytest.fixture
def erp(supabase: Supabase) -> Iterator[ScriptedOdoo]:
    with ScriptedOdoo([metric(number) for number in range(1, 6)]) as server:
        supabase.server(server.url)
        yield server


def test_trust_check_works_without_standard_conforming_strings(supabase: Supabase) -> None:
    supabase.rows("create table public.planted (value xml default query_to_xml('select 1', true, false, ''))")
    connection = supabase.connect()
    execute(connection, "set standard_conforming_strings = off")
    (found,) = execute(connection, "select problem from ipai.untrusted_code('public.planted')")
    assert "query_to_xml" in found["problem"]


# Planted objects ----------------------------------------------------------------------------------

#: Creates a namesake of pg_cron that records every role that uses it.
PLANTED_CRON = """
    create table public.used_by (who text);
    grant insert on public.used_by to public;
    create schema cron;
    grant usage on schema cron to public;
    create function cron.note(what bigint) returns bigint language plpgsql as
        $$ begin insert into public.used_by values (current_user); return what; end $$;
    create function cron.jobs() returns table (jobid bigint, jobname text, schedule text, command text, username name) language plpgsql as
        $$ begin
            insert into public.used_by values (current_user);
            return query select n, job || 'm', '* * * * *', 'call ipai.run_sync(''m'')', current_user
                from unnest('{ipai_sync ,ipai_sync now }'::text[]) with ordinality as jobs (job, n);
        end $$;
    create view cron.job as select * from cron.jobs();
    create function cron.schedule(text, text, text) returns bigint language sql as 'select cron.note(1)';
    create function cron.unschedule(bigint) returns boolean language sql as 'select cron.note(1) = 1';
    grant select on cron.job to public;
"""


@pytest.fixture(scope="module")
def cluster(extension_pg: Installation) -> Iterator[Cluster]:
    """A cluster in which an earlier version of the extension can be installed."""
    installation = extension_pg.relocated("trust", under=paths.run_dir())
    extension.copy(extension_pg, installation)
    earlier.install(installation)
    with postgres.supabase_cluster(installation) as cluster:
        yield cluster


@pytest.fixture
def plain(cluster: Cluster) -> Iterator[Connection]:
    """A superuser's session in a database without pg_cron, which the role postgres owns."""
    cluster.psql("create database plain template template0 owner postgres")
    try:
        with psycopg.connect(cluster.dsn("plain"), autocommit=True, row_factory=dict_row) as connection:
            yield connection
    finally:
        cluster.psql("drop database plain with (force)")


def error_of(session: Connection, sql: str) -> psycopg.errors.Diagnostic:
    with pytest.raises(psycopg.Error) as error:
        execute(session, sql)
    return error.value.diag


def connect_to(session: Connection, odoo: FaultyOdoo) -> None:
    """Creates a server and the superuser's user mapping with a plain password."""
    execute(session, f"create server odoo foreign data wrapper ipai_odoo options (url '{odoo.url}', dbname 'odoo')")
    execute(session, "create user mapping for current_user server odoo options (user 'admin', password 'admin')")


def test_planted_cron_table_is_not_read(cluster: Cluster, plain: Connection) -> None:
    """A view of postgres that a superuser reads could run any code as the superuser."""
    cluster.psql(PLANTED_CRON, dbname="plain", user="postgres")
    execute(plain, "create extension ipai_sync; create schema own")
    assert execute(plain, "select ipai.has_cron() as has") == [{"has": False}]
    used_by = "select who from public.used_by"
    with ScriptedOdoo([metric(1)]) as odoo:
        connect_to(plain, odoo)
        for name in ("m", "n"):
            execute(plain, create_statement(name, f"own.{name}"))
        for statement in (
            *("call ipai.run_sync('m')", "call ipai.run_sync()", "select * from ipai.sync_mirror('m')"),
            *("select * from ipai.sync_status", "select * from ipai.sync_alerts", "select ipai.notify_alerts()"),
            *("select ipai.drop_mirror('m')", "select ipai.drop_mirror('n', true)"),
        ):
            execute(plain, statement)
            assert (statement, execute(plain, used_by)) == (statement, [])
        execute(plain, create_statement("m", "own.again"))
        for call in ("schedule_sync('m', '* * * * *')", "sync_now('m')", "unschedule_sync('m')", "restore_schedules()"):
            found = error_of(plain, f"select * from ipai.{call}")
            assert (call, found.sqlstate, found.message_primary) == (call, "42704", "pg_cron is not installed in this database")
            assert found.message_hint and execute(plain, used_by) == []
    # The planted view records an explicit read.
    execute(plain, "select * from cron.job")
    assert execute(plain, used_by) == [{"who": "supabase_admin"}]


def test_has_cron_requires_usage_of_pg_cron(supabase: Supabase) -> None:
    has = "select ipai.has_cron() as has"
    assert supabase.row(has) == {"has": True}
    connection = supabase.connect()
    connection.execute("set role service_role")
    assert execute(connection, has) == [{"has": False}]


@pytest.fixture
def shared(supabase: Supabase) -> Iterator[Supabase]:
    """A database with a schema `shared` in which mallory can create objects."""
    supabase.cluster.psql(
        """create role mallory login;
           create schema shared authorization postgres;
           grant usage, create on schema shared to mallory"""
    )
    yield supabase
    supabase.cluster.psql("drop schema shared cascade; drop owned by mallory; drop role mallory")


@pytest.mark.parametrize("definer", ["", "security definer"])
def test_trigger_function_of_another_role_is_not_used(shared: Supabase, erp: ScriptedOdoo, definer: str) -> None:
    planted = f"create function shared.keep_updated_at() returns trigger language plpgsql {definer} as 'begin return new; end'"
    shared.rows(planted, user="mallory")
    shared.rows("grant execute on function shared.keep_updated_at() to public", user="mallory")
    before = catalog_snapshot(shared)
    found = expect_error(shared, create_statement("metrics", "shared.metrics"))
    assert (found.sqlstate, found.message_primary) == ("42501", "function shared.keep_updated_at() belongs to another role")
    assert found.message_hint
    assert catalog_snapshot(shared) == before
    # Without it create_mirror creates the function, and the next mirror uses it too.
    shared.rows("drop function shared.keep_updated_at()")
    for name in ("metrics", "again"):
        shared.rows(create_statement(name, f"shared.{name}"))
        assert shared.sync(name)["inserted"] == 5
    owners = shared.rows(
        "select proowner::regrole::text as owner from pg_proc where proname = 'keep_updated_at' and pronamespace = 'shared'::regnamespace"
    )
    assert owners == [{"owner": "postgres"}]


# Different versions of library and SQL objects ----------------------------------------------------

#: Functions of the earlier version.
CALLS = [
    "call ipai.run_sync()",
    "select * from ipai.sync_mirror('m')",
    "select * from ipai.sync_sample_metrics()",
    "select * from ipai.refresh_counts()",
    "select * from ipai.refresh_counts('m')",
    "select * from ipai.check_connection()",
    "select * from ipai.check_connection('odoo')",
    "select ipai.odoo_version()",
    "select ipai.alter_mirror('m', 'odoo')",
]


def test_newer_library_asks_for_an_update(plain: Connection) -> None:
    execute(plain, f"create extension ipai_sync version '{earlier.EARLIER}'")
    with ScriptedOdoo([metric(1)]) as odoo:
        connect_to(plain, odoo)
        execute(plain, "create schema own; create table own.t (odoo_id bigint unique, name text)")
        execute(
            plain,
            """insert into ipai.mirrors (name, server, model, target_schema, target_table, fields, page_size, max_delete_ratio)
               values ('m', 'odoo', 'ipai.sample.metric', 'own', 't', '[{"field": "name", "column": "name", "type": "text"}]', 100, 1)""",
        )
        for call in CALLS:
            found = error_of(plain, call)
            assert (call, found.sqlstate) == (call, "55000"), found.message_primary
            assert "supabase_admin" in (found.message_hint or "")
            assert earlier.EARLIER in (found.message_primary or "")
        assert odoo.requests == []
        assert execute(plain, "select name from ipai.mirrors") == [{"name": "m"}]
        assert execute(plain, "select from ipai.run_log") == []
        # Following the hint resolves the error.
        execute(plain, (found.message_hint or "").partition("): ")[2])
        execute(plain, "call ipai.run_sync('m')")
        assert execute(plain, "select odoo_id, name from own.t") == [{"odoo_id": 1, "name": "Metric 1"}]


@pytest.mark.parametrize("call", ["call ipai.run_sync('sample_metrics')", "select ipai.alter_mirror('sample_metrics', 'odoo')"])
def test_newer_library_asks_for_an_update_before_the_first_mirror(plain: Connection, call: str) -> None:
    execute(plain, f"create extension ipai_sync version '{earlier.EARLIER}'")
    with ScriptedOdoo([metric(1)]) as odoo:
        connect_to(plain, odoo)
        found = error_of(plain, call)
        assert found.sqlstate == "55000", found.message_primary
        assert "alter extension ipai_sync update;" in (found.message_hint or "")


# Calls that may change something ------------------------------------------------------------------

CALL = "select ipai.odoo_call('odoo', 'ipai.sample.metric', 'action') as result"


@pytest.mark.parametrize(
    "behaviour",
    [close_connection, truncated(lambda body: len(body) // 2), status(502), never_respond],
    ids=["closed", "cut", "502", "timeout"],
)
def test_error_of_a_lost_response_warns_of_possible_execution(supabase: Supabase, behaviour: Behaviour) -> None:
    with FaultyOdoo() as odoo:
        supabase.server(odoo.url, timeout="1")
        odoo.on("action", behaviour)
        found = expect_error(supabase, CALL)
        assert found.sqlstate == "08006" and "Odoo may have executed the call" in (found.message_hint or "")
        assert len(odoo.received("action")) == 1


def test_error_of_an_unsent_call_does_not_warn(supabase: Supabase) -> None:
    with FaultyOdoo() as odoo:
        supabase.server(odoo.url, timeout="1")
        odoo.on("authenticate", never_respond)
        found = expect_error(supabase, CALL)
        assert found.sqlstate == "08006" and "may have" not in (found.message_hint or "")
        assert odoo.received("action") == []


@pytest.fixture
def caller(supabase: Supabase) -> Iterator[FaultyOdoo]:
    """An Odoo that the role `caller` may call, without further privileges."""
    with FaultyOdoo() as odoo:
        odoo.on("action", returning(7))
        supabase.server(odoo.url)
        supabase.cluster.psql("create role caller login")
        supabase.rows("grant usage on schema ipai to caller")
        supabase.rows("grant execute on function ipai.odoo_call to caller")
        supabase.rows("grant usage on foreign server odoo to caller")
        supabase.rows("create user mapping for caller server odoo options (user 'admin', password 'admin')")
        yield odoo
        # Only postgres can revoke what postgres has granted.
        supabase.rows("revoke all on schema ipai from caller")
        supabase.rows("revoke all on function ipai.odoo_call from caller")
        supabase.rows("revoke all on ipai.odoo_logins from caller")
        supabase.rows("drop server odoo cascade")
        supabase.cluster.psql("drop role caller")


#: Roles, and their privileges on the stored logins.
CALLERS = [("caller", ""), ("caller", "select"), ("caller", "select, insert, update"), ("postgres", "all")]


@pytest.mark.parametrize("known", [False, True], ids=["first login", "remembered login"])
@pytest.mark.parametrize("transaction", ["read write", "read only"])
@pytest.mark.parametrize(("user", "privileges"), CALLERS, ids=[f"{user} {privileges}".strip() for user, privileges in CALLERS])
def test_odoo_call_needs_only_execute_and_usage(
    supabase: Supabase, caller: FaultyOdoo, user: str, privileges: str, transaction: str, known: bool
) -> None:
    if user == "caller" and privileges:
        supabase.rows(f"grant {privileges} on ipai.odoo_logins to caller")
    if known:
        supabase.rows("insert into ipai.odoo_logins values (%s, 'odoo', 'admin', 2)", caller.url)
    connection = supabase.connect(user=user)
    execute(connection, f"begin transaction {transaction}")
    assert execute(connection, CALL) == [{"result": 7}]
    assert len(caller.received("action")) == 1
    execute(connection, "commit")
    remembered = known or (transaction == "read write" and privileges not in ("", "select"))
    assert supabase.rows("select uid from ipai.odoo_logins") == [{"uid": 2}] * remembered
    assert len(caller.received("action")) == 1


def test_odoo_call_works_without_select_on_logins(supabase: Supabase, caller: FaultyOdoo) -> None:
    supabase.rows("grant insert, update on ipai.odoo_logins to caller")
    assert supabase.rows("select ipai.odoo_call('odoo', 'ipai.sample.metric', 'action') as result", user="caller") == [{"result": 7}]
