"""`ipai.doctor()`: each thing that is often wrong is brought about, found, and mended by the statement that it names, as it stands."""

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

#: Where Postgres restricts output plugins; older minor versions do not.
PLUGINS = r"""
    select format('alter database postgres set %s = pgoutput, test_decoding, wal2json', name)
    from pg_settings where name = 'output_plugin_libraries' \gexec
"""

#: The checks of a database with a server and a mirror, and what each is about.
CHECKS = {
    ("pg_cron", None),
    ("exposed schema", "ipai"),
    ("address", "odoo"),
    ("password", "odoo"),
    ("row-level security", TABLE),
    ("policies", TABLE),
    ("publication", TABLE),
    ("output plugin", "wal2json"),
    ("schedule", "sample_metrics"),
    ("clock", "sample_metrics"),
}

Row = dict[str, Any]


class Patient:
    """A database that the doctor looks at as one role; remedies are carried out as they stand."""

    def __init__(self, cluster: Cluster, *, dbname: str = "postgres", user: str = "postgres") -> None:
        self.cluster = cluster
        self.dbname = dbname
        self.user = user

    def sql(self, statements: str, *, user: str | None = None) -> str:
        return self.cluster.psql(statements, dbname=self.dbname, user=user or "postgres")

    def rows(self) -> list[Row]:
        """All that the doctor finds."""
        with psycopg.connect(self.cluster.dsn(self.dbname, self.user), autocommit=True, row_factory=psycopg.rows.dict_row) as connection:
            rows = execute(connection, "select * from ipai.doctor()")
        keys = [(row["check"], row["object"]) for row in rows]
        assert len(keys) == len(set(keys)), keys
        assert all(row["state"] in ("ok", "problem", "unknown") and row["finding"] for row in rows)
        assert not any(row["remedy"] for row in rows if row["state"] == "ok")
        return rows

    def row(self, check: str, object: str | None = None) -> Row:
        """The one row of a check, or that about one object."""
        (row,) = [row for row in self.rows() if row["check"] == check and (object is None or row["object"] == object)]
        return row

    def ill(self) -> list[tuple[str, str | None, str]]:
        return [(row["check"], row["object"], row["state"]) for row in self.rows() if row["state"] != "ok"]

    def mend(self, check: str, object: str | None = None, *, user: str | None = None) -> list[str]:
        """Does what the doctor says until the check is ok; returns the statements."""
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
def patient(supabase: Supabase, odoo: ScriptedOdoo) -> Iterator[Patient]:
    """In good health, with everything that a page tells users to do."""
    supabase.run()
    # Once a year: pg_cron must not start a run during a test.
    supabase.rows("select ipai.schedule_sync('sample_metrics', '0 0 1 1 *')")
    supabase.cluster.psql("alter role authenticator set pgrst.db_schemas = 'public, graphql_public, ipai'")
    supabase.cluster.psql(PLUGINS)
    odoo.requests.clear()
    yield Patient(supabase.cluster)
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
    # Policies and the publication, as they were.
    postgres.migrate(supabase.cluster)


@contextmanager
def role(patient: Patient, name: str, granted: str = "") -> Iterator[Patient]:
    """The same database, seen by a role of its own."""
    admin = patient.cluster.superuser
    patient.sql(
        f"create role {name} login; grant usage on schema ipai to {name}; grant execute on function ipai.doctor() to {name}; {granted}",
        user=admin,
    )
    try:
        yield Patient(patient.cluster, user=name)
    finally:
        patient.sql(f"drop owned by {name} cascade; drop role {name}", user=admin)


# All is well --------------------------------------------------------------------------------------------------------------------------


def test_in_good_health(patient: Patient) -> None:
    rows = patient.rows()
    assert {(row["check"], row["object"]) for row in rows} == CHECKS
    assert patient.ill() == []


