"""Tests the program `ipai-sync`: installation, settings, output, and how it and the extension mix.

The tests of the engine run with the program too: see the marker `both_hosts`.
"""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from harness import extension, paths, postgres, shell
from harness.odoo import Odoo
from harness.postgres import Cluster
from support.comparison import MODEL, assert_equal, ids, odoo_rows
from support.definitions import ScriptedOdoo
from support.faulty import FaultyOdoo, delayed, metric, never_respond, respond_normally, status
from support.model_comparison import assert_mirrors
from support.program import ProgramSupabase
from support.supabase import ROWS, Supabase

SECRET = "hunter2/Zq9#§"
RECORDS = [metric(number, write_date=f"2026-01-05 08:00:{number:02}") for number in range(1, 11)]
#: Variables that a developer's shell may have.
VARIABLES = ("DATABASE_URL", "ODOO_URL", "ODOO_DB", "ODOO_USER", "ODOO_PASSWORD", "ODOO_SERVER", "SUPABASE_URL")


@dataclass
class Cli:
    """Runs the program in a folder of its own, with only the environment of the test."""

    program: Path
    env: dict[str, str | None]
    folder: Path = field(default_factory=paths.run_dir)

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command: list[str | Path] = [self.program, *arguments]
        return shell.run(command, env={**dict.fromkeys(VARIABLES), **self.env}, cwd=self.folder, check=False, capture=True)

    def ok(self, *arguments: str) -> str:
        """Returns the output of a command that must succeed."""
        ended = self(*arguments)
        assert ended.returncode == 0, ended
        return ended.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.ok("--json", *arguments))

    def error(self, *arguments: str, status: int = 1) -> dict[str, Any]:
        """Returns the error of a command that must fail with this exit status."""
        ended = self("--json", *arguments)
        assert ended.returncode == status, ended
        found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])["error"]
        return found

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        env = shell.environment({**dict.fromkeys(VARIABLES), **self.env})
        return subprocess.Popen([self.program, *arguments], env=env, cwd=self.folder, **options)


def odoo_variables(odoo: FaultyOdoo | Odoo) -> dict[str, str | None]:
    user, password = (odoo.login, odoo.password) if isinstance(odoo, FaultyOdoo) else (odoo.admin_user, odoo.admin_password)
    return {"ODOO_URL": odoo.url, "ODOO_DB": odoo.dbname, "ODOO_USER": user, "ODOO_PASSWORD": password}


@pytest.fixture
def faulty() -> Iterator[FaultyOdoo]:
    with ScriptedOdoo(RECORDS) as server:
        server.password = SECRET
        yield server


@pytest.fixture
def cli(hosted_supabase: ProgramSupabase, programs: dict[str, Path], faulty: FaultyOdoo) -> Cli:
    """The program with a database and the simulated Odoo, in pages of two records."""
    hosted_supabase.rows("update ipai.mirrors set page_size = 2")
    url = hosted_supabase.cluster.dsn(user="postgres")
    return Cli(programs["ipai-sync"], {"DATABASE_URL": url, **odoo_variables(faulty)})


# Installation -------------------------------------------------------------------------------------


@dataclass
class Database:
    """A database of its own, whose owner is the role postgres."""

    cluster: Cluster
    name: str
    cli: Cli

    def psql(self, sql: str, user: str | None = "postgres") -> str:
        return self.cluster.psql(sql, dbname=self.name, user=user)

    def dump(self) -> str:
        """Returns the definitions of all objects, with comments and privileges."""
        program = self.cluster.installation.bindir / "pg_dump"
        command: list[str | Path] = [program, "--schema-only", "-d", self.cluster.dsn(self.name)]
        dumped = shell.run(command, env=postgres.client_environment(), capture=True).stdout
        # The key of these lines is random.
        return "\n".join(line for line in dumped.splitlines() if "restrict " not in line)

    def versions(self) -> str:
        """Returns what every change of an object in schema ipai changes."""
        return self.psql(
            """select md5(string_agg(line, ' ' order by line)) from (
                   select concat(oid, ' ', xmin, ' ', ctid) from pg_class where relnamespace = 'ipai'::regnamespace
                   union all select concat(oid, ' ', xmin, ' ', ctid) from pg_proc where pronamespace = 'ipai'::regnamespace
                   union all select concat(objoid, ' ', xmin, ' ', ctid) from pg_description) as lines (line)"""
        )

    def relations(self) -> set[str]:
        return set(
            self.psql("select relname from pg_class where relnamespace = 'ipai'::regnamespace and relkind in ('r', 'v')").splitlines()
        )

    def set_version(self, version: str) -> None:
        self.psql(f"create or replace function ipai.schema_version() returns text language sql as $$ select '{version}'::text $$")


