"""Tests `ipai.doctor()`.

Each test causes a common mistake, checks the finding, and executes the remedy unchanged.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from harness import extension, paths, postgres, shell
from harness.postgres import Cluster, Installation
from support.definitions import ScriptedOdoo, create_statement, execute
from support.faulty import metric
from support.supabase import Supabase

TABLE = "ipai.ipai_sample_metrics"

#: Only newer minor versions of Postgres restrict output plugins.
PLUGINS = r"""
    select format('alter database postgres set %s = pgoutput, test_decoding, wal2json', name)
    from pg_settings where name = 'output_plugin_libraries' \gexec
"""

#: The checks of a database with one server and one mirror, and their objects.
CHECKS = {
    ("pg_cron", None),
    ("job history", "cron.job_run_details"),
    ("exposed schema", "ipai"),
    ("address", "odoo"),
    ("password", "odoo"),
    ("row-level security", TABLE),
    ("trust", "sample_metrics"),
    ("bulk export", "sample_metrics"),
    ("API privileges", TABLE),
    ("policies", TABLE),
    ("publication", TABLE),
    ("output plugin", "wal2json"),
    ("schedule", "sample_metrics"),
    ("clock", "sample_metrics"),
}

Row = dict[str, Any]


class CheckedDatabase:
    """A database that one role checks with the doctor."""

    def __init__(self, cluster: Cluster, *, dbname: str = "postgres", user: str = "postgres") -> None:
        self.cluster = cluster
        self.dbname = dbname
        self.user = user

    def sql(self, statements: str, *, user: str | None = None) -> str:
        return self.cluster.psql(statements, dbname=self.dbname, user=user or "postgres")

    def rows(self) -> list[Row]:
        """Returns all rows of the doctor."""
        with psycopg.connect(self.cluster.dsn(self.dbname, self.user), autocommit=True, row_factory=psycopg.rows.dict_row) as connection:
            rows = execute(connection, "select * from ipai.doctor(include_ok => true)")
        keys = [(row["check"], row["object"]) for row in rows]
        assert len(keys) == len(set(keys)), keys
        assert all(row["state"] in ("ok", "problem", "unknown") and row["finding"] for row in rows)
        assert not any(row["remedy"] for row in rows if row["state"] == "ok")
        return rows

    def row(self, check: str, object: str | None = None) -> Row:
        """Returns the only row of a check, or its row about this object."""
        (row,) = [row for row in self.rows() if row["check"] == check and (object is None or row["object"] == object)]
        return row

    def problems(self) -> list[tuple[str, str | None, str]]:
        return [(row["check"], row["object"], row["state"]) for row in self.rows() if row["state"] != "ok"]

    def apply_remedies(self, check: str, object: str | None = None, *, user: str | None = None) -> list[str]:
        """Executes the remedies until the check is ok, and returns them."""
        done: list[str] = []
        while (row := self.row(check, object))["state"] != "ok":
            assert row["remedy"] and row["remedy"] not in done, (row, done)
            self.sql(row["remedy"], user=user)
            done.append(row["remedy"])
        return done


@pytest.fixture
def odoo(supabase: Supabase) -> Iterator[ScriptedOdoo]:
    with ScriptedOdoo([metric(number) for number in range(1, 6)]) as server:
        supabase.server(server.url)
        yield server


@pytest.fixture
def database(supabase: Supabase, odoo: ScriptedOdoo) -> Iterator[CheckedDatabase]:
    """A database without any problem, set up as the documentation describes."""
    supabase.run()
    # This yearly schedule prevents a run by pg_cron during a test.
    supabase.rows("select ipai.schedule_sync('sample_metrics', '0 0 1 1 *')")
    supabase.cluster.psql("alter role authenticator set pgrst.db_schemas = 'public, graphql_public, ipai'")
    supabase.cluster.psql(PLUGINS)
    odoo.requests.clear()
    yield CheckedDatabase(supabase.cluster)
    assert odoo.requests == []
    supabase.cluster.psql(
        f"""
        set client_min_messages = warning;
        alter role authenticator reset pgrst.db_schemas;
        alter database postgres reset all;
        alter role authenticator in database postgres reset pgrst.db_schemas;
        select format('drop policy %I on {TABLE}', polname) from pg_policy where polrelid = '{TABLE}'::regclass \\gexec
        """
    )
    # The migrations restore the policies and the publication.
    postgres.migrate(supabase.cluster)


@contextmanager
def role(database: CheckedDatabase, name: str, granted: str = "") -> Iterator[CheckedDatabase]:
    """The same database as seen by a new role."""
    admin = database.cluster.superuser
    database.sql(
        f"create role {name} login; grant usage on schema ipai to {name}; grant execute on function ipai.doctor(boolean) to {name}; {granted}",
        user=admin,
    )
    try:
        yield CheckedDatabase(database.cluster, user=name)
    finally:
        database.sql(f"drop owned by {name} cascade; drop role {name}", user=admin)


# No problems --------------------------------------------------------------------------------------


def test_doctor_finds_no_problem(database: CheckedDatabase) -> None:
    rows = database.rows()
    assert {(row["check"], row["object"]) for row in rows} == CHECKS
    assert database.problems() == []


@pytest.mark.no_mirrors
def test_doctor_of_a_new_installation(supabase: Supabase) -> None:
    """After the vault_installation there is no server and no mirror."""
    supabase.cluster.psql(PLUGINS)
    try:
        found = {row["check"]: row["state"] for row in CheckedDatabase(supabase.cluster).rows()}
        assert found == {"pg_cron": "ok", "job history": "ok", "exposed schema": "unknown", "output plugin": "ok"}
    finally:
        supabase.cluster.psql("alter database postgres reset all")


# The database -------------------------------------------------------------------------------------


def test_exposed_schemas_are_unknown(database: CheckedDatabase) -> None:
    database.sql("alter role authenticator reset pgrst.db_schemas", user="supabase_admin")
    assert database.problems() == [("exposed schema", "ipai", "unknown")]
    # A list in the database would hide the list in PostgREST's configuration.
    remedy = database.row("exposed schema")["remedy"]
    assert "API settings" in remedy and "alter role" not in remedy


@pytest.mark.parametrize("schemas", ["public", "public, storage, graphql_public", "public,ipai_other"])
def test_schema_is_not_exposed(database: CheckedDatabase, schemas: str) -> None:
    database.sql(f"alter role authenticator set pgrst.db_schemas = '{schemas}'", user="supabase_admin")
    assert database.problems() == [("exposed schema", "ipai", "problem")]
    assert database.apply_remedies("exposed schema", user="supabase_admin") == [
        f"alter role authenticator set pgrst.db_schemas = '{schemas}, ipai'; notify pgrst, 'reload config';"
    ]
    assert database.problems() == []


def test_database_setting_takes_precedence_over_the_role_setting(database: CheckedDatabase) -> None:
    """PostgREST resolves the settings in this order."""
    database.sql("alter role authenticator in database postgres set pgrst.db_schemas = 'public'", user="supabase_admin")
    assert database.problems() == [("exposed schema", "ipai", "problem")]
    (remedy,) = database.apply_remedies("exposed schema", user="supabase_admin")
    assert "in database postgres" in remedy and database.problems() == []
    database.sql("alter role authenticator set pgrst.db_schemas = 'public'", user="supabase_admin")
    assert database.problems() == []


# Servers ------------------------------------------------------------------------------------------


def test_plain_http_to_another_machine(database: CheckedDatabase, odoo: ScriptedOdoo) -> None:
    database.sql("alter server odoo options (set url 'http://odoo.internal:8069', add allow_insecure 'true')")
    assert database.problems() == [("address", "odoo", "problem"), ("password", "odoo", "problem")]
    assert database.apply_remedies("address") == ["alter server odoo options (set url 'https://odoo.internal:8069', drop allow_insecure);"]
    # The secret belongs to the address before.
    bind = "select ipai.bind_odoo_secret('odoo', 'odoo_password', 'https://odoo.internal:8069');"
    assert database.apply_remedies("password") == [bind]
    assert database.problems() == []


def test_plain_http_through_a_proxy(database: CheckedDatabase) -> None:
    """The proxy resolves localhost, so the request leaves this machine."""
    database.sql("alter server odoo options (set url 'HTTP://localhost:8069', add proxy 'http://10.0.0.1:3128', add allow_insecure 'true')")
    assert database.problems() == [("address", "odoo", "problem"), ("password", "odoo", "problem")]
    database.apply_remedies("address")
    database.apply_remedies("password")
    assert database.problems() == []


@pytest.mark.parametrize(
    ("url", "state"),
    [
        ("https://erp.example.com", "ok"),
        ("HTTPS://erp.example.com", "ok"),
        ("http://localhost", "ok"),
        ("http://localhost:8069/", "ok"),
        ("http://127.0.0.9", "ok"),
        ("http://[::1]:8069", "ok"),
        ("http://evil.localhost:8069", "problem"),
        ("http://localhost.example.com", "problem"),
        ("http://127.0.0.1.example.com", "problem"),
        ("http://notlocalhost", "problem"),
        ("http://10.0.0.7:8069", "problem"),
        ("http://[fd00::1]:8069", "problem"),
    ],
)
def test_http_is_safe_only_to_this_machine(database: CheckedDatabase, url: str, state: str) -> None:
    """Safe addresses are those that the wrapper accepts without `allow_insecure`."""
    change = f"alter server odoo options (set url '{url}'"
    with psycopg.connect(database.cluster.dsn(user="postgres"), autocommit=True) as connection:
        try:
            connection.execute(change + ")")
            assert state == "ok"
        except psycopg.Error:
            assert state == "problem"
            connection.execute(change + ", add allow_insecure 'true')")
    assert database.row("address")["state"] == state
    database.apply_remedies("address")


def test_no_user_mapping(database: CheckedDatabase) -> None:
    database.sql("drop user mapping for postgres server odoo")
    assert database.problems() == [("password", "odoo", "problem")]
    assert database.apply_remedies("password") == [
        "create user mapping for current_user server odoo options (user '...', password_secret 'odoo_odoo');",
        "select ipai.set_odoo_password('odoo', '...');",
    ]
    assert database.problems() == []


def test_secret_is_missing_in_vault(database: CheckedDatabase) -> None:
    database.sql("delete from vault.secrets where name = 'odoo_password'")
    assert database.problems() == [("password", "odoo", "problem")]
    assert '"odoo_password"' in database.row("password")["finding"]
    assert database.apply_remedies("password") == ["select ipai.set_odoo_password('odoo', '...');"]
    assert database.sql("select count(*) from vault.secrets where name = 'odoo_password'") == "1"


def test_plain_password_that_another_role_can_read_is_a_problem(database: CheckedDatabase) -> None:
    plain = "alter user mapping for postgres server odoo options (drop password_secret, add password 'hush-4711')"
    database.sql(plain)
    assert database.problems() == [("password", "odoo", "problem")]
    assert database.row("password")["finding"].endswith("; roles that can read it: supabase_read_only_user")
    options = "select umoptions from pg_user_mapping"
    assert "hush-4711" in database.sql(f"set role supabase_read_only_user; {options}", user="supabase_admin")
    assert "hush-4711" not in str(database.rows())
    assert database.apply_remedies("password") == [
        "alter user mapping for current_user server odoo options (drop password, add password_secret 'odoo_odoo'); select ipai.set_odoo_password('odoo', '...');"
    ]
    assert "hush-4711" not in database.sql(options, user="supabase_admin")
    # Without such a role, only superusers can read it.
    database.sql("revoke pg_read_all_data from supabase_read_only_user", user="supabase_admin")
    try:
        database.sql(plain)
        row = database.row("password")
        assert row["state"] == "ok" and row["finding"].endswith("dumps show it")
    finally:
        database.sql("grant pg_read_all_data to supabase_read_only_user", user="supabase_admin")


def test_plain_password_of_public_is_a_problem(database: CheckedDatabase) -> None:
    database.sql(
        "drop user mapping for postgres server odoo; create user mapping for public server odoo options (user 'admin', password 'hush-4711')"
    )
    assert database.problems() == [("password", "odoo", "problem")]
    assert "hush-4711" not in str(database.rows())
    assert database.apply_remedies("password") == [
        "alter user mapping for public server odoo options (drop password, add password_secret 'odoo_odoo'); select ipai.set_odoo_password('odoo', '...');"
    ]
    assert database.problems() == []


def test_plain_password_of_public_beside_the_callers_mapping(database: CheckedDatabase) -> None:
    """The caller's runs ignore this mapping, but every other role could use it."""
    database.sql("create user mapping for public server odoo options (user 'admin', password 'hush-4711')")
    assert database.problems() == [("password", "odoo", "problem")]
    assert database.apply_remedies("password") == ["drop user mapping for public server odoo;"]
    assert database.problems() == []