def test_before_there_is_anything(supabase: Supabase) -> None:
    """Freshly installed: no server, no mirror."""
    supabase.cluster.psql(PLUGINS)
    try:
        found = {row["check"]: row["state"] for row in Patient(supabase.cluster).rows()}
        assert found == {"pg_cron": "ok", "exposed schema": "unknown", "output plugin": "ok"}
    finally:
        supabase.cluster.psql("alter database postgres reset all")


# The database -------------------------------------------------------------------------------------------------------------------------


def test_the_exposed_schema_is_not_known(patient: Patient) -> None:
    patient.sql("alter role authenticator reset pgrst.db_schemas", user="supabase_admin")
    assert patient.ill() == [("exposed schema", "ipai", "unknown")]
    # A list in the database would hide what is in the one that it takes the place of.
    remedy = patient.row("exposed schema")["remedy"]
    assert "API settings" in remedy and "alter role" not in remedy


@pytest.mark.parametrize("schemas", ["public", "public, storage, graphql_public", "public,ipai_other"])
def test_the_schema_is_not_exposed(patient: Patient, schemas: str) -> None:
    patient.sql(f"alter role authenticator set pgrst.db_schemas = '{schemas}'", user="supabase_admin")
    assert patient.ill() == [("exposed schema", "ipai", "problem")]
    assert patient.mend("exposed schema", user="supabase_admin") == [
        f"alter role authenticator set pgrst.db_schemas = '{schemas}, ipai'; notify pgrst, 'reload config';"
    ]
    assert patient.ill() == []


def test_the_setting_of_the_database_goes_before_that_of_the_role(patient: Patient) -> None:
    """As PostgREST sees it."""
    patient.sql("alter role authenticator in database postgres set pgrst.db_schemas = 'public'", user="supabase_admin")
    assert patient.ill() == [("exposed schema", "ipai", "problem")]
    (remedy,) = patient.mend("exposed schema", user="supabase_admin")
    assert "in database postgres" in remedy and patient.ill() == []
    patient.sql("alter role authenticator set pgrst.db_schemas = 'public'", user="supabase_admin")
    assert patient.ill() == []


# Servers ------------------------------------------------------------------------------------------------------------------------------


def test_plain_http_to_another_machine(patient: Patient, odoo: ScriptedOdoo) -> None:
    patient.sql("alter server odoo options (set url 'http://odoo.internal:8069', add allow_insecure 'true')")
    assert patient.ill() == [("address", "odoo", "problem")]
    assert patient.mend("address") == ["alter server odoo options (set url 'https://odoo.internal:8069', drop allow_insecure);"]
    assert patient.ill() == []


def test_plain_http_through_a_proxy(patient: Patient) -> None:
    """To which even localhost is somewhere else."""
    patient.sql("alter server odoo options (set url 'HTTP://localhost:8069', add proxy 'http://10.0.0.1:3128', add allow_insecure 'true')")
    assert patient.ill() == [("address", "odoo", "problem")]
    patient.mend("address")
    assert patient.ill() == []


@pytest.mark.parametrize(
    ("url", "state"),
    [
        ("https://erp.example.com", "ok"),
        ("HTTPS://erp.example.com", "ok"),
        ("http://localhost", "ok"),
        ("http://localhost:8069/", "ok"),
        ("http://odoo.localhost:8069", "ok"),
        ("http://127.0.0.9", "ok"),
        ("http://[::1]:8069", "ok"),
        ("http://localhost.example.com", "problem"),
        ("http://127.0.0.1.example.com", "problem"),
        ("http://notlocalhost", "problem"),
        ("http://10.0.0.7:8069", "problem"),
        ("http://[fd00::1]:8069", "problem"),
    ],
)
def test_which_addresses_are_safe(patient: Patient, url: str, state: str) -> None:
    """Those that the wrapper takes without `allow_insecure`, and no others."""
    change = f"alter server odoo options (set url '{url}'"
    with psycopg.connect(patient.cluster.dsn(user="postgres"), autocommit=True) as connection:
        try:
            connection.execute(change + ")")
            assert state == "ok"
        except psycopg.Error:
            assert state == "problem"
            connection.execute(change + ", add allow_insecure 'true')")
    assert patient.row("address")["state"] == state
    patient.mend("address")


