"""Tests that Odoo's password is stored only in Supabase Vault and read at the time of a call.

Also tests where the password appears if it is typed into a statement or stored in the user mapping.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest
from psycopg import sql

from harness import postgres, shell
from harness.postgres import Installation
from support.definitions import ScriptedOdoo, create_statement, execute
from support.faulty import RECORDED, UID, Request, metric
from support.sessions import Connection
from support.supabase import Supabase

PASSWORD = "Geheim-§-4711"
ANOTHER = "Another-§-4712"

#: Ways to call Odoo, each of which needs the password.
CALLS = [
    "call ipai.run_sync('sample_metrics')",
    "select * from ipai.sync_mirror('sample_metrics')",
    "select * from ipai.sync_sample_metrics()",
    "select * from ipai.refresh_counts('sample_metrics')",
    "select * from ipai.check_connection('odoo')",
    "select * from ipai.odoo_models('odoo')",
    "select ipai.odoo_call('odoo', 'ipai.sample.metric', 'search_count', '[[]]')",
]
SET = "select ipai.set_odoo_password(%s, %s) as name"


@dataclass(frozen=True)
class Problem:
    """The SQLSTATE, message and hint of an error."""

    sqlstate: str
    message: str
    hint: str

    @staticmethod
    def of(error: psycopg.Error) -> Problem:
        return Problem(error.sqlstate or "", error.diag.message_primary or "", error.diag.message_hint or "")


def problem(session: Connection, statement: str, *args: str | None) -> Problem:
    with pytest.raises(psycopg.Error) as error:
        session.execute(statement.encode(), args or None)
    return Problem.of(error.value)


@pytest.fixture(scope="module")
def _vaulted(extension_pg: Installation) -> Iterator[Supabase]:
    """A cluster that records all statements in pg_stat_statements, also those inside functions.

    Its log settings are Postgres's defaults.
    """
    preload = "pg_cron,pg_stat_statements"
    settings = {"shared_preload_libraries": preload, "cron.database_name": "postgres", "pg_stat_statements.track": "all"}
    with postgres.supabase_cluster(extension_pg, settings=settings) as cluster:
        cluster.psql("create extension ipai_sync; create extension pg_stat_statements with schema extensions")
        postgres.migrate(cluster)
        yield Supabase(cluster)


@pytest.fixture
def vaulted(_vaulted: Supabase) -> Iterator[Supabase]:
    _vaulted.cluster.psql("select extensions.pg_stat_statements_reset()")
    yield _vaulted
    _vaulted.reset()


class GuardedOdoo(ScriptedOdoo):
    """An Odoo that checks the password before every response."""

    def answer(self, request: Request) -> bytes:
        if request.model and (request.user, request.password) != (UID, self.password):
            return (RECORDED / "object_wrong_password.xml").read_bytes()
        return super().answer(request)


@pytest.fixture
def erp() -> Iterator[ScriptedOdoo]:
    with GuardedOdoo([metric(1), metric(2)]) as odoo:
        odoo.password = PASSWORD
        yield odoo


@pytest.fixture
def connected(vaulted: Supabase, erp: ScriptedOdoo) -> Supabase:
    vaulted.server(erp.url, password=PASSWORD)
    vaulted.rows("select ipai.alter_mirror('sample_metrics', 'odoo')")
    return vaulted


@pytest.fixture
def plain(vaulted: Supabase) -> Iterator[Connection]:
    """A superuser's session in a database without Vault, which the role postgres owns."""
    cluster = vaulted.cluster
    cluster.psql("create database plain template template0 owner postgres")
    try:
        with psycopg.connect(cluster.dsn("plain"), autocommit=True, row_factory=psycopg.rows.dict_row) as connection:
            execute(connection, "create extension ipai_sync")
            yield connection
    finally:
        cluster.psql("drop database plain with (force)")


# Passwords are read at the time of the call -------------------------------------------------------


