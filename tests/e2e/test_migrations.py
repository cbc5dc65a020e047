"""Tests the migrations as users apply them.

The Supabase CLI applies them as role postgres, before or after the extension. Elsewhere psql does.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import paths, postgres, supabase, tap
from harness.postgres import Cluster, Installation

MIGRATIONS = sorted((paths.PROJECT / "migrations").glob("*.sql"))
SEED = paths.PROJECT / "supabase/seed.sql"
API_ROLES = "create role anon; create role authenticated; create role service_role bypassrls"


@pytest.fixture(scope="module", params=["migrations first", "extension first"])
def cluster(request: pytest.FixtureRequest, extension_pg: Installation) -> Iterator[Cluster]:
    """A Supabase cluster with extension, migrations and seed."""
    with postgres.supabase_cluster(extension_pg) as cluster:
        if request.param == "migrations first":
            supabase.push(cluster)
        cluster.psql("create extension ipai_sync")
        if request.param == "extension first":
            supabase.push(cluster)
        yield cluster


@pytest.fixture
def plain(extension_pg: Installation) -> Iterator[Cluster]:
    """A Postgres without Supabase's roles."""
    with Cluster(extension_pg) as cluster:
        yield cluster


def migrate(cluster: Cluster) -> None:
    for migration in MIGRATIONS:
        cluster.psql_file(migration, one_transaction=True)


def test_cli_can_parse_every_migration_name() -> None:
    assert MIGRATIONS
    for migration in MIGRATIONS:
        version, _, name = migration.stem.partition("_")
        assert version.isdigit() and name, migration
    assert (paths.PROJECT / "supabase/migrations").readlink() == Path("../migrations")


def test_cli_records_every_migration(cluster: Cluster) -> None:
    recorded = cluster.psql("select version || '_' || name from supabase_migrations.schema_migrations order by version")
    assert recorded.splitlines() == [migration.stem for migration in MIGRATIONS]


def test_second_push_changes_nothing(cluster: Cluster) -> None:
    before = cluster.psql("select count(*), max(updated_at) from ipai.ipai_sample_metrics")
    assert "up to date" in supabase.push(cluster)
    assert cluster.psql("select count(*), max(updated_at) from ipai.ipai_sample_metrics") == before


def test_seed_is_repeatable(cluster: Cluster) -> None:
    for _ in range(2):
        cluster.psql_file(SEED, user="postgres")
    assert cluster.psql("select count(*), count(odoo_id), count(*) filter (where is_alert) from ipai.ipai_sample_metrics") == "3|0|1"


def test_postgres_owns_the_objects_of_the_migrations(cluster: Cluster) -> None:
    functions = ("set_updated_at()", "app_claim(text)", "claims_all(text)", "claimed_id_ranges(text)", "claimed_texts(text)")
    made = ", ".join(["'ipai.ipai_sample_metrics'::regclass::oid", *(f"'ipai.{name}'::regprocedure::oid" for name in functions)])
    assert cluster.psql("select relowner::regrole from pg_class where oid = 'ipai.ipai_sample_metrics'::regclass") == "postgres"
    assert cluster.psql(f"select count(*) from pg_depend where deptype = 'e' and objid in ({made})") == "0"


def test_pgtap_tests_pass(cluster: Cluster) -> None:
    totals = tap.run_in(cluster)
    assert totals.failed == 0 and totals.passed > 0, totals.output


def test_mirror_is_kept_after_the_extension_is_dropped(cluster: Cluster) -> None:
    # The transaction is rolled back, because the other tests need the extension.
    left = cluster.psql(
        """
        set client_min_messages = warning;
        begin;
        drop extension ipai_sync cascade;
        select count(*) from ipai.ipai_sample_metrics;
        select count(*) from pg_policy where polrelid = 'ipai.ipai_sample_metrics'::regclass;
        select count(*) from pg_trigger where tgrelid = 'ipai.ipai_sample_metrics'::regclass;
        set local role authenticated;
        select count(*) from ipai.ipai_sample_metrics;
        rollback;
        """
    )
    assert left.splitlines() == ["3", "1", "1", "3"]


def test_default_grants_of_older_projects_grant_nothing(extension_pg: Installation) -> None:
    with postgres.supabase_cluster(extension_pg, auto_expose=True) as cluster:
        supabase.push(cluster)
        totals = tap.run_in(cluster)
        assert totals.failed == 0 and totals.passed > 0, totals.output


def test_only_the_owner_reads_the_mirror_in_plain_postgres(plain: Cluster) -> None:
    plain.psql("create extension ipai_sync")
    migrate(plain)
    plain.psql_file(SEED)
    plain.psql("create role someone; grant usage on schema ipai to someone; grant select on ipai.ipai_sample_metrics to someone")
    assert plain.psql("select count(*) from ipai.ipai_sample_metrics") == "3"
    # Without a policy even a granted role sees no rows.
    assert plain.psql("set role someone; select count(*) from ipai.ipai_sample_metrics") == "0"
    plain.psql("update ipai.ipai_sample_metrics set notes = 'changed' where code = 'FOOTFALL'")
    assert plain.psql("select count(*) from ipai.ipai_sample_metrics where updated_at > inserted_at") == "1"


def test_api_roles_can_be_created_after_the_migrations(plain: Cluster) -> None:
    migrate(plain)
    plain.psql("create extension ipai_sync")
    plain.psql_file(SEED)
    plain.psql("insert into ipai.ipai_sample_metrics (odoo_id, name, code, unit, brand_id) values (1, 'a', 'A', 'count', 7)")
    plain.psql(API_ROLES)
    migrate(plain)
    count = "select count(*) from ipai.ipai_sample_metrics"
    claims = """set request.jwt.claims = '{"app_metadata": {"ipai_brand_ids": [7]}}'"""
    assert plain.psql(f"set role authenticated; {count}") == "3"
    assert plain.psql(f"{claims}; set role authenticated; {count}") == "4"
    assert plain.psql(f"set role service_role; {count}") == "4"