def test_no_user_mapping(patient: Patient) -> None:
    patient.sql("drop user mapping for postgres server odoo")
    assert patient.ill() == [("password", "odoo", "problem")]
    assert patient.mend("password") == [
        "create user mapping for current_user server odoo options (user '...', password_secret 'odoo_odoo');",
        "select ipai.set_odoo_password('odoo', '...');",
    ]
    assert patient.ill() == []


def test_a_secret_that_is_not_in_vault(patient: Patient) -> None:
    patient.sql("delete from vault.secrets where name = 'odoo_password'")
    assert patient.ill() == [("password", "odoo", "problem")]
    assert '"odoo_password"' in patient.row("password")["finding"]
    assert patient.mend("password") == ["select ipai.set_odoo_password('odoo', '...');"]
    assert patient.sql("select count(*) from vault.secrets where name = 'odoo_password'") == "1"


def test_a_plain_password_of_one_s_own(patient: Patient) -> None:
    patient.sql("alter user mapping for postgres server odoo options (drop password_secret, add password 'hush-4711')")
    row = patient.row("password")
    assert row["state"] == "ok" and "dumps show it" in row["finding"]
    assert "hush-4711" not in str(patient.rows())


def test_a_plain_password_for_everybody(patient: Patient) -> None:
    patient.sql(
        "drop user mapping for postgres server odoo; create user mapping for public server odoo options (user 'admin', password 'hush-4711')"
    )
    assert patient.ill() == [("password", "odoo", "problem")]
    assert "hush-4711" not in str(patient.rows())
    assert patient.mend("password") == [
        "alter user mapping for public server odoo options (drop password, add password_secret 'odoo_odoo'); select ipai.set_odoo_password('odoo', '...');"
    ]
    assert patient.ill() == []


def test_a_plain_password_for_everybody_beside_one_s_own_mapping(patient: Patient) -> None:
    """Which hides it from one's own runs, and from nobody else."""
    patient.sql("create user mapping for public server odoo options (user 'admin', password 'hush-4711')")
    assert patient.ill() == [("password", "odoo", "problem")]
    assert patient.mend("password") == ["drop user mapping for public server odoo;"]
    assert patient.ill() == []


def test_vault_that_may_not_be_read(patient: Patient) -> None:
    """By another role than postgres, which may read everything."""
    mapping = "create user mapping for looker server odoo options (user 'admin', password_secret 'odoo_password')"
    with role(patient, "looker", f"grant usage on foreign server odoo to looker; {mapping}") as looker:
        patient.sql(looker.row("privileges")["remedy"], user="supabase_admin")
        assert looker.row("password")["state"] == "problem"
        assert looker.mend("password", user="supabase_admin") == [
            "grant usage on schema vault to looker; grant select on vault.decrypted_secrets to looker;"
        ]


# Mirrors ------------------------------------------------------------------------------------------------------------------------------


def test_row_level_security_is_off(patient: Patient) -> None:
    patient.sql(f"alter table {TABLE} disable row level security")
    assert patient.ill() == [("row-level security", TABLE, "problem")]
    assert patient.mend("row-level security") == [f"alter table {TABLE} enable row level security;"]
    assert patient.ill() == []


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


def test_the_reference_table_has_no_policy(patient: Patient) -> None:
    """Whoever mends it does not show tenants each other's rows."""
    before = patient.sql(ROWS)
    patient.sql(f"drop policy ipai_sample_metrics_tenant on {TABLE}")
    assert patient.ill() == [("policies", TABLE, "problem")]
    (remedy,) = patient.mend("policies")
    assert remedy.startswith("select ipai.protect_mirror(")
    assert patient.ill() == [] and patient.sql(ROWS) == before != ""