def test_secret_that_vault_cannot_decrypt_is_stored_anew(connected: Supabase) -> None:
    """After a restore, for example, Vault has another key."""
    connected.cluster.psql("update vault.secrets set secret = '!' where name = 'odoo_password'")
    session = connected.connect()
    hint = "Store it anew: select ipai.set_odoo_password('odoo', '...');"
    assert problem(session, CALLS[0]) == Problem("55000", 'Vault cannot decrypt secret "odoo_password"', hint)
    session.execute(SET.encode(), ("odoo", PASSWORD))
    execute(session, CALLS[0])


def test_changed_secret_applies_to_the_next_call(connected: Supabase, erp: ScriptedOdoo) -> None:
    """The change also applies to a session that has used the old secret."""
    session = connected.connect()
    for call in CALLS:
        execute(session, call)
    for change in (
        "select ipai.set_odoo_password('odoo', %s)",
        "select vault.update_secret(id, %s) from vault.secrets where name = 'odoo_password'",
    ):
        for erp.password in (ANOTHER, PASSWORD):
            for call in CALLS:
                assert problem(session, call).sqlstate == "28P01", call
            connected.rows(change, erp.password)
            erp.requests.clear()
            for call in CALLS:
                execute(session, call)
            assert {request.password for request in erp.requests if request.password} == {erp.password}
    assert connected.row("select count(*) from vault.secrets") == {"count": 1}


def test_changed_secret_name_applies_to_the_next_call(connected: Supabase, erp: ScriptedOdoo) -> None:
    session = connected.connect()
    execute(session, CALLS[0])
    execute(session, "alter user mapping for postgres server odoo options (set password_secret 'another')")
    connected.rows(SET, "odoo", ANOTHER)
    erp.password = ANOTHER
    execute(session, CALLS[0])


# Errors of missing and unreadable secrets ---------------------------------------------------------


@pytest.mark.parametrize("call", CALLS)
def test_error_names_the_missing_secret(connected: Supabase, erp: ScriptedOdoo, call: str) -> None:
    connected.rows("alter user mapping for postgres server odoo options (set password_secret 'mistyped')")
    erp.requests.clear()
    found = problem(connected.connect(), call)
    assert found == Problem("42704", 'Vault has no secret named "mistyped"', "select ipai.set_odoo_password('odoo', '...');")
    assert erp.requests == []


def test_empty_secret_is_treated_as_missing(connected: Supabase) -> None:
    connected.rows("select vault.update_secret(id, '') from vault.secrets")
    assert problem(connected.connect(), CALLS[0]).message == 'Vault has no secret named "odoo_password"'


@pytest.mark.parametrize("call", CALLS)
def test_role_without_access_to_vault_gets_an_error(connected: Supabase, erp: ScriptedOdoo, call: str) -> None:
    connected.cluster.psql("create role syncer login bypassrls")
    session = connected.connect("syncer")
    try:
        connected.rows(
            """grant usage on schema ipai to syncer; grant execute on all routines in schema ipai to syncer;
               grant select, insert, update, delete on all tables in schema ipai to syncer;
               grant usage on foreign server odoo to syncer"""
        )
        execute(session, "create user mapping for current_user server odoo options (user 'admin', password_secret 'odoo_password')")
        for privilege in (
            "",
            "grant usage on schema vault to syncer",
            "revoke usage on schema vault from syncer; grant select on vault.decrypted_secrets to syncer",
        ):
            if privilege:
                connected.rows(privilege)
            erp.requests.clear()
            assert problem(session, call) == Problem(
                "42501",
                "permission denied for Supabase Vault",
                "Sync as postgres or service_role, or from pg_cron: they may read Vault. Users of the API read the mirror, they do not sync.",
            )
            assert erp.requests == []
        connected.rows("grant usage on schema vault to syncer")
        execute(session, call)
    finally:
        session.close()
        connected.cluster.psql(
            """set role postgres;
               revoke all on all routines in schema ipai from syncer; revoke all on all tables in schema ipai from syncer;
               revoke all on schema ipai, vault from syncer; revoke all on vault.decrypted_secrets from syncer;
               reset role; drop owned by syncer; drop role syncer"""
        )