def test_role_cannot_read_vault(database: CheckedDatabase) -> None:
    """Only roles other than postgres need this, since postgres can read Vault."""
    mapping = "create user mapping for looker server odoo options (user 'admin', password_secret 'odoo_password')"
    with role(database, "looker", f"grant usage on foreign server odoo to looker; {mapping}") as looker:
        database.sql(looker.row("privileges")["remedy"], user="supabase_admin")
        assert looker.row("password")["state"] == "problem"
        assert looker.apply_remedies("password", user="supabase_admin") == [
            "grant usage on schema vault to looker; grant select on vault.decrypted_secrets to looker;"
        ]


# Mirrors ------------------------------------------------------------------------------------------


def test_row_level_security_is_disabled(database: CheckedDatabase) -> None:
    database.sql(f"alter table {TABLE} disable row level security")
    assert database.problems() == [("row-level security", TABLE, "problem")]
    assert database.apply_remedies("row-level security") == [f"alter table {TABLE} enable row level security;"]
    assert database.problems() == []


ROWS = f"""
    begin;
    insert into {TABLE} (odoo_id, name, code, unit, brand_id, store_id, active)
    select row_number() over (), 'm', 'M', 'count', b, s, a
    from unnest('{{null,7,8}}'::int[]) b, unnest('{{null,3,4}}'::int[]) s, unnest('{{t,f}}'::boolean[]) a on conflict (odoo_id) do nothing;
    set local role authenticated;
    select set_config('request.jwt.claims', claims, true),
           (select string_agg(odoo_id::text, ',' order by odoo_id) from {TABLE})
    from (values ('{{}}'), ('{{"app_metadata": {{"ipai_brand_ids": [7], "ipai_store_ids": "*"}}}}')) c (claims);
    rollback;
"""