def test_only_policies_that_show_users_something_count(patient: Patient) -> None:
    patient.sql(f"drop policy ipai_sample_metrics_tenant on {TABLE}")
    for policy in (
        *("as restrictive for select to authenticated using (true)", "for select to service_role using (true)"),
        *("for insert to authenticated with check (true)", "for update to authenticated using (true)"),
    ):
        patient.sql(f"create policy p on {TABLE} {policy}")
        assert (policy, patient.ill()) == (policy, [("policies", TABLE, "problem")])
        patient.sql(f"drop policy p on {TABLE}")
    patient.sql("create role staff; grant staff to authenticated", user="supabase_admin")
    try:
        for policy in (
            "for select to authenticated",
            "to authenticated",
            "for select to public",
            "for select to anon, authenticated",
            "to staff",
        ):
            patient.sql(f"create policy p on {TABLE} {policy} using (true)", user="supabase_admin")
            assert (policy, patient.ill()) == (policy, [])
            patient.sql(f"drop policy p on {TABLE}")
    finally:
        patient.sql("drop role staff", user="supabase_admin")


@pytest.fixture
def another(supabase: Supabase, patient: Patient, odoo: ScriptedOdoo) -> Patient:
    """With a mirror `sales` of its own beside, which nobody may read yet."""
    supabase.rows(create_statement("sales", "ipai.sales", fields="name,code,active,write_date"))
    supabase.sync("sales")
    odoo.requests.clear()
    return patient


def test_a_mirror_that_was_just_made(another: Patient) -> None:
    """It has no schedule. That users of the API may not read it is no mistake."""
    assert another.ill() == [("schedule", "sales", "problem")]
    assert another.mend("schedule", "sales") == ["select ipai.schedule_sync('sales', '*/15 * * * *');"]
    assert another.ill() == []


@pytest.mark.parametrize("granted", ["select", "select (odoo_id, name)"])
def test_a_mirror_that_users_may_read_but_see_nothing_of(another: Patient, granted: str) -> None:
    another.mend("schedule", "sales")
    another.sql(f"grant {granted} on ipai.sales to authenticated")
    assert another.ill() == [("policies", "ipai.sales", "problem"), ("publication", "ipai.sales", "problem")]
    assert another.mend("policies", "ipai.sales") == ["create policy everybody on ipai.sales for select to authenticated using (true);"]
    assert another.mend("publication", "ipai.sales") == ["alter publication supabase_realtime add table ipai.sales;"]
    assert another.ill() == []


def test_a_mirror_of_a_tenant_without_a_policy(supabase: Supabase, patient: Patient, odoo: ScriptedOdoo) -> None:
    for tenant in ("acme", "globex"):
        more = f""", constants => '{{"tenant": "{tenant}"}}', enabled => false"""
        supabase.rows(create_statement(tenant, "ipai.shared", fields="name,code,active,write_date", more=more))
    odoo.requests.clear()
    patient.sql("grant select on ipai.shared to authenticated; alter publication supabase_realtime add table ipai.shared")
    clocks = [("clock", tenant, "unknown") for tenant in ("acme", "globex")]
    assert patient.ill() == [("policies", "ipai.shared", "problem"), *clocks]
    assert patient.mend("policies", "ipai.shared") == ["""select ipai.protect_mirror('acme', '{"tenant": "ipai_tenant"}');"""]
    assert patient.ill() == clocks
    # Each sees its own.
    patient.sql(
        "insert into ipai.shared (tenant, odoo_id, name, code, active) values ('acme', 1, 'm', 'M', true), ('globex', 1, 'm', 'M', true)"
    )
    claims = json.dumps({"app_metadata": {"ipai_tenant": ["globex"]}})
    shown = f"begin; set local role authenticated; set local request.jwt.claims = '{claims}'; select tenant from ipai.shared; rollback"
    assert patient.sql(shown) == "globex"


