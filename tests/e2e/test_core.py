"""Tests sql/core in a database without the extension, where the caller owns every object."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness import extension, paths, postgres, versions
from harness.postgres import Cluster

TABLES = sorted((extension.SQL / "core/tables").glob("*.sql"))
OBJECTS = sorted((extension.SQL / "core/objects").glob("*.sql"))
ROWS = sorted((extension.SQL / "core/rows").glob("*.sql"))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A Supabase cluster whose Postgres lacks the extension's files."""
    installation = versions.target().relocated("core", under=paths.run_dir())
    with postgres.supabase_cluster(installation) as cluster:
        cluster.psql("create schema ipai", user="postgres")
        for path in [*TABLES, *OBJECTS, *ROWS, *OBJECTS]:
            cluster.psql_file(path, user="postgres", one_transaction=True)
        yield cluster


def ask(cluster: Cluster, statement: str) -> str:
    return cluster.psql(statement, user="postgres")


def test_core_has_no_function_of_the_library(cluster: Cluster) -> None:
    languages = (
        "select distinct lanname from pg_proc p join pg_language l on l.oid = prolang where pronamespace = 'ipai'::regnamespace order by 1"
    )
    assert ask(cluster, languages).splitlines() == ["plpgsql", "sql"]
    assert ask(cluster, "select count(*) from pg_extension where extname = 'ipai_sync'") == "0"


def test_views_report_the_runs_of_the_log(cluster: Cluster) -> None:
    ask(
        cluster,
        """insert into ipai.mirrors (name, server, model, target_schema, target_table, fields, max_age)
           values ('m', 's', 'res.partner', 'ipai', 'partners', '[{"field": "name", "column": "name", "type": "text"}]', '1 hour');
           insert into ipai.mirror_state (mirror) values ('m');
           insert into ipai.run_log (mirror, mode, state, started_at, finished_at, complete, odoo_count, mirror_count)
           values ('m', 'full', 'succeeded', now() - interval '2 hours', now() - interval '2 hours', true, 3, 2)""",
    )
    assert ask(cluster, "select state, late, rows, delta from ipai.sync_status") == "late|t|2|1"
    assert ask(cluster, "select kind from ipai.sync_alerts").splitlines() == ["late", "delta"]
    assert ask(cluster, "select odoo_total, mirror_total, verdict from ipai.sync_count_delta") == "3|2|drift"
    assert ask(cluster, "select mode, state from ipai.sync_runs") == "full|succeeded"
    assert ask(cluster, "select ipai.notify_alerts()") == "2"


def test_table_of_a_mirror_can_be_protected(cluster: Cluster) -> None:
    ask(
        cluster,
        """insert into ipai.mirrors (name, server, model, target_schema, target_table, fields, page_size, max_delete_ratio)
           values ('brands', 's', 'x', 'ipai', 'brands', '[]', 100, 0.2);
           create table ipai.brands (odoo_id bigint primary key);
           insert into ipai.mirror_state (mirror, active_field) values ('brands', '');
           insert into ipai.brands values (7), (8);
           select ipai.protect_mirror('brands', '{"odoo_id": "ipai_brand_ids"}')""",
    )
    claims = """set request.jwt.claims = '{"app_metadata": {"ipai_brand_ids": [7]}}'"""
    assert ask(cluster, f"{claims}; set role authenticated; select odoo_id from ipai.brands") == "7"


def test_api_roles_have_the_same_privileges_without_the_extension(cluster: Cluster) -> None:
    may = """select string_agg(c.relname, ' ' order by c.relname) from pg_class c
             where c.relnamespace = 'ipai'::regnamespace and c.relkind in ('r', 'v') and has_table_privilege('{}', c.oid, 'select')
               and c.relname <> 'brands'"""
    assert ask(cluster, may.format("anon")) == ""
    assert ask(cluster, may.format("authenticated")) == "sample_metrics_count_delta sync_count_delta"
    everything = "followers mirror_objects mirror_state mirrors odoo_logins run_log sample_metrics_count_delta sync_alerts sync_count_delta sync_rejects sync_runs sync_status"
    assert ask(cluster, may.format("service_role")) == everything
    public = """select string_agg(proname, ' ') from pg_proc p, aclexplode(coalesce(proacl, acldefault('f', proowner))) a
                where pronamespace = 'ipai'::regnamespace and a.grantee = 0"""
    # It reads no data, and each role that reads ipai.sync_alerts needs it.
    assert ask(cluster, public) == "command_hint"