def test_reference_table_has_no_policy(database: CheckedDatabase) -> None:
    """The remedy restores the separation of tenants."""
    before = database.sql(ROWS)
    database.sql(f"drop policy ipai_sample_metrics_tenant on {TABLE}")
    assert database.problems() == [("policies", TABLE, "problem")]
    (remedy,) = database.apply_remedies("policies")
    assert remedy.startswith("select ipai.protect_mirror(")
    assert database.problems() == [] and database.sql(ROWS) == before != ""


def test_policy_must_let_users_read_rows(database: CheckedDatabase) -> None:
    database.sql(f"drop policy ipai_sample_metrics_tenant on {TABLE}")
    for policy in (
        *("as restrictive for select to authenticated using (true)", "for select to service_role using (true)"),
        *("for insert to authenticated with check (true)", "for update to authenticated using (true)"),
    ):
        database.sql(f"create policy p on {TABLE} {policy}")
        assert (policy, database.problems()) == (policy, [("policies", TABLE, "problem")])
        database.sql(f"drop policy p on {TABLE}")
    database.sql("create role staff; grant staff to authenticated", user="supabase_admin")
    try:
        for policy in (
            "for select to authenticated",
            "to authenticated",
            "for select to public",
            "for select to anon, authenticated",
            "to staff",
        ):
            database.sql(f"create policy p on {TABLE} {policy} using (true)", user="supabase_admin")
            assert (policy, database.problems()) == (policy, [])
            database.sql(f"drop policy p on {TABLE}")
    finally:
        database.sql("drop role staff", user="supabase_admin")


