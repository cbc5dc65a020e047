"""Tests that errors name the problem and a remedy, and never contain the password."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from harness import shell
from harness.odoo import Odoo
from support.faulty import (
    Behaviour,
    FaultyOdoo,
    close_connection,
    close_within_headers,
    fault,
    metric,
    never_respond,
    recorded,
    status,
    trickling,
    truncated,
    unreachable_address,
    web_page,
)
from support.supabase import Supabase

SYNC = "select * from ipai.sync_sample_metrics()"
CHECK = "select * from ipai.check_connection()"
#: A text that occurs nowhere by chance.
PASSWORD = "hunter2-Zq9"
MIGRATION = "migrations/202601130001_IPAI_SAMPLE_METRICS.sql"

Connection = psycopg.Connection[dict[str, Any]]


@dataclass(frozen=True)
class Problem:
    """An expected error.

    `message` is the complete message, or its beginning before `...`. `detail` and `hint` are parts.
    Without a `detail` the error has none.
    """

    sqlstate: str
    message: str
    hint: str
    detail: str | None = None

    def check(self, error: psycopg.Error, **names: object) -> None:
        """Checks an error. `names` fill the placeholders `{...}` in the texts."""
        diag = error.diag
        message, beginning, _ = self.message.format(**names).partition("...")
        primary = diag.message_primary or ""
        assert (error.sqlstate, primary[: len(message)] if beginning else primary) == (self.sqlstate, message)
        assert self.hint.format(**names) in (diag.message_hint or ""), diag.message_hint
        if self.detail is None:
            assert diag.message_detail is None
        else:
            assert self.detail.format(**names) in (diag.message_detail or ""), diag.message_detail
        parts = (diag.message_primary, diag.message_detail, diag.message_hint, diag.context, diag.internal_query)
        for part in parts:
            assert PASSWORD not in (part or "")


@pytest.fixture(autouse=True)
def no_secret_is_logged(supabase: Supabase) -> Iterator[None]:
    """Checks after each test that the server's log and the run log do not contain the password."""
    log = supabase.cluster.log
    begins = log.stat().st_size
    yield
    with open(log, "rb") as file:
        file.seek(begins)
        new = file.read().decode(errors="replace")
    entries = re.split(r"^(?=\d{4}-\d\d-\d\d )", new, flags=re.MULTILINE)
    # Postgres logs failed statements as the caller typed them.
    assert not [entry for entry in entries if PASSWORD in entry and "STATEMENT:  " not in entry]
    assert PASSWORD not in str(supabase.rows("select * from ipai.run_log"))


@pytest.fixture
def erp() -> Iterator[FaultyOdoo]:
    with FaultyOdoo([metric(1), metric(2)], password=PASSWORD) as server:
        yield server


@pytest.fixture
def connected(supabase: Supabase, erp: FaultyOdoo) -> Supabase:
    """A database with a working connection to Odoo."""
    supabase.server(erp.url, password=PASSWORD)
    return supabase


def failure(supabase: Supabase, sql: str, *args: Any, user: str = "postgres") -> psycopg.Error:
    """Runs a statement that must fail, and returns its error."""
    with pytest.raises(psycopg.Error) as raised:
        supabase.rows(sql, *args, user=user)
    return raised.value


def failure_within(connection: Connection, *statements: str) -> psycopg.Error:
    """Returns the error of the last statement of a transaction, and rolls it back."""
    connection.execute("begin")
    for statement in statements[:-1]:
        connection.execute(statement)
    with pytest.raises(psycopg.Error) as raised:
        connection.execute(statements[-1])
    connection.execute("rollback")
    return raised.value


# Failed connections -------------------------------------------------------------------------------

UNREACHABLE = "could not connect to Odoo at {url}"


#: A label of a DNS name has at most 63 letters, so no name server is asked.
IMPOSSIBLE = f"http://{'erp' * 22}.invalid"


def test_impossible_host_name_is_refused(supabase: Supabase) -> None:
    statement = f"create server odoo foreign data wrapper ipai_odoo options (url '{IMPOSSIBLE}', dbname 'odoo', allow_insecure 'true')"
    problem = Problem("22023", "the value of the option url is not valid", "such as https://erp.example.com")
    problem.check(failure(supabase, statement))


def test_error_of_an_unresolvable_host_name(supabase: Supabase) -> None:
    url = "http://127.0.0.1:9"
    supabase.server(url, password=PASSWORD, allow_insecure="true", proxy=IMPOSSIBLE)
    problem = Problem("08001", UNREACHABLE, "that the database server can resolve it", "")
    problem.check(failure(supabase, CHECK), url=url)


