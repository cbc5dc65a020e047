"""Tests schedulers other than pg_cron.

Each scheduler's command comes from the GitHub Actions workflow or from docs/how-to/schedulers.md.
"""

from __future__ import annotations

import fcntl
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import psycopg
import pytest
import yaml

from harness import paths, postgres
from harness.postgres import Installation
from support.faulty import FaultyOdoo, fault, metric, never_respond
from support.supabase import Supabase
from support.workflows import commands_in

pytestmark = pytest.mark.postgres17

WORKFLOW = paths.PROJECT / "examples/github-actions/call-run-sync.yml"
PAGE = (paths.PROJECT / "docs/how-to/schedulers.md").read_text()

ROLE = "odoo_sync"
#: Contains every character with a meaning in an address.
PASSWORD = "p@ss:w/rd?100%#x"
ODOO_PASSWORD = "odoo-secret-4711"
SECRETS = (PASSWORD, quote(PASSWORD, safe=""), ODOO_PASSWORD)


def section(title: str) -> list[str]:
    """Returns the fenced blocks of a section of the page."""
    (text,) = re.findall(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def database(extension_pg: Installation) -> Iterator[Supabase]:
    """A database that requires a password for the page's role of the scheduler."""
    with postgres.supabase_cluster(extension_pg) as cluster:
        cluster.psql("create extension ipai_sync")
        postgres.migrate(cluster)
        supabase = Supabase(cluster)
        odoo_in_vault(supabase, "http://127.0.0.1:9")
        (made,) = section("Create a login for the scheduler")
        cluster.psql(made, user="postgres")
        cluster.psql(f"alter role {ROLE} password '{PASSWORD}'")
        access = cluster.data / "pg_hba.conf"
        access.write_text(f"host all {ROLE} all scram-sha-256\n{access.read_text()}")
        cluster.psql("select pg_reload_conf()")
        yield supabase


def odoo_in_vault(supabase: Supabase, url: str) -> None:
    supabase.rows(f"create server odoo foreign data wrapper ipai_odoo options (url '{url}', dbname 'odoo')")
    supabase.rows("select vault.create_secret(%s, 'odoo_api_key', ipai.secret_binding('odoo'))", ODOO_PASSWORD)


def move(supabase: Supabase, url: str) -> None:
    """Changes the address of the server, and binds the secret to it."""
    supabase.rows(f"alter server odoo options (set url '{url}')")
    supabase.rows("select vault.update_secret(id, new_description => ipai.secret_binding('odoo')) from vault.secrets")


@pytest.fixture
def odoo(database: Supabase) -> Iterator[FaultyOdoo]:
    """A scripted Odoo with three records, and a registered, empty mirror."""
    with FaultyOdoo([metric(1), metric(2), metric(3)], login="api@example.com", password=ODOO_PASSWORD) as odoo:
        move(database, odoo.url)
        database.cluster.psql(
            "truncate ipai.ipai_sample_metrics, ipai.run_log, ipai.odoo_logins; delete from ipai.mirrors; select ipai.register_sample_metrics()"
        )
        database.rows("select ipai.alter_mirror('sample_metrics', 'odoo')")
        yield odoo


def address(database: Supabase, *, password: str = PASSWORD, port: int | None = None) -> str:
    host = f"{database.cluster.host}:{port or database.cluster.port}"
    return f"postgresql://{ROLE}:{quote(password, safe='')}@{host}/postgres?sslmode=disable"


# GitHub Actions -----------------------------------------------------------------------------------


def workflow() -> dict[Any, Any]:
    return cast(dict[Any, Any], yaml.safe_load(WORKFLOW.read_text()))


def step() -> dict[str, Any]:
    """Returns the only step of the only job."""
    (job,) = workflow()["jobs"].values()
    (found,) = job["steps"]
    return cast(dict[str, Any], found)


def run_step(database: Supabase, secret: str | None, **replacements: str) -> subprocess.CompletedProcess[str]:
    """Runs the step's command as GitHub does, with the workflow's environment.

    `replacements` replaces parts of the command.
    """
    environment = {name: value.replace("${{ secrets.DATABASE_URL }}", secret or "") for name, value in step()["env"].items()}
    assert "${{" not in "".join(environment.values())
    command = step()["run"]
    for old, new in replacements.items():
        assert old in command
        command = command.replace(old, new)
    script = paths.run_dir() / "step.sh"
    script.write_text(command)
    # Only the workflow's environment: a secret that is not set is an empty variable.
    return subprocess.run(
        ["bash", "-e", script],
        env={"PATH": f"{database.cluster.installation.bindir}:/usr/bin:/bin", "HOME": str(script.parent), **environment},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def assert_no_secret(output: str) -> None:
    assert not [secret for secret in SECRETS if secret in output]


def test_workflow_runs_every_quarter_hour_and_on_demand() -> None:
    # YAML 1.1 reads the key `on` as a boolean.
    triggers = workflow()[True]
    assert set(triggers) == {"schedule", "workflow_dispatch"}
    (schedule,) = triggers["schedule"]
    minutes, rest = schedule["cron"].split(" ", 1)
    first, last, every = map(int, re.split(r"[-/]", minutes))
    assert [*range(first, last + 1, every)] == [7, 22, 37, 52]
    assert rest == "* * * *"


def test_workflow_has_no_permissions_and_skips_forks() -> None:
    (job,) = workflow()["jobs"].values()
    assert workflow()["permissions"] == {}
    assert "permissions" not in job
    # GitHub does not copy variables of a repository into forks.
    assert job["if"] == "vars.SYNC_ODOO == 'true'"
    assert not [step for step in job["steps"] if "uses" in step]
    # GitHub would insert the expression's value into the command without quoting.
    assert "${{" not in step()["run"]


def test_workflow_runs_do_not_overlap_or_exceed_github_limits() -> None:
    (job,) = workflow()["jobs"].values()
    assert workflow()["concurrency"] == {"group": "sync-odoo", "cancel-in-progress": False}
    (minutes,) = re.findall(r"set statement_timeout = '(\d+)min'", step()["run"])
    assert 15 < int(minutes) < job["timeout-minutes"]


def test_step_runs_the_mirrors(database: Supabase, odoo: FaultyOdoo) -> None:
    done = run_step(database, address(database))
    assert done.returncode == 0, done.stdout
    assert [row["odoo_id"] for row in database.mirror()] == [1, 2, 3]
    assert re.search(r"^ sample_metrics +\| ok +\|.*\| +3 \| +0$", done.stdout, re.MULTILINE)
    assert_no_secret(done.stdout)
    odoo.records.append(metric(4))
    assert run_step(database, address(database)).returncode == 0
    assert [row["odoo_id"] for row in database.mirror()] == [1, 2, 3, 4]


def test_missing_scheduler_raises_an_alert(database: Supabase, odoo: FaultyOdoo) -> None:
    (expect,) = section("Detect missed runs")
    assert run_step(database, address(database)).returncode == 0
    database.cluster.psql(expect, user="postgres")
    assert database.rows("select kind from ipai.sync_alerts") == []
    ago = "started_at = started_at - interval '1 hour', finished_at = finished_at - interval '1 hour'"
    database.rows(f"update ipai.run_log set {ago}")
    database.rows("update ipai.mirrors set scheduled_at = scheduled_at - interval '1 hour'")
    assert database.rows("select mirror, kind from ipai.sync_alerts") == [{"mirror": "sample_metrics", "kind": "late"}]
    assert run_step(database, address(database)).returncode == 0
    assert database.rows("select kind from ipai.sync_alerts") == []


def test_step_shows_the_error_if_odoo_is_down(database: Supabase, odoo: FaultyOdoo) -> None:
    move(database, "http://127.0.0.1:9")
    done = run_step(database, address(database))
    assert done.returncode != 0
    assert "could not connect to Odoo at http://127.0.0.1:9" in done.stdout
    assert_no_secret(done.stdout)


def test_texts_of_odoo_give_no_commands_to_the_step(database: Supabase, odoo: FaultyOdoo) -> None:
    hostile = "##[set-output name=x]y"
    odoo.on("search_read", fault(2, hostile))
    done = run_step(database, address(database))
    assert hostile in done.stdout
    assert commands_in(done.stdout) == []


def test_step_warns_without_a_mirror(database: Supabase, odoo: FaultyOdoo) -> None:
    database.rows("delete from ipai.mirrors")
    done = run_step(database, address(database))
    assert done.returncode == 0
    assert "WARNING:  there is no enabled mirror" in done.stdout


def test_step_shows_the_error_of_a_refused_password(database: Supabase, odoo: FaultyOdoo) -> None:
    odoo.password = "another"
    done = run_step(database, address(database))
    assert done.returncode != 0
    assert "Odoo authentication failed" in done.stdout
    assert_no_secret(done.stdout)


def test_step_shows_the_error_of_an_unreachable_database(database: Supabase, odoo: FaultyOdoo) -> None:
    for wrong, message in (
        (address(database, password=PASSWORD + "!"), "password authentication failed"),
        (address(database, port=9), "Connection refused"),
    ):
        done = run_step(database, wrong)
        assert done.returncode != 0
        assert message in done.stdout
        assert_no_secret(done.stdout)


@pytest.mark.parametrize(
    "secret",
    [
        None,
        "hunter2",
        "postgresql://odoo_sync@127.0.0.1/postgres",
        "postgresql://odoo_sync:hun@ter2@127.0.0.1/postgres",
        "postgresql://odoo_sync:hun/ter2@127.0.0.1/postgres",
        "postgresql://odoo_sync:hun?ter2@127.0.0.1/postgres",
        "postgresql://odoo_sync:hun%ter2@127.0.0.1/postgres",
        "postgresql://odoo_sync:hunter2",
        "host=127.0.0.1 user=odoo_sync password=hunter2",
    ],
)
def test_step_does_not_print_an_invalid_address(database: Supabase, secret: str | None) -> None:
    done = run_step(database, secret)
    assert done.returncode == 1
    assert done.stdout.startswith("::error::The secret DATABASE_URL is missing or not of the form ")
    assert done.stdout.count("\n") == 1
    assert "hun" not in done.stdout and "ter2" not in done.stdout


def test_run_that_times_out_is_resumed_by_the_next(database: Supabase, odoo: FaultyOdoo) -> None:
    database.rows("update ipai.mirrors set page_size = 2")
    pages: list[int] = []

    def stall_second_page(exchange: Any) -> None:
        pages.append(len(pages))
        if len(pages) == 1:
            exchange.send(200, {}, exchange.answer())
        else:
            never_respond(exchange)

    odoo.on("search_read", stall_second_page)
    done = run_step(database, address(database), **{"25min": "2s"})
    assert done.returncode != 0
    assert "canceling statement due to statement timeout" in done.stdout
    assert [row["odoo_id"] for row in database.mirror()] == [1, 2]
    odoo.clear_faults()
    assert run_step(database, address(database)).returncode == 0
    assert [row["odoo_id"] for row in database.mirror()] == [1, 2, 3]
    assert database.resumed_run()["inserted"] == 1


# n8n ----------------------------------------------------------------------------------------------


def test_query_of_n8n_works_alone(database: Supabase, odoo: FaultyOdoo) -> None:
    (query,) = section("n8n")
    with psycopg.connect(address(database), autocommit=True) as connection:
        connection.execute(query)
    assert len(database.mirror()) == 3


def test_query_of_n8n_in_a_transaction_is_refused(database: Supabase, odoo: FaultyOdoo) -> None:
    (query,) = section("n8n")
    for autocommit, sent in ((False, query), (True, f"{query};{query}")):
        with psycopg.connect(address(database), autocommit=autocommit) as connection, pytest.raises(psycopg.Error) as refused:
            connection.execute(sent)
        assert refused.value.sqlstate == "2D000"
    assert not database.mirror()


# cron ---------------------------------------------------------------------------------------------


@pytest.fixture
def home(database: Supabase) -> Path:
    """Creates a home directory with the page's files for this database."""
    home = paths.run_dir()
    service, passwords, _ = section("cron")
    for old, new in (
        ("db.example.com", database.cluster.host),
        ("5432", str(database.cluster.port)),
        ("sslmode=verify-full\nsslrootcert=system", "sslmode=disable"),
    ):
        assert old in service
        service = service.replace(old, new)
    (home / ".pg_service.conf").write_text(service)
    passwords = passwords.replace("db.example.com:5432", f"{database.cluster.host}:{database.cluster.port}")
    # In .pgpass a colon and a backslash must be escaped.
    (home / ".pgpass").write_text(passwords.replace("a long random password", PASSWORD.replace(":", "\\:")))
    (home / ".pgpass").chmod(0o600)
    return home


def run_cron_line(database: Supabase, home: Path) -> subprocess.CompletedProcess[str]:
    """Runs the page's line as cron does."""
    line = section("cron")[-1].strip()
    schedule, command = line[: len("*/15 * * * *")], line[len("*/15 * * * *") :]
    assert schedule == "*/15 * * * *"
    # cron would treat it as a newline.
    assert "%" not in command and "\n" not in command
    return subprocess.run(
        ["/bin/sh", "-c", command],
        env={"HOME": str(home), "PATH": f"{database.cluster.installation.bindir}:/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        text=True,
        capture_output=True,
    )


def test_cron_prints_nothing_after_a_successful_run(database: Supabase, odoo: FaultyOdoo, home: Path) -> None:
    done = run_cron_line(database, home)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(database.mirror()) == 3


def test_cron_prints_the_error(database: Supabase, odoo: FaultyOdoo, home: Path) -> None:
    move(database, "http://127.0.0.1:9")
    done = run_cron_line(database, home)
    assert done.returncode != 0
    assert "could not connect to Odoo at http://127.0.0.1:9" in done.stderr
    assert_no_secret(done.stdout + done.stderr)


def test_cron_skips_a_run_while_another_is_running(database: Supabase, odoo: FaultyOdoo, home: Path) -> None:
    with open(home / ".odoo_sync.lock", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = run_cron_line(database, home)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not odoo.requests


# Privileges of the role ---------------------------------------------------------------------------


def test_role_syncs_but_cannot_define_mirrors(database: Supabase, odoo: FaultyOdoo) -> None:
    with psycopg.connect(address(database), autocommit=True) as connection:
        assert connection.execute("select current_user::text, session_user::text").fetchone() == ("service_role", ROLE)
        for forbidden in (
            "select ipai.alter_mirror('sample_metrics', enabled => false)",
            "select * from ipai.create_mirror('res.partner')",
            "select ipai.odoo_call('odoo', 'res.partner', 'unlink', '[[1]]')",
            "alter server odoo options (set url 'http://127.0.0.1:9')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(forbidden)


def test_every_scheduler_sends_the_first_block_of_the_page() -> None:
    first = re.findall(r"^```sql\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[0]
    assert first.strip() == "call ipai.run_sync();"
    for command in (step()["run"], *section("n8n"), section("cron")[-1]):
        assert "call ipai.run_sync()" in command