@pytest.fixture
def another(supabase: Supabase, database: CheckedDatabase, odoo: ScriptedOdoo) -> CheckedDatabase:
    """A database with a second mirror, `sales`, which users cannot read yet."""
    supabase.rows(create_statement("sales", "ipai.sales", fields="name,code,active,write_date"))
    supabase.sync("sales")
    odoo.requests.clear()
    return database


def test_new_mirror_lacks_only_a_schedule(another: CheckedDatabase) -> None:
    """The new mirror has no schedule. It is no problem that users of the API cannot read it."""
    assert another.problems() == [("schedule", "sales", "problem")]
    assert another.apply_remedies("schedule", "sales") == ["select ipai.schedule_sync('sales', '*/15 * * * *');"]
    assert another.problems() == []


@pytest.mark.postgres17
def test_anon_reads_and_writes_a_mirror(another: CheckedDatabase) -> None:
    """Supabase's earlier default privileges, on a table without row-level security."""
    another.apply_remedies("schedule", "sales")
    another.sql("alter table ipai.sales disable row level security; grant all on ipai.sales to anon, authenticated")
    another.sql("alter publication supabase_realtime add table ipai.sales")
    checks = (("row-level security", "ipai.sales"), ("trust", "sales"), ("API privileges", "ipai.sales"), ("policies", "ipai.sales"))
    assert another.problems() == [(*check, "problem") for check in checks]
    # All privileges include MAINTAIN from PostgreSQL 17 on.
    maintain = another.sql("select case when current_setting('server_version_num')::int >= 170000 then 'maintain, ' else '' end")
    assert another.apply_remedies("API privileges", "ipai.sales") == [
        f"revoke delete, insert, {maintain}references, select, trigger, truncate, update on table ipai.sales from anon; "
        f"revoke delete, insert, {maintain}references, trigger, truncate, update on table ipai.sales from authenticated;"
    ]
    another.apply_remedies("row-level security", "ipai.sales")
    another.apply_remedies("policies", "ipai.sales")
    assert another.problems() == []


@pytest.mark.parametrize(("grantee", "granted"), [("anon", "select"), ("anon", "select (name)"), ("public", "select"), ("staff", "select")])
def test_anon_reads_a_mirror_by_a_policy(another: CheckedDatabase, grantee: str, granted: str) -> None:
    another.apply_remedies("schedule", "sales")
    another.sql("alter publication supabase_realtime add table ipai.sales")
    another.sql("create role staff; grant staff to anon", user="supabase_admin")
    try:
        another.sql(f"grant {granted} on ipai.sales to {grantee}")
        # Row-level security without a policy shows no row.
        assert another.problems() == [("policies", "ipai.sales", "problem")]
        another.sql(f"create policy p on ipai.sales for select to {grantee} using (true)", user="supabase_admin")
        assert another.problems() == [("API privileges", "ipai.sales", "problem")]
        assert another.apply_remedies("API privileges", "ipai.sales") == [f"revoke select on table ipai.sales from {grantee};"]
        assert another.sql("select has_any_column_privilege('anon', 'ipai.sales', 'select')") == "f"
    finally:
        another.sql("drop owned by staff; drop role staff", user="supabase_admin")