def test_password_secret_requires_vault(plain: Connection, erp: ScriptedOdoo) -> None:
    execute(plain, f"create server odoo foreign data wrapper ipai_odoo options (url '{erp.url}', dbname 'odoo')")
    execute(plain, "create user mapping for current_user server odoo options (user 'admin', password_secret 'odoo_password')")
    without = Problem(
        "42704",
        "the option password_secret needs Supabase Vault, which is not installed",
        "create extension supabase_vault; or give your own user mapping the option password.",
    )
    for call in ("select ipai.odoo_version()", "select * from ipai.check_connection('odoo')", "select * from ipai.odoo_models()"):
        assert (call, problem(plain, call)) == (call, without)
    assert problem(plain, SET, "odoo", PASSWORD) == Problem(
        "42704",
        "Supabase Vault is not installed in this database",
        "create extension supabase_vault; or keep the password in your own user mapping: alter user mapping for current_user server ... options (set password '...').",
    )
    assert erp.requests == []


#: Creates a namesake of Vault that writes every reader's name to the server's log.
PLANTED_VAULT = """
    create schema vault;
    grant usage on schema vault to public;
    create function vault.tell() returns boolean language plpgsql as $$ begin raise warning 'told by %', current_user; return true; end $$;
    create view vault.decrypted_secrets as
        select gen_random_uuid() as id, 'odoo_password'::text as name, 'planted'::text as decrypted_secret where vault.tell();
    grant select on vault.decrypted_secrets to public;
    create function vault.create_secret(text, text) returns uuid language sql as 'select null::uuid where vault.tell()';
    create function vault.update_secret(uuid, text) returns void language sql as 'select where vault.tell()';
"""


def test_planted_vault_is_not_read_by_a_superuser(vaulted: Supabase, plain: Connection, erp: ScriptedOdoo) -> None:
    """A superuser's query would evaluate the planted view.

    set_odoo_password would pass the password to the planted function.
    """
    vaulted.cluster.psql(PLANTED_VAULT, dbname="plain", user="postgres")
    execute(plain, f"create server odoo foreign data wrapper ipai_odoo options (url '{erp.url}', dbname 'odoo')")
    execute(plain, "create user mapping for current_user server odoo options (user 'admin', password_secret 'odoo_password')")
    execute(plain, "create schema own; create table own.t (odoo_id bigint unique, name text)")
    execute(
        plain,
        """insert into ipai.mirrors (name, server, model, target_schema, target_table, fields, page_size, max_delete_ratio)
           values ('m', 'odoo', 'ipai.sample.metric', 'own', 't', '[{"field": "name", "column": "name", "type": "text"}]', 100, 1)""",
    )
    before = vaulted.cluster.log.stat().st_size
    for call in ("call ipai.run_sync('m')", "select * from ipai.sync_mirror('m')", "select * from ipai.check_connection('odoo')"):
        assert problem(plain, call).message == "the option password_secret needs Supabase Vault, which is not installed"
    assert problem(plain, SET, "odoo", PASSWORD).message == "Supabase Vault is not installed in this database"
    execute(plain, "select * from ipai.doctor()")
    assert "told by" not in vaulted.cluster.log.read_text(errors="replace")[before:]
    # The planted view reports an explicit read.
    execute(plain, "select * from vault.decrypted_secrets")
    assert "told by supabase_admin" in vaulted.cluster.log.read_text(errors="replace")


# set_odoo_password --------------------------------------------------------------------------------


def test_set_odoo_password_creates_and_updates(vaulted: Supabase, erp: ScriptedOdoo) -> None:
    vaulted.rows(f"create server odoo foreign data wrapper ipai_odoo options (url '{erp.url}', dbname 'odoo')")
    vaulted.rows("create user mapping for postgres server odoo options (user 'admin', password_secret 'from the mapping')")
    for secret in (ANOTHER, PASSWORD, "'; drop table x; --", PASSWORD):
        assert vaulted.row(SET, "odoo", secret) == {"name": "from the mapping"}
        assert vaulted.rows("select name, decrypted_secret as secret from vault.decrypted_secrets") == [
            {"name": "from the mapping", "secret": secret}
        ]
    vaulted.rows("select * from ipai.check_connection('odoo')")


