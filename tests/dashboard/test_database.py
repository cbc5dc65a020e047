"""Tests the dashboard's queries with 200,000 metrics: rows read, time, privileges, and types."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from harness import dashboard, postgres, shell, supabase
from harness.dashboard import Dashboard
from harness.postgres import Cluster, Installation
from harness.postgrest import PostgREST

TABLE = "ipai.ipai_sample_metrics"
TENANTS = {"a brand": '{"ipai_brand_ids": [7]}', "every brand": '{"ipai_brand_ids": "*"}', "nobody": "{}"}


def as_user(claims: str, statement: str) -> str:
    """A psql script that runs a statement as PostgREST does for a user."""
    return f"""begin; set local role authenticated;
               select set_config('request.jwt.claims', '{{"app_metadata": {claims}}}', true) \\g /dev/null
               {statement}; rollback"""


def seconds(database: Cluster, claims: str, statement: str) -> float:
    """The shortest of three runs, to exclude the load of other processes."""
    runs = []
    for _ in range(3):
        answer = database.psql(
            as_user(
                claims,
                f"select clock_timestamp() as began \\gset\n {statement}\n \\g /dev/null\n select extract(epoch from clock_timestamp() - :'began')",
            ),
            user="postgres",
        )
        runs.append(float(answer))
    return min(runs)


QUERIES = {
    "overview": "select * from ipai.metrics_overview()",
    "search": "select * from ipai.metrics_overview('sales')",
    "context": "select * from ipai.metrics_context(100000)",
    "series": "select * from ipai.metric_series('STORE_SALES')",
    "facets": "select * from ipai.metric_facets('STORE_SALES')",
}


@pytest.mark.parametrize("claims", TENANTS.values(), ids=TENANTS)
@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_each_query_takes_less_than_a_second(database: Cluster, query: str, claims: str) -> None:
    assert int(database.psql(f"select count(*) from {TABLE}")) > 200_000
    # About 0.1 s on an idle machine.
    assert seconds(database, claims, query) < 1


#: A table with many codes of few rows each, some without a date, in varying units.
SCATTERED = f"""
    create temporary table kept as table {TABLE};
    truncate {TABLE};
    insert into {TABLE} (odoo_id, name, code, date, brand_id, store_id, value, unit, is_alert, active)
    select i, 'Metric ' || i, 'CODE_' || i % 600, case when i % 17 > 0 then date '2024-01-01' + i * 7 % 730 end, case when i % 7 > 0 then 7 + i * 31 % 24 end,
           case when i % 11 > 0 then 100 + i * 37 % 120 end, i * 7919 % 10001 / 100.0, (array['percent', 'count', 'amount'])[1 + i * 13 / 6 % 3], i % 20 = 0, i % 13 > 0
    from generate_series(1, 200000) as i;
    analyze {TABLE};