@pytest.mark.parametrize("privilege", ["insert", "update (name)", "delete", "truncate", "references", "trigger"])
@pytest.mark.parametrize("role", ["anon", "authenticated"])
def test_role_of_the_api_may_write_a_mirror(database: CheckedDatabase, role: str, privilege: str) -> None:
    database.sql(f"grant {privilege} on {TABLE} to {role}")
    # With these, the role could also have its code run by a sync.
    trust = [("trust", "sample_metrics", "problem")] if privilege in ("references", "trigger") else []
    assert database.problems() == [*trust, ("API privileges", TABLE, "problem")]
    assert database.apply_remedies("API privileges") == [f"revoke {privilege.partition(' ')[0]} on table {TABLE} from {role};"]
    assert database.problems() == []


@pytest.mark.parametrize("role", ["anon", "authenticated", "public"])
def test_tables_of_the_extension_are_open_to_the_api(database: CheckedDatabase, role: str) -> None:
    """As after the statements of Supabase's page on custom schemas."""
    columns = """select a.attname, count(distinct (x.grantee, x.privilege_type)) from pg_attribute a, aclexplode(a.attacl) x
                 where a.attrelid = 'ipai.run_log'::regclass group by a.attname order by a.attname"""
    before = database.sql(columns)
    tables = [f"ipai.{name}" for name in ("mirrors", "mirror_objects", "mirror_state", "run_log", "sync_rejects", "odoo_logins")]
    database.sql(f"grant select, insert on {', '.join(tables)} to {role}")
    found = [row for row in database.rows() if row["state"] != "ok"]
    assert {(row["check"], row["object"]) for row in found} == {("API privileges", table) for table in tables}
    for row in found:
        assert row["remedy"].startswith(f"revoke insert, select on table {row['object']} from {role};")
        database.sql(row["remedy"])
    assert database.problems() == []
    # Remedies keep the columns that authenticated may read.
    assert database.sql(columns) == before
    # They grant them again, as another role than the owner of the tables.
    database.sql("revoke select on ipai.mirrors, ipai.run_log from authenticated")


@pytest.mark.parametrize("granted", ["select", "select (odoo_id, name)"])
def test_readable_mirror_without_a_policy_is_a_problem(another: CheckedDatabase, granted: str) -> None:
    another.apply_remedies("schedule", "sales")
    another.sql(f"grant {granted} on ipai.sales to authenticated")
    assert another.problems() == [("policies", "ipai.sales", "problem"), ("publication", "ipai.sales", "problem")]
    assert another.apply_remedies("policies", "ipai.sales") == [
        "create policy everybody on ipai.sales for select to authenticated using (true);"
    ]
    assert another.apply_remedies("publication", "ipai.sales") == ["alter publication supabase_realtime add table ipai.sales;"]
    assert another.problems() == []


def test_remedy_protects_a_mirror_with_a_tenant_column(supabase: Supabase, database: CheckedDatabase, odoo: ScriptedOdoo) -> None:
    for tenant in ("acme", "globex"):
        more = f""", constants => '{{"tenant": "{tenant}"}}', enabled => false"""
        supabase.rows(create_statement(tenant, "ipai.shared", fields="name,code,active,write_date", more=more))
    odoo.requests.clear()
    database.sql("grant select on ipai.shared to authenticated; alter publication supabase_realtime add table ipai.shared")
    clocks = [("clock", tenant, "unknown") for tenant in ("acme", "globex")]
    assert database.problems() == [("policies", "ipai.shared", "problem"), *clocks]
    assert database.apply_remedies("policies", "ipai.shared") == ["""select ipai.protect_mirror('acme', '{"tenant": "ipai_tenant"}');"""]
    assert database.problems() == clocks
    # Each tenant sees its own rows.
    database.sql(
        "insert into ipai.shared (tenant, odoo_id, name, code, active) values ('acme', 1, 'm', 'M', true), ('globex', 1, 'm', 'M', true)"
    )
    claims = json.dumps({"app_metadata": {"ipai_tenant": ["globex"]}})
    shown = f"begin; set local role authenticated; set local request.jwt.claims = '{claims}'; select tenant from ipai.shared; rollback"
    assert database.sql(shown) == "globex"