@pytest.fixture
def create(programs: dict[str, Path]) -> Iterator[Callable[[Cluster, str], Database]]:
    """Returns a function that creates an empty database, which is dropped after the test."""
    made: list[Database] = []

    def make(cluster: Cluster, name: str) -> Database:
        cluster.psql(f"create database {name} template template0 owner postgres")
        made.append(Database(cluster, name, Cli(programs["ipai-sync"], {"DATABASE_URL": cluster.dsn(name, user="postgres")})))
        return made[-1]

    yield make
    for database in made:
        database.cluster.psql(f"drop database {database.name} with (force)")


@pytest.fixture
def database(hosted: Cluster, create: Callable[[Cluster, str], Database]) -> Database:
    """A database in which `init` was run."""
    made = create(hosted, "prepared")
    assert made.cli.json("init") == {"result": "created", "version": extension.version()}
    return made


def test_repeated_init_changes_nothing(database: Database) -> None:
    before = database.dump(), database.versions()
    assert database.cli.json("init")["result"] == "unchanged"
    assert (database.dump(), database.versions()) == before


def test_printed_sql_creates_the_same_objects(database: Database, create: Callable[[Cluster, str], Database]) -> None:
    other = create(database.cluster, "printed")
    other.psql(Cli(other.cli.program, {}).ok("init", "--print-sql"))
    assert other.dump() == database.dump()
    assert other.cli.json("init")["result"] == "unchanged"


def test_older_version_is_refused_until_init_upgrades_it(database: Database) -> None:
    before = database.dump()
    database.psql(
        """create or replace function ipai.command_hint(hint text, for_program boolean default null) returns text language sql
               as $$ select 'damaged' $$;
           drop view ipai.sync_alerts;
           comment on view ipai.sync_runs is 'damaged'"""
    )
    database.set_version("0.1.9")
    error = database.cli.error("status")
    assert (error["sqlstate"], error["hint"]) == ("55000", "Upgrade it: ipai-sync init")
    assert "version 0.1.9" in error["message"]
    assert database.cli.json("init")["result"] == "upgraded"
    assert database.dump() == before


def test_newer_version_is_refused(database: Database, faulty: FaultyOdoo) -> None:
    database.cli.env |= odoo_variables(faulty)
    database.set_version("99.0.0")
    before = database.versions()
    for command in ("init", "run", "status"):
        error = database.cli.error(command)
        assert (error["sqlstate"], error["hint"]) == ("55000", "Use a program of that version or a newer one.")
        assert "version 99.0.0" in error["message"]
    assert database.versions() == before


def test_uninstall_leaves_the_mirror_tables_and_the_claims_helpers(database: Database, faulty: FaultyOdoo) -> None:
    assert database.cli("uninstall").returncode == 2
    before = database.relations()
    database.cli.env |= odoo_variables(faulty)
    database.psql("select ipai.create_claims_helpers()")
    database.cli.ok("create-mirror", MODEL, "--target", "metrics", "--fields", "name,value")
    database.cli.ok("run", "metrics")
    assert database.relations() == before | {"metrics"}
    assert database.cli.json("uninstall", "--yes") == {"result": "removed"}
    assert database.relations() == {"metrics"}
    assert database.psql("select count(*) from ipai.metrics") == "10"
    # Policies of users call these functions.
    helpers = re.findall(r"create function ipai\.(\w+)", (extension.SQL / "core/objects/50_claims_helpers.sql").read_text())
    left = database.psql("select proname from pg_proc where pronamespace = 'ipai'::regnamespace").splitlines()
    assert set(left) == {"keep_updated_at", *helpers}
    assert database.cli.error("uninstall", "--yes")["sqlstate"] == "42704"
    assert database.cli.json("init")["result"] == "created"