def test_realtime_does_not_send_the_table(patient: Patient) -> None:
    patient.sql(f"alter publication supabase_realtime drop table {TABLE}")
    assert patient.ill() == [("publication", TABLE, "problem")]
    assert patient.mend("publication") == [f"alter publication supabase_realtime add table {TABLE};"]
    assert patient.ill() == []


def test_realtime_may_not_use_its_output_plugin(patient: Patient) -> None:
    name = "select count(*) from pg_settings where name = 'output_plugin_libraries'"
    if patient.sql(name) == "0":
        assert "restricts no output plugins" in patient.row("output plugin")["finding"]
        return
    slot = "select pg_create_logical_replication_slot('doctor', 'wal2json', true)"
    for plugins, kept in (
        ("pgoutput, test_decoding", "pgoutput, test_decoding, "),
        ("pgoutput", "pgoutput, "),
        ("''", ""),
        ('wal2json_other, "Odd"', 'wal2json_other, "Odd", '),
    ):
        patient.sql(f"alter database postgres set output_plugin_libraries = {plugins}", user="supabase_admin")
        assert (plugins, patient.ill()) == (plugins, [("output plugin", "wal2json", "problem")])
        with pytest.raises(shell.CommandFailed):
            patient.sql(slot)
        assert patient.mend("output plugin", user="supabase_admin") == [
            f"alter database postgres set output_plugin_libraries = {kept}wal2json;"
        ]
        patient.sql(slot)
    assert patient.ill() == []


def test_a_mirror_without_a_schedule(patient: Patient) -> None:
    patient.sql("select ipai.unschedule_sync('sample_metrics')")
    assert patient.ill() == [("schedule", "sample_metrics", "problem")]
    assert patient.mend("schedule") == ["select ipai.schedule_sync('sample_metrics', '*/15 * * * *');"]
    assert patient.sql("select count(*) from cron.job") == "1"
    # Another scheduler will do.
    patient.sql("select ipai.unschedule_sync('sample_metrics'); select ipai.expect_sync('sample_metrics', '@hourly')")
    assert patient.ill() == []
    patient.sql("select ipai.expect_sync('sample_metrics', null); select ipai.alter_mirror('sample_metrics', enabled => false)")
    assert patient.ill() == []


def test_a_schedule_without_a_job(patient: Patient) -> None:
    """As a restore leaves it."""
    patient.sql("select cron.unschedule(jobid) from cron.job")
    assert patient.ill() == [("schedule", "sample_metrics", "problem")]
    assert patient.mend("schedule") == ["select * from ipai.restore_schedules();"]
    assert patient.sql("select count(*) from cron.job") == "1"
    # Another role's jobs cannot be seen.
    patient.sql("select cron.unschedule(jobid) from cron.job; update ipai.mirrors set scheduled_by = 'service_role'")
    assert patient.ill() == []


@pytest.mark.parametrize(
    ("shift", "state", "told"),
    [
        ("1 minute", "ok", "agree"),
        ("-1 minute", "ok", "agree"),
        ("3 minutes", "problem", "00:03:00 ahead of"),
        ("-26 hours", "problem", "1 day 02:00:00 behind"),
    ],
)
def test_clocks_that_differ(supabase: Supabase, patient: Patient, odoo: ScriptedOdoo, shift: str, state: str, told: str) -> None:
    patient.sql(f"update ipai.run_log set odoo_clock = started_at + interval '{shift}'")
    row = patient.row("clock")
    assert row["state"] == state and told in row["finding"]
    # No statement sets a clock. The next run sees whether somebody has.
    assert (row["remedy"] is None) == (state == "ok")
    supabase.run()
    odoo.requests.clear()
    assert patient.ill() == []


def test_a_clock_that_no_run_has_seen(patient: Patient) -> None:
    patient.sql("delete from ipai.run_log")
    assert patient.ill() == [("clock", "sample_metrics", "unknown")]


# Who asks -----------------------------------------------------------------------------------------------------------------------------