def test_published_table_without_a_replica_identity(database: CheckedDatabase) -> None:
    """Its first update would fail with 55000."""
    database.sql(f"alter table {TABLE} replica identity nothing")
    assert database.problems() == [("publication", TABLE, "problem")]
    assert database.apply_remedies("publication", TABLE) == [f"alter table {TABLE} replica identity full;"]
    assert database.problems() == []
    database.sql(f"alter table {TABLE} replica identity default")
    assert database.problems() == []


def test_table_is_missing_in_the_publication(database: CheckedDatabase) -> None:
    database.sql(f"alter publication supabase_realtime drop table {TABLE}")
    assert database.problems() == [("publication", TABLE, "problem")]
    assert database.apply_remedies("publication") == [f"alter publication supabase_realtime add table {TABLE};"]
    assert database.problems() == []


def test_output_plugin_of_realtime_is_not_allowed(database: CheckedDatabase) -> None:
    name = "select count(*) from pg_settings where name = 'output_plugin_libraries'"
    if database.sql(name) == "0":
        assert "restricts no output plugins" in database.row("output plugin")["finding"]
        return
    slot = "select pg_create_logical_replication_slot('doctor', 'wal2json', true)"
    for plugins, kept in (
        ("pgoutput, test_decoding", "pgoutput, test_decoding, "),
        ("pgoutput", "pgoutput, "),
        ("''", ""),
        ('wal2json_other, "Odd"', 'wal2json_other, "Odd", '),
    ):
        database.sql(f"alter database postgres set output_plugin_libraries = {plugins}", user="supabase_admin")
        assert (plugins, database.problems()) == (plugins, [("output plugin", "wal2json", "problem")])
        with pytest.raises(shell.CommandFailed):
            database.sql(slot)
        assert database.apply_remedies("output plugin", user="supabase_admin") == [
            f"alter database postgres set output_plugin_libraries = {kept}wal2json;"
        ]
        database.sql(slot)
    assert database.problems() == []


def test_mirror_has_no_schedule(database: CheckedDatabase) -> None:
    database.sql("select ipai.unschedule_sync('sample_metrics')")
    assert database.problems() == [("schedule", "sample_metrics", "problem")]
    assert database.apply_remedies("schedule") == ["select ipai.schedule_sync('sample_metrics', '*/15 * * * *');"]
    assert database.sql("select count(*) from cron.job") == "1"
    # The schedule of another scheduler is sufficient.
    database.sql("select ipai.unschedule_sync('sample_metrics'); select ipai.expect_sync('sample_metrics', '@hourly')")
    assert database.problems() == []
    database.sql("select ipai.expect_sync('sample_metrics', null); select ipai.alter_mirror('sample_metrics', enabled => false)")
    assert database.problems() == []


def test_job_of_a_schedule_is_missing(database: CheckedDatabase) -> None:
    """A restored database is in this state."""
    database.sql("select cron.unschedule(jobid) from cron.job")
    assert database.problems() == [("schedule", "sample_metrics", "problem")]
    assert database.apply_remedies("schedule") == ["select * from ipai.restore_schedules();"]
    assert database.sql("select count(*) from cron.job") == "1"
    # The role cannot see jobs of other roles.
    database.sql("select cron.unschedule(jobid) from cron.job; update ipai.mirrors set scheduled_by = 'service_role'")
    assert database.problems() == []


@pytest.mark.parametrize(
    ("shift", "state", "finding"),
    [
        ("1 minute", "ok", "agree"),
        ("-1 minute", "ok", "agree"),
        ("3 minutes", "problem", "00:03:00 ahead of"),
        ("-26 hours", "problem", "1 day 02:00:00 behind"),
    ],
)
def test_clocks_of_odoo_and_postgres_differ(
    supabase: Supabase, database: CheckedDatabase, odoo: ScriptedOdoo, shift: str, state: str, finding: str
) -> None:
    database.sql(f"update ipai.run_log set odoo_clock = started_at + interval '{shift}'")
    row = database.row("clock")
    assert row["state"] == state and finding in row["finding"]
    # No SQL statement can set a clock. The next run measures the difference again.
    assert (row["remedy"] is None) == (state == "ok")
    supabase.run()
    odoo.requests.clear()
    assert database.problems() == []


def test_job_for_all_mirrors_is_a_schedule(database: CheckedDatabase) -> None:
    database.sql("select ipai.unschedule_sync('sample_metrics')")
    assert database.row("schedule")["state"] == "problem"
    database.sql("select cron.schedule('all', '0 0 1 1 *', 'call ipai.run_sync()')")
    row = database.row("schedule")
    assert (row["state"], row["finding"]) == ("ok", "a job runs all enabled mirrors")