def test_set_odoo_password_prefers_the_callers_mapping_to_public(connected: Supabase) -> None:
    connected.rows("create user mapping for public server odoo options (user 'admin', password_secret 'for_all')")
    assert connected.row(SET, "odoo", ANOTHER) == {"name": "odoo_password"}
    connected.rows("drop user mapping for postgres server odoo")
    assert connected.row(SET, "odoo", PASSWORD) == {"name": "for_all"}
    connected.rows("select * from ipai.check_connection('odoo')")


def test_set_odoo_password_refuses_invalid_arguments(connected: Supabase, erp: ScriptedOdoo) -> None:
    session = connected.connect()
    secrets = connected.rows("select * from vault.secrets")
    empty = Problem("22023", "the secret must not be empty", "Pass the password or an API key of the Odoo user.")
    for secret in (None, ""):
        assert problem(session, SET, "odoo", secret) == empty
    connected.cluster.psql(
        "create foreign data wrapper other; create server others foreign data wrapper other; create user mapping for postgres server others"
    )
    try:
        for server in ("elsewhere", "others"):
            assert problem(session, SET, server, PASSWORD) == Problem(
                "42704", f'Odoo server "{server}" does not exist', "To list the servers: select srvname from pg_foreign_server;"
            )
    finally:
        connected.cluster.psql("drop foreign data wrapper other cascade")
    connected.rows("drop user mapping for postgres server odoo")
    without = problem(session, SET, "odoo", PASSWORD)
    assert (without.sqlstate, without.message) == ("42704", 'there is no user mapping for server "odoo"')
    connected.rows("create user mapping for postgres server odoo options (user 'admin', password 'plain')")
    in_clear = problem(session, SET, "odoo", PASSWORD)
    assert (in_clear.sqlstate, in_clear.message) == ("22023", 'the user mapping for server "odoo" has no option password_secret')
    assert connected.rows("select * from vault.secrets") == secrets
    # Following the hints resolves the errors.
    execute(session, in_clear.hint.removesuffix(" Then repeat this call."))
    assert connected.row(SET, "odoo", PASSWORD) == {"name": "odoo_odoo"}
    execute(session, CALLS[0])
    execute(session, "drop user mapping for postgres server odoo")
    execute(session, without.hint.removesuffix(" Then repeat this call.").replace("'...'", "'admin'"))
    execute(session, CALLS[0])


@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
def test_api_roles_cannot_set_passwords(connected: Supabase, role: str) -> None:
    session = connected.connect("authenticator")
    execute(session, f"set role {role}")
    assert problem(session, SET, "odoo", ANOTHER).sqlstate == "42501"


def test_set_odoo_password_requires_access_to_vault(connected: Supabase) -> None:
    connected.cluster.psql("create role setter login")
    try:
        connected.rows(
            """grant usage on schema ipai to setter; grant execute on function ipai.set_odoo_password, ipai.mapped_secret, ipai.require_vault, ipai.has_vault to setter;
               grant usage on foreign server odoo to setter"""
        )
        session = connected.connect("setter")
        execute(session, "create user mapping for current_user server odoo options (user 'admin', password_secret 'odoo_password')")
        assert problem(session, SET, "odoo", ANOTHER) == Problem(
            "42501", "permission denied for Supabase Vault", "On Supabase, call this as postgres."
        )
        session.close()
    finally:
        connected.rows(
            "revoke all on schema ipai from setter; revoke all on function ipai.set_odoo_password, ipai.mapped_secret, ipai.require_vault, ipai.has_vault from setter"
        )
        connected.cluster.psql("drop owned by setter; drop role setter")


# The password is stored nowhere else --------------------------------------------------------------


def encodings(secret: str) -> list[str]:
    """Returns a secret in clear, in base64 as the tests' Vault stores it, and in hex as bytea."""
    encoded = secret.encode()
    return [secret, base64.b64encode(encoded).decode(), encoded.hex()]


def written_in(text: str, *secrets: str) -> list[str]:
    return [form for secret in secrets for form in encodings(secret) if form in text]