def test_role_that_may_not_create_a_schema_gets_a_hint(hosted: Cluster, create: Callable[[Cluster, str], Database]) -> None:
    made = create(hosted, "foreign_database")
    hosted.psql("create role ordinary login")
    try:
        made.cli.env["DATABASE_URL"] = hosted.dsn(made.name, user="ordinary")
        error = made.cli.error("init")
        assert error["sqlstate"] == "42501" and "grant create on the database" in error["hint"]
        assert made.psql("select to_regnamespace('ipai') is null") == "t"
        assert made.cli.error("status")["hint"] == "Create them: ipai-sync init"
    finally:
        hosted.psql("drop role ordinary")


@pytest.fixture
def planter(hosted: Cluster) -> Iterator[str]:
    """The name of a role without rights."""
    hosted.psql("create role planter login")
    yield "planter"
    hosted.psql("drop role planter")


def test_schema_of_another_role_is_not_taken_for_an_installation(
    hosted: Cluster, planter: str, create: Callable[[Cluster, str], Database], faulty: FaultyOdoo
) -> None:
    made = create(hosted, "planted")
    made.cli.env |= odoo_variables(faulty)
    made.psql(f"grant create on database planted to {planter}")
    made.psql(
        """create schema ipai;
           grant usage on schema ipai to public;
           create table ipai.mirrors (name text);
           create table ipai.ran_as (role text);
           grant insert on ipai.ran_as to public;
           create function ipai.plant() returns text language sql as 'insert into ipai.ran_as values (current_user) returning role';
           create view ipai.sync_status with (security_invoker = on) as
               select ipai.plant() as mirror, state, 0 as rows, 0 as delta, 0 as rejects, now() as last_success, now() as next_due,
                      state as progress, 0 as failures, state as last_error, state as model, state as target from (values ('')) s (state);
           grant select on ipai.ran_as, ipai.sync_status to public""",
        user=planter,
    )
    made.psql(
        f"create function ipai.schema_version() returns text language sql as $$ select '{extension.version()}'::text $$", user=planter
    )
    for command in ("init", "status", "run", "check", "uninstall --yes"):
        error = made.cli.error(*command.split())
        assert error["message"].startswith('the schema ipai has a table "mirrors" that ipai-sync init did not create'), command
    # Nor does it help to hold only one of the three.
    for owned in ("schema ipai", "table ipai.mirrors", "function ipai.schema_version()"):
        for thing in ("schema ipai", "table ipai.mirrors", "function ipai.schema_version()"):
            made.psql(f"alter {thing} owner to {planter if thing == owned else 'postgres'}", user=None)
        assert made.cli.error("status")["sqlstate"] == "55000", owned
    assert made.psql("select count(*) from ipai.ran_as", user=None) == "0"


@pytest.mark.parametrize(
    "planted",
    [
        "create function ipai.require_mirror(mirror text) returns void language plpgsql as 'begin end'",
        "create view ipai.sync_runs as select 1::bigint as run",
    ],
    ids=["function", "view"],
)
def test_superuser_does_not_adopt_what_another_role_planted(
    hosted: Cluster, planter: str, create: Callable[[Cluster, str], Database], planted: str
) -> None:
    made = create(hosted, "adopted")
    made.cli.env["DATABASE_URL"] = hosted.dsn(made.name)
    made.psql(f"create schema ipai; grant usage, create on schema ipai to {planter}")
    made.psql(planted, user=planter)
    error = made.cli.error("init")
    assert error["sqlstate"] == "42501" and error["message"].endswith(f'belongs to role "{planter}"'), error
    made.psql(re.sub(r"create (\w+) (ipai\.\w+).*", r"drop \1 \2", planted), user=planter)
    assert made.cli.json("init")["result"] == "created"