def test_job_history_that_nothing_prunes(database: CheckedDatabase) -> None:
    database.sql(
        "insert into cron.job_run_details (runid, username, end_time) values (-1, 'postgres', now() - interval '31 days')",
        user="supabase_admin",
    )
    (remedy,) = database.apply_remedies("job history")
    command = database.sql("select command from cron.job where jobname = 'prune job_run_details'")
    database.sql(command)
    assert database.sql("select count(*) from cron.job_run_details where runid = -1") == "0"
    assert "cron.schedule" in remedy


def test_clock_difference_is_unknown_before_the_first_run(database: CheckedDatabase) -> None:
    database.sql("delete from ipai.run_log")
    assert database.problems() == [("clock", "sample_metrics", "unknown")]


# Roles that call the doctor -----------------------------------------------------------------------


def test_role_with_few_privileges_gets_partial_results(database: CheckedDatabase) -> None:
    with role(database, "looker") as looker:
        rows = {row["check"]: row for row in looker.rows()}
        assert set(rows) == {"exposed schema", "address", "privileges"}
        assert rows["privileges"]["state"] == "unknown"
        database.sql(rows["privileges"]["remedy"], user="supabase_admin")
        assert {(row["check"], row["object"]) for row in looker.rows()} == CHECKS - {("job history", "cron.job_run_details")}
        # The role cannot see pg_cron's jobs and some settings, and has no user mapping.
        assert looker.problems() == [
            ("password", "odoo", "problem"),
            ("pg_cron", None, "problem"),
            ("output plugin", "wal2json", "unknown"),
        ]
        assert looker.apply_remedies("pg_cron", user="supabase_admin") == ["grant usage on schema cron to looker;"]
        assert looker.apply_remedies("output plugin", user="supabase_admin") == ["grant pg_read_all_settings to looker;"]
        assert looker.problems() == [("password", "odoo", "problem")]


def test_remedy_names_the_missing_privilege(database: CheckedDatabase) -> None:
    """The remedy names each missing privilege."""
    with role(database, "looker") as looker:
        everything = looker.row("privileges")["remedy"]
        database.sql(everything, user="supabase_admin")
        grants = [grant for grant in everything.split(";") if grant.strip()]
        assert len(grants) == 16
        for grant in grants:
            database.sql(grant.replace("grant", "revoke", 1).replace(" to looker", " from looker"), user="supabase_admin")
            assert looker.row("privileges")["remedy"] == grant.strip() + ";"
            database.sql(grant, user="supabase_admin")


def test_user_mapping_of_public_is_hidden(database: CheckedDatabase) -> None:
    """Only the server's owner sees the user mapping of PUBLIC."""
    database.sql("create user mapping for public server odoo options (user 'admin', password_secret 'odoo_password')")
    with role(database, "looker", "grant usage on foreign server odoo to looker") as looker:
        database.sql(looker.row("privileges")["remedy"], user="supabase_admin")
        row = looker.row("password")
        assert (row["state"], row["remedy"]) == ("unknown", None)


def test_api_roles_need_execute_to_call_the_doctor(database: CheckedDatabase) -> None:
    """The API roles may not call the doctor by default. With EXECUTE they get an answer."""
    for name in ("anon", "authenticated", "service_role"):
        with psycopg.connect(database.cluster.dsn(user="authenticator"), autocommit=True) as connection:
            execute(connection, f"set role {name}")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                execute(connection, "select * from ipai.doctor(include_ok => true)")
            database.sql(f"grant execute on function ipai.doctor(boolean) to {name}")
            try:
                # anon has no USAGE on the schema.
                if name != "anon":
                    assert execute(connection, "select * from ipai.doctor(include_ok => true)")
            finally:
                database.sql(f"revoke execute on function ipai.doctor(boolean) from {name}")


def test_doctor_runs_in_a_read_only_transaction(database: CheckedDatabase) -> None:
    assert database.sql("begin read only; select count(*) from ipai.doctor(); rollback") == str(len(CHECKS))


# Without pg_cron and Vault ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vault_installation(extension_pg: Installation) -> Installation:
    """Provides `supabase_vault` as an extension, created from the tests' Vault."""
    own = extension_pg.relocated("doctor", under=paths.run_dir())
    extension.copy(extension_pg, own)
    fixture = postgres.FIXTURE.read_text()
    vault = fixture[fixture.index("create schema vault;") : fixture.index("-- Realtime and Storage")]
    script = vault.replace("default extensions.gen_random_bytes(16)", "")
    (own.extension_dir / "supabase_vault.control").write_text("default_version = '0.3'\nrelocatable = false\n")
    (own.extension_dir / "supabase_vault--0.3.sql").write_text(script)
    return own


@pytest.fixture(scope="module")
def cluster(vault_installation: Installation) -> Iterator[Cluster]:
    with postgres.supabase_cluster(vault_installation) as cluster:
        yield cluster