def test_a_role_with_little_rights(patient: Patient) -> None:
    with role(patient, "looker") as looker:
        rows = {row["check"]: row for row in looker.rows()}
        assert set(rows) == {"exposed schema", "address", "privileges"}
        assert rows["privileges"]["state"] == "unknown"
        patient.sql(rows["privileges"]["remedy"], user="supabase_admin")
        assert {(row["check"], row["object"]) for row in looker.rows()} == CHECKS
        # pg_cron's jobs and some settings are not for it, and no user mapping is its own.
        assert looker.ill() == [("password", "odoo", "problem"), ("pg_cron", None, "problem"), ("output plugin", "wal2json", "unknown")]
        assert looker.mend("pg_cron", user="supabase_admin") == ["grant usage on schema cron to looker;"]
        assert looker.mend("output plugin", user="supabase_admin") == ["grant pg_read_all_settings to looker;"]
        assert looker.ill() == [("password", "odoo", "problem")]


def test_a_role_that_lacks_one_thing(patient: Patient) -> None:
    """Whichever it is."""
    with role(patient, "looker") as looker:
        everything = looker.row("privileges")["remedy"]
        patient.sql(everything, user="supabase_admin")
        grants = [grant for grant in everything.split(";") if grant.strip()]
        assert len(grants) == 6
        for grant in grants:
            patient.sql(grant.replace("grant", "revoke", 1).replace(" to looker", " from looker"), user="supabase_admin")
            assert looker.row("privileges")["remedy"] == grant.strip() + ";"
            patient.sql(grant, user="supabase_admin")


def test_a_mapping_that_may_not_be_seen(patient: Patient) -> None:
    """That of PUBLIC, by whoever does not own the server."""
    patient.sql("create user mapping for public server odoo options (user 'admin', password_secret 'odoo_password')")
    with role(patient, "looker", "grant usage on foreign server odoo to looker") as looker:
        patient.sql(looker.row("privileges")["remedy"], user="supabase_admin")
        row = looker.row("password")
        assert (row["state"], row["remedy"]) == ("unknown", None)


def test_api_roles(patient: Patient) -> None:
    """Nobody of the API may ask; whoever is granted it gets an answer."""
    for name in ("anon", "authenticated", "service_role"):
        with psycopg.connect(patient.cluster.dsn(user="authenticator"), autocommit=True) as connection:
            execute(connection, f"set role {name}")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                execute(connection, "select * from ipai.doctor()")
            patient.sql(f"grant execute on function ipai.doctor() to {name}")
            try:
                # Which may not even use the schema.
                if name != "anon":
                    assert execute(connection, "select * from ipai.doctor()")
            finally:
                patient.sql(f"revoke execute on function ipai.doctor() from {name}")


def test_a_read_only_transaction(patient: Patient) -> None:
    assert patient.sql("begin read only; select count(*) from ipai.doctor(); rollback") == str(len(CHECKS))


# Without pg_cron, without Vault -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def installation(extension_pg: Installation) -> Installation:
    """With an extension `supabase_vault`: the fixture's, as a script."""
    own = extension_pg.relocated("doctor", under=paths.run_dir())
    extension.copy(extension_pg, own)
    fixture = postgres.FIXTURE.read_text()
    vault = fixture[fixture.index("create schema vault;") : fixture.index("-- Realtime and Storage")]
    script = vault.replace("default extensions.gen_random_bytes(16)", "")
    (own.extension_dir / "supabase_vault.control").write_text("default_version = '0.3'\nrelocatable = false\n")
    (own.extension_dir / "supabase_vault--0.3.sql").write_text(script)
    return own


@pytest.fixture(scope="module")
def cluster(installation: Installation) -> Iterator[Cluster]:
    with postgres.supabase_cluster(installation) as cluster:
        yield cluster