def test_error_of_a_closed_port(supabase: Supabase) -> None:
    url = f"http://127.0.0.1:{shell.free_port()}"
    supabase.server(url, password=PASSWORD)
    problem = Problem("08001", UNREACHABLE, "Check host and port in the url option of the server", "Connection refused")
    problem.check(failure(supabase, CHECK), url=url)
    # A sync retries for some seconds and raises the same error.
    problem.check(failure(supabase, SYNC), url=url)


def test_error_of_a_host_that_drops_connections(supabase: Supabase) -> None:
    with unreachable_address() as url:
        supabase.server(url, password=PASSWORD, connect_timeout="1")
        problem = Problem("08001", UNREACHABLE, "no firewall between this database server and Odoo blocks the port.", "")
        problem.check(failure(supabase, CHECK), url=url)


def test_error_of_tls_to_a_port_without_tls(supabase: Supabase, erp: FaultyOdoo) -> None:
    supabase.server(erp.https_url, password=PASSWORD)
    problem = Problem("08001", UNREACHABLE, "Check that the port in the url option of the server speaks https.", "")
    problem.check(failure(supabase, CHECK), url=erp.https_url)
    # A sync does not retry, because a retry could not help.
    problem.check(failure(supabase, SYNC), url=erp.https_url)


def test_error_of_tls_to_a_real_odoo(supabase: Supabase, odoo: Odoo) -> None:
    url = odoo.url.replace("http:", "https:")
    supabase.server(url, password=PASSWORD)
    problem = Problem("08001", UNREACHABLE, "Check that the port in the url option of the server speaks https.", "")
    problem.check(failure(supabase, CHECK), url=url)


def test_error_of_an_untrusted_certificate(supabase: Supabase, tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    shell.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"),
            *("-subj", "/CN=erp", "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"),
            *("-keyout", key, "-out", certificate),
        ],
        capture=True,
    )
    with FaultyOdoo([metric(1)], password=PASSWORD, tls=(certificate, key)) as erp:
        supabase.server(erp.url, password=PASSWORD)
        hint = "set the ca_cert option of the server to the certificate of that authority (PEM text)."
        problem = Problem("08001", UNREACHABLE, hint, "invalid peer certificate")
        for statement in (CHECK, SYNC):
            problem.check(failure(supabase, statement), url=erp.url)
        # Following the hint resolves the error.
        supabase.rows(f"alter server odoo options (add ca_cert '{certificate.read_text()}')")
        supabase.bind(erp.url)
        assert supabase.row(SYNC)["delta"] == 0


def test_error_of_an_unfinished_tls_handshake(supabase: Supabase, erp: FaultyOdoo) -> None:
    erp.unresponsive = True
    supabase.server(erp.https_url, password=PASSWORD, connect_timeout="1")
    problem = Problem("08001", UNREACHABLE, "Check that the host is up", "")
    problem.check(failure(supabase, CHECK), url=erp.https_url)


# Invalid responses --------------------------------------------------------------------------------

LOST = "the connection to Odoo failed: "
OVERLOADED = "Odoo or the proxy in front of it is overloaded or down."
NOT_ODOO = "Check that the url option of the server is the address of Odoo itself and not of a login page or portal."
INVALID = "the answer is not valid: "
#: A page that is not Odoo's. Errors must not show its content.
PAGE = b"<!DOCTYPE html><html><title>Sign in</title>PAGE-TEXT</html>"


def on_count(behave: Behaviour) -> Callable[[FaultyOdoo], None]:
    """Applies to the first call that needs a login, in a check and in a sync."""
    return lambda erp: erp.on("search_count", behave)


def on_all(behave: Behaviour) -> Callable[[FaultyOdoo], None]:
    return lambda erp: erp.on(None, behave)