def test_default_privileges_open_no_table(database: Database, hosted: Cluster, create: Callable[[Cluster, str], Database]) -> None:
    """Supabase's page on custom schemas grants the API roles everything in them."""
    made = create(hosted, "exposed")
    made.psql("create schema ipai")
    for things in ("tables", "routines", "sequences"):
        made.psql(f"alter default privileges in schema ipai grant all on {things} to anon, authenticated, service_role, public")
    made.cli.ok("init")
    for kinds in ("r", "S"):
        query = f"select relname, relacl from pg_class where relnamespace = 'ipai'::regnamespace and relkind = '{kinds}' order by 1"
        assert made.psql(query) == database.psql(query) != ""


def test_init_and_extension_refuse_each_other(supabase: Supabase, create: Callable[[Cluster, str], Database]) -> None:
    made = create(supabase.cluster, "prepared")
    made.cli.ok("init")
    with pytest.raises(shell.CommandFailed, match=r"(?s)prepared by ipai-sync init.*uninstall --yes"):
        made.psql("create extension ipai_sync", user=None)
    made.cli.ok("uninstall", "--yes")
    made.psql("create extension ipai_sync", user=None)
    error = made.cli.error("init")
    assert error["sqlstate"] == "42710" and "the program works without init" in error["hint"]
    assert "drop extension" in made.cli.error("uninstall", "--yes")["hint"]


# Runs ---------------------------------------------------------------------------------------------


def test_mirrors_of_a_real_odoo_equal_its_tables(hosted_supabase: ProgramSupabase, cli: Cli, erp: Odoo) -> None:
    database = hosted_supabase
    database.rows("update ipai.mirrors set page_size = 500")
    cli.env |= odoo_variables(erp)
    # For the comparison, which depends on the company of the user.
    database.server(erp.url, user=erp.admin_user)
    cli.ok("create-mirror", "res.partner", "--fields", "name,email,is_company,parent_id,category_id,country_id")
    cli.ok("create-mirror", "res.country")
    lines = [json.loads(line) for line in cli.ok("--json", "run").splitlines()]
    assert [line["mirror"] for line in lines] == ["res_country", "res_partner", "sample_metrics"]
    assert {(line["mode"], line["delta"]) for line in lines} == {("full", 0)}
    assert lines[2]["inserted"] == ROWS
    assert_equal(database, erp)
    for mirror in ("res_partner", "res_country"):
        assert_mirrors(database, erp, mirror)

    edited, deleted = ids(erp, "active", 7), ids(erp, "not active", 3)
    erp.rpc(MODEL, "write", edited, {"notes": "über <b>&amp;</b> \n 🚀", "date": False})
    erp.rpc(MODEL, "unlink", deleted)
    changed = cli.json("run", "sample_metrics")
    assert (changed["mode"], changed["updated"], changed["deleted"]) == ("incremental", 7, 3)
    assert_equal(database, erp)
    assert (changed["odoo_count"], changed["mirror_count"]) == (len(odoo_rows(erp)),) * 2

    # The views and functions in SQL.
    assert [(row["mirror"], row["state"], row["delta"]) for row in cli.json("status")] == [
        ("res_country", "ok", 0),
        ("res_partner", "ok", 0),
        ("sample_metrics", "ok", 0),
    ]
    assert (cli.json("alerts"), cli.json("runs", "--limit", "1")[0]["mirror"]) == ([], "sample_metrics")
    related = database.rows("select field, related from ipai.relate_mirrors('res_partner')")
    assert {"field": "country_id", "related": "res_country"} in related
    database.rows("""select ipai.protect_mirror('res_partner', '{"odoo_id": "ipai_partner_ids"}')""")
    with database.connect("supabase_admin") as session:
        session.execute("set role authenticated")
        assert session.execute("select * from ipai.res_partner").fetchall() == []
    found = {(row["check"], row["state"]) for row in json.loads(cli("--json", "check").stdout)}
    assert ("Odoo", "ok") in found
    (version,) = cli.json("odoo-call", "ir.module.module", "search_read", "--args", '[[["name", "=", "base"]], ["latest_version"]]')
    assert version["latest_version"].startswith("19.0")