def use_password(supabase: Supabase, erp: ScriptedOdoo) -> None:
    """Uses the password in successful and failing calls.

    Values are parameters of the statements, as clients send them.
    """
    session = supabase.connect()
    execute(session, "set client_min_messages = debug5")
    execute(session, f"create server odoo foreign data wrapper ipai_odoo options (url '{erp.url}', dbname 'odoo')")
    execute(session, "create user mapping for postgres server odoo options (user 'admin', password_secret 'odoo_password')")
    session.execute(b"select ipai.set_odoo_password('odoo', %s)", [ANOTHER])
    diagnostics: list[object] = []
    session.add_notice_handler(
        lambda diagnostic: diagnostics.append(
            [getattr(diagnostic, name) for name in dir(diagnostic) if name.startswith(("message", "context"))]
        )
    )
    execute(session, "select ipai.alter_mirror('sample_metrics', 'odoo')")
    for call in CALLS:
        with pytest.raises(psycopg.errors.InvalidPassword) as refused:
            execute(session, call)
        diagnostics.append(
            [getattr(refused.value.diag, name) for name in dir(refused.value.diag) if name.startswith(("message", "context"))]
        )
    session.execute(b"select ipai.set_odoo_password(%s, %s)", ["odoo", PASSWORD])
    for call in CALLS:
        execute(session, call)
    execute(session, "alter user mapping for postgres server odoo options (set password_secret 'mistyped')")
    for call in CALLS:
        assert problem(session, call).sqlstate == "42704"
    execute(session, "alter user mapping for postgres server odoo options (set password_secret 'odoo_password')")
    # An unknown server is refused.
    assert problem(session, SET, "elsewhere", PASSWORD).sqlstate == "42704"
    execute(session, create_statement("another", "ipai.another"))
    execute(session, "call ipai.run_sync()")
    execute(session, "select * from ipai.doctor()")
    assert written_in(str(diagnostics), PASSWORD, ANOTHER) == []


def dump(supabase: Supabase, *options: str) -> str:
    program = supabase.cluster.installation.bindir / "pg_dump"
    return shell.run([program, "-d", supabase.cluster.dsn(), *options], capture=True, env=postgres.client_environment()).stdout


def test_password_is_stored_only_in_vault(vaulted: Supabase, erp: ScriptedOdoo) -> None:
    assert vaulted.rows("show log_statement") == [{"log_statement": "none"}]
    assert vaulted.rows("show log_min_error_statement") == [{"log_min_error_statement": "error"}]
    use_password(vaulted, erp)
    places = {
        "server log": vaulted.cluster.log.read_text(errors="replace"),
        "dump of the extension's tables": dump(vaulted, "-t", "ipai.*", "--data-only"),
        "whole dump": dump(vaulted, "--exclude-table-data=vault.secrets"),
        "statistics": str(vaulted.rows("select query from extensions.pg_stat_statements", user="supabase_admin")),
        "mappings": str(vaulted.rows("select * from pg_user_mappings", user="supabase_admin")),
        "activity": str(vaulted.rows("select * from pg_stat_activity", user="supabase_admin")),
    }
    for relation in vaulted.rows(
        "select oid::regclass::text as name from pg_class where relnamespace = 'ipai'::regnamespace and relkind in ('r', 'v')"
    ):
        places[relation["name"]] = str(vaulted.rows(f"select r::text from {relation['name']} r", user="supabase_admin"))
    assert {place: written_in(text, PASSWORD, ANOTHER) for place, text in places.items()} == {place: [] for place in places}
    # Checks that each place has the expected content.
    assert "Odoo authentication failed" in places["server log"] and "Odoo authentication failed" in places["ipai.run_log"]
    assert "COPY ipai.run_log" in places["dump of the extension's tables"] and "CREATE USER MAPPING" in places["whole dump"]
    assert "ipai.set_odoo_password($" in places["statistics"] and "from vault.decrypted_secrets" in places["statistics"]
    assert written_in(dump(vaulted, "-t", "vault.secrets"), PASSWORD) != []