ANSWERS: dict[str, tuple[Callable[[FaultyOdoo], None], Problem]] = {
    "an HTML page": (on_all(web_page(PAGE)), Problem("08P01", INVALID + "it is an HTML page", NOT_ODOO)),
    "an HTML page that claims to be XML": (on_all(web_page(PAGE, "text/xml")), Problem("08P01", INVALID + "...", NOT_ODOO)),
    "nothing": (on_all(web_page(b"", "text/xml")), Problem("08P01", INVALID + "...", NOT_ODOO)),
    "XML of another kind": (on_all(web_page(b"<feed>PAGE-TEXT</feed>", "text/xml")), Problem("08P01", INVALID + "...", NOT_ODOO)),
    "400": (on_all(status(400, body=PAGE)), Problem("08P01", "Odoo answered HTTP status 400", "is the address of Odoo")),
    "401": (on_all(status(401, body=PAGE)), Problem("08P01", "Odoo answered HTTP status 401", "Something in front of Odoo")),
    "403": (on_all(status(403, body=PAGE)), Problem("08P01", "Odoo answered HTTP status 403", "Something in front of Odoo")),
    "404": (on_all(status(404, body=PAGE)), Problem("08P01", "Odoo answered HTTP status 404", "There is no API of Odoo at this address")),
    "405": (on_all(status(405, body=PAGE)), Problem("08P01", "Odoo answered HTTP status 405", "There is no API of Odoo at this address")),
    "429": (on_all(status(429, body=PAGE)), Problem("08006", "Odoo answered HTTP status 429", OVERLOADED)),
    "500": (on_all(status(500, body=PAGE)), Problem("08006", "Odoo answered HTTP status 500", OVERLOADED)),
    "502": (on_all(status(502, body=PAGE)), Problem("08006", "Odoo answered HTTP status 502", OVERLOADED)),
    "503": (on_all(status(503, body=PAGE, retry_after=1)), Problem("08006", "Odoo answered HTTP status 503", OVERLOADED)),
    "closed at once": (on_all(close_connection), Problem("08006", LOST + "...", "Nothing was lost.")),
    "closed in the headers": (on_all(close_within_headers), Problem("08006", LOST + "...", "Nothing was lost.")),
    "closed before the body": (on_count(truncated(lambda body: 0)), Problem("08006", LOST + "...", "Nothing was lost.")),
    "closed in the body": (on_count(truncated(lambda body: len(body) // 2)), Problem("08006", LOST + "...", "Nothing was lost.")),
    "closed before the last byte": (on_count(truncated(lambda body: len(body) - 1)), Problem("08006", LOST + "...", "Nothing was lost.")),
    "half of the body, and the length says so": (
        on_count(truncated(lambda body: len(body) // 2, announced=False)),
        Problem("08P01", INVALID + "...", "or the answer was damaged"),
    ),
    "no answer within the timeout": (on_count(never_respond), Problem("08006", "Odoo did not answer within 1 s", "raise the timeout")),
    "byte by byte beyond the timeout": (
        on_count(trickling),
        Problem("08006", "Odoo did not answer within 1 s", "raise the timeout option"),
    ),
}


@pytest.mark.parametrize("case", ANSWERS.values(), ids=ANSWERS.keys())
def test_error_of_an_invalid_response(supabase: Supabase, erp: FaultyOdoo, case: tuple[Callable[[FaultyOdoo], None], Problem]) -> None:
    behave, problem = case
    behave(erp)
    supabase.server(erp.url, password=PASSWORD, timeout="1")
    error = failure(supabase, CHECK)
    problem.check(error)
    assert "PAGE-TEXT" not in str(error)
    # A connection check does not retry, because the caller waits for the result.
    assert len({(request.method, request.model) for request in erp.requests}) == len(erp.requests)


def test_error_of_a_redirect_names_the_target_without_secrets(supabase: Supabase, erp: FaultyOdoo) -> None:
    with FaultyOdoo() as other:
        erp.on(None, status(302, location=f"http://user:{PASSWORD}@127.0.0.1:{other.port}/web/login?token={PASSWORD}#{PASSWORD}"))
        supabase.server(erp.url, password=PASSWORD)
        problem = Problem(
            "08001",
            "Odoo at {url} redirects to another address",
            "If http://127.0.0.1:{port}/web/login is the right address, set it as the url option of the server.",
        )
        for statement in (CHECK, SYNC):
            problem.check(failure(supabase, statement), url=erp.url, port=other.port)
        assert other.requests == []
    # Only calls that need a login send the password, and none was made.
    assert len(erp.requests) == 2


@pytest.mark.parametrize("code", [301, 303, 307, 308])
def test_redirects_are_not_followed(supabase: Supabase, erp: FaultyOdoo, code: int) -> None:
    erp.on(None, status(code, location="/odoo"))
    supabase.server(erp.url, password=PASSWORD)
    problem = Problem("08001", "Odoo at {url} redirects to another address", "{url}/odoo is the right address")
    problem.check(failure(supabase, CHECK), url=erp.url)
    assert len(erp.requests) == 1


def test_sync_retries_temporary_errors(connected: Supabase, erp: FaultyOdoo) -> None:
    erp.on("search_count", status(503, retry_after=1), times=1)
    erp.on("search_read", truncated(lambda body: len(body) - 1), times=1)
    run = connected.row(SYNC)
    assert (run["fetched"], run["inserted"], run["delta"]) == (2, 2, 0)
    assert [len(erp.received(method)) for method in ("search_count", "search_read")] == [5, 3]
    # The run lists the ids, because there are more rows than records.
    erp.records.pop()
    erp.on("search", close_connection, times=1)
    assert connected.row(SYNC)["deleted"] == 1
    assert len(erp.received("search")) == 3


def test_sync_that_exhausts_its_retries_keeps_the_mirror(connected: Supabase, erp: FaultyOdoo) -> None:
    connected.row(SYNC)
    before = connected.mirror()
    erp.requests.clear()
    erp.on(None, status(502))
    Problem("08006", MODEL + "Odoo answered HTTP status 502", OVERLOADED).check(failure(connected, SYNC))
    assert len(erp.requests) == 5
    assert connected.mirror() == before


@pytest.mark.parametrize("method", ["search_count", "search_read", "search"])
def test_damaged_response_is_not_retried_and_deletes_nothing(connected: Supabase, erp: FaultyOdoo, method: str) -> None:
    connected.row(SYNC)
    before = connected.mirror()
    erp.requests.clear()
    # So that the run lists the ids.
    erp.records.pop()
    erp.on(method, truncated(lambda body: len(body) // 2, announced=False))
    assert failure(connected, SYNC).sqlstate == "08P01"
    assert len(erp.received(method)) == 1
    assert connected.mirror() == before


# Odoo's refusals ----------------------------------------------------------------------------------


def test_error_of_an_unknown_odoo_database(supabase: Supabase, odoo: Odoo) -> None:
    supabase.server(odoo.url, dbname="no_such_db", password=PASSWORD)
    problem = Problem("3D000", 'Odoo has no database "no_such_db"', "Set the dbname option of the server to the name of Odoo's database")
    for statement in (CHECK, SYNC):
        problem.check(failure(supabase, statement))


@pytest.mark.parametrize("login", ["admin", "nobody@example.com"], ids=["wrong password", "unknown user"])
def test_error_of_a_refused_login(supabase: Supabase, odoo: Odoo, login: str) -> None:
    supabase.server(odoo.url, dbname=odoo.dbname, user=login, password=PASSWORD)
    problem = Problem("28P01", "Odoo authentication failed", "Check the user and password", 'User "{login}" was refused.')
    for statement in (CHECK, SYNC):
        problem.check(failure(supabase, statement), login=login)


def test_error_of_a_password_changed_after_the_login(connected: Supabase, erp: FaultyOdoo) -> None:
    connected.row(SYNC)
    erp.password = "another"
    erp.requests.clear()
    problem = Problem("28P01", "Odoo authentication failed", "Check the user and password", 'User "admin" was refused.')
    problem.check(failure(connected, SYNC))
    assert len(erp.received("authenticate")) == 1


def test_error_of_a_user_without_access_to_the_model(supabase: Supabase, odoo: Odoo) -> None:
    login = "portal@example.com"
    if not odoo.rpc("res.users", "search_count", [("login", "=", login)]):
        odoo.create_user(login, PASSWORD, groups=["base.group_portal"])
    supabase.server(odoo.url, dbname=odoo.dbname, user=login, password=PASSWORD)
    message = "Odoo denies access: You are not allowed to access 'IPAI Sample Metric' (ipai.sample.metric) records."
    hint = "Give the Odoo user of the user mapping read access to this model."
    Problem("42501", MODEL + message, hint).check(failure(supabase, SYNC))
    found = supabase.row(CHECK)
    assert (found["readable"], found["records"], found["problem"], found["hint"]) == (False, None, message, hint)


def test_error_of_a_missing_odoo_module(supabase: Supabase) -> None:
    with Odoo(modules=()) as odoo_without_module:
        supabase.server(odoo_without_module.url, dbname=odoo_without_module.dbname, password=odoo_without_module.admin_password)
        message = 'Odoo has no model "ipai.sample.metric"'
        hint = "Install the Odoo module that defines it (Odoo, Apps), or check the spelling."
        Problem("42704", message, hint).check(failure(supabase, SYNC))
        found = supabase.row(CHECK)
        assert (found["readable"], found["records"], found["problem"], found["hint"]) == (False, None, message, hint)


def test_error_of_an_unknown_field(supabase: Supabase, odoo: Odoo) -> None:
    supabase.server(odoo.url, dbname=odoo.dbname, password=odoo.admin_password)
    supabase.row("select ipai.alter_mirror('sample_metrics', 'odoo')")
    supabase.rows("""update ipai.mirrors set domain = '[["nope", "=", 1]]'""")
    problem = Problem("42703", 'Odoo has no field "nope" in model "ipai.sample.metric"', "Check the spelling")
    problem.check(failure(supabase, SYNC))


MODEL = 'cannot read model "ipai.sample.metric": '
RECORD = "Odoo cannot send ipai.sample.metric id 1: "
FAULT = f"{RECORD}Odoo answered with an error: "
OWN_LOG = "See Odoo's log for the complete error."


@pytest.mark.parametrize(
    ("behave", "problem"),
    [
        (
            recorded("fault_method_returns_none"),
            Problem(
                "38000",
                'method "search_read" of model "ipai.sample.metric" returned None, which XML-RPC cannot carry',
                "Leave such fields out of the mirror",
            ),
        ),
        (
            fault(1, f"Traceback (most recent call last):\nValueError: bad password {PASSWORD} of admin"),
            Problem("38000", FAULT + "ValueError: bad password *** of admin", OWN_LOG, "password *** of"),
        ),
        (fault(2, f"{PASSWORD} is wrong\n\nsays {PASSWORD}"), Problem("38000", FAULT + "*** is wrong", OWN_LOG, "says ***")),
        (fault(4, f"{PASSWORD} may not"), Problem("42501", RECORD + "Odoo denies access: *** may not", "Give the Odoo user")),
    ],
    ids=["an unexpected one", "with the password in a traceback", "with the password in a message", "with the password in a denial"],
)
def test_error_of_a_fault_redacts_the_password(connected: Supabase, erp: FaultyOdoo, behave: Behaviour, problem: Problem) -> None:
    erp.on("search_read", behave)
    problem.check(failure(connected, SYNC))


# Servers and mappings -----------------------------------------------------------------------------


def test_error_of_an_unknown_server(supabase: Supabase) -> None:
    hint = "create server nowhere foreign data wrapper ipai_odoo options"
    problem = Problem("42704", 'server "nowhere" does not exist', hint)
    problem.check(failure(supabase, "select * from ipai.check_connection('nowhere')"))
    problem.check(failure(supabase, "select ipai.alter_mirror('sample_metrics', 'nowhere')"))


def test_error_of_a_server_of_another_wrapper(supabase: Supabase) -> None:
    connection = supabase.connect("supabase_admin")
    error = failure_within(
        connection,
        "create foreign data wrapper other",
        "create server elsewhere foreign data wrapper other",
        "select * from ipai.check_connection('elsewhere')",
    )
    Problem("22023", 'server "elsewhere" is no Odoo server', "ipai_odoo").check(error)


@pytest.mark.parametrize("statement", [CHECK, SYNC, "select ipai.odoo_version()"])
def test_error_without_any_server(supabase: Supabase, statement: str) -> None:
    hint = "create server odoo foreign data wrapper ipai_odoo options"
    Problem("42704", "there is no Odoo server yet", hint).check(failure(supabase, statement))


def test_error_of_several_servers(connected: Supabase, erp: FaultyOdoo) -> None:
    connected.server(erp.url, name="other", password=PASSWORD)
    message = "there are several Odoo servers: odoo, other"
    hint = "select ipai.alter_mirror('sample_metrics', server => '...');"
    Problem("22023", message, hint).check(failure(connected, SYNC))
    Problem("22023", message, "select * from ipai.check_connection('...');").check(failure(connected, CHECK))
    # Following the hint resolves the error.
    connected.row(hint.replace("...", "odoo"))
    assert connected.row(SYNC)["delta"] == 0


def test_no_user_mapping(connected: Supabase) -> None:
    connected.rows("drop user mapping for postgres server odoo")
    hint = "create user mapping for current_user server odoo options (user '...', password_secret '...');"
    for statement in (CHECK, SYNC):
        Problem("42704", 'there is no user mapping for server "odoo"', hint).check(failure(connected, statement))


def test_error_of_a_role_without_usage_on_the_server(connected: Supabase) -> None:
    connected.rows("create user mapping for public server odoo options (user 'admin', password_secret 'odoo_password')")
    problem = Problem("42501", 'permission denied for foreign server "odoo"', "grant usage on foreign server odoo to ...")
    for statement in (CHECK, SYNC):
        problem.check(failure_within(connected.connect(), "set local role service_role", statement))
    connected.rows("grant usage on foreign server odoo to service_role")
    connection = connected.connect()
    connected.register()
    connection.execute("set role service_role")
    run = connection.execute(SYNC).fetchone()
    assert run and run["delta"] == 0


def test_plain_password_of_public_is_not_used(connected: Supabase) -> None:
    connected.rows("drop user mapping for postgres server odoo")
    options = f"server odoo options (user 'admin', password '{PASSWORD}')"
    connected.rows(f"create user mapping for public {options}")
    message = 'the user mapping for PUBLIC of server "odoo" holds a plain password'
    for statement in (CHECK, SYNC):
        Problem("42501", message, "Keep the password in Vault").check(failure(connected, statement))
    connected.rows(f"create user mapping for postgres {options}")
    assert connected.row(SYNC)["delta"] == 0


def test_error_names_the_missing_secret(connected: Supabase) -> None:
    connected.rows("alter user mapping for postgres server odoo options (set password_secret 'mistyped')")
    for statement in (CHECK, SYNC):
        Problem("42704", 'Vault has no secret named "mistyped"', "select ipai.set_odoo_password('odoo', '...');").check(
            failure(connected, statement)
        )


def test_password_secret_requires_vault(connected: Supabase) -> None:
    connection = connected.connect("supabase_admin")
    message = "the option password_secret needs Supabase Vault, which is not installed"
    for statement in (CHECK, SYNC):
        error = failure_within(connection, "alter schema vault rename to elsewhere", "set local role postgres", statement)
        Problem("42704", message, "create extension supabase_vault;").check(error)


#: Privileges for a sync up to the check of row-level security and the password.
GRANTS = (
    "grant execute on all functions in schema ipai to authenticated",
    "grant select, insert, update on all tables in schema ipai to authenticated",
    "grant delete on ipai.ipai_sample_metrics to authenticated",
    "grant usage on foreign server odoo to authenticated",
    "create user mapping for authenticated server odoo options (user 'admin', password_secret 'odoo_password')",
)


def test_role_without_access_to_vault_gets_an_error(connected: Supabase) -> None:
    error = failure_within(connected.connect(), *GRANTS, "set local role authenticated", CHECK)
    Problem("42501", "permission denied for Supabase Vault", "Sync as postgres or service_role, or from pg_cron").check(error)


# The table ----------------------------------------------------------------------------------------


def test_error_of_a_missing_table(connected: Supabase, erp: FaultyOdoo) -> None:
    error = failure_within(connected.connect(), "drop table ipai.ipai_sample_metrics", SYNC)
    Problem(
        "42P01", 'table "ipai.ipai_sample_metrics" does not exist', "Create it again, or drop the mirror with ipai.drop_mirror()."
    ).check(error)
    assert erp.requests == []


def test_error_of_a_missing_column(connected: Supabase, erp: FaultyOdoo) -> None:
    error = failure_within(connected.connect(), "alter table ipai.ipai_sample_metrics drop column notes", SYNC)
    problem = Problem("42703", 'table "ipai.ipai_sample_metrics" lacks the column notes', "Add it, or correct the fields of mirror")
    problem.check(error)
    assert erp.requests == []


def test_error_of_a_missing_unique_index(connected: Supabase, erp: FaultyOdoo) -> None:
    table = "ipai.ipai_sample_metrics"
    error = failure_within(connected.connect(), f"alter table {table} drop constraint ipai_sample_metrics_odoo_id_key", SYNC)
    hint = f"create unique index on {table} (odoo_id);"
    Problem("42704", f'table "{table}" has no unique index on odoo_id', hint).check(error)
    assert erp.requests == []


@pytest.mark.parametrize("privilege", ["select", "insert", "update", "delete"])
def test_error_names_the_missing_table_privilege(connected: Supabase, erp: FaultyOdoo, privilege: str) -> None:
    revoke = f"revoke {privilege} on ipai.ipai_sample_metrics from service_role"
    error = failure_within(connected.connect(), revoke, "set local role service_role", SYNC)
    Problem("42501", 'permission denied for table "ipai.ipai_sample_metrics"', f"Missing: {privilege}.").check(error)
    assert erp.requests == []


def test_error_of_a_role_under_row_level_security(connected: Supabase, erp: FaultyOdoo) -> None:
    error = failure_within(connected.connect(), *GRANTS, "set local role authenticated", SYNC)
    message = 'row-level security hides rows of table "ipai.ipai_sample_metrics" from this role'
    Problem("42501", message, "a role that bypasses row-level security, such as service_role").check(error)
    assert erp.requests == []


@pytest.mark.parametrize("role", ["anon", "authenticated"])
@pytest.mark.parametrize("statement", [CHECK, SYNC, "select ipai.odoo_version()"])
def test_api_roles_cannot_call_odoo(connected: Supabase, erp: FaultyOdoo, role: str, statement: str) -> None:
    error = failure_within(connected.connect(), f"set local role {role}", statement)
    assert error.sqlstate == "42501"
    assert erp.requests == []


# Options ------------------------------------------------------------------------------------------

SERVER = "create server refused foreign data wrapper ipai_odoo options"
URL = "url 'https://erp.example.com'"
SERVER_OPTIONS = "Valid options for a server are: addon, allow_insecure, ca_cert, connect_timeout, dbname, max_requests_per_second, protocol, proxy, timeout, url."
USER_OPTIONS = "Valid options for a user mapping are: password, password_secret, user."
ADDRESS = "Set it to the address of Odoo without a path, such as https://erp.example.com."
MAPPING = "create user mapping for postgres server odoo options"
PASSWORD_OPTIONS = "Give either password_secret"


def invalid(option: str, hint: str) -> Problem:
    return Problem("22023", f"the value of the option {option} is not valid", hint)


OPTIONS: dict[str, tuple[str, Problem]] = {
    "no url": (f"{SERVER} (dbname 'odoo')", Problem("22023", "the option url is missing", ADDRESS)),
    "no dbname": (f"{SERVER} ({URL})", Problem("22023", "the option dbname is missing", "Set it to the name of Odoo's database.")),
    "an empty dbname": (f"{SERVER} ({URL}, dbname ' ')", Problem("22023", "the option dbname is missing", "Set it to the name of")),
    "an unknown server option": (
        f"{SERVER} ({URL}, dbname 'odoo', databse '{PASSWORD}')",
        Problem("HV00D", 'invalid option "databse"', SERVER_OPTIONS),
    ),
    "a password of the server": (
        f"{SERVER} ({URL}, dbname 'odoo', password '{PASSWORD}')",
        Problem("HV00D", 'invalid option "password"', SERVER_OPTIONS),
    ),
    "no URL": (f"{SERVER} (url 'erp example', dbname 'odoo')", invalid("url", ADDRESS)),
    "a URL without scheme": (f"{SERVER} (url 'erp.example.com:8069', dbname 'odoo')", invalid("url", ADDRESS)),
    "a URL of another scheme": (f"{SERVER} (url 'ftp://erp.example.com', dbname 'odoo')", invalid("url", ADDRESS)),
    "a URL with a path": (f"{SERVER} (url 'https://erp.example.com/web', dbname 'odoo')", invalid("url", ADDRESS)),
    "a URL with a query": (f"{SERVER} (url 'https://erp.example.com?db={PASSWORD}', dbname 'odoo')", invalid("url", ADDRESS)),
    "a URL with a password": (
        f"{SERVER} (url 'https://api:{PASSWORD}@erp.example.com', dbname 'odoo')",
        invalid("url", "Remove the user and password, because every role may read the options of a server."),
    ),
    "plain http to another host": (
        f"{SERVER} (url 'http://erp.example.com', dbname 'odoo')",
        Problem("22023", "plain http would send the password in clear over the network", "allow_insecure 'true'"),
    ),
    "an unknown truth": (
        f"{SERVER} ({URL}, dbname 'odoo', allow_insecure 'maybe')",
        invalid("allow_insecure", "Valid values are true and false."),
    ),
    "no number of seconds": (f"{SERVER} ({URL}, dbname 'odoo', timeout 'soon')", invalid("timeout", "from 1 to 3600")),
    "no seconds at all": (f"{SERVER} ({URL}, dbname 'odoo', timeout '0')", invalid("timeout", "from 1 to 3600")),
    "too many seconds": (f"{SERVER} ({URL}, dbname 'odoo', connect_timeout '301')", invalid("connect_timeout", "from 1 to 300")),
    "a proxy with a password": (
        f"{SERVER} ({URL}, dbname 'odoo', proxy 'http://me:{PASSWORD}@proxy:3128')",
        invalid("proxy", "without a user or password"),
    ),
    "a path of a certificate": (
        f"{SERVER} ({URL}, dbname 'odoo', ca_cert '/etc/ssl/ca.pem')",
        Problem("22023", "ca_cert is not a certificate in PEM form", "not to a path"),
    ),
    "no user": (f"{MAPPING} (password '{PASSWORD}')", Problem("22023", "the option user is missing", "login of the Odoo user")),
    "no password": (f"{MAPPING} (user 'admin')", Problem("22023", "the option password_secret is missing", PASSWORD_OPTIONS)),
    "an empty password": (
        f"{MAPPING} (user 'admin', password '')",
        Problem("22023", "the option password_secret is missing", PASSWORD_OPTIONS),
    ),
    "two passwords": (
        f"{MAPPING} (user 'admin', password '{PASSWORD}', password_secret 'x')",
        Problem("22023", "the options password and password_secret exclude each other", PASSWORD_OPTIONS),
    ),
    "an unknown mapping option": (
        f"{MAPPING} (user 'admin', passwrod '{PASSWORD}')",
        Problem("HV00D", 'invalid option "passwrod"', USER_OPTIONS),
    ),
}


@pytest.mark.parametrize("case", OPTIONS.values(), ids=OPTIONS.keys())
def test_invalid_options_are_refused_immediately(connected: Supabase, case: tuple[str, Problem]) -> None:
    statement, problem = case
    connected.rows("drop user mapping for postgres server odoo")
    problem.check(failure(connected, statement))
    assert [row["srvname"] for row in connected.rows("select srvname from pg_foreign_server")] == ["odoo"]


def test_invalid_changes_of_options_are_refused(connected: Supabase) -> None:
    statement = f"alter server odoo options (set url 'https://api:{PASSWORD}@erp.example.com')"
    invalid("url", "Remove the user and password").check(failure(connected, statement))
    assert connected.row(SYNC)["delta"] == 0


# Arguments ----------------------------------------------------------------------------------------

MOMENT = Problem("22023", "since is not a moment that Odoo knows", "Give a date between the years 1 and 9999.")
ROWS = Problem("22023", "max_rows must be at least 1", "Leave it out to read everything.")
RATIO = Problem("22023", "max_delete_ratio must be between 0 and 1", "0.2 allows a fifth of the rows")

ARGUMENTS: dict[str, tuple[str, Problem]] = {
    "no rows": ("sync_sample_metrics(max_rows => 0)", ROWS),
    "less than no rows": ("sync_mirror('sample_metrics', max_rows => -1)", ROWS),
    "an endless date": ("sync_sample_metrics('infinity')", MOMENT),
    "an endless time": ("sync_mirror('sample_metrics', 'infinity')", MOMENT),
    "a time before all times": ("sync_mirror('sample_metrics', '-infinity')", MOMENT),
    "a year of five digits": ("sync_sample_metrics('10000-01-01')", MOMENT),
    "a year before Christ": ("sync_sample_metrics('0044-03-15 BC')", MOMENT),
    "a ratio above 1": ("sync_mirror('sample_metrics', max_delete_ratio => 2)", RATIO),
    "a ratio below 0": ("sync_mirror('sample_metrics', max_delete_ratio => -0.1)", RATIO),
    "a ratio that is no number": ("sync_mirror('sample_metrics', max_delete_ratio => 'NaN')", RATIO),
    "an unknown mirror": (
        "sync_mirror('samples')",
        Problem("42704", 'mirror "samples" does not exist', "Use the name of a mirror: sample_metrics."),
    ),
}


@pytest.mark.parametrize("case", ARGUMENTS.values(), ids=ARGUMENTS.keys())
def test_invalid_arguments_are_refused_before_any_request(connected: Supabase, erp: FaultyOdoo, case: tuple[str, Problem]) -> None:
    call, problem = case
    problem.check(failure(connected, f"select * from ipai.{call}"))
    assert erp.requests == []


# Deletions ----------------------------------------------------------------------------------------


def test_deletions_beyond_the_limit_are_refused(connected: Supabase, erp: FaultyOdoo) -> None:
    erp.records = [metric(odoo_id) for odoo_id in range(1, 202)]
    connected.row(SYNC)
    before = connected.mirror()
    erp.records = erp.records[:100]
    problem = Problem(
        "55000",
        'refused to delete 101 of the 201 rows of mirror "sample_metrics"',
        "select * from ipai.sync_mirror('sample_metrics', max_delete_ratio => 1)",
        "One run may delete at most 100 rows.",
    )
    problem.check(failure(connected, SYNC))
    assert connected.mirror() == before
    # Following the hint resolves the error.
    assert connected.row(problem.hint)["deleted"] == 101