@pytest.mark.parametrize("first", ["extension", "program"])
def test_each_host_goes_on_with_the_mirrors_of_the_other(
    supabase: Supabase, programs: dict[str, Path], faulty: FaultyOdoo, first: str
) -> None:
    supabase.server(faulty.url, password=SECRET)
    supabase.register(page_size=2)
    cli = Cli(programs["ipai-sync"], {"DATABASE_URL": supabase.cluster.dsn(user="postgres"), **odoo_variables(faulty)})

    def run(host: str) -> int:
        """Runs the mirror, and returns 0 if the run succeeded."""
        if host == "program":
            return cli("run", "sample_metrics").returncode
        try:
            supabase.rows("call ipai.run_sync('sample_metrics')")
        except psycopg.Error:
            return 1
        return 0

    second = "program" if first == "extension" else "extension"
    faulty.on("search_read", respond_normally, times=2)
    faulty.on("search_read", status(404))
    assert run(first) == 1
    interrupted = supabase.last_run()
    assert (interrupted["state"], interrupted["position"]) == ("failed", 4)
    faulty.clear_faults()
    faulty.requests.clear()
    assert run(second) == 0
    resumed = supabase.resumed_run()
    assert (resumed["resumes"], resumed["fetched"], resumed["inserted"]) == (interrupted["run"], 6, 6)
    # No row is read twice.
    assert faulty.received("search_read")[0].domain[0] == ["id", ">", 4]
    assert [row["odoo_id"] for row in supabase.mirror("odoo_id")] == list(range(1, 11))
    faulty.requests.clear()
    # Then both read only changes, and use the same login.
    for host in (first, second):
        faulty.records[0] = {**RECORDS[0], "name": f"of {host}", "write_date": "2026-01-06 08:00:00"}
        supabase.rows("update ipai.mirror_state set settled_id = null")
        before = supabase.mirror("odoo_id, xmin::text")[1:]
        assert run(host) == 0
        last = supabase.last_run()
        assert (last["mode"], last["updated"], last["state"]) == ("incremental", 1, "succeeded")
        assert supabase.mirror("odoo_id, xmin::text")[1:] == before
    assert faulty.received("authenticate") == []


def test_incremental_run_updates_only_the_changed_row(hosted_supabase: ProgramSupabase, cli: Cli, faulty: FaultyOdoo) -> None:
    versions = "odoo_id, xmin::text, xmax::text, ctid::text, updated_at"
    assert cli.json("run", "sample_metrics")["inserted"] == 10
    before = {row["odoo_id"]: row for row in hosted_supabase.mirror(versions)}
    faulty.records[4] = {**RECORDS[4], "value": 0.1, "write_date": "2026-01-05 09:00:00"}
    del faulty.records[9]
    run = cli.json("run", "sample_metrics")
    assert (run["mode"], run["inserted"], run["updated"], run["deleted"]) == ("incremental", 0, 1, 1)
    after = {row["odoo_id"]: row for row in hosted_supabase.mirror(versions)}
    assert [key for key in after if after[key] != before[key]] == [5]
    # The run released its lock, and left the login for the next run.
    assert hosted_supabase.rows("select from pg_locks where locktype = 'advisory'") == []
    assert len(faulty.received("authenticate")) == 1


def test_no_transaction_is_open_while_a_run_waits_for_odoo(hosted_supabase: ProgramSupabase, cli: Cli, faulty: FaultyOdoo) -> None:
    faulty.records[3] = {**RECORDS[3], "unit": "furlong"}
    assert cli("run", "sample_metrics").returncode == 0
    assert hosted_supabase.rows("select odoo_id from ipai.sync_rejects") == [{"odoo_id": 4}]
    faulty.take_calls()
    faulty.on("search_count", never_respond)
    process = cli.start("run", "sample_metrics", stderr=subprocess.DEVNULL)
    try:
        shell.wait_until(lambda: bool(faulty.received("search_count")), "the request for the count", seconds=20)
        pid = hosted_supabase.last_run()["pid"]
        (waiting,) = hosted_supabase.rows("select state, xact_start from pg_stat_activity where pid = %s", pid)
        assert waiting == {"state": "idle", "xact_start": None}
        assert hosted_supabase.rows("select locktype from pg_locks where pid = %s", pid) == [{"locktype": "advisory"}]
    finally:
        process.kill()
        process.wait()