@pytest.fixture
def second_database(cluster: Cluster) -> Iterator[CheckedDatabase]:
    """A second database in the cluster, without pg_cron, Vault and publication."""
    cluster.psql("create database second template template0 owner postgres")
    try:
        database = CheckedDatabase(cluster, dbname="second")
        database.sql("create extension ipai_sync", user=cluster.superuser)
        database.sql("create server odoo foreign data wrapper ipai_odoo options (url 'https://erp.example.com', dbname 'odoo')")
        yield database
    finally:
        cluster.psql("drop database second with (force)")


def test_pg_cron_is_in_another_database(second_database: CheckedDatabase) -> None:
    """pg_cron can only be in the database that `cron.database_name` names."""
    row = second_database.row("pg_cron")
    assert (row["state"], row["remedy"]) == ("problem", "create extension pg_cron;")
    with pytest.raises(RuntimeError, match="can only create extension in database postgres"):
        second_database.sql(row["remedy"], user="supabase_admin")


def test_pg_cron_is_missing_in_its_database(cluster: Cluster) -> None:
    database = CheckedDatabase(cluster)
    database.sql("create extension ipai_sync; drop extension pg_cron", user="supabase_admin")
    try:
        assert database.apply_remedies("pg_cron", user="supabase_admin") == ["create extension pg_cron;"]
    finally:
        database.sql("drop extension ipai_sync", user="supabase_admin")


def test_vault_is_not_installed(second_database: CheckedDatabase) -> None:
    second_database.sql("create user mapping for postgres server odoo options (user 'admin', password_secret 'odoo_password')")
    row = second_database.row("password")
    assert (row["state"], row["remedy"]) == ("problem", "create extension supabase_vault;")
    second_database.sql(row["remedy"], user="supabase_admin")
    assert second_database.apply_remedies("password") == ["select ipai.set_odoo_password('odoo', '...');"]


def test_plain_password_of_public_without_vault(second_database: CheckedDatabase) -> None:
    second_database.sql("create user mapping for public server odoo options (user 'admin', password 'hush-4711')")
    remedy = second_database.row("password")["remedy"]
    assert remedy == (
        "drop user mapping for public server odoo; create user mapping for current_user server odoo options (user '...', password '...');"
    )
    second_database.sql(remedy)
    # supabase_read_only_user can read that password.
    remedy = second_database.row("password")["remedy"]
    assert remedy == "create extension supabase_vault;"
    second_database.sql(remedy, user="supabase_admin")
    (remedy,) = second_database.apply_remedies("password")
    assert "drop password, add password_secret 'odoo_odoo'" in remedy


def test_planted_schema_named_vault_is_not_read(second_database: CheckedDatabase) -> None:
    """Its owner's functions would run with the rights of the caller."""
    second_database.sql("create user mapping for postgres server odoo options (user 'admin', password_secret 'odoo_password')")
    second_database.sql(
        "create role mallory; grant mallory to postgres; create schema vault authorization mallory; set role mallory;"
        "create function vault.boom() returns text language plpgsql as $$ begin raise 'called'; end $$;"
        "create view vault.decrypted_secrets as select vault.boom() as name, 'x' as decrypted_secret;"
        "grant usage on schema vault to public; grant select on vault.decrypted_secrets to public",
        user="supabase_admin",
    )
    try:
        assert "not installed" in second_database.row("password")["finding"]
    finally:
        second_database.sql("drop owned by mallory cascade; drop role mallory", user="supabase_admin")


def test_doctor_works_without_supabase(vault_installation: Installation) -> None:
    """A Postgres without Supabase's roles, publication and schemas.

    The doctor raises no error and omits the checks that do not apply.
    """
    with Cluster(vault_installation) as cluster, ScriptedOdoo([metric(1)]) as odoo:
        database = CheckedDatabase(cluster)
        database.sql(
            f"create extension ipai_sync; create server odoo foreign data wrapper ipai_odoo options (url '{odoo.url}', dbname 'odoo');"
            "create user mapping for current_user server odoo options (user 'admin', password 'admin');"
            f"{create_statement('sales', 'public.sales')}; call ipai.run_sync('sales')"
        )
        odoo.requests.clear()
        assert {(row["check"], row["object"]): row["state"] for row in database.rows()} == {
            ("pg_cron", None): "problem",
            ("exposed schema", "ipai"): "unknown",
            ("address", "odoo"): "ok",
            ("password", "odoo"): "ok",
            ("row-level security", "public.sales"): "ok",
            ("trust", "sales"): "ok",
            ("bulk export", "sales"): "ok",
            ("schedule", "sales"): "problem",
            ("clock", "sales"): "ok",
        }
        assert odoo.requests == []