@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role", "authenticator", "another"])
def test_other_roles_do_not_see_user_mapping_options(connected: Supabase, role: str) -> None:
    """The options are hidden completely, including the login and the secret's name."""
    connected.cluster.psql("create role another; grant another to postgres")
    try:
        connected.rows("grant usage on foreign server odoo to public")
        connected.rows("alter user mapping for postgres server odoo options (drop password_secret, add password 'in clear')")
        connected.rows("create user mapping for public server odoo options (user 'admin', password_secret 'odoo_password')")
        session = connected.connect("authenticator" if role == "authenticator" else "postgres")
        assert connected.rows("select umoptions from pg_user_mappings where usename = 'postgres'") == [
            {"umoptions": ["user=admin", "password=in clear"]}
        ]
        execute(session, f"set role {role}")
        assert execute(session, "select umoptions from pg_user_mappings") == [{"umoptions": None}] * 2
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            execute(session, "select * from pg_user_mapping")
    finally:
        connected.cluster.psql("drop server odoo cascade; drop role another")


# Documented limits of the protection --------------------------------------------------------------


def in_statistics(supabase: Supabase) -> str:
    return str(supabase.rows("select query from extensions.pg_stat_statements", user="supabase_admin"))


def test_password_in_the_mapping_appears_in_dumps_and_statistics(vaulted: Supabase, erp: ScriptedOdoo) -> None:
    """The option password_secret avoids this."""
    vaulted.rows(f"create server odoo foreign data wrapper ipai_odoo options (url '{erp.url}', dbname 'odoo')")
    vaulted.rows(f"create user mapping for postgres server odoo options (user 'admin', password '{PASSWORD}')")
    assert PASSWORD in dump(vaulted, "--schema-only")
    assert PASSWORD in in_statistics(vaulted)
    # A dump of the extension's tables contains no user mappings.
    assert written_in(dump(vaulted, "-t", "ipai.*"), PASSWORD) == []


def test_password_typed_into_a_statement_is_logged(connected: Supabase) -> None:
    """By default Postgres logs failed statements.

    With log_statement = all it logs every statement.
    """
    session = connected.connect()
    call = sql.SQL("select ipai.set_odoo_password({}, {})")
    start = connected.cluster.log.stat().st_size
    session.execute(call.format("odoo", "typed and well"))
    with pytest.raises(psycopg.errors.UndefinedObject):
        session.execute(call.format("elsewhere", "typed and refused"))
    superuser = connected.connect("supabase_admin")
    execute(superuser, "set log_statement = 'all'")
    with pytest.raises(psycopg.errors.UndefinedObject):
        superuser.execute(call.format("elsewhere", "typed and all is logged"))
    for caller in (session, superuser):
        with pytest.raises(psycopg.errors.UndefinedObject):
            caller.execute(SET.encode(), ["elsewhere", f"a parameter of {caller.info.user}"])
    with open(connected.cluster.log, errors="replace") as log:
        log.seek(start)
        logged = log.read()
    assert "typed and well" not in logged
    assert "typed and refused" in logged and "typed and all is logged" in logged
    assert "a parameter of postgres" not in logged and "a parameter of supabase_admin" in logged
    # Statistics never contain constants of a query.
    assert "typed and" not in in_statistics(connected)


def test_server_owner_can_receive_the_plain_passwords_of_users(connected: Supabase, erp: ScriptedOdoo) -> None:
    """The server's owner chooses the address that receives a password which is not in Vault."""
    with ScriptedOdoo() as other_odoo:
        other_odoo.password = PASSWORD
        connected.rows(f"alter server odoo options (set url '{other_odoo.url}')")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connected.rows("select * from ipai.check_connection('odoo')")
        assert other_odoo.requests == []
        connected.rows(f"alter user mapping for postgres server odoo options (drop password_secret, add password '{PASSWORD}')")
        connected.rows("select * from ipai.check_connection('odoo')")
        assert {request.password for request in other_odoo.requests if request.password} == {PASSWORD}


def test_service_role_can_read_vault(connected: Supabase) -> None:
    """Supabase grants service_role the right to read Vault."""
    session = connected.connect("authenticator")
    execute(session, "set role service_role")
    assert execute(session, "select decrypted_secret from vault.decrypted_secrets") == [{"decrypted_secret": PASSWORD}]
    for role in ("authenticated", "anon"):
        execute(session, f"set role {role}")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            execute(session, "select from vault.decrypted_secrets")