# Exit statuses and output -------------------------------------------------------------------------


def test_exit_status_tells_what_happened(hosted_supabase: ProgramSupabase, cli: Cli, faulty: FaultyOdoo) -> None:
    faulty.records = [metric(number) for number in range(1, 201)]
    hosted_supabase.rows("update ipai.mirrors set page_size = 500")
    assert cli("run").returncode == 0
    for wrong in (
        ["run", "--mode", "weekly"],
        ["run", "--since", "tomorrow"],
        ["launch"],
        ["run", "--full", "--limit", "3"],
        ["uninstall"],
    ):
        assert cli(*wrong).returncode == 2, wrong
    assert cli("run", "nope").returncode == 1
    faulty.records = faulty.records[:50]
    refused = cli("run", "sample_metrics")
    assert refused.returncode == 3
    assert "refused to delete 150 of the 200 rows" in refused.stderr
    assert "HINT:  " in refused.stderr and "ipai-sync run sample_metrics --max-delete-ratio 1" in refused.stderr
    faulty.on("search_read", status(404))
    assert cli("run", "sample_metrics").returncode == 1
    # An alert is raised, and its hint names commands of the program.
    alerts = cli("alerts")
    assert alerts.returncode == 1 and "sample_metrics" in alerts.stdout
    cli.env["DATABASE_URL"] = None
    assert cli("run").returncode == 2


def test_since_limit_and_dry_run_read_what_they_say(hosted_supabase: ProgramSupabase, cli: Cli, faulty: FaultyOdoo) -> None:
    dry = cli.json("run", "sample_metrics", "--dry-run")
    assert (dry["run"], dry["dry_run"], dry["inserted"], hosted_supabase.mirror()) == (None, True, 10, [])
    assert cli.json("run", "sample_metrics", "--limit", "3")["fetched"] == 3
    assert cli.json("run", "sample_metrics", "--full")["mode"] == "full"
    since = cli.json("run", "sample_metrics", "--since", "2026-01-05 08:00:07")
    assert (since["mode"], since["fetched"]) == ("since", 4)
    assert cli.json("run", "sample_metrics", "--since", "2026-01-06", "--dry-run")["fetched"] == 0


def test_progress_is_a_line_if_there_is_no_terminal(cli: Cli, faulty: FaultyOdoo) -> None:
    faulty.on("search_read", respond_normally, times=1)
    # The lines are at least two seconds apart.
    faulty.on("search_read", delayed(2.1), times=1)
    ended = cli("run", "sample_metrics")
    assert ended.returncode == 0
    (line,) = ended.stderr.splitlines()
    assert line.startswith("sample_metrics: ") and "of 10 records" in line and line.isprintable()
    assert ended.stdout.startswith("sample_metrics: full, 10 read, 10 inserted, 0 updated, 0 deleted; Odoo has 10, the mirror 10;")
    assert "page 5, 10 of 10 records" in cli("run", "sample_metrics", "--full", "--verbose").stderr
    assert cli("run", "sample_metrics", "--full", "--json").stderr == ""