"""


@pytest.fixture
def scattered(database: Cluster) -> Iterator[Cluster]:
    back = f"truncate {TABLE}; insert into {TABLE} overriding system value table kept; analyze {TABLE}; drop table kept"
    database.psql(SCATTERED.replace("temporary ", ""), user="postgres")
    try:
        yield database
    finally:
        database.psql(back, user="postgres")


def test_the_overview_of_many_rare_metrics_is_fast(scattered: Cluster) -> None:
    for claims in TENANTS.values():
        assert seconds(scattered, claims, QUERIES["overview"]) < 2
    assert scattered.psql(as_user(TENANTS["every brand"], "select max(total) from ipai.metrics_overview()"), user="postgres") == "600"
    # The overview reads each row of rare metrics once.
    executed, total = execute(scattered, QUERIES["overview"])
    assert rows_read(executed) < 1.5 * total, executed
    for query in ("metric_series('CODE_5')", "metric_facets('CODE_5')"):
        executed, total = execute(scattered, f"select * from ipai.{query}")
        # These read one metric of 600, several times.
        assert rows_read(executed) < total / 100, executed
        assert [scan for scan in executed if scan["Node Type"] == "Seq Scan"] == []


# Plans --------------------------------------------------------------------------------------------


def scans(database: Cluster, query: str) -> list[dict[str, Any]]:
    """The scans of the table in the executed plans of a query, also of those inside functions."""
    # Only a superuser can load auto_explain. The query still runs as the user.
    settings = "load 'auto_explain'; set auto_explain.log_min_duration = 0; set auto_explain.log_nested_statements = on; set auto_explain.log_analyze = on; set auto_explain.log_format = json;"
    before = database.log.stat().st_size
    database.psql(f"{settings} {as_user(TENANTS['a brand'], query)}")
    log = database.log.read_bytes()[before:].decode()
    plans = [json.loads(plan) for plan in re.findall(r"plan:\n(\s*\{.*?\n\s*\})\n(?=\d{4}-|\Z)", log, re.DOTALL)]
    assert plans, log[-2000:]
    found: list[dict[str, Any]] = []

    def look(node: Any) -> None:
        if isinstance(node, dict):
            if node.get("Relation Name") == "ipai_sample_metrics":
                found.append(node)
            for value in node.values():
                look(value)
        elif isinstance(node, list):
            for value in node:
                look(value)

    look(plans)
    return found


def execute(database: Cluster, query: str) -> tuple[list[dict[str, Any]], int]:
    """The scans that a query executed, and the number of rows in the table."""
    executed = [scan for scan in scans(database, query) if scan.get("Actual Loops")]
    assert executed
    return executed, int(database.psql(f"select count(*) from {TABLE}"))


def rows_read(executed: list[dict[str, Any]]) -> float:
    """The rows that scans of the table have read. A bitmap scan counts in its heap scan."""
    removed = ("Rows Removed by Filter", "Rows Removed by Index Recheck")
    return float(sum((scan["Actual Rows"] + sum(scan.get(name, 0) for name in removed)) * scan["Actual Loops"] for scan in executed))


@pytest.mark.parametrize("query", [QUERIES["overview"], QUERIES["series"], QUERIES["facets"]], ids=["overview", "series", "facets"])
def test_no_query_reads_the_whole_table(database: Cluster, query: str) -> None:
    executed, total = execute(database, query)
    read = rows_read(executed)
    # The overview reads one month of twelve, the others read one metric of 24.
    assert read < total / 6, [(scan["Node Type"], scan.get("Index Name"), scan["Actual Rows"]) for scan in executed]
    assert [scan for scan in executed if scan["Node Type"] == "Seq Scan"] == []


# Types and other databases ------------------------------------------------------------------------


def test_the_generated_types_match_the_database(database: Cluster) -> None:
    # To update the types: PYTHONPATH=scripts python3 -m harness.dashboard types
    assert supabase.types(database) == dashboard.TYPES.read_text()


def test_the_migration_works_without_extension_and_roles(extension_pg: Installation) -> None:
    with Cluster(extension_pg) as plain:
        for _ in range(2):
            postgres.migrate(plain, user=None)
        dashboard.fill_mirror(plain, stores=2, days=3)
        assert plain.psql("select count(*) from ipai.metrics_overview()") == "24"
        # A second run grants privileges to roles that were created since.
        plain.psql("create role anon; create role authenticated; create role service_role bypassrls")
        postgres.migrate(plain, user=None)
        assert plain.psql(as_user(TENANTS["every brand"], "select count(*) from ipai.metrics_overview()")) == "24"


def test_the_page_shows_metrics_without_the_extension(extension_pg: Installation, visit: Any) -> None:
    with postgres.supabase_cluster(extension_pg) as cluster:
        postgres.migrate(cluster)
        dashboard.fill_mirror(cluster, stores=4, days=3)
        with (
            PostgREST(cluster) as api,
            Dashboard(api, {"demoUsers": [dashboard.demo_user(api, "Carla", brands="*")], "realtime": False}) as site,
        ):
            page = visit(site.url)
            expect(page.get_by_text("24 metrics")).to_be_visible()
            page.goto(f"{site.url}#/health")
            expect(page.get_by_text("No sync in this database")).to_be_visible()


def test_operators_have_only_the_privileges_that_the_page_needs(extension_pg: Installation) -> None:
    with postgres.supabase_cluster(extension_pg) as cluster:
        cluster.psql("create extension ipai_sync")
        postgres.migrate(cluster)
        dashboard.fill_mirror(cluster, stores=4, days=3)
        # A mirror with a failed run.
        cluster.psql("""insert into ipai.run_log (mirror, mode, state, finished_at, sqlstate, message, odoo_count, mirror_count)
                        values ('sample_metrics', 'full', 'failed', now(), '08001', 'could not connect', 5, 5)""")
        cluster.psql_file(dashboard.OPERATOR, user="postgres")

        def as_operator(statement: str, claims: str = "{}") -> str:
            return cluster.psql(as_user(claims, statement).replace("role authenticated", "role ipai_operator"), user="authenticator")

        for view in ("sync_status", "sync_alerts", "sync_runs", "sync_count_delta"):
            assert int(as_operator(f"select count(*) from ipai.{view}")) >= 1, view
        assert as_operator("select message from ipai.sync_runs") == "could not connect"
        for table in ("sync_status", "sync_alerts", "sync_runs", "run_log"):
            with pytest.raises(shell.CommandFailed, match="permission denied"):
                cluster.psql(as_user("{}", f"select * from ipai.{table}"), user="authenticator")
        # Row-level security also applies to operators.
        assert as_operator(f"select count(*) from {TABLE}") == "0"
        assert as_operator(f"select count(*) from {TABLE}", TENANTS["a brand"]) == str(24 * 3)
        for refused in (
            "update ipai.mirrors set enabled = false",
            "select * from ipai.odoo_logins",
            "select ipai.odoo_call('odoo', 'res.users', 'read')",
            "call ipai.run_sync()",
            "insert into ipai.run_log (mirror, mode, state) values ('sample_metrics', 'full', 'ok')",
            f"delete from {TABLE}",
        ):
            with pytest.raises(shell.CommandFailed, match="permission denied"):
                as_operator(refused)
        # All privileges, own and inherited: only reads, and only of these tables.
        relations = cluster.psql("""select relname || ' ' || string_agg(privilege, ',')
            from pg_class c, unnest(array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger']) as privilege
            where relnamespace = 'ipai'::regnamespace and relkind in ('r', 'v') and has_table_privilege('ipai_operator', c.oid, privilege)
            group by relname order by relname""")
        assert relations.splitlines() == [
            f"{name} select"
            for name in (
                *("followers", "ipai_sample_metrics", "mirror_state", "mirrors", "run_log"),
                "sample_metrics_count_delta",
                *("sync_alerts", "sync_count_delta", "sync_rejects", "sync_runs", "sync_status"),
            )
        ]
        functions = cluster.psql("""select string_agg(proname, ' ' order by proname) from pg_proc
            where pronamespace = 'ipai'::regnamespace and has_function_privilege('ipai_operator', oid, 'execute')
              and not has_function_privilege('authenticated', oid, 'execute')""")
        assert functions == ""