@pytest.fixture
def elsewhere(cluster: Cluster) -> Iterator[Patient]:
    """A second database of the cluster: without pg_cron, Vault and publication."""
    cluster.psql("create database second template template0 owner postgres")
    try:
        patient = Patient(cluster, dbname="second")
        patient.sql("create extension ipai_sync", user=cluster.superuser)
        patient.sql("create server odoo foreign data wrapper ipai_odoo options (url 'https://erp.example.com', dbname 'odoo')")
        yield patient
    finally:
        cluster.psql("drop database second with (force)")


def test_pg_cron_is_not_in_this_database(elsewhere: Patient) -> None:
    """It can be in one database only, that which `cron.database_name` names."""
    row = elsewhere.row("pg_cron")
    assert (row["state"], row["remedy"]) == ("problem", "create extension pg_cron;")
    with pytest.raises(RuntimeError, match="can only create extension in database postgres"):
        elsewhere.sql(row["remedy"], user="supabase_admin")


def test_pg_cron_is_missing_where_it_can_be(cluster: Cluster) -> None:
    patient = Patient(cluster)
    patient.sql("create extension ipai_sync; drop extension pg_cron", user="supabase_admin")
    try:
        assert patient.mend("pg_cron", user="supabase_admin") == ["create extension pg_cron;"]
    finally:
        patient.sql("drop extension ipai_sync", user="supabase_admin")


def test_vault_is_missing(elsewhere: Patient) -> None:
    elsewhere.sql("create user mapping for postgres server odoo options (user 'admin', password_secret 'odoo_password')")
    row = elsewhere.row("password")
    assert (row["state"], row["remedy"]) == ("problem", "create extension supabase_vault;")
    elsewhere.sql(row["remedy"], user="supabase_admin")
    assert elsewhere.mend("password") == ["select ipai.set_odoo_password('odoo', '...');"]


def test_a_plain_password_for_everybody_where_there_is_no_vault(elsewhere: Patient) -> None:
    elsewhere.sql("create user mapping for public server odoo options (user 'admin', password 'hush-4711')")
    assert elsewhere.mend("password") == [
        "drop user mapping for public server odoo; create user mapping for current_user server odoo options (user '...', password '...');"
    ]


def test_a_schema_that_only_has_vault_s_name(elsewhere: Patient) -> None:
    """Whoever made it would get to run what is looked at."""
    elsewhere.sql("create user mapping for postgres server odoo options (user 'admin', password_secret 'odoo_password')")
    elsewhere.sql(
        "create role mallory; grant mallory to postgres; create schema vault authorization mallory; set role mallory;"
        "create function vault.boom() returns text language plpgsql as $$ begin raise 'called'; end $$;"
        "create view vault.decrypted_secrets as select vault.boom() as name, 'x' as decrypted_secret;"
        "grant usage on schema vault to public; grant select on vault.decrypted_secrets to public",
        user="supabase_admin",
    )
    try:
        assert "not installed" in elsewhere.row("password")["finding"]
    finally:
        elsewhere.sql("drop owned by mallory cascade; drop role mallory", user="supabase_admin")


def test_without_supabase(installation: Installation) -> None:
    """A Postgres without its roles, publication and schemas: nothing raises, and what is not there is not asked for."""
    with Cluster(installation) as cluster, ScriptedOdoo([metric(1)]) as odoo:
        patient = Patient(cluster)
        patient.sql(
            f"create extension ipai_sync; create server odoo foreign data wrapper ipai_odoo options (url '{odoo.url}', dbname 'odoo');"
            "create user mapping for current_user server odoo options (user 'admin', password 'admin');"
            f"{create_statement('sales', 'public.sales')}; call ipai.run_sync('sales')"
        )
        odoo.requests.clear()
        assert {(row["check"], row["object"]): row["state"] for row in patient.rows()} == {
            ("pg_cron", None): "problem",
            ("exposed schema", "ipai"): "unknown",
            ("address", "odoo"): "ok",
            ("password", "odoo"): "ok",
            ("row-level security", "public.sales"): "ok",
            ("schedule", "sales"): "problem",
            ("clock", "sales"): "ok",
        }
        assert odoo.requests == []