def test_progress_is_a_bar_on_a_terminal(cli: Cli, faulty: FaultyOdoo) -> None:
    faulty.on("search_read", delayed(0.3))
    ours, theirs = pty.openpty()
    process = cli.start("run", "sample_metrics", stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            read = os.read(ours, 1 << 16)
        except OSError:
            # The program has closed its end.
            break
        if not read:
            break
        shown += read
    os.close(ours)
    stdout, _ = process.communicate(timeout=20)
    assert process.returncode == 0 and b"10 inserted" in stdout
    assert "sample_metrics [" in shown.decode() and "of 10 records" in shown.decode() and "left" in shown.decode()


# Secrets ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guarded(hosted: Cluster) -> Iterator[str]:
    """The address of the database for a role that needs a password."""
    rules = hosted.data / "pg_hba.conf"
    before = rules.read_text()
    hosted.psql("create role guarded login password 'another secret'")
    rules.write_text(f"host all guarded 127.0.0.1/32 scram-sha-256\n{before}")
    hosted.psql("select pg_reload_conf()")
    yield f"postgresql://guarded:{{}}@{hosted.host}:{hosted.port}/postgres?sslmode=disable"
    rules.write_text(before)
    hosted.psql("select pg_reload_conf(); drop role guarded")


PLAIN = "hunter2Zq9"
#: What is wrong, how the test causes it, and the exit status.
Cause = Callable[["Cli", str], None]


def _variable(name: str, value: str) -> Cause:
    return lambda cli, guarded: cli.env.update({name: value})


def _file(name: str, text: str) -> Cause:
    def write(cli: Cli, guarded: str) -> None:
        (cli.folder / name).write_text(text)

    return write


LEAKS: dict[str, tuple[Cause, int]] = {
    "wrong password of Odoo": (_variable("ODOO_PASSWORD", PLAIN), 1),
    "wrong password of Postgres": (lambda cli, guarded: cli.env.update(DATABASE_URL=guarded.format(PLAIN)), 1),
    "address that is no URL": (_variable("DATABASE_URL", f"{PLAIN}@localhost"), 2),
    "URL with a slash in the password": (_variable("DATABASE_URL", f"postgresql://postgres:{PLAIN}/x@localhost/postgres"), 2),
    "URL with a hash in the password": (_variable("DATABASE_URL", f"postgresql://postgres:{PLAIN}#x@localhost/postgres"), 2),
    "URL with an unknown parameter": (_variable("DATABASE_URL", f"postgresql://postgres:{PLAIN}@localhost/postgres?sslmod=disable"), 2),
    "database that does not listen": (_variable("DATABASE_URL", f"postgresql://postgres:{PLAIN}@127.0.0.1:1/postgres"), 1),
    "URL of Odoo with a password": (_variable("ODOO_URL", f"ftp://admin:{PLAIN}@127.0.0.1:1"), 2),
    ".env with an invalid line": (_file(".env", f"ODOO_PASSWORD=a {PLAIN}' b\n"), 2),
    "settings that are no TOML": (_file("ipai-sync.toml", f"[servers.odoo]\nuser = 'a'\npassword = {PLAIN}\n"), 2),
    "settings with a password": (_file("ipai-sync.toml", f"[servers.odoo]\npassword = '{PLAIN}'\n"), 2),
}


@pytest.mark.parametrize("leak", LEAKS)
@pytest.mark.parametrize("options", [["--verbose"], ["--json"]], ids=str)
def test_errors_contain_no_secret(cli: Cli, faulty: FaultyOdoo, guarded: str, leak: str, options: list[str]) -> None:
    cause, status = LEAKS[leak]
    cause(cli, guarded)
    ended = cli(*options, "run", "sample_metrics")
    assert ended.returncode == status, ended
    printed = ended.stdout + ended.stderr
    assert printed and PLAIN not in printed and SECRET not in printed and "another secret" not in printed


def test_running_program_shows_no_secret(hosted_supabase: ProgramSupabase, cli: Cli, faulty: FaultyOdoo, guarded: str) -> None:
    faulty.on("search_read", respond_normally, times=1)
    faulty.on("search_read", never_respond)
    process = cli.start("run", "--verbose", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        shell.wait_until(lambda: len(faulty.received("search_read")) == 2, "the second page", seconds=20)
        listed = Path(f"/proc/{process.pid}/cmdline").read_bytes().decode().split("\0")
        assert listed == [str(cli.program), "run", "--verbose", ""]
        activity = str(hosted_supabase.rows("select * from pg_stat_activity"))
    finally:
        process.terminate()
        printed = process.communicate(timeout=20)[0].decode()
    assert "page 1, 2 of 10 records" in printed
    assert SECRET not in printed and SECRET not in activity
    assert SECRET not in hosted_supabase.cluster.log.read_text(errors="replace")


# Settings -----------------------------------------------------------------------------------------


def test_env_file_describes_both_ends(cli: Cli) -> None:
    lines = [f"{name}='{value}'" for name, value in cli.env.items()]
    (cli.folder / ".env").write_text("\n".join(["# both ends", *lines, ""]))
    # A variable of the process wins.
    cli.env = {"ODOO_USER": "nobody"}
    assert cli.error("run", "sample_metrics")["sqlstate"] == "28P01"
    cli.env = {}
    assert cli.json("run", "sample_metrics")["inserted"] == 10


def test_address_of_the_rest_api_gets_a_hint(cli: Cli) -> None:
    cli.env |= {"DATABASE_URL": None, "SUPABASE_URL": "https://x.supabase.co"}
    error = cli.error("run", status=2)
    assert error["message"] == "DATABASE_URL is not set"
    assert "Session pooler" in error["hint"] and "SUPABASE_URL" in error["detail"]


@pytest.mark.parametrize(
    ("text", "place", "near"),
    [
        ("database_url_evn = 'X'", '"database_url_evn" in ipai-sync.toml', "Perhaps you mean database_url_env."),
        ("[servers.odoo]\nusr = 'a'", '"usr" in [servers.odoo]', "Perhaps you mean user."),
        ("[servers.odoo]\npassword_fil = 'a'", '"password_fil" in [servers.odoo]', "Perhaps you mean password_file."),
    ],
)
def test_unknown_key_is_refused_with_the_nearest(cli: Cli, text: str, place: str, near: str) -> None:
    (cli.folder / "ipai-sync.toml").write_text(text)
    error = cli.error("run", status=2)
    assert error["message"] == f"unknown key {place}"
    assert error["hint"].startswith(f"{near} Valid keys are ")


def test_several_servers_have_secrets_in_all_places(hosted_supabase: ProgramSupabase, cli: Cli, faulty: FaultyOdoo) -> None:
    places = {"by_env": "password_env = 'THEIR_PASSWORD'", "by_file": "password_file = 'secret'", "by_vault": "password_secret = 'of odoo'"}
    text = "database_url_file = 'database'\n"
    for name, place in places.items():
        text += f"[servers.{name}]\nurl = '{faulty.url}'\ndbname = 'odoo'\nuser = 'admin'\n{place}\n"
    (cli.folder / "ipai-sync.toml").write_text(text)
    (cli.folder / "secret").write_text(f"{SECRET}\n")
    (cli.folder / "database").write_text(f"{cli.env['DATABASE_URL']}\n")
    cli.env = {"THEIR_PASSWORD": SECRET}
    hosted_supabase.rows("select vault.create_secret(%s, 'of odoo')", SECRET)
    hosted_supabase.rows("delete from ipai.mirrors")
    for name in places:
        cli.ok("create-mirror", MODEL, "--server", name, "--target", f"public.{name}", "--fields", "name")
        # The next login needs the secret again.
        hosted_supabase.rows("truncate ipai.odoo_logins")
        assert cli.json("run", name)["inserted"] == 10
    several = cli.error("create-mirror", MODEL, "--target", "public.fourth")
    assert several["message"] == "there are several Odoo servers: by_env, by_file, by_vault" and "server" in several["hint"]
    assert [row["object"] for row in json.loads(cli("--json", "check").stdout) if row["check"] == "Odoo"] == [*places]
    hosted_supabase.rows("delete from vault.secrets")
    hosted_supabase.rows("truncate ipai.odoo_logins")
    error = cli.error("run", "by_vault")
    assert (error["sqlstate"], error["message"]) == ("42704", 'Vault has no secret named "of odoo"')
    (cli.folder / "secret").unlink()
    assert "secret cannot be read" in cli.error("run", "by_file")["message"]
    cli.env = {}
    assert cli.error("run", "by_env")["message"] == "THEIR_PASSWORD is not set"
    # What one server lacks stops no other command.
    assert len(cli.json("status")) == 3
